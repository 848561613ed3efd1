//! Projects whose machine file is broken, whose folder was moved or copied, whose records are damaged: the other machines
//! and the other commands go on. The disks are empty: nothing boots, so each `up` ends with code 10.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::World;

#[test]
fn a_damaged_record_is_listed_as_such_and_hides_no_other_machine() {
    let world = World::silent("[machines.web]\n[machines.db]\n[machines.new]\nautostart = false\n");
    world.run(&["up"]).fails(10, &[]);
    let record = world.home().join("machines").join(world.id("web")).join("machine.json");
    let good = fs::read_to_string(&record).unwrap();
    for (bad, words) in [("{\"format\": 1, \"id", "machine.json is damaged"), ("{\"format\": 99}", "update vbox-rs")] {
        fs::write(&record, bad).unwrap();
        let told = world.run(&["status", "--json"]);
        assert_eq!(told.code, 15);
        let states = told.json();
        let state =
            |index: usize| (states["machines"][index]["name"].clone(), states["machines"][index]["state"].clone());
        assert_eq!(state(0), ("web".into(), "damaged".into()));
        assert_eq!(state(1), ("db".into(), "running".into()));
        assert_eq!(state(2), ("new".into(), "not created".into()));
        let told = world.run(&["status"]);
        assert!(told.code == 15 && told.stdout.contains(words), "{}", told.stdout);
        world.run(&["status", "db"]).ok();
        world.run(&["halt", "web"]).fails(15, &["machine.json"]);
        world.run(&["up", "db"]).fails(10, &[]);
        world.run(&["halt", "-f"]).fails(15, &["now web is damaged and db is off"]);
        world.run(&["up", "db"]).fails(10, &[]);
        assert_eq!(fs::read_to_string(&record).unwrap(), bad);
    }
    fs::write(&record, good).unwrap();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_broken_machine_file_keeps_nobody_from_looking_and_stopping() {
    let world = World::silent("[machines.web]\n[machines.db]\n");
    world.run(&["up"]).fails(10, &[]);
    let id = world.id("web");
    world.machine_file("box = 1\n");
    let file = world.project.join("Vagrantfile");
    for break_it in [true, false] {
        if !break_it {
            fs::remove_file(&file).unwrap();
        }
        let why = if break_it { "Vagrantfile has 1 error (wrong type of `box`)" } else { "no machine file in" };
        let going_on = "going on with what is recorded of this project: `db` and `web`";
        let status = world.run(&["status"]).ok().says(&[why, going_on]);
        assert!(status.stdout.contains("web") && !status.stdout.contains("does not name it"), "{}", status.stdout);
        world.run(&["status", "web"]).ok().says(&["recorded of this project: `web`"]);
        world.run(&["status", "/^w/"]).ok().says(&["recorded of this project: `web`"]);
        world.run(&["logs", "web"]).ok();
        world.run(&["port", "web"]).ok();
        world.run(&["halt", "nobody"]).fails(7, &["no machine is called `nobody`", "db, web"]);
        world.run(&["ssh", "-c", "true"]).fails(2, &["several machines: db, web"]);
        // What needs the file says so, and what does not.
        for args in [&["up"][..], &["reload", "web"], &["resume", "web"], &["rsync"], &["provision"]] {
            let ran = world.run(args);
            println!("{args:?}: {}", ran.stderr);
            ran.fails(3, &["without the machine file `status`, `ssh`", "by id (`vbox-rs ssh "]);
        }
        if break_it {
            for args in [&["up", &id[..8]][..], &["reload", &id[..8]]] {
                world.run(args).fails(3, &["`box`", "^"]);
            }
        }
        assert_eq!(world.processes().len(), 2);
    }
    fs::create_dir(world.project.join("deeper")).unwrap();
    world.run(&["-C", "deeper", "halt", "-f", "web"]).ok().says(&["stopped by force"]);
    fs::remove_dir(world.project.join("deeper")).unwrap();
    world.run(&["suspend", "db"]).ok().says(&["suspended"]);
    world.run(&["destroy", "-f"]).ok().says(&["web: destroyed", "db: destroyed"]);
    world.assert_nothing_left();
    world.run(&["status"]).fails(3, &["no machine file"]);
}

fn project_state(world: &World) -> (String, String) {
    let all = world.run(&["-C", "/", "global-status", "--json"]).ok().json();
    let field = |key: &str| all["machines"][0][key].as_str().unwrap_or_default().to_owned();
    (field("project_state"), field("detail"))
}

#[test]
fn where_a_project_went_is_told_as_far_as_it_can_be_known() {
    let world = World::silent("");
    let around = world.folder("around");
    let (was, now) = (around.join("was"), around.join("now"));
    fs::create_dir(&was).unwrap();
    fs::copy(world.project.join("Vagrantfile"), was.join("Vagrantfile")).unwrap();
    world.run_in(&was, &["up"]).fails(10, &[]);
    assert_eq!(project_state(&world).0, "present");

    fs::rename(&was, &now).unwrap();
    let (state, detail) = project_state(&world);
    assert!(state == "moved" && detail.contains(now.to_str().unwrap()), "{state}: {detail}");
    // A query says it and changes nothing; a command that holds the machine records it.
    for _ in 0..2 {
        let status = world.run_in(&now, &["status"]).ok().stdout;
        assert!(status.contains(&format!("this folder was moved from {}", was.display())), "{status}");
    }
    world.run_in(&now, &["halt", "-f"]).ok().says(&["moved here from", "linked again"]);
    assert_eq!(project_state(&world).0, "present");

    fs::rename(now.join("Vagrantfile"), now.join("away")).unwrap();
    assert_eq!(project_state(&world).0, "no machine file");
    fs::rename(now.join("away"), now.join("Vagrantfile")).unwrap();
    let elsewhere = world.folder("elsewhere").join("deep");
    fs::rename(&now, &elsewhere).unwrap();
    let (state, detail) = project_state(&world);
    assert!(state == "missing" && detail.contains("vbox-rs adopt"), "{state}: {detail}");
    fs::rename(&around, world.folder("x").join("around")).unwrap();
    let (state, detail) = project_state(&world);
    assert!(state == "unreachable" && detail.contains("not mounted"), "{state}: {detail}");
    world.run_in(&elsewhere, &["destroy", "-f"]).ok();
    world.assert_nothing_left();
    assert!(!elsewhere.join(".vbox-rs").exists());
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_copy_of_a_project_gets_its_machine_only_when_its_user_says_so() {
    let world = World::silent("");
    world.run(&["up"]).fails(10, &[]);
    let id = world.id("default");
    let copied = world.project.with_file_name("copied");
    copy(&world.project, &copied);
    world.run_in(&copied, &["destroy", "-f"]).fails(7, &["belongs to", "looks like a copy"]);
    // Where the original went nobody knows, so whether this is it, restored from somewhere, its user must say.
    fs::rename(&world.project, world.folder("hidden").join("original")).unwrap();
    for args in [&["status"][..], &["up"], &["halt"], &["destroy", "-f"]] {
        world
            .run_in(&copied, args)
            .fails(7, &["whose project was", &format!("vbox-rs adopt {}", &id[..8]), ".vbox-rs"]);
    }
    assert_eq!(world.processes().len(), 1);
    world.run_in(&copied, &["adopt", &id[..8]]).ok();
    world.run_in(&copied, &["halt", "-f"]).ok();
    world.run_in(&copied, &["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
