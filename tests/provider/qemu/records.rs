//! Our record of it and the files beside it, as a kill or a user leaves them.

use std::fs;

use vbox_rs::progress::Cx;
use vbox_rs::provider::VmState;

use crate::host::Qemu;
use crate::world::TestVm;

#[test]
fn a_half_created_machine_is_completed_or_destroyed() {
    let mut test = TestVm::new(&Qemu);
    let plan = test.plan();
    test.create(&plan);
    // As `kill -9` leaves it between the intent and the disk.
    let record = fs::read_to_string(test.dir().join("qemu.json")).unwrap();
    fs::write(test.dir().join("qemu.json"), record.replace("\"created\": true", "\"created\": false")).unwrap();
    fs::rename(test.dir().join("disk0.qcow2"), test.dir().join("disk0.77.new")).unwrap();
    assert_eq!(test.state(), VmState::Absent);
    test.create(&plan);
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_process_without_record_or_lock_file_is_found_and_destroyed() {
    let mut test = TestVm::new(&Qemu);
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
    test.assert_gone(test.id);
    assert_eq!(test.state(), VmState::Absent);
}
