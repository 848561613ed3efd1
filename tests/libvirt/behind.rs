//! What others do behind our back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::{VmPlan, VmState};

use crate::daemon::is_root;
use crate::world::{TestVm, names};

fn vanished(state: &VmState, words: &str) {
    assert!(matches!(state, VmState::Vanished { why } if why.contains(words)), "{state:?}");
}

#[test]
fn a_plug_pulled_by_another_client_is_told_and_up_goes_on() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.virsh("destroy");
    assert!(test.vm.wait_until_ended(&cx, Duration::ZERO).unwrap());
    vanished(&test.state(), "another client of libvirt pulled its plug");
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_domain_removed_by_another_client_is_told_and_made_anew() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.virsh("destroy");
    test.virsh("undefine");
    vanished(&test.state(), "another client of libvirt undefined it");
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    // Undefined while it runs it lives on, until it ends.
    test.virsh("undefine");
    assert_eq!(test.state(), VmState::Running);
    test.vm.kill().unwrap();
    vanished(&test.state(), "undefined it");
}

#[test]
fn a_definition_changed_by_another_client_is_told_and_put_right() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.vm.kill().unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    test.vm.kill().unwrap();
    assert_eq!(test.heard.warnings(), Vec::<String>::new());
    test.daemon.virsh(&["setmaxmem", &test.uuid(), "96M", "--config"]).unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    let warnings = test.heard.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("had changed the domain's definition"), "{warnings:?}");
    assert!(test.virsh("dumpxml").contains("<memory unit='KiB'>65536</memory>"));
}

#[test]
fn a_snapshot_that_another_client_made_goes_with_the_machine() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.daemon.virsh(&["snapshot-create-as", &test.uuid(), "with-memory"]).unwrap();
    test.vm.kill().unwrap();
    test.daemon.virsh(&["snapshot-create-as", &test.uuid(), "of-disks"]).unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.heard.warnings(), Vec::<String>::new());
    test.vm.save(&cx).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.state(), VmState::Absent);
}

#[test]
fn a_disk_that_a_snapshot_put_over_ours_is_never_dropped_silently() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    let snapshot = ["snapshot-create-as", &test.uuid(), "over", "--disk-only"].map(str::to_owned);
    let snapshot = snapshot.each_ref().map(String::as_str);
    test.daemon.virsh(&snapshot).unwrap();
    assert!(names(&test.dir()).contains(&"disk0.over".to_owned()));
    // Memory goes on with the disks that it had.
    test.vm.save(&cx).unwrap();
    test.vm.restore(&cx, &[], &[]).unwrap();
    test.vm.kill().unwrap();
    let error = test.vm.start(&cx, &plan, &[]).unwrap_err();
    let words = format!(
        "another client of libvirt put {} over the machine's disk vda",
        test.dir().join("disk0.over").display()
    );
    assert!(error.to_string().starts_with(&words), "{error}");
    assert_eq!(error.exit(), Exit::MachineState);
    let hint = error.hint().unwrap();
    let told = hint.strip_suffix(" brings both together, and the machine runs then").unwrap();
    assert!(Command::new("sh").args(["-c", told]).status().unwrap().success(), "{told}");
    test.vm.kill().unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    fs::remove_file(test.dir().join("disk0.over")).unwrap();
    test.daemon.virsh(&["snapshot-delete", &test.uuid(), "over", "--metadata"]).unwrap();
    test.daemon.virsh(&snapshot).unwrap();
    test.vm.destroy(&cx).unwrap();
    assert_eq!(names(&test.dir()), [""; 0]);
}

#[test]
fn a_disk_put_over_ours_is_seen_after_a_definition_that_failed_too() {
    let Some(mut test) = TestVm::new() else { return };
    let (mut plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.vm.kill().unwrap();
    let refused = |test: &mut TestVm, plan: &VmPlan| test.vm.start(&test.cx(), plan, &[]).unwrap_err().to_string();
    plan.libvirt.xml = vec!["<nonsense/>".into()];
    assert!(refused(&mut test, &plan).contains("nonsense"));
    // Ours all the same, although nobody knows what libvirt has by now.
    assert!(refused(&mut test, &plan).contains("nonsense"));
    test.daemon.virsh(&["snapshot-create-as", &test.uuid(), "over", "--disk-only"]).unwrap();
    plan.libvirt.xml.clear();
    let error = refused(&mut test, &plan);
    assert!(error.contains("disk0.over over the machine's disk vda, as a snapshot of disks alone does"), "{error}");
    test.vm.destroy(&cx).unwrap();
    assert_eq!(names(&test.dir()), [""; 0]);
}

#[test]
fn a_daemon_that_is_gone_is_told_and_the_next_command_goes_on() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    test.daemon.kill();
    let error = test.vm.state().unwrap_err();
    assert_eq!(error.exit(), Exit::Provider);
    assert!(error.to_string().contains("no libvirt daemon answers at"), "{error}");
    assert!(test.vm.destroy(&cx).is_err(), "what cannot be asked is not removed");
    assert!(test.dir().join("disk0.qcow2").exists());
    assert!(test.daemon.restart());
    // The same handle, over the new connection: the machine lived on.
    assert_eq!(test.vm.state().unwrap(), VmState::Running);
    test.daemon.kill();
    assert!(test.daemon.restart());
    assert_eq!(test.vm.state().unwrap(), VmState::Running);
}

#[test]
fn a_daemon_that_does_not_let_the_user_in_is_told_with_what_helps() {
    if is_root() {
        println!("skipped: root is let in everywhere; the tests of the session run it as somebody else");
        return;
    }
    let Some(mut test) = TestVm::new() else { return };
    let closed = test.dir().join("closed");
    fs::create_dir_all(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let mut plan = test.plan();
    plan.libvirt.uri = Some(format!("qemu:///system?socket={}", closed.join("libvirt-sock").display()));
    test.vm.create(&test.cx(), &plan).unwrap();
    let error = test.vm.start(&test.cx(), &plan, &[]).unwrap_err();
    assert!(error.to_string().contains("does not let this user in"), "{error}");
    assert!(error.hint().unwrap().contains("usermod -aG libvirt"), "{error:?}");
    assert_eq!(error.exit(), Exit::Provider);
    fs::remove_dir(&closed).unwrap();
    test.vm.destroy(&test.cx()).unwrap();
}

#[test]
fn another_uri_in_the_machine_file_does_not_move_a_machine() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    test.vm.create(&Cx::silent(), &plan).unwrap();
    plan.libvirt.uri = Some("qemu:///system".into());
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    assert!(test.heard.warnings()[0].starts_with("the machine stays at qemu:///"));
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_record_that_is_gone_is_told() {
    let Some(mut test) = TestVm::new() else { return };
    test.up(&test.plan());
    let record = test.dir().join("libvirt.json");
    let kept = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    assert!(matches!(test.state(), VmState::Broken { why } if why.contains("libvirt.json is missing")));
    fs::write(&record, kept).unwrap();
    assert_eq!(test.state(), VmState::Running);
}
