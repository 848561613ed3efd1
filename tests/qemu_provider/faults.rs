//! What goes wrong around a machine, and how it is told.

use std::fs;
use std::net::TcpListener;

use vbox_rs::progress::Cx;
use vbox_rs::provider::{Error, VmState};

use crate::world::{TestVm, eventually, forward, free_port, processes};

#[test]
fn a_killed_process_is_seen_as_vanished_and_a_new_start_mends_it() {
    let mut test = TestVm::new();
    test.up();
    test.signal("-9");
    test.ended();
    assert_eq!(test.state(), VmState::Vanished { why: "its process was killed".into() });
    assert!(test.dir().join("qemu.pid").exists(), "a query changed something");
    let plan = test.plan();
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    test.signal("-15");
    test.ended();
    let VmState::Vanished { why } = test.state() else { panic!() };
    assert!(why.contains("terminating on signal 15"), "{why}");
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_stopped_process_is_unresponsive_and_can_be_killed() {
    let mut test = TestVm::new();
    test.up();
    test.signal("-STOP");
    // The signal takes a moment to reach every thread.
    eventually("it is unresponsive", || matches!(test.state(), VmState::Unresponsive { .. }));
    let VmState::Unresponsive { why } = test.state() else { panic!() };
    assert!(why.contains("no answer to `"), "{why}");
    test.vm.kill().unwrap();
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_taken_port_has_an_error_of_its_own() {
    let mut test = TestVm::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut plan = test.plan();
    plan.forwards = vec![forward(free_port()), forward(port)];
    test.vm.create(&Cx::silent(), &plan).unwrap();
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert!(matches!(error, Error::PortTaken { port: found, .. } if found == port), "{error:?}");
    assert_eq!(test.state(), VmState::Off);
    drop(listener);
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn qemus_own_complaint_is_passed_on() {
    let mut test = TestVm::new();
    let mut plan = test.plan();
    plan.qemu.extra_args = vec!["-nonsense".into()];
    test.vm.create(&Cx::silent(), &plan).unwrap();
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert_eq!(error.to_string(), "QEMU ended at once (exit status: 1): -nonsense: invalid option");
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn lost_disks_and_images_are_named() {
    let mut test = TestVm::new();
    test.up();
    test.vm.kill().unwrap();
    fs::rename(&test.image, test.image.with_extension("away")).unwrap();
    let VmState::Broken { why } = test.state() else { panic!() };
    assert!(why.contains("image.raw is missing"), "{why}");
    fs::rename(test.image.with_extension("away"), &test.image).unwrap();
    fs::remove_file(test.dir().join("disk0.qcow2")).unwrap();
    let VmState::Broken { why } = test.state() else { panic!() };
    assert!(why.contains("disk0.qcow2 is missing"), "{why}");
    let plan = test.plan();
    for error in
        [test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err(), test.vm.create(&Cx::silent(), &plan).unwrap_err()]
    {
        assert!(matches!(error, Error::FileMissing { .. }), "{error:?}");
    }
    assert!(!test.dir().join("disk0.qcow2").exists(), "a lost disk is never replaced by an empty one");
}

#[test]
fn a_process_without_record_or_lock_file_is_found_and_destroyed() {
    let mut test = TestVm::new();
    test.up();
    for name in ["qemu.json", "qemu.pid"] {
        fs::remove_file(test.dir().join(name)).unwrap();
    }
    assert_eq!(test.state(), VmState::Running);
    test.vm.kill().unwrap();
    assert!(matches!(test.state(), VmState::Broken { .. }));
    test.up();
    fs::write(test.dir().join("qemu.json"), "{").unwrap();
    fs::remove_file(test.dir().join("qemu.lock")).unwrap();
    test.vm.destroy(&Cx::silent()).unwrap();
    assert!(processes(test.id).is_empty());
    assert_eq!(test.state(), VmState::Absent);
}
