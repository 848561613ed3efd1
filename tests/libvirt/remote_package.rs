//! Disks of machines in storage pools: fetched whole, or not at all.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use vbox_rs::config::spec::Protocol;
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};
use vbox_rs::provider::{Image, PlannedDisk, VmPlan, VmState};

use crate::remote_ssh::{Project, remote};
use crate::world::{TestVm, base, forward, free_port};

/// Bytes of the image that disks rest on.
const IMAGE: usize = 3 << 20;

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A machine in a pool whose guest has written `mib` MiB.
fn machine(mib: usize) -> Option<(TestVm, VmPlan)> {
    let mut test = TestVm::remote()?;
    test.image_of(IMAGE);
    let mut plan = test.remote_plan();
    plan.disks[0].size = Some(256 << 20);
    plan.forwards = vec![forward(Protocol::Tcp, free_port())];
    let cx = test.cx();
    test.vm.create(&cx, &plan).unwrap();
    let disk = volume(&test);
    run("qemu-io", &["-f", "qcow2", "-c", &format!("write -P 0xab 1M {mib}M"), disk.to_str().unwrap()]);
    Some((test, plan))
}

/// The machine's disk, as its host has it.
fn volume(test: &TestVm) -> PathBuf {
    test.daemon.dir().join(format!("pools/default/vbox-rs-{}-disk0.qcow2", test.id))
}

fn folder(test: &TestVm) -> PathBuf {
    let scratch = test.root.path().join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    scratch
}

/// What a guest would see: `IMAGE` bytes of the box's image, with what it wrote over it.
fn assert_whole(image: &Image, scratch: &Path, mib: usize) {
    assert_eq!((image.format.as_str(), image.virtual_size), ("qcow2", 256 << 20));
    let flat = scratch.join("flat");
    run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", image.path.to_str().unwrap(), flat.to_str().unwrap()]);
    let file = fs::File::open(&flat).unwrap();
    let at = |at: usize| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at as u64).unwrap();
        byte[0]
    };
    let below = |at: usize| u8::try_from(at % 251).unwrap() | 1;
    assert_eq!([at(5), at((1 << 20) - 1)], [below(5), below((1 << 20) - 1)]);
    assert_eq!([at(1 << 20), at(((1 + mib) << 20) - 1)], [0xab, 0xab]);
    let after = (1 + mib) << 20;
    assert_eq!(at(after), if after < IMAGE { below(after) } else { 0 });
    fs::remove_file(flat).unwrap();
}

#[test]
fn the_disks_of_a_machine_in_a_pool_are_fetched_and_rest_on_the_library() {
    let Some((mut test, plan)) = machine(1) else { return };
    let (cx, scratch) = (test.cx(), folder(&test));
    let images = test.vm.images_in(&cx, &scratch).unwrap();
    assert_eq!(images.len(), 1);
    assert_whole(&images[0], &scratch, 1);
    let info = Command::new("qemu-img").args(["info", images[0].path.to_str().unwrap()]).output().unwrap();
    let here = format!("backing file: {}", base(&plan).display());
    assert!(String::from_utf8_lossy(&info.stdout).contains(&here), "{info:?}");
    // The same again, and where the library has the image no more.
    fs::write(base(&plan), "another one").unwrap();
    let images = test.vm.images_in(&cx, &scratch).unwrap();
    assert_whole(&images[0], &scratch, 1);
    assert_eq!(test.heard.warnings(), Vec::<String>::new());
}

#[test]
fn extra_disks_are_volumes_that_grow_and_go_into_the_box() {
    let Some((mut test, mut plan)) = machine(1) else { return };
    let (cx, scratch) = (test.cx(), folder(&test));
    test.vm.start(&cx, &plan, &[]).unwrap();
    test.vm.kill().unwrap();
    plan.disks.push(PlannedDisk::empty("data", 8 << 20));
    test.vm.create(&cx, &plan).unwrap();
    // What was never used may be missing: an `up` that was killed had not made it yet.
    let name = format!("vbox-rs-{}-disk1.qcow2", test.id);
    test.daemon.virsh(&["vol-delete", &name, "--pool", "default"]).unwrap();
    assert_eq!(test.state(), VmState::Off);
    assert_eq!(test.vm.images_in(&cx, &scratch).unwrap().len(), 1);
    test.vm.create(&cx, &plan).unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    let described = test.virsh("dumpxml");
    assert!(described.contains(&name) && described.contains("<serial>data</serial>"), "{described}");
    test.vm.kill().unwrap();
    let disk = test.daemon.dir().join("pools/default").join(&name);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 7 0 1M", disk.to_str().unwrap()]);
    plan.disks[1].size = Some(24 << 20);
    test.vm.create(&cx, &plan).unwrap();
    // What a reload asks before it ends the machine.
    test.vm.require_disks(&cx, &plan).unwrap();
    let mut smaller = plan.clone();
    smaller.disks[0].size = Some(128 << 20);
    let error = test.vm.require_disks(&cx, &smaller).unwrap_err();
    assert!(error.to_string().ends_with("has 256 MiB and cannot shrink to 128 MiB"), "{error}");
    let images = test.vm.images_in(&cx, &scratch).unwrap();
    assert_whole(&images[0], &scratch, 1);
    assert_eq!((images.len(), images[1].virtual_size), (2, 24 << 20));
    run("qemu-io", &["-f", "qcow2", "-c", "read -P 7 0 1M", images[1].path.to_str().unwrap()]);

    test.daemon.virsh(&["vol-delete", &name, "--pool", "default"]).unwrap();
    let VmState::Broken { why } = test.state() else { panic!("it is {:?}", test.state()) };
    assert!(why.contains(&name), "{why}");
    test.vm.destroy(&cx).unwrap();
    assert!(test.daemon.volumes("default").is_empty(), "{:?}", test.daemon.volumes("default"));
}

#[test]
fn a_disk_that_somebody_changed_is_refused_before_anything_opens_it() {
    let Some((mut test, plan)) = machine(1) else { return };
    let (cx, scratch, disk) = (test.cx(), folder(&test), volume(&test));
    let good = fs::read(&disk).unwrap();
    let refused = |test: &mut TestVm, why: &str| {
        let error = test.vm.images_in(&cx, &scratch).unwrap_err();
        assert!(error.to_string().ends_with(&format!(" is not what vbox-rs made: {why}")), "{error}");
        assert_eq!(error.exit(), Exit::MachineState);
        assert!(error.hint().unwrap().contains("another client of libvirt changed it"));
    };
    run("qemu-img", &["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow", disk.to_str().unwrap()]);
    refused(&mut test, "it rests on something else than the box's image");
    fs::write(&disk, "no disk at all, but long enough for a head: ".repeat(9)).unwrap();
    refused(&mut test, "it is no qcow2 image");
    // Version 3, with its data in another file.
    let mut other = good.clone();
    other[7] = 3;
    other[72..80].copy_from_slice(&4_u64.to_be_bytes());
    fs::write(&disk, &other).unwrap();
    refused(&mut test, "it has its data in another file, or is marked as damaged");
    fs::write(&disk, good).unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    let error = test.vm.images_in(&cx, &scratch).unwrap_err();
    assert!(error.to_string().contains("running"), "{error}");
    test.vm.kill().unwrap();
    fs::remove_file(disk).unwrap();
    test.daemon.virsh(&["pool-refresh", "default"]).unwrap();
    let error = test.vm.images_in(&cx, &scratch).unwrap_err();
    assert!(error.to_string().starts_with("the volume default/vbox-rs-"), "{error}");
}

#[test]
fn a_copy_of_the_image_that_somebody_swapped_goes_into_no_box() {
    let Some((mut test, plan)) = machine(1) else { return };
    let (cx, scratch) = (test.cx(), folder(&test));
    let volumes = test.daemon.volumes("default");
    let copy = volumes
        .iter()
        .find(|name| name.contains("-sha256-") && Path::new(name).extension().is_some_and(|end| end == "raw"))
        .unwrap();
    let swapped = fs::File::options().write(true).open(test.daemon.dir().join("pools/default").join(copy)).unwrap();
    swapped.write_all_at(b"another's", 4096).unwrap();
    // What the library has is what was uploaded: nothing is fetched.
    test.vm.images_in(&cx, &scratch).unwrap();
    fs::remove_file(base(&plan)).unwrap();
    let error = test.vm.images_in(&cx, &scratch).unwrap_err();
    let uri = test.daemon.tcp_uri();
    let end = format!("`{copy}` of libvirt at `{uri}` is not what vbox-rs made: its content is not the box's image");
    assert!(error.to_string().ends_with(&end), "{error}");
    assert_eq!(error.exit(), Exit::MachineState);
}

/// A file system of 4 MiB.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn where_there_is_no_room_nothing_is_fetched() {
    let Some((mut test, _)) = machine(8) else { return };
    let (cx, scratch) = (test.cx(), folder(&test));
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "none", scratch.to_str().unwrap()]);
    let _small = Small(scratch.clone());
    let error = test.vm.images_in(&cx, &scratch).unwrap_err();
    let uri = test.daemon.tcp_uri();
    let begin = format!("the machine's disks at `{uri}` have 9 MiB, and there are 4 MiB left for them in ");
    assert!(error.to_string().starts_with(&begin), "{error}");
    assert_eq!(error.exit(), Exit::Io);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

/// Does something when the first bytes of a download are told.
struct AtDownload<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Sink for AtDownload<F> {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if let Event::Transfer { label, done: 1.., total: Some(_), .. } = event
            && label.starts_with("download from qemu+tcp://")
        {
            (self.0)();
        }
    }
}

#[test]
fn a_download_is_given_up_when_the_user_wants_it() {
    let Some((mut test, _)) = machine(200) else { return };
    let scratch = folder(&test);
    let cancel = Cancel::default();
    let raise = cancel.clone();
    let cx = Cx::new(Arc::new(AtDownload(move || raise.raise())), cancel);
    let error = test.vm.images_in(&cx, &scratch).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted, "{error}");
    let images = test.vm.images_in(&test.cx(), &scratch).unwrap();
    assert_whole(&images[0], &scratch, 200);
}

#[test]
fn a_daemon_killed_in_a_download_is_told_and_the_next_one_goes_on() {
    let Some((mut test, _)) = machine(200) else { return };
    let scratch = folder(&test);
    let pid = rustix::process::Pid::from_raw(i32::try_from(test.daemon.pid()).unwrap()).unwrap();
    let kill = move || {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    };
    let cx = Cx::new(Arc::new(AtDownload(kill)), Cancel::default());
    let error = test.vm.images_in(&cx, &scratch).unwrap_err();
    assert!(error.to_string().contains("went away while it should hand out a disk of the machine"), "{error}");
    test.daemon.kill();
    assert!(test.daemon.restart());
    let images = test.vm.images_in(&test.cx(), &scratch).unwrap();
    assert_whole(&images[0], &scratch, 200);
}

#[test]
fn a_machine_at_another_host_becomes_a_box_and_kill_9_changes_nothing() {
    let Some((test, sshd)) = remote() else { return };
    let project = Project { root: test.root.path(), path: sshd.path() };
    project.add_empty_box();
    project.machine_file(
        "box = \"empty\"\nboot_timeout = 1\ngraceful_halt_timeout = 1\nmemory = 64\n[provider_options.libvirt]\nuri = \
         \"qemu+ssh://root@other/system\"\n",
    );
    project.fails(&["up"], &[]);
    let before = test.daemon.volumes("default");
    // What answers nobody cannot be cleaned; the machine is off by then, and as it was.
    let words = ["is started on this computer, by QEMU", "could not be cleaned", "--no-reset"];
    project.fails(&["package"], &words);
    let folder = project.machine_dir().join("package");
    assert!(!folder.exists(), "the copy is gone");
    for instant in [30, 150, 400, 900, 1500] {
        let mut child = project.command(&["package"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(instant));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(test.daemon.volumes("default"), before);
    }
    let said = project.ok(&["package", "--no-reset", "--output", "made.box"]);
    assert!(said.contains("made.box is written"), "{said}");
    assert!(!folder.exists());
    assert!(project.ok(&["status"]).contains("off"));
    project.ok(&["box", "add", "made.box", "--name", "made"]);
    project.ok(&["destroy", "--force"]);
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
}

#[test]
fn a_machine_in_a_pool_of_this_host_becomes_a_box() {
    let Some(test) = TestVm::remote() else { return };
    let project = Project { root: test.root.path(), path: std::env::var("PATH").unwrap() };
    project.add_empty_box();
    project.machine_file(&format!(
        "box = \"empty\"\nboot_timeout = 1\ngraceful_halt_timeout = 1\nmemory = 64\n[provider_options.libvirt]\nuri = \
         \"{}\"\npool = \"default\"\n",
        test.daemon.uri()
    ));
    project.fails(&["up"], &[]);
    let before = test.daemon.volumes("default");
    // The copy is started by the machine's own daemon, from files.
    project.fails(&["package"], &["could not be cleaned"]);
    assert_eq!(test.daemon.volumes("default"), before);
    assert_eq!(test.daemon.virsh(&["list", "--name"]).unwrap().trim(), "", "the copy is gone");
    project.ok(&["package", "--no-reset", "--output", "made.box"]);
    project.ok(&["destroy", "--force"]);
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
}
