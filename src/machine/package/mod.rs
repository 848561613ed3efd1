//! `package`: a machine becomes a box.
//!
//! The machine's own disks are only read. What must not be in a box is removed from a copy: overlays on those disks, which
//! are started once, in a folder of the machine's own that whoever takes the machine's lock next removes. So a `kill -9`
//! changes nothing, and the copy's hypervisor ends with us.

mod copy;

use std::path::PathBuf;

use serde::Serialize;

use super::ops::cut_short;
use super::record::{MachineDir, MachineRecord};
use super::status::backend;
use super::stop::halt_locked;
use super::up::wanted;
use super::{Error, Fleet, Halted, Target, describe, plan};
use crate::boxes::package::{self, Destination, Disk, Extras, Format, Wanted};
use crate::boxes::{Library, Version};
use crate::config::spec::MachineSpec;
use crate::error::Failure;
use crate::progress::Cx;
use crate::provider::{Image, VmState};

pub(super) use copy::sweep;

use copy::{Copy, starter};

/// What `package` is asked for.
#[derive(Clone, Debug, Default)]
pub struct PackageRequest {
    /// The file to write.
    pub output: PathBuf,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Which kind of box.
    pub format: Format,
    /// What the user adds.
    pub extras: Wanted,
    /// The disks as they are, with the machine's keys and ids.
    pub keep_identity: bool,
    /// The name that the box says of itself.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<Version>,
}

/// A box that was made of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packaged {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Whether the machine had to be shut down.
    pub halted: bool,
}

/// Writes a machine as a box. One that runs is shut down first, and stays off.
pub fn package(cx: &Cx, fleet: &Fleet, target: &Target, request: &PackageRequest) -> Result<Packaged, Failure> {
    let cx = &cx.for_machine(&target.name);
    // What the user named wrongly must not stop a machine first.
    let extras = Extras::read(&request.extras)?;
    fleet.existing(target)?;
    let spec = wanted(target)?;
    let (_lock, dir, mut record) = fleet.locked(cx, target, "package")?;
    let halted = shut_down(cx, fleet, &dir, &mut record)?;
    let work = Work { cx, fleet, record: &record, spec };
    let packed = work.run(request, extras).map_err(|error| {
        cut_short(error, || format!("no box was written, and machine `{}` is as it was, and off", record.name))
    })?;
    Ok(Packaged { path: request.output.clone(), size: packed.size, sha256: packed.sha256, halted })
}

/// Whether it ran and had to be stopped.
fn shut_down(cx: &Cx, fleet: &Fleet, dir: &MachineDir, record: &mut MachineRecord) -> Result<bool, Failure> {
    let state = fleet.vm(record)?.awaited_state(cx)?;
    let wrong = |state: &VmState, hint: String| {
        Error::WrongState { name: record.name.clone(), state: describe(state), hint }.into()
    };
    match state {
        VmState::Off | VmState::Vanished { .. } => Ok(false),
        VmState::Running | VmState::Paused { .. } => {
            cx.note("it runs; shutting it down, because its disks must stand still");
            let (_, halted) = cx.step("halt", || halt_locked(cx, fleet, dir, record, false));
            // Told by `halt` already, where it did not go down by itself.
            halted.map(|halted: Halted| halted != Halted::WasOff)
        }
        VmState::Saved => {
            let name = &record.name;
            let hint = format!(
                "`vbox-rs resume {name}` and then `vbox-rs package` again: its memory holds what is not on its disks"
            );
            Err(wrong(&state, hint))
        }
        VmState::Absent => Err(Error::NotCreated { name: record.name.clone() }.into()),
        _ => Err(wrong(&state, "`vbox-rs status` tells more".into())),
    }
}

/// One `package` under way, of a machine that is off.
struct Work<'a> {
    cx: &'a Cx,
    fleet: &'a Fleet,
    record: &'a MachineRecord,
    spec: &'a MachineSpec,
}

impl Work<'_> {
    fn run(&self, request: &PackageRequest, extras: Extras) -> Result<crate::boxes::pack::Packed, Failure> {
        let Self { cx, fleet, record, spec } = *self;
        let installed = Library::new(fleet.dirs()).resting_on(record.manifest.clone())?;
        let plan = plan::vm_plan(record, spec, &installed, None, backend(record.provider)?.disk_formats());
        let starter = if request.keep_identity { record.provider } else { starter(cx, fleet, record, spec)? };
        let mut copy = Copy::new(fleet, record, starter)?;
        let images = fleet.vm(record)?.images_in(cx, copy.dir())?;
        let images = if request.keep_identity { images } else { copy.cleaned(cx, fleet, record, spec, &plan, images)? };
        // Whoever starts the machine by its disk's own boot loader wants a box that does.
        let boot = installed.direct_boot().filter(|_| plan::direct_boot(record.provider, spec));
        let mut hardware = record.manifest.hardware.clone();
        hardware.firmware = plan.devices.firmware;
        hardware.disk_bus = spec.disk_bus.or(hardware.disk_bus);
        hardware.nic = spec.nic.or(hardware.nic);
        let machine = package::Machine {
            manifest: &record.manifest,
            boot,
            disks: images.into_iter().map(disk).collect(),
            user: &record.user,
            hardware,
            size: (plan.cpus, plan.memory),
            mac: plan::mac(record, spec),
        };
        let to = Destination {
            path: &request.output,
            replace: request.replace,
            format: request.format,
            name: request.name.as_deref(),
            version: request.version.as_ref(),
            scratch: copy.dir(),
        };
        let packed = cx.step("pack", || package::write(cx, &machine, extras, &to)).1?;
        copy.remove()?;
        Ok(packed)
    }
}

fn disk(image: Image) -> Disk {
    Disk { path: image.path, format: image.format, virtual_size: image.virtual_size }
}
