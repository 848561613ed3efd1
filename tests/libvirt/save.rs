//! Saving memory, and going on from it.

use std::net::TcpListener;

use vbox_rs::config::spec::Protocol;
use vbox_rs::error::{Exit, Explain};
use vbox_rs::provider::VmState;

use crate::world::{TestVm, forward, free_port};

#[test]
fn a_saved_domain_goes_on_with_other_forwards() {
    let Some(mut test) = TestVm::new() else { return };
    let (first, second, cx) = (free_port(), free_port(), test.cx());
    let mut plan = test.plan();
    plan.forwards = vec![forward(Protocol::Tcp, first)];
    test.up(&plan);
    test.vm.save(&cx).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot start afresh the machine: it is saved");
    let others = TcpListener::bind(("127.0.0.1", first)).unwrap();
    let error = test.vm.restore(&cx, &plan.forwards, &[]).unwrap_err();
    assert_eq!(error.exit(), Exit::Port, "{error}");
    assert_eq!(test.state(), VmState::Saved, "the saved state is kept");
    test.vm.restore(&cx, &[forward(Protocol::Tcp, second)], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    assert!(TcpListener::bind(("127.0.0.1", second)).is_err(), "QEMU listens");
    drop(others);
    assert_eq!(test.vm.restore(&cx, &[], &[]).unwrap_err().exit(), Exit::MachineState);
}

#[test]
fn a_paused_domain_is_saved_and_runs_when_it_is_restored() {
    let Some(mut test) = TestVm::new() else { return };
    let cx = test.cx();
    test.up(&test.plan());
    test.vm.pause().unwrap();
    test.vm.save(&cx).unwrap();
    test.reopen();
    test.vm.restore(&cx, &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_saved_state_can_be_given_up_and_goes_with_the_machine() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.vm.save(&cx).unwrap();
    test.vm.discard_saved().unwrap();
    assert_eq!(test.state(), VmState::Off);
    test.vm.discard_saved().unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    test.vm.save(&cx).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.state(), VmState::Absent);
}
