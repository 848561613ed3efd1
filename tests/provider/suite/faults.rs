//! What goes wrong around a machine, and how it is told.

use std::net::{TcpListener, UdpSocket};

use vbox_rs::config::spec::Protocol;
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Error, Forward, VmState};

use crate::host::Host;
use crate::world::{TestVm, forward, free_port};

pub fn a_killed_process_is_seen_as_vanished_and_a_new_start_mends_it(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.signal("-9");
    test.ended();
    for _ in 0..2 {
        assert!(matches!(test.state(), VmState::Vanished { .. }), "a query changed something: {:?}", test.state());
    }
    let plan = test.plan();
    test.start(&plan);
    assert_eq!(test.state(), VmState::Running);
}

pub fn forwards_of_both_protocols_are_there_and_a_taken_port_is_named(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let (tcp, udp) = (free_port(), free_port());
    let others = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = others.local_addr().unwrap().port();
    let mut plan = test.plan();
    plan.forwards = vec![forward(tcp), Forward { protocol: Protocol::Udp, ..forward(udp) }, forward(taken)];
    test.create(&plan);
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert!(matches!(error, Error::PortTaken { port, .. } if port == taken), "{error:?}");
    assert_eq!(test.state(), VmState::Off);
    drop(others);
    test.start(&plan);
    assert_eq!(test.state(), VmState::Running);
    for port in [tcp, taken] {
        assert!(TcpListener::bind(("127.0.0.1", port)).is_err(), "the hypervisor listens at {port}/tcp");
    }
    assert!(UdpSocket::bind(("127.0.0.1", udp)).is_err(), "the hypervisor listens at {udp}/udp");
}

pub fn what_is_destroyed_twice_is_gone_and_leaves_its_neighbour_alone(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    let (id, mut neighbour) = test.neighbour();
    let plan = test.plan();
    neighbour.destroy(&Cx::silent()).unwrap();
    neighbour.create(&Cx::silent(), &plan).unwrap();
    neighbour.start(&Cx::silent(), &plan, &[]).unwrap();
    for _ in 0..2 {
        neighbour.destroy(&Cx::silent()).unwrap();
        test.assert_gone(id);
    }
    assert_eq!(test.state(), VmState::Running);
    assert!(test.image().exists(), "the image is the library's");
}
