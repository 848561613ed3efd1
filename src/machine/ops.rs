//! Operations that are made of others.

use super::parallel::{self, Need, Room};
use super::settle;
use super::stop::halt_locked;
use super::up::up_one;
use super::{Error, Fleet, Target, UpOptions, UpReport, access, describe, plan};
use crate::error::Failure;
use crate::progress::Cx;
use crate::provider::VmState;
use crate::provision::{self, Wish};

/// How one of several machines fared.
pub type Fared<T> = (String, Result<T, Failure>);

/// Brings machines up, as parallel as dependencies, memory and cores allow (`parallel`), and says how each fared, in the
/// order of `targets`.
pub fn up(cx: &Cx, fleet: &Fleet, targets: &[Target], options: &UpOptions, parallel: bool) -> Vec<Fared<UpReport>> {
    let room = if parallel { Room::of_host() } else { Room::single() };
    // One that runs has its memory already.
    let need = |target: &Target| Need {
        memory: target.spec.as_ref().filter(|_| !has_process(fleet, target)).map_or(0, plan::memory),
    };
    parallel::run(cx, targets, room, &need, &|target| up_one(cx, fleet, target, options))
}

fn has_process(fleet: &Fleet, target: &Target) -> bool {
    let vm = fleet.existing(target).ok().and_then(|(_, record)| fleet.vm(&record).ok());
    vm.is_some_and(|mut vm| vm.state().is_ok_and(|state| state.has_process()))
}

/// `halt`, then `up` with the machine file as it is now.
pub fn reload(cx: &Cx, fleet: &Fleet, target: &Target, force: bool, options: &UpOptions) -> Result<UpReport, Failure> {
    {
        let cx = &cx.for_machine(&target.name);
        // What `up` would refuse must not leave the machine off.
        let spec = super::up::wanted(target)?;
        let (_lock, dir, mut record) = fleet.locked(cx, target, "reload")?;
        plan::refuse_missing(spec, &settle::chosen(spec, options, record.provisioned), true)?;
        cx.step("halt", || halt_locked(cx, fleet, &dir, &mut record, force)).1?;
    }
    up_one(cx, fleet, target, options)
}

/// Goes on after `suspend`.
pub fn resume(cx: &Cx, fleet: &Fleet, target: &Target, options: &UpOptions) -> Result<UpReport, Failure> {
    let (_, record) = fleet.existing(target)?;
    match fleet.vm(&record)?.state()? {
        VmState::Saved | VmState::Paused { .. } | VmState::Running => {}
        state => {
            return Err(Error::WrongState {
                state: describe(&state),
                hint: format!("only a suspended machine can be resumed; start it with `vbox-rs up {}`", record.name),
                name: record.name,
            }
            .into());
        }
    }
    let options = UpOptions { provision: options.provision.or(Some(false)), ..options.clone() };
    up_one(cx, fleet, target, &options)
}

/// Refuses names of `--provision-with` that no machine of `targets` has, before any of them is touched.
pub fn check_provisioners(targets: &[Target], names: &[String]) -> Result<(), Failure> {
    let all = targets.iter().flat_map(|target| &target.spec).flat_map(|spec| &spec.provisioners);
    Ok(provision::check_names(all, names)?)
}

/// Runs provisioners in a running machine: all that would run on a first `up`, or those that `with` names.
pub fn provision(cx: &Cx, fleet: &Fleet, target: &Target, with: &[String]) -> Result<(), Failure> {
    let cx = &cx.for_machine(&target.name);
    let (_lock, dir, mut record) = fleet.locked(cx, target, "provision")?;
    let spec = super::up::wanted(target)?;
    let asked = Wish { provision: Some(true), with: with.to_vec() };
    let chosen = provision::select(&spec.provisioners, &asked, record.provisioned);
    if chosen.is_empty() && !with.is_empty() {
        // Another of the machines has it.
        return Ok(());
    }
    plan::refuse_missing(spec, &chosen, false)?;
    let session = access::session(cx, fleet, &record)?;
    if chosen.is_empty() {
        cx.note("the machine file has no provisioners to run");
    }
    settle::provision_all(cx, fleet, &record, spec, session, &chosen)?;
    if with.is_empty() && !record.provisioned {
        record.provisioned = true;
        dir.write(&record)?;
    }
    Ok(())
}

/// Copies the synced folders (type rsync) again.
pub fn sync_folders(cx: &Cx, fleet: &Fleet, target: &Target) -> Result<(), Failure> {
    let cx = &cx.for_machine(&target.name);
    let (_lock, _, record) = fleet.locked(cx, target, "rsync")?;
    let spec = super::up::wanted(target)?;
    let mut session = access::session(cx, fleet, &record)?;
    settle::sync(cx, fleet, &record, &mut session, spec)
}
