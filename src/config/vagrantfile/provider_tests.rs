//! What a file means for each provider, and what none has.

use std::fs;

use super::tests::{read, wrong};
use crate::config;
use crate::config::spec::ProviderKind;

#[test]
fn each_provider_has_its_own_blocks_and_overrides() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  \
        config.vm.provider('virtualbox') { |vb, override| vb.memory = 1111; override.vm.hostname = 'on-vb' }\n  \
        config.vm.provider('libvirt') { |lv, override| lv.memory = 2222; override.vm.box = 'c/d' }\nend\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Vagrantfile");
    let said = |text: &str, wanted: Option<ProviderKind>| {
        fs::write(&file, text).unwrap();
        let reading = config::Reading { provider: wanted, ..config::Reading::default() };
        let machine = config::load_as(&file, reading).unwrap().0.machines.remove(0);
        ProviderKind::ALL
            .iter()
            .map(|kind| {
                let spec = machine.for_provider(*kind);
                (spec.memory.unwrap(), spec.hostname.is_some(), spec.box_name.unwrap())
            })
            .collect::<Vec<_>>()
    };
    let libvirt = (2222, false, "c/d".to_owned());
    let virtualbox = (1111, true, "a/b".to_owned());
    // QEMU is what libvirt drives.
    let expected = [libvirt.clone(), libvirt, virtualbox.clone()];
    for wanted in [None, Some(ProviderKind::Libvirt), Some(ProviderKind::Virtualbox)] {
        assert_eq!(said(text, wanted), expected, "{wanted:?}");
    }
    let only = text.replace("libvirt", "hyperv");
    assert_eq!(said(&only, None), [virtualbox.clone(), virtualbox.clone(), virtualbox]);
}

#[test]
fn disks_and_what_else_is_not_there_are_listed() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.disk :disk, primary: true, size: '30GB', disk_ext: 'vdi'\n  \
        config.vm.disk :disk, name: 'data', size: '9GB'\n  config.vm.disk :dvd, name: 'cd', file: './x.iso'\n  \
        config.vm.cloud_init content_type: 'text/cloud-config', inline: 'x'\n  \
        config.vm.network :private_network, ip: '10.1.1.2', libvirt__netmask: '255.255.0.0', libvirt__forward_mode: 'none', libvirt__domain_name: 'x'\nend\n";
    let (project, warnings) = read(text).unwrap();
    assert_eq!((project.machines[0].disk, project.machines[0].private_networks[0].prefix), (Some(30 << 30), Some(16)));
    for wanted in [
        "`disk_ext` of the first disk is not needed",
        "the disk `data` is left out",
        "the dvd `cd` is left out",
        "`config.vm.cloud_init` is left out",
        "`libvirt__forward_mode` of a private network is left out",
        "`libvirt__domain_name` of a private network is not needed",
    ] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
    assert!(wrong("config.vm.disk :disk, primary: true, size: 'big'").contains("`size` cannot be `big`"));
}
