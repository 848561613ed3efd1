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
use vbox_rs::provider::{Boot, Devices, Error, Forward, PlannedDisk, Vm, VmHome, VmPlan, VmState, provider};
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
        plan(&self.image)
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

fn plan(image: &Path) -> VmPlan {
    let disk = PlannedDisk { backing: image.into(), backing_format: "raw".into(), size: None };
    VmPlan {
        name: "test,x/default".into(),
        cpus: 1,
        memory: 32,
        disks: vec![disk],
        boot: Boot::Disk,
        devices: Devices::default(),
        seed: None,
        seed_writable: false,
        tethered: false,
        forwards: Vec::new(),
        qemu: QemuOptions { accel: Accel::Tcg, ..QemuOptions::default() },
    }
}

fn open(dirs: &Dirs, id: MachineId) -> Box<dyn Vm> {
    let home = VmHome { id, dir: dirs.machine(id), runtime: dirs.runtime(id) };
    provider(ProviderKind::Qemu).unwrap().open(home)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What `store` was writing when it was killed goes with the directory, which is not the provider's.
    names.filter(|name| !name.starts_with(".new-")).collect()
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
fn a_kernel_is_started_directly_beside_a_seed() {
    let Some(mut test) = TestVm::new() else { return };
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
fn what_our_parent_left_open_is_not_passed_on() {
    use std::io::Read;
    let Some(mut test) = TestVm::new() else { return };
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
fn a_save_that_was_cut_off_can_be_repeated_or_undone() {
    let Some(mut test) = TestVm::new() else { return };
    test.up();
    for undo in [true, false] {
        // As `kill -9` leaves it between QEMU's last word and our rename.
        let path = test.dir().join("saved-state.part");
        let uri = format!("{{\"uri\":\"file:{}\"}}", path.display());
        monitor(&test.dir(), &[("stop", "{}"), ("migrate", &uri)]);
        eventually("memory is written", || test.state() == VmState::Paused { why: "postmigrate".into() });
        if undo {
            test.vm.unpause().unwrap();
            assert_eq!(test.state(), VmState::Running);
            assert!(!path.exists());
        } else {
            test.vm.save(&Cx::silent()).unwrap();
            assert_eq!(test.state(), VmState::Saved);
        }
    }
}

/// Talks to the monitor as somebody else would.
fn monitor(dir: &Path, commands: &[(&str, &str)]) {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(dir.join("qmp.sock")).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for (command, arguments) in [("qmp_capabilities", "{}")].iter().chain(commands) {
        writeln!(stream, "{{\"execute\":\"{command}\",\"arguments\":{arguments}}}").unwrap();
        let answer = lines.find(|line| line.as_ref().unwrap().contains("\"return\""));
        assert!(answer.is_some());
    }
}

/// Not a test of its own: what the next one kills. Creates, starts, saves and restores until somebody ends it.
#[test]
fn victim() {
    let Ok(root) = std::env::var("VBOX_RS_TEST_VICTIM") else { return };
    let root = Path::new(&root);
    let id = fs::read_to_string(root.join("id")).unwrap().parse().unwrap();
    let dirs = Dirs::below(root);
    let plan = plan(&root.join("image.raw"));
    let mut vm = open(&dirs, id);
    loop {
        vm.create(&Cx::silent(), &plan).unwrap();
        vm.start(&Cx::silent(), &plan, &[]).unwrap();
        vm.save(&Cx::silent()).unwrap();
        vm.restore(&Cx::silent(), &[], &[]).unwrap();
        vm.pause().unwrap();
        vm.unpause().unwrap();
        vm.destroy(&Cx::silent()).unwrap();
    }
}

#[test]
fn after_kill_9_at_any_instant_the_same_command_or_destroy_goes_on() {
    for round in 0_u64..20 {
        let Some(mut test) = TestVm::new() else { return };
        let root = test.image.parent().unwrap();
        fs::write(root.join("id"), test.id.to_string()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim"])
            .env("VBOX_RS_TEST_VICTIM", root)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let instant = Duration::from_millis(3 + round * 17);
        std::thread::sleep(instant);
        assert!(child.try_wait().unwrap().is_none(), "the victim failed by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let plan = test.plan();
        let found = settled(&mut test);
        match &found {
            VmState::Absent | VmState::Off => {
                test.vm.create(&Cx::silent(), &plan).unwrap();
                test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
            }
            VmState::Saved => test.vm.restore(&Cx::silent(), &[], &[]).unwrap(),
            VmState::Running => {}
            VmState::Paused { .. } => test.vm.unpause().unwrap(),
            // Cut off within `destroy`, which is then repeated by the end of the test.
            VmState::Vanished { .. } | VmState::Broken { .. } => continue,
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(settled(&mut test), VmState::Running, "round {round}, found {found:?}");
    }
}

/// The state once a process that was just started or just restored has got over it.
fn settled(test: &mut TestVm) -> VmState {
    let mut state = test.state();
    for _ in 0..20 {
        if !matches!(state, VmState::Unresponsive { .. }) {
            break;
        }
        state = test.state();
    }
    state
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
    fs::rename(test.dir().join("disk0.qcow2"), test.dir().join("disk0.77.new")).unwrap();
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
