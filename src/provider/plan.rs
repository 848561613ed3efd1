//! What a provider is told about a machine.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::spec::{
    DiskBus, Firmware, LibvirtOptions, Nic, PrivateNetwork, Protocol, PublicNetwork, QemuOptions, VirtualboxOptions,
};

/// What a provider is told about a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmPlan {
    /// For process lists: `project/machine`.
    pub name: String,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u64,
    /// Its disks, in the order of attachment; the first is the system's. Those with a backing file, the box's, come first.
    pub disks: Vec<PlannedDisk>,
    /// How it boots.
    pub boot: Boot,
    /// What it is made of beside its disks.
    #[serde(default)]
    pub devices: Devices,
    /// A FAT image that the guest reads on its first boot.
    pub seed: Option<PathBuf>,
    /// Whether the guest wants to write to it: FreeBSD mounts no FAT that it cannot write.
    #[serde(default)]
    pub seed_writable: bool,
    /// Whether it ends when the thread that starts it does, however that one ends: for work that nobody takes up again.
    #[serde(default)]
    pub tethered: bool,
    /// Host ports.
    pub forwards: Vec<Forward>,
    /// What only QEMU knows.
    pub qemu: QemuOptions,
    /// What only libvirt knows.
    #[serde(default)]
    pub libvirt: LibvirtOptions,
    /// What only VirtualBox knows.
    #[serde(default)]
    pub virtualbox: VirtualboxOptions,
}

impl VmPlan {
    /// How many of its disks are the box's.
    pub fn box_disks(&self) -> usize {
        self.disks.iter().take_while(|disk| disk.backing.is_some()).count()
    }

    /// The place of a disk on its bus: the seed's is the one after the box's disks, so that a disk more moves nothing.
    pub fn place(&self, index: usize) -> usize {
        index + usize::from(self.seed.is_some() && index >= self.box_disks())
    }
}

/// A disk: an overlay on a box's image, or an empty one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedDisk {
    /// What it rests on; empty at first where `None`.
    #[serde(flatten)]
    pub backing: Option<Backing>,
    /// Virtual size in bytes; the backing file's own where `None`.
    pub size: Option<u64>,
    /// Its name in the machine file, where it has one.
    #[serde(default)]
    pub name: Option<String>,
}

/// The image in the library that a disk rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backing {
    /// Its file.
    #[serde(rename = "backing")]
    pub path: PathBuf,
    /// Its format, as `qemu-img` calls it.
    #[serde(rename = "backing_format")]
    pub format: String,
    /// SHA-256 of the file, where it is known.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// Characters of the longest serial number that guests are told of a disk of any kind (virtio specification 1.2, 5.2.6:
/// 20 bytes; ATA: 20 characters).
const SERIAL: usize = 20;

impl PlannedDisk {
    /// An overlay on the image at `path`, of its size.
    pub fn overlay(path: PathBuf, format: impl Into<String>) -> Self {
        let backing = Backing { path, format: format.into(), sha256: None };
        Self { backing: Some(backing), size: None, name: None }
    }

    /// An empty disk of `size` bytes.
    pub fn empty(name: &str, size: u64) -> Self {
        Self { backing: None, size: Some(size), name: Some(name.into()) }
    }

    /// The serial number by which the guest finds it.
    pub fn serial(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| name.len() <= SERIAL)
    }
}

/// Hardware that images depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Devices {
    /// What starts the boot loader; what the architecture usually has where `None`.
    pub firmware: Option<Firmware>,
    /// What disks and seed hang on.
    pub disk_bus: DiskBus,
    /// The network card.
    pub nic: Nic,
    /// Its hardware address, in lower case with colons; [`own_mac`](super::own_mac) where `None`.
    pub mac: Option<String>,
    /// A card each after the first, with the address [`further_mac`](super::further_mac) where it names none; only for a provider that has
    /// private networks.
    pub networks: Vec<PrivateNetwork>,
    /// A card each after those, with the address [`public_mac`](super::public_mac) where it names none; only for a provider that has public
    /// networks.
    pub publics: Vec<PublicNetwork>,
}

/// How a machine boots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Boot {
    /// Through firmware and boot loader.
    Disk,
    /// The hypervisor loads the kernel.
    Kernel {
        /// Kernel image.
        kernel: PathBuf,
        /// Initial RAM disk.
        initrd: Option<PathBuf>,
        /// Kernel command line.
        cmdline: String,
    },
}

/// A port of the host that leads into the guest. The host's side is reserved by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Transport.
    pub protocol: Protocol,
    /// Address on the host.
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}
