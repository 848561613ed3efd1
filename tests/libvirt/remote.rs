//! Machines at another host: a daemon that is reached by TCP and sees none of our files.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vbox_rs::config::spec::{LibvirtOptions, Protocol};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};
use vbox_rs::provider::{Vm, VmPlan, VmState};
use vbox_rs::store::MachineId;

use crate::world::{TestVm, eventually, forward, free_port, names, open};

fn ends(name: &str, kind: &str) -> bool {
    name.rsplit('.').next() == Some(kind)
}

/// What machines rest on: copies of images, and marks that they are whole.
fn copies(test: &TestVm, pool: &str) -> (usize, usize) {
    let volumes = test.daemon.volumes(pool);
    let marks = volumes.iter().filter(|name| ends(name, "whole")).count();
    (volumes.iter().filter(|name| name.starts_with("vbox-rs-sha256-")).count() - marks, marks)
}

#[test]
fn a_machine_at_another_host_lives_on_volumes_and_leaves_none() {
    let Some(mut test) = TestVm::remote() else { return };
    let mut plan = test.remote_plan();
    let ports = [free_port(), free_port()];
    plan.forwards = ports.map(|port| forward(Protocol::Tcp, port)).into();
    plan.forwards[1].guest = 80;
    let cx = test.cx();
    assert_eq!(test.vm.state().unwrap(), VmState::Absent);
    test.vm.create(&cx, &plan).unwrap();
    assert_eq!(test.state(), VmState::Off);
    assert_eq!(copies(&test, "default"), (1, 1));
    let overlay = format!("vbox-rs-{}-disk0.qcow2", test.id);
    assert!(test.daemon.volumes("default").contains(&overlay));
    assert!(!test.dir().join("disk0.qcow2").exists());
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    let forwards = test.vm.forwards().unwrap().unwrap();
    assert_ne!(forwards[0].host, ports[0], "nobody needs to know the number that leads to ssh");
    assert_eq!(forwards[1].host, ports[1], "the machine file's number counts");
    assert!(forwards.iter().all(|forward| TcpStream::connect((forward.host_ip, forward.host)).is_ok()), "QEMU listens");
    assert!(!test.virsh("dumpxml").contains(test.dir().to_str().unwrap()), "no file of this computer is named");
    test.vm.pause().unwrap();
    test.vm.unpause().unwrap();
    test.vm.save(&cx).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.restore(&cx, &plan.forwards, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.kill().unwrap();
    plan.disks[0].size = Some(8 << 20);
    test.vm.create(&cx, &plan).unwrap();
    assert!(test.daemon.virsh(&["vol-info", &overlay, "default"]).unwrap().contains("8.00 MiB"));
    plan.disks[0].size = Some(4 << 20);
    assert_eq!(test.vm.create(&cx, &plan).unwrap_err().exit(), Exit::MachineState);
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
    assert_eq!(test.heard.warnings(), Vec::<String>::new());
}

#[test]
fn machines_share_a_copy_and_the_last_one_takes_it_along() {
    let Some(mut test) = TestVm::remote() else { return };
    let (plan, cx) = (test.remote_plan(), test.cx());
    // Somebody else's, whatever it is called.
    test.daemon.virsh(&["vol-create-as", "default", "vbox.qcow2", "1M", "--format", "qcow2"]).unwrap();
    let id = MachineId::random().unwrap();
    let mut second = open(test.root.path(), id);
    std::thread::scope(|scope| {
        // Side by side, as the machines of one project come up: one uploads.
        scope.spawn(|| second.create(&cx, &plan).unwrap());
        test.vm.create(&cx, &plan).unwrap();
    });
    assert_eq!(copies(&test, "default"), (1, 1));
    second.destroy(&cx).unwrap();
    assert_eq!(copies(&test, "default"), (1, 1), "the other one rests on it");
    test.vm.start(&cx, &plan, &[]).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.daemon.volumes("default"), ["vbox.qcow2"]);
    test.daemon.virsh(&["vol-delete", "vbox.qcow2", "default"]).unwrap();
}

#[test]
fn a_pool_of_this_hosts_daemon_is_used_where_the_machine_file_names_it() {
    let Some(mut test) = TestVm::remote() else { return };
    let mut plan = test.plan();
    plan.libvirt.pool = Some("default".into());
    plan.forwards = vec![forward(Protocol::Tcp, free_port())];
    test.up(&plan);
    assert_eq!(test.state(), VmState::Running);
    assert_eq!(test.vm.forwards().unwrap(), None, "they are where they were asked for");
    assert_eq!(copies(&test, "default"), (1, 1));
    assert!(test.vm.console_log().exists());
    let error = test.vm.images().unwrap_err();
    assert_eq!(error.to_string(), "libvirt cannot show disks in a storage pool to other programs as they are");
    plan.libvirt.pool = Some("other".into());
    test.vm.kill().unwrap();
    test.up(&plan);
    let told = "its disks stay in pool `default`; destroy the machine and make it anew to have them in pool `other`";
    assert_eq!(test.heard.warnings(), [told]);
}

#[test]
fn a_pool_that_cannot_be_used_is_told_with_what_helps() {
    let Some(mut test) = TestVm::remote() else { return };
    let (cx, uri) = (test.cx(), test.daemon.tcp_uri());
    let mut plan = test.remote_plan();
    test.daemon.virsh(&["pool-destroy", "default"]).unwrap();
    let error = test.vm.create(&cx, &plan).unwrap_err();
    let words = format!("the storage pool `default` of libvirt at `{uri}` cannot be used: it is not started");
    assert_eq!(error.to_string(), words);
    assert_eq!(error.hint().unwrap(), format!("virsh -c {uri} pool-start default"));
    assert_eq!(error.exit(), Exit::Provider);
    test.daemon.virsh(&["pool-start", "default"]).unwrap();
    test.vm.destroy(&cx).unwrap();
    plan.libvirt.pool = Some("gone".into());
    let error = test.vm.create(&cx, &plan).unwrap_err();
    assert!(error.to_string().contains("the storage pool `gone`") && error.to_string().ends_with("there is none"));
    assert!(error.hint().unwrap().contains("pool-define-as gone dir"), "{error:?}");
}

/// What was told of bytes that go somewhere.
#[derive(Default)]
struct Labels(Mutex<Vec<String>>);

impl Sink for Labels {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if let Event::Transfer { label, .. } = event {
            self.0.lock().unwrap().push(label.clone());
        }
    }
}

#[test]
fn an_image_whose_digest_is_known_is_read_only_to_be_uploaded_and_must_be_what_it_was() {
    let Some(mut test) = TestVm::remote() else { return };
    let mut plan = test.remote_plan();
    let create = |vm: &mut dyn Vm, plan: &VmPlan| {
        let labels = Arc::<Labels>::default();
        let result = vm.create(&Cx::new(Arc::clone(&labels) as Arc<dyn Sink>, Cancel::default()), plan);
        let read = labels.0.lock().unwrap().iter().any(|label| label == "read the box's image");
        (result, read)
    };
    let (result, read) = create(test.vm.as_mut(), &plan);
    result.unwrap();
    assert!(read, "its digest is not known");
    let copy = test.daemon.volumes("default").into_iter().find(|name| ends(name, "raw")).unwrap();
    let digest = copy.strip_prefix("vbox-rs-sha256-").unwrap().split('-').next().unwrap().to_owned();
    let mut second = open(test.root.path(), MachineId::random().unwrap());
    plan.disks[0].backing.as_mut().unwrap().sha256 = Some(digest);
    let (result, read) = create(second.as_mut(), &plan);
    result.unwrap();
    assert!(!read);
    assert_eq!(copies(&test, "default"), (1, 1), "the copy is found by it");
    second.destroy(&test.cx()).unwrap();
    test.vm.destroy(&test.cx()).unwrap();

    plan.disks[0].backing.as_mut().unwrap().sha256 = Some("ab".repeat(32));
    let (result, read) = create(second.as_mut(), &plan);
    let error = result.unwrap_err().to_string();
    assert!(error.ends_with("is damaged: its content is not what it was when it was added") && !read, "{error}");
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
    second.destroy(&test.cx()).unwrap();
}

#[test]
fn a_full_pool_is_told_and_nothing_half_is_left_in_it() {
    let Some(mut test) = TestVm::remote() else { return };
    let small = test.daemon.dir().join("pools/small");
    fs::create_dir_all(&small).unwrap();
    test.daemon.kill();
    assert!(test.daemon.restart(), "with a file system of 4 MiB there");
    test.daemon.add_pool("small");
    let cx = test.cx();
    let mut plan = test.remote_plan();
    plan.libvirt.pool = Some("small".into());
    test.image_of(8 << 20);
    let error = test.vm.create(&cx, &plan).unwrap_err();
    assert!(error.to_string().starts_with("no space is left in the storage pool `small`"), "{error}");
    assert!(error.to_string().ends_with("left, the box's image has 8388608"), "{error}");
    assert_eq!(error.exit(), Exit::Io);
    // What libvirt does not know of fills it in the middle.
    test.image_of(3 << 20);
    let inside = Path::new("/proc").join(test.daemon.pid().to_string()).join("root");
    let fill = inside.join(small.strip_prefix("/").unwrap()).join("fill");
    fs::write(&fill, vec![1; 2 << 20]).unwrap();
    let error = test.vm.create(&cx, &plan).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert_eq!(error.exit(), Exit::Io);
    assert_eq!(test.daemon.volumes("small"), ["fill"]);
    fs::remove_file(&fill).unwrap();
    test.vm.create(&cx, &plan).unwrap();
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_volume_that_somebody_removed_is_told_and_never_replaced() {
    let Some(mut test) = TestVm::remote() else { return };
    let (plan, cx) = (test.remote_plan(), test.cx());
    test.vm.create(&cx, &plan).unwrap();
    let overlay = format!("vbox-rs-{}-disk0.qcow2", test.id);
    test.daemon.virsh(&["vol-delete", &overlay, "default"]).unwrap();
    let why = format!("its volume default/{overlay} is missing");
    assert_eq!(test.state(), VmState::Broken { why });
    let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("the volume default/{overlay} is missing"));
    assert_eq!(test.vm.create(&cx, &plan).unwrap_err().exit(), Exit::MachineState);
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
    // The copy, under the machine that rests on it; its mark alone says nothing to the next machine.
    test.vm.create(&cx, &plan).unwrap();
    let copy = test.daemon.volumes("default").into_iter().find(|name| ends(name, "raw")).unwrap();
    test.daemon.virsh(&["vol-delete", &copy, "default"]).unwrap();
    assert!(matches!(test.state(), VmState::Broken { why } if why.contains(&copy)));
    let mut second = open(test.root.path(), MachineId::random().unwrap());
    second.create(&cx, &plan).unwrap();
    assert_eq!(copies(&test, "default"), (1, 1));
    second.destroy(&cx).unwrap();
}

/// Raises a flag, or does something else, when the first bytes of an upload are told.
struct AtUpload<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Sink for AtUpload<F> {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if let Event::Transfer { label, done: 1.., .. } = event
            && label.starts_with("upload to")
        {
            (self.0)();
        }
    }
}

#[test]
fn an_upload_that_is_cancelled_leaves_nothing() {
    let Some(mut test) = TestVm::remote() else { return };
    test.image_of(128 << 20);
    let cancel = Cancel::default();
    let raise = cancel.clone();
    let cx = Cx::new(Arc::new(AtUpload(move || raise.raise())), cancel);
    let error = test.vm.create(&cx, &test.remote_plan()).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted, "{error}");
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
    assert_eq!(test.state(), VmState::Absent);
}

#[test]
fn a_daemon_killed_in_an_upload_is_told_and_the_next_up_goes_on() {
    let Some(mut test) = TestVm::remote() else { return };
    test.image_of(128 << 20);
    let plan = test.remote_plan();
    let pid = rustix::process::Pid::from_raw(i32::try_from(test.daemon.pid()).unwrap()).unwrap();
    let kill = move || {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    };
    let cx = Cx::new(Arc::new(AtUpload(kill)), Cancel::default());
    let error = test.vm.create(&cx, &plan).unwrap_err();
    assert!(error.to_string().contains("went away while it should take an upload"), "{error}");
    assert_eq!(error.hint().unwrap(), "the same command goes on when the daemon is back");
    test.daemon.kill();
    assert!(test.daemon.restart());
    let half = test.daemon.volumes("default");
    assert!(half.len() == 1 && !ends(&half[0], "whole"), "{half:?}");
    test.vm.create(&test.cx(), &plan).unwrap();
    assert_eq!(copies(&test, "default"), (1, 1));
    assert!(!test.daemon.volumes("default").contains(&half[0]), "the half copy is gone");
}

/// Not a test of its own: what the next one kills.
#[test]
#[ignore = "started by another test"]
fn child_uploads() {
    let (mut vm, plan) = victim();
    vm.create(&Cx::silent(), &plan).unwrap();
}

/// The machine that `start_child` names.
fn victim() -> (Box<dyn Vm>, VmPlan) {
    let root = std::env::var("VBOX_RS_TEST_VICTIM").unwrap();
    let root = Path::new(&root);
    let plan = serde_json::from_str(&fs::read_to_string(root.join("plan")).unwrap()).unwrap();
    (open(root, fs::read_to_string(root.join("id")).unwrap().parse().unwrap()), plan)
}

fn start_child(test: &TestVm, plan: &VmPlan, name: &str) -> Child {
    let root = test.root.path();
    fs::write(root.join("id"), test.id.to_string()).unwrap();
    fs::write(root.join("plan"), serde_json::to_string(plan).unwrap()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("remote::{name}"), "--ignored"]).env("VBOX_RS_TEST_VICTIM", root);
    command.stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn after_kill_9_in_an_upload_the_next_up_goes_on_and_destroy_leaves_nothing() {
    let Some(mut test) = TestVm::remote() else { return };
    test.image_of(128 << 20);
    let (plan, cx) = (test.remote_plan(), test.cx());
    let killed_in_upload = |test: &TestVm| {
        let mut child = start_child(test, &plan, "child_uploads");
        let pool = test.daemon.dir().join("pools/default");
        eventually("the upload begins", || {
            fs::read_dir(&pool).unwrap().any(|file| {
                use std::os::unix::fs::MetadataExt;
                file.unwrap().metadata().is_ok_and(|meta| meta.blocks() > 2048)
            })
        });
        child.kill().unwrap();
        child.wait().unwrap();
    };
    killed_in_upload(&test);
    let half = test.daemon.volumes("default");
    assert!(half.len() == 1 && !ends(&half[0], "whole"), "{half:?}");
    // Another machine does not rest on it either.
    let mut second = open(test.root.path(), MachineId::random().unwrap());
    second.create(&cx, &plan).unwrap();
    assert_eq!(copies(&test, "default"), (2, 1));
    test.reopen();
    test.vm.create(&cx, &plan).unwrap();
    assert_eq!(copies(&test, "default"), (1, 1));
    second.destroy(&cx).unwrap();
    test.vm.destroy(&cx).unwrap();
    killed_in_upload(&test);
    test.reopen();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
}

/// Not a test of its own: what the next one kills.
#[test]
#[ignore = "started by another test"]
fn child_lives_and_dies() {
    let (mut vm, plan) = victim();
    let cx = Cx::silent();
    loop {
        vm.create(&cx, &plan).unwrap();
        vm.start(&cx, &plan, &[]).unwrap();
        vm.save(&cx).unwrap();
        vm.restore(&cx, &plan.forwards, &[]).unwrap();
        vm.destroy(&cx).unwrap();
    }
}

#[test]
fn after_kill_9_at_any_instant_destroy_leaves_no_volume() {
    let Some(mut test) = TestVm::remote() else { return };
    let mut plan = test.remote_plan();
    plan.forwards = vec![forward(Protocol::Tcp, free_port())];
    let cx = test.cx();
    for round in 0..8 {
        let mut child = start_child(&test, &plan, "child_lives_and_dies");
        std::thread::sleep(Duration::from_millis(100 + 300 * round));
        assert!(child.try_wait().unwrap().is_none(), "the victim failed by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        // Every other time it goes on first.
        if round % 2 == 1 && matches!(test.state(), VmState::Absent | VmState::Off) {
            test.up(&plan);
            assert_eq!(test.state(), VmState::Running, "round {round}");
        }
        test.reopen();
        test.vm.destroy(&cx).unwrap();
        assert_eq!(test.daemon.volumes("default"), Vec::<String>::new(), "round {round}");
        assert!(names(&test.dir()).is_empty(), "round {round}: {:?}", names(&test.dir()));
    }
}

#[test]
fn a_host_that_says_nothing_is_given_up_when_the_user_wants_it() {
    let Some(mut test) = TestVm::remote() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = test.remote_plan();
    plan.libvirt.uri = Some(format!("qemu+tcp://{}/system", silent.local_addr().unwrap()));
    let cancel = Cancel::default();
    let raise = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        raise.raise();
    });
    let began = Instant::now();
    let error = test.vm.create(&Cx::new(test.heard.clone(), cancel), &plan).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted, "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "long before any limit");
    drop(silent);
    let error = test.vm.create(&test.cx(), &plan).unwrap_err();
    assert!(error.to_string().starts_with("no libvirt daemon answers at `qemu+tcp://127.0.0.1:"), "{error}");
    assert!(error.hint().unwrap().contains("`qemu+ssh://127.0.0.1/system` needs nothing of that"), "{error:?}");
    // Nothing was made there, so nobody has to answer.
    test.vm.destroy(&test.cx()).unwrap();
    assert!(names(&test.dir()).is_empty());
}

#[test]
fn a_host_without_ssh_opens_ports_only_where_the_machine_file_says_so() {
    let Some(mut test) = TestVm::remote() else { return };
    let mut plan = test.remote_plan();
    plan.libvirt.forward_address = None;
    test.vm.create(&test.cx(), &plan).unwrap();
    let error = test.vm.start(&test.cx(), &plan, &[]).unwrap_err();
    assert!(error.to_string().contains(", where this computer cannot get to"), "{error}");
    assert!(error.hint().unwrap().contains("`forward_address`"));
    plan.libvirt = LibvirtOptions { forward_address: test.remote_plan().libvirt.forward_address, ..plan.libvirt };
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
}
