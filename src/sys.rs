//! The one module with `unsafe` in it: what must happen between `fork` and `exec`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts `command` in a session of its own, so that neither Ctrl-C nor the end of our terminal reaches it, and lets it
/// keep the descriptors `keep` (every other one of ours is close-on-exec).
pub fn spawn_detached(command: &mut Command, keep: &[BorrowedFd<'_>]) -> io::Result<Child> {
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
