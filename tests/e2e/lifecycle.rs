//! The main job on one machine: `init`, `up`, `ssh`, `halt`, `destroy`, and what lies between.

use std::fs;
use std::process::Command;

use crate::world::World;

/// The whole tour on one booted machine: what a new user does, in that order.
#[test]
fn the_tour() {
    let world = World::with_demo();
    world.run(&["init", "demo", "--minimal"]).ok();
    world.run(&["init", "demo"]).fails(2, &["Vagrantfile", "--force"]);
    world.run(&["validate"]).ok();
    assert_eq!(world.state("default"), "not created");
    world.run(&["ssh", "-c", "true"]).fails(7, &["not created", "vbox-rs up"]);

    fs::write(world.project.join("hello.txt"), "from the host\n").unwrap();
    let text = fs::read_to_string(world.project.join("Vagrantfile")).unwrap();
    world.machine_file(&format!(
        "{text}\nhostname = \"tour\"\n[[forwarded_port]]\nguest = 8000\n[[provision]]\nname = \"first\"\ntype = \
             \"shell\"\ninline = \"echo provisioned $(id -un); echo run >> /var/tmp/runs\"\n"
    ));
    world.run(&["up"]).ok().says(&["provisioned root", "boot", "start"]);
    assert_eq!(world.state("default"), "running");

    inside(&world);
    around(&world);
    again(&world);

    world.run(&["destroy"]).fails(2, &["-f"]);
    world.run(&["destroy", "-f"]).ok();
    assert_eq!(world.state("default"), "not created");
    world.assert_nothing_left();
    world.run(&["destroy", "-f"]).ok();
}

/// What `ssh`, `exec` and `upload` do in the running machine.
fn inside(world: &World) {
    let ran = world.run(&["ssh", "-c", "id -un; hostname; cat /vagrant/hello.txt; echo oops >&2; exit 7"]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert_eq!(ran.stdout, "vagrant\ntour\nfrom the host\n");
    assert!(ran.stderr.contains("oops"));
    let ran = world.run(&["exec", "--", "printf", "%s|", "a b", "$HOME", "it's"]).ok();
    assert_eq!(ran.stdout, "a b|$HOME|it's|");
    fs::write(world.project.join("data.bin"), [0_u8, 255, 10, 13, 0]).unwrap();
    world.run(&["upload", "data.bin", "/tmp/data.bin"]).ok();
    let ran = world.run(&["ssh", "-c", "od -An -tu1 /tmp/data.bin"]).ok();
    assert_eq!(ran.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "255", "10", "13", "0"]);
    // The key pair is the machine's own: Vagrant's public one no longer lets anybody in.
    let keys = world.run(&["ssh", "-c", "cat ~/.ssh/authorized_keys"]).ok().stdout;
    assert_eq!(keys.lines().count(), 1, "{keys}");
    assert!(keys.starts_with("ssh-ed25519 "), "{keys}");
}

/// What the host sees of it.
fn around(world: &World) {
    let config = world.run(&["ssh-config", "--host", "other"]).ok().stdout;
    assert!(config.starts_with("Host other\n"), "{config}");
    assert!(config.contains("StrictHostKeyChecking yes"), "{config}");
    let path = world.project.join("ssh.cfg");
    fs::write(&path, config).unwrap();
    let ssh = Command::new("ssh").arg("-F").arg(&path).args(["other", "echo through openssh"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ssh.stdout), "through openssh\n", "{}", String::from_utf8_lossy(&ssh.stderr));

    let port = world.run(&["port", "--guest", "8000"]).ok().stdout;
    let port: u16 = port.trim().parse().unwrap();
    assert!((2200..=2250).contains(&port));
    let all = world.run(&["global-status", "--json"]).ok().json();
    assert_eq!(all["machines"][0]["state"], "running");
    assert_eq!(all["machines"][0]["project"], world.project.to_str().unwrap());
    // By id, from anywhere.
    let id = world.id("default");
    let elsewhere = world.folder("elsewhere");
    let ran = world.run_in(&elsewhere, &["ssh", &id[..8], "-c", "hostname"]).ok();
    assert_eq!(ran.stdout, "tour\n");
    world.run(&["logs"]).ok().says(&["Linux version"]);
    let timings = world.run(&["timings", "--json"]).ok().stdout;
    assert!(timings.contains("boot"), "{timings}");
    world.run(&["box", "remove", "demo"]).fails(7, &["default", &id[..8]]);
}

/// `up` on a running machine, `halt`, `up`, `reload`, `provision`.
fn again(world: &World) {
    world.run(&["up"]).ok().says(&["already running"]);
    let count = |expected: &str| {
        assert_eq!(world.run(&["ssh", "-c", "wc -l < /var/tmp/runs"]).ok().stdout.trim(), expected);
    };
    count("1");
    world.run(&["provision"]).ok();
    count("2");
    world.run(&["halt"]).ok();
    assert_eq!(world.state("default"), "off");
    assert_eq!(world.processes(), [0; 0]);
    world.run(&["ssh", "-c", "true"]).fails(7, &["off", "vbox-rs up"]);
    world.run(&["halt"]).ok();
    world.run(&["up"]).ok();
    count("2");
    world.run(&["up", "--provision"]).ok();
    count("3");
}
