//! What the embedding program gives to the interpreter: objects of its own, and leave to look at the host.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::flow::{Flow, Result};
use super::interp::{Call, Interp};
use super::names::Name;
use super::value::Value;

/// An object of the embedding program (`config.vm`).
pub trait HostObject {
    /// For messages.
    fn class_name(&self) -> Rc<str>;

    /// Answers a call; `None` when it has no such method.
    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>>;

    /// Whether it has such a method.
    fn responds(&self, name: Name) -> bool;
}

/// What the program may see and do of the computer. Every method is asked before anything is done.
pub trait Host {
    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;

    /// All variables of the environment.
    fn envs(&self) -> Vec<(String, String)>;

    /// Whether there are files at all, as far as the program can tell.
    fn may_see(&self) -> bool {
        true
    }

    /// Whether a file or folder may be looked at and read: an absolute path without `..`.
    fn may_read(&self, path: &Path) -> bool;

    /// The program looks at a file or folder, which need not be there: what it does may depend on it.
    fn looked_at(&self, _path: &Path) {}

    /// Whether the user has allowed all that can be allowed.
    fn is_trusted(&self) -> bool {
        false
    }

    /// Whether the program may learn what kind of computer this is, and who uses it. Common harmless commands
    /// (`hostname`, `nproc`, `git rev-parse HEAD`) are answered then, without running anything.
    fn may_look(&self) -> bool {
        true
    }

    /// What a command says that the embedding program answers itself; asked before anything else.
    fn answer(&self, _line: &str) -> Option<Output> {
        None
    }

    /// Whether a library that the program requires is the embedding program's own: it is there, then.
    fn provides(&self, _library: &str) -> bool {
        false
    }

    /// Whether a command may really be run, by a shell in [`Self::current_dir`]; the reason when it may not.
    fn may_run(&self, line: &str) -> std::result::Result<(), String>;

    /// Whether the program may write a file; the reason when it may not.
    fn may_write(&self, path: &Path) -> std::result::Result<(), String>;

    /// Text that the program prints.
    fn print(&self, text: &str, to: Stream);

    /// The user's home folder.
    fn home(&self) -> PathBuf;

    /// Where relative paths start.
    fn current_dir(&self) -> PathBuf;

    /// The arguments of the embedding program.
    fn arguments(&self) -> Vec<String>;
}

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Error,
}

/// What a command said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub text: String,
    pub status: i32,
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Expressions that are evaluated.
    pub steps: u64,
    /// Calls within calls.
    pub depth: u32,
    /// Bytes (roughly) that strings and containers grow by, in all; an eighth of it by one call.
    pub memory: u64,
    /// Bytes that are printed.
    pub output: u64,
}

impl Default for Bounds {
    /// A file that makes a thousand machines takes less than a twentieth of each.
    fn default() -> Self {
        // The fuzzer has more use for many runs than for long ones.
        let (steps, memory) = if cfg!(fuzzing) { (200_000, 64 << 20) } else { (20_000_000, 128 << 20) };
        Self { steps, depth: 200, memory, output: 1 << 20 }
    }
}

/// The end of a run that nobody asked for: a bound, a refusal, something that is not understood. Programs cannot rescue
/// it, because they would go on with something else than what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub message: String,
    pub kind: StopKind,
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// It is understood by Ruby and not by us.
    Unsupported,
    /// It wants what the host refuses.
    Refused,
    /// It wants what nobody can allow.
    Never,
    /// It is too much.
    Bound,
    /// It ended itself (`exit`, `abort`).
    Exit(i32),
}

impl From<Stop> for Flow {
    fn from(stop: Stop) -> Self {
        Self::Stop(Box::new(stop))
    }
}
