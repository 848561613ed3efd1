//! The QEMU provider against the real QEMU, without a guest: firmware that finds nothing to boot is machine enough to be
//! started, paused, saved, killed and destroyed. Where QEMU is not installed the tests say so and pass.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "in tests a panic is the message, also in their helpers")]

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vbox_rs::config::spec::{Accel, Protocol, ProviderKind, QemuOptions};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::provider::{Boot, Error, Forward, PlannedDisk, Vm, VmHome, VmPlan, VmState, provider};
use vbox_rs::store::{Dirs, Lock, MachineId};

/// A machine of its own directory that is destroyed at the end, also when the test fails.
struct TestVm {
    _root: tempfile::TempDir,
    dirs: Dirs,
    id: MachineId,
    image: PathBuf,
    vm: Box<dyn Vm>,
}

impl TestVm {
    /// `None` where QEMU is not installed.
    fn new() -> Option<Self> {
        Self::below("")
    }

    fn below(folder: &str) -> Option<Self> {
        let found = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        if !found("qemu-img") || !found(&format!("qemu-system-{}", std::env::consts::ARCH)) {
            println!("skipped: QEMU is not installed");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(&root.path().join(folder));
        let image = root.path().join("image.raw");
        fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let id = MachineId::random().unwrap();
        let vm = open(&dirs, id);
        Some(Self { _root: root, dirs, id, image, vm })
    }

    fn plan(&self) -> VmPlan {
        let disk = PlannedDisk { backing: self.image.clone(), backing_format: "raw".into(), size: None };
        VmPlan {
            name: "test,x/default".into(),
            cpus: 1,
            memory: 32,
            disks: vec![disk],
            boot: Boot::Disk,
            seed: None,
            forwards: Vec::new(),
            qemu: QemuOptions { accel: Accel::Tcg, ..QemuOptions::default() },
        }
    }

    fn dir(&self) -> PathBuf {
        self.dirs.machine(self.id)
    }

    fn up(&mut self) {
        let plan = self.plan();
        self.vm.create(&Cx::silent(), &plan).unwrap();
        self.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    }

    /// Another `vbox-rs`, later: it knows nothing but the files.
    fn reopen(&mut self) {
        self.vm = open(&self.dirs, self.id);
    }

    fn state(&mut self) -> VmState {
        self.reopen();
        self.vm.state().unwrap()
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.dir().join("qemu.pid")).unwrap().trim().parse().unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn ended(&mut self) {
        assert!(self.vm.wait_until_ended(&Cx::silent(), Duration::from_secs(20)).unwrap());
    }
}

impl Drop for TestVm {
    fn drop(&mut self) {
        let result = self.vm.destroy(&Cx::silent());
        if !std::thread::panicking() {
            result.unwrap();
            assert!(names(&self.dir()).is_empty(), "left over: {:?}", names(&self.dir()));
            assert!(processes(self.id).is_empty());
        }
    }
}

fn open(dirs: &Dirs, id: MachineId) -> Box<dyn Vm> {
    let home = VmHome { id, dir: dirs.machine(id), runtime: dirs.runtime(id) };
    provider(ProviderKind::Qemu).unwrap().open(home)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Processes that carry the machine's id, zombies not counted.
fn processes(id: MachineId) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&id.uuid())).collect()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn forward(port: u16) -> Forward {
    Forward { protocol: Protocol::Tcp, host_ip: IpAddr::from([127, 0, 0, 1]), host: port, guest: 22 }
}

#[test]
fn a_machine_lives_and_dies_in_order() {
    let Some(mut test) = TestVm::new() else { return };
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
    let Some(mut test) = TestVm::new() else { return };
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
fn memory_is_saved_and_restored_with_other_forwards() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert!(processes(test.id).is_empty());
    let plan = test.plan();
    assert_eq!(test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err().exit(), Exit::MachineState);
    let port = free_port();
    test.vm.restore(&Cx::silent(), &[forward(port)], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(!names(&test.dir()).iter().any(|name| name.starts_with("saved-state")));
    assert_eq!(test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err().exit(), Exit::MachineState);
    // And once more, from a paused machine, to be thrown away.
    test.vm.pause().unwrap();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.discard_saved().unwrap();
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_saved_state_that_cannot_be_loaded_is_kept() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    let path = test.dir().join("saved-state");
    let good = fs::read(&path).unwrap();
    fs::write(&path, b"nonsense").unwrap();
    let error = test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err();
    assert!(matches!(error, Error::Migration { action: "restore", .. }), "{error:?}");
    assert_eq!(test.state(), VmState::Saved);
    assert!(processes(test.id).is_empty());
    fs::write(&path, good).unwrap();
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_save_that_is_cancelled_leaves_a_running_machine() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    let cancel = Cancel::default();
    cancel.raise();
    let cx = Cx::new(std::sync::Arc::new(Silent), cancel);
    assert_eq!(test.vm.save(&cx).unwrap_err().exit(), Exit::Interrupted);
    assert_eq!(test.state(), VmState::Running);
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert_eq!(test.vm.restore(&cx, &[], &[]).unwrap_err().exit(), Exit::Interrupted);
    assert_eq!(test.state(), VmState::Saved);
}

#[test]
fn a_path_that_qemu_cannot_write_to_is_written_through_a_descriptor() {
    let Some(mut test) = TestVm::below("with, comma") else { return };
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_killed_process_is_seen_as_vanished_and_a_new_start_mends_it() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    test.signal("-9");
    test.ended();
    assert_eq!(test.state(), VmState::Vanished { why: "its process was killed".into() });
    assert!(test.dir().join("qemu.pid").exists(), "a query changed something");
    let plan = test.plan();
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    test.signal("-15");
    test.ended();
    let VmState::Vanished { why } = test.state() else { panic!() };
    assert!(why.contains("terminating on signal 15"), "{why}");
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_stopped_process_is_unresponsive_and_can_be_killed() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    test.signal("-STOP");
    // The signal takes a moment to reach every thread.
    eventually("it is unresponsive", || matches!(test.state(), VmState::Unresponsive { .. }));
    let VmState::Unresponsive { why } = test.state() else { panic!() };
    assert!(why.contains("no answer to `"), "{why}");
    test.vm.kill().unwrap();
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_taken_port_has_an_error_of_its_own() {
    let Some(mut test) = TestVm::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut plan = test.plan();
    plan.forwards = vec![forward(free_port()), forward(port)];
    test.vm.create(&Cx::silent(), &plan).unwrap();
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert!(matches!(error, Error::PortTaken { port: found, .. } if found == port), "{error:?}");
    assert_eq!(test.state(), VmState::Off);
    drop(listener);
    test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn qemus_own_complaint_is_passed_on() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    plan.qemu.extra_args = vec!["-nonsense".into()];
    test.vm.create(&Cx::silent(), &plan).unwrap();
    let error = test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert_eq!(error.to_string(), "QEMU ended at once (exit status: 1): -nonsense: invalid option");
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn lost_disks_and_images_are_named() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    test.vm.kill().unwrap();
    fs::rename(&test.image, test.image.with_extension("away")).unwrap();
    let VmState::Broken { why } = test.state() else { panic!() };
    assert!(why.contains("image.raw is missing"), "{why}");
    fs::rename(test.image.with_extension("away"), &test.image).unwrap();
    fs::remove_file(test.dir().join("disk0.qcow2")).unwrap();
    let VmState::Broken { why } = test.state() else { panic!() };
    assert!(why.contains("disk0.qcow2 is missing"), "{why}");
    let plan = test.plan();
    for error in
        [test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err(), test.vm.create(&Cx::silent(), &plan).unwrap_err()]
    {
        assert!(matches!(error, Error::FileMissing { .. }), "{error:?}");
    }
    assert!(!test.dir().join("disk0.qcow2").exists(), "a lost disk is never replaced by an empty one");
}

#[test]
fn a_process_without_record_or_lock_file_is_found_and_destroyed() {
    let Some(mut test) = TestVm::new() else { return };
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
    assert!(processes(test.id).is_empty());
    assert_eq!(test.state(), VmState::Absent);
}

#[test]
fn inherited_locks_are_held_until_the_process_dies() {
    let Some(mut test) = TestVm::new() else { return };
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
fn a_home_with_a_long_path_works() {
    let Some(mut test) = TestVm::below(&"long".repeat(40)) else { return };
    assert!(test.dir().as_os_str().len() > 200);
    test.up();
    assert_eq!(test.state(), VmState::Running);
    test.vm.console().unwrap();
    test.vm.kill().unwrap();
    let log = fs::read_to_string(test.vm.hypervisor_log()).unwrap();
    assert_eq!(log, "", "QEMU complains about nothing");
}

#[test]
fn disks_grow_while_the_machine_is_off_and_never_shrink() {
    let Some(mut test) = TestVm::new() else { return };
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
    let Some(mut test) = TestVm::new() else { return };
    let plan = test.plan();
    test.vm.create(&Cx::silent(), &plan).unwrap();
    // As `kill -9` leaves it between the intent and the disk.
    let record = fs::read_to_string(test.dir().join("qemu.json")).unwrap();
    fs::write(test.dir().join("qemu.json"), record.replace("\"created\": true", "\"created\": false")).unwrap();
    fs::rename(test.dir().join("disk0.qcow2"), test.dir().join("disk0.new")).unwrap();
    assert_eq!(test.state(), VmState::Absent);
    test.vm.create(&Cx::silent(), &plan).unwrap();
    assert_eq!(test.state(), VmState::Off);
}

fn virtual_size(test: &TestVm) -> u64 {
    let head = fs::read(test.dir().join("disk0.qcow2")).unwrap();
    u64::from_be_bytes(head[24..32].try_into().unwrap())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
