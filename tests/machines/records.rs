//! The record against the machine file, and against commands that were cut short. The disks are empty: nothing boots, so
//! each `up` ends with code 10.

use std::fs;

use serde_json::{Value, json};

use crate::world::World;
use crate::world::silent::SILENT;

/// Changes the machine's record as a command that is killed leaves it.
fn edit(world: &World, id: &str, key: &str, value: Value) {
    let path = world.home().join("machines").join(id).join("machine.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    record[key] = value;
    fs::write(&path, record.to_string()).unwrap();
}

#[test]
fn commands_that_were_cut_short_are_ended_by_the_next_up() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    let id = world.id("default");
    edit(&world, &id, "intent", json!("halt"));
    world.run(&["up"]).fails(10, &["`vbox-rs halt` was cut short"]);
    assert_eq!(world.processes().len(), 1);
    assert_eq!(world.id("default"), id);

    for command in ["up", "reload"] {
        let id = world.id("default");
        edit(&world, &id, "provisioned", json!(true));
        edit(&world, &id, "intent", json!("destroy"));
        fs::remove_file(world.home().join("machines").join(&id).join("disk0.qcow2")).unwrap();
        let told = "`vbox-rs destroy` was cut short; ending it, then making the machine anew";
        world.run(&[command]).fails(10, &[told, "no ssh server answered"]);
        let new = world.id("default");
        assert_ne!(new, id, "half of a machine is no machine");
        assert_eq!(world.processes().len(), 1);
        assert!(!world.home().join("machines").join(&id).exists());
    }
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn what_changed_in_the_machine_file_is_told_and_applied_by_reload() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    world.machine_file(&format!("{SILENT}cpus = 1\n[[forwarded_port]]\nguest = 80\n"));
    world.run(&["up"]).fails(10, &["cpus, forwarded_port", "vbox-rs reload"]);
    world.run(&["reload", "-f"]).fails(10, &[]);
    let again = world.run(&["up"]).fails(10, &[]);
    assert!(!again.stderr.contains("vbox-rs reload"), "{}", again.stderr);
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(status["machines"][0]["forwards"][1]["guest"], 80);

    // A file that no longer makes sense stops nothing.
    world.machine_file("box = 1");
    world.run(&["reload"]).fails(3, &["box"]);
    assert_eq!(world.processes().len(), 1);
    world.machine_file("box = \"other\"");
    world.run(&["halt", "-f"]).ok();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn machines_that_the_file_no_longer_names_are_shown_and_can_be_ended() {
    let world = World::silent("");
    world.machine_file(&format!("{SILENT}[machines.web]\n[machines.later]\nautostart = false\n"));
    world.run(&["up"]).fails(10, &[]);
    let id = world.id("web");
    // One that was never made is nothing to complain of.
    world.run(&["halt", "-f"]).ok();
    world.machine_file(&format!("{SILENT}[machines.www]\n"));
    let status = world.run(&["status"]).ok().stdout;
    assert!(status.contains("www") && status.contains("web") && status.contains("does not name it"), "{status}");
    world.run(&["up", "web"]).fails(3, &["does not name it", &id[..8]]);
    world.run(&["reload", "web"]).fails(3, &["does not name it"]);

    // Adopted under the new name it is that machine and no other.
    world.run(&["adopt", &id[..8], "www"]).ok();
    assert_eq!(world.id("www"), id);
    let all = world.run(&["status", "--json"]).ok().json();
    assert_eq!(all["machines"].as_array().unwrap().len(), 1, "{all}");
    world.machine_file(SILENT);
    world.run(&["destroy", "-f", "www"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_machine_whose_damaged_record_was_moved_away_is_destroyed_with_its_process() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    let record = world.home().join("machines").join(world.id("default")).join("machine.json");
    fs::rename(&record, record.with_extension("away")).unwrap();
    assert_eq!(world.processes().len(), 1);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_project_is_the_same_by_another_path_and_where_it_moved() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    let id = world.id("default");
    let link = world.project.with_file_name("link");
    std::os::unix::fs::symlink(&world.project, &link).unwrap();
    let status = world.run(&["-C", link.to_str().unwrap(), "status", "--json"]).ok().json();
    assert_eq!(status["machines"][0]["id"], id.as_str());
    let moved = world.project.with_file_name("moved");
    world.run(&["halt", "-f"]).ok();
    fs::rename(&world.project, &moved).unwrap();
    world.run_in(&moved, &["global-status"]).ok().says(&[
        "(moved)",
        moved.to_str().unwrap(),
        &format!("vbox-rs adopt {}", &id[..8]),
    ]);
    world.run_in(&moved, &["up"]).fails(10, &["moved here"]);
    let all = world.run_in(&moved, &["global-status", "--json"]).ok().json();
    assert_eq!(all["machines"][0]["project"], moved.to_str().unwrap());
    assert_eq!(all["machines"][0]["project_state"], "present");
    world.run_in(&moved, &["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_provisioner_that_no_machine_has_is_refused_before_anything_is_made() {
    let world = World::empty();
    world.machine_file(
        "box = \"empty\"\n[machines.web]\n[[machines.web.provision]]\nname = \"app\"\ntype = \"shell\"\ninline = \
         \"true\"\n[machines.db]\n",
    );
    let refused = world.run(&["up", "--provision-with", "ap"]);
    assert_ne!(refused.code, 0);
    refused.says(&["`ap`", "app, shell"]);
    assert!(!world.project.join(".vbox-rs").exists());
    // The other machine is not to blame for lacking it; what fails is the box.
    world.run(&["up", "--provision-with", "app"]).fails(4, &["empty"]);
}

#[test]
fn a_record_that_is_damaged_or_newer_stops_every_command_and_stays() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    let id = world.id("default");
    let folder = world.home().join("machines").join(id);
    // Without `qemu.json` a machine can still be destroyed, because its process carries its id; without `machine.json`
    // nobody knows what belongs to it, and without the record of another provider, where to ask for it.
    let own = format!("{}.json", world.provider);
    let at_qemu = world.provider == "qemu";
    for (name, processes, commands) in [("machine.json", 1, 4), (&own, 0, if at_qemu { 3 } else { 4 })] {
        let record = folder.join(name);
        let good = fs::read_to_string(&record).unwrap();
        for (bad, words) in [("{\"format\": 1, \"id", "damaged"), ("{\"format\": 99}", "format 99")] {
            fs::write(&record, bad).unwrap();
            for args in [&["up"][..], &["reload"], &["suspend"], &["destroy", "-f"]].iter().take(commands) {
                println!("{args:?} with {name} {bad}");
                world.run(args).fails(15, &[words, name]);
                assert_eq!(fs::read_to_string(&record).unwrap(), bad);
            }
            if name == "machine.json" {
                world.run(&["global-status"]).ok().says(&["damaged"]);
            }
            assert_eq!(world.processes().len(), processes, "nothing was ended on a guess");
        }
        fs::write(&record, good).unwrap();
        world.run(&["halt", "-f"]).ok();
    }
    if at_qemu {
        fs::write(folder.join(own), "{").unwrap();
    }
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
