//! An `up` whose guest boots for real, killed on the way.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::dice::{Dice, kill_after};
use crate::world::World;

/// The steps in which an `up` waits for its guest or works in it, and how many milliseconds of each may go by.
const STEPS: [(&str, u64); 4] = [("boot", 3000), ("login", 200), ("folders", 300), ("provision", 900)];

/// One guest lives through all of it: its hypervisor goes on while nobody waits.
#[test]
fn up_killed_in_each_step_that_takes_a_guest_is_taken_up_again() {
    let world = World::with_demo();
    world.machine_file(
        "box = \"demo\"\nhostname = \"killed\"\n[[provision]]\ntype = \"shell\"\ninline = \"sleep 1; echo run >> \
         /var/tmp/runs\"\n",
    );
    let mut dice = Dice::new();
    for (index, (step, milliseconds)) in STEPS.iter().enumerate() {
        killed_in(&world, &STEPS[index..], dice.instant(Duration::from_millis(*milliseconds)));
        world.run(&["status"]).ok();
        assert_eq!((world.state("default").as_str(), world.processes().len()), ("running", 1), "{step}");
    }
    world.run(&["up"]).ok();
    let inside = "hostname; test -s /vagrant/Vagrantfile && test -s /var/tmp/runs && echo whole";
    assert_eq!(world.run(&["ssh", "-c", inside]).ok().stdout, "killed\nwhole\n");
    world.run(&["up"]).ok().says(&["already running"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// Kills an `up` so long after the first of these steps has begun, or a later one: a kill may come when a step is done.
fn killed_in(world: &World, steps: &[(&str, u64)], after: Duration) {
    let mut up = world.command(&["up", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map_while(Result::ok);
    let begins = |line: &String| {
        let is = |step: &str| line.contains("step-started") && line.contains(&format!("\"step\":\"{step}\""));
        steps.iter().any(|(step, _)| is(step))
    };
    let line = lines.find(begins).expect("it has something to do");
    println!("killed {after:?} after {line}");
    kill_after(up, after);
}
