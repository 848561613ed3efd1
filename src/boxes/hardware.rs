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
