//! `box verify`, `box gc`, `box prune`, and what boxes take.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use vbox_rs::boxes::{Installed, Needs, Trouble};
use vbox_rs::error::Exit;
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::store::Lock;

use crate::archives::{content, image};
use crate::images::qcow2;
use crate::world::{Home, needs, on_disk, request, sha256};

fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
}

/// A file that the library never put there, named as if it had.
fn orphan(home: &Home, folder: &str, ending: &str) -> PathBuf {
    let folder = home.dirs.boxes().join(folder);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}.{ending}", "a".repeat(64)));
    fs::write(&path, [1; 5000]).unwrap();
    path
}

#[test]
fn a_whole_library_verifies_clean() {
    let home = Home::new();
    assert_eq!(home.verify(&Needs::default()).exit(), Exit::Ok, "an empty one too");
    home.add_version("a", "1", &qcow2(3 << 20));
    let two = home.add_version("b", "2", &qcow2(70_000));
    home.add_version("c", "2", &qcow2(70_000));
    let verdict = home.verify(&needs("web", &two));
    assert_eq!((verdict.boxes, verdict.files, verdict.bytes), (3, 2, (3 << 20) + 70_000));
    assert_eq!((verdict.findings.as_slice(), verdict.exit()), (&[][..], Exit::Ok));
}

#[test]
fn damage_is_found_and_named_with_whom_it_concerns_and_what_mends_it() {
    let home = Home::new();
    let installed = home.add_version("me/my box", "1.0", &qcow2(70_000));
    home.add_version("other", "2", &qcow2(70_000));
    let disk = installed.disk_paths().remove(0);
    let mut damaged = qcow2(70_000);
    damaged[60_000] ^= 1;
    overwrite(&disk, &damaged);
    let verdict = home.verify(&needs("web (1a2b, /p)", &installed));
    let [finding] = &verdict.findings[..] else { panic!("{verdict:?}") };
    assert_eq!((finding.trouble, verdict.exit()), (Trouble::Damaged, Exit::Checksum));
    assert_eq!(finding.boxes, ["me/my box 1.0", "other 2"]);
    assert_eq!(finding.machines, ["web (1a2b, /p)"]);
    assert!(finding.detail.contains(&sha256(&damaged)), "{}", finding.detail);
    let source = home.dir.path().join("image");
    let command = format!("vbox-rs box add --force --name 'me/my box' --box-version 1.0 {}", source.display());
    assert_eq!(finding.mend.as_deref(), Some(command.as_str()));

    // Doing as it says mends it, although the damaged file has the right length.
    home.add(&vbox_rs::boxes::AddRequest {
        force: true,
        name: Some("me/my box".into()),
        version: Some("1.0".into()),
        ..request(&source)
    })
    .unwrap();
    assert_eq!(home.verify(&needs("web", &installed)).findings, []);

    fs::remove_file(&disk).unwrap();
    let verdict = home.library.verify(&Cx::silent(), &["other".to_owned()], &Needs::default()).unwrap();
    assert_eq!((verdict.findings[0].trouble, verdict.exit()), (Trouble::Missing, Exit::Checksum));
    assert_eq!(verdict.findings[0].boxes, ["other 2"], "only what was asked for");
}

#[test]
fn what_only_a_machine_needs_is_verified_too() {
    let home = Home::new();
    let installed = home.add_version("a", "1", &qcow2(1000));
    let web = || Ok(needs("web", &installed));
    home.library.remove(&Cx::silent(), std::slice::from_ref(&installed), &web, true, true).unwrap();
    let needs = needs("web", &installed);
    assert_eq!(home.verify(&needs).findings, []);
    fs::remove_file(&installed.disk_paths()[0]).unwrap();
    let finding = home.verify(&needs).findings.remove(0);
    assert_eq!((finding.trouble, finding.machines), (Trouble::Missing, vec!["web".to_owned()]));
    assert!(finding.mend.unwrap().starts_with("vbox-rs box add --force --name a "));
}

#[test]
fn a_manifest_that_a_killed_add_began_to_write_goes_with_the_next_add() {
    let home = Home::new();
    let there = home.add_version("a", "1", &qcow2(1000));
    let half = there.path().with_file_name(".new-abc");
    fs::write(&half, "{").unwrap();
    fs::remove_file(there.path()).unwrap();
    home.add_version("a", "1", &qcow2(1000));
    assert!(!half.exists() && there.path().exists());
}

#[test]
fn records_permissions_and_strays_are_looked_at() {
    let home = Home::new();
    let damaged = home.add_version("a", "1", &qcow2(1000));
    let open = home.add_version("b", "1", &qcow2(2000));
    fs::write(damaged.path(), "{").unwrap();
    let misplaced = open.path().with_file_name("libvirt-arm64.json");
    fs::copy(open.path(), &misplaced).unwrap();
    fs::set_permissions(&open.disk_paths()[0], Permissions::from_mode(0o644)).unwrap();
    let foreign = home.dirs.boxes().join("disks/notes.txt");
    fs::write(&foreign, "x").unwrap();
    let half = open.path().with_file_name(".new-abc");
    fs::write(&half, "x").unwrap();
    let unneeded = orphan(&home, "converted", "vdi");
    let verdict = home.verify(&Needs::default());
    let found: Vec<_> = verdict.findings.iter().map(|one| (one.trouble, one.path.clone())).collect();
    assert_eq!(verdict.exit(), Exit::State, "the worst counts");
    for expected in [
        (Trouble::Manifest, damaged.path().to_owned()),
        (Trouble::Manifest, misplaced),
        (Trouble::Permissions, open.disk_paths().remove(0)),
        (Trouble::Foreign, foreign.clone()),
        (Trouble::Unneeded, half),
        (Trouble::Unneeded, unneeded.clone()),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:#?}");
    }
    assert!(foreign.exists() && unneeded.exists(), "nothing is removed");

    // What is in nobody's way does not fail.
    let home = Home::new();
    orphan(&home, "disks", "qcow2");
    let verdict = home.verify(&Needs::default());
    assert_eq!((verdict.findings.len(), verdict.exit()), (1, Exit::Ok));
    assert_eq!(verdict.findings[0].mend.as_deref(), Some("vbox-rs box gc"));
}

#[test]
fn a_converted_disk_with_a_broken_head_is_told() {
    let home = Home::new();
    let installed = home.add_version("a", "1", &qcow2(1000));
    let folder = home.dirs.boxes().join("converted");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}.qcow2", installed.manifest.disks[0].sha256));
    let Some(good) = image(&content(1 << 20), "qcow2", "") else { return };
    for (content, count) in [(good, 0), (vec![0; 600], 1), (Vec::new(), 1)] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        let verdict = home.verify(&Needs::default());
        assert_eq!(verdict.findings.len(), count, "{verdict:?}");
        fs::remove_file(&path).unwrap();
    }
}

/// What headers do not tell.
#[test]
fn a_converted_disk_whose_tables_do_not_fit_together_is_told() {
    let home = Home::new();
    let Some(bytes) = image(&content(4 << 20), "vdi", "") else { return };
    let installed = home.add_file("image", &bytes).unwrap();
    let (path, _) = home.library.disk_as(&Cx::silent(), &installed.manifest.disks[0], &["qcow2"]).unwrap();
    assert_eq!(home.verify(&Needs::default()).findings, []);
    let mut image = fs::read(&path).unwrap();
    let place =
        |image: &[u8], at: usize| usize::try_from(u64::from_be_bytes(*image[at..].first_chunk().unwrap())).unwrap();
    let counts = place(&image, place(&image, 48));
    image[counts..counts + 1024].fill(0);
    fs::remove_file(&path).unwrap();
    fs::write(&path, image).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    let verdict = home.verify(&Needs::default());
    let finding = &verdict.findings[0];
    assert_eq!((finding.trouble, verdict.exit()), (Trouble::Damaged, Exit::Checksum));
    assert!(finding.detail.contains("refcount"), "{finding:?}");
    assert_eq!(finding.mend.as_deref(), Some(format!("rm {}", path.display()).as_str()));
}

#[test]
fn verifying_stops_when_asked_to() {
    let home = Home::new();
    home.add_version("a", "1", &qcow2(3 << 20));
    let cancel = Cancel::default();
    cancel.raise();
    let cx = Cx::new(std::sync::Arc::new(Silent), cancel);
    let error = home.library.verify(&cx, &[], &Needs::default()).unwrap_err();
    assert_eq!(vbox_rs::error::Explain::exit(&error), Exit::Interrupted);
}

/// One of each kind of garbage; the bytes that it takes.
fn litter(home: &Home) -> (Vec<PathBuf>, u64) {
    let disk = orphan(home, "disks", "qcow2");
    let converted = orphan(home, "converted", "vmdk");
    let incoming = home.dirs.boxes().join("incoming/dead");
    fs::create_dir_all(&incoming).unwrap();
    fs::write(incoming.join("file0"), [1; 5000]).unwrap();
    fs::create_dir_all(home.dirs.downloads()).unwrap();
    let mut size = on_disk(&disk) + on_disk(&converted) + on_disk(&incoming.join("file0"));
    let old = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    for (name, time) in [("old.part", old), ("old.json", old), ("young.part", SystemTime::now()), ("young.json", old)] {
        let path = home.dirs.downloads().join(name);
        fs::write(&path, [1; 5000]).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        size += if name.starts_with("old") { on_disk(&path) } else { 0 };
    }
    (vec![disk, converted, incoming, home.dirs.downloads().join("old.part")], size)
}

#[test]
fn garbage_is_collected_and_everything_else_stays() {
    let home = Home::new();
    let installed = home.add_version("a", "1", &qcow2(70_000));
    let only_used = home.add_version("b", "1", &qcow2(80_000));
    let converted = home.dirs.boxes().join("converted");
    fs::create_dir_all(&converted).unwrap();
    let shared = converted.join(format!("{}.vdi", only_used.manifest.disks[0].sha256));
    fs::write(&shared, "x").unwrap();
    // Somebody removed a record by hand; a machine still stands on its disk.
    fs::remove_file(only_used.path()).unwrap();
    let needs = needs("web", &only_used);
    let (garbage, size) = litter(&home);
    let alive = home.dirs.boxes().join("incoming/alive");
    fs::create_dir_all(&alive).unwrap();
    let _lock = Lock::try_exclusive(&alive.join("lock"), "box add").unwrap().unwrap();

    let before = home.files();
    let told = home.gc(&needs, true);
    assert_eq!(home.files(), before, "a dry run changes nothing");
    assert_eq!(told.freed, size);
    let done = home.gc(&needs, false);
    assert_eq!(done, told, "it does what it told");
    assert!(garbage.iter().all(|path| !path.exists()));
    assert!(home.dirs.downloads().join("young.json").exists() && alive.exists() && shared.exists());
    assert!(installed.disk_paths()[0].exists() && only_used.disk_paths()[0].exists());
    assert_eq!(home.gc(&needs, false).removed, [], "once is enough");
    assert_eq!(home.gc(&Needs::default(), false).removed.len(), 2, "without the machine its disk goes in both forms");
    assert_eq!(home.verify(&Needs::default()).findings, []);
}

#[test]
fn what_cannot_be_read_may_need_any_disk() {
    let home = Home::new();
    let installed = home.add_version("a", "1", &qcow2(70_000));
    let (garbage, _) = litter(&home);
    let mut unreadable = Needs::default();
    unreadable.unreadable.push("1a2b3c4d: damaged".into());
    let done = home.gc(&unreadable, false);
    assert_eq!(done.spared, ["the record of machine 1a2b3c4d: damaged; it may stand on any disk"]);
    let there = || garbage.iter().map(|path| path.exists()).collect::<Vec<_>>();
    assert_eq!(there(), [true, true, false, false], "disks stay, the rest goes");
    fs::write(installed.path(), r#"{"format":99}"#).unwrap();
    let done = home.gc(&Needs::default(), false);
    assert!(done.spared[0].starts_with("the record of box `a` cannot be read ("), "{:?}", done.spared);
    assert_eq!((done.freed, there()), (0, vec![true, true, false, false]));
    assert!(installed.disk_paths()[0].exists());
}

#[test]
fn a_kept_disk_goes_with_its_last_machine() {
    let home = Home::new();
    let installed = home.add_version("a", "1", &qcow2(70_000));
    let web = || Ok(needs("web", &installed));
    home.library.remove(&Cx::silent(), std::slice::from_ref(&installed), &web, true, true).unwrap();
    assert_eq!(home.gc(&needs("web", &installed), false).removed, []);
    assert_eq!(home.gc(&Needs::default(), false).removed.len(), 1);
    home.assert_empty("nobody needs it");
}

#[test]
fn old_are_all_but_the_newest_of_each_kind() {
    let home = Home::new();
    for version in ["1.2", "1.10", "1.9"] {
        home.add_version("a", version, &qcow2(1000));
    }
    home.add_version("b", "1", &qcow2(1000));
    let arm = home.write("arm", &qcow2(1000));
    home.add(&vbox_rs::boxes::AddRequest {
        name: Some("a".into()),
        version: Some("1.0".into()),
        architecture: Some("arm64".into()),
        ..request(&arm)
    })
    .unwrap();
    let listing = home.library.list().unwrap();
    let names = |boxes: Vec<&Installed>| -> Vec<String> {
        boxes.iter().map(|one| format!("{} {}", one.manifest.name, one.manifest.version)).collect()
    };
    assert_eq!(names(listing.outdated()), ["a 1.2", "a 1.9"], "another architecture is another box");
    assert_eq!(names(listing.newest()), ["a 1.0", "a 1.10", "b 1"]);
}

#[test]
fn a_library_of_many_boxes_is_read_whole_and_in_order() {
    let home = Home::new();
    let one = home.add_version("b000", "1", &qcow2(1000));
    let text = fs::read_to_string(one.path()).unwrap();
    let manifests = home.dirs.boxes().join("manifests");
    for number in 1..450 {
        let folder = manifests.join(format!("b{number:03}")).join("1");
        fs::create_dir_all(&folder).unwrap();
        let text = if number == 77 { "{".into() } else { text.replace("b000", &format!("b{number:03}")) };
        fs::write(folder.join(one.path().file_name().unwrap()), text).unwrap();
    }
    let expected: Vec<_> = (0..450).filter(|number| *number != 77).map(|number| format!("b{number:03} 1")).collect();
    assert_eq!(home.names(), expected);
    assert_eq!(home.library.list().unwrap().damaged[0].name, "b077");
}

#[test]
fn sizes_count_what_is_shared_once() {
    let home = Home::new();
    let one = home.add_version("one", "1", &qcow2(70_000));
    let two = home.add_version("two", "1", &qcow2(70_000));
    let alone = home.add_version("alone", "1", &qcow2(80_000));
    let (size, other) = (on_disk(&one.disk_paths()[0]), on_disk(&alone.disk_paths()[0]));
    let listing = home.library.list().unwrap();
    let usage = home.library.usage(&listing);
    let taken = |installed: &Installed| (usage.of(&installed.manifest).real, usage.of(&installed.manifest).shared);
    assert_eq!((taken(&one), taken(&two), taken(&alone)), ((size, size), (size, size), (other, 0)));
    assert_eq!(usage.total(), size + other);
    assert_eq!(listing.sharing(&one.manifest), ["two 1"]);
    assert!(listing.sharing(&alone.manifest).is_empty());
}
