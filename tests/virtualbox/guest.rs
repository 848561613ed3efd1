//! A guest that boots: busybox and dropbear on a kernel of their own (`scripts/virtualbox/guest.sh`). In VirtualBox's
//! interpreter that takes most of a minute, so one machine does for everything.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::world::Lab;

/// The box that `make test-virtualbox` built.
fn tiny() -> Option<String> {
    let tiny = std::env::var("VBOX_RS_TEST_VIRTUALBOX_GUEST").ok().filter(|path| !path.is_empty());
    if tiny.is_none() {
        println!("skipped: VBOX_RS_TEST_VIRTUALBOX_GUEST names no box (`make test-virtualbox` builds one)");
    }
    tiny
}

#[test]
fn the_tour() {
    let Some(tiny) = tiny() else { return };
    let Some(lab) = Lab::new() else { return };
    lab.run(&["box", "add", &tiny, "--name", "tiny"]).ok();
    // A box that VirtualBox exported brings its hardware. Its disk is read-only: what is changed in it goes with a halt.
    lab.world.machine_file(
        "box = \"tiny\"\nmemory = 128\ncpus = 1\n[ssh]\ninsert_key = false\n[[forwarded_port]]\nguest = 80\nhost = 2286\n[[provision]]\ntype = \"shell\"\ninline = \
         \"echo provisioned\"\n",
    );
    lab.run(&["up"]).ok().says(&["provisioned"]);
    let calls = lab.calls();
    println!("up: {} calls\n  {}", calls.len(), calls.join("\n  "));
    assert!(calls.len() <= 12, "{calls:#?}");
    assert_eq!(lab.run(&["ssh", "-c", "echo $((6 * 7))"]).ok().stdout, "42\n");
    assert_eq!(lab.calls(), [""; 0], "ssh needs no VBoxManage");
    lab.run(&["logs"]).ok().says(&["INIT: READY"]);

    let mut page = TcpStream::connect("127.0.0.1:2286").unwrap();
    page.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("hello from a VirtualBox guest"), "{answer}");

    // The project's folder is there, both ways and at once: the guest's kernel has vboxsf.
    let project = &lab.world.project;
    std::fs::write(project.join("from-host"), "hello guest").unwrap();
    assert_eq!(lab.run(&["ssh", "-c", "cat /vagrant/from-host"]).ok().stdout, "hello guest");
    lab.run(&["ssh", "-c", "echo hello host >/vagrant/from-guest"]).ok();
    assert_eq!(std::fs::read_to_string(project.join("from-guest")).unwrap(), "hello host\n");
    lab.run(&["rsync"]).ok();
    assert!(project.join("from-guest").exists());

    lab.run(&["ssh", "-c", "touch /tmp/before"]).ok();
    lab.run(&["suspend"]).ok();
    assert_eq!(lab.state(), "saved");
    lab.run(&["resume"]).ok();
    lab.run(&["ssh", "-c", "test -e /tmp/before && cat /vagrant/from-guest"]).ok();

    lab.run(&["halt"]).ok().says(&[": halted"]);
    assert_eq!(lab.state(), "off");
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}
