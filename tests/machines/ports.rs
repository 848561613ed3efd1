//! Ports of the host: shared by nobody, and whoever has one is named.

use std::collections::HashSet;
use std::net::TcpListener;

use crate::world::silent::SILENT;
use crate::world::{Ran, World};

#[test]
fn a_port_in_use_is_refused_and_the_process_that_has_it_is_named() {
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = stranger.local_addr().unwrap().port();
    let world = World::silent(&format!("[[forwarded_port]]\nguest = 80\nhost = {port}\n"));
    let me = std::process::id().to_string();
    world.run(&["up"]).fails(14, &[&port.to_string(), "machines", &me, "auto_correct"]);
    assert_eq!(world.processes(), [0; 0]);
    drop(stranger);
    world.run(&["up"]).fails(10, &[]);
    assert_eq!(world.state("default"), "running", "the same machine goes on");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn eight_projects_at_once_never_share_a_port() {
    let world = World::empty();
    world.add_empty_box();
    // Somebody else has a port of the range.
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = stranger.local_addr().unwrap().port();
    let folders: Vec<_> = (0..8).map(|i| world.folder(&format!("p{i}"))).collect();
    for folder in &folders {
        let text = format!(
            "{SILENT}[[forwarded_port]]\nguest = 80\nhost = {taken}\nauto_correct = true\n[[forwarded_port]]\nguest = \
             53\nprotocol = \"udp\"\n"
        );
        world.file_in(folder, &text);
    }
    let ups: Vec<_> = folders.iter().map(|folder| world.command_in(folder, &["up"]).spawn().unwrap()).collect();
    for up in ups {
        Ran::of(&up.wait_with_output().unwrap()).fails(10, &["no ssh server answered"]);
    }
    let all = world.run(&["global-status", "--json"]).ok().json();
    let mut seen = HashSet::new();
    for machine in all["machines"].as_array().unwrap() {
        assert_eq!(machine["state"], "running", "{machine}");
        for forward in machine["forwards"].as_array().unwrap() {
            let key = (forward["protocol"].as_str().map(String::from), forward["host"].as_u64());
            assert_ne!(key.1, Some(u64::from(taken)));
            assert!(seen.insert(key), "shared: {forward}");
        }
    }
    assert_eq!(seen.len(), 24);
    // A fixed port that somebody has: the process is named.
    world.machine_file(&format!("{SILENT}[[forwarded_port]]\nguest = 80\nhost = {taken}\n"));
    world.run(&["up"]).fails(14, &[&taken.to_string(), &std::process::id().to_string()]);
    let other = all["machines"][0]["forwards"].as_array().unwrap().iter().find(|f| f["guest"] == 80);
    let port = other.unwrap()["host"].as_u64().unwrap();
    world.machine_file(&format!("{SILENT}[[forwarded_port]]\nguest = 80\nhost = {port}\n"));
    world.run(&["up"]).fails(14, &[&port.to_string(), "machine"]);
    world.run(&["destroy", "-f"]).ok();
    for folder in &folders {
        world.run_in(folder, &["destroy", "-f"]).ok();
    }
    world.assert_nothing_left();
}
