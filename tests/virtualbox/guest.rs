//! A guest that boots: busybox and dropbear on a kernel of their own (`scripts/virtualbox/guest.sh`). In VirtualBox's
//! interpreter that takes most of a minute, so one machine does for everything.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::appliance::Imported;
use crate::live::forwards;
use crate::world::Lab;

/// The beginning of every machine file here. The guest's disk is read-only: what is changed in it goes with a halt, a key
/// of its own too.
pub const TINY: &str = "box = \"tiny\"\nmemory = 128\ncpus = 1\nssh.insert_key = false\n";

/// With the box that `make test-virtualbox` built, as `tiny`.
pub fn with_tiny() -> Option<Lab> {
    let Some(tiny) = std::env::var("VBOX_RS_TEST_VIRTUALBOX_GUEST").ok().filter(|path| !path.is_empty()) else {
        println!("skipped: VBOX_RS_TEST_VIRTUALBOX_GUEST names no box (`make test-virtualbox` builds one)");
        return None;
    };
    let lab = Lab::new()?;
    lab.run(&["box", "add", &tiny, "--name", "tiny"]).ok();
    Some(lab)
}

/// What a command in the guest prints.
#[track_caller]
fn guest(lab: &Lab, line: &str) -> String {
    lab.run(&["ssh", "-c", line]).ok().stdout
}

/// What the guest's web server answers at a port of the host.
fn page(port: u16) -> String {
    let mut page = TcpStream::connect(("127.0.0.1", port)).unwrap();
    page.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether the guest sends back what comes to a port of the host.
fn echoes(port: u16) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // Datagrams may be lost.
    (0..6).any(|_| {
        socket.send_to(b"anybody there?", ("127.0.0.1", port)).unwrap();
        let mut answer = [0; 64];
        socket.recv(&mut answer).is_ok_and(|length| &answer[..length] == b"anybody there?")
    })
}

fn machine_file(lab: &Lab, ports: &[(&str, u16, u16)]) {
    lab.world.machine_file(&format!(
        "{TINY}hostname = \"tour\"\n{}\
         [[synced_folder]]\nhost = \"my data\"\nguest = \"/srv/my data\"\ntype = \"virtualbox\"\ncreate = true\n\
         [[synced_folder]]\nhost = \"site\"\nguest = \"/srv/site\"\ntype = \"rsync\"\ncreate = true\n\
         [[provision]]\ntype = \"shell\"\ninline = \"echo provisioned; cp /vagrant/page /www/index.html\"\nrun = \"always\"\n",
        forwards(ports)
    ));
}

#[test]
fn the_tour() {
    let Some(lab) = with_tiny() else { return };
    let project = &lab.world.project;
    fs::write(project.join("page"), "hello from the tour").unwrap();
    machine_file(&lab, &[("tcp", 80, 2286)]);
    lab.calls();
    lab.run(&["up"]).ok().says(&["provisioned"]);
    let calls = lab.calls();
    println!("up: {} calls\n  {}", calls.len(), calls.join("\n  "));
    // One more for each further folder that is shared.
    assert!(calls.len() <= 13, "{calls:#?}");
    assert_eq!(guest(&lab, "echo $((6 * 7)) $(hostname)"), "42 tour\n");
    assert_eq!(lab.calls(), [""; 0], "ssh needs no VBoxManage");
    lab.run(&["logs"]).ok().says(&["INIT: READY"]);
    assert!(page(2286).ends_with("hello from the tour"));

    folders(&lab);
    live_forwards(&lab);
    suspend_and_resume(&lab);
    live_datagrams(&lab);
    reload(&lab);

    lab.run(&["halt"]).ok().says(&[": halted"]);
    assert_eq!(lab.state(), "off");
    lab.run(&["package", "--format", "virtualbox", "--no-reset", "--output", "packed.box"]).ok();
    lab.destroy();
    packed_again(&lab);
}

/// The project's folder is there, both ways and at once: the guest's kernel has vboxsf. Another one is copied.
fn folders(lab: &Lab) {
    let shared = [lab.world.project.clone(), lab.world.project.join("my data")];
    for folder in &shared {
        fs::write(folder.join("from-höst"), "hello guest\n").unwrap();
    }
    // A login takes such a guest seconds, so each does for much.
    let each = "for f in /vagrant '/srv/my data'; do";
    let made = "mkdir \"$f/made\" && echo hello host >\"$f/made/by guest\"";
    let said = guest(lab, &format!("{each} cat \"$f/from-höst\"; {made}; done; grep -c vboxsf /proc/mounts"));
    assert_eq!(said, "hello guest\nhello guest\n2\n");
    for folder in &shared {
        assert_eq!(fs::read_to_string(folder.join("made/by guest")).unwrap(), "hello host\n");
        fs::remove_file(folder.join("from-höst")).unwrap();
    }
    let copied = lab.world.project.join("site/new");
    fs::write(&copied, "copied\n").unwrap();
    lab.run(&["rsync"]).ok();
    let said =
        guest(lab, &format!("cat /srv/site/new; {each} ls \"$f\" | grep höst; done; grep -c vboxsf /proc/mounts"));
    assert_eq!(said, "copied\n2\n", "what the host removed is gone, and all is mounted once");
    fs::remove_file(copied).unwrap();
    lab.run(&["rsync"]).ok();
    assert_eq!(guest(lab, "ls /srv/site"), "");
    assert!(shared[0].join("made").exists(), "what is shared is not copied over");
}

/// Without a new start.
fn live_forwards(lab: &Lab) {
    let process = lab.processes("VBoxHeadless");
    machine_file(lab, &[("tcp", 80, 2287)]);
    lab.run(&["up"]).ok();
    assert_eq!(lab.processes("VBoxHeadless"), process);
    TcpStream::connect("127.0.0.1:2286").unwrap_err();
    assert!(page(2287).ends_with("hello from the tour"));
    // The card was plugged in without a leave for datagrams' answers: the next time it is.
    machine_file(lab, &[("tcp", 80, 2287), ("udp", 7, 2288)]);
    lab.run(&["up"]).fails(8, &["answers would be dropped"]);
    assert!(page(2287).ends_with("hello from the tour"));
}

/// Without a new start, once any are let through.
fn live_datagrams(lab: &Lab) {
    machine_file(lab, &[("tcp", 80, 2287), ("udp", 7, 2289)]);
    lab.run(&["up"]).ok();
    assert!(echoes(2289));
}

fn suspend_and_resume(lab: &Lab) {
    let project = &lab.world.project;
    guest(lab, "touch /tmp/before");
    lab.run(&["suspend"]).ok();
    assert_eq!(lab.state(), "saved");
    fs::write(project.join("meanwhile"), "written while it slept").unwrap();
    lab.run(&["resume"]).ok();
    let said = guest(lab, "test -e /tmp/before && cat /vagrant/meanwhile && echo awake >'/srv/my data/awake'");
    assert_eq!(said, "written while it slept");
    assert_eq!(fs::read_to_string(project.join("my data/awake")).unwrap(), "awake\n");
    assert!(page(2287).ends_with("hello from the tour"));
    assert!(echoes(2288));
}

fn reload(lab: &Lab) {
    fs::write(lab.world.project.join("page"), "hello again").unwrap();
    lab.run(&["reload"]).ok().says(&["provisioned"]);
    let said = guest(lab, "test ! -e /tmp/before && cat /vagrant/meanwhile; grep -c vboxsf /proc/mounts");
    assert_eq!(said, "written while it slept2\n");
    assert!(page(2287).ends_with("hello again"));
}

/// The box that was packed of this guest, by us and by VirtualBox's own import side by side.
fn packed_again(lab: &Lab) {
    let packed = lab.world.project.join("packed.box");
    lab.run(&["box", "add", packed.to_str().unwrap(), "--name", "packed"]).ok();
    let imported = Imported::start(lab, &packed);
    // As the box says, but for what is not on its disk.
    lab.world.machine_file("box = \"packed\"\nssh.insert_key = false\n");
    lab.run(&["up"]).ok();
    assert_eq!(guest(lab, "cat /www/index.html"), "hello from a VirtualBox guest\n");
    lab.run(&["destroy", "-f"]).ok();
    for _ in 0..10 {
        if imported.has_said("INIT: READY") {
            break;
        }
        std::thread::sleep(Duration::from_secs(10));
    }
    assert!(imported.has_said("INIT: READY"));
    assert_eq!([imported.told("memory"), imported.told("cpus")], ["128", "1"]);
    imported.remove();
    lab.assert_nothing_left();
}
