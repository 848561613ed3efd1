//! Disks grow, never shrink, are never lost from sight.

use std::fs;
use std::path::Path;
use std::process::Command;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Error, PlannedDisk, VmState};

use crate::host::Host;
use crate::world::TestVm;

pub fn disks_grow_while_the_machine_is_off_and_never_shrink(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let mut plan = test.plan();
    for size in [8 << 20, 16 << 20] {
        plan.disks[0].size = Some(size);
        test.create(&plan);
        assert_eq!(test.disk().virtual_size, size);
    }
    plan.disks[0].size = Some(8 << 20);
    let error = test.vm.create(&Cx::silent(), &plan).unwrap_err();
    assert!(error.to_string().ends_with("has 16 MiB and cannot shrink to 8 MiB"), "{error}");
    plan.disks[0].size = Some(32 << 20);
    test.start(&plan);
    assert_eq!(test.vm.create(&Cx::silent(), &plan).unwrap_err().exit(), Exit::MachineState);
    assert_eq!(test.disk().virtual_size, 16 << 20);
}

pub fn what_is_made_already_is_kept(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let plan = test.plan();
    // Of what is not there nothing can be lost.
    test.vm.require_disks(&Cx::silent(), &plan).unwrap();
    test.create(&plan);
    let before = test.disk();
    test.vm.require_disks(&Cx::silent(), &plan).unwrap();
    test.create(&plan);
    assert_eq!(test.disk(), before);
    test.start(&plan);
    // Nothing has changed that would need it to be off.
    test.create(&plan);
    assert_eq!(test.state(), VmState::Running);
}

pub fn lost_disks_and_images_are_named_and_never_replaced(host: &dyn Host) {
    let mut test = TestVm::new(host);
    test.up();
    test.vm.kill().unwrap();
    let (image, disk) = (test.image(), test.disk().path);
    let away = image.with_extension("away");
    fs::rename(&image, &away).unwrap();
    let why = test.broken();
    assert!(why.contains(&format!("{} is missing", image.display())), "{why}");
    fs::rename(away, image).unwrap();
    fs::remove_file(&disk).unwrap();
    let why = test.broken();
    assert!(why.contains(&format!("{} is missing", disk.display())), "{why}");
    let plan = test.plan();
    for error in
        [test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err(), test.vm.create(&Cx::silent(), &plan).unwrap_err()]
    {
        assert!(matches!(error, Error::FileMissing { .. }), "{error:?}");
    }
    assert!(!disk.exists(), "a lost disk is never replaced by an empty one");
}

/// Lets `qemu-io` do something with a disk.
fn io(path: &Path, format: &str, what: &str) {
    let output = Command::new("qemu-io").args(["-f", format, "-c", what]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("Pattern verification failed"), "{what}: {text}");
}

pub fn empty_disks_are_added_and_grow_with_what_is_on_them(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let mut plan = test.plan();
    test.create(&plan);
    test.start(&plan);
    test.vm.kill().unwrap();
    let extra = |test: &TestVm| {
        let mut disks = host.disks(test.vm.as_ref()).into_iter();
        disks.find(|disk| disk.path.file_name().unwrap().to_str().unwrap().starts_with("disk1")).unwrap()
    };
    for size in [8 << 20, 24 << 20] {
        plan.disks.truncate(1);
        plan.disks.push(PlannedDisk::empty("data", size));
        test.create(&plan);
        let disk = extra(&test);
        assert_eq!(disk.virtual_size, size);
        if size == 8 << 20 {
            io(&disk.path, &disk.format, "write -P 7 0 1M");
        }
        test.start(&plan);
        assert_eq!(test.state(), VmState::Running);
        test.vm.kill().unwrap();
        io(&disk.path, &disk.format, "read -P 7 0 1M");
    }
    plan.disks[1].size = Some(8 << 20);
    let error = test.vm.create(&Cx::silent(), &plan).unwrap_err();
    assert!(error.to_string().ends_with("has 24 MiB and cannot shrink to 8 MiB"), "{error}");
    let (id, path) = (test.id, extra(&test).path);
    test.vm.destroy(&Cx::silent()).unwrap();
    test.assert_gone(id);
    assert!(!path.exists());
}

pub fn a_new_machine_has_its_empty_disks_from_the_start(host: &dyn Host) {
    let mut test = TestVm::new(host);
    let mut plan = test.plan();
    plan.disks.extend([PlannedDisk::empty("data", 8 << 20), PlannedDisk::empty(&"long".repeat(9), 4 << 20)]);
    test.create(&plan);
    test.start(&plan);
    assert_eq!(test.state(), VmState::Running);
    let mut sizes: Vec<_> = host.disks(test.vm.as_ref()).iter().map(|disk| disk.virtual_size >> 20).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 4, 8]);
}
