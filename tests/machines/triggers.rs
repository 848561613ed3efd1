//! Triggers around the life of a machine on which nothing answers.

use std::fs;

use crate::world::World;

const TRIGGERS: &str = r#"
[[trigger]]
before = ["up"]
info = "it begins"
run = { inline = "sh -c 'echo $0 | tee said' 'one word'" }

[[trigger]]
name = "last words"
before = ["halt"]
warn = "it stops"
run = { inline = "sh -c 'echo halting >>said; exit 3'" }
on_error = "continue"

[[trigger]]
after = ["up"]
info = "it is never up"

[[trigger]]
after = ["halt", "destroy"]
run = { path = "after.sh", args = ["x y"] }
exit_codes = [4]
"#;

#[test]
fn a_file_runs_commands_on_this_computer_only_with_the_users_trust() {
    let world = World::silent(TRIGGERS);
    let said = world.project.join("said");
    fs::write(world.project.join("after.sh"), "#!/bin/sh\necho \"after $1\" >>said\nexit 4\n").unwrap();
    fs::set_permissions(world.project.join("after.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.run(&["up"]).fails(
        10,
        &[
            "Vagrantfile:6",
            "of the trigger before `up`: it would run on this computer; `--trust` lets it",
            "it begins",
            "the trigger before `up` (Vagrantfile:6) wants to run a command on this computer, and is left out",
        ],
    );
    assert!(!said.exists());
    world.run(&["destroy", "-f"]).ok().says(&["and is left out: `"]);

    world.run(&["up", "--trust"]).fails(10, &["it begins", "trigger before `up`", "one word"]);
    assert_eq!(fs::read_to_string(&said).unwrap(), "one word\n");
    // That it is trusted is remembered.
    world.run(&["halt", "-f"]).ok().says(&["it stops", "`last words`", "exit code 3", "going on"]);
    world.run(&["destroy", "-f"]).ok();
    assert_eq!(fs::read_to_string(&said).unwrap(), "one word\nhalting\nafter x y\nafter x y\n");
    // There is nothing to destroy, so nothing goes with it.
    world.run(&["destroy", "-f"]).ok();
    assert_eq!(fs::read_to_string(&said).unwrap().lines().count(), 4);
    // A script that it runs is part of what was trusted.
    fs::write(world.project.join("after.sh"), "#!/bin/sh\ntouch elsewhere\n").unwrap();
    world.run(&["validate"]).ok().says(&["it would run on this computer"]);
    world.assert_nothing_left();
}

#[test]
fn a_trigger_that_fails_or_aborts_ends_the_command_before_it_begins() {
    let world = World::silent(
        "[[trigger]]\nbefore = ['halt']\nrun = { inline = 'false' }\n[[trigger]]\nbefore = ['destroy']\nwarn = 'think twice'\nabort = 77\n",
    );
    world.run(&["up", "--trust"]).fails(10, &[]);
    world.run(&["halt", "-f"]).fails(
        12,
        &[
            "the trigger before `halt` (Vagrantfile:5) failed: `false` ended with exit code 1",
            "on_error = \"continue\"",
        ],
    );
    assert_eq!(world.state("default"), "running");
    world.run(&["destroy", "-f"]).fails(77, &["think twice", "(Vagrantfile:8) ends the command here"]);
    assert_eq!(world.state("default"), "running");
    world.machine_file("box = \"empty\"\n");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
