//! What a box says about the machine that it was made in.

use serde::{Deserialize, Serialize};

use crate::config::BoxSettings;
use crate::config::spec::mac_address;
pub use crate::config::spec::{DiskBus, Firmware, Nic};

/// Defaults that a box brings (its OVF, VMX, Vagrantfile or the catalogue); the machine file overrides each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// Virtual processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Hardware address of its first network card, `52:54:00:…`: old images tie their network to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What it starts by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// What its disk hangs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bus: Option<DiskBus>,
    /// Its network card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nic: Option<Nic>,
    /// The guest's operating system, in VirtualBox's words (`Ubuntu_64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_os: Option<String>,
    /// What its own Vagrantfile says besides.
    #[serde(skip_serializing_if = "is_silent")]
    pub settings: Box<BoxSettings>,
}

fn is_silent(settings: &BoxSettings) -> bool {
    *settings == BoxSettings::default()
}

/// More processors or memory (MiB) than a box can mean.
pub(super) const CPUS_LIMIT: u32 = 256;
pub(super) const MEMORY_LIMIT: u64 = 4 << 20;

impl Hardware {
    /// These settings, and `others` where they say nothing.
    #[must_use]
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            cpus: self.cpus.or(others.cpus),
            memory: self.memory.or(others.memory),
            mac: self.mac.or(others.mac),
            firmware: self.firmware.or(others.firmware),
            disk_bus: self.disk_bus.or(others.disk_bus),
            nic: self.nic.or(others.nic),
            guest_os: self.guest_os.or(others.guest_os),
            settings: if is_silent(&self.settings) { others.settings } else { self.settings },
        }
    }

    /// What of these settings a machine can have, for those that somebody else wrote.
    #[must_use]
    pub(super) fn checked(self) -> Self {
        Self {
            cpus: self.cpus.filter(|cpus| (1..=CPUS_LIMIT).contains(cpus)),
            memory: self.memory.filter(|memory| (1..=MEMORY_LIMIT).contains(memory)),
            mac: self.mac.as_deref().and_then(mac_address),
            guest_os: self.guest_os.as_deref().and_then(guest_os),
            settings: Box::new(self.settings.checked()),
            ..self
        }
    }
}

/// A network card in the words of OVF, VirtualBox, VMware or libvirt.
pub(super) fn nic(name: &str) -> Option<Nic> {
    match name.to_ascii_lowercase().as_str() {
        "virtio" | "virtio-net" => Some(Nic::Virtio),
        "e1000" | "e1000e" | "82540em" | "82543gc" | "82545em" => Some(Nic::E1000),
        "pcnet" | "pcnet32" | "vlance" | "am79c970a" | "am79c973" => Some(Nic::Pcnet),
        "vmxnet3" => Some(Nic::Vmxnet3),
        _ => None,
    }
}

/// What a disk hangs on, in the words of libvirt's plugin.
pub(super) fn disk_bus(name: &str) -> Option<DiskBus> {
    match name.to_ascii_lowercase().as_str() {
        "virtio" => Some(DiskBus::Virtio),
        "scsi" => Some(DiskBus::Scsi),
        "sata" => Some(DiskBus::Sata),
        "ide" => Some(DiskBus::Ide),
        "nvme" => Some(DiskBus::Nvme),
        _ => None,
    }
}

/// A name such as VirtualBox uses for guests.
pub(super) fn guest_os(name: &str) -> Option<String> {
    let fits = (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    fits.then(|| name.to_owned())
}
