//! A machine that is ended to be started anew: not before it is known that the start will do.

use std::net::TcpListener;

use crate::world::World;
use crate::world::silent::SILENT;

#[test]
fn a_reload_whose_start_would_be_refused_ends_nothing() {
    let world = World::silent("disk = \"4 MiB\"\n[[forwarded_port]]\nguest = 80\n");
    world.run(&["up"]).fails(10, &[]);
    let before = world.processes();
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = stranger.local_addr().unwrap().port();
    for (lines, code, words) in [
        (format!("[[forwarded_port]]\nguest = 80\nhost = {port}\n"), 14, "is taken by"),
        (format!("[ssh]\nport = {port}\n"), 14, "is taken by"),
        ("[[synced_folder]]\nhost = \".\"\nguest = \"/x\"\ntype = \"nfs\"\n".into(), 8, "of type nfs"),
        ("[[synced_folder]]\nhost = \"nowhere\"\nguest = \"/x\"\n".into(), 3, "nowhere"),
        ("disk = \"2 MiB\"\n".into(), 7, "cannot shrink to 2 MiB"),
        ("memory = 8\n".into(), 8, "8 MiB of memory are too few"),
    ] {
        world.machine_file(&format!("{}{lines}", SILENT.replace("memory = 128\n", "")));
        world.run(&["reload", "-f"]).fails(code, &[words]);
        assert_eq!(world.processes(), before, "{lines}");
    }
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn the_ports_that_a_machine_has_are_free_for_its_own_reload() {
    // Not one that others choose for themselves.
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let leads_to = |guest: u16| format!("[[forwarded_port]]\nguest = {guest}\nhost = {port}\n");
    let world = World::silent(&leads_to(80));
    world.run(&["up"]).fails(10, &[]);
    world.machine_file(&format!("{SILENT}{}", leads_to(81)));
    world.run(&["reload", "-f"]).fails(10, &[]);
    assert_eq!(world.run(&["port", "--guest", "81"]).ok().stdout.trim(), port.to_string());
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
