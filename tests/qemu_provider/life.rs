//! Start, pause, stop, destroy; console and kernel; what the process inherits.

use std::fs;
use std::os::fd::AsFd;
use std::time::Duration;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Boot, VmState};
use vbox_rs::store::Lock;

use crate::world::{TestVm, eventually, processes};

#[test]
fn a_machine_lives_and_dies_in_order() {
    let mut test = TestVm::new();
    assert_eq!(test.state(), VmState::Absent);
    let plan = test.plan();
    test.vm.create(&Cx::silent(), &plan).unwrap();
    assert_eq!(test.state(), VmState::Off);
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert_eq!(error.exit(), Exit::MachineState, "{error}");
    test.vm.pause().unwrap();
    assert_eq!(test.state(), VmState::Paused { why: "paused".into() });
    test.vm.unpause().unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.press_power_button().unwrap();
    assert!(!test.vm.wait_until_ended(&Cx::silent(), Duration::from_millis(20)).unwrap());
    test.vm.kill().unwrap();
    assert_eq!(test.state(), VmState::Off);
    test.vm.kill().unwrap();
    assert_eq!(test.vm.pause().unwrap_err().exit(), Exit::MachineState);
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.destroy(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Absent);
    assert!(processes(test.id).is_empty());
}

#[test]
fn the_firmware_is_heard_on_the_console_and_in_its_log() {
    use std::io::Read;
    let mut test = TestVm::new();
    test.up();
    let mut console = test.vm.console().unwrap();
    let log = test.vm.console_log();
    eventually("SeaBIOS gives up", || fs::read_to_string(&log).is_ok_and(|text| text.contains("No bootable device")));
    console.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(console.read(&mut [0; 64]).unwrap() > 0);
    let before = fs::metadata(&log).unwrap().len();
    test.vm.kill().unwrap();
    let plan = test.plan();
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    eventually("the log goes on", || fs::metadata(&log).unwrap().len() > before);
}

#[test]
fn a_kernel_is_started_directly_beside_a_seed() {
    let mut test = TestVm::new();
    let mut plan = test.plan();
    let folder = test.image.parent().unwrap().to_owned();
    plan.boot = Boot::Kernel {
        kernel: folder.join("vmlinuz"),
        initrd: Some(folder.join("initrd,img")),
        cmdline: "root=/dev/vda1 console=ttyS0,115200".into(),
    };
    plan.seed = Some(folder.join("seed,img"));
    test.vm.create(&Cx::silent(), &plan).unwrap();
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert!(error.to_string().starts_with("the box's kernel"), "{error}");
    // As much of a bzImage as QEMU looks at: the header's magic, version and highest address of an initrd (Documentation/arch/x86/boot.rst).
    let mut kernel = vec![0; 8192];
    kernel[0x1f1] = 4;
    kernel[0x202..0x208].copy_from_slice(b"HdrS\x0c\x02");
    kernel[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    fs::write(folder.join("vmlinuz"), kernel).unwrap();
    fs::write(folder.join("initrd,img"), [0; 512]).unwrap();
    fs::write(folder.join("seed,img"), [0; 4096]).unwrap();
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert!(test.state().has_process());
}

#[test]
fn inherited_locks_are_held_until_the_process_dies() {
    let mut test = TestVm::new();
    let path = test.dirs.ports().join("tcp-2200");
    let lock = Lock::try_exclusive(&path, "up").unwrap().unwrap();
    let plan = test.plan();
    test.vm.create(&Cx::silent(), &plan).unwrap();
    test.vm.start(&Cx::silent(), &plan, &[lock.file().as_fd()]).unwrap();
    drop(lock);
    assert!(Lock::is_held(&path));
    test.signal("-9");
    test.ended();
    assert!(!Lock::is_held(&path));
}

#[test]
fn what_our_parent_left_open_is_not_passed_on() {
    use std::io::Read;
    let mut test = TestVm::new();
    // Unlike std's, these stay open over exec.
    let (read, write) = rustix::pipe::pipe().unwrap();
    test.up();
    drop(write);
    let end = std::thread::spawn(move || fs::File::from(read).read(&mut [0]).unwrap());
    eventually("the pipe ends with our own end of it", || end.is_finished());
    assert_eq!(end.join().unwrap(), 0);
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_home_with_a_long_path_works() {
    let mut test = TestVm::below(&"long".repeat(40));
    assert!(test.dir().as_os_str().len() > 200);
    test.up();
    assert_eq!(test.state(), VmState::Running);
    test.vm.console().unwrap();
    test.vm.kill().unwrap();
    let log = fs::read_to_string(test.vm.hypervisor_log()).unwrap();
    assert_eq!(log, "", "QEMU complains about nothing");
}
