//! What is left of an `up` that failed.

use super::Up;
use crate::error::{Exit, Failure};
use crate::machine::link::Links;
use crate::machine::record::{MachineRecord, Timings, now};
use crate::machine::{Error, describe, stop};
use crate::provider::VmState;
use crate::store::Lock;

impl Up<'_> {
    /// What is left after a failure, and `--destroy-on-error`.
    pub(super) fn failed(&self, error: Failure, was_new: bool, lock: Lock) -> Failure {
        if !self.steps.is_empty() {
            // The failure matters more than its times.
            drop(self.dir.write_timings(&Timings { at: now(), steps: self.steps.clone() }));
        }
        let record = self.dir.read().ok().flatten();
        if let (true, true, Some(record)) = (was_new, self.options.destroy_on_error, record.clone()) {
            self.cx.note("removing the machine, because of --destroy-on-error");
            return match stop::remove(self.cx, self.fleet, &self.dir, record, lock) {
                Ok(()) => error,
                Err(another) => another,
            };
        }
        if record.is_none() && was_new {
            // Nothing was made: the id goes too.
            if let Some(id) = Links::new(&self.target.root).get(&self.target.name).ok().flatten() {
                drop(Links::new(&self.target.root).remove(&self.target.name, id));
                drop(self.dir.clear());
                drop(self.dir.remove(lock));
            }
        }
        if error.exit() == Exit::Interrupted { self.interrupted(record) } else { error }
    }

    fn interrupted(&self, record: Option<MachineRecord>) -> Failure {
        let name = &self.target.name;
        let state = record.as_ref().and_then(|record| self.fleet.vm(record).ok()?.state().ok());
        let left = match (record, state) {
            (None, _) => "nothing was created".to_owned(),
            (Some(record), Some(VmState::Running)) => {
                let how = match (record.ready, record.provisioned) {
                    (false, _) => "runs, but is not set up yet",
                    (true, false) => "runs, but is not provisioned",
                    (true, true) => "runs",
                };
                format!("machine `{name}` {how}; `vbox-rs up` goes on, `vbox-rs destroy` removes it")
            }
            (Some(_), Some(VmState::Saved)) => {
                format!("machine `{name}` is saved as before; `vbox-rs up` goes on, `vbox-rs destroy` removes it")
            }
            (Some(_), Some(VmState::Off | VmState::Absent | VmState::Vanished { .. })) => {
                format!(
                    "machine `{name}` is created but does not run; `vbox-rs up` goes on, `vbox-rs destroy` removes it"
                )
            }
            (Some(_), Some(state)) => {
                let state = describe(&state);
                format!("machine `{name}` is {state}; `vbox-rs up` goes on, `vbox-rs destroy` removes it")
            }
            (Some(_), None) => {
                format!("`vbox-rs status` tells what became of machine `{name}`; `vbox-rs up` goes on")
            }
        };
        Error::Interrupted { left }.into()
    }
}
