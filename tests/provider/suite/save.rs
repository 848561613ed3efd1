//! Memory on disk and back.

use std::net::TcpStream;
use std::sync::Arc;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::provider::VmState;

use crate::host::Host;
use crate::world::{FIRST, TestVm, forward, free_port};

pub fn memory_is_saved_and_restored_with_other_forwards(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert_eq!(test.processes(), [0; 0]);
    let plan = test.plan();
    assert_eq!(test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err().exit(), Exit::MachineState);
    let port = free_port();
    test.vm.restore(&Cx::silent(), &[forward(port)], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err().exit(), Exit::MachineState);
    // And once more, from a paused machine, to be thrown away.
    test.vm.pause().unwrap();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.discard_saved().unwrap();
    assert_eq!(test.state(), VmState::Off);
}

pub fn the_guest_goes_on_where_it_was(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.hears(FIRST, 1);
    test.vm.save(&Cx::silent()).unwrap();
    let lines = test.said().lines().count();
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    crate::world::eventually("it counts on", || test.said().lines().count() > lines + 1);
    assert_eq!(test.said().matches(FIRST).count(), 1, "it was started anew: {}", test.said());
}

pub fn a_save_that_is_cancelled_leaves_a_running_machine(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    let cancel = Cancel::default();
    cancel.raise();
    let cx = Cx::new(Arc::new(Silent), cancel);
    assert_eq!(test.vm.save(&cx).unwrap_err().exit(), Exit::Interrupted);
    assert_eq!(test.state(), VmState::Running);
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert_eq!(test.vm.restore(&cx, &[], &[]).unwrap_err().exit(), Exit::Interrupted);
    assert_eq!(test.state(), VmState::Saved);
}

pub fn a_home_with_blanks_and_commas_in_its_path_is_saved_to(host: &dyn Host) {
    let mut test = TestVm::below(host, "with, comma");
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}
