//! Boxes of other people, guests that do not answer, disks that grow, scripts that fail.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::world::{World, demo_box};

/// A box as Vagrant users publish them: no kernel beside it, no seed, Vagrant's public key inside.
fn add_plain_box(world: &World) {
    let folder = world.folder("plain");
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program).current_dir(&folder).args(args).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    };
    run("tar", &["-xzf", demo_box().to_str().unwrap(), "box.img"]);
    fs::write(folder.join("metadata.json"), r#"{"provider":"libvirt","format":"qcow2","virtual_size":8}"#).unwrap();
    run("tar", &["-cf", "plain.box", "metadata.json", "box.img"]);
    fs::remove_file(folder.join("box.img")).unwrap();
    world.run(&["box", "add", "../plain/plain.box", "--name", "acme/plain"]).ok();
    fs::remove_file(folder.join("plain.box")).unwrap();
}

#[test]
fn a_box_of_another_publisher_gets_a_key_of_its_own_and_a_larger_disk() {
    let world = World::empty();
    add_plain_box(&world);
    world.machine_file(
        "box = \"acme/plain\"\nhostname = \"grown\"\ncpus = 1\nmemory = \"768 MiB\"\ndisk = \"12 GiB\"\n[[provision]]\ntype = \
         \"shell\"\nprivileged = false\nargs = [\"two words\", \"$HOME\"]\nenv = { GREETING = \"it's me\" }\ninline = \
         'echo \"as $(id -un): $GREETING, $1, $2\"'\n[[provision]]\nname = \"breaks\"\ntype = \"shell\"\ninline = \"echo \
         before; echo the reason >&2; exit 42\"\n[[provision]]\nname = \"never-reached\"\ntype = \"shell\"\ninline = \
         \"echo unreachable\"\n",
    );
    let ran = world.run(&["up"]).fails(12, &["breaks", "42", "the reason"]);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("as vagrant: it's me, two words, $HOME"), "{all}");
    assert!(!all.contains("unreachable"), "{all}");
    assert_eq!(world.state("default"), "running", "a failing script loses nothing");

    let seen = world
        .run(&["ssh", "-c", "hostname; nproc; df --output=size -BG / | tail -1; cat .ssh/authorized_keys"])
        .ok()
        .stdout;
    let lines: Vec<_> = seen.lines().map(str::trim).collect();
    assert_eq!(&lines[..2], ["grown", "1"]);
    let size: u32 = lines[2].trim_end_matches('G').parse().unwrap();
    assert!((11..=12).contains(&size), "the file system has {size} GiB");
    assert!(lines[3..].iter().all(|key| key.starts_with("ssh-ed25519") && !key.contains("vagrant insecure")), "{seen}");

    // A host key that changed behind our back is a clear error, for us and for OpenSSH.
    world.run(&["ssh", "-c", "sudo rm /etc/ssh/ssh_host_*; sudo ssh-keygen -qA; sudo systemctl restart ssh"]);
    world.run(&["ssh", "-c", "true"]).fails(255, &["HOST IDENTIFICATION HAS CHANGED"]);
    world.run(&["upload", "Vagrantfile", "/tmp/x"]).fails(11, &["host key", "changed", "SHA256:"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn the_published_key_stays_as_long_as_the_machine_file_says_so() {
    let world = World::with_demo();
    let file = "box = \"demo\"\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n";
    world.machine_file(&format!("{file}[ssh]\ninsert_key = false\n"));
    world.run(&["up"]).ok().says(&["boot", "login"]);
    let keys = || world.run(&["ssh", "-c", "cat .ssh/authorized_keys"]).ok().stdout;
    assert!(keys().contains("vagrant insecure public key"), "{}", keys());
    world.machine_file(file);
    world.run(&["up"]).ok();
    assert!(keys().starts_with("ssh-ed25519 ") && keys().lines().count() == 1, "{}", keys());
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn the_users_own_key_lets_in_for_good_where_the_machine_file_says_so() {
    let world = World::with_demo();
    let keys = world.folder("keys");
    let mut made = Command::new("ssh-keygen");
    made.args(["-q", "-t", "ed25519", "-N", "", "-C", "me", "-f"]).arg(keys.join("mine"));
    assert!(made.status().unwrap().success());
    let file = |key: &str| {
        format!(
            "box = \"demo\"\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n[ssh]\ninsert_key = \
             false\nprivate_key_path = [\"{key}\"]\nconnect_timeout = 120\n"
        )
    };
    // A key whose public half nobody can tell is refused before anything is made.
    fs::write(keys.join("pem"), "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n").unwrap();
    world.machine_file(&file("../keys/pem"));
    world.run(&["up"]).fails(11, &["keys/pem", "pem.pub is missing"]);
    world.assert_nothing_left();

    world.machine_file(&file("../keys/mine"));
    world.run(&["up"]).ok().says(&["boot", "login"]);
    let inside = world.run(&["ssh", "-c", "cat .ssh/authorized_keys"]).ok().stdout;
    let public = fs::read_to_string(keys.join("mine.pub")).unwrap();
    assert_eq!(inside.trim(), public.trim());
    let config = world.run(&["ssh-config"]).ok().stdout;
    assert!(config.contains("keys/mine"), "{config}");
    world.run(&["up"]).ok().says(&["already running"]);
    world.run(&["halt"]).ok();
    world.run(&["up"]).ok();
    interrupted_by_its_user(&world, &file("../keys/mine"));
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// Ctrl-C while a provisioner runs, and while folders are copied: what is left is told, and the same command goes on.
fn interrupted_by_its_user(world: &World, file: &str) {
    let interrupt = |args: &[&str], heard: &str| {
        let mut child = world.command(args).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(heard) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "`{heard}` is told");
        }
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
        rest
    };
    let slow =
        "[[provision]]\nname = \"slow\"\ntype = \"shell\"\ninline = \"echo begun; test -e /tmp/quick || sleep 300\"\n";
    world.machine_file(&format!("{file}{slow}"));
    let told = interrupt(&["provision"], "begun");
    assert!(told.contains("interrupted; machine `default` runs") && told.contains("vbox-rs provision"), "{told}");
    world.run(&["ssh", "-c", "touch /tmp/quick"]).ok();
    world.run(&["provision"]).ok().says(&["begun"]);

    let big = world.folder("project/big");
    fs::write(big.join("data"), vec![7; 256 << 20]).unwrap();
    world.machine_file(&format!("{file}[[synced_folder]]\nhost = \"big\"\nguest = \"/home/vagrant/big\"\n"));
    let told = interrupt(&["rsync"], "big");
    assert!(told.contains("copied in part") && told.contains("vbox-rs rsync"), "{told}");
    fs::write(big.join("data"), "small").unwrap();
    world.run(&["rsync"]).ok();
    assert_eq!(world.run(&["ssh", "-c", "cat big/data"]).ok().stdout, "small");
    fs::remove_dir_all(big).unwrap();
}

#[test]
fn a_guest_without_sshd_is_told_from_one_that_does_not_boot() {
    let world = World::with_demo();
    let manifests = world.home().join("boxes/manifests/demo");
    let version = fs::read_dir(manifests).unwrap().next().unwrap().unwrap().path();
    let manifest = fs::read_dir(version).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&manifest).unwrap();
    // Anew: the file is shared with other tests' libraries.
    fs::remove_file(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("no_timer_check", "no_timer_check systemd.mask=ssh.service systemd.mask=ssh.socket"),
    )
    .unwrap();
    let wait = |seconds: u32| {
        world.machine_file(&format!("box = \"demo\"\nmemory = 512\nboot_timeout = {seconds}\n"));
        world.run(&["up"])
    };
    // It boots however long it takes; that nothing answers then is found soon.
    wait(1).fails(10, &["within 1 s"]);
    let began = Instant::now();
    while !world.run(&["logs"]).ok().stdout.contains("login:") {
        assert!(began.elapsed() < Duration::from_secs(300), "it never boots");
        thread::sleep(Duration::from_millis(200));
    }
    let words = ["no ssh server answered", "within 3 s", "vbox-rs console", "the end of the guest's console", "login:"];
    let ran = wait(3).fails(10, &words);
    println!("{}", ran.stderr);
    assert_eq!(world.state("default"), "running");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn what_a_provider_cannot_do_is_named() {
    let world = World::with_demo();
    world.machine_file("box = \"demo\"\n[[synced_folder]]\nhost = \".\"\nguest = \"/srv\"\ntype = \"nfs\"\n");
    world.run(&["up"]).fails(8, &["nfs", "/srv", "rsync"]);
    world.assert_nothing_left();
    world.machine_file("box = \"nobody/has-this\"\n");
    world.run(&["up"]).fails(4, &["nobody/has-this"]);
    world.machine_file("box = \"demo\"\nbox_version = \"> 9999\"\n");
    world.run(&["up"]).fails(4, &["demo", "> 9999"]);
    world.assert_nothing_left();
}
