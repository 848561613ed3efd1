//! Several machines at once: as parallel as dependencies, memory and processors allow.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;

use super::{Error, Fared, Target};
use crate::error::Failure;

/// Who comes first, of a machine and those it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What others depend on is started first.
    DependenciesFirst,
    /// What others depend on is stopped last.
    DependantsFirst,
    /// It does not matter.
    Any,
}

/// What the host has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// MiB that are available now.
    pub(super) memory: u64,
    /// How many machines may be worked on at once.
    pub(super) slots: usize,
}

/// How many machines are worked on at once where the work is waiting for them, at least.
const WAITING: usize = 8;

impl Room {
    /// Of this host: all available memory, and as many machines as it has processors (at least two, because part of
    /// each start is waiting).
    pub(super) fn of_host() -> Self {
        let slots = processors().max(2);
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self { memory: available(&meminfo).unwrap_or(u64::MAX), slots }
    }

    /// For work that takes no memory and is mostly waiting.
    pub(super) fn for_waiting() -> Self {
        Self { memory: u64::MAX, slots: (processors() * 4).max(WAITING) }
    }

    /// One after another.
    pub(super) fn single() -> Self {
        Self { memory: u64::MAX, slots: 1 }
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// `MemAvailable` of `/proc/meminfo` (proc(5)) in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

/// In which order, and within which bounds.
pub(super) struct Course<'a> {
    /// Who comes first.
    pub(super) order: Order,
    /// What the host has to give.
    pub(super) room: Room,
    /// MiB that a machine will take; asked when its turn has come.
    pub(super) need: &'a dyn Fn(&Target) -> u64,
    /// Whether a machine whose work failed has its memory all the same.
    pub(super) keeps: &'a dyn Fn(&Target) -> bool,
}

/// Runs `work` for each target once those that come before it are done, and returns the results in the order of
/// `targets`. A failure stops those behind it, nobody else.
pub(super) fn run<T: Send>(
    targets: &[Target],
    course: &Course<'_>,
    work: &(dyn Fn(&Target) -> Result<T, Failure> + Sync),
) -> Vec<Fared<T>> {
    if let [only] = targets {
        return vec![(only.name.clone(), work(only))];
    }
    let mut board = Board::new(targets, course);
    let mut results: Vec<Option<Result<T, Failure>>> = targets.iter().map(|_| None).collect();
    let mut panic: Option<Box<dyn Any + Send>> = None;
    let (tell, ended) = mpsc::channel();
    thread::scope(|scope| {
        loop {
            while let Some(turn) = board.next() {
                match turn {
                    Turn::Start(index) => {
                        let (tell, target) = (tell.clone(), &targets[index]);
                        // A panic must not leave the others waiting for ever.
                        scope.spawn(move || tell.send((index, catch_unwind(AssertUnwindSafe(|| work(target))))));
                    }
                    Turn::Skip { index, failed } => {
                        let (name, dependant) = (targets[failed].name.clone(), course.order == Order::DependantsFirst);
                        results[index] = Some(Err(Error::DependencyFailed { name, dependant }.into()));
                    }
                }
            }
            if board.running == 0 {
                break;
            }
            let Ok((index, result)) = ended.recv() else { break };
            board.ended(index, matches!(result, Ok(Ok(_))));
            match result {
                Ok(result) => results[index] = Some(result),
                Err(payload) => panic = Some(payload),
            }
        }
    });
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
    targets.iter().zip(results).filter_map(|(target, result)| Some((target.name.clone(), result?))).collect()
}

/// Whose turn it is.
#[derive(Debug)]
enum Turn {
    Start(usize),
    /// Nothing is done to `index`, because of what happened to `failed`.
    Skip {
        index: usize,
        failed: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running,
    Done,
    Failed,
}

/// Who is done, and what is taken.
struct Board<'a> {
    targets: &'a [Target],
    course: &'a Course<'a>,
    /// For each target those that come before it.
    before: Vec<Vec<usize>>,
    stages: Vec<Stage>,
    /// MiB, of those whose turn has come.
    needs: Vec<Option<u64>>,
    memory: u64,
    running: usize,
}

impl<'a> Board<'a> {
    fn new(targets: &'a [Target], course: &'a Course<'a>) -> Self {
        let before = |target| {
            let comes_before = |other: &Target| match course.order {
                Order::DependenciesFirst => depends(target, other),
                Order::DependantsFirst => depends(other, target),
                Order::Any => false,
            };
            (0..targets.len()).filter(|&other| comes_before(&targets[other])).collect()
        };
        Self {
            targets,
            course,
            before: targets.iter().map(before).collect(),
            stages: vec![Stage::Waiting; targets.len()],
            needs: vec![None; targets.len()],
            memory: 0,
            running: 0,
        }
    }

    /// The next turn that can be taken now, in the order of the targets.
    fn next(&mut self) -> Option<Turn> {
        let waiting: Vec<usize> =
            (0..self.stages.len()).filter(|&index| self.stages[index] == Stage::Waiting).collect();
        for &index in &waiting {
            if let Some(&failed) = self.before[index].iter().find(|&&other| self.stages[other] == Stage::Failed) {
                self.stages[index] = Stage::Failed;
                return Some(Turn::Skip { index, failed });
            }
            if self.before[index].iter().all(|&other| self.stages[other] == Stage::Done) && self.fits(index) {
                return Some(self.start(index));
            }
        }
        // Nobody's turn and nobody at work would be a cycle, which `config` refuses: rather all of them than none.
        let first = waiting.first().filter(|_| self.running == 0)?;
        Some(self.start(*first))
    }

    /// A machine that is larger than all of the room still has its turn, alone.
    fn fits(&mut self, index: usize) -> bool {
        if self.running == 0 {
            return true;
        }
        let room = self.course.room;
        self.running < room.slots && self.memory.saturating_add(self.need(index)) <= room.memory
    }

    fn need(&mut self, index: usize) -> u64 {
        *self.needs[index].get_or_insert_with(|| (self.course.need)(&self.targets[index]))
    }

    fn start(&mut self, index: usize) -> Turn {
        self.stages[index] = Stage::Running;
        self.running += 1;
        self.memory = self.memory.saturating_add(self.need(index));
        Turn::Start(index)
    }

    /// A machine that is up keeps its memory (ours is the number that the host had before), one that failed only if it
    /// still runs.
    fn ended(&mut self, index: usize, well: bool) {
        self.running -= 1;
        self.stages[index] = if well { Stage::Done } else { Stage::Failed };
        if !well && !(self.course.keeps)(&self.targets[index]) {
            self.memory = self.memory.saturating_sub(self.need(index));
        }
    }
}

/// Whether `target` depends on `other`. Names count within one project only: ids may mean machines of several.
fn depends(target: &Target, other: &Target) -> bool {
    target.root == other.root && target.spec.iter().any(|spec| spec.depends_on.contains(&other.name))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    fn course(order: Order, room: Room) -> Course<'static> {
        Course { order, room, need: &|_| 10, keeps: &|_| true }
    }

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
        let course = course(Order::DependenciesFirst, Room { memory: 100, slots: 3 });
        let results = run(&targets, &course, &|target| {
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
    fn what_others_depend_on_is_stopped_last_and_not_at_all_when_one_of_them_fails() {
        let targets = targets(&[("db", &[]), ("app", &["db"]), ("web", &["app"]), ("free", &[])]);
        let stopped = |bad: &str| {
            let order = Mutex::new(Vec::new());
            let results = run(&targets, &course(Order::DependantsFirst, Room::for_waiting()), &|target| {
                order.lock().unwrap().push(target.name.clone());
                if target.name == bad { Err(Error::NoProject.into()) } else { Ok(()) }
            });
            let mut order = order.into_inner().unwrap();
            order.retain(|name| name != "free");
            let well = results.into_iter().map(|(_, result)| result.map_err(|e| e.to_string()));
            (order, well.collect::<Vec<_>>())
        };
        let (order, well) = stopped("");
        assert_eq!(order, ["web", "app", "db"]);
        assert!(well.iter().all(Result::is_ok));
        let (order, well) = stopped("app");
        assert_eq!(order, ["web", "app"]);
        assert_eq!(well[0], Err("left as it was, because `app`, which depends on it, failed".into()));
        assert!(well[2].is_ok() && well[3].is_ok());
    }

    #[test]
    fn one_after_another_is_in_the_order_of_the_file_as_far_as_dependencies_allow() {
        let targets = targets(&[("web", &["db"]), ("a", &[]), ("db", &[]), ("b", &[])]);
        for (order, expected) in [
            (Order::DependenciesFirst, ["a", "db", "web", "b"]),
            (Order::DependantsFirst, ["web", "a", "db", "b"]),
            (Order::Any, ["web", "a", "db", "b"]),
        ] {
            let seen = Mutex::new(Vec::new());
            run(&targets, &course(order, Room::single()), &|target| {
                seen.lock().unwrap().push(target.name.clone());
                Ok(())
            });
            assert_eq!(seen.into_inner().unwrap(), expected, "{order:?}");
        }
    }

    #[test]
    fn machines_of_several_projects_with_one_name_have_nothing_to_do_with_each_other() {
        let mut targets = targets(&[("db", &[]), ("web", &["db"]), ("db", &[])]);
        targets[2].root = "/other".into();
        let results = run(&targets, &course(Order::DependenciesFirst, Room::of_host()), &|target| {
            if target.root.ends_with("other") { Err(Error::NoProject.into()) } else { Ok(()) }
        });
        assert_eq!(results.iter().map(|(_, result)| result.is_ok()).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn the_memory_of_a_machine_that_failed_and_does_not_run_is_given_back() {
        let targets = targets(&[("bad", &[]), ("a", &[]), ("b", &[])]);
        let most = |keeps: &'static dyn Fn(&Target) -> bool| {
            let room = Room { memory: 20, slots: 2 };
            let course = Course { keeps, ..course(Order::DependenciesFirst, room) };
            let mut board = Board::new(&targets, &course);
            assert!(matches!(board.next(), Some(Turn::Start(0))) && matches!(board.next(), Some(Turn::Start(1))));
            assert!(board.next().is_none());
            board.ended(0, false);
            matches!(board.next(), Some(Turn::Start(2)))
        };
        assert!(most(&|_| false), "its memory is free");
        assert!(!most(&|_| true), "it runs, and has its memory");
    }

    #[test]
    fn memory_and_slots_bound_how_many_run_at_once() {
        for (room, bound) in
            [(Room { memory: 25, slots: 9 }, 2), (Room { memory: 999, slots: 3 }, 3), (Room { memory: 1, slots: 9 }, 1)]
        {
            let targets = targets(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[]), ("e", &[])]);
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            run(&targets, &course(Order::DependenciesFirst, room), &|_| {
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
            let course = course(Order::DependenciesFirst, Room { memory: 100, slots: 1 });
            run(&targets, &course, &|target| {
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
