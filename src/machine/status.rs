//! What machines are doing, asked of the hypervisor: changes nothing, waits for nobody.

use super::record::{Intent, MachineDir, MachineRecord};
use super::select::Listed;
use super::{Error, Fleet, Status, Target};
use crate::config::spec::ProviderKind;
use crate::error::Failure;
use crate::progress::Cx;
use crate::provider::{self, Provider, Vm, VmHome, VmState};
use crate::store::{self, Lock, MachineId};

impl Fleet {
    /// Every machine with its real state, oldest first; unreadable records are listed as `damaged`.
    pub fn survey(&self) -> Result<Vec<Status>, Failure> {
        Ok(self.index()?.into_iter().map(|listed| self.surveyed(listed)).collect())
    }

    /// The real state; changes nothing, waits for nobody.
    pub fn status(&self, target: &Target) -> Result<Status, Failure> {
        let record = target.id.map(|id| MachineDir::new(&self.dirs, id).read()).transpose()?.flatten();
        Ok(match record {
            Some(record) => {
                let mut status = self.status_of(&record);
                if target.spec.is_none() && status.detail.is_none() {
                    let id = record.id.short();
                    status.detail =
                        Some(format!("the machine file does not name it; `vbox-rs destroy {id}` removes it"));
                }
                status
            }
            None => Status {
                id: None,
                name: target.name.clone(),
                provider: target.spec.as_ref().and_then(|spec| spec.provider).or(Some(ProviderKind::Qemu)),
                state: VmState::Absent.word().into(),
                detail: None,
                busy: target.id.and_then(|id| self.busy(id)),
                project: Some(target.root.clone()),
                project_state: "present",
                box_name: target.spec.as_ref().and_then(|spec| spec.box_name.clone()),
                forwards: Vec::new(),
            },
        })
    }

    /// The lock that every command which changes the machine holds.
    pub(super) fn lock(&self, cx: &Cx, id: MachineId, name: &str, purpose: &str) -> Result<Lock, store::Error> {
        let path = MachineDir::new(&self.dirs, id).lock();
        Lock::exclusive(cx, &path, &format!("machine `{name}`"), purpose, self.wait)
    }

    /// The lock, the folder and the record (as it is under the lock) of a machine that must exist.
    pub(super) fn locked(
        &self,
        cx: &Cx,
        target: &Target,
        purpose: &str,
    ) -> Result<(Lock, MachineDir, MachineRecord), Failure> {
        let (dir, record) = self.existing(target)?;
        let lock = self.lock(cx, record.id, &target.name, purpose)?;
        if let Some(record) = dir.read()? {
            return Ok((lock, dir, record));
        }
        // Destroyed while we waited: the folder is there again only for our lock.
        dir.remove(lock)?;
        Err(Error::NotCreated { name: target.name.clone() }.into())
    }

    /// The hypervisor's side of a machine.
    pub(super) fn vm(&self, record: &MachineRecord) -> Result<Box<dyn Vm>, Error> {
        Ok(backend(record.provider)?.open(self.home(record.id)))
    }

    /// Where a provider keeps its side.
    pub(super) fn home(&self, id: MachineId) -> VmHome {
        VmHome { id, dir: self.dirs.machine(id), runtime: self.dirs.runtime(id) }
    }

    /// The record of a machine that must exist.
    pub(super) fn existing(&self, target: &Target) -> Result<(MachineDir, MachineRecord), Failure> {
        let missing = || Error::NotCreated { name: target.name.clone() };
        let dir = MachineDir::new(&self.dirs, target.id.ok_or_else(missing)?);
        let record = dir.read()?.ok_or_else(missing)?;
        Ok((dir, record))
    }

    fn surveyed(&self, (id, record): Listed) -> Status {
        match record {
            Ok(record) => self.status_of(&record),
            Err(error) => Status {
                id: Some(id),
                name: "?".into(),
                provider: None,
                state: "damaged".into(),
                detail: Some(Failure::from(error).chain()),
                busy: self.busy(id),
                project: None,
                project_state: "missing",
                box_name: None,
                forwards: Vec::new(),
            },
        }
    }

    fn status_of(&self, record: &MachineRecord) -> Status {
        let busy = self.busy(record.id);
        let state = self.vm(record).map_err(Failure::from).and_then(|mut vm| Ok(vm.state()?));
        let (word, detail, open) = match state {
            Ok(state) => (state.word().to_owned(), state.detail().map(Into::into), state.has_process()),
            Err(error) => ("unknown".to_owned(), Some(error.chain()), false),
        };
        let interrupted = record.intent.filter(|_| busy.is_none()).map(unfinished);
        let not_set_up = (busy.is_none() && open && !record.ready && interrupted.is_none())
            .then(|| "its guest is not set up; `vbox-rs up` goes on".to_owned());
        let present = record.file.exists();
        let homeless = (!present).then(|| {
            let id = record.id.short();
            format!("its project is gone from there; `vbox-rs adopt {id}` in the folder's new place links it again")
        });
        Status {
            id: Some(record.id),
            name: record.name.clone(),
            provider: Some(record.provider),
            state: word,
            detail: detail.or(interrupted).or(not_set_up).or(homeless),
            busy,
            project: Some(record.root.clone()),
            project_state: if present { "present" } else { "missing" },
            box_name: Some(format!("{}@{}", record.manifest.name, record.manifest.version)),
            forwards: if open { record.forwards.clone() } else { Vec::new() },
        }
    }

    fn busy(&self, id: MachineId) -> Option<String> {
        let lock = MachineDir::new(&self.dirs, id).lock();
        Lock::is_held(&lock).then(|| Lock::holder(&lock).to_string())
    }
}

/// The backend of a provider that this version has.
pub(super) fn backend(kind: ProviderKind) -> Result<&'static dyn Provider, Error> {
    provider::provider(kind).ok_or(Error::NoProvider(kind))
}

fn unfinished(intent: Intent) -> String {
    format!("`vbox-rs {}` was cut short; run it again, or destroy the machine", intent.command())
}
