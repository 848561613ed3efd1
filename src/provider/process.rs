//! Finding, watching and ending the hypervisor's process of a machine.
//!
//! A process id alone is never trusted: it may belong to somebody else by now. What counts is the machine's id on the
//! process's command line, read after the process was pinned by a descriptor (`pidfd_open(2)`).

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getuid, pidfd_open, pidfd_send_signal};

use crate::progress::Cx;

/// How long we wait before we look for cancellation again.
const TICK: Duration = Duration::from_millis(50);

/// A process, pinned.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    fd: OwnedFd,
}

impl Process {
    /// The process that carries `mark`; `hint` is looked at first.
    pub fn find(mark: &Mark<'_>, hint: Option<i32>) -> Option<Self> {
        if let Some(found) = hint.and_then(|pid| Self::pin(pid, mark)) {
            return Some(found);
        }
        let entries = fs::read_dir("/proc").ok()?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|&pid| mark.on(pid)).find_map(|pid| Self::pin(pid, mark))
    }

    /// A child that was not waited for yet, whose id is therefore still its own.
    pub fn of_child(child: &std::process::Child) -> io::Result<Self> {
        let pid = Pid::from_child(child);
        Ok(Self { pid, fd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    fn pin(pid: i32, mark: &Mark<'_>) -> Option<Self> {
        let pid = Pid::from_raw(pid)?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        mark.on(pid.as_raw_nonzero().get()).then_some(Self { pid, fd })
    }

    /// Its id, for people.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits until it has ended; `false` when it still runs after `time`, or as soon as `cx` is cancelled.
    pub fn wait(&self, cx: &Cx, time: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ends_within(left.min(TICK))? {
                return Ok(true);
            }
            if left.is_zero() || cx.cancel().raised() {
                return Ok(false);
            }
        }
    }

    fn ends_within(&self, time: Duration) -> io::Result<bool> {
        let fd = self.fd.as_fd();
        let mut watched = [PollFd::new(&fd, PollFlags::IN)];
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut watched, Some(&time)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Ends it at once; fine when it has ended.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, Signal::KILL) {
            Err(e) if e != rustix::io::Errno::SRCH => Err(e.into()),
            _ => Ok(()),
        }
    }
}

/// Whether the process that carries `mark` and has this id was stopped, by a signal or a debugger (`proc_pid_stat(5)`).
pub fn is_stopped(mark: &Mark<'_>, pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its name, in parentheses before, may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    matches!(state, Some('T' | 't')) && mark.on(pid)
}

/// How the process of one machine is known: by two words of its command line.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// The option, as `-uuid`.
    pub option: &'a str,
    /// What follows it.
    pub uuid: &'a str,
    /// Whether it surely belongs to this user. The system calls what was set-uid once its own.
    pub own: bool,
}

impl Mark<'_> {
    /// Whether a process carries it.
    fn on(&self, pid: i32) -> bool {
        let dir = format!("/proc/{pid}");
        let ours = || fs::metadata(&dir).is_ok_and(|meta| meta.uid() == getuid().as_raw());
        (!self.own || ours()) && fs::read(format!("{dir}/cmdline")).is_ok_and(|line| self.is_in(&line))
    }

    fn is_in(&self, cmdline: &[u8]) -> bool {
        let mut words = cmdline.split(|&b| b == 0);
        words.any(|word| word == self.option.as_bytes()) && words.next() == Some(self.uuid.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const UUID: &str = "6b1f3c52-0a39-4bd0-9d27-5f4d2f1f8a10";

    #[test]
    fn only_the_word_after_uuid_counts() {
        let mark = Mark { option: "-uuid", uuid: "abc", own: true };
        assert!(mark.is_in(b"qemu\0-uuid\0abc\0-S\0"));
        for other in [&b"grep\0abc\0"[..], b"qemu\0-uuid\0abcd\0", b"qemu\0-uuid", b""] {
            assert!(!mark.is_in(other));
        }
    }

    #[test]
    fn it_is_found_without_a_hint_and_despite_a_wrong_one() {
        let mark = Mark { option: "-uuid", uuid: UUID, own: true };
        assert!(Process::find(&mark, Some(1)).is_none());
        let mut child =
            Command::new("sh").args(["-c", "read line; true", "-uuid", UUID]).stdin(pipe()).spawn().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        // The child needs a moment until it is `sh`.
        let found = std::iter::from_fn(|| Some(Process::find(&mark, Some(own)))).flatten().next().unwrap();
        assert_eq!(found.pid(), i32::try_from(child.id()).unwrap());
        assert!(!found.wait(&Cx::silent(), Duration::ZERO).unwrap());
        found.kill().unwrap();
        assert!(found.wait(&Cx::silent(), Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        found.kill().unwrap();
        assert!(Process::find(&mark, Some(found.pid())).is_none());
    }

    fn pipe() -> std::process::Stdio {
        std::process::Stdio::piped()
    }
}
