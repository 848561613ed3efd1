//! Memory on disk and back.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::provider::VmState;

use crate::host::Host;
use crate::world::{TestVm, forward, free_port};

pub fn memory_is_saved_and_restored_with_other_forwards(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let (first, second) = (free_port(), free_port());
    let mut plan = test.plan();
    plan.forwards = vec![forward(first)];
    test.create(&plan);
    test.start(&plan);
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert_eq!(test.processes(), [0; 0]);
    assert_eq!(test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err().exit(), Exit::MachineState);
    let others = TcpListener::bind(("127.0.0.1", first)).unwrap();
    let error = test.vm.restore(&Cx::silent(), &plan.forwards, &[]).unwrap_err();
    assert_eq!(error.exit(), Exit::Port, "{error}");
    assert_eq!(test.state(), VmState::Saved, "it is kept");
    test.vm.restore(&Cx::silent(), &[forward(second)], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    TcpStream::connect(("127.0.0.1", second)).unwrap();
    drop(others);
    assert_eq!(test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err().exit(), Exit::MachineState);
}

pub fn a_paused_machine_is_saved_and_what_is_saved_can_be_given_up(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.vm.pause().unwrap();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running, "whoever resumes it wants it to run");
    test.vm.save(&Cx::silent()).unwrap();
    for _ in 0..2 {
        test.vm.discard_saved().unwrap();
        assert_eq!(test.state(), VmState::Off);
    }
    let plan = test.plan();
    test.start(&plan);
    test.vm.save(&Cx::silent()).unwrap();
    test.vm.destroy(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Absent);
    test.assert_gone(test.id);
}

pub fn the_guest_goes_on_where_it_was(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.counts();
    test.vm.save(&Cx::silent()).unwrap();
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    test.counts();
    let all = test.counted();
    assert!(all.is_sorted(), "it was started anew: {all:?}");
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
