//! Real guests at another host: up to ssh, and back.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::nat::await_banner;
use crate::remote_ssh::{Project, remote};
use crate::remote_tls::World;
use crate::world::{TestVm, found, free_port};

/// The demo box; `make test` builds it and says where it is.
fn demo_box() -> Option<PathBuf> {
    let path = std::env::var_os("VBOX_RS_TEST_BOX").map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        println!("skipped: VBOX_RS_TEST_BOX names no box");
    }
    path
}

/// The box as the other tests with guests have unpacked it, or unpacked here.
fn add_demo(project: &Project<'_>, demo: &Path) {
    let unpacked = demo.with_extension("library").join("boxes");
    if unpacked.is_dir() {
        link_tree(&unpacked, &project.root.join("home/boxes"));
    } else {
        project.ok(&["box", "add", demo.to_str().unwrap(), "--name", "demo"]);
    }
}

/// Library files never change, so that hard links are as good as copies.
fn link_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_tree(&entry.path(), &to);
        } else {
            fs::hard_link(entry.path(), &to).or_else(|_| fs::copy(entry.path(), &to).map(drop)).unwrap();
        }
    }
}

/// From nothing to a guest that runs commands, through sleep and reboot, to nothing.
fn tour(test: &TestVm, project: &Project<'_>, options: &str) {
    project.machine_file(&format!(
        "box = \"demo\"\nhostname = \"far\"\nmemory = 512\ndisk = \"10 GiB\"\n[[provision]]\ntype = \"shell\"\ninline = \
         \"echo made > /made\"\n[provider_options.libvirt]\n{options}\n"
    ));
    project.ok(&["up"]);
    assert_eq!(project.ok(&["ssh", "-c", "hostname; cat /made"]), "far\nmade\n");
    project.ok(&["suspend"]);
    assert!(project.ok(&["status"]).contains("saved"));
    project.ok(&["resume"]);
    assert_eq!(project.ok(&["ssh", "-c", "cat /made"]), "made\n");
    project.ok(&["halt"]);
    assert!(project.ok(&["status"]).contains("off"));
    project.ok(&["destroy", "--force"]);
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
}

#[test]
fn a_guest_boots_at_a_host_that_is_reached_by_tls() {
    let Some(demo) = demo_box() else { return };
    let Some(world) = World::new() else { return };
    let project = Project { root: world.test.root.path(), path: std::env::var("PATH").unwrap() };
    add_demo(&project, &demo);
    let (uri, address) = (world.uri("good"), world.test.daemon.far().there);
    tour(&world.test, &project, &format!("uri = \"{uri}\"\nforward_address = \"{address}\""));
}

#[test]
fn a_guest_boots_at_a_host_that_is_reached_by_ssh() {
    let Some(demo) = demo_box() else { return };
    let Some((test, sshd)) = remote() else { return };
    let project = Project { root: test.root.path(), path: sshd.path() };
    add_demo(&project, &demo);
    tour(&test, &project, "uri = \"qemu+ssh://root@other/system\"");
}

/// The network of another host, which goes when the test does.
struct Network<'a>(&'a TestVm);

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.0.daemon.virsh(&["net-destroy", "default"]);
    }
}

#[test]
fn a_guest_on_a_network_of_another_host_is_reached_through_ssh() {
    let Some(demo) = demo_box() else { return };
    let Some((test, sshd)) = remote() else { return };
    for program in ["dnsmasq", "iptables"] {
        if found(program).is_none() {
            println!("skipped: it takes {program}");
            return;
        }
    }
    let project = Project { root: test.root.path(), path: sshd.path() };
    add_demo(&project, &demo);
    let port = free_port();
    project.machine_file(&format!(
        "box = \"demo\"\nmemory = 512\nboot_timeout = 900\n[[forwarded_port]]\nguest = 22\nhost = {port}\n[[synced_folder]]\nguest = \
         \"/vagrant\"\ndisabled = true\n[provider_options.libvirt]\nuri = \"qemu+ssh://root@other/system\"\nnetwork = \
         \"default\"\n"
    ));
    let words = "libvirt's network `default` does not exist at `qemu+ssh://other/system`";
    project.fails(&["up"], &[words, "up --yes", "net-define"]);
    let _network = Network(&test);
    let said = project.ok(&["up", "--yes"]);
    assert!(said.contains("agreed to: at other: make and start libvirt's network `default`"), "{said}");

    let status = || -> serde_json::Value { serde_json::from_str(&project.ok(&["status", "--json"])).unwrap() };
    let address = status()["machines"][0]["address"].as_str().unwrap().to_owned();
    assert!(address.starts_with("192.168."), "{address}");
    let own = project.ok(&["ssh", "-c", "ip -4 -o addr"]);
    assert!(own.contains(&address) && own.contains("10.0.2.15/24"), "{own}");
    let config = project.ok(&["ssh-config"]);
    assert!(config.contains("HostName 127.0.0.1"), "{config}");
    await_banner(port, "after its start");

    // As after a night: the way to the guest comes back with the tunnel, at the same port.
    project.break_tunnel();
    assert_eq!(project.ok(&["ssh", "-c", "echo back"]), "back\n");
    assert_eq!(project.ok(&["ssh-config"]), config);
    await_banner(port, "through another tunnel");

    // Somebody takes that port meanwhile: another one does, and the forwards stand.
    project.break_tunnel();
    let way = config.lines().find_map(|line| line.trim().strip_prefix("Port ")).unwrap();
    let taken = TcpListener::bind(("127.0.0.1", way.parse().unwrap())).unwrap();
    assert_eq!(project.ok(&["ssh", "-c", "echo past"]), "past\n");
    await_banner(port, "beside another way");
    drop(taken);
    // The same where the tunnel stands, and what it leads to is elsewhere now.
    let noted = project.machine_dir().join("tunnel.way");
    let before = fs::read_to_string(&noted).unwrap();
    let (here, to) = before.split_once(' ').unwrap();
    assert_ne!(here, way);
    fs::remove_file(&noted).unwrap();
    let socket = project.machine_dir().join("tunnel.sock");
    let rule = format!("127.0.0.1:{here}:{}", to.trim());
    let cancel = ["-S", socket.to_str().unwrap(), "-O", "cancel", "-L", &rule, "other"];
    assert!(Command::new("ssh").args(cancel).output().unwrap().status.success());
    let taken = TcpListener::bind(("127.0.0.1", way.parse().unwrap())).unwrap();
    let through = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(project.ok(&["ssh", "-c", "echo through"]), "through\n");
    assert_ne!(project.ok(&["ssh-config"]), config);
    through.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!((&through).read(&mut [0; 8]).unwrap() > 0, "what went through the tunnel goes on");
    drop(taken);

    project.ok(&["suspend"]);
    project.ok(&["resume"]);
    assert_eq!(project.ok(&["ssh", "-c", "echo awake"]), "awake\n");
    assert_eq!(status()["machines"][0]["address"], address.as_str());
    await_banner(port, "after a resume");
    project.ok(&["halt"]);
    assert!(!project.has_tunnel());
    assert_eq!(status()["machines"][0]["address"], serde_json::Value::Null);
    project.ok(&["destroy", "--force"]);
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
}

#[test]
fn a_guest_at_another_host_becomes_a_box_whose_machines_are_others() {
    let Some(demo) = demo_box() else { return };
    let Some((test, sshd)) = remote() else { return };
    let project = Project { root: test.root.path(), path: sshd.path() };
    add_demo(&project, &demo);
    let file = |name: &str| {
        project.machine_file(&format!(
            "box = \"{name}\"\nmemory = 512\nboot_timeout = 900\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n\
             [provider_options.libvirt]\nuri = \"qemu+ssh://root@other/system\"\n"
        ));
    };
    let marks = || project.ok(&["ssh", "-c", "cat /etc/machine-id; cat /home/vagrant/mark"]);
    file("demo");
    project.ok(&["up"]);
    project.ok(&["ssh", "-c", "echo kept > /home/vagrant/mark && sync"]);
    let before = marks();
    let said = project.ok(&["package"]);
    assert!(said.contains("is started on this computer, by QEMU") && said.contains("package.box is written"), "{said}");
    project.ok(&["destroy", "--force"]);
    project.ok(&["box", "add", "package.box", "--name", "me/far"]);
    file("me/far");
    project.ok(&["up"]);
    let after = marks();
    assert!(before.ends_with("kept\n") && after.ends_with("kept\n"), "{before} {after}");
    assert_ne!(before, after, "it has a machine id of its own");
    project.ok(&["destroy", "--force"]);
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
}
