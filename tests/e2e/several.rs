//! Several machines, several projects, several commands at once.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::process::Child;

use crate::world::World;

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

fn spawn(world: &World, folder: &std::path::Path, args: &[&str]) -> Child {
    let log = File::create(folder.join(format!("log-{}", fs::read_dir(folder).unwrap().count()))).unwrap();
    world.command_in(folder, args).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

#[test]
fn eight_ups_of_one_project_boot_one_machine() {
    let world = World::with_demo();
    world.machine_file("box = \"demo\"\n");
    let mut ups: Vec<_> = (0..8).map(|_| spawn(&world, &world.project, &["up"])).collect();
    // Readers do not wait for writers.
    world.run(&["status"]).ok();
    world.run(&["global-status"]).ok();
    world.run(&["box", "list"]).ok();
    world.run(&["up", "--no-wait"]).fails(9, &["vbox-rs up", "process"]);
    assert!(ups.iter_mut().all(|up| up.wait().unwrap().success()));
    assert_eq!(world.processes().len(), 1);
    world.run(&["destroy", "-f"]).ok();
    for entry in fs::read_dir(&world.project).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    world.assert_nothing_left();
}

/// Ports are what counts here, not guests: the disks are empty, nothing boots.
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
            "box = \"empty\"\nboot_timeout = 1\nmemory = 128\n[[forwarded_port]]\nguest = 80\nhost = {taken}\nauto_correct = \
             true\n[[forwarded_port]]\nguest = 53\nprotocol = \"udp\"\n"
        );
        fs::write(folder.join("Vagrantfile"), text).unwrap();
    }
    let ups: Vec<_> = folders.iter().map(|folder| spawn(&world, folder, &["up"])).collect();
    for mut up in ups {
        assert_eq!(up.wait().unwrap().code(), Some(10), "nothing answers on an empty disk");
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
    fs::write(
        world.project.join("Vagrantfile"),
        format!("box = \"empty\"\n[[forwarded_port]]\nguest = 80\nhost = {taken}\n"),
    )
    .unwrap();
    world.run(&["up"]).fails(14, &[&taken.to_string(), &std::process::id().to_string()]);
    let other = all["machines"][0]["forwards"].as_array().unwrap().iter().find(|f| f["guest"] == 80);
    let port = other.unwrap()["host"].as_u64().unwrap();
    fs::write(
        world.project.join("Vagrantfile"),
        format!("box = \"empty\"\n[[forwarded_port]]\nguest = 80\nhost = {port}\n"),
    )
    .unwrap();
    world.run(&["up"]).fails(14, &[&port.to_string(), "machine"]);
    world.run(&["destroy", "-f"]).ok();
    for folder in &folders {
        world.run_in(folder, &["destroy", "-f"]).ok();
    }
    world.assert_nothing_left();
}
