//! What `[provider_options.libvirt]` and the machine's hardware ask for, as the daemon has it then.

use vbox_rs::config::spec::{CpuMode, DiskBus, Firmware, Graphics, ProviderKind};
use vbox_rs::provider::{Level, VmPlan, VmState, provider};

use crate::daemon::found;
use crate::world::{TestVm, is_root, names};

/// Starts a machine whose plan was changed, and says what the daemon made of it.
fn described(test: &mut TestVm, change: impl FnOnce(&mut VmPlan)) -> String {
    let mut plan = test.plan();
    change(&mut plan);
    test.up(&plan);
    assert_eq!(test.state(), VmState::Running);
    let xml = test.virsh("dumpxml");
    test.vm.kill().unwrap();
    xml
}

#[test]
fn screens_hardware_and_elements_of_the_users_own_are_there() {
    let Some(mut test) = TestVm::new() else { return };
    let xml = described(&mut test, |plan| plan.libvirt.graphics = Graphics::Vnc);
    assert!(xml.contains("<graphics type='vnc'") && xml.contains("listen='127.0.0.1'"), "{xml}");
    let xml = described(&mut test, |plan| {
        plan.libvirt.machine = Some("pc".into());
        plan.libvirt.cpu_mode = Some(CpuMode::Maximum);
        plan.libvirt.nested = Some(false);
        plan.devices.disk_bus = DiskBus::Scsi;
        plan.libvirt.xml = [
            "<watchdog model='i6300esb' action='reset'/>",
            "<genid/>",
            "<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/></vcpus>",
            "<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/own,string=1'/></qemu:commandline>",
        ]
        .map(Into::into)
        .into();
    });
    for words in [
        "machine='pc-i440fx",
        "mode='maximum'",
        "policy='disable' name='svm'",
        "bus='scsi'",
        "<watchdog",
        "<genid>",
        "<vcpus>",
        "value='name=opt/own,string=1'",
    ] {
        assert!(xml.contains(words), "{words}: {xml}");
    }
}

#[test]
fn elements_of_the_users_own_are_warned_of_and_what_libvirt_refuses_is_told() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    plan.libvirt.xml = vec!["<watchdog model='nonsense'/>".into()];
    let told = provider(ProviderKind::Libvirt).unwrap().check(&plan);
    assert!(told.len() == 1 && told[0].level == Level::Warning && told[0].text.contains("<watchdog>"), "{told:?}");
    test.vm.create(&test.cx(), &plan).unwrap();
    let error = test.vm.start(&test.cx(), &plan, &[]).unwrap_err().to_string();
    assert!(error.starts_with("libvirt cannot define the domain: ") && error.contains("nonsense"), "{error}");
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn an_element_that_libvirt_does_not_know_is_refused_instead_of_left_out() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    for (xml, words) in [
        ("<whatdog model='i6300esb'/>", "it does not know <whatdog> of `xml`"),
        ("<watchdog model='i6300esb' acton='reset'/>", "it does not know `acton` of <watchdog> of `xml`"),
    ] {
        plan.libvirt.xml = vec![xml.into()];
        test.vm.create(&test.cx(), &plan).unwrap();
        let error = test.vm.start(&test.cx(), &plan, &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("libvirt cannot define the domain: {words}")), "{error}");
        assert_eq!(test.state(), VmState::Off);
    }
    plan.libvirt.xml.clear();
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
}

#[test]
fn the_daemon_is_told_to_start_it_with_the_host_or_not() {
    let Some(mut test) = TestVm::new() else { return };
    for wanted in [true, false] {
        let mut plan = test.plan();
        plan.libvirt.autostart = wanted;
        test.up(&plan);
        let word = if wanted { "enable" } else { "disable" };
        let told = test.virsh("dominfo");
        let line = told.lines().find(|line| line.starts_with("Autostart:")).unwrap();
        assert!(line.ends_with(word), "{line}");
        test.vm.kill().unwrap();
    }
}

#[test]
fn uefi_firmware_starts_with_variables_of_its_own_that_go_with_the_machine() {
    let Some(mut test) = TestVm::new() else { return };
    let mut plan = test.plan();
    plan.devices.firmware = Some(Firmware::Uefi);
    if let Some(missing) = provider(ProviderKind::Libvirt).unwrap().check(&plan).into_iter().next() {
        println!("skipped: {}", missing.text);
        return;
    }
    let xml = described(&mut test, |plan| plan.devices.firmware = Some(Firmware::Uefi));
    assert!(xml.contains("type='pflash'") && xml.contains("nvram.fd</nvram>"), "{xml}");
    assert!(names(&test.dir()).contains(&"nvram.fd".to_owned()));
    // Again, and through saved memory.
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    test.vm.save(&test.cx()).unwrap();
    test.vm.restore(&test.cx(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_trusted_platform_module_is_there_and_leaves_nothing() {
    if found("swtpm").is_none() || found("swtpm_setup").is_none() {
        println!("skipped: it takes swtpm and swtpm_setup");
        return;
    }
    let Some(mut test) = TestVm::new() else { return };
    let xml = described(&mut test, |plan| plan.libvirt.tpm = true);
    assert!(xml.contains("<tpm model='tpm-crb'>"), "{xml}");
    let inside = if is_root() { "lib/swtpm" } else { "etc/libvirt/qemu/swtpm" };
    let kept = test.daemon.dir().join(inside).join(test.uuid());
    assert!(kept.exists(), "what it keeps is there as long as the machine");
    test.vm.destroy(&test.cx()).unwrap();
    assert!(!kept.exists());
}
