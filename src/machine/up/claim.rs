//! The id of a machine that is brought up, and its lock.

use crate::error::Failure;
use crate::machine::link::Links;
use crate::machine::record::{Intent, MachineDir, MachineRecord};
use crate::machine::{Error, Fleet, Target, stop};
use crate::progress::Cx;
use crate::store::{Lock, MachineId};

/// The machine's id, its lock, and its record. A `destroy` that was cut short is ended first: half of a machine's disks
/// and all of its history would make no machine.
pub(super) fn begin(
    cx: &Cx,
    fleet: &Fleet,
    target: &Target,
) -> Result<(MachineId, Lock, Option<MachineRecord>), Failure> {
    loop {
        let (id, lock) = claim(cx, fleet, target)?;
        let dir = MachineDir::new(fleet.dirs(), id);
        match dir.read()? {
            Some(record) if record.intent == Some(Intent::Destroy) => {
                end_destroy(cx, fleet, &dir, record, lock)?;
            }
            existed => return Ok((id, lock, existed)),
        }
    }
}

/// Ends a `destroy` that was cut short, for an `up` that comes to what it left.
pub(in crate::machine) fn end_destroy(
    cx: &Cx,
    fleet: &Fleet,
    dir: &MachineDir,
    record: MachineRecord,
    lock: Lock,
) -> Result<(), Failure> {
    cx.note("`vbox-rs destroy` was cut short; ending it, then making the machine anew");
    stop::remove(cx, fleet, dir, record, lock)
}

/// The machine's id, and its lock. While we wait for the lock the machine may be destroyed and lose its id: then it gets
/// a new one.
fn claim(cx: &Cx, fleet: &Fleet, target: &Target) -> Result<(MachineId, Lock), Failure> {
    let links = Links::new(&target.root);
    loop {
        let id = match target.id {
            Some(id) if MachineDir::new(fleet.dirs(), id).read()?.is_some() => id,
            _ => MachineId::random().map_err(Error::Random)?,
        };
        let id = links.claim(&target.name, id)?;
        let lock = fleet.lock(cx, id, &target.name, "up").inspect_err(|_| {
            // A home that cannot be written: the id names nothing, and nobody else can have its lock.
            if !fleet.dirs().machine(id).exists() {
                drop(links.remove(&target.name, id));
            }
        })?;
        if links.get(&target.name)? == Some(id) {
            return Ok((id, lock));
        }
        MachineDir::new(fleet.dirs(), id).remove(lock)?;
    }
}
