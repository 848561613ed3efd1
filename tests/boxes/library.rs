//! Boxes that are there: replaced, removed, held, shared.

use std::path::Path;
use std::thread;
use std::time::Duration;

use vbox_rs::boxes::{AddRequest, Error, Needs};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;

use crate::fault_server::{Reply, Server};
use crate::images::{plain_box, qcow2};
use crate::world::{Home, needs, on_disk, request, request_url, told};

#[test]
fn a_box_that_is_there_is_replaced_only_by_force_and_shared_disks_stay() {
    let home = Home::new();
    let (first, second) = (home.write("a.qcow2", &qcow2(1000)), home.write("b.qcow2", &qcow2(2000)));
    let named = |file: &Path, name: &str| AddRequest { name: Some(name.into()), ..request(file) };
    let one = home.add(&named(&first, "one")).unwrap();
    let two = home.add(&named(&first, "two")).unwrap();
    assert_eq!(one.disk_paths(), two.disk_paths());
    let error = home.add(&named(&first, "one")).unwrap_err();
    assert!(matches!(error, Error::AlreadyThere { .. }) && error.hint().unwrap().contains("--force"));

    assert_eq!(home.remove(&one).unwrap().freed, 0);
    assert!(two.disk_paths()[0].exists(), "the other box needs it");
    let replaced = home.add(&AddRequest { force: true, ..named(&second, "two") }).unwrap();
    assert!(two.disk_paths()[0].exists(), "a machine may stand on it");
    let silent = Cx::silent();
    let freed = home.library.release(&silent, &|| Ok(needs("web", &two))).unwrap();
    assert_eq!((freed, two.disk_paths()[0].exists()), (0, true));
    let (size, other) = (on_disk(&two.disk_paths()[0]), on_disk(&replaced.disk_paths()[0]));
    let freed = home.library.release(&silent, &|| Ok(Needs::default())).unwrap();
    assert_eq!((freed, two.disk_paths()[0].exists()), (size, false));
    assert_eq!(home.remove(&replaced).unwrap().freed, other);
    home.assert_empty("all removed");
    assert!(matches!(home.remove(&replaced), Err(Error::Gone { .. })));
}

#[test]
fn a_box_in_use_is_removed_only_by_force_and_its_machines_keep_their_disk() {
    let home = Home::new();
    let installed = home.add_file("a.qcow2", &qcow2(1000)).unwrap();
    let idle = home.add_file("b.qcow2", &qcow2(2000)).unwrap();
    let users = || {
        let mut both = needs("web", &installed);
        both.add("db", &installed.manifest);
        Ok(both)
    };
    let silent = Cx::silent();
    let both = [idle, installed.clone()];
    let (message, exit) = told(home.library.remove(&silent, &both, &users, false, true).unwrap_err());
    assert_eq!((message.as_str(), exit), ("the box `a` 0 is used by web, db", Exit::MachineState));
    assert_eq!(home.names(), ["a 0", "b 0"], "all or none");
    let removed = home.library.remove(&silent, &both, &users, true, true).unwrap();
    assert_eq!(removed.still_used_by, [vec![], vec!["web".to_owned(), "db".to_owned()]]);
    assert!(home.names().is_empty() && installed.disk_paths()[0].exists());
    assert!(matches!(home.library.hold(&silent, &installed), Err(Error::Gone { .. })));
    home.library.release(&silent, &|| Ok(Needs::default())).unwrap();
    home.assert_empty("released");
}

#[test]
fn who_does_not_want_to_wait_for_another_command_is_told_of_it() {
    let bytes = plain_box(2 << 20);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\"").slow(Duration::from_millis(20)));
    let home = Home::new();
    let request = request_url(&server, "/x.box");
    thread::scope(|scope| {
        let first = scope.spawn(|| home.add(&request));
        while server.requests().is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        let (message, exit) = told(home.add(&AddRequest { no_wait: true, ..request.clone() }).unwrap_err());
        assert_eq!(exit, Exit::Locked, "{message}");
        assert!(message.contains("/x.box is in use by `vbox-rs box add` (process "), "{message}");
        first.join().unwrap().unwrap();
    });
    assert_eq!(server.requests().len(), 1);
}

/// The one box's record was deleted by hand; the other one has the same image, and nobody made a machine from it.
#[test]
fn a_disk_that_a_machine_of_another_box_needs_stays_when_a_box_is_removed() {
    let home = Home::new();
    let lost = home.add_version("lost", "1", &qcow2(5000));
    let other = home.add_version("other", "1", &qcow2(5000));
    std::fs::remove_file(lost.path()).unwrap();
    let silent = Cx::silent();
    let web = || Ok(needs("web", &lost));
    let removed = home.library.remove(&silent, std::slice::from_ref(&other), &web, false, true).unwrap();
    assert_eq!((removed.freed, removed.still_used_by), (0, vec![Vec::<String>::new()]));
    assert!(home.names().is_empty() && lost.disk_paths()[0].exists());
    assert_eq!(home.verify(&needs("web", &lost)).findings, []);
    home.library.release(&silent, &|| Ok(Needs::default())).unwrap();
    home.assert_empty("the machine is gone");
}

#[test]
fn with_a_machine_that_cannot_be_asked_a_box_goes_only_by_force_and_its_files_stay() {
    let home = Home::new();
    let installed = home.add_version("a", "1", &qcow2(1000));
    let one = std::slice::from_ref(&installed);
    let unknown = || {
        let mut needs = Needs::default();
        needs.unreadable.push("4f1c: its record is damaged".into());
        Ok(needs)
    };
    let (message, exit) = told(home.library.remove(&Cx::silent(), one, &unknown, false, true).unwrap_err());
    let expected = "whether machines use the box `a` 1 is not known: 4f1c: its record is damaged";
    assert_eq!((message.as_str(), exit), (expected, Exit::State));
    let removed = home.library.remove(&Cx::silent(), one, &unknown, true, true).unwrap();
    assert!(removed.still_used_by[0][0].contains("4f1c"), "{removed:?}");
    assert!(home.names().is_empty() && installed.disk_paths()[0].exists());
}

#[test]
fn a_held_box_is_not_removed() {
    let home = Home::new();
    let installed = home.add_file("a.qcow2", &qcow2(1000)).unwrap();
    let hold = home.library.hold(&Cx::silent(), &installed).unwrap();
    assert_eq!(home.remove(&installed).unwrap_err().exit(), Exit::Locked);
    let error = home.library.gc(&Cx::silent(), &|| Ok(Needs::default()), false, false).unwrap_err();
    assert_eq!(error.exit(), Exit::Locked);
    drop(hold);
    home.remove(&installed).unwrap();
}

#[test]
fn of_several_who_add_one_box_one_downloads_and_the_others_find_it() {
    let bytes = plain_box(2 << 20);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\"").slow(Duration::from_millis(10)));
    let home = Home::new();
    let request = request_url(&server, "/x.box");
    let added: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| home.add(&request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // One that comes after the others are done is told that it is there.
    assert!(added.iter().all(|result| matches!(result, Ok(_) | Err(Error::AlreadyThere { .. }))), "{added:?}");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(home.files().len(), 2);
    assert!(matches!(home.add(&request), Err(Error::AlreadyThere { .. })));
    assert_eq!(server.requests().len(), 1, "nothing is downloaded to find that out");
}
