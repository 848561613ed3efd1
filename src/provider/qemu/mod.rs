//! Plain QEMU: one detached process per machine, no daemon, no root.
//!
//! How a process and a machine stay together: QEMU's process inherits a locked file (`qemu.lock`), so the lock is held
//! exactly as long as it lives, whatever happens to us; it carries the machine's id on its command line, so it is found
//! without a record; and it removes its pid file when it ends in order, so a death is told from an end.

// What provider `libvirt` has in common with this one is made by the same code.
pub(super) mod accel;
pub(super) mod argv;
pub(super) mod disk;
pub(super) mod files;
pub(super) mod firmware;
pub(super) mod host;
pub(super) mod launch;
pub(super) mod qmp;
mod record;
mod saved;
pub(super) mod socket;
pub(super) mod state;
mod vm;

use super::{Error, Finding, HostReport, Level, Provider, Vm, VmHome, VmPlan};
use crate::config::spec::{MachineSpec, ProviderKind};

/// The provider.
#[derive(Debug)]
pub struct Qemu;

impl Provider for Qemu {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Qemu
    }

    fn probe(&self) -> HostReport {
        host::probe()
    }

    fn require(&self, spec: &MachineSpec) -> Result<(), Error> {
        host::qemu()?;
        host::find(host::QEMU_IMG).ok_or_else(|| host::missing(host::QEMU_IMG))?;
        accel::engine(spec.provider_options.qemu.accel).map(drop)
    }

    fn disk_formats(&self) -> &'static [&'static str] {
        &["qcow2", "raw"]
    }

    fn check(&self, plan: &VmPlan) -> Vec<Finding> {
        check(plan)
    }

    fn open(&self, home: VmHome) -> Box<dyn Vm> {
        Box::new(vm::QemuVm::new(home))
    }
}

/// What of a plan cannot be done.
fn check(plan: &VmPlan) -> Vec<Finding> {
    let bad = |(text, fix)| Finding { level: Level::Bad, text, fix };
    let mut findings: Vec<_> = launch::objections(plan).into_iter().map(bad).collect();
    findings.extend(firmware::objection(plan));
    findings
}
