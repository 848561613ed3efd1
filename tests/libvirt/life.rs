//! What only a domain has: a name and an id for other clients, a console of the daemon's, a life of its own. All else is in
//! the suite of all providers.

use std::io::Read;
use std::time::Duration;

use crate::world::{TestVm, eventually};

#[test]
fn others_see_it_by_our_name_and_id_and_its_console_ends_with_it() {
    let Some(mut test) = TestVm::new() else { return };
    let plan = test.plan();
    test.up(&plan);
    let name = format!("test---more-default-{}", test.id.short());
    assert_eq!(test.daemon.virsh(&["list", "--name"]).unwrap().trim(), name);
    assert!(test.virsh("dumpxml").contains(&test.id.to_string()), "the metadata has our id");
    let mut console = test.vm.console().unwrap();
    console.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(console.read(&mut [0; 64]).unwrap() > 0, "the firmware says something");
    test.vm.kill().unwrap();
    eventually("the console ends", || matches!(console.read(&mut [0; 4096]), Ok(0)));
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    assert!(test.heard.warnings().is_empty(), "the definition is as we left it");
}

#[test]
fn a_tethered_domain_ends_with_whoever_started_it() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    plan.tethered = true;
    test.up(&plan);
    assert_eq!(test.daemon.virsh(&["domstate", &test.uuid()]).unwrap().trim(), "running");
    test.reopen();
    eventually("it ends", || test.daemon.virsh(&["domstate", &test.uuid()]).unwrap().trim() == "shut off");
}

#[test]
fn a_machine_stays_where_it_is_and_that_is_told_once() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    test.vm.create(&test.cx(), &plan).unwrap();
    plan.libvirt.pool = Some("fast".into());
    test.up(&plan);
    let told = "its disks are files and stay so; destroy the machine and make it anew to have them in pool `fast`";
    assert_eq!(test.heard.warnings(), [told]);
}
