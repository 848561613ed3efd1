//! What stands before a start: objections to the plan, missing files, rules for forwards.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use super::super::{Error, Finding, Forward, Level, PlannedDisk, VmPlan};
use super::argv;
use super::card;
use super::files::{self, Files, Vdi};
use super::network;
use super::parse::Info;
use crate::config::spec::{DiskBus, Firmware, Nic, mac_address};

/// As much of a log as a start writes, several times over.
const HEAD: u64 = 4 << 20;

/// The beginning of the log of a machine that was started just now.
pub fn head(path: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What of a plan cannot be done.
pub fn check(plan: &VmPlan) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut object = |level, text: String, fix: &str| {
        found.push(Finding { level, text, fix: (!fix.is_empty()).then(|| fix.to_owned()) });
    };
    if plan.name.is_empty() || plan.name.chars().any(char::is_control) {
        object(Level::Bad, "the machine's name is empty or has control characters".into(), "");
    }
    if !(1..=64).contains(&plan.cpus) {
        object(Level::Bad, format!("VirtualBox has no machine with {} processors", plan.cpus), "set `cpus` to 1 to 64");
    }
    if plan.memory < 4 || plan.memory > 16 << 20 {
        object(Level::Bad, format!("{} MiB of memory are not possible", plan.memory), "set `memory` to what it needs");
    }
    let devices = &plan.devices;
    if devices.nic == Nic::Vmxnet3 {
        object(Level::Bad, "VirtualBox has no vmxnet3 card".into(), "set `nic = \"e1000\"` or `nic = \"virtio\"`");
    }
    if devices.mac.as_deref().is_some_and(|mac| mac_address(mac).as_deref() != Some(mac)) {
        object(
            Level::Bad,
            "the network card's hardware address is none".into(),
            "set `mac` to one like 08:00:27:12:34:56",
        );
    }
    if devices.disk_bus == DiskBus::Nvme && devices.firmware != Some(Firmware::Uefi) {
        let text = "VirtualBox's BIOS starts from no NVMe disk".to_owned();
        object(Level::Bad, text, "set `firmware = \"uefi\"`, or `disk_bus = \"sata\"`");
    }
    let media = plan.disks.len() + usize::from(plan.seed.is_some());
    let most = match devices.disk_bus {
        DiskBus::Ide => 4,
        DiskBus::Scsi => 15,
        DiskBus::Sata => 30,
        DiskBus::Virtio | DiskBus::Nvme => argv::PORTS,
    };
    if media > most {
        object(
            Level::Bad,
            format!("{media} disks, the seed counted, are too many for this bus"),
            "set `disk_bus = \"sata\"`",
        );
    }
    slot_objections(plan, &mut object);
    forward_objections(&plan.forwards, &mut object);
    found.extend(card::check(plan));
    found.extend(network::check(&devices.networks));
    found
}

/// A medium that `customize` hangs where an extra disk is would take its place, and nobody would be told.
fn slot_objections(plan: &VmPlan, object: &mut impl FnMut(Level, String, &str)) {
    let commands = plan.virtualbox.customize.iter().map(|one| one.command.as_slice());
    let none = Info::default();
    let others = argv::controllers(&none, commands.clone());
    for slot in commands.filter_map(|command| argv::hangs_on(command, &others)) {
        let is_there = |(index, _): &(usize, &PlannedDisk)| argv::slot(plan.devices.disk_bus, *index) == slot;
        let disk = plan.disks.iter().enumerate().find(is_there).and_then(|(_, disk)| disk.name.as_deref());
        if let Some(name) = disk {
            let text = format!("`customize` hangs a medium on port {}, where extra_disk `{name}` is", slot.0);
            object(Level::Bad, text, "use a later port there");
        }
    }
}

fn forward_objections(forwards: &[Forward], object: &mut impl FnMut(Level, String, &str)) {
    for (index, forward) in forwards.iter().enumerate() {
        if let IpAddr::V6(ip) = forward.host_ip {
            let text = format!("VirtualBox's NAT forwards no ports of IPv6 addresses ({ip})");
            object(Level::Bad, text, "set `host_ip` to an IPv4 address");
        }
        if forward.host == 0 || forward.guest == 0 {
            object(Level::Bad, "port 0 cannot be forwarded".into(), "use a port from 1 to 65535");
        }
        // VirtualBox's rules are named by protocol and port here, and two addresses for one port are one too many.
        let same = |other: &Forward| (other.protocol, other.host) == (forward.protocol, forward.host);
        if forwards[..index].iter().any(same) {
            let text = format!("port {}/{} is forwarded twice", forward.host, forward.protocol);
            object(Level::Bad, text, "use another `host` port");
        }
    }
}

/// What a start needs and VirtualBox would complain of in words of its own.
pub fn require_files(files: &Files, plan: &VmPlan) -> Result<(), Error> {
    require_disks(files, plan)?;
    plan.seed.as_deref().map_or(Ok(()), |seed| require("the seed", seed))
}

fn require(what: &'static str, path: &Path) -> Result<(), Error> {
    if path.exists() { Ok(()) } else { Err(Error::FileMissing { what, path: path.into() }) }
}

/// Refuses to shrink a disk that is there.
pub fn refuse_shrink(files: &Files, plan: &VmPlan) -> Result<(), Error> {
    for (index, planned) in plan.disks.iter().enumerate() {
        let path = files.disk(index);
        match (planned.size, files::vdi(&path)?) {
            (Some(to), Some(Vdi { size: from, .. })) if to < from => return Err(Error::Shrink { path, from, to }),
            _ => {}
        }
    }
    Ok(())
}

/// The disks of a plan, and the images that they rest on.
pub fn require_disks(files: &Files, plan: &VmPlan) -> Result<(), Error> {
    for (index, disk) in plan.disks.iter().enumerate() {
        require("the disk", &files.disk(index))?;
        let is_overlay = files::vdi(&files.disk(index))?.is_some_and(|disk| disk.overlay);
        if let Some(backing) = disk.backing.as_ref().filter(|_| is_overlay) {
            require("the box's image", &backing.path)?;
        }
    }
    Ok(())
}

/// The machine is gone from VirtualBox.
pub fn unregistered() -> Error {
    let hint = "somebody removed it in VirtualBox: `vbox-rs destroy`, then `vbox-rs up` makes it anew";
    Error::State { action: "start", state: "not known to VirtualBox", hint }
}

/// VirtualBox cannot use it.
pub fn broken() -> Error {
    let hint = "`VBoxManage list vms --long` may say why; `vbox-rs destroy` removes it";
    Error::State { action: "start", state: "not accessible to VirtualBox", hint }
}
