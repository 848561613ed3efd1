//! What is recorded at the instants at which a `vbox-rs` may be killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{TestVm, is_root};

#[test]
fn that_we_end_a_machine_is_recorded_before_it_ends() {
    if !is_root() {
        println!("skipped: only a host's daemon runs hooks");
        return;
    }
    let Some(mut test) = TestVm::new() else { return };
    // The daemon runs it when a domain has ended, before it tells anybody.
    let hook = test.daemon.dir().join("etc/hooks/qemu");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let (record, seen) = (test.dir().join("libvirt.json"), test.root.path().join("seen"));
    let script = format!("#!/bin/sh\n[ $2 != stopped ] || cp {} {}\n", record.display(), seen.display());
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    test.daemon.kill();
    assert!(test.daemon.restart());
    let recorded_then = || {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(&seen).unwrap()).unwrap();
        fs::remove_file(&seen).unwrap();
        record["started"].as_bool()
    };
    let plan = test.plan();
    test.up(&plan);
    test.virsh("destroy");
    assert_eq!(recorded_then(), Some(true), "somebody else ended it");
    test.up(&plan);
    test.vm.kill().unwrap();
    assert_eq!(recorded_then(), Some(false));
    test.up(&plan);
    test.vm.destroy(&test.cx()).unwrap();
    assert_eq!(recorded_then(), Some(false));
}
