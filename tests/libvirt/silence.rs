//! A daemon that goes silent in the middle of something: stopped, as one that hangs.

use rustix::process::{Pid, Signal, kill_process};
use vbox_rs::error::{Exit, Explain};

use crate::world::{TestVm, emulator, eventually};

/// A process that does nothing, until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn a_save_at_a_daemon_that_goes_silent_comes_to_an_end() {
    let Some(mut test) = TestVm::new() else { return };
    test.up(&test.plan());
    let (uuid, cx) = (test.uuid(), test.cx());
    // An emulator that does nothing is not saved before its daemon is stopped.
    let emulator = Stopped::new(emulator(&uuid));
    let (vm, daemon) = (&mut test.vm, &test.daemon);
    let told = std::thread::scope(|scope| {
        let save = scope.spawn(|| vm.save(&cx).unwrap_err());
        eventually("the save begins", || daemon.virsh(&["domcontrol", &uuid]).unwrap().trim() != "ok");
        let _silent = Stopped::new(daemon.pid().try_into().unwrap());
        save.join().unwrap()
    });
    assert!(told.to_string().ends_with("did not answer within 20 s"), "{told}");
    assert_eq!(told.exit(), Exit::Timeout);
    drop(emulator);
}
