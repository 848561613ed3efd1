//! Changed behind our back: machines deleted, damaged and locked by others, media that lost their files.

use std::fs;
use std::path::PathBuf;

use crate::world::Lab;

fn settings_file(lab: &Lab) -> PathBuf {
    lab.info(&lab.machine(), "CfgFile").unwrap().into()
}

#[test]
fn a_machine_deleted_behind_our_back_can_be_destroyed_or_made_anew() {
    let Some(lab) = Lab::with_sleeper() else { return };
    for again in ["destroy", "up"] {
        lab.up();
        let machine = lab.machine();
        lab.manage(&["controlvm", &machine, "poweroff"]);
        lab.eventually("it can be deleted", || lab.try_manage(&["unregistervm", &machine, "--delete"]).code == 0);
        assert_ne!(lab.state(), "running");
        if again == "up" {
            // Its disk is gone: either that is told, or it is a new machine.
            let ran = lab.run(&["up"]);
            assert!(ran.code == 10 || ran.code == 8 || ran.code == 7, "{}: {}", ran.code, ran.stderr);
        }
        lab.destroy();
    }
}

#[test]
fn a_machine_that_was_switched_off_by_hand_starts_again() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.manage(&["controlvm", &lab.machine(), "poweroff"]);
    lab.eventually("it is off", || lab.info(&lab.machine(), "VMState").as_deref() == Some("poweroff"));
    assert_ne!(lab.state(), "running");
    lab.up();
    lab.destroy();
}

#[test]
fn a_process_that_was_killed_is_noticed_and_the_machine_starts_again() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.kill("VBoxHeadless");
    lab.eventually("VirtualBox has noticed", || lab.machines("runningvms").is_empty());
    assert!(["vanished", "off"].contains(&lab.state().as_str()), "{}", lab.state());
    lab.up();
    lab.kill("VBoxHeadless");
    lab.destroy();
}

#[test]
fn a_service_that_was_killed_comes_back() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.kill("VBoxSVC");
    // The machine's process goes with its service, sooner or later; what is told must be true. The first call after that
    // may stall.
    let state = lab.state();
    assert!(["running", "vanished", "off", "unknown", "unresponsive"].contains(&state.as_str()), "{state}");
    lab.eventually("its state is known again", || !["unknown", "unresponsive"].contains(&lab.state().as_str()));
    lab.destroy();
    lab.up();
    lab.destroy();
}

#[test]
fn an_inaccessible_machine_is_told_and_can_be_destroyed() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    let file = settings_file(&lab);
    // The service reads settings when it starts.
    lab.kill("VBox");
    fs::write(&file, "<?xml version=\"1.0\"?>\n<VirtualBox").unwrap();
    assert!(lab.manage(&["list", "vms"]).contains("<inaccessible>"));
    assert_eq!(lab.state(), "broken");
    let ran = lab.run(&["up"]);
    assert!([7, 8, 15].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap().len(), "<?xml version=\"1.0\"?>\n<VirtualBox".len());
    lab.destroy();
}

#[test]
fn a_disk_whose_file_is_gone_is_told_and_leaves_nothing_in_the_registry() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    let own = lab.media().into_iter().find(|medium| medium.parent != "base").unwrap();
    lab.kill("VBox");
    fs::remove_file(&own.location).unwrap();
    let ran = lab.run(&["up"]);
    assert!([7, 8].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    lab.destroy();
    lab.up();
    lab.destroy();
}

/// VirtualBox calls it saved all the same.
#[test]
fn a_saved_state_whose_file_is_gone_is_told_and_can_be_given_up() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    let folder = settings_file(&lab).parent().unwrap().join("Snapshots");
    lab.run(&["suspend"]).ok();
    for file in
        fs::read_dir(&folder).unwrap().flatten().filter(|file| file.path().extension().is_some_and(|e| e == "sav"))
    {
        fs::remove_file(file.path()).unwrap();
    }
    let ran = lab.run(&["resume"]);
    assert!([7, 8].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains("vbox-rs halt"), "{}", ran.stderr);
    lab.run(&["halt", "-f"]).ok();
    lab.up();
    assert_eq!(lab.state(), "running");
    lab.destroy();
}

/// VirtualBox keeps what it knows of media in a file of its own.
#[test]
fn a_machine_whose_folder_was_removed_leaves_nothing_in_the_registry() {
    let Some(lab) = Lab::with_sleeper() else { return };
    for served in [true, false] {
        lab.up();
        lab.run(&["halt", "-f"]).ok();
        let folder = lab.world.home().join("machines").join(lab.id()).join("virtualbox");
        if !served {
            lab.kill("VBox");
        }
        fs::remove_dir_all(&folder).unwrap();
        lab.eventually("that is told", || lab.state() == "broken");
        let ran = lab.run(&["up"]);
        assert!([7, 8].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
        lab.destroy();
    }
    lab.up();
    lab.destroy();
}

/// It can be made anew from the box, and the machine's own disk fits it.
#[test]
fn a_base_whose_file_is_gone_comes_back_with_the_next_start() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    lab.run(&["halt", "-f"]).ok();
    let base = lab.media().into_iter().find(|medium| medium.parent == "base").unwrap();
    lab.kill("VBox");
    fs::remove_file(&base.location).unwrap();
    lab.eventually("that is told", || lab.state() == "broken");
    lab.up();
    let again = lab.media().into_iter().find(|medium| medium.parent == "base").unwrap();
    assert_eq!((again.uuid, again.location), (base.uuid, base.location));
    lab.destroy();
}

/// Snapshots that the user took by hand go with the machine, and keep it from being destroyed no more than their disks do.
#[test]
fn a_machine_with_snapshots_of_the_users_own_is_destroyed_whole() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.up();
    let machine = lab.machine();
    lab.manage(&["snapshot", &machine, "take", "one", "--live"]);
    lab.manage(&["snapshot", &machine, "take", "two"]);
    lab.run(&["halt", "-f"]).ok();
    lab.up();
    lab.destroy();
}
