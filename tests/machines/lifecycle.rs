//! The life of a machine, with any provider (`VBOX_RS_TEST_PROVIDER`).

use crate::world::World;

/// All that can be done to a machine on which nothing answers.
#[test]
fn a_machine_on_which_nothing_answers_is_started_stopped_suspended_and_destroyed() {
    let world = World::silent("[[forwarded_port]]\nguest = 8000\n");
    assert_eq!(world.state("default"), "not created");
    world.run(&["up"]).fails(10, &["no ssh server answered"]);
    let id = world.id("default");
    let is = |state: &str, processes: usize| {
        assert_eq!((world.state("default").as_str(), world.processes().len()), (state, processes));
        assert_eq!(world.id("default"), id, "it is the same machine");
    };
    is("running", 1);
    let port = || world.run(&["port", "--guest", "8000"]).ok().stdout.trim().parse().unwrap();
    let listens = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(listens(port()));

    world.run(&["suspend"]).ok();
    is("saved", 0);
    world.run(&["resume"]).fails(10, &[]);
    is("running", 1);
    assert!(listens(port()));
    world.run(&["suspend", "--pause"]).ok();
    is("paused", 1);
    world.run(&["resume"]).fails(10, &[]);
    is("running", 1);

    // Nobody hears its power button.
    world.run(&["halt"]).ok().says(&["did not shut down within 1 s"]);
    is("off", 0);
    world.run(&["up"]).fails(10, &[]);
    is("running", 1);
    world.run(&["reload", "-f"]).fails(10, &[]);
    is("running", 1);
    world.run(&["halt", "-f"]).ok().says(&["stopped by force"]);
    is("off", 0);
    world.run(&["destroy", "-f"]).ok();
    assert_eq!(world.state("default"), "not created");
    world.assert_nothing_left();
    world.run(&["destroy", "-f"]).ok();
}

#[test]
fn a_guest_that_never_answers_is_described() {
    let world = World::empty();
    world.add_empty_box();
    world.machine_file("box = \"empty\"\nboot_timeout = 3\n");
    world.run(&["up"]).fails(10, &["ssh", "3 s"]);
    assert_eq!(world.state("default"), "running");
    world.run(&["halt", "-f"]).ok();
    world.run(&["up", "--destroy-on-error"]).fails(10, &["3 s"]);
    assert_eq!(world.state("default"), "running", "only a machine that this `up` made is removed");
    world.run(&["destroy", "-f"]).ok();
    world.run(&["up", "--destroy-on-error"]).fails(10, &["3 s"]);
    assert_eq!(world.state("default"), "not created");
    world.assert_nothing_left();
}
