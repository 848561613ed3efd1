//! Triggers around commands: what the machine file wants done before one begins, and after it went well.
//!
//! No lock is held meanwhile: a trigger may well call this program.

use std::io;

use super::error::Wrapped;
use super::{Fleet, Target, access, host_command, settle};
use crate::config::spec::{
    Action, HostCommand, MachineSpec, Moment, OnError, Provisioner, ProvisionerKind, RunPolicy, ShellProvisioner,
    Trigger,
};
use crate::error::{Exit, Explain, Failure};
use crate::progress::Cx;

/// Why a trigger ended a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was run, and failed.
    #[error("the trigger {trigger} ({place}) failed")]
    Failed {
        /// Its name, or when it runs.
        trigger: String,
        /// File and line.
        place: String,
        /// Why.
        #[source]
        cause: Wrapped,
    },
    /// Its command on this computer ended with another exit code than it should.
    #[error("`{command}` ended with exit code {status}")]
    Status {
        /// The command.
        command: String,
        /// Its exit code.
        status: i32,
    },
    /// Its command could not be started.
    #[error("cannot run `{command}` on this computer")]
    NotRun {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its `abort`.
    #[error("the trigger {trigger} ({place}) ends the command here")]
    Aborted {
        /// Its name, or when it runs.
        trigger: String,
        /// File and line.
        place: String,
        /// What the program ends with.
        code: u8,
    },
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Failed { cause, .. } => cause.exit(),
            Self::Status { .. } | Self::NotRun { .. } => Exit::Provision,
            Self::Aborted { .. } => Exit::Failure,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { cause, .. } => {
                let go_on = "`on_error = \"continue\"` of the trigger lets the command go on all the same";
                // A provisioner's hint is about provisioners.
                let own = cause.hint().filter(|_| cause.exit() != Exit::Provision);
                Some(own.map_or_else(|| go_on.into(), |hint| format!("{hint}\n{go_on}")))
            }
            _ => None,
        }
    }
}

/// Does `work` between the triggers of `action`. A machine that does not exist yet, or no more, has those of `up` only.
pub(super) fn around<T>(
    cx: &Cx,
    fleet: &Fleet,
    target: &Target,
    action: Action,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let cx = &cx.for_machine(&target.name);
    let spec = target.spec.as_ref().filter(|spec| !spec.triggers.is_empty());
    let Some(spec) = spec.filter(|_| action == Action::Up || fleet.existing(target).is_ok()) else { return work() };
    let fire = |moment| {
        let due = spec.triggers.iter().filter(|trigger| trigger.fires(moment, action));
        due.into_iter().try_for_each(|trigger| fire(cx, fleet, target, spec, trigger))
    };
    fire(Moment::Before)?;
    let result = work()?;
    fire(Moment::After)?;
    Ok(result)
}

fn fire(cx: &Cx, fleet: &Fleet, target: &Target, spec: &MachineSpec, trigger: &Trigger) -> Result<(), Failure> {
    cx.check()?;
    trigger.info.iter().flat_map(|text| text.lines()).for_each(|line| cx.note(line));
    trigger.warn.iter().flat_map(|text| text.lines()).for_each(|line| cx.warn(line));
    let title = trigger.title();
    if let Some(code) = trigger.abort {
        return Err(Error::Aborted { trigger: title, place: trigger.place.clone(), code }.into());
    }
    if let Some(command) = &trigger.run {
        if trigger.trusted {
            let done = cx.step(&format!("trigger {title}"), || here(cx, trigger, command, target)).1;
            judged(cx, trigger, done)?;
        } else {
            cx.warn(format!(
                "the trigger {title} ({}) wants to run a command on this computer, and is left out: `{}`; `--trust` lets it",
                trigger.place,
                command.line()
            ));
        }
    }
    if let Some(script) = &trigger.run_remote {
        let done = cx.step(&format!("trigger {title}"), || in_guest(cx, fleet, target, spec, script)).1;
        judged(cx, trigger, done)?;
    }
    Ok(())
}

/// What a failure means for the command.
fn judged(cx: &Cx, trigger: &Trigger, done: Result<(), Failure>) -> Result<(), Failure> {
    let Err(failure) = done else { return Ok(()) };
    if failure.exit() == Exit::Interrupted {
        return Err(failure);
    }
    let failed =
        Error::Failed { trigger: trigger.title(), place: trigger.place.clone(), cause: Wrapped(failure) }.into();
    match trigger.on_error {
        OnError::Halt => Err(failed),
        OnError::Continue => {
            cx.warn(format!("{}; going on, as its `on_error` says", failed.chain()));
            Ok(())
        }
    }
}

/// Runs its command on this computer.
fn here(cx: &Cx, trigger: &Trigger, command: &HostCommand, target: &Target) -> Result<(), Failure> {
    match host_command::run(cx, command, &target.root) {
        Ok(status) if trigger.exit_codes.contains(&status) => Ok(()),
        Ok(status) => Err(Error::Status { command: command.line(), status }.into()),
        Err(host_command::Error::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(host_command::Error::Io(source)) => Err(Error::NotRun { command: command.line(), source }.into()),
    }
}

/// Runs its script in the guest, as a provisioner.
fn in_guest(
    cx: &Cx,
    fleet: &Fleet,
    target: &Target,
    spec: &MachineSpec,
    script: &ShellProvisioner,
) -> Result<(), Failure> {
    // An `up` may have made it since.
    let target = Target { id: Fleet::current_id(target), ..target.clone() };
    let (_, record) = fleet.existing(&target)?;
    let session = access::session(cx, fleet, &record)?;
    let kind = ProvisionerKind::Shell(script.clone());
    let provisioner = Provisioner { name: "run_remote".into(), run: RunPolicy::Always, kind };
    settle::provision_all(cx, fleet, &record, spec, session, &[&provisioner])
}
