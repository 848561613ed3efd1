//! A provider as the suite meets it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use vbox_rs::config::spec::{Accel, ProviderKind};
use vbox_rs::provider::{Image, PlannedDisk, Vm, VmPlan};
use vbox_rs::store::MachineId;

use crate::again;

/// What a provider needs around it for one test (a daemon of its own, a home of its tool), which ends with the value, and
/// what only it can tell.
pub trait Host {
    /// `Err` says why there is none on this computer.
    fn ready() -> Result<Self, String>
    where
        Self: Sized;

    fn kind(&self) -> ProviderKind;

    /// Lets `plan` work wherever tests run.
    fn adjust(&self, plan: &mut VmPlan);

    /// What a machine's disk rests on: this raw image, or a file made of it in a format that the provider takes.
    fn backing(&self, raw: PathBuf) -> PlannedDisk {
        PlannedDisk::overlay(raw, "raw")
    }

    /// What starts this program in what `ready` made, where that takes a process of its own: one with threads cannot change
    /// its variables or its user.
    fn inside(&self) -> Option<Command> {
        None
    }

    /// The files of a machine's disks, and what its guest sees of each.
    fn disks(&self, vm: &dyn Vm) -> Vec<Image> {
        vm.images().unwrap()
    }

    /// The processes of a machine's hypervisor: those that carry its id, zombies not counted.
    fn processes(&self, id: MachineId) -> Vec<u32> {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let arguments = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pids.filter(|pid| arguments(pid).contains(&id.uuid())).collect()
    }

    /// Whether what a command asked for may be done after that command was killed: by a daemon.
    fn acts_later(&self) -> bool {
        false
    }

    /// At how many instants `vbox-rs` is killed.
    fn kills(&self) -> u32 {
        20
    }

    /// What a daemon or a tool still knows of a machine that is destroyed.
    fn remembered(&self, _id: MachineId) -> Vec<String> {
        Vec::new()
    }
}

/// Set for a test that was started again in the surroundings that its provider needs.
pub const INSIDE: &str = "VBOX_RS_TEST_INSIDE";

/// Runs the test of this name, or prints why it is skipped.
pub fn with<H: Host>(name: &str, test: fn(&dyn Host)) {
    let host = match H::ready() {
        Ok(host) => host,
        Err(why) => return println!("skipped: {why}"),
    };
    let Some(mut program) = host.inside() else { return test(&host) };
    program.env(INSIDE, "1");
    again::run(program, name.split_once("::").unwrap().1);
}

/// Needs nothing around it. Without QEMU its tests fail.
pub struct Qemu;

impl Host for Qemu {
    fn ready() -> Result<Self, String> {
        Ok(Self)
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Qemu
    }

    fn adjust(&self, plan: &mut VmPlan) {
        plan.qemu.accel = Accel::Tcg;
    }
}
