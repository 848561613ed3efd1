//! Start, pause, stop, destroy; console; what others see.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use vbox_rs::config::spec::Protocol;
use vbox_rs::error::{Exit, Explain};
use vbox_rs::provider::{Pause, VmState};

use crate::world::{TestVm, eventually, forward, free_port};

#[test]
fn a_domain_lives_and_dies_in_order() {
    let Some(mut test) = TestVm::new() else { return };
    assert_eq!(test.state(), VmState::Absent);
    let (plan, cx) = (test.plan(), test.cx());
    test.vm.create(&cx, &plan).unwrap();
    assert_eq!(test.state(), VmState::Off);
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    let name = format!("test---more-default-{}", test.id.short());
    assert_eq!(test.daemon.virsh(&["list", "--name"]).unwrap().trim(), name);
    assert!(test.virsh("dumpxml").contains(&test.id.to_string()), "the metadata has our id");
    let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
    assert_eq!(error.exit(), Exit::MachineState, "{error}");
    test.vm.pause().unwrap();
    assert_eq!(test.state(), VmState::Paused { why: Pause::Asked });
    test.vm.unpause().unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.press_power_button().unwrap();
    assert!(!test.vm.wait_until_ended(&cx, Duration::from_millis(20)).unwrap());
    test.vm.kill().unwrap();
    assert_eq!(test.state(), VmState::Off);
    test.vm.kill().unwrap();
    assert_eq!(test.vm.pause().unwrap_err().exit(), Exit::MachineState);
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    assert!(test.heard.warnings().is_empty());
    test.vm.destroy(&cx).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.state(), VmState::Absent);
}

#[test]
fn the_firmware_is_heard_on_the_console_and_in_its_log() {
    let Some(mut test) = TestVm::new() else { return };
    test.up(&test.plan());
    let mut console = test.vm.console().unwrap();
    let log = test.vm.console_log();
    eventually("SeaBIOS gives up", || fs::read_to_string(&log).is_ok_and(|text| text.contains("No bootable device")));
    console.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(console.read(&mut [0; 64]).unwrap() > 0);
    let before = fs::metadata(&log).unwrap().len();
    test.vm.kill().unwrap();
    eventually("the console ends", || matches!(console.read(&mut [0; 4096]), Ok(0)));
    let plan = test.plan();
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    eventually("the log goes on", || fs::metadata(&log).unwrap().len() > before);
}

#[test]
fn forwards_of_both_protocols_are_there_and_a_taken_port_is_named() {
    let Some(mut test) = TestVm::new() else { return };
    let (tcp, udp) = (free_port(), free_port());
    let mut plan = test.plan();
    plan.forwards = vec![forward(Protocol::Tcp, tcp), forward(Protocol::Udp, udp)];
    test.up(&plan);
    assert!(TcpListener::bind(("127.0.0.1", tcp)).is_err(), "QEMU listens");
    assert!(UdpSocket::bind(("127.0.0.1", udp)).is_err(), "QEMU listens");
    test.vm.kill().unwrap();
    let other = TcpListener::bind(("127.0.0.1", tcp)).unwrap();
    let error = test.vm.start(&test.cx(), &plan, &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("port {tcp}/tcp of 127.0.0.1 is taken"));
    assert_eq!(error.exit(), Exit::Port);
    assert_eq!(test.state(), VmState::Off);
    drop(other);
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_tethered_domain_ends_with_whoever_started_it() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    plan.tethered = true;
    test.up(&plan);
    assert_eq!(test.daemon.virsh(&["domstate", &test.uuid()]).unwrap().trim(), "running");
    test.reopen();
    eventually("it ends", || test.daemon.virsh(&["domstate", &test.uuid()]).unwrap().trim() == "shut off");
}

#[test]
fn a_disk_grows_and_never_shrinks_and_a_lost_one_is_told() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    test.up(&plan);
    plan.disks[0].size = Some(4 << 20);
    let error = test.vm.create(&test.cx(), &plan).unwrap_err();
    assert_eq!(error.to_string(), "cannot grow a disk of the machine: it is running");
    test.vm.kill().unwrap();
    test.vm.create(&test.cx(), &plan).unwrap();
    assert_eq!(test.vm.images().unwrap()[0].virtual_size, 4 << 20);
    plan.disks[0].size = Some(2 << 20);
    assert_eq!(test.vm.create(&test.cx(), &plan).unwrap_err().exit(), Exit::MachineState);
    fs::remove_file(test.dir().join("disk0.qcow2")).unwrap();
    assert!(matches!(test.state(), VmState::Broken { why } if why.contains("disk0.qcow2 is missing")));
}

#[test]
fn a_machine_stays_where_it_is_and_that_is_told_once() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    test.vm.create(&test.cx(), &plan).unwrap();
    plan.libvirt.pool = Some("fast".into());
    test.up(&plan);
    let told = "its disks are files and stay so; destroy the machine and make it anew to have them in pool `fast`";
    assert_eq!(test.heard.warnings(), [told]);
}
