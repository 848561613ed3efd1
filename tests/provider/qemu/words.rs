//! QEMU's own words, and the words that it must not have to say.

use std::fs;

use vbox_rs::progress::Cx;
use vbox_rs::provider::VmState;

use crate::host::Qemu;
use crate::world::TestVm;

#[test]
fn qemus_own_complaint_is_passed_on() {
    let mut test = TestVm::new(&Qemu);
    let mut plan = test.plan();
    plan.qemu.extra_args = vec!["-nonsense".into()];
    test.create(&plan);
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert_eq!(error.to_string(), "QEMU ended at once (exit status: 1): -nonsense: invalid option");
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn qemu_complains_about_nothing() {
    // Also where paths are too long for a socket's address.
    let mut test = TestVm::below(&Qemu, &"long".repeat(40));
    test.up();
    test.vm.console().unwrap();
    test.vm.kill().unwrap();
    assert_eq!(fs::read_to_string(test.vm.hypervisor_log().unwrap()).unwrap(), "");
}
