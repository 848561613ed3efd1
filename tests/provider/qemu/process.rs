//! The process: what it inherits, and what it tells when it has ended or does not answer.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;

use vbox_rs::config::spec::Nic;
use vbox_rs::progress::Cx;
use vbox_rs::provider::VmState;
use vbox_rs::store::Lock;

use crate::host::Qemu;
use crate::world::{TestVm, eventually};

#[test]
fn inherited_locks_are_held_until_the_process_dies() {
    let mut test = TestVm::new(&Qemu);
    let path = test.dirs.ports().join("tcp-2200");
    let lock = Lock::try_exclusive(&path, "up").unwrap().unwrap();
    let plan = test.plan();
    test.create(&plan);
    test.vm.start(&Cx::silent(), &plan, &[lock.file().as_fd()]).unwrap();
    drop(lock);
    assert!(Lock::is_held(&path));
    test.signal("-9");
    test.ended();
    assert!(!Lock::is_held(&path));
}

#[test]
fn what_our_parent_left_open_is_not_passed_on() {
    let mut test = TestVm::new(&Qemu);
    // Unlike std's, these stay open over exec.
    let (read, write) = rustix::pipe::pipe().unwrap();
    test.up();
    drop(write);
    let end = std::thread::spawn(move || File::from(read).read(&mut [0]).unwrap());
    eventually("the pipe ends with our own end of it", || end.is_finished());
    assert_eq!(end.join().unwrap(), 0);
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn how_the_process_ended_is_told_and_its_files_stay_until_the_next_start() {
    let mut test = TestVm::new(&Qemu);
    test.up();
    test.signal("-9");
    test.ended();
    assert_eq!(test.state(), VmState::Vanished { why: "its process was killed".into() });
    assert!(test.dir().join("qemu.pid").exists(), "a query changed something");
    let plan = test.plan();
    test.start(&plan);
    test.signal("-15");
    test.ended();
    let VmState::Vanished { why } = test.state() else { panic!() };
    assert!(why.contains("terminating on signal 15"), "{why}");
}

#[test]
fn a_stopped_process_is_unresponsive_and_can_be_killed() {
    let mut test = TestVm::new(&Qemu);
    test.up();
    test.signal("-STOP");
    // The signal takes a moment to reach every thread.
    eventually("it is unresponsive", || matches!(test.state(), VmState::Unresponsive { .. }));
    let VmState::Unresponsive { why } = test.state() else { panic!() };
    assert!(why.contains("is stopped; `kill -CONT "), "{why}");
    test.signal("-CONT");
    eventually("it goes on", || test.state() == VmState::Running);
    test.signal("-STOP");
    test.vm.kill().unwrap();
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_card_that_no_guest_has_touched_is_known_to_be_down_where_it_is_paravirtual() {
    for (nic, known) in [(Nic::Virtio, true), (Nic::E1000, false)] {
        let mut test = TestVm::with_disk(&Qemu, "", &[]);
        let mut plan = test.plan();
        plan.devices.nic = nic;
        test.create(&plan);
        assert!(!test.vm.network_is_down(), "there is no process to ask");
        test.start(&plan);
        assert_eq!(test.vm.network_is_down(), known, "{nic:?}");
        // Nor does firmware that has nothing to boot.
        let log = test.vm.console_log();
        eventually("it gives up", || fs::read_to_string(&log).is_ok_and(|log| log.contains("No bootable device")));
        assert_eq!(test.vm.network_is_down(), known, "{nic:?}");
    }
}
