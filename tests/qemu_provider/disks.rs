//! Disks grow, never shrink, and half made ones are completed.

use std::fs;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::VmState;

use crate::world::TestVm;

#[test]
fn disks_grow_while_the_machine_is_off_and_never_shrink() {
    let mut test = TestVm::new();
    let mut plan = test.plan();
    plan.disks[0].size = Some(8 << 20);
    test.vm.create(&Cx::silent(), &plan).unwrap();
    assert_eq!(virtual_size(&test), 8 << 20);
    plan.disks[0].size = Some(16 << 20);
    test.vm.create(&Cx::silent(), &plan).unwrap();
    assert_eq!(virtual_size(&test), 16 << 20);
    plan.disks[0].size = Some(8 << 20);
    let error = test.vm.create(&Cx::silent(), &plan).unwrap_err();
    assert!(error.to_string().ends_with("has 16 MiB and cannot shrink to 8 MiB"), "{error}");
    plan.disks[0].size = Some(32 << 20);
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.vm.create(&Cx::silent(), &plan).unwrap_err().exit(), Exit::MachineState);
    assert_eq!(virtual_size(&test), 16 << 20);
}

#[test]
fn a_half_created_machine_is_completed_or_destroyed() {
    let mut test = TestVm::new();
    let plan = test.plan();
    test.vm.create(&Cx::silent(), &plan).unwrap();
    // As `kill -9` leaves it between the intent and the disk.
    let record = fs::read_to_string(test.dir().join("qemu.json")).unwrap();
    fs::write(test.dir().join("qemu.json"), record.replace("\"created\": true", "\"created\": false")).unwrap();
    fs::rename(test.dir().join("disk0.qcow2"), test.dir().join("disk0.77.new")).unwrap();
    assert_eq!(test.state(), VmState::Absent);
    test.vm.create(&Cx::silent(), &plan).unwrap();
    assert_eq!(test.state(), VmState::Off);
}

fn virtual_size(test: &TestVm) -> u64 {
    let head = fs::read(test.dir().join("disk0.qcow2")).unwrap();
    u64::from_be_bytes(head[24..32].try_into().unwrap())
}
