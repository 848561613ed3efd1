//! What a box says about the machine that it was made in.

use serde::{Deserialize, Serialize};

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
        }
    }
}

/// `080027A1B2C3`, `08:00:27:a1:b2:c3` or with dashes, as we write it; `None` for what no single card can have.
pub(super) fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let fits = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = fits.then(|| digits.to_ascii_lowercase())?;
    let is_multicast = u8::from_str_radix(&digits[..2], 16).is_ok_and(|byte| byte & 1 == 1);
    if is_multicast || digits.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let pairs: Vec<_> = (0..12).step_by(2).map(|at| &digits[at..at + 2]).collect();
    Some(pairs.join(":"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_written_in_one_way() {
        for (text, expected) in [
            ("080027A1B2C3", Some("08:00:27:a1:b2:c3")),
            ("52-54-00-00-00-01", Some("52:54:00:00:00:01")),
            ("000000000000", None),
            ("ff:ff:ff:ff:ff:ff", None),
            ("0800", None),
            ("08002ü7A1B2C", None),
        ] {
            assert_eq!(mac(text).as_deref(), expected, "{text}");
        }
    }
}
