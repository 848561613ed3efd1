//! The disk that machines of one box share, and what is not ours.

use std::fs;

use crate::world::Lab;

#[test]
fn machines_of_a_box_share_its_disk_which_goes_with_the_last() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file("box = \"empty\"\n[machines.one]\n[machines.two]\n");
    lab.run(&["up", "one"]).fails(10, &[]);
    let first = lab.media();
    assert_eq!(first.len(), 2, "a base and what one machine changes: {first:?}");
    lab.run(&["up", "two"]).fails(10, &[]);
    let media = lab.media();
    let bases: Vec<_> = media.iter().filter(|medium| medium.parent == "base").collect();
    assert_eq!((media.len(), bases.len()), (3, 1), "{media:?}");
    let mut children = media.iter().filter(|medium| medium.parent != "base");
    assert!(children.all(|child| child.parent == bases[0].uuid), "{media:?}");
    // Nothing was copied: what is a machine's own is small.
    assert!(media.iter().all(|medium| medium.location.exists()));

    lab.run(&["destroy", "-f", "one"]).ok();
    let media = lab.media();
    assert_eq!(media.len(), 2, "{media:?}");
    assert!(media.iter().any(|medium| medium.parent == "base"));
    assert_eq!(lab.machines("runningvms").len(), 1);
    lab.destroy();
}

#[test]
fn what_the_user_made_by_hand_is_never_touched() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let disk = lab.by_hand("precious");
    let before = fs::read(disk.parent().unwrap().join("precious.vbox")).unwrap();
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_only_theirs(&["precious"], 1);
    assert_eq!(fs::read(disk.parent().unwrap().join("precious.vbox")).unwrap(), before);
    assert!(disk.exists());
}

/// VirtualBox refuses two machines of one name in one folder; theirs was there first.
#[test]
fn a_name_that_the_user_took_is_no_obstacle_and_stays_theirs() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    let vm = lab.machine();
    let name = lab.info(&vm, "name").unwrap();
    lab.destroy();
    let name = name.replace('/', "_");
    lab.by_hand(&name);
    let ran = lab.run(&["up"]);
    assert!(ran.code == 10 || ran.code == 8 && ran.stderr.contains(&name), "{}: {}", ran.code, ran.stderr);
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_only_theirs(&[&name], 1);
}

/// A copy of our base that the user registered: VirtualBox knows media by the UUID inside of them.
#[test]
fn a_disk_with_the_uuid_of_our_base_is_told_and_survives() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    let base = lab.media().into_iter().find(|medium| medium.parent == "base").unwrap();
    let copy = lab.world.folder("copies").join("copy").with_extension(base.location.extension().unwrap());
    fs::copy(&base.location, &copy).unwrap();
    lab.destroy();
    lab.manage(&["createvm", "--name", "copied", "--ostype", "Other", "--register"]);
    lab.manage(&["storagectl", "copied", "--name", "SATA", "--add", "sata", "--portcount", "1"]);
    lab.attach("copied", &copy);
    let ran = lab.run(&["up"]);
    // Either the base is another one by now, or the message names what is in the way.
    assert!(
        ran.code == 10 || ran.code == 8 && ran.stderr.contains(copy.to_str().unwrap()),
        "{}: {}",
        ran.code,
        ran.stderr
    );
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_only_theirs(&["copied"], 1);
    assert!(copy.exists());
    lab.manage(&["unregistervm", "copied"]);
    lab.manage(&["closemedium", "disk", copy.to_str().unwrap()]);
    lab.up();
    lab.destroy();
}

/// A disk of the user's own that rests on our base keeps it, and `destroy` says so or leaves it to the next.
#[test]
fn a_base_that_somebody_else_rests_on_stays() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    let base = lab.media().into_iter().find(|medium| medium.parent == "base").unwrap();
    lab.manage(&["createvm", "--name", "leaning", "--ostype", "Other", "--register"]);
    lab.manage(&["storagectl", "leaning", "--name", "SATA", "--add", "sata", "--portcount", "1"]);
    let child = lab.theirs().join("leaning/child.vdi");
    lab.manage(&[
        "createmedium",
        "disk",
        "--filename",
        child.to_str().unwrap(),
        "--diffparent",
        base.location.to_str().unwrap(),
    ]);
    lab.attach("leaning", &child);
    lab.run(&["destroy", "-f"]).ok();
    assert!(base.location.exists(), "the user's disk lost what it rests on");
    lab.assert_only_theirs(&["leaning"], 2);
    lab.manage(&["startvm", "leaning", "--type", "headless"]);
}
