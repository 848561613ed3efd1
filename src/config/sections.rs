//! The tables of a machine file, one function each.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::check;
use super::layer::{LibvirtLayer, Paths, ProviderLayers, QemuLayer, SshLayer, plain, size};
use super::read::{Complaint, Table};
use super::size::MIB;
use super::spec::{
    Accel, CpuMode, DiskBus, ExtraDisk, Firmware, FolderType, ForwardedPort, Graphics, NetworkCard, Nic,
    PrivateNetwork, Protocol, ProvisionerKind, PublicNetwork, RunPolicy, Script, ShellProvisioner, SyncedFolder,
};
use super::virtualbox;

/// A synced folder that may be there only to switch an inherited one off.
#[derive(Clone, Debug)]
pub struct Folder {
    pub spec: SyncedFolder,
    pub disabled: bool,
    pub span: Range<usize>,
}

/// A provisioner before all are counted and named.
#[derive(Clone, Debug)]
pub struct UnnamedProvisioner {
    pub name: Option<String>,
    pub run: RunPolicy,
    pub kind: ProvisionerKind,
    pub span: Range<usize>,
}

/// What the words of `firmware`, `disk_bus` and `nic` mean.
pub const FIRMWARES: &[(&str, Firmware)] = &[("bios", Firmware::Bios), ("uefi", Firmware::Uefi)];
pub const DISK_BUSES: &[(&str, DiskBus)] = &[
    ("virtio", DiskBus::Virtio),
    ("scsi", DiskBus::Scsi),
    ("sata", DiskBus::Sata),
    ("ide", DiskBus::Ide),
    ("nvme", DiskBus::Nvme),
];
pub const NICS: &[(&str, Nic)] =
    &[("virtio", Nic::Virtio), ("e1000", Nic::E1000), ("pcnet", Nic::Pcnet), ("vmxnet3", Nic::Vmxnet3)];

const PORTS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// The place that is shown when two ports are the same is the host's port.
pub fn forwarded_port(mut table: Table<'_, '_>) -> Option<Spanned<ForwardedPort>> {
    let guest = table.integer("guest", PORTS);
    let host = table.integer("host", PORTS);
    let host_ip = table.parsed("host_ip", check::ip);
    let protocol = table.choice("protocol", &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)]);
    let auto_correct = table.boolean("auto_correct");
    let id = table.parsed("id", check::line);
    if id.as_ref().is_some_and(|id| id.get_ref() == "ssh") {
        let note = table.reader().warning("this port is not used for SSH: `id = \"ssh\"` has no meaning here");
        note.at(table.span(), "").help("choose the host's port for SSH by `port` in `[ssh]`").push();
    }
    table.require("guest", "the port in the guest, for instance `guest = 80`");
    let span = host.as_ref().map_or_else(|| table.span(), Spanned::span);
    table.finish();
    let port = ForwardedPort {
        guest: guest?.into_inner(),
        host: plain(host),
        host_ip: plain(host_ip).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        protocol: plain(protocol).unwrap_or_default(),
        auto_correct: plain(auto_correct).unwrap_or_default(),
        id: plain(id),
    };
    Some(Spanned::new(span, port))
}

/// All `[[extra_disk]]` of one level.
pub fn extra_disks(table: &mut Table<'_, '_>) -> Vec<ExtraDisk> {
    let mut disks: Vec<ExtraDisk> = Vec::new();
    for mut table in table.tables("extra_disk") {
        let name = table.parsed("name", check::disk_name);
        let size = size(&mut table, "size", 64);
        table.require("name", "what it is called, for instance `name = \"data\"`");
        table.require("size", "how large it is, for instance `size = \"20 GiB\"`");
        if let Some(name) = name.as_ref().filter(|name| disks.iter().any(|other| other.name == *name.get_ref())) {
            table.refuse("name", name.span(), "another extra disk has this name");
        } else if let (Some(name), Some(mib)) = (name, size) {
            disks.push(ExtraDisk { name: name.into_inner(), size: mib * MIB });
        }
        table.finish();
    }
    disks
}

pub fn private_network(mut table: Table<'_, '_>) -> PrivateNetwork {
    let (ip, prefix) = address(&mut table);
    let name = plain(table.parsed("name", check::line));
    let nat = plain(table.boolean("nat")).unwrap_or_default();
    let card = network_card(&mut table);
    table.finish();
    PrivateNetwork { ip, prefix, name, nat, card }
}

pub fn public_network(mut table: Table<'_, '_>) -> PublicNetwork {
    let bridge = bridges(&mut table);
    let (ip, prefix) = address(&mut table);
    let route = plain(table.boolean("use_dhcp_assigned_default_route")).unwrap_or_default();
    let card = network_card(&mut table);
    table.finish();
    PublicNetwork { bridge, ip, prefix, use_dhcp_assigned_default_route: route, card }
}

/// The guest's address, and the length of its network's prefix.
fn address(table: &mut Table<'_, '_>) -> (Option<IpAddr>, Option<u8>) {
    let ip = table.parsed("ip", check::ip);
    let longest = if ip.as_ref().is_some_and(|ip| ip.get_ref().is_ipv6()) { 128 } else { 32 };
    let prefix = table.integer("prefix", 1..=longest);
    if let (Some(prefix), false) = (&prefix, table.has("ip")) {
        table.refuse("prefix", prefix.span(), "without `ip` there is no network to measure");
    }
    (plain(ip), plain(prefix))
}

/// `en0: Wi-Fi (AirPort)` is one.
fn bridges(table: &mut Table<'_, '_>) -> Vec<String> {
    let mut names = Vec::new();
    for name in table.one_or_more("bridge").unwrap_or_default() {
        match check::line(name.get_ref()) {
            Ok(name) => names.push(name),
            Err(complaint) => table.refuse("bridge", name.span(), complaint),
        }
    }
    names
}

/// Places of cards that a network may ask for: the first is not for it, and more no hypervisor has.
pub const ADAPTERS: std::ops::RangeInclusive<u64> = 2..=36;

fn network_card(table: &mut Table<'_, '_>) -> NetworkCard {
    NetworkCard {
        mac: plain(table.parsed("mac", check::mac)),
        nic: plain(table.choice("nic", NICS)),
        adapter: plain(table.integer("adapter", ADAPTERS)),
        auto_config: plain(table.boolean("auto_config")).unwrap_or(true),
    }
}

const FOLDER_TYPES: &[(&str, FolderType)] = &[
    ("rsync", FolderType::Rsync),
    ("virtiofs", FolderType::Virtiofs),
    ("9p", FolderType::NineP),
    ("nfs", FolderType::Nfs),
    ("smb", FolderType::Smb),
    ("virtualbox", FolderType::Virtualbox),
];

pub fn synced_folder(mut table: Table<'_, '_>, paths: &Paths<'_>) -> Option<Folder> {
    let guest = table.parsed("guest", check::guest_folder);
    let host = table.parsed("host", |text| paths.resolve(text));
    let kind = plain(table.choice("type", FOLDER_TYPES));
    let disabled = plain(table.boolean("disabled")).unwrap_or_default();
    let create = plain(table.boolean("create")).unwrap_or_default();
    let owner = plain(table.parsed("owner", check::word));
    let group = plain(table.parsed("group", check::word));
    let exclude = table.strings("exclude").unwrap_or_default().into_iter().map(Spanned::into_inner).collect();
    let args = table.strings("args").map(|args| args.into_iter().map(Spanned::into_inner).collect());
    table.require("guest", "the folder's place in the guest, for instance `guest = \"/srv/app\"`");
    if !disabled {
        table.require("host", "the folder's place on this computer, for instance `host = \".\"`");
    }
    if let (Some(host), false, false) = (&host, disabled, create) {
        paths.expect("folder", host);
    }
    let span = table.span();
    let has_host = table.has("host");
    table.finish();
    let host = if disabled && !has_host { paths.root.to_owned() } else { host?.into_inner() };
    let spec = SyncedFolder { host, guest: guest?.into_inner(), kind, create, owner, group, exclude, args };
    Some(Folder { spec, disabled, span })
}

pub fn provisioner(mut table: Table<'_, '_>, paths: &Paths<'_>) -> Option<UnnamedProvisioner> {
    let kind = table.choice("type", &[("shell", false), ("file", true)]);
    if kind.is_none() && table.has("type") {
        // Which keys would be known depends on the type.
        return None;
    }
    let name = table.parsed("name", check::provisioner_name);
    let policies = [("once", RunPolicy::Once), ("always", RunPolicy::Always), ("never", RunPolicy::Never)];
    let run = plain(table.choice("run", &policies)).unwrap_or_default();
    let span = name.as_ref().map_or_else(|| table.span(), Spanned::span);
    table.require("type", "write `type = \"shell\"` or `type = \"file\"`");
    let is_file = kind?.into_inner();
    let kind = if is_file { file(&mut table, paths) } else { shell(&mut table, paths).map(ProvisionerKind::Shell) };
    table.finish();
    Some(UnnamedProvisioner { name: plain(name), run, kind: kind?, span })
}

fn file(table: &mut Table<'_, '_>, paths: &Paths<'_>) -> Option<ProvisionerKind> {
    let source = table.parsed("source", |text| paths.resolve(text));
    let not_empty = |text: &str| if text.is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) };
    let destination = table.parsed("destination", not_empty);
    table.require("source", "the file or folder on this computer");
    table.require("destination", "its place in the guest");
    let source = source?;
    paths.expect("source", &source);
    Some(ProvisionerKind::File { source: source.into_inner(), destination: destination?.into_inner() })
}

/// A script for the guest, with all that is said of it.
pub fn shell(table: &mut Table<'_, '_>, paths: &Paths<'_>) -> Option<ShellProvisioner> {
    let script = script(table, paths);
    let args = table.strings("args").unwrap_or_default().into_iter().map(Spanned::into_inner).collect();
    let env = table.table("env").map(|table| environment(&table)).unwrap_or_default();
    let privileged = plain(table.boolean("privileged")).unwrap_or(true);
    let reboot = plain(table.boolean("reboot")).unwrap_or_default();
    let sensitive = plain(table.boolean("sensitive")).unwrap_or_default();
    Some(ShellProvisioner { script: script?, args, env, privileged, reboot, sensitive })
}

/// Exactly one of `inline`, `path` and `url`.
fn script(table: &mut Table<'_, '_>, paths: &Paths<'_>) -> Option<Script> {
    let inline = table.string("inline");
    let path = table.parsed("path", |text| paths.resolve(text));
    let url = table.parsed("url", check::http_url);
    let written: Vec<_> = ["inline", "path", "url"].into_iter().filter(|key| table.has(key)).collect();
    let help = "write exactly one of `inline` (the script's text), `path` and `url`";
    match written[..] {
        [] if !table.reader().is_incomplete() => {
            table.reader().error("a shell provisioner without a script").at(table.span(), "").help(help).push();
        }
        [first, second, ..] => {
            let message = format!("a shell provisioner with two scripts: `{first}` and `{second}`");
            let places = table.entries().into_iter().filter(|(key, _)| written.contains(&key.get_ref().as_str()));
            let note = table.reader().error(message).help(help);
            places.fold(note, |note, (key, _)| note.at(key.span(), "")).push();
        }
        _ => {}
    }
    if let Some(path) = &path {
        paths.expect("script", path);
    }
    let inline = inline.map(|text| Script::Inline(text.into_inner()));
    inline.or_else(|| Some(Script::Path(path?.into_inner()))).or_else(|| Some(Script::Url(url?.into_inner())))
}

/// `env = { NAME = "value" }`; numbers and booleans are taken as they are written.
fn environment(table: &Table<'_, '_>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (name, value) in table.entries() {
        if !check::variable(name.get_ref()) {
            let note = table.reader().error(format!("`{}` cannot be the name of a variable", name.get_ref()));
            note.at(name.span(), "expected letters, digits and `_`").push();
            continue;
        }
        let text = match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                table.refuse(name.get_ref(), value.span(), "contains a NUL character");
                continue;
            }
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(boolean) => boolean.to_string(),
            _ => {
                table.wrong_type(name.get_ref(), value, "a string");
                continue;
            }
        };
        variables.push((name.into_inner(), text));
    }
    variables
}

pub fn ssh(mut table: Table<'_, '_>, paths: &Paths<'_>) -> SshLayer {
    let keys = table.strings("private_key_path").unwrap_or_default();
    let layer = SshLayer {
        username: plain(table.parsed("username", check::word)),
        private_key_path: keys.iter().filter_map(|key| key_path(&table, key, paths)).collect(),
        insert_key: plain(table.boolean("insert_key")),
        guest_port: plain(table.integer("guest_port", PORTS)),
        port: table.integer("port", PORTS),
        forward_agent: plain(table.boolean("forward_agent")),
        forward_x11: plain(table.boolean("forward_x11")),
        keep_alive: plain(table.boolean("keep_alive")),
        connect_timeout: plain(table.integer("connect_timeout", 1..=3600)),
        extra_args: table.strings("extra_args").unwrap_or_default().into_iter().map(Spanned::into_inner).collect(),
    };
    table.finish();
    layer
}

fn key_path(table: &Table<'_, '_>, key: &Spanned<String>, paths: &Paths<'_>) -> Option<std::path::PathBuf> {
    match paths.resolve(key.get_ref()) {
        Ok(path) => {
            paths.expect("private key", &Spanned::new(key.span(), path.clone()));
            Some(path)
        }
        Err(complaint) => {
            table.refuse("private_key_path", key.span(), complaint);
            None
        }
    }
}

pub fn provider_options(mut table: Table<'_, '_>) -> ProviderLayers {
    let layers = ProviderLayers {
        qemu: table.table("qemu").map(qemu).unwrap_or_default(),
        libvirt: table.table("libvirt").map(libvirt).unwrap_or_default(),
        virtualbox: table.table("virtualbox").map(virtualbox::read).unwrap_or_default(),
    };
    table.finish();
    layers
}

const ACCELS: &[(&str, Accel)] = &[("auto", Accel::Auto), ("kvm", Accel::Kvm), ("tcg", Accel::Tcg)];

fn not_empty(text: &str) -> Result<String, Complaint> {
    if text.is_empty() { Err(Complaint::from("is empty")) } else { Ok(text.to_owned()) }
}

fn qemu(mut table: Table<'_, '_>) -> QemuLayer {
    let layer = QemuLayer {
        accel: plain(table.choice("accel", ACCELS)),
        machine: plain(table.parsed("machine", not_empty)),
        cpu: plain(table.parsed("cpu", not_empty)),
        direct_boot: plain(table.boolean("direct_boot")),
        extra_args: table.strings("extra_args").unwrap_or_default().into_iter().map(Spanned::into_inner).collect(),
    };
    table.finish();
    layer
}

fn libvirt(mut table: Table<'_, '_>) -> LibvirtLayer {
    let modes = [
        ("host-passthrough", CpuMode::HostPassthrough),
        ("host-model", CpuMode::HostModel),
        ("maximum", CpuMode::Maximum),
    ];
    let screens = [("none", Graphics::None), ("vnc", Graphics::Vnc), ("spice", Graphics::Spice)];
    let layer = LibvirtLayer {
        uri: plain(table.parsed("uri", not_empty)),
        pool: plain(table.parsed("pool", not_empty)),
        forward_address: plain(table.parsed("forward_address", check::ip)),
        accel: plain(table.choice("accel", ACCELS)),
        machine: plain(table.parsed("machine", not_empty)),
        cpu_mode: plain(table.choice("cpu_mode", &modes)),
        direct_boot: plain(table.boolean("direct_boot")),
        graphics: plain(table.choice("graphics", &screens)),
        autostart: plain(table.boolean("autostart")),
        network: plain(table.parsed("network", not_empty)),
        nested: plain(table.boolean("nested")),
        tpm: plain(table.boolean("tpm")),
        xml: table.strings("xml").unwrap_or_default().into_iter().map(Spanned::into_inner).collect(),
    };
    table.finish();
    layer
}
