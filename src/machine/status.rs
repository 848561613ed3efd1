//! What machines are doing, asked of the hypervisor: changes nothing, waits for nobody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::link::{self, same_folder};
use super::record::{Intent, MachineDir, MachineRecord};
use super::select::check_owner;
use super::{Error, Fleet, Status, Target, package};
use crate::config::spec::ProviderKind;
use crate::error::Failure;
use crate::progress::Cx;
use crate::provider::{self, Provider, Vm, VmHome, VmState};
use crate::store::{self, Lock, MachineId};

/// A hypervisor that takes longer for its answer is told of, so that nobody waits blindly.
const QUIET: Duration = Duration::from_millis(250);

/// Asking is mostly waiting; more at once than this would not be answered sooner.
const AT_ONCE: usize = 8;

impl Fleet {
    /// Every machine with its real state, oldest first; unreadable records are listed as `damaged`.
    pub fn survey(&self) -> Result<Vec<Status>, Failure> {
        let unreadable = |id, error: store::Error| damaged("?", Some(id), &error.into(), self.busy(id));
        let listed = self.index()?.into_iter().map(|(id, record)| record.map_err(|error| unreadable(id, error)));
        let listed: Vec<Result<MachineRecord, Status>> = listed.collect();
        Ok(ask_all(&Cx::silent(), &listed, &|_| String::new(), &|listed| match listed {
            Ok(record) => self.status_of(record, None),
            Err(status) => status.clone(),
        }))
    }

    /// [`Fleet::report`] of each, in their order: asked at once, so that slow hypervisors do not add up.
    pub fn reports(&self, cx: &Cx, targets: &[Target]) -> Vec<Status> {
        ask_all(cx, targets, &|target| target.name.clone(), &|target| self.report(target))
    }

    /// The real state, also of a machine whose record cannot be read: that is told as `damaged`.
    pub fn report(&self, target: &Target) -> Status {
        self.status(target).unwrap_or_else(|error| {
            let id = Self::current_id(target);
            let status = damaged(&target.name, id, &error, id.and_then(|id| self.busy(id)));
            Status { project: Some(target.root.clone()), project_state: "present", ..status }
        })
    }

    /// The real state; changes nothing, waits for nobody.
    pub fn status(&self, target: &Target) -> Result<Status, Failure> {
        let id = Self::current_id(target);
        let record = id.map(|id| MachineDir::new(&self.dirs, id).read()).transpose()?.flatten();
        Ok(match record {
            Some(record) => {
                let mut status = self.status_of(&record, Some(target));
                // A machine file that cannot be used is told of by whoever reads it.
                let usable = || crate::config::load(&target.file).is_ok();
                if target.spec.is_none() && status.detail.is_none() && usable() {
                    let id = record.id.short();
                    status.detail =
                        Some(format!("the machine file does not name it; `vbox-rs destroy {id}` removes it"));
                }
                status
            }
            None => Status {
                id: None,
                name: target.name.clone(),
                provider: Some(self.provider_for(None, target.spec.as_ref())),
                state: VmState::Absent.word().into(),
                detail: None,
                busy: id.and_then(|id| self.busy(id)),
                project: Some(target.root.clone()),
                project_state: "present",
                box_name: target.spec.as_ref().and_then(|spec| spec.box_name.clone()),
                address: None,
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
        let (dir, before) = self.existing(target)?;
        let lock = self.lock(cx, before.id, &target.name, purpose)?;
        if let Some(mut record) = dir.read()? {
            package::sweep(self, record.id)?;
            // One that was named by its id stands where the record says, whatever happened while we waited.
            if !same_folder(&before.root, &target.root) {
                check_owner(&record, &target.root, &target.name)?;
                follow(cx, target, &dir, &mut record);
            }
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
        VmHome { id, dir: self.dirs.machine(id), runtime: self.dirs.runtime(id), shared: self.dirs.home().to_owned() }
    }

    /// The record of a machine that must exist.
    pub(super) fn existing(&self, target: &Target) -> Result<(MachineDir, MachineRecord), Failure> {
        let missing = || Error::NotCreated { name: target.name.clone() };
        let dir = MachineDir::new(&self.dirs, target.id.ok_or_else(missing)?);
        let record = dir.read()?.ok_or_else(missing)?;
        Ok((dir, record))
    }

    /// `seen`: how the project sees the machine that asks, which may stand elsewhere than is recorded.
    fn status_of(&self, record: &MachineRecord, seen: Option<&Target>) -> Status {
        let busy = self.busy(record.id);
        let mut vm = self.vm(record).map_err(Failure::from);
        let state = match &mut vm {
            Ok(vm) => vm.state().map_err(|error| with_hint(&error.into())),
            Err(error) => Err(with_hint(error)),
        };
        let (word, detail, open) = match state {
            Ok(state) => (state.word().to_owned(), state.detail().map(Into::into), state.has_process()),
            Err(error) => ("unknown".to_owned(), Some(error), false),
        };
        let interrupted = record.intent.filter(|_| busy.is_none()).map(unfinished);
        let not_set_up = (busy.is_none() && open && !record.ready && interrupted.is_none())
            .then(|| "its guest is not set up; `vbox-rs up` goes on".to_owned());
        let here = seen.filter(|target| !same_folder(&target.root, &record.root));
        let (project_state, homeless) = match here {
            Some(_) => ("present", Some(came_from(record))),
            None => whereabouts(record),
        };
        let remarks: Vec<_> = detail.or(interrupted).or(not_set_up).into_iter().chain(homeless).collect();
        Status {
            id: Some(record.id),
            name: record.name.clone(),
            provider: Some(record.provider),
            state: word,
            detail: (!remarks.is_empty()).then(|| remarks.join("; ")),
            busy,
            project: Some(here.map_or(&record.root, |target| &target.root).clone()),
            project_state,
            box_name: Some(format!("{}@{}", record.manifest.name, record.manifest.version)),
            address: vm.ok().filter(|_| open).and_then(|mut vm| vm.addresses().ok()??.first().copied()),
            forwards: if open { record.forwards.clone() } else { Vec::new() },
        }
    }

    fn busy(&self, id: MachineId) -> Option<String> {
        let lock = MachineDir::new(&self.dirs, id).lock();
        Lock::is_held(&lock).then(|| Lock::holder(&lock).to_string())
    }
}

/// Asks several things at once, and tells whose answers are missing when they take long.
fn ask_all<T: Sync, R: Send>(
    cx: &Cx,
    items: &[T],
    name: &dyn Fn(&T) -> String,
    ask: &(dyn Fn(&T) -> R + Sync),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (done, answers) = mpsc::channel();
    let mut found: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for done in vec![done; AT_ONCE.min(items.len())] {
            let next = &next;
            scope.spawn(move || {
                while let Some((index, item)) = items.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    // The other end stays until we are done.
                    let _ = done.send((index, ask(item)));
                }
            });
        }
        loop {
            match answers.recv_timeout(QUIET) {
                Ok((index, answer)) => found[index] = Some(answer),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let missing = items.iter().zip(&found).filter(|(_, answer)| answer.is_none());
                    let names: Vec<_> = missing.map(|(item, _)| name(item)).collect();
                    cx.waiting(format!("the hypervisor of {}", names.join(", ")));
                }
            }
        }
    });
    cx.waiting_ended();
    found.into_iter().flatten().collect()
}

/// The backend of a provider that this version has.
pub(super) fn backend(kind: ProviderKind) -> Result<&'static dyn Provider, Error> {
    provider::provider(kind).ok_or(Error::NoProvider(kind))
}

/// Why, and what to do about it.
fn with_hint(error: &Failure) -> String {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint}", error.chain())
}

/// A machine whose record cannot be read.
fn damaged(name: &str, id: Option<MachineId>, error: &Failure, busy: Option<String>) -> Status {
    Status {
        id,
        name: name.into(),
        provider: None,
        state: Status::DAMAGED.into(),
        detail: Some(with_hint(error)),
        busy,
        project: None,
        project_state: "unknown",
        box_name: None,
        address: None,
        forwards: Vec::new(),
    }
}

/// Follows a project that was moved: the record says from now on where it is. Not recorded where that fails, because
/// what the command is about matters more.
fn follow(cx: &Cx, target: &Target, dir: &MachineDir, record: &mut MachineRecord) {
    if same_folder(&record.root, &target.root) {
        return;
    }
    cx.note(format!("the project moved here from {}; linked again", record.root.display()));
    record.root.clone_from(&target.root);
    record.root_inode = link::inode(&target.root);
    record.file.clone_from(&target.file);
    if let Err(error) = dir.write(record) {
        cx.warn(format!("where the project is now could not be recorded: {}", Failure::from(error).chain()));
    }
}

fn came_from(record: &MachineRecord) -> String {
    format!("this folder was moved from {}; the next `vbox-rs up` or `vbox-rs halt` records it", record.root.display())
}

/// Where the project of a machine is, as far as can be known, in one word; and what to do when it is not where it was.
fn whereabouts(record: &MachineRecord) -> (&'static str, Option<String>) {
    let id = record.id.short();
    let renamed = || link::renamed(&record.root, record.root_inode?, &record.name, record.id);
    if record.file.exists() {
        ("present", None)
    } else if record.root.is_dir() {
        let file = record.file.display();
        ("no machine file", Some(format!("{file} is gone; put it back, or `vbox-rs destroy {id}` removes the machine")))
    } else if let Some(now) = renamed() {
        let now = now.display();
        ("moved", Some(format!("its project is {now} by now; `vbox-rs up` there, or `vbox-rs adopt {id}`, records it")))
    } else if record.root.parent().is_some_and(std::path::Path::is_dir) {
        let text = format!(
            "its project was moved away or deleted; `vbox-rs adopt {id}` in the folder's new place links it again, \
             `vbox-rs destroy {id}` removes the machine"
        );
        ("missing", Some(text))
    } else {
        let text = format!(
            "not even the folder around its project is there: a disk that is not mounted, or moved as a whole; \
             `vbox-rs adopt {id}` in the project's new place links it again"
        );
        ("unreachable", Some(text))
    }
}

fn unfinished(intent: Intent) -> String {
    format!("`vbox-rs {}` was cut short; run it again, or destroy the machine", intent.command())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::progress::{Cancel, Event, Sink};

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Sink for Heard {
        fn emit(&self, _: Option<&str>, event: &Event) {
            if let Event::Waiting { what } = event {
                self.0.lock().unwrap().push(what.clone());
            }
        }
    }

    #[test]
    fn all_are_asked_and_only_those_who_take_long_are_told_of() {
        let heard = Arc::new(Heard::default());
        let cx = Cx::new(heard.clone(), Cancel::default());
        let items: Vec<u32> = (0..30).collect();
        let slow = |item: &u32| {
            if *item == 3 {
                // Until somebody was told of it.
                while heard.0.lock().unwrap().is_empty() {
                    thread::sleep(QUIET / 50);
                }
            }
            item * 2
        };
        let answers = ask_all(&cx, &items, &|item| format!("m{item}"), &slow);
        assert_eq!(answers, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let told = heard.0.lock().unwrap().clone();
        assert!(told[0].starts_with("the hypervisor of ") && told[0].contains("m3"), "{told:?}");
        assert_eq!(ask_all(&cx, &[0; 0], &|_| String::new(), &|item| *item), [0; 0]);
    }
}
