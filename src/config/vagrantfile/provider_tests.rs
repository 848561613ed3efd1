//! What a file means for each provider, and what none has.

use std::fs;

use super::tests::{read, wrong};
use crate::config;
use crate::config::spec::{ExtraDisk, Nic, ProviderKind};

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
        config.vm.disk :disk, name: 'data', size: '9GB'\n  config.vm.disk :disk, name: 'old', file: './x.vdi'\n  config.vm.disk :dvd, name: 'cd', file: './x.iso'\n  \
        config.vm.cloud_init content_type: 'text/cloud-config', inline: 'x'\n  \
        config.vm.network :private_network, ip: '10.1.1.2', libvirt__netmask: '255.255.0.0', libvirt__forward_mode: 'none', libvirt__domain_name: 'x'\nend\n";
    let (project, warnings) = read(text).unwrap();
    assert_eq!((project.machines[0].disk, project.machines[0].private_networks[0].prefix), (Some(30 << 30), Some(16)));
    assert_eq!(project.machines[0].extra_disks, [ExtraDisk { name: "data".into(), size: 9 << 30 }]);
    for wanted in [
        "`disk_ext` of the first disk is not needed",
        "the disk `old` is left out",
        "the dvd `cd` is left out",
        "`config.vm.cloud_init` is left out",
        "`libvirt__forward_mode` of a private network is left out",
        "`libvirt__domain_name` of a private network is not needed",
    ] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
    assert!(wrong("config.vm.disk :disk, primary: true, size: 'big'").contains("`size` cannot be `big`"));
    for (call, told) in [
        ("size: '1GB'", "a disk has no name"),
        ("name: 'data'", "the disk `data` has no size"),
        ("name: 'data', size: 'big'", "`size` cannot be `big`"),
        ("name: 'data', size: 0", "`size` cannot be 0"),
        ("name: 'data', size: -5", "`size` cannot be -5"),
        ("name: '_', size: '1GB'", "a disk cannot be called `_`"),
    ] {
        let text = wrong(&format!("config.vm.disk :disk, {call}"));
        assert!(text.contains(told), "{call}: {text}");
    }
}

#[test]
fn what_vagrant_libvirt_stores_is_an_extra_disk() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.provider :libvirt do |lv|\n    lv.storage \
        :file\n    lv.storage :file, size: '1G', serial: 'data', allow_existing: true\n    lv.storage :file, size: (9 << 20) - 7\n    \
        lv.storage :file, device: :cdrom, path: 'x.iso'\n  end\nend\n";
    let (project, warnings) = read(text).unwrap();
    let disks: Vec<_> = project.machines[0].extra_disks.iter().map(|disk| (&*disk.name, disk.size >> 20)).collect();
    assert_eq!(disks, [("vdb", 10 << 10), ("data", 1 << 10), ("vdc", 9)]);
    for wanted in ["`allow_existing` of a disk is left out", "a cdrom of the provider `libvirt` is left out"] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
}

#[test]
fn networks_say_what_their_cards_are_and_come_in_the_order_of_the_file() {
    let file = |calls: &str| {
        let text = format!("Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  {calls}\nend\n");
        let (mut project, warnings) = read(&text).unwrap();
        (project.machines.remove(0), warnings)
    };
    let (machine, warnings) = file(
        "config.vm.network :public_network, bridge: ['en0', 'eth0'], ip: '10.0.0.9', netmask: '255.255.0.0', auto_config: false\n\
         config.vm.network :private_network, ip: '10.1.1.2', mac: '0800270A0B0C', nic_type: 'Am79C973'\n\
         config.vm.network :public_network, adapter: 2, mac: 'auto', use_dhcp_assigned_default_route: true",
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    let (private, public) = (&machine.private_networks[0], &machine.public_networks);
    assert_eq!((private.card.mac.as_deref(), private.card.nic), (Some("08:00:27:0a:0b:0c"), Some(Nic::Pcnet)));
    assert_eq!((public[0].bridge.join(" ").as_str(), public[0].prefix), ("en0 eth0", Some(16)));
    assert!(!public[0].card.auto_config && public[1].card.auto_config && private.card.auto_config);
    assert!(!public[0].use_dhcp_assigned_default_route && public[1].use_dhcp_assigned_default_route);
    let places = [&public[0].card, &private.card, &public[1].card].map(|card| card.adapter);
    assert_eq!(places, [Some(3), Some(4), Some(2)]);

    let (machine, warnings) = file(
        "config.vm.network :private_network, ip: '10.1.1.2', virtualbox__nat_network: 'office'\n\
         config.vm.network :private_network, type: 'dhcp', virtualbox__nat_network: true\n\
         config.vm.network :private_network, virtualbox__nat_network: false, virtualbox__intnet: 'backend'",
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    let kinds: Vec<_> = machine.private_networks.iter().map(|net| (net.nat, net.name.as_deref())).collect();
    assert_eq!(kinds, [(true, Some("office")), (true, None), (false, Some("backend"))]);

    let (machine, warnings) = file(
        "config.vm.network :private_network, ip: '10.1.1.2', adapter: 1, nic_type: 'x y'\n\
         config.vm.network :public_network, mac: nil",
    );
    let places = [machine.private_networks[0].card.adapter, machine.public_networks[0].card.adapter];
    assert_eq!(places, [None, None], "that is the order anyway");
    assert_eq!(warnings, ["`adapter: 1` is left out", "`nic_type` x y is left out"]);
    assert!(wrong("config.vm.network :private_network, mac: '1234'").contains("`mac` cannot be `1234`"));
}
