//! Several machines at once: as parallel as dependencies, memory and cores allow.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::{Error, Target};
use crate::error::Failure;
use crate::progress::Cx;

/// What a machine needs while it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// MiB.
    pub(super) memory: u64,
}

/// What the host has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// MiB that are available now.
    pub(super) memory: u64,
    /// How many machines may be worked on at once.
    pub(super) slots: usize,
}

impl Room {
    /// Of this host: all available memory, and as many machines as it has processors (at least two, because part of
    /// each start is waiting).
    pub(super) fn of_host() -> Self {
        let slots = thread::available_parallelism().map_or(2, |n| n.get().max(2));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self { memory: available(&meminfo).unwrap_or(u64::MAX), slots }
    }

    /// One after another.
    pub(super) fn single() -> Self {
        Self { memory: u64::MAX, slots: 1 }
    }
}

/// `MemAvailable` of `/proc/meminfo` (proc(5)) in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Runs `work` for each target once those it depends on are done, and returns the results in the order of `targets`.
/// A failure stops those that depend on it, nobody else.
pub(super) fn run<T: Send>(
    cx: &Cx,
    targets: &[Target],
    room: Room,
    need: &(dyn Fn(&Target) -> Need + Sync),
    work: &(dyn Fn(&Target) -> Result<T, Failure> + Sync),
) -> Vec<(String, Result<T, Failure>)> {
    if let [only] = targets {
        return vec![(only.name.clone(), work(only))];
    }
    let names: HashSet<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let board = Mutex::new(Board::default());
    let bell = Condvar::new();
    let results: Vec<_> = thread::scope(|scope| {
        let run_one = |target| {
            let needed = need(target);
            let dependencies = dependencies(target, &names);
            let gate = board.lock().unwrap_or_else(PoisonError::into_inner);
            let mut gate = bell
                .wait_while(gate, |board| {
                    !board.failed_any(&dependencies) && !board.may_start(&dependencies, needed, room)
                })
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(failed) = dependencies.iter().find(|name| gate.done.get(**name) == Some(&false)) {
                let error = Error::DependencyFailed((*failed).to_owned()).into();
                gate.done.insert(target.name.clone(), false);
                bell.notify_all();
                return Err(error);
            }
            gate.take(needed);
            drop(gate);
            // A panic must not leave the others waiting for ever.
            let result =
                catch_unwind(AssertUnwindSafe(|| cx.check().map_err(Failure::from).and_then(|()| work(target))));
            let mut gate = board.lock().unwrap_or_else(PoisonError::into_inner);
            gate.free_slot();
            gate.done.insert(target.name.clone(), matches!(result, Ok(Ok(_))));
            bell.notify_all();
            drop(gate);
            result.unwrap_or_else(|panic| resume_unwind(panic))
        };
        let threads: Vec<_> = targets.iter().map(|target| scope.spawn(move || run_one(target))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    targets
        .iter()
        .zip(results)
        .map(|(target, result)| (target.name.clone(), result.unwrap_or_else(|panic| resume_unwind(panic))))
        .collect()
}

/// The targets of this run that `target` waits for.
fn dependencies<'a>(target: &'a Target, names: &HashSet<&str>) -> Vec<&'a str> {
    let wanted = target.spec.iter().flat_map(|spec| &spec.depends_on);
    wanted.map(String::as_str).filter(|name| names.contains(name)).collect()
}

/// Who is done, and what is taken.
#[derive(Debug, Default)]
struct Board {
    done: HashMap<String, bool>,
    memory: u64,
    running: usize,
}

impl Board {
    fn failed_any(&self, dependencies: &[&str]) -> bool {
        dependencies.iter().any(|name| self.done.get(*name) == Some(&false))
    }

    /// A machine that is larger than all of the room still starts, alone.
    fn may_start(&self, dependencies: &[&str], need: Need, room: Room) -> bool {
        let fits = self.running < room.slots && self.memory.saturating_add(need.memory) <= room.memory;
        dependencies.iter().all(|name| self.done.contains_key(*name)) && (self.running == 0 || fits)
    }

    fn take(&mut self, need: Need) {
        self.memory += need.memory;
        self.running += 1;
    }

    /// A machine that is up keeps its memory: ours is the number that the host had before.
    fn free_slot(&mut self) {
        self.running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn targets(list: &[(&str, &[&str])]) -> Vec<Target> {
        let target = |(name, depends_on): &(&str, &[&str])| {
            let text = format!("box = \"x\"\n[machines.{name}]\n");
            let file = std::path::Path::new("/p/Vagrantfile");
            let (project, _) = crate::config::parse(&text, file, std::path::Path::new("/p")).unwrap();
            let mut spec = project.machines[0].clone();
            spec.depends_on = depends_on.iter().map(|&name| name.into()).collect();
            Target { name: (*name).into(), root: "/p".into(), file: file.into(), spec: Some(spec), id: None }
        };
        list.iter().map(target).collect()
    }

    #[test]
    fn dependencies_come_first_and_a_failure_stops_only_those_behind_it() {
        let targets = targets(&[("app", &["db"]), ("db", &[]), ("bad", &[]), ("behind", &["bad"]), ("free", &[])]);
        let order = Mutex::new(Vec::new());
        let results =
            run(&Cx::silent(), &targets, Room { memory: 100, slots: 3 }, &|_| Need { memory: 10 }, &|target| {
                order.lock().unwrap().push(target.name.clone());
                if target.name == "bad" { Err(Error::NoProject.into()) } else { Ok(()) }
            });
        let order = order.into_inner().unwrap();
        let at = |name: &str| order.iter().position(|n| n == name);
        assert!(at("db") < at("app"), "{order:?}");
        assert_eq!(at("behind"), None);
        let well: Vec<_> = results.iter().map(|(name, result)| (name.as_str(), result.is_ok())).collect();
        assert_eq!(well, [("app", true), ("db", true), ("bad", false), ("behind", false), ("free", true)]);
    }

    #[test]
    fn memory_and_slots_bound_how_many_run_at_once() {
        for (room, bound) in
            [(Room { memory: 25, slots: 9 }, 2), (Room { memory: 999, slots: 3 }, 3), (Room { memory: 1, slots: 9 }, 1)]
        {
            let targets = targets(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[]), ("e", &[])]);
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            run(&Cx::silent(), &targets, room, &|_| Need { memory: 10 }, &|_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(std::time::Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
            assert!(most.into_inner() <= bound, "{room:?}");
        }
    }

    #[test]
    fn a_panic_stops_those_behind_it_and_is_not_swallowed() {
        let targets = targets(&[("bad", &[]), ("behind", &["bad"]), ("free", &[])]);
        let began = Mutex::new(Vec::new());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            run(&Cx::silent(), &targets, Room { memory: 100, slots: 1 }, &|_| Need { memory: 10 }, &|target| {
                began.lock().unwrap_or_else(PoisonError::into_inner).push(target.name.clone());
                assert_ne!(target.name, "bad");
                Ok(())
            })
        }));
        assert!(panic.is_err());
        let mut began = began.into_inner().unwrap_or_else(PoisonError::into_inner);
        began.sort();
        assert_eq!(began, ["bad", "free"]);
    }

    #[test]
    fn available_memory_is_read_from_meminfo() {
        assert_eq!(available("MemTotal: 1 kB\nMemAvailable:    2048 kB\n"), Some(2));
        assert_eq!(available("nonsense"), None);
    }
}
