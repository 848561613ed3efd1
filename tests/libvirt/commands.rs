//! Whole commands, while somebody else acts on their machine or its daemon.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::daemon::{Daemon, found, is_root};
use crate::guest::{Ran, World};
use crate::silent::SILENT;
use crate::world::eventually;

/// A machine on which nothing answers, at a daemon of its own.
fn silent(more: &str) -> Option<(World, Daemon)> {
    let world = World::on("libvirt");
    let daemon = Daemon::start(&world.folder("d")).map_err(|why| println!("skipped: {why}")).ok()?;
    world.fall_silent(&format!("{more}[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n", daemon.uri()));
    Some((world, daemon))
}

/// An `up` whose machine runs, and which waits for a guest that never answers.
fn waiting_up(world: &World) -> Child {
    let file = world.project.join("Vagrantfile");
    let text = fs::read_to_string(&file).unwrap().replace("boot_timeout = 1\n", "boot_timeout = 100\n");
    fs::write(file, text).unwrap();
    let child = world.command(&["up"]).spawn().unwrap();
    eventually("it runs", || world.state("default") == "running");
    child
}

/// What it said, once it has noticed by itself.
fn noticed(mut up: Child) -> Ran {
    eventually("the wait ends before its time", || up.try_wait().unwrap().is_some());
    Ran::of(&up.wait_with_output().unwrap())
}

fn the_machine(daemon: &Daemon) -> String {
    daemon.virsh(&["list", "--all", "--uuid"]).unwrap().trim().to_owned()
}

#[test]
fn a_domain_that_another_client_destroys_while_up_waits_is_noticed_at_once() {
    let Some((world, daemon)) = silent("") else { return };
    let up = waiting_up(&world);
    daemon.virsh(&["destroy", &the_machine(&daemon)]).unwrap();
    noticed(up).fails(8, &["another client of libvirt pulled its plug"]);
    let up = waiting_up(&world);
    let machine = the_machine(&daemon);
    daemon.virsh(&["undefine", &machine]).unwrap();
    daemon.virsh(&["destroy", &machine]).unwrap();
    noticed(up).fails(8, &["another client of libvirt undefined it"]);
    assert_eq!(the_machine(&daemon), "");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_daemon_that_dies_and_comes_back_while_up_waits_is_found_again() {
    let Some((world, mut daemon)) = silent("") else { return };
    let mut up = waiting_up(&world);
    daemon.kill();
    world.run(&["status"]).says(&["no libvirt daemon answers at"]);
    assert!(daemon.restart());
    assert!(up.try_wait().unwrap().is_none(), "its guest may answer any moment");
    assert_eq!(world.state("default"), "running");
    daemon.virsh(&["destroy", &the_machine(&daemon)]).unwrap();
    noticed(up).fails(8, &["another client of libvirt pulled its plug"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn doctor_says_what_the_daemon_offers_and_what_starts_one_that_is_not_there() {
    let Some((world, mut daemon)) = silent("") else { return };
    let doctor = || Ran::of(&world.command(&["doctor"]).env("LIBVIRT_DEFAULT_URI", daemon.uri()).output().unwrap());
    let offers = ["daemon ", ", QEMU ", "domain types: ", "networks up: none; pools up: none", "UEFI firmware"];
    doctor().says(&offers).says(&[&format!(" at {}", daemon.uri())]);
    daemon.kill();
    let uri = daemon.uri();
    let alone = world.command(&["doctor"]).env("LIBVIRT_DEFAULT_URI", &uri).output().unwrap();
    Ran::of(&alone).says(&[&format!("no libvirt daemon answers at `{uri}`"), "start the daemon"]);
    assert!(daemon.restart());
}

/// libvirt's modular daemons listen at sockets of their own names. No package that can be had here brings them, so it is
/// libvirtd that listens where `virtqemud` would.
#[test]
fn a_daemon_at_the_socket_of_the_modular_ones_is_found_without_being_named() {
    if !is_root() || found("nsenter").is_none() {
        return println!("skipped: it takes root, and nsenter");
    }
    let Some((world, daemon)) = silent("") else { return };
    world.machine_file(&format!("{SILENT}[provider_options.libvirt]\naccel = \"tcg\"\n"));
    let sockets = daemon.dir.join("run");
    fs::rename(sockets.join("libvirt-sock"), sockets.join("virtqemud-sock")).unwrap();
    let namespace = format!("--mount=/proc/{}/ns/mnt", daemon.child.as_ref().unwrap().id());
    let there = |args: &[&str]| {
        let mut command = Command::new("nsenter");
        command.arg(&namespace).arg(env!("CARGO_BIN_EXE_vbox-rs")).arg("-C").arg(&world.project).args(args);
        command.env("VBOX_RS_HOME", world.home()).env("NO_COLOR", "1").env_remove("LIBVIRT_DEFAULT_URI");
        Ran::of(&command.stdin(Stdio::null()).output().unwrap())
    };
    there(&["doctor"]).says(&[" at qemu:///system"]);
    there(&["up"]).fails(10, &[]);
    there(&["status"]).ok().says(&["running"]);
    assert!(!the_machine(&daemon).is_empty());
    there(&["suspend"]).ok();
    there(&["resume"]).fails(10, &[]);
    there(&["halt"]).ok();
    there(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    assert_eq!(the_machine(&daemon), "");
}

#[test]
fn a_log_daemon_that_is_missing_is_told_with_what_starts_it() {
    let world = World::on("libvirt");
    let daemon = match Daemon::with(&world.folder("d"), None, Some("max_size = 2048\n")) {
        Ok(daemon) => daemon,
        Err(why) => return println!("skipped: {why}"),
    };
    world.fall_silent(&format!("[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n", daemon.uri()));
    daemon.kill_logger();
    world.run(&["up"]).fails(8, &["virtlogd does not run", "virtlogd"]);
    assert_eq!(world.state("default"), "off");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn firmware_that_is_not_installed_is_named_with_the_package_that_brings_it() {
    let Some((world, daemon)) = silent("firmware = \"uefi\"\n") else { return };
    let hidden = world.hidden_firmware();
    let output = world.command(&["up"]).env("XDG_CONFIG_HOME", &hidden).output().unwrap();
    Ran::of(&output).fails(8, &["no UEFI firmware is installed", "install"]);
    assert_eq!(the_machine(&daemon), "");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
