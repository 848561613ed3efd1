//! An `up` whose guest boots for real, killed on the way.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::dice::{Dice, kill_after};
use crate::world::World;

/// One guest lives through all of it: its hypervisor goes on while nobody waits.
#[test]
fn up_killed_in_each_step_that_takes_a_guest_is_taken_up_again() {
    let world = World::with_demo();
    world.machine_file(
        "box = \"demo\"\nhostname = \"killed\"\n[[provision]]\ntype = \"shell\"\ninline = \"sleep 1; echo run >> \
         /var/tmp/runs\"\n",
    );
    let mut dice = Dice::new();
    for (step, within) in [("boot", 3000), ("login", 200), ("hostname", 200), ("folders", 200), ("provision", 900)] {
        killed_in(&world, step, dice.instant(Duration::from_millis(within)));
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

/// Kills an `up` so long after this step has begun. The kill before may have come so late that it is done already.
fn killed_in(world: &World, step: &str, after: Duration) {
    let mut up = world.command(&["up", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map_while(Result::ok);
    let begins = lines.any(|line| line.contains("step-started") && line.contains(&format!("\"step\":\"{step}\"")));
    println!("{step}: {}", if begins { format!("killed after {after:?}") } else { "was done before".into() });
    kill_after(up, after);
}
