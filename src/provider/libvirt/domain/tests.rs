use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::config::spec::{Accel, Firmware, LibvirtOptions, Protocol, PublicNetwork, QemuOptions, VirtualboxOptions};
use crate::provider::{Devices, PlannedDisk};

/// A machine that boots from its disk.
pub(in super::super) fn plan() -> VmPlan {
    let disk = PlannedDisk::overlay("/b".into(), "qcow2");
    VmPlan {
        name: "shop & <co>/web".into(),
        cpus: 2,
        memory: 1024,
        disks: vec![disk],
        boot: Boot::Disk,
        devices: Devices::default(),
        seed: None,
        seed_writable: false,
        tethered: false,
        forwards: vec![forward(Protocol::Tcp, 2200, 22), forward(Protocol::Udp, 5353, 53)],
        qemu: QemuOptions::default(),
        libvirt: LibvirtOptions::default(),
        virtualbox: VirtualboxOptions::default(),
    }
}

fn forward(protocol: Protocol, host: u16, guest: u16) -> Forward {
    Forward { protocol, host_ip: [127, 0, 0, 1].into(), host, guest }
}

fn text(engine: Engine, plan: &VmPlan, owner: Option<(u32, u32)>) -> String {
    let files = Files::new(Path::new("/home/a&b/m"));
    let flash = (plan.devices.firmware == Some(Firmware::Uefi)).then(|| Flash {
        code: "/fw/CODE_4M.fd".into(),
        code_format: "raw".into(),
        nvram: files.nvram(),
        nvram_format: "raw".into(),
    });
    let id = "00112233445546778899aabbccddeeff".parse().unwrap();
    let (name, flash, version) = ("shop-web-00112233", flash.as_ref(), 9_000_000);
    let (volumes, local, virtualization, files) = (None, true, Some("vmx"), &files);
    let private = (0..plan.devices.networks.len()).map(|place| Wire::Network(format!("net{place}")));
    let public = plan.devices.publics.iter().map(|network| match network.bridge[0].as_str() {
        name if name.starts_with("br") => Wire::Bridge(name.into()),
        name => Wire::Device(name.into()),
    });
    let wires: Vec<_> = private.chain(public).collect();
    let input = Input {
        arch: Arch::X86_64,
        engine,
        id,
        name,
        plan,
        files,
        flash,
        owner,
        version,
        virtualization,
        volumes,
        local,
        agent: owner.is_some(),
        wires: &wires,
    };
    let text = xml(&input).unwrap();
    validate(&text, "domain");
    text
}

/// By libvirt's own schema, where its tools are installed.
pub fn validate(text: &str, schema: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("domain.xml");
    std::fs::write(&file, text).unwrap();
    match Command::new("virt-xml-validate").arg(&file).arg(schema).stdin(Stdio::null()).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}\n{text}");
        }
        Err(error) => {
            writeln!(std::io::stderr(), "skipped: validation takes virt-xml-validate ({error})").unwrap();
        }
    }
}

#[test]
fn a_boot_through_firmware() {
    snapbox::assert_data_eq!(text(Engine::Tcg, &plan(), None), snapbox::file!["bios.xml"]);
}

#[test]
fn a_direct_kernel_start_with_a_seed_at_the_hosts_daemon() {
    let mut plan = plan();
    plan.seed = Some("/s/seed.img".into());
    plan.boot = Boot::Kernel {
        kernel: "/k/vmlinuz".into(),
        initrd: Some("/k/initrd".into()),
        cmdline: "root=/dev/vda1 console=ttyS0,115200".into(),
    };
    plan.libvirt.graphics = Graphics::Vnc;
    snapbox::assert_data_eq!(text(Engine::Kvm, &plan, Some((1000, 100))), snapbox::file!["kernel.xml"]);
}

#[test]
fn uefi_firmware_and_disks_on_sata() {
    let mut plan = plan();
    plan.devices = Devices { firmware: Some(Firmware::Uefi), disk_bus: DiskBus::Sata, ..Devices::default() };
    plan.seed = Some("/s/seed.img".into());
    plan.libvirt.machine = Some("pc-q35-9.2".into());
    plan.libvirt.cpu_mode = Some(CpuMode::HostModel);
    plan.libvirt.accel = Accel::Kvm;
    snapbox::assert_data_eq!(text(Engine::Kvm, &plan, None), snapbox::file!["uefi.xml"]);
}

#[test]
fn volumes_at_another_host_with_its_own_firmware() {
    let (mut plan, files) = (plan(), Files::new(Path::new("/m")));
    plan.devices.firmware = Some(Firmware::Uefi);
    plan.seed = Some("/s/seed.img".into());
    let id = "00112233445546778899aabbccddeeff".parse().unwrap();
    let storage = Storage::at("fast & new");
    let input = Input {
        arch: Arch::X86_64,
        engine: Engine::Kvm,
        id,
        name: "x",
        plan: &plan,
        files: &files,
        flash: None,
        owner: None,
        version: 9_000_000,
        virtualization: None,
        volumes: Some(&storage),
        local: false,
        agent: true,
        wires: &[],
    };
    let text = xml(&input).unwrap();
    validate(&text, "domain");
    for line in [
        "<os firmware=\"efi\">",
        "<source pool=\"fast &amp; new\" volume=\"vbox-rs-00112233445546778899aabbccddeeff-disk0.qcow2\"/>",
        "<source pool=\"fast &amp; new\" volume=\"vbox-rs-00112233445546778899aabbccddeeff-seed.img\"/>",
        "<target type=\"virtio\" name=\"org.qemu.guest_agent.0\"/>",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("/m/") && !text.contains("/s/"), "no file of this computer: {text}");
}

#[test]
fn every_bus_and_screen_is_one_that_libvirt_knows() {
    for bus in [DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Ide] {
        for graphics in [Graphics::None, Graphics::Vnc, Graphics::Spice] {
            let mut plan = plan();
            plan.devices.disk_bus = bus;
            plan.libvirt.graphics = graphics;
            plan.disks = vec![plan.disks[0].clone(); 3];
            assert!(text(Engine::Tcg, &plan, None).contains("<target dev="));
        }
    }
}

#[test]
fn extra_disks_come_behind_the_seed_and_are_found_by_their_names() {
    let mut plan = plan();
    plan.seed = Some("/s/seed.img".into());
    plan.disks.push(PlannedDisk::empty("data", 1 << 30));
    plan.disks.push(PlannedDisk::empty("a-name-that-is-too-long", 1 << 30));
    let text = text(Engine::Tcg, &plan, None);
    let seed = text.split("<disk ").find(|disk| disk.contains("seed.img")).unwrap();
    assert!(seed.contains("dev=\"vdb\""), "{seed}");
    let data = text.split("<disk ").find(|disk| disk.contains("disk1.qcow2")).unwrap();
    assert!(data.contains("dev=\"vdc\"") && data.contains("<serial>data</serial>"), "{data}");
    assert_eq!(text.matches("<serial>").count(), 1);
}

#[test]
fn a_daemon_that_knows_no_maximum_gets_no_processor_model() {
    let (plan, files) = (plan(), Files::new(Path::new("/m")));
    let id = "00112233445546778899aabbccddeeff".parse().unwrap();
    let input = Input {
        arch: Arch::X86_64,
        engine: Engine::Tcg,
        id,
        name: "x",
        plan: &plan,
        files: &files,
        flash: None,
        owner: None,
        version: 7_000_000,
        virtualization: None,
        volumes: None,
        local: true,
        agent: false,
        wires: &[],
    };
    assert!(!xml(&input).unwrap().contains("<cpu"));
    assert!(xml(&Input { version: 7_001_000, ..input }).unwrap().contains("<cpu mode=\"maximum\" check=\"none\"/>"));
}

#[test]
fn a_path_without_letters_in_xml_is_refused() {
    let mut plan = plan();
    plan.seed = Some("/s/\u{1}.img".into());
    let files = Files::new(Path::new("/m"));
    let id = "00112233445546778899aabbccddeeff".parse().unwrap();
    let input = Input {
        arch: Arch::X86_64,
        engine: Engine::Tcg,
        id,
        name: "x",
        plan: &plan,
        files: &files,
        flash: None,
        owner: None,
        version: 9_000_000,
        virtualization: None,
        volumes: None,
        local: true,
        agent: false,
        wires: &[],
    };
    let error = xml(&input).unwrap_err().to_string();
    assert_eq!(error, "libvirt cannot be told the path /s/\\u{1}.img: it is not plain text");
}

#[test]
fn forwards_are_replaced_in_a_description_that_libvirt_wrote() {
    let ours = "<qemu:arg value='user,id=vbox0,hostfwd=tcp:127.0.0.1:2200-:22'/>\n<qemu:arg value='-device'/>";
    let new = [forward(Protocol::Tcp, 2201, 22), forward(Protocol::Udp, 53, 53)];
    assert_eq!(
        with_forwards(ours, &new).unwrap(),
        "<qemu:arg value='user,id=vbox0,hostfwd=tcp:127.0.0.1:2201-:22,hostfwd=udp:127.0.0.1:53-:53'/>\n\
         <qemu:arg value='-device'/>"
    );
    let title = "<title>user,id=vbox0</title><qemu:arg value=\"user,id=vbox0\"/>";
    assert_eq!(with_forwards(title, &[]).unwrap(), title);
    assert_eq!(with_forwards("<domain/>", &new), None);
}

#[test]
fn the_order_of_devices_is_no_change() {
    let one = "<devices>\n  <disk/>\n  <rng/>\n</devices>\n";
    assert!(same(one, "<devices>\n  <rng/>\n  <disk/>\n</devices>\n\n"));
    assert!(!same(one, "<devices>\n  <disk/>\n</devices>\n"));
}

#[test]
fn forwards_beside_a_network_stay_apart_from_it() {
    let tcp = "<qemu:arg value='user,id=vbox0,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:2200-:22'/>";
    let udp = "<qemu:arg value='user,id=vbox0,ipv6=off,hostfwd=udp:127.0.0.1:53-:53'/>";
    assert_eq!(with_forwards(tcp, &[forward(Protocol::Udp, 53, 53)]).unwrap(), udp);
    assert_eq!(with_forwards(udp, &[forward(Protocol::Tcp, 2200, 22)]).unwrap(), tcp);
}

#[test]
fn a_network_of_libvirt_and_everything_else_that_may_be_asked_for() {
    let mut plan = plan();
    plan.libvirt = LibvirtOptions {
        network: Some("default".into()),
        nested: Some(true),
        tpm: true,
        graphics: Graphics::Spice,
        xml: vec![
            "<watchdog model='i6300esb' action='reset'/>".into(),
            "<memoryBacking><locked/></memoryBacking>".into(),
        ],
        ..LibvirtOptions::default()
    };
    snapbox::assert_data_eq!(text(Engine::Kvm, &plan, Some((1000, 100))), snapbox::file!["network.xml"]);
}

#[test]
fn private_networks_are_cards_behind_the_one_with_the_way_out() {
    let mut plan = plan();
    let network = || serde_json::from_value(serde_json::json!({ "ip": "192.168.56.10" })).unwrap();
    plan.devices.networks = vec![network(), network()];
    for machine in ["q35", "pc"] {
        plan.libvirt.machine = Some(machine.into());
        let text = text(Engine::Tcg, &plan, None);
        for line in [
            "<mac address=\"52:54:01:dd:ee:ff\"/>",
            "<source network=\"net0\"/>",
            "<mac address=\"52:54:02:dd:ee:ff\"/>",
            "<source network=\"net1\"/>",
            "<address type=\"pci\" domain=\"0\" bus=\"0\" slot=\"0x12\"/>",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.contains(",addr=0x10,mac=52:54:00:dd:ee:ff"), "{text}");
    }
    plan.libvirt.network = Some("default".into());
    let text = text(Engine::Tcg, &plan, None);
    let at = |words: &str| text.find(words).unwrap();
    assert!(at("network=\"default\"") < at("network=\"net0\"") && at("net0") < at("net1"), "{text}");
    assert!(!text.contains("slot=") && text.contains("mac=52:54:ff:dd:ee:ff"), "{text}");
}

#[test]
fn public_networks_are_cards_on_interfaces_and_bridges_of_the_host() {
    let mut plan = plan();
    let public = |bridge: &str, card: NetworkCard| PublicNetwork {
        bridge: vec![bridge.into()],
        card,
        ..PublicNetwork::default()
    };
    let card = NetworkCard { mac: Some("02:00:00:00:00:07".into()), nic: Some(Nic::E1000), ..NetworkCard::default() };
    let first = NetworkCard { adapter: Some(2), ..NetworkCard::default() };
    plan.devices.publics = vec![public("br0", card), public("eth0", first)];
    let text = text(Engine::Tcg, &plan, None);
    let expected = "\
    <interface type=\"direct\">
      <mac address=\"52:54:42:dd:ee:ff\"/>
      <source dev=\"eth0\" mode=\"bridge\"/>
      <model type=\"virtio\"/>
      <rom enabled=\"no\"/>
      <address type=\"pci\" domain=\"0\" bus=\"0\" slot=\"0x11\"/>
    </interface>
    <interface type=\"bridge\">
      <mac address=\"02:00:00:00:00:07\"/>
      <source bridge=\"br0\"/>
      <model type=\"e1000\"/>
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn nested_machines_are_asked_for_refused_or_left_to_the_processor() {
    for (nested, engine, expected) in [
        (None, Engine::Kvm, None),
        (Some(true), Engine::Kvm, Some("<feature policy=\"require\" name=\"vmx\"/>")),
        (Some(false), Engine::Kvm, Some("<feature policy=\"disable\" name=\"vmx\"/>")),
        (Some(true), Engine::Tcg, None),
        (Some(false), Engine::Tcg, Some("<feature policy=\"disable\" name=\"vmx\"/>")),
    ] {
        for mode in [None, Some(CpuMode::HostModel)] {
            let mut plan = plan();
            (plan.libvirt.nested, plan.libvirt.cpu_mode) = (nested, mode);
            let text = text(engine, &plan, None);
            assert_eq!(text.contains("<feature "), expected.is_some(), "{nested:?} {engine:?}");
            assert!(expected.is_none_or(|line| text.contains(line)), "{text}");
        }
    }
}

#[test]
fn disks_are_numbered_as_libvirt_does() {
    assert_eq!([0, 25, 26, 51, 52].map(letters), ["a", "z", "aa", "az", "ba"]);
}
