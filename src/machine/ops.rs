//! Operations that are made of others.

use super::link::Links;
use super::parallel::{self, Course, Order, Room};
use super::record::{Intent, MachineDir};
use super::settle;
use super::stop::halt_locked;
use super::up::{go_on, require_start, up_one, wanted};
use super::{Error, Fleet, Target, UpOptions, UpReport, access, describe, plan, trigger};
use crate::config::spec::Action;
use crate::error::{Exit, Failure};
use crate::progress::Cx;
use crate::provider::VmState;
use crate::provision::{self, Wish};

/// How one of several machines fared.
pub type Fared<T> = (String, Result<T, Failure>);

/// Brings machines up, as parallel as dependencies, memory and cores allow (`parallel`), and says how each fared, in the
/// order of `targets`.
pub fn up(cx: &Cx, fleet: &Fleet, targets: &[Target], options: &UpOptions, parallel: bool) -> Vec<Fared<UpReport>> {
    each(cx, fleet, targets, Order::DependenciesFirst, parallel, |cx, target| {
        trigger::around(cx, fleet, target, Action::Up, || up_one(cx, fleet, target, options))
    })
}

/// Does the same to several machines, in `order`, several at once where `parallel`, and says how each fared, in the
/// order of `targets`. A failure stops those behind it, nobody else.
pub fn each<T: Send>(
    cx: &Cx,
    fleet: &Fleet,
    targets: &[Target],
    order: Order,
    parallel: bool,
    work: impl Fn(&Cx, &Target) -> Result<T, Failure> + Sync,
) -> Vec<Fared<T>> {
    let starts = order == Order::DependenciesFirst;
    let room = match (parallel, starts) {
        (false, _) => Room::single(),
        (true, true) => Room::of_host(),
        (true, false) => Room::for_waiting(),
    };
    // One that runs has its memory already.
    let need = |target: &Target| {
        let spec = target.spec.as_ref().filter(|_| starts && parallel);
        spec.map_or(0, |spec| if has_process(fleet, target) == Some(true) { 0 } else { plan::memory(spec) })
    };
    // What cannot be known may run.
    let keeps = |target: &Target| has_process(fleet, target) != Some(false);
    parallel::run(targets, &Course { order, room, need: &need, keeps: &keeps }, &|target| {
        let cx = cx.for_machine(&target.name);
        cx.check()?;
        work(&cx, target)
    })
}

/// Whether its hypervisor runs; `None` where that cannot be told.
fn has_process(fleet: &Fleet, target: &Target) -> Option<bool> {
    let Some(id) = Fleet::current_id(target) else { return Some(false) };
    let Some(record) = MachineDir::new(fleet.dirs(), id).read().ok()? else { return Some(false) };
    Some(fleet.vm(&record).ok()?.state().ok()?.has_process())
}

/// `halt`, then `up` with the machine file as it is now. The lock is held from end to end: nobody comes between.
pub fn reload(cx: &Cx, fleet: &Fleet, target: &Target, force: bool, options: &UpOptions) -> Result<UpReport, Failure> {
    trigger::around(cx, fleet, target, Action::Reload, || reload_one(cx, fleet, target, force, options))
}

/// A `reload` that found half of a machine, which `end_destroys` has ended: it makes the machine anew.
pub fn reload_anew(cx: &Cx, fleet: &Fleet, target: &Target, options: &UpOptions) -> Result<UpReport, Failure> {
    trigger::around(cx, fleet, target, Action::Reload, || up_one(cx, fleet, target, options))
}

fn reload_one(cx: &Cx, fleet: &Fleet, target: &Target, force: bool, options: &UpOptions) -> Result<UpReport, Failure> {
    let cx = &cx.for_machine(&target.name);
    let (lock, dir, mut record) = fleet.locked(cx, target, "reload")?;
    if record.intent == Some(Intent::Destroy) {
        // Half of a machine: `up` ends what `destroy` began, and makes a new one.
        drop(lock);
        return up_one(cx, fleet, target, options);
    }
    // What `up` would refuse must not leave the machine off.
    require_start(cx, fleet, target, options, &record)?;
    // A link that was deleted is there again after any `up`.
    Links::new(&target.root).claim(&target.name, record.id)?;
    cx.step("halt", || halt_locked(cx, fleet, &dir, &mut record, force)).1?;
    go_on(cx, fleet, target, options, lock, record)
}

/// Those of `targets` that a `resume` without names means: what is off is left alone, and told. An error where nothing
/// can go on.
pub fn resumable(cx: &Cx, fleet: &Fleet, targets: Vec<Target>) -> Result<Vec<Target>, Failure> {
    if targets.len() < 2 {
        return Ok(targets);
    }
    let (mut created, mut chosen, mut off) = (false, Vec::new(), Vec::new());
    let states: Vec<String> = fleet.reports(cx, &targets).into_iter().map(|status| status.state).collect();
    for (target, state) in targets.into_iter().zip(states) {
        created |= state != VmState::Absent.word();
        match state.as_str() {
            "off" | "not created" | "vanished" => off.push((target, state)),
            _ => chosen.push(target),
        }
    }
    if chosen.is_empty() {
        return Err(if created { Error::NoneSuspended } else { Error::NoneCreated }.into());
    }
    for (target, state) in off {
        cx.for_machine(&target.name).note(format!("left alone: it is {state}"));
    }
    Ok(chosen)
}

/// Goes on after `suspend`.
pub fn resume(cx: &Cx, fleet: &Fleet, target: &Target, options: &UpOptions) -> Result<UpReport, Failure> {
    let (_, record) = fleet.existing(target)?;
    match fleet.vm(&record)?.awaited_state(cx)? {
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
    trigger::around(cx, fleet, target, Action::Resume, || up_one(cx, fleet, target, &options))
}

/// Refuses names of `--provision-with` that no machine of `targets` has, before any of them is touched.
pub fn check_provisioners(targets: &[Target], names: &[String]) -> Result<(), Failure> {
    let all = targets.iter().flat_map(|target| &target.spec).flat_map(|spec| &spec.provisioners);
    Ok(provision::check_names(all, names)?)
}

/// Runs provisioners in a running machine: all that would run on a first `up`, or those that `with` names.
pub fn provision(cx: &Cx, fleet: &Fleet, target: &Target, with: &[String]) -> Result<(), Failure> {
    trigger::around(cx, fleet, target, Action::Provision, || provision_one(cx, fleet, target, with))
}

fn provision_one(cx: &Cx, fleet: &Fleet, target: &Target, with: &[String]) -> Result<(), Failure> {
    let cx = &cx.for_machine(&target.name);
    let spec = wanted(target)?;
    let (_lock, dir, mut record) = fleet.locked(cx, target, "provision")?;
    let spec = &plan::of_machine(spec, &record);
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
    settle::provision_all(cx, fleet, &record, spec, session, &chosen).map_err(|error| {
        cut_short(error, || {
            format!(
                "machine `{0}` runs; what its provisioners did until then stays, and `vbox-rs provision {0}` runs them again \
                 from the first",
                record.name
            )
        })
    })?;
    if with.is_empty() && !record.provisioned {
        record.provisioned = true;
        dir.write(&record)?;
    }
    Ok(())
}

/// Copies the synced folders (type rsync) again.
pub fn sync_folders(cx: &Cx, fleet: &Fleet, target: &Target) -> Result<(), Failure> {
    let cx = &cx.for_machine(&target.name);
    let spec = wanted(target)?;
    let (_lock, _, record) = fleet.locked(cx, target, "rsync")?;
    let spec = &plan::of_machine(spec, &record);
    let mut session = access::session(cx, fleet, &record)?;
    settle::sync(cx, fleet, &record, &mut session, spec).map_err(|error| {
        cut_short(error, || {
            format!(
                "machine `{0}` runs, and its folders may be copied in part; `vbox-rs rsync {0}` copies what is missing",
                record.name
            )
        })
    })
}

/// Says what is left when `error` is the user's wish to stop.
pub(super) fn cut_short(error: Failure, left: impl FnOnce() -> String) -> Failure {
    if error.exit() == Exit::Interrupted { Error::Interrupted { left: left() }.into() } else { error }
}
