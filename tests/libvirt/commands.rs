//! Whole commands, while somebody else acts on their machine or its daemon.

use std::process::Child;

use crate::daemon::Daemon;
use crate::silent::{Ran, World};
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
    let text = std::fs::read_to_string(&file).unwrap().replace("boot_timeout = 1\n", "boot_timeout = 100\n");
    std::fs::write(file, text).unwrap();
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
fn firmware_that_is_not_installed_is_named_with_the_package_that_brings_it() {
    let Some((world, daemon)) = silent("firmware = \"uefi\"\n") else { return };
    let hidden = world.hidden_firmware();
    let output = world.command(&["up"]).env("XDG_CONFIG_HOME", &hidden).output().unwrap();
    Ran::of(&output).fails(8, &["no UEFI firmware is installed", "install"]);
    assert_eq!(the_machine(&daemon), "");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
