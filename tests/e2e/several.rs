//! Several machines, several commands at once.

use crate::world::{Ran, World};

#[test]
fn machines_of_one_project_start_in_order_and_fail_alone() {
    let world = World::with_demo();
    world.machine_file(
        "box = \"demo\"\nmemory = \"512 MiB\"\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n\
         [machines.db]\n[machines.web]\ndepends_on = [\"db\"]\n[machines.broken]\nbox = \"nobody/has-this\"\n\
         [machines.behind]\ndepends_on = [\"broken\"]\n[machines.manual]\nautostart = false\n",
    );
    world.run(&["up"]).fails(4, &["broken", "nobody/has-this", "behind"]);
    let states: Vec<_> = ["db", "web", "broken", "behind", "manual"].map(|name| world.state(name)).into();
    assert_eq!(states, ["running", "running", "not created", "not created", "not created"]);
    world.run(&["ssh", "-c", "true"]).fails(2, &["db", "web"]);
    let ports = |name: &str| world.run(&["port", name, "--guest", "22"]).ok().stdout;
    assert_ne!(ports("db"), ports("web"));
    world.run(&["halt", "/^d/"]).ok();
    assert_eq!((world.state("db"), world.state("web")), ("off".into(), "running".into()));
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn eight_ups_of_one_project_boot_one_machine() {
    let world = World::with_demo();
    world.machine_file("box = \"demo\"\n");
    let ups: Vec<_> = (0..8).map(|_| world.command(&["up"]).spawn().unwrap()).collect();
    // Readers do not wait for writers.
    world.run(&["status"]).ok();
    world.run(&["global-status"]).ok();
    world.run(&["box", "list"]).ok();
    world.run(&["up", "--no-wait"]).fails(9, &["vbox-rs up", "process"]);
    for up in ups {
        Ran::of(&up.wait_with_output().unwrap()).ok();
    }
    assert_eq!(world.processes().len(), 1);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
