//! Plain QEMU: one detached process per machine, no daemon, no root.
//!
//! How a process and a machine stay together: QEMU's process inherits a locked file (`qemu.lock`), so the lock is held
//! exactly as long as it lives, whatever happens to us; it carries the machine's id on its command line, so it is found
//! without a record; and it removes its pid file when it ends in order, so a death is told from an end.

mod accel;
mod argv;
mod disk;
mod files;
mod host;
mod launch;
mod process;
pub(super) mod qmp;
mod record;
mod saved;
mod socket;
mod state;
mod vm;

use super::{Boot, Error, Finding, HostReport, Level, Provider, Vm, VmHome, VmPlan};
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
        vm::engine(&spec.provider_options.qemu).map(drop)
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
    let firmware = ["-bios", "-pflash", "-drive", "-blockdev"];
    let has_firmware = firmware.iter().any(|option| argv::has(&plan.qemu.extra_args, option));
    if argv::Arch::host() == Some(argv::Arch::Aarch64) && plan.boot == Boot::Disk && !has_firmware {
        findings.push(bad((
            "this architecture has no built-in firmware, and the box brings no kernel of its own".into(),
            Some("pass UEFI firmware: extra_args = [\"-bios\", \"/path/to/QEMU_EFI.fd\"]".into()),
        )));
    }
    findings
}
