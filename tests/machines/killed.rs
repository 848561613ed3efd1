//! `kill -9` at any instant of any command leaves a state from which the same command, or `destroy`, goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::dice::{Dice, kill_after};
use crate::world::World;

/// Most of the second that a command waits for a guest which never answers. It writes nothing in that time.
const WAITING: Duration = Duration::from_millis(800);

/// Kills `args` in each round at an instant of the time that it takes undisturbed but for its end, `waiting`. In every
/// other round it is then given `again`, and else the machine is destroyed. Before each comes `prepare`. Half as many rounds
/// at libvirt, where each takes several times as long.
fn killed_in_rounds(
    (rounds, args): (u32, &[&str]),
    waiting: Duration,
    prepare: impl Fn(&World),
    again: impl Fn(&World),
) {
    let elsewhere = std::env::var("VBOX_RS_TEST_PROVIDER").is_ok_and(|name| name == "libvirt");
    let rounds = if elsewhere { rounds / 2 } else { rounds };
    let world = World::silent("");
    let mut dice = Dice::new();
    prepare(&world);
    let span = world.measured(args).saturating_sub(waiting);
    for round in 0..rounds {
        prepare(&world);
        kill_after(world.command(args).spawn().unwrap(), dice.instant(span));
        println!("{}", world.run(&["status"]).ok().stdout);
        world.run(&["global-status"]).ok();
        if round % 2 == 0 {
            again(&world);
        } else {
            world.run(&["destroy", "-f"]).ok();
            world.assert_nothing_left();
        }
    }
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// Its machine runs, whatever it was before. Exit code 10 is right: nothing answers.
fn runs(world: &World) {
    world.run(&["up"]).fails(10, &[]);
    assert_eq!((world.state("default").as_str(), world.processes().len()), ("running", 1));
}

/// The command ends well, and its machine is then in this state and has no process.
fn ends(world: &World, args: &[&str], state: &str) {
    world.run(args).ok();
    assert_eq!((world.state("default").as_str(), world.processes().len()), (state, 0));
}

#[test]
fn up_killed_at_any_instant_is_taken_up_again() {
    let nothing = |world: &World| {
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
    };
    killed_in_rounds((14, &["up"]), WAITING, nothing, runs);
}

#[test]
fn halt_killed_at_any_instant_is_taken_up_again() {
    killed_in_rounds((12, &["halt"]), Duration::ZERO, runs, |world| ends(world, &["halt"], "off"));
}

#[test]
fn destroy_killed_at_any_instant_is_taken_up_again() {
    let again = |world: &World| {
        ends(world, &["destroy", "-f"], "not created");
        world.assert_nothing_left();
    };
    killed_in_rounds((10, &["destroy", "-f"]), Duration::ZERO, runs, again);
}

#[test]
fn suspend_killed_at_any_instant_is_taken_up_again() {
    killed_in_rounds((10, &["suspend"]), Duration::ZERO, runs, |world| ends(world, &["suspend"], "saved"));
}

#[test]
fn resume_killed_at_any_instant_is_taken_up_again() {
    let suspended = |world: &World| {
        // Whatever it was: a machine that was killed in a resume runs, or is saved still.
        world.run(&["up"]).fails(10, &[]);
        ends(world, &["suspend"], "saved");
    };
    let again = |world: &World| {
        world.run(&["resume"]).fails(10, &[]);
        assert_eq!((world.state("default").as_str(), world.processes().len()), ("running", 1));
    };
    killed_in_rounds((10, &["resume"]), WAITING, suspended, again);
}

/// A `suspend` that was killed once everything is on disk, and before the process was told to end.
#[test]
fn a_process_left_beside_its_saved_memory_is_ended_by_the_next_suspend() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    world.run(&["suspend"]).ok();
    let memory = world.home().join("machines").join(world.id("default")).join("saved-state");
    let copy = world.project.join("memory");
    fs::copy(&memory, &copy).unwrap();
    world.run(&["resume"]).fails(10, &[]);
    world.run(&["suspend", "--pause"]).ok();
    fs::rename(&copy, &memory).unwrap();
    assert_eq!((world.state("default").as_str(), world.processes().len()), ("saved", 1));
    world.run(&["suspend"]).ok();
    assert_eq!((world.state("default").as_str(), world.processes().len()), ("saved", 0));
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// A tar.gz box of some size with an incompressible disk.
fn sizeable_box(folder: &Path) -> PathBuf {
    let run = |script: &str| {
        let status = Command::new("sh").current_dir(folder).args(["-ec", script]).status().unwrap();
        assert!(status.success(), "{script}");
    };
    run("head -c 67108864 /dev/urandom > raw && qemu-img convert -f raw -O qcow2 raw box.img && rm raw
         printf '{\"provider\":\"libvirt\",\"format\":\"qcow2\",\"virtual_size\":1}' > metadata.json
         tar -czf sizeable.box metadata.json box.img && rm box.img");
    folder.join("sizeable.box")
}

#[test]
fn box_add_killed_at_any_instant_leaves_no_half_box() {
    let world = World::empty();
    let path = sizeable_box(&world.folder("box"));
    let path = path.to_str().unwrap();
    let mut dice = Dice::new();
    let add = ["box", "add", path, "--name", "big"];
    let span = world.measured(&add);
    world.run(&["box", "remove", "big", "-f"]).ok();
    for _ in 0..12 {
        kill_after(world.command(&add).spawn().unwrap(), dice.instant(span));
        let listed = world.run(&["box", "list", "--json"]).ok().json();
        if listed["boxes"].as_array().unwrap().is_empty() {
            world.run(&add).ok();
        }
        world.run(&["box", "remove", "big", "-f"]).ok();
        assert_eq!(files(&world.home().join("boxes")), 0, "nothing but folders and locks may be left");
    }
}

fn files(path: &Path) -> usize {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path())
            } else {
                usize::from(entry.metadata().unwrap().len() > 4096)
            }
        })
        .sum()
}
