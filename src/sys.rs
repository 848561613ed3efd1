//! What must happen between `fork` and `exec`, which takes `unsafe`, and when a child's owner is gone.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};

/// Starts `command` in a session of its own, so that neither Ctrl-C nor the end of our terminal reaches it, and lets it
/// keep the descriptors `keep` and no other.
pub fn spawn_detached(command: &mut Command, keep: &[BorrowedFd<'_>]) -> io::Result<Child> {
    close_inherited_on_exec()?;
    let keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    let prepare = move || {
        rustix::process::setsid()?;
        for &fd in &keep {
            // SAFETY: the caller's borrows outlive the spawn below, so the numbers are open in the child too.
            #[expect(unsafe_code, reason = "a descriptor number becomes a borrow again in the child")]
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: `setsid` and `fcntl` are async-signal-safe (signal-safety(7)); nothing is allocated and no lock is taken.
    #[expect(unsafe_code, reason = "std has no other way to run code in the child")]
    unsafe {
        command.pre_exec(prepare);
    }
    command.spawn()
}

/// Lets `command` die when the thread that spawns it does: for short work on a file that must not go on behind the back
/// of the next command, when this one is killed.
pub fn die_with_parent(command: &mut Command) {
    let prepare = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: `prctl` is a bare system call; nothing is allocated and no lock is taken.
    #[expect(unsafe_code, reason = "std has no other way to run code in the child")]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// A child with a process group of its own. It ends with its owner, and so does what it started.
#[derive(Debug)]
pub struct GroupLeader(pub Child);

impl GroupLeader {
    /// Starts `command` as one.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }
}

impl Drop for GroupLeader {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // Failing means that it has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Marks what our own parent left open (ours are marked at birth): a pipe or lock of a shell or build job must not stay
/// open as long as a detached process lives.
fn close_inherited_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if number <= 2 {
            continue;
        }
        // SAFETY: the number is used for two calls that change nothing but this one flag. Where another thread closed
        // the descriptor meanwhile the calls fail; where the number was taken anew, the flag is set already.
        #[expect(unsafe_code, reason = "descriptors that we did not open have no owner to borrow from")]
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if rustix::io::fcntl_getfd(fd).is_ok_and(|flags| !flags.contains(rustix::io::FdFlags::CLOEXEC)) {
            let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
        }
    }
    Ok(())
}
