//! Start, pause, stop, destroy; console and kernel.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Boot, Pause, VmPlan, VmState, provider};

use crate::host::Host;
use crate::world::{TestVm, forward};

pub fn a_machine_lives_and_dies_in_order(host: &dyn Host) {
    let mut test = TestVm::new(host);
    assert_eq!(test.state(), VmState::Absent);
    let plan = test.plan();
    test.create(&plan);
    assert_eq!(test.state(), VmState::Off);
    test.start(&plan);
    assert_eq!(test.state(), VmState::Running);
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert_eq!(error.exit(), Exit::MachineState, "{error}");
    test.vm.pause().unwrap();
    assert_eq!(test.state(), VmState::Paused { why: Pause::Asked });
    test.vm.unpause().unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.press_power_button().unwrap();
    assert!(!test.vm.wait_until_ended(&Cx::silent(), Duration::from_millis(20)).unwrap());
    test.vm.kill().unwrap();
    assert_eq!(test.state(), VmState::Off);
    test.vm.kill().unwrap();
    assert_eq!(test.vm.pause().unwrap_err().exit(), Exit::MachineState);
    test.start(&plan);
    assert_eq!(test.state(), VmState::Running);
    test.vm.destroy(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Absent);
    test.assert_gone(test.id);
}

pub fn what_the_guest_says_is_heard_on_the_console_and_in_its_log(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    match test.vm.console() {
        Ok(mut console) => {
            console.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            console.read_exact(&mut [0; 16]).unwrap();
            test.counts();
            drop(console);
            test.vm.leave_console().unwrap();
        }
        Err(error) => assert!(error.hint().is_some(), "who has none to attach to says what to do instead: {error}"),
    }
    test.counts();
    test.vm.kill().unwrap();
    let before = test.counted();
    let plan = test.plan();
    test.start(&plan);
    test.counts();
    let all = test.counted();
    let anew = all.get(before.len()).zip(before.last()).is_some_and(|(next, last)| next < last);
    assert!(all.starts_with(&before) && anew, "the log does not go on: {before:?}, {all:?}");
}

pub fn a_kernel_is_started_directly_where_the_provider_can(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let mut plan = test.plan();
    let folder = test.folder().to_owned();
    plan.boot = Boot::Kernel {
        kernel: folder.join("vmlinuz"),
        initrd: Some(folder.join("initrd,img")),
        cmdline: "root=/dev/vda1 console=ttyS0,115200".into(),
    };
    plan.seed = Some(folder.join("seed,img"));
    fs::write(folder.join("seed,img"), [0; 4096]).unwrap();
    test.create(&plan);
    match test.vm.start(&Cx::silent(), &plan, &[]) {
        // It loads no kernel and takes the disk's own.
        Ok(()) => return test.counts(),
        Err(error) => assert!(error.to_string().starts_with("the box's kernel"), "{error}"),
    }
    // As much of a bzImage as QEMU looks at: the header's magic, version and highest address of an initrd
    // (Documentation/arch/x86/boot.rst).
    let mut kernel = vec![0; 8192];
    kernel[0x1f1] = 4;
    kernel[0x202..0x208].copy_from_slice(b"HdrS\x0c\x02");
    kernel[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    fs::write(folder.join("vmlinuz"), kernel).unwrap();
    fs::write(folder.join("initrd,img"), [0; 512]).unwrap();
    test.start(&plan);
    assert!(test.state().has_process());
}

pub fn a_home_with_a_long_path_works(host: &dyn Host) {
    let mut test = TestVm::below(host, &"long".repeat(40));
    assert!(test.dir().as_os_str().len() > 200);
    test.up();
    assert_eq!(test.state(), VmState::Running);
    test.counts();
}

pub fn forwards_change_while_it_runs_where_the_provider_can(host: &dyn Host) {
    let mut test = TestVm::new(host);
    // Held until all are known, or two of them might be one.
    let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = free.each_ref().map(|port| port.local_addr().unwrap().port());
    drop(free);
    let plan = VmPlan { forwards: vec![forward(ports[0]), forward(ports[1])], ..test.plan() };
    test.create(&plan);
    test.start(&plan);
    let others = [forward(ports[1]), forward(ports[2])];
    let changed = test.vm.change_forwards(&Cx::silent(), &others);
    if !provider(host.kind()).unwrap().changes_forwards() {
        let error = changed.unwrap_err();
        assert_eq!(error.exit(), Exit::Provider, "{error}");
        return println!("skipped: with this provider it takes a new start");
    }
    changed.unwrap();
    test.vm.change_forwards(&Cx::silent(), &others).unwrap();
    for (port, leads) in [(ports[0], false), (ports[1], true), (ports[2], true)] {
        assert_eq!(TcpStream::connect(("127.0.0.1", port)).is_ok(), leads, "{port} of {ports:?}");
    }
    assert_eq!(test.state(), VmState::Running);
}
