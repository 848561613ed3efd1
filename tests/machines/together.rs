//! Several machines of one project that depend on each other: in which order they are stopped, restarted and resumed, and
//! what a failure of one does to the others. The disks are empty: nothing boots, so what starts one ends with code 10.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use crate::world::World;

/// `web` needs `app`, `app` needs `db`, `free` needs nobody; all run, though a first `up` counts them as failed.
fn chain() -> World {
    let world = World::silent(
        "[machines.db]\n[machines.app]\ndepends_on = [\"db\"]\n[machines.web]\ndepends_on = [\"app\"]\n[machines.free]\n",
    );
    for name in ["db", "app", "web", "free"] {
        world.run(&["up", name]).fails(10, &[]);
    }
    world
}

/// The names in the order in which `words` were said of them.
fn order(text: &str, words: &str) -> Vec<String> {
    let names = text.lines().filter(|line| line.contains(words));
    names.filter_map(|line| Some(line.trim_start_matches("==>").split(':').next()?.trim().to_owned())).collect()
}

fn states(world: &World) -> Vec<String> {
    let all = world.run(&["status", "--json"]).json();
    all["machines"].as_array().unwrap().iter().map(|machine| machine["state"].as_str().unwrap().into()).collect()
}

fn changed(world: &World, name: &str) -> SystemTime {
    let path = world.home().join("machines").join(world.id(name)).join("machine.json");
    assert!(path.metadata().unwrap().mtime() > 0);
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn what_others_depend_on_is_halted_last() {
    let world = chain();
    let ran = world.run(&["halt"]).ok();
    let stopped = order(&ran.stderr, "did not shut down within");
    let chain: Vec<_> = stopped.iter().filter(|name| *name != "free").collect();
    assert_eq!(chain, ["web", "app", "db"], "{}", ran.stderr);
    assert!(changed(&world, "web") < changed(&world, "app") && changed(&world, "app") < changed(&world, "db"));
    assert_eq!(states(&world), ["off"; 4]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_machine_that_cannot_be_stopped_keeps_those_running_that_it_depends_on_and_no_other() {
    let world = chain();
    let record = world.home().join("machines").join(world.id("app")).join("machine.json");
    let good = fs::read_to_string(&record).unwrap();
    fs::write(&record, "{").unwrap();
    let ran = world.run(&["halt", "-f"]).fails(
        15,
        &[
            "db: left as it was, because `app`, which depends on it, failed",
            "now db is running, app is damaged, web is off and free is off",
        ],
    );
    assert!(ran.stderr.contains("done: web and free; failed: db and app"), "{}", ran.stderr);
    world.run(&["halt", "-f", "db"]).ok();
    fs::write(&record, good).unwrap();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn suspended_machines_are_resumed_and_those_that_are_off_left_alone() {
    let world = chain();
    world.run(&["halt", "-f", "free"]).ok();
    world.run(&["suspend"]).ok().says(&["web: suspended", "app: suspended", "db: suspended"]);
    assert!(changed(&world, "web") < changed(&world, "app") && changed(&world, "app") < changed(&world, "db"));
    assert_eq!(states(&world), ["saved", "saved", "saved", "off"]);
    // `db` does not answer, so those behind it are left saved.
    let ran = world.run(&["resume"]).fails(
        10,
        &[
            "free: left alone: it is off",
            "app: left as it was, because `db`, which it depends on, failed",
            "web: left as it was, because `app`, which it depends on, failed",
        ],
    );
    assert!(ran.stderr.contains("now db is running, app is saved and web is saved"), "{}", ran.stderr);
    world.run(&["resume", "free"]).fails(7, &["off", "vbox-rs up"]);
    world.run(&["halt", "-f"]).ok();
    world.run(&["resume"]).fails(7, &["no machine of this project is suspended", "vbox-rs up"]);
    world.run(&["destroy", "-f"]).ok();
    world.run(&["resume"]).fails(7, &["no machine of this project is created"]);
    world.assert_nothing_left();
}

#[test]
fn nobody_comes_between_the_halves_of_a_reload() {
    let world = chain();
    let mut reload = world.command(&["reload", "free"]).spawn().unwrap();
    // Whoever waits for the machine gets it when the reload has ended, not when its `halt` has.
    while !world.run(&["status", "free"]).ok().stdout.contains("in use by `vbox-rs reload`") {
        assert_eq!(reload.try_wait().unwrap(), None, "the reload is seen");
    }
    let halted = world.run(&["halt", "-f", "free"]).ok();
    assert!(halted.stderr.contains("in use by `vbox-rs reload`"), "{}", halted.stderr);
    assert_eq!(reload.wait().unwrap().code(), Some(10));
    assert!(halted.stderr.contains("stopped by force"), "it ran again: {}", halted.stderr);
    assert_eq!(world.state("free"), "off");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
