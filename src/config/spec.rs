//! The model of a machine: the only thing that the rest of the program knows of a machine file.
//!
//! The readers of TOML (`layer.rs`) and of Ruby (`vagrantfile`) fill it; nobody else makes one. It serialises to what `vbox-rs config
//! --json` prints, with the keys of the machine file.

mod disk;
mod options;
mod trigger;

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

pub use disk::ExtraDisk;
pub use options::{
    Accel, CpuMode, Customization, CustomizeEvent, Graphics, GraphicsController, LibvirtOptions, ProviderOptions,
    QemuOptions, VirtualboxOptions,
};
pub use trigger::{Action, HostCommand, Moment, OnError, Trigger, When};

/// A machine file, resolved: every machine has inherited the top level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Project {
    /// The machine file, absolute.
    pub file: PathBuf,
    /// The directory it lies in; relative paths of the file start here.
    pub root: PathBuf,
    /// In the order of the file; `default` alone where the file names none.
    pub machines: Vec<MachineSpec>,
}

/// One machine as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MachineSpec {
    /// Its name in the project.
    pub name: String,
    /// Commands for one machine take this one when none is named.
    pub primary: bool,
    /// Whether a plain `up` starts it.
    pub autostart: bool,
    /// Machines that must be ready before this one starts.
    pub depends_on: Vec<String>,
    /// Name, URL or path of the box.
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    /// Constraints as RubyGems writes them (`~> 12.0`).
    pub box_version: Option<String>,
    /// Where to fetch the box from when the library does not have it, in order.
    #[serde(serialize_with = "one_or_more")]
    pub box_url: Vec<String>,
    /// `sha256:…` or `sha512:…` of what `box_url` (or `box`, where it is a URL or path) delivers.
    pub box_checksum: Option<String>,
    /// `amd64`, `arm64`, …; the host's where left out.
    pub box_architecture: Option<String>,
    /// Host name inside of the guest; the box's own where left out.
    pub hostname: Option<String>,
    /// Virtual processors; the box's default, else 2, where left out.
    pub cpus: Option<u32>,
    /// Memory in MiB; the box's default, else 1024, where left out.
    pub memory: Option<u64>,
    /// Size of the first disk in bytes; the image's own where left out.
    pub disk: Option<u64>,
    /// Disks beside those of the box.
    #[serde(rename = "extra_disk")]
    pub extra_disks: Vec<ExtraDisk>,
    /// What starts the boot loader; the box's, else what its architecture has, where left out.
    pub firmware: Option<Firmware>,
    /// What the disks hang on; the box's, else virtio, where left out.
    pub disk_bus: Option<DiskBus>,
    /// The network card; the box's, else virtio, where left out.
    pub nic: Option<Nic>,
    /// Hardware address of the first network card; the box's, else the machine's own, where left out.
    pub mac: Option<String>,
    /// The hypervisor; chosen automatically where left out.
    pub provider: Option<ProviderKind>,
    /// Seconds until a machine that does not answer counts as failed.
    pub boot_timeout: u64,
    /// Seconds that a guest has to shut itself down.
    pub graceful_halt_timeout: u64,
    /// Shown after `up`.
    pub post_up_message: Option<String>,
    /// First and last port from which free ones are chosen.
    pub usable_port_range: (u16, u16),
    /// Ports of the guest that are reachable on the host.
    #[serde(rename = "forwarded_port")]
    pub forwarded_ports: Vec<ForwardedPort>,
    /// Networks between machines and host.
    #[serde(rename = "private_network")]
    pub private_networks: Vec<PrivateNetwork>,
    /// The host's own network.
    #[serde(rename = "public_network")]
    pub public_networks: Vec<PublicNetwork>,
    /// Folders of the host that appear in the guest, without the disabled ones.
    #[serde(rename = "synced_folder")]
    pub synced_folders: Vec<SyncedFolder>,
    /// What is run in the new machine, in order.
    #[serde(rename = "provision")]
    pub provisioners: Vec<Provisioner>,
    /// What is done before and after commands.
    #[serde(rename = "trigger")]
    pub triggers: Vec<Trigger>,
    /// How we log in.
    pub ssh: SshSpec,
    /// What only one hypervisor knows.
    pub provider_options: ProviderOptions,
    /// Keys that the file leaves to defaults, of those that a box may say too.
    #[serde(skip)]
    pub silent: Vec<&'static str>,
    /// What it is for other providers, where the file says something else for them.
    #[serde(skip)]
    pub variants: Vec<(ProviderKind, MachineSpec)>,
}

impl MachineSpec {
    /// The machine as the file wants it for a provider.
    #[must_use]
    pub fn for_provider(&self, kind: ProviderKind) -> Self {
        let found = self.variants.iter().find(|(other, _)| *other == kind);
        found.map_or(self, |(_, variant)| variant).clone()
    }
}

/// A hypervisor backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Plain QEMU: no daemon, no root.
    Qemu,
    /// libvirt.
    Libvirt,
    /// VirtualBox.
    Virtualbox,
}

impl ProviderKind {
    /// All, in the order in which they are tried.
    pub const ALL: &[Self] = &[Self::Qemu, Self::Libvirt, Self::Virtualbox];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// As written in machine files and boxes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Libvirt => "libvirt",
            Self::Virtualbox => "virtualbox",
        }
    }
}

impl std::fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What starts the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// PC BIOS.
    Bios,
    /// UEFI, without secure boot.
    Uefi,
}

/// What a disk hangs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskBus {
    /// Paravirtual disk: what every Linux of the last fifteen years has a driver for.
    #[default]
    Virtio,
    /// SCSI; virtio-scsi where the box names no older controller.
    Scsi,
    /// SATA (AHCI).
    Sata,
    /// Parallel ATA.
    Ide,
    /// NVM Express.
    Nvme,
}

/// A network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    /// Paravirtual.
    #[default]
    Virtio,
    /// Intel PRO/1000, VirtualBox's and VMware's default.
    E1000,
    /// AMD PCnet, of very old boxes.
    Pcnet,
    /// VMware's paravirtual card.
    Vmxnet3,
}

/// The hardware address of one card (`52:54:00:12:34:56`, or Vagrant's `525400123456`) in lower case with colons.
pub fn mac_address(text: &str) -> Option<String> {
    let digits = if text.len() == 17 {
        let parts: Vec<_> = text.split([':', '-']).collect();
        (parts.len() == 6 && parts.iter().all(|part| part.len() == 2)).then(|| parts.concat())?
    } else {
        text.to_owned()
    };
    if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    let bytes: Vec<_> = (0..12).step_by(2).map(|at| &digits[at..at + 2]).collect();
    // The lowest bit of the first byte marks addresses of groups.
    let group = u8::from_str_radix(bytes[0], 16).is_ok_and(|first| first & 1 == 1);
    (!group && digits != "000000000000").then(|| bytes.join(":"))
}

/// Transport protocol of a forwarded port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of the guest that is reachable on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForwardedPort {
    /// Port in the guest.
    pub guest: u16,
    /// Port on the host; a free one is chosen where left out.
    pub host: Option<u16>,
    /// Address on the host that listens.
    pub host_ip: IpAddr,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// Take a free port when `host` is taken.
    pub auto_correct: bool,
    /// A name of your own.
    pub id: Option<String>,
}

/// A network between machines and host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrivateNetwork {
    /// Fixed address of the guest; by DHCP where left out.
    pub ip: Option<IpAddr>,
    /// Length of the network's prefix.
    pub prefix: Option<u8>,
    /// The network's name.
    pub name: Option<String>,
    /// Whether it leads where the host's own network does, behind the host's address. Left out where not, so that what was
    /// recorded before there was such a thing still reads the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nat: bool,
    /// The machine's card on it.
    #[serde(flatten)]
    pub card: NetworkCard,
}

impl PrivateNetwork {
    /// The length of its prefix for an address in it: as usual where the file does not say.
    pub fn length(&self, ip: IpAddr) -> u8 {
        usual_length(self.prefix, ip)
    }
}

/// A bridge to the host's own network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicNetwork {
    /// Interfaces of the host: the first that is there.
    pub bridge: Vec<String>,
    /// Fixed address of the guest; by DHCP where left out.
    pub ip: Option<IpAddr>,
    /// Length of the network's prefix.
    pub prefix: Option<u8>,
    /// Whether a way to everywhere that DHCP offers there is taken.
    pub use_dhcp_assigned_default_route: bool,
    /// The machine's card on it.
    #[serde(flatten)]
    pub card: NetworkCard,
}

impl PublicNetwork {
    /// The length of its prefix for an address in it: as usual where the file does not say.
    pub fn length(&self, ip: IpAddr) -> u8 {
        usual_length(self.prefix, ip)
    }
}

fn usual_length(prefix: Option<u8>, ip: IpAddr) -> u8 {
    prefix.unwrap_or(if ip.is_ipv4() { 24 } else { 64 })
}

/// The machine's card on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetworkCard {
    /// Its hardware address; one of the machine's own where left out.
    pub mac: Option<String>,
    /// Its kind; that of the machine's first card where left out.
    pub nic: Option<Nic>,
    /// Its place among the machine's cards, of which the first is 1; the next that is free where left out.
    pub adapter: Option<u8>,
    /// Whether vbox-rs sets its address up in the guest.
    pub auto_config: bool,
}

impl Default for NetworkCard {
    fn default() -> Self {
        Self { mac: None, nic: None, adapter: None, auto_config: true }
    }
}

/// How a folder gets into the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FolderType {
    /// Copied, one way, by rsync or tar.
    #[default]
    Rsync,
    /// virtio-fs.
    Virtiofs,
    /// 9p over virtio.
    #[serde(rename = "9p")]
    NineP,
    /// NFS.
    Nfs,
    /// SMB.
    Smb,
    /// VirtualBox's shared folders.
    Virtualbox,
}

impl std::fmt::Display for FolderType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Rsync => "rsync",
            Self::Virtiofs => "virtiofs",
            Self::NineP => "9p",
            Self::Nfs => "nfs",
            Self::Smb => "smb",
            Self::Virtualbox => "virtualbox",
        })
    }
}

/// A folder of the host that appears in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncedFolder {
    /// Absolute path on the host.
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: String,
    /// How it gets there; VirtualBox's shared folder where machine and guest have those, else rsync, where left out.
    #[serde(rename = "type")]
    pub kind: Option<FolderType>,
    /// Create the host's folder when it is missing.
    pub create: bool,
    /// Owner in the guest; the login user where left out.
    pub owner: Option<String>,
    /// Group in the guest; the login user's where left out.
    pub group: Option<String>,
    /// Patterns as rsync's `--exclude`, besides those that are always left out.
    pub exclude: Vec<String>,
    /// More arguments for rsync; the default ones where left out.
    pub args: Option<Vec<String>>,
}

/// When a provisioner runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunPolicy {
    /// On the first `up` only.
    #[default]
    Once,
    /// On every `up` and `reload`.
    Always,
    /// Only when named by `--provision-with`.
    Never,
}

/// Something that is done in the new machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provisioner {
    /// For messages and `--provision-with`; `shell-1`, `file-2`, … where left out.
    pub name: String,
    /// When it runs.
    pub run: RunPolicy,
    /// What it does.
    #[serde(flatten)]
    pub kind: ProvisionerKind,
}

/// What a provisioner does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ProvisionerKind {
    /// Runs a script in the guest.
    Shell(ShellProvisioner),
    /// Copies a file or folder into the guest.
    File {
        /// Absolute path on the host.
        source: PathBuf,
        /// Path in the guest; relative ones start in the login user's home.
        destination: String,
    },
}

impl ProvisionerKind {
    /// As written in machine files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "shell",
            Self::File { .. } => "file",
        }
    }
}

/// Runs a script in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShellProvisioner {
    /// Where the script comes from.
    #[serde(flatten)]
    pub script: Script,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, in order.
    pub env: Vec<(String, String)>,
    /// Run as root.
    pub privileged: bool,
    /// Reboot the guest afterwards and wait for it.
    pub reboot: bool,
    /// Do not show what it prints.
    pub sensitive: bool,
}

/// Where a script comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Script {
    /// Its text.
    Inline(String),
    /// A file on the host, absolute.
    Path(PathBuf),
    /// Fetched by the host.
    Url(String),
}

/// How we log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SshSpec {
    /// Login name; the box's where left out (`vagrant`).
    pub username: Option<String>,
    /// Keys to try first instead of Vagrant's public one, absolute paths.
    pub private_key_path: Vec<PathBuf>,
    /// Replace the box's key with one of the machine's own.
    pub insert_key: bool,
    /// Port of the guest's sshd.
    pub guest_port: u16,
    /// Port on the host; chosen from `usable_port_range` where left out.
    pub port: Option<u16>,
    /// Pass the user's agent on.
    pub forward_agent: bool,
    /// Pass X11 on.
    pub forward_x11: bool,
    /// Send keep-alive messages.
    pub keep_alive: bool,
    /// Seconds to establish one connection. More than Vagrant's 15: an emulated guest on a busy host may take as long for one
    /// key exchange.
    pub connect_timeout: u64,
    /// More lines for the OpenSSH client (`-o`).
    pub extra_args: Vec<String>,
}

impl Default for SshSpec {
    fn default() -> Self {
        Self {
            username: None,
            private_key_path: Vec::new(),
            insert_key: true,
            guest_port: 22,
            port: None,
            forward_agent: false,
            forward_x11: false,
            keep_alive: true,
            connect_timeout: 60,
            extra_args: Vec::new(),
        }
    }
}

/// One as it is written most: without a list around it.
fn one_or_more<S: Serializer>(list: &[String], to: S) -> Result<S::Ok, S::Error> {
    match list {
        [] => to.serialize_none(),
        [one] => to.serialize_str(one),
        more => more.serialize(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_those_of_one_card() {
        for text in ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "525400ABCD01"] {
            assert_eq!(mac_address(text).as_deref(), Some("52:54:00:ab:cd:01"), "{text}");
        }
        for text in [
            "",
            "52:54:00:ab:cd",
            "53:54:00:ab:cd:01",
            "00:00:00:00:00:00",
            "52:54:00:ab:cd:0g",
            "5:254:00:ab:cd:01",
            "é2:54:00:ab:cd:1",
        ] {
            assert_eq!(mac_address(text), None, "{text}");
        }
    }
}
