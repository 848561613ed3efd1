//! `kill -9` at many instants of what tidies the library: it verifies clean, and the same command goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use vbox_rs::boxes::{Library, Needs};
use vbox_rs::error::Exit;
use vbox_rs::progress::Cx;
use vbox_rs::store::Dirs;

use crate::images::qcow2;
use crate::world::Home;

/// Instants at which each command is killed.
const ROUNDS: u32 = 6;

/// The other end of the tests here: run in a process of its own.
#[test]
#[ignore = "started by another test"]
fn child() {
    let Some(home) = std::env::var_os("BOXES_TEST_HOME") else { return };
    let library = Library::new(&Dirs::below(Path::new(&home)));
    let cx = Cx::silent();
    let listing = library.list().unwrap();
    match std::env::var("BOXES_TEST_WORK").unwrap().as_str() {
        "gc" => drop(library.gc(&cx, &|| Ok(Needs::default()), false, true)),
        "prune" => {
            let old: Vec<_> = listing.outdated().into_iter().cloned().collect();
            drop(library.remove(&cx, &old, &|| Ok(Needs::default()), false, true));
        }
        "remove" => drop(library.remove(&cx, &listing.boxes, &|| Ok(Needs::default()), false, true)),
        "repackage" => {
            let target = Path::new(&home).join("out/package.box");
            drop(library.repackage(&cx, listing.boxes.last().unwrap(), &target, true));
        }
        other => panic!("{other}"),
    }
}

/// Runs the work to its end, or kills it after a while.
fn work(home: &Home, what: &str, time: Option<Duration>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--ignored"])
        .env("BOXES_TEST_HOME", home.dir.path())
        .env("BOXES_TEST_WORK", what)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    if let Some(time) = time {
        thread::sleep(time);
        child.kill().unwrap();
    }
    child.wait().unwrap();
}

/// Kills the work at instants that lie evenly over the time that it takes.
fn kill_at_many_instants(what: &str, prepare: impl Fn(&Home), check: impl Fn(&Home, u32)) {
    let template = Home::new();
    prepare(&template);
    let whole = template.copy();
    let began = std::time::Instant::now();
    work(&whole, what, None);
    let took = began.elapsed();
    check(&whole, ROUNDS);
    for round in 0..ROUNDS {
        let home = template.copy();
        work(&home, what, Some(took * (round + 1) / (ROUNDS + 1)));
        let verdict = home.verify(&Needs::default());
        assert_eq!(verdict.exit(), Exit::Ok, "{what}, round {round}: {verdict:#?}");
        check(&home, round);
        work(&home, what, None);
        home.gc(&Needs::default(), false);
        let verdict = home.verify(&Needs::default());
        assert_eq!(verdict.findings, [], "{what}, round {round}");
        check(&home, ROUNDS);
    }
}

/// Many versions of two boxes, some of which share their disk.
fn fill(home: &Home) {
    for version in 1..=20 {
        home.add_version("a", &version.to_string(), &qcow2(1000 + version));
        home.add_version("b", &version.to_string(), &qcow2(1010 + version));
    }
}

fn orphans(home: &Home) -> Vec<PathBuf> {
    let name = |number: u32| home.dirs.boxes().join("disks").join(format!("{number:064x}.qcow2"));
    (0..300).map(name).collect()
}

#[test]
fn a_killed_gc_loses_no_box_and_the_next_one_ends_it() {
    let prepare = |home: &Home| {
        home.add_version("a", "1", &qcow2(1000));
        for path in orphans(home) {
            fs::write(path, [1; 5000]).unwrap();
        }
    };
    kill_at_many_instants("gc", prepare, |home, round| {
        assert_eq!(home.names(), ["a 1"]);
        assert!(round < ROUNDS || orphans(home).iter().all(|path| !path.exists()));
    });
}

#[test]
fn a_killed_prune_leaves_the_newest_and_whole_boxes() {
    kill_at_many_instants("prune", fill, |home, round| {
        let names = home.names();
        assert!(names.contains(&"a 20".into()) && names.contains(&"b 20".into()), "{names:?}");
        assert!(round < ROUNDS || names.len() == 2, "{names:?}");
    });
}

#[test]
fn a_killed_removal_leaves_whole_boxes_and_the_next_one_ends_it() {
    kill_at_many_instants("remove", fill, |home, round| {
        assert!(round < ROUNDS || home.files().is_empty(), "{:?}", home.files());
    });
}

#[test]
fn a_killed_repackage_leaves_the_former_file_and_no_part_of_a_new_one() {
    let prepare = |home: &Home| {
        home.add_version("a", "1", &qcow2(6 << 20));
        fs::create_dir(home.dir.path().join("out")).unwrap();
        fs::write(home.dir.path().join("out/package.box"), "former").unwrap();
    };
    kill_at_many_instants("repackage", prepare, |home, round| {
        let out = home.dir.path().join("out");
        let content = fs::read(out.join("package.box")).unwrap();
        assert!(content == b"former" && round < ROUNDS || content.len() > 4 << 20, "{} bytes", content.len());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "round {round}");
        assert_eq!(home.names(), ["a 1"]);
    });
}
