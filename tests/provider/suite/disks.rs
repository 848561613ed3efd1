//! Disks grow, never shrink, are never lost from sight.

use std::fs;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Error, VmState};

use crate::host::Host;
use crate::world::TestVm;

pub fn disks_grow_while_the_machine_is_off_and_never_shrink(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let mut plan = test.plan();
    for size in [8 << 20, 16 << 20] {
        plan.disks[0].size = Some(size);
        test.create(&plan);
        assert_eq!(virtual_size(&test), size);
    }
    plan.disks[0].size = Some(8 << 20);
    let error = test.vm.create(&Cx::silent(), &plan).unwrap_err();
    assert!(error.to_string().ends_with("has 16 MiB and cannot shrink to 8 MiB"), "{error}");
    plan.disks[0].size = Some(32 << 20);
    test.start(&plan);
    assert_eq!(test.vm.create(&Cx::silent(), &plan).unwrap_err().exit(), Exit::MachineState);
    assert_eq!(virtual_size(&test), 16 << 20);
}

pub fn what_is_made_already_is_kept(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let plan = test.plan();
    test.create(&plan);
    let before = test.vm.images().unwrap();
    test.create(&plan);
    assert_eq!(test.vm.images().unwrap(), before);
    test.start(&plan);
    // Nothing has changed that would need it to be off.
    test.create(&plan);
    assert_eq!(test.state(), VmState::Running);
}

pub fn lost_disks_and_images_are_named_and_never_replaced(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.vm.kill().unwrap();
    let image = test.disk.backing.clone();
    let away = image.with_extension("away");
    fs::rename(&image, &away).unwrap();
    let VmState::Broken { why } = test.state() else { panic!() };
    assert!(why.contains(&format!("{} is missing", image.display())), "{why}");
    fs::rename(away, image).unwrap();
    let disk = test.vm.images().unwrap()[0].path.clone();
    fs::remove_file(&disk).unwrap();
    let VmState::Broken { why } = test.state() else { panic!() };
    assert!(why.contains(&format!("{} is missing", disk.display())), "{why}");
    let plan = test.plan();
    for error in
        [test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err(), test.vm.create(&Cx::silent(), &plan).unwrap_err()]
    {
        assert!(matches!(error, Error::FileMissing { .. }), "{error:?}");
    }
    assert!(!disk.exists(), "a lost disk is never replaced by an empty one");
}

fn virtual_size(test: &TestVm<'_>) -> u64 {
    test.vm.images().unwrap()[0].virtual_size
}
