//! What stands before and after a start: objections to the plan, missing files, calls that the machine file asks for.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use super::super::{Error, Finding, Forward, Level, VmPlan};
use super::argv::{self, Args};
use super::card;
use super::files::{self, Files, Vdi};
use super::machine::Machine;
use super::network;
use super::parse::{self, Info, Rule};
use super::slot::Slots;
use crate::config::spec::{CustomizeEvent, DiskBus, Firmware, Nic, mac_address};
use crate::progress::Cx;

/// The two moments of a start that a machine file can ask for.
pub const BEFORE: CustomizeEvent = CustomizeEvent::PreBoot;
pub const AFTER: CustomizeEvent = CustomizeEvent::PostBoot;

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
        DiskBus::Virtio | DiskBus::Nvme => 255,
    };
    if media > most {
        object(
            Level::Bad,
            format!("{media} disks, the seed counted, are too many for this bus"),
            "set `disk_bus = \"sata\"`",
        );
    }
    forward_objections(&plan.forwards, &mut object);
    found.extend(card::check(plan));
    found.extend(network::check(&devices.networks));
    found
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
        if files::vdi(&files.disk(index))?.is_some_and(|disk| disk.overlay) {
            require("the box's image", &disk.backing)?;
        }
    }
    Ok(())
}

/// Makes the calls of one moment.
pub fn customize(
    cx: &Cx,
    machine: &Machine<'_>,
    plan: &VmPlan,
    info: &Info,
    event: CustomizeEvent,
) -> Result<(), Error> {
    let all = &plan.virtualbox.customize;
    let controllers = argv::controllers(info, all.iter().map(|one| one.command.as_slice()));
    let ports = Slots::of(info).ports();
    for one in all.iter().filter(|one| one.event == event) {
        match argv::customization(machine.id, &one.command, &controllers, ports) {
            Some(args) => drop(machine.manage.call(cx, &args)?),
            None => cx.note(format!("not done, because it has no such controller: {}", one.command.join(" "))),
        }
    }
    Ok(())
}

/// Whether calls before the start may have hung media on slots that the seed may take, or has.
pub fn hangs_media(plan: &VmPlan) -> bool {
    let before = plan.virtualbox.customize.iter().filter(|one| one.event == BEFORE);
    plan.seed.is_some() && before.filter_map(|one| one.command.first()).any(|verb| verb.starts_with("storage"))
}

/// Changes a machine by what `call` makes of the rules for forwards that it has. VirtualBox 7.0.0 shows none where there are
/// several: they are the ones of the last start, `had`.
pub fn set(
    cx: &Cx,
    machine: &Machine<'_>,
    info: &Info,
    had: &[Forward],
    call: impl Fn(&[Rule]) -> Args,
) -> Result<(), Error> {
    let shown = info.rules();
    if shown.is_empty() && !had.is_empty() {
        let hidden: Vec<_> = had.iter().filter_map(|forward| parse::rule(1, &argv::rule(forward))).collect();
        match machine.manage.call(cx, &call(&hidden)) {
            // It has none: that start came to nothing.
            Err(Error::Virtualbox(_)) => {}
            answer => return answer.map(drop),
        }
    }
    machine.manage.call(cx, &call(&shown)).map(drop)
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
