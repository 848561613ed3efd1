//! `halt`, `suspend`, `destroy`.

use std::time::{Duration, Instant};

use super::link::{Links, same_folder};
use super::ops::cut_short;
use super::record::{Intent, MachineDir, MachineRecord};
use super::{Error, Fleet, Halted, Suspended, Target, describe};
use super::{access, library, package, trigger};
use crate::config::spec::{Action, ProviderKind};
use crate::error::Failure;
use crate::guest::Session;
use crate::network::Ports;
use crate::progress::Cx;
use crate::provider::{self, Vm, VmState};
use crate::store::{self, Lock, MachineId};

/// How long a guest may ignore its power button before it is asked from the inside.
const BUTTON_PATIENCE: Duration = Duration::from_secs(15);

/// How long a machine whose monitor is gone may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// Stops a machine. `force`: pull the plug.
pub fn halt(cx: &Cx, fleet: &Fleet, target: &Target, force: bool) -> Result<Halted, Failure> {
    let cx = &cx.for_machine(&target.name);
    trigger::around(cx, fleet, target, Action::Halt, || {
        let (_lock, dir, mut record) = fleet.locked(cx, target, "halt")?;
        halt_locked(cx, fleet, &dir, &mut record, force)
    })
}

/// `halt` for callers that hold the machine's lock.
pub(super) fn halt_locked(
    cx: &Cx,
    fleet: &Fleet,
    dir: &MachineDir,
    record: &mut MachineRecord,
    force: bool,
) -> Result<Halted, Failure> {
    let mut vm = fleet.vm(record)?;
    // Who pulls the plug does not wait for a hypervisor that hangs.
    let state = if force { vm.state()? } else { vm.awaited_state(cx)? };
    let halted = if state.has_process() {
        if !force {
            make_able_to_hear(vm.as_mut(), record, &state)?;
        }
        // Nothing that fails before this line may leave it: the next `up` ends a machine with this intent.
        record.intent = Some(Intent::Halt);
        // Told at the end, when the record of that is missing too.
        drop(written(dir, record)?);
        let halted = end(cx, fleet, vm.as_mut(), record, force).map_err(|e| {
            cut_short(e, || {
                format!(
                    "machine `{}` was asked to shut down and may still do so; `vbox-rs status` tells, `vbox-rs halt` \
                     goes on",
                    record.name
                )
            })
        })?;
        record.ready = false;
        halted
    } else {
        if state == VmState::Saved {
            cx.note("its saved memory is dropped, because `halt` means off");
            vm.discard_saved()?;
        }
        vm.disconnect(cx)?;
        Halted::WasOff
    };
    // A start that was cut short has nothing left to go on from; a creation has.
    if record.intent != Some(Intent::Create) {
        record.intent = None;
    }
    if let Some(error) = written(dir, record)? {
        cx.warn(format!(
            "it is off, but that could not be recorded: {}; no harm, the next command sees it",
            Failure::from(error).chain()
        ));
    }
    Ok(halted)
}

/// Writes the record; returns why it could not be written where the file system refuses. A machine whose disk is full
/// must be possible to stop, and that it is off is seen without its record.
fn written(dir: &MachineDir, record: &MachineRecord) -> Result<Option<store::Error>, store::Error> {
    match dir.write(record) {
        Err(error @ store::Error::Io { .. }) => Ok(Some(error)),
        other => other.map(|()| None),
    }
}

/// Refuses a guest that cannot be asked to shut down, and wakes one that stands still.
fn make_able_to_hear(vm: &mut dyn Vm, record: &MachineRecord, state: &VmState) -> Result<(), Failure> {
    if matches!(state, VmState::Unresponsive { .. }) {
        // What the guest has not written to its disks would be lost.
        let hint = format!("`vbox-rs halt --force {}` pulls the plug", record.name);
        return Err(Error::WrongState { name: record.name.clone(), state: describe(state), hint }.into());
    }
    if matches!(state, VmState::Paused { .. }) {
        vm.unpause()?;
    }
    Ok(())
}

/// Power button, then the guest's own `shutdown`, then the plug.
fn end(cx: &Cx, fleet: &Fleet, vm: &mut dyn Vm, record: &MachineRecord, force: bool) -> Result<Halted, Failure> {
    if force {
        cx.waiting("the plug to be pulled");
        vm.kill()?;
        return Ok(Halted::ByForce);
    }
    let patience = Duration::from_secs(record.graceful_halt_timeout);
    let began = Instant::now();
    let left = || patience.saturating_sub(began.elapsed());
    cx.waiting("the guest to shut down");
    if let Err(error) = vm.press_power_button() {
        // It may be ending already: somebody shut it down from the inside, or an earlier `halt` did.
        return if wait(cx, vm, ENDING)? { Ok(Halted::Gracefully) } else { Err(error.into()) };
    }
    if wait(cx, vm, BUTTON_PATIENCE.min(patience / 2))? {
        return Ok(Halted::Gracefully);
    }
    cx.waiting("the guest to shut down (asked over ssh)");
    if let Ok(mut session) = session(cx, fleet, record, left()) {
        // The connection often dies before the answer comes: what counts is whether the machine ends.
        drop(crate::guest::setup::shut_down(&mut session, cx));
    }
    cx.check()?;
    if wait(cx, vm, left())? {
        return Ok(Halted::Gracefully);
    }
    cx.warn(format!("did not shut down within {} s; stopped by force", record.graceful_halt_timeout));
    vm.kill()?;
    Ok(Halted::TimedOut)
}

fn wait(cx: &Cx, vm: &mut dyn Vm, time: Duration) -> Result<bool, Failure> {
    let ended = vm.wait_until_ended(cx, time)?;
    if !ended {
        cx.check()?;
    }
    Ok(ended)
}

fn session(cx: &Cx, fleet: &Fleet, record: &MachineRecord, time: Duration) -> Result<Session, Failure> {
    let mut login = access::login(fleet, record)?;
    login.timeout = login.timeout.min(time);
    Ok(Session::open(cx, &login)?)
}

/// Saves to disk (or only stops the processors, `pause`).
pub fn suspend(cx: &Cx, fleet: &Fleet, target: &Target, pause: bool) -> Result<Suspended, Failure> {
    let cx = &cx.for_machine(&target.name);
    trigger::around(cx, fleet, target, Action::Suspend, || suspend_one(cx, fleet, target, pause))
}

fn suspend_one(cx: &Cx, fleet: &Fleet, target: &Target, pause: bool) -> Result<Suspended, Failure> {
    let (_lock, dir, mut record) = fleet.locked(cx, target, "suspend")?;
    let mut vm = fleet.vm(&record)?;
    match vm.awaited_state(cx)? {
        VmState::Paused { .. } if pause => return Ok(Suspended::Already),
        VmState::Saved => {
            // A save that was cut off in its last step leaves a process behind; what counts is on disk.
            vm.kill()?;
            if record.intent == Some(Intent::Suspend) {
                record.intent = None;
                dir.write(&record)?;
            }
            return Ok(Suspended::Already);
        }
        VmState::Running | VmState::Paused { .. } => {}
        VmState::Off | VmState::Absent | VmState::Vanished { .. } => return Ok(Suspended::WasOff),
        state => {
            return Err(Error::WrongState {
                name: record.name,
                state: describe(&state),
                hint: "stop it with `vbox-rs halt --force`".into(),
            }
            .into());
        }
    }
    if pause {
        vm.pause()?;
        return Ok(Suspended::Paused);
    }
    record.intent = Some(Intent::Suspend);
    dir.write(&record)?;
    let saved = vm.save(cx);
    record.intent = None;
    dir.write(&record)?;
    saved.map_err(|e| cut_short(e.into(), || format!("machine `{}` was not saved and is as it was", record.name)))?;
    Ok(Suspended::Saved)
}

/// Removes a machine and all that belongs to it. `false`: there was none. `graceful`: let the guest shut down first.
pub fn destroy(cx: &Cx, fleet: &Fleet, target: &Target, graceful: bool) -> Result<bool, Failure> {
    let cx = &cx.for_machine(&target.name);
    trigger::around(cx, fleet, target, Action::Destroy, || destroy_one(cx, fleet, target, graceful))
}

fn destroy_one(cx: &Cx, fleet: &Fleet, target: &Target, graceful: bool) -> Result<bool, Failure> {
    let Some(id) = target.id else {
        // A `destroy` that was killed in its last two lines leaves a folder that nothing links to.
        sweep(fleet);
        return Ok(false);
    };
    let lock = fleet.lock(cx, id, &target.name, "destroy")?;
    let dir = MachineDir::new(fleet.dirs(), id);
    let Some(mut record) = dir.read()? else {
        // Nothing but the id, from an `up` or a `destroy` that was cut short; or a user moved a damaged record away.
        for kind in ProviderKind::ALL {
            if let Some(provider) = provider::provider(*kind) {
                provider.open(fleet.home(id)).destroy(cx)?;
            }
        }
        Ports(fleet.dirs()).sweep()?;
        Links::new(&target.root).remove(&target.name, id)?;
        dir.clear()?;
        dir.remove(lock)?;
        return Ok(false);
    };
    if graceful {
        halt_locked(cx, fleet, &dir, &mut record, false)?;
    }
    // A folder that was moved since has the link, and the record names the former place.
    if !same_folder(&target.root, &record.root) || target.name != record.name {
        Links::new(&target.root).remove(&target.name, id)?;
    }
    remove(cx, fleet, &dir, record, lock)?;
    Ok(true)
}

/// The order is such that a machine is in the index until nothing of it is left. Not interrupted: it takes moments, and
/// half of a machine is of no use.
pub(super) fn remove(
    cx: &Cx,
    fleet: &Fleet,
    dir: &MachineDir,
    mut record: MachineRecord,
    lock: Lock,
) -> Result<(), Failure> {
    let cx = &cx.uninterrupted();
    record.intent = Some(Intent::Destroy);
    match dir.write(&record) {
        // Destroying is what makes room, and the next `destroy` goes on from the old record as well.
        Err(error) if error.is_full() => {}
        written => written?,
    }
    cx.waiting("the machine to be removed");
    package::sweep(fleet, record.id)?;
    fleet.vm(&record)?.destroy(cx)?;
    // All that nobody holds, because a kill may have come before the record knew of a port.
    Ports(fleet.dirs()).sweep()?;
    if record.root.is_dir()
        && let Err(error) = Links::new(&record.root).remove(&record.name, record.id)
    {
        // A link to no machine does no harm, and the folder may lie on a read-only medium for ever.
        cx.warn(format!("the project still has the machine's id: {}", Failure::from(error).chain()));
    }
    dir.clear()?;
    dir.remove(lock)?;
    sweep(fleet);
    library::release(cx, fleet)
}

/// Removes folders of machines that hold nothing, or nothing but a lock that nobody has: what a kill in the last two
/// lines of `remove` leaves.
fn sweep(fleet: &Fleet) {
    let Ok(entries) = fleet.dirs().machines().read_dir() else { return };
    for id in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<MachineId>().ok()) {
        let dir = MachineDir::new(fleet.dirs(), id);
        let only_lock = dir.path().read_dir().is_ok_and(|mut all| all.all(|e| e.is_ok_and(|e| e.path() == dir.lock())));
        if only_lock && let Ok(Some(lock)) = Lock::try_exclusive(&dir.lock(), "destroy") {
            // An `up` may have written its record since we looked: `remove` then leaves the folder, and here we let go.
            if matches!(dir.read(), Ok(None)) {
                drop(dir.remove(lock));
            }
        }
    }
}
