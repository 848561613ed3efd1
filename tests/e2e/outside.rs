//! What happens outside of us is reported as what it is.

use std::fs;

use crate::world::World;

#[test]
fn suspend_and_resume_keep_the_guest_as_it_was() {
    let world = World::with_demo();
    world.machine_file("box = \"demo\"\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n");
    world.run(&["up"]).ok();
    let boot = world.run(&["ssh", "-c", "cat /proc/sys/kernel/random/boot_id; echo kept > /dev/shm/kept"]).ok().stdout;
    world.run(&["suspend"]).ok();
    assert_eq!(world.state("default"), "saved");
    assert_eq!(world.processes(), [0; 0]);
    world.run(&["ssh", "-c", "true"]).fails(7, &["saved", "vbox-rs resume"]);
    world.run(&["resume"]).ok();
    let after = world.run(&["ssh", "-c", "cat /proc/sys/kernel/random/boot_id; test -s /dev/shm/kept"]).ok().stdout;
    assert_eq!(after, boot, "the guest did not reboot");

    world.run(&["suspend", "--pause"]).ok();
    assert_eq!(world.state("default"), "paused");
    world.run(&["resume"]).ok();
    assert_eq!(world.state("default"), "running");

    // `up` resumes too.
    world.run(&["suspend"]).ok();
    world.run(&["up"]).ok().says(&["resumed"]);
    killed_and_deleted(&world);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// A killed process, a deleted folder, a moved folder, a deleted disk.
fn killed_and_deleted(world: &World) {
    for pid in world.processes() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    let status = world.run(&["status"]).ok();
    assert!(status.stdout.contains("vanished"), "{}", status.stdout);
    world.run(&["status"]).ok();
    world.run(&["ssh", "-c", "true"]).fails(7, &["vanished", "vbox-rs up"]);

    // Without `.vbox-rs` the machine is found again by the index.
    fs::remove_dir_all(world.project.join(".vbox-rs")).unwrap();
    assert_eq!(world.state("default"), "vanished");
    let moved = world.project.with_file_name("moved");
    fs::rename(&world.project, &moved).unwrap();
    let all = world.run_in(&moved, &["global-status", "--json"]).ok().json();
    assert_eq!(all["machines"][0]["project_state"], "missing");
    let id = all["machines"][0]["id"].as_str().unwrap().to_owned();
    world.run_in(&moved, &["adopt", &id[..8]]).ok();
    world.run_in(&moved, &["up"]).ok().says(&["started"]);
    world.run_in(&moved, &["halt", "-f"]).ok();
    fs::rename(&moved, &world.project).unwrap();

    let disk = world.home().join("machines").join(&id).join("disk0.qcow2");
    let away = disk.with_extension("away");
    fs::rename(&disk, &away).unwrap();
    assert_eq!(world.state("default"), "broken");
    world.run(&["up"]).fails(7, &["disk0.qcow2", "destroy"]);
    fs::rename(away, disk).unwrap();
    assert_eq!(world.state("default"), "off");
}
