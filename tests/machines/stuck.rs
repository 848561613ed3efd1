//! A hypervisor that lives and does not answer.

use std::process::Command;

use serde_json::json;

use crate::world::World;

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_plug_is_pulled_only_by_force() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    let pid = world.processes()[0];
    signal("-STOP", pid);
    assert_eq!(world.state("default"), "unresponsive");
    world.run(&["halt"]).fails(7, &["is unresponsive", "`vbox-rs halt --force default` pulls the plug"]);
    world.run(&["reload"]).fails(7, &["is unresponsive", "vbox-rs halt --force"]);
    world.run(&["suspend"]).fails(7, &["is unresponsive"]);
    assert_eq!(world.processes(), [pid], "its guest may have what is on no disk yet");

    signal("-CONT", pid);
    assert_eq!(world.state("default"), "running");
    let up = world.run(&["up"]).fails(10, &[]);
    assert_eq!(world.processes(), [pid], "nobody asked its guest for anything: {}", up.stderr);
    world.run(&["halt"]).ok();
    world.run(&["up"]).fails(10, &[]);
    signal("-STOP", world.processes()[0]);
    world.run(&["halt", "--force"]).ok().says(&["stopped by force"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_status_for_programs_has_the_same_exit_code() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    world.run(&["halt", "-f"]).ok();
    let record = world.home().join("machines").join(world.id("default")).join("machine.json");
    let whole = std::fs::read(&record).unwrap();
    std::fs::write(&record, json!({}).to_string()).unwrap();
    for args in [&["status"][..], &["status", "--json"], &["status", "--machine-readable"]] {
        let ran = world.run(args);
        assert_eq!(ran.code, 15, "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.contains("damaged"), "{}", ran.stdout);
    }
    std::fs::write(&record, whole).unwrap();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
