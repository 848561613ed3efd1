//! `package` of machines on VirtualBox, which copies their disks first.

use std::fs;
use std::path::Path;

use crate::world::Lab;

/// A machine that is off.
fn off() -> Option<Lab> {
    let lab = Lab::with_sleeper()?;
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    Some(lab)
}

fn packs(lab: &Lab) {
    lab.run(&["package", "--no-reset", "--force"]).ok();
    assert!(lab.world.project.join("package.box").exists());
    assert_eq!(lab.media().len(), 2, "the copy is known no more: {:?}", lab.media());
}

/// The service goes on with what it was told, and knows of the copy when nobody waits for it any more.
#[test]
fn a_package_that_is_killed_does_not_stop_the_next() {
    let Some(lab) = off() else { return };
    // Before the copy is there, and when the call has ended.
    for work in ["(sleep 1; exec \"$REAL\" \"$@\") >/dev/null 2>&1 &", "\"$REAL\" \"$@\" >/dev/null 2>&1;"] {
        lab.behave(&format!("case \"$1\" in clonemedium) {work} kill -9 $PPID; exit ;; esac"));
        lab.run(&["package", "--no-reset"]);
        assert!(!lab.world.project.join("package.box").exists(), "it was killed before");
        lab.behave("");
        lab.eventually("the service has made the copy", || lab.media().len() == 3);
        packs(&lab);
        fs::remove_file(lab.world.project.join("package.box")).unwrap();
    }
    lab.destroy();
}

/// As one that was killed, and whose folder is gone, leaves it.
#[test]
fn a_copy_that_only_virtualbox_knows_is_no_obstacle() {
    let Some(lab) = off() else { return };
    lab.behave("case \"$1\" in clonemedium) \"$REAL\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit ;; esac");
    lab.run(&["package", "--no-reset"]);
    lab.behave("");
    assert_eq!(lab.media().len(), 3);
    fs::remove_dir_all(lab.world.home().join("machines").join(lab.id()).join("package")).unwrap();
    packs(&lab);
    lab.destroy();
}

#[test]
fn what_a_killed_package_left_goes_with_the_machine() {
    let Some(lab) = off() else { return };
    lab.behave("case \"$1\" in clonemedium) \"$REAL\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit ;; esac");
    lab.run(&["package", "--no-reset"]);
    lab.behave("");
    assert_eq!(lab.media().len(), 3);
    lab.destroy();
}

/// The copy that is cleaned is a machine of its own, which nobody takes up again.
#[test]
fn a_copy_that_runs_is_ended_with_all_its_media_when_its_package_was_killed() {
    let Some(lab) = off() else { return };
    lab.behave("case \"$1\" in startvm) \"$REAL\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit ;; esac");
    lab.run(&["package"]);
    lab.behave("");
    assert_eq!(lab.machines("runningvms").len(), 1);
    assert_eq!(lab.machines("vms").len(), 2);
    packs(&lab);
    assert_eq!((lab.machines("vms").len(), lab.processes("VBoxHeadless").len()), (1, 0));
    assert!(!Path::new(&lab.world.home().join("machines").join(lab.id()).join("package")).exists());
    lab.behave("case \"$1\" in startvm) \"$REAL\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit ;; esac");
    lab.run(&["package", "--force"]);
    lab.behave("");
    assert_eq!(lab.machines("runningvms").len(), 1);
    lab.destroy();
}
