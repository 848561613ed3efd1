//! A machine that is ended to be started anew: not before it is known that the start will do.

use std::net::TcpListener;

use crate::world::World;
use crate::world::silent::SILENT;

#[test]
fn a_reload_whose_start_would_be_refused_ends_nothing() {
    let world = World::silent("[[forwarded_port]]\nguest = 80\n");
    world.run(&["up"]).fails(10, &[]);
    let before = world.processes();
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = stranger.local_addr().unwrap().port();
    for (lines, code, words) in [
        (format!("[[forwarded_port]]\nguest = 80\nhost = {port}\n"), 14, "is taken by"),
        (format!("[ssh]\nport = {port}\n"), 14, "is taken by"),
        ("[[synced_folder]]\nhost = \".\"\nguest = \"/x\"\ntype = \"nfs\"\n".into(), 8, "of type nfs"),
        ("[[synced_folder]]\nhost = \"nowhere\"\nguest = \"/x\"\n".into(), 3, "nowhere"),
        ("[provider_options.qemu]\nextra_args = [\"-S\"]\n".into(), 8, "`extra_args` has `-S`"),
    ] {
        world.machine_file(&format!("{SILENT}{lines}"));
        world.run(&["reload", "-f"]).fails(code, &[words]);
        assert_eq!(world.processes(), before, "{lines}");
    }
}

#[test]
fn the_ports_that_a_machine_has_are_free_for_its_own_reload() {
    let world = World::silent("[[forwarded_port]]\nguest = 80\n");
    world.run(&["up"]).fails(10, &[]);
    let port = world.run(&["port", "--guest", "80"]).ok().stdout;
    let lines = format!("[[forwarded_port]]\nguest = 81\nhost = {}\n", port.trim());
    world.machine_file(&format!("{SILENT}{lines}"));
    world.run(&["reload", "-f"]).fails(10, &[]);
    assert_eq!(world.run(&["port", "--guest", "81"]).ok().stdout, port);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
