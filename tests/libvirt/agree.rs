//! What a machine needs of this computer is asked for by every command that starts it.

use std::process::Stdio;

use rexpect::session::PtySession;

use crate::daemon::Daemon;
use crate::guest::World;
use crate::nat::apart;

#[test]
fn resume_and_reload_ask_for_a_network_as_up_does_and_end_nothing_before_it_is_there() {
    apart("agree::child_asks");
}

fn at_terminal(world: &World, args: &[&str]) -> PtySession {
    let mut command = world.command(args);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    command.env("TERM", "xterm").env_remove("CI");
    rexpect::session::spawn_command(command, Some(60_000)).unwrap()
}

#[test]
#[ignore = "started by another test"]
fn child_asks() {
    const QUESTION: &str = "start libvirt's network `default`";
    let world = World::empty();
    let daemon = Daemon::start(&world.folder("d")).unwrap();
    let uri = daemon.uri();
    world
        .fall_silent(&format!("[provider_options.libvirt]\nuri = \"{uri}\"\naccel = \"tcg\"\nnetwork = \"default\"\n"));
    let down = ["libvirt's network `default` is not up", "--yes", "net-start default"];
    let agreed = format!("agreed to: {QUESTION}");
    world.run(&["up", "--yes"]).fails(10, &[]).says(&["agreed to: make and start libvirt's network `default`"]);

    world.run(&["suspend"]).ok();
    daemon.virsh(&["net-destroy", "default"]).unwrap();
    world.run(&["resume"]).fails(8, &down);
    assert_eq!(world.state("default"), "saved");
    world.run(&["resume", "--yes"]).fails(10, &[]).says(&[&agreed]);
    assert_eq!(world.state("default"), "running");

    daemon.virsh(&["net-destroy", "default"]).unwrap();
    world.run(&["reload"]).fails(8, &down);
    assert_eq!(world.state("default"), "running", "it is not halted for a start that would fail");
    for (answer, words) in [("n", "is not up"), ("y", &agreed)] {
        let mut session = at_terminal(&world, &["reload"]);
        session.exp_string(QUESTION).unwrap();
        session.send_line(answer).unwrap();
        session.exp_string(words).unwrap();
        session.exp_eof().unwrap();
        assert_eq!(world.state("default"), "running");
    }
    assert!(daemon.virsh(&["net-list", "--name"]).unwrap().contains("default"));

    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    daemon.virsh(&["net-destroy", "default"]).unwrap();
}
