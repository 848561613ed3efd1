//! `qemu.json`: what this provider must remember between commands.

use serde::{Deserialize, Serialize};

use super::accel::Engine;
use super::files::Files;
use super::saved::Way;
use crate::provider::VmPlan;
use crate::store::{self, Record};

/// Written before disks are made and before every start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QemuRecord {
    /// As of the last `create` or start.
    pub plan: VmPlan,
    /// Whether the disks were complete once: one that is missing since was lost, not never made.
    pub created: bool,
    /// The last start.
    pub start: Option<Start>,
    /// What is in the saved state, when that file exists.
    pub saved: Option<Saved>,
}

impl Record for QemuRecord {
    const FORMAT: u32 = 1;
}

/// A start, recorded as an intent before the process exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The host's boot in which it was.
    pub boot_id: String,
    /// Where in `qemu.log` its messages begin.
    pub log_from: u64,
    /// How instructions are run.
    pub engine: Engine,
}

/// What a saved state needs to be loaded again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The plan that the machine ran with.
    pub plan: VmPlan,
    /// The versioned machine type (`pc-q35-10.0`), so that a later QEMU builds the same machine.
    pub machine: String,
    /// QEMU's version.
    pub qemu: String,
    /// How instructions were run.
    pub engine: Engine,
    /// How the file was written.
    pub way: Way,
}

/// The record; `None` when the machine was never created.
pub fn read(files: &Files) -> Result<Option<QemuRecord>, store::Error> {
    store::read_record(&files.record())
}

/// Replaces the record.
pub fn write(files: &Files, record: &QemuRecord) -> Result<(), store::Error> {
    store::write_record(&files.record(), record)
}

/// The host's boot (`random(4)`): it changes with every boot of the host.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}
