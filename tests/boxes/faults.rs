//! Killed commands, full disks, homes that cannot be written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vbox_rs::boxes::{AddRequest, Library, Needs, Query};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::store::{Dirs, Lock};

use crate::fault_server::{Reply, Server};
use crate::images::{plain_box, qcow2};
use crate::mounts::Mount;
use crate::world::{Home, impatient, request, request_url};

#[test]
fn what_a_killed_command_left_is_swept_but_not_what_a_living_one_has() {
    let home = Home::new();
    let kept = home.add_file("a.qcow2", &qcow2(1000)).unwrap();
    let incoming = home.dirs.boxes().join("incoming");
    let content = |letter: &str| format!("{}.qcow2", letter.repeat(64));
    for name in ["dead", "alive"] {
        fs::create_dir_all(incoming.join(name)).unwrap();
        fs::write(incoming.join(name).join("file0"), "half").unwrap();
    }
    let alive = Lock::try_exclusive(&incoming.join("alive/lock"), "box add").unwrap().unwrap();
    let orphan = home.dirs.boxes().join("disks").join(content("a"));
    // A machine may stand on it, though somebody removed its box's manifest by hand.
    let other = home.dirs.boxes().join("disks").join(content("b"));
    fs::write(&orphan, "x").unwrap();
    fs::write(&other, "x").unwrap();
    fs::write(incoming.join("dead/intent"), content("a")).unwrap();
    home.library.sweep(&Cx::silent()).unwrap();
    assert!(!incoming.join("dead").exists() && !orphan.exists());
    assert!(incoming.join("alive/file0").exists() && kept.disk_paths()[0].exists());
    assert!(other.exists(), "the killed command had nothing to do with it");
    drop(alive);
    home.library.release(&Cx::silent(), &|| Ok(Needs::default())).unwrap();
    let second = home.add_file("b.qcow2", &qcow2(2000)).unwrap();
    home.remove(&second).unwrap();
    assert!(other.exists(), "nor has another box");

    // With a manifest that cannot be read, any disk may be needed.
    fs::write(&orphan, "x").unwrap();
    fs::create_dir_all(incoming.join("dead")).unwrap();
    fs::write(incoming.join("dead/intent"), content("a")).unwrap();
    fs::write(kept.path(), r#"{"format":99}"#).unwrap();
    home.library.sweep(&Cx::silent()).unwrap();
    assert!(orphan.exists() && kept.disk_paths()[0].exists());
    let listing = home.library.list().unwrap();
    assert_eq!((listing.boxes.len(), listing.damaged[0].name.as_str()), (0, "a"));
    let error = home.library.find(&Query { name: "a", ..Query::default() }).unwrap_err();
    assert_eq!(error.exit(), Exit::State);
}

/// The other end of a test that kills: run in a process of its own.
#[test]
#[ignore = "started by another test"]
fn child_adds_a_box() {
    let Some(home) = std::env::var_os("BOXES_TEST_HOME") else { return };
    let library = Library::new(&Dirs::below(Path::new(&home)));
    let source = std::env::var("BOXES_TEST_SOURCE").unwrap();
    let _ = library.add(&Cx::silent(), &AddRequest { source, tuning: impatient(), ..AddRequest::default() });
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let home = Home::new();
    let Some(_mount) = Mount::new(&home.dir.path().join("home"), "size=2m") else { return };
    let bytes = plain_box(6 << 20);
    let file = home.write("x.box", &bytes);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    for base in [request(&file), request_url(&server, "/x.box")] {
        let error = home.add(&base).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{error}");
        assert_eq!(error.exit(), Exit::Io);
        home.assert_empty("full disk");
    }
    home.add_file("small.qcow2", &qcow2(1000)).unwrap();
}

#[test]
fn a_full_cache_only_costs_the_resuming() {
    let home = Home::new();
    let Some(_mount) = Mount::new(&home.dir.path().join("cache"), "size=2m") else { return };
    let bytes = plain_box(6 << 20);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    home.add(&request_url(&server, "/x.box")).unwrap();
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

#[test]
fn a_home_that_cannot_be_written_is_told() {
    let home = Home::new();
    let file = home.write("x.qcow2", &qcow2(1000));
    let Some(_mount) = Mount::new(&home.dir.path().join("home"), "ro") else { return };
    let error = home.add(&request(&file)).unwrap_err();
    assert_eq!(error.exit(), Exit::Io);
    assert!(error.hint().is_some_and(|hint| hint.contains("read-only")), "{error}");
}

#[test]
fn names_that_look_like_paths_stay_in_the_library() {
    let home = Home::new();
    let file = home.write("x.qcow2", &qcow2(1000));
    for name in ["..", "../../x", "/etc/passwd", "a:b", "a/b/c", ".hidden", "ü ☃"] {
        let installed = home.add(&AddRequest { name: Some(name.into()), ..request(&file) }).unwrap();
        assert!(installed.path().starts_with(home.dirs.boxes().join("manifests")));
        assert!(home.library.find(&Query { name, ..Query::default() }).unwrap().is_some());
    }
    let names: BTreeSet<_> = home.library.list().unwrap().boxes.into_iter().map(|b| b.manifest.name).collect();
    assert_eq!(names.len(), 7);
}
