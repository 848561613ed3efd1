//! How a failure is told: an exit code from one table, and a hint that says what to do next.
//!
//! Each module has its own error type that implements [`Explain`]. Where errors of many modules meet (`machine`, `cli`)
//! they travel as a [`Failure`].

use std::error::Error;
use std::fmt;

/// What the process returns. The numbers are part of the interface: they are listed by `vbox-rs help exit-codes` and in
/// the README, and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// A failure that has no number of its own.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The machine file is missing or invalid.
    MachineFile = 3,
    /// No such box, here or where it should come from.
    BoxNotFound = 4,
    /// What arrived is not what the checksum promises.
    Checksum = 5,
    /// The box is damaged, unsafe, or made for another provider.
    BoxRefused = 6,
    /// The machine does not exist, or its state does not allow the command.
    MachineState = 7,
    /// The hypervisor is missing or does not work here.
    Provider = 8,
    /// Another `vbox-rs` works on the same thing.
    Locked = 9,
    /// Something did not happen in time.
    Timeout = 10,
    /// The guest is there but does not let us in.
    Guest = 11,
    /// A provisioner failed.
    Provision = 12,
    /// A download failed.
    Network = 13,
    /// A port on the host is taken.
    Port = 14,
    /// A file of our own state is damaged, or from a newer version.
    State = 15,
    /// The disk is full, or a file cannot be read or written.
    Io = 16,
    /// Stopped by Ctrl-C or a signal (128 + SIGINT).
    Interrupted = 130,
}

impl Exit {
    /// Every code, in ascending order.
    pub const ALL: &[Self] = &[
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::MachineFile,
        Self::BoxNotFound,
        Self::Checksum,
        Self::BoxRefused,
        Self::MachineState,
        Self::Provider,
        Self::Locked,
        Self::Timeout,
        Self::Guest,
        Self::Provision,
        Self::Network,
        Self::Port,
        Self::State,
        Self::Io,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// One line for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "success",
            Self::Failure => "a failure that has no number of its own",
            Self::Usage => "the command line makes no sense",
            Self::MachineFile => "the machine file is missing or invalid",
            Self::BoxNotFound => "no such box, here or where it should come from",
            Self::Checksum => "a download or file does not match its checksum",
            Self::BoxRefused => "the box is damaged, unsafe, or made for another provider",
            Self::MachineState => "the machine does not exist, or its state does not allow the command",
            Self::Provider => "the hypervisor is missing or does not work here",
            Self::Locked => "another vbox-rs command works on the same thing",
            Self::Timeout => "something did not happen in time",
            Self::Guest => "the guest is there but does not let us in",
            Self::Provision => "a provisioner failed",
            Self::Network => "a download failed",
            Self::Port => "a port on the host is taken",
            Self::State => "a file of vbox-rs's own state is damaged or from a newer version",
            Self::Io => "the disk is full, or a file cannot be read or written",
            Self::Interrupted => "stopped by Ctrl-C or a signal",
        }
    }
}

/// An error that knows its exit code and what to do next.
///
/// `Display` is a lower-case fragment that names the value ("no box named `x`"); it does not repeat `source()`, which is
/// printed behind it.
pub trait Explain: Error + Send + Sync + 'static {
    /// Which code the process ends with.
    fn exit(&self) -> Exit {
        Exit::Failure
    }

    /// What the user can do, as one or more sentences or a command.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any error that can explain itself: what `machine` and `cli` pass on.
pub struct Failure(Box<dyn Explain>);

impl Failure {
    /// The first error of the chain as a `T`, when it is one.
    pub fn downcast_ref<T: Error + 'static>(&self) -> Option<&T> {
        let error: &(dyn Error + 'static) = &*self.0;
        error.downcast_ref()
    }

    /// Which code the process ends with.
    pub fn exit(&self) -> Exit {
        self.0.exit()
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// The message and its causes in one line: `outer: inner: innermost`.
    pub fn chain(&self) -> String {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_ascending() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
    }
}
