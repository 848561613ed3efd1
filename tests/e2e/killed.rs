//! An `up` whose guest boots for real, killed on the way.

use crate::dice::{Dice, kill_after, measured};
use crate::world::World;

#[test]
fn up_killed_while_its_guest_boots_is_taken_up_again() {
    let world = World::with_demo();
    world.machine_file(
        "box = \"demo\"\n[[provision]]\ntype = \"shell\"\ninline = \"sleep 1; echo run >> /var/tmp/runs\"\n",
    );
    let mut dice = Dice::new();
    let third = measured(&world, &["up"]) / 3;
    world.run(&["destroy", "-f"]).ok();
    // In the boot, about the login, and while folders and scripts are under way.
    for part in 0..3 {
        let instant = third * part + dice.instant(third);
        println!("killed after {instant:?}");
        kill_after(world.command(&["up"]).spawn().unwrap(), instant);
        world.run(&["status"]).ok();
        world.run(&["up"]).ok();
        assert_eq!(world.state("default"), "running");
        assert_eq!(world.processes().len(), 1);
        world.run(&["ssh", "-c", "test -s /vagrant/Vagrantfile && test -s /var/tmp/runs"]).ok();
        world.run(&["up"]).ok().says(&["already running"]);
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
    }
}
