//! One level of a machine file: the top, or one `[machines.NAME]`. Keys that are left out stay empty until the levels
//! are laid over each other.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::read::{Complaint, Table};
use super::sections::{self, Folder, UnnamedProvisioner};
use super::spec::{
    Accel, CpuMode, DiskBus, ExtraDisk, Firmware, ForwardedPort, Graphics, Nic, PrivateNetwork, ProviderKind,
    PublicNetwork,
};
use super::trigger::{self, WrittenTrigger};
use super::virtualbox::VirtualboxLayer;
use super::{check, size};

/// What one level says.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Whether `box` is written, be it right or wrong.
    pub has_box: bool,
    pub autostart: Option<bool>,
    pub box_name: Option<String>,
    pub box_version: Option<String>,
    pub box_url: Option<Vec<String>>,
    pub box_checksum: Option<String>,
    pub box_architecture: Option<String>,
    pub hostname: Option<String>,
    pub cpus: Option<u32>,
    pub memory: Option<u64>,
    pub disk: Option<u64>,
    pub extra_disks: Vec<ExtraDisk>,
    pub firmware: Option<Firmware>,
    pub disk_bus: Option<DiskBus>,
    pub nic: Option<Nic>,
    pub mac: Option<String>,
    pub provider: Option<ProviderKind>,
    pub boot_timeout: Option<u64>,
    pub graceful_halt_timeout: Option<u64>,
    pub post_up_message: Option<String>,
    pub usable_port_range: Option<(u16, u16)>,
    pub forwarded_ports: Vec<Spanned<ForwardedPort>>,
    pub private_networks: Vec<PrivateNetwork>,
    pub public_networks: Vec<PublicNetwork>,
    pub folders: Vec<Folder>,
    pub provisioners: Vec<UnnamedProvisioner>,
    pub triggers: Vec<WrittenTrigger>,
    pub ssh: SshLayer,
    pub providers: ProviderLayers,
}

/// `[ssh]` of one level.
#[derive(Clone, Debug, Default)]
pub struct SshLayer {
    pub username: Option<String>,
    pub private_key_path: Vec<PathBuf>,
    pub insert_key: Option<bool>,
    pub guest_port: Option<u16>,
    pub port: Option<Spanned<u16>>,
    pub forward_agent: Option<bool>,
    pub forward_x11: Option<bool>,
    pub keep_alive: Option<bool>,
    pub connect_timeout: Option<u64>,
    pub extra_args: Vec<String>,
}

/// `[provider_options]` of one level.
#[derive(Clone, Debug, Default)]
pub struct ProviderLayers {
    pub qemu: QemuLayer,
    pub libvirt: LibvirtLayer,
    pub virtualbox: VirtualboxLayer,
}

/// `[provider_options.libvirt]` of one level.
#[derive(Clone, Debug, Default)]
pub struct LibvirtLayer {
    pub uri: Option<String>,
    pub pool: Option<String>,
    pub forward_address: Option<IpAddr>,
    pub accel: Option<Accel>,
    pub machine: Option<String>,
    pub cpu_mode: Option<CpuMode>,
    pub direct_boot: Option<bool>,
    pub graphics: Option<Graphics>,
    pub autostart: Option<bool>,
    pub network: Option<String>,
    pub nested: Option<bool>,
    pub tpm: Option<bool>,
    pub xml: Vec<String>,
}

/// `[provider_options.qemu]` of one level.
#[derive(Clone, Debug, Default)]
pub struct QemuLayer {
    pub accel: Option<Accel>,
    pub machine: Option<String>,
    pub cpu: Option<String>,
    pub direct_boot: Option<bool>,
    pub extra_args: Vec<String>,
}

/// Where relative paths start, and which files of the host the machine file names.
pub struct Paths<'p> {
    pub root: &'p Path,
    pub home: Option<PathBuf>,
    pub named: RefCell<Vec<HostFile>>,
}

/// A file or folder of the host that should be there.
pub struct HostFile {
    pub path: PathBuf,
    pub span: Range<usize>,
    /// For messages: "script", "source".
    pub what: &'static str,
}

impl Paths<'_> {
    /// The absolute path that `text` means.
    pub fn resolve(&self, text: &str) -> Result<PathBuf, Complaint> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                Ok(tidy(&home.join(rest.trim_start_matches('/'))))
            }
            (Some(_), _) if !text.starts_with("~/") && text != "~" => {
                Err(Complaint::from("home directories of other users are not known here").help("write the whole path"))
            }
            (Some(_), _) => Err(Complaint::from("HOME is not set").help("write the whole path")),
            _ => Ok(tidy(&self.root.join(text))),
        }
    }

    /// Remembers to look whether a file is there.
    pub fn expect(&self, what: &'static str, path: &Spanned<PathBuf>) {
        let (path, span) = (path.get_ref().clone(), path.span());
        self.named.borrow_mut().push(HostFile { path, span, what });
    }
}

/// Without `.`; `..` stays, as it may follow a link.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// The value without its place.
pub fn plain<T>(value: Option<Spanned<T>>) -> Option<T> {
    value.map(Spanned::into_inner)
}

/// Reads the keys that the top and every machine have.
pub fn read(table: &mut Table<'_, '_>, paths: &Paths<'_>) -> Layer {
    let has_url = table.has("box_url");
    let box_source = |text: &str| check::box_source(text, paths, has_url);
    Layer {
        has_box: table.has("box"),
        box_name: plain(table.parsed("box", box_source)),
        box_version: plain(table.parsed("box_version", check::version_constraint)),
        box_url: box_urls(table, paths),
        box_checksum: plain(table.parsed("box_checksum", check::checksum)),
        box_architecture: plain(table.parsed("box_architecture", check::architecture)).flatten(),
        hostname: plain(table.parsed("hostname", check::hostname)),
        cpus: plain(table.integer("cpus", 1..=1024)),
        memory: size(table, "memory", 16),
        disk: size(table, "disk", 1024).map(|mib| mib * size::MIB),
        extra_disks: sections::extra_disks(table),
        firmware: plain(table.choice("firmware", sections::FIRMWARES)),
        disk_bus: plain(table.choice("disk_bus", sections::DISK_BUSES)),
        nic: plain(table.choice("nic", sections::NICS)),
        mac: plain(table.parsed("mac", check::mac)),
        provider: plain(
            table.choice("provider", &ProviderKind::ALL.iter().map(|k| (k.name(), *k)).collect::<Vec<_>>()),
        ),
        autostart: plain(table.boolean("autostart")),
        boot_timeout: plain(table.integer("boot_timeout", 1..=86_400)),
        graceful_halt_timeout: plain(table.integer("graceful_halt_timeout", 1..=86_400)),
        post_up_message: plain(table.string("post_up_message")),
        usable_port_range: port_range(table),
        forwarded_ports: each(table, "forwarded_port", sections::forwarded_port),
        private_networks: each(table, "private_network", |table| Some(sections::private_network(table))),
        public_networks: each(table, "public_network", |table| Some(sections::public_network(table))),
        folders: each(table, "synced_folder", |table| sections::synced_folder(table, paths)),
        provisioners: each(table, "provision", |table| sections::provisioner(table, paths)),
        triggers: each(table, "trigger", |table| trigger::read(table, paths)),
        ssh: table.table("ssh").map(|table| sections::ssh(table, paths)).unwrap_or_default(),
        providers: table.table("provider_options").map(sections::provider_options).unwrap_or_default(),
    }
}

/// Each address that is one; none of them counts where there is none.
fn box_urls(table: &mut Table<'_, '_>, paths: &Paths<'_>) -> Option<Vec<String>> {
    let texts = table.one_or_more("box_url")?;
    let read = |text: &Spanned<String>| match check::box_url(text.get_ref(), paths) {
        Ok(url) => Some(url),
        Err(complaint) => {
            table.refuse("box_url", text.span(), complaint);
            None
        }
    };
    Some(texts.iter().filter_map(read).collect())
}

/// Reads every `[[key]]`.
fn each<'r, 'i, T>(table: &mut Table<'r, 'i>, key: &'static str, read: impl Fn(Table<'r, 'i>) -> Option<T>) -> Vec<T> {
    table.tables(key).into_iter().filter_map(read).collect()
}

/// A size in MiB: a number, or a number with a unit. A bare number below `small` was surely meant as GiB.
pub fn size(table: &mut Table<'_, '_>, key: &'static str, small: u64) -> Option<u64> {
    use toml::de::DeValue;
    let value = table.value(key)?;
    let parsed = match value.get_ref() {
        DeValue::String(text) => size::parse(text),
        DeValue::Integer(_) => match super::read::integer(value.get_ref()) {
            Some(mib) => {
                if (1..small).contains(&mib) {
                    let note = table.reader().warning(format!("`{key}` is only {mib} MiB"));
                    note.at(value.span(), "a number without a unit counts MiB")
                        .help(format!("write `{key} = \"{mib} GiB\"` if that is what you mean"))
                        .push();
                }
                size::check(mib)
            }
            None => Err("expected a positive number".into()),
        },
        _ => {
            table.wrong_type(key, value, "a size such as `\"2 GiB\"` or a number of MiB");
            return None;
        }
    };
    parsed
        .map_err(|text| {
            let help = "a size is a number of MiB, or a string with a unit: \"512 MiB\", \"2 GiB\", \"1.5T\"";
            table.refuse(key, value.span(), Complaint::from(text).help(help));
        })
        .ok()
}

fn port_range(table: &mut Table<'_, '_>) -> Option<(u16, u16)> {
    let range = table.pair("usable_port_range", &(1..=65_535))?;
    let (first, last) = *range.get_ref();
    if first > last {
        table.refuse("usable_port_range", range.span(), "the first port is above the last");
        return None;
    }
    Some((first, last))
}
