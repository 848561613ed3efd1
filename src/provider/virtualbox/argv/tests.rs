//! Command lines as they are.

use super::*;
use crate::config::spec::{LibvirtOptions, Protocol, QemuOptions, VirtualboxOptions};
use crate::provider::{Boot, Devices};

fn id() -> MachineId {
    "00112233445546778899aabbccddeeff".parse().unwrap()
}

pub fn plan() -> VmPlan {
    VmPlan {
        name: "shop/web".into(),
        cpus: 2,
        memory: 1024,
        disks: Vec::new(),
        boot: Boot::Disk,
        devices: Devices::default(),
        seed: None,
        seed_writable: false,
        tethered: false,
        forwards: vec![
            Forward { protocol: Protocol::Tcp, host_ip: [127, 0, 0, 1].into(), host: 2200, guest: 22 },
            Forward { protocol: Protocol::Udp, host_ip: [0, 0, 0, 0].into(), host: 5353, guest: 53 },
        ],
        qemu: QemuOptions::default(),
        virtualbox: VirtualboxOptions::default(),
        libvirt: LibvirtOptions::default(),
    }
}

fn text(args: &Args) -> String {
    let words: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    words.join(" ").replace(" --", "\n--") + "\n"
}

#[test]
fn a_machine_is_made_with_our_id_and_in_our_folder() {
    let name = name("my shop/wéb", id());
    snapbox::assert_data_eq!(
        text(&create(id(), &name, Path::new("/m/virtualbox"), OS_TYPE)) + &text(&mark(id())),
        snapbox::str![[r"
createvm
--name my_shop_wéb_00112233
--uuid 00112233-4455-4677-8899-aabbccddeeff
--ostype Linux26_64
--basefolder /m/virtualbox
--register
setextradata 00112233-4455-4677-8899-aabbccddeeff vbox-rs/machine 00112233445546778899aabbccddeeff

"]]
    );
    assert_eq!(super::name("../-x", id()), "_-x_00112233");
}

#[test]
fn one_call_sets_all_and_old_forwards_go_first() {
    let stale = [
        Rule { card: 1, name: "vbox-rs-tcp-2201".into(), forward: None },
        Rule { card: 2, name: "own rule".into(), forward: None },
    ];
    snapbox::assert_data_eq!(
        text(&settings(id(), &plan(), Path::new("/m/console.log"), &stale)),
        snapbox::str![[r"
modifyvm 00112233-4455-4677-8899-aabbccddeeff
--memory 1024
--cpus 2
--ioapic on
--rtcuseutc on
--firmware bios
--graphicscontroller vmsvga
--vram 16
--boot1 disk
--boot2 none
--boot3 none
--boot4 none
--nic1 nat
--nictype1 virtio
--macaddress1 525400DDEEFF
--cableconnected1 on
--natpf1 delete vbox-rs-tcp-2201
--natpf2 delete own rule
--natpf1 vbox-rs-tcp-2200,tcp,127.0.0.1,2200,,22
--natpf1 vbox-rs-udp-5353,udp,0.0.0.0,5353,,53
--uart1 0x3F8 4
--uartmode1 file /m/console.log

"]]
    );
    let mut other = plan();
    other.forwards.clear();
    other.devices = Devices {
        firmware: Some(Firmware::Uefi),
        disk_bus: DiskBus::Sata,
        nic: Nic::E1000,
        mac: Some("08:00:27:0a:0b:0c".into()),
        ..Devices::default()
    };
    other.virtualbox.vram = Some(64);
    other.virtualbox.graphics_controller = Some(GraphicsController::Vboxsvga);
    snapbox::assert_data_eq!(
        text(&settings(id(), &other, Path::new("/m/console.log"), &[])),
        snapbox::str![[r"
modifyvm 00112233-4455-4677-8899-aabbccddeeff
--memory 1024
--cpus 2
--ioapic on
--rtcuseutc on
--firmware efi
--graphicscontroller vboxsvga
--vram 64
--boot1 disk
--boot2 none
--boot3 none
--boot4 none
--nic1 nat
--nictype1 82540EM
--macaddress1 0800270A0B0C
--cableconnected1 on
--uart1 0x3F8 4
--uartmode1 file /m/console.log

"]]
    );
    snapbox::assert_data_eq!(
        text(&forwards_only(id(), &plan().forwards, &stale)),
        snapbox::str![[r"
modifyvm 00112233-4455-4677-8899-aabbccddeeff
--natpf1 delete vbox-rs-tcp-2201
--natpf2 delete own rule
--natpf1 vbox-rs-tcp-2200,tcp,127.0.0.1,2200,,22
--natpf1 vbox-rs-udp-5353,udp,0.0.0.0,5353,,53

"]]
    );
}

#[test]
fn networks_are_cards_after_the_first() {
    let card = |place, wire, mac: &str, nic| Card { place, wire, mac: mac.into(), nic };
    let all = [
        card(2, Wire::HostOnly("vboxnet0".into()), "52:54:01:dd:ee:ff", Nic::E1000),
        card(3, Wire::Internal("backend".into()), "52:54:02:dd:ee:ff", Nic::E1000),
        card(5, Wire::HostOnlyNetwork("HostNetwork".into()), "52:54:03:dd:ee:ff", Nic::Pcnet),
        card(7, Wire::NatNetwork("vbox-rs-nat".into()), "52:54:04:dd:ee:ff", Nic::Virtio),
        card(6, Wire::Bridged("en0: Wi-Fi (Wireless)".into()), "08:00:27:0a:0b:0c", Nic::Virtio),
    ];
    let before = Info::parse("nic1=\"nat\"\nnic2=\"intnet\"\nnic4=\"bridged\"\nnic5=\"none\"\n");
    snapbox::assert_data_eq!(
        text(&cards(&all, &before)),
        snapbox::str![[r"
--nic2 hostonly
--hostonlyadapter2 vboxnet0
--nictype2 82540EM
--macaddress2 525401DDEEFF
--cableconnected2 on
--nic3 intnet
--intnet3 backend
--nictype3 82540EM
--macaddress3 525402DDEEFF
--cableconnected3 on
--nic5 hostonlynet
--host-only-net5 HostNetwork
--nictype5 Am79C973
--macaddress5 525403DDEEFF
--cableconnected5 on
--nic7 natnetwork
--nat-network7 vbox-rs-nat
--nictype7 virtio
--macaddress7 525404DDEEFF
--cableconnected7 on
--nic6 bridged
--bridgeadapter6 en0: Wi-Fi (Wireless)
--nictype6 virtio
--macaddress6 0800270A0B0C
--cableconnected6 on
--nic4 none

"]]
    );
    assert_eq!(text(&cards(&[], &before)), "--nic2 none\n--nic4 none\n");
}

#[test]
fn a_host_only_network_has_an_address_and_perhaps_a_server() {
    let (plain, six) = (Subnet::parse("10.9.8.0/24").unwrap(), Subnet::parse("fd00:1::/64").unwrap());
    let all = [
        make_interface(),
        address_interface("vboxnet0", plain),
        address_interface("vboxnet0", six),
        serve_dhcp("vboxnet0", plain),
        switch_dhcp_on("vboxnet0"),
        remove_interface("vboxnet0"),
        make_network(&network_name(plain), plain),
        readdress_network("vbox-rs-x", plain),
        enable_network("HostNetwork"),
    ];
    snapbox::assert_data_eq!(
        all.map(|args| text(&args).replace("\n--", " --")).concat(),
        snapbox::str![[r"
hostonlyif create
hostonlyif ipconfig vboxnet0 --ip 10.9.8.1 --netmask 255.255.255.0
hostonlyif ipconfig vboxnet0 --ipv6 fd00:1::1 --netmasklengthv6 64
dhcpserver add --network HostInterfaceNetworking-vboxnet0 --enable --server-ip 10.9.8.2 --netmask 255.255.255.0 --lower-ip 10.9.8.3 --upper-ip 10.9.8.254
dhcpserver modify --network HostInterfaceNetworking-vboxnet0 --enable
hostonlyif remove vboxnet0
hostonlynet add --name vbox-rs-10.9.8.0-24 --netmask 255.255.255.0 --lower-ip 10.9.8.1 --upper-ip 10.9.8.254 --enable
hostonlynet modify --name vbox-rs-x --netmask 255.255.255.0 --lower-ip 10.9.8.1 --upper-ip 10.9.8.254 --enable
hostonlynet modify --name HostNetwork --enable

"]]
    );
}

#[test]
fn a_nat_network_serves_dhcp() {
    let subnet = Subnet::parse("10.99.0.0/24").unwrap();
    let all = [
        list_nat_networks(),
        make_nat_network(&network_name(subnet), subnet),
        change_nat_network("vbox-rs-x y", subnet),
        remove_nat_network("vbox-rs-x y"),
        list_machines(),
    ];
    snapbox::assert_data_eq!(
        all.map(|args| text(&args).replace("\n--", " --")).concat(),
        snapbox::str![[r"
natnetwork list
natnetwork add --netname vbox-rs-10.99.0.0-24 --network 10.99.0.0/24 --enable --dhcp on
natnetwork modify --netname vbox-rs-x y --network 10.99.0.0/24 --enable --dhcp on
natnetwork remove --netname vbox-rs-x y
list vms --long

"]]
    );
}

#[test]
fn controllers_that_only_another_import_has_are_ours() {
    let call = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let info = Info::parse("storagecontrollername0=\"Disks\"\nstoragecontrollername1=\"Floppy\"\n");
    let adds = [call("storagectl :id --name Extra --add sata"), call("storagectl :id --name SATA --portcount 4")];
    let known = controllers(&info, adds.iter().map(Vec::as_slice));
    assert_eq!(known, ["Disks", "Floppy", "Extra"]);
    let made = |call_text: &str| {
        customization(id(), &call(call_text), &known, 30)
            .map(|args| text(&args).replace("\n--", " --").trim_end().to_owned())
    };
    let attached = "storageattach 00112233-4455-4677-8899-aabbccddeeff --storagectl Disks --port 1";
    assert_eq!(made("storageattach :id --storagectl SATA --port 1").as_deref(), Some(attached));
    assert!(made("storageattach :id --storagectl Floppy --port 0").unwrap().contains("--storagectl Floppy"));
    assert!(made("storagectl :id --name Extra --add sata").unwrap().contains("--name Extra"));
    // The seed hangs on one of our ports.
    for name in ["SATA", "Disks"] {
        let widened = made(&format!("storagectl :id --name {name} --portcount 4")).unwrap();
        assert!(widened.ends_with("--name Disks --portcount 30"), "{widened}");
    }
    assert!(made("storagectl :id --name Disks --portcount 31").unwrap().ends_with("31"));
    assert!(made("storagectl :id --name Floppy --portcount 1").unwrap().ends_with("--portcount 1"));
    assert!(made("storagectl :id --name Extra --add sata --portcount 1").unwrap().ends_with("--portcount 1"));
    assert_eq!(made("storagectl :id --name IDE --remove"), None);
    assert!(made("setextradata :id --name x").unwrap().contains("--name x"));
}

#[test]
fn a_folder_is_shared_until_the_machine_ends() {
    snapbox::assert_data_eq!(
        text(&share(id(), "srv_app", Path::new("/home/me/my app"))),
        snapbox::str![[r"
sharedfolder add 00112233-4455-4677-8899-aabbccddeeff
--name srv_app
--hostpath /home/me/my app
--transient

"]]
    );
}

#[test]
fn every_bus_has_its_controller_and_its_slots() {
    let all = [DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Ide, DiskBus::Nvme];
    let told: String = all.iter().map(|bus| text(&controller(id(), *bus)).replace("\n--", " --")).collect();
    snapbox::assert_data_eq!(
        told,
        snapbox::str![[r"
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add virtio --controller VirtIO --bootable on --portcount 30
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add scsi --controller LsiLogic --bootable on
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add sata --controller IntelAhci --bootable on --portcount 30
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add ide --controller PIIX4 --bootable on
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add pcie --controller NVMe --bootable on --portcount 30

"]]
    );
    assert_eq!([0, 1, 2, 3].map(|index| slot(DiskBus::Ide, index)), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!([0, 1, 2].map(|index| slot(DiskBus::Sata, index)), [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn media_are_named_by_their_files() {
    let (base, disk) = (Path::new("/b/a b.vdi"), Path::new("/m/disk0.vdi"));
    let all = [
        empty(disk, 1 << 30),
        overlay(base, disk),
        copy(base, disk),
        grow(disk, 20 << 30),
        attach(id(), (1, 0), disk.as_os_str()),
        attach(id(), (1, 0), OsStr::new("none")),
        forget(base),
    ];
    snapbox::assert_data_eq!(
        all.iter().map(|args| text(args).replace("\n--", " --")).collect::<String>(),
        snapbox::str![[r"
createmedium disk --filename /m/disk0.vdi --sizebyte 1073741824 --format VDI
createmedium disk --filename /m/disk0.vdi --diffparent /b/a b.vdi --format VDI
clonemedium disk /b/a b.vdi /m/disk0.vdi --format VDI
modifymedium disk /m/disk0.vdi --resizebyte 21474836480
storageattach 00112233-4455-4677-8899-aabbccddeeff --storagectl Disks --port 1 --device 0 --type hdd --medium /m/disk0.vdi
storageattach 00112233-4455-4677-8899-aabbccddeeff --storagectl Disks --port 1 --device 0 --type hdd --medium none
closemedium disk /b/a b.vdi

"]]
    );
}

#[test]
fn a_machine_is_started_told_and_forgotten_by_its_uuid() {
    let customized = customization(id(), &["modifyvm", ":id", "--name", ":id x"].map(String::from), &[], 30);
    let all = [
        info(id()),
        start(id(), false),
        start(id(), true),
        control(id(), "savestate"),
        discard(id()),
        unregister(id()),
        customized.unwrap(),
    ];
    snapbox::assert_data_eq!(
        all.iter().map(|args| text(args).replace("\n--", " --")).collect::<String>(),
        snapbox::str![[r"
showvminfo 00112233-4455-4677-8899-aabbccddeeff --machinereadable
startvm 00112233-4455-4677-8899-aabbccddeeff --type headless
startvm 00112233-4455-4677-8899-aabbccddeeff --type gui
controlvm 00112233-4455-4677-8899-aabbccddeeff savestate
discardstate 00112233-4455-4677-8899-aabbccddeeff
unregistervm 00112233-4455-4677-8899-aabbccddeeff
modifyvm 00112233-4455-4677-8899-aabbccddeeff --name :id x

"]]
    );
}

#[test]
fn answers_to_datagrams_are_let_through_where_virtualbox_would_drop_them() {
    let dropping = Info::parse(include_str!("../recorded/showvminfo.txt"));
    let mut plan = plan();
    plan.forwards.retain(|forward| forward.protocol == Protocol::Tcp);
    assert!(datagrams(&plan.forwards, &dropping).is_empty());
    plan.forwards.push(Forward { protocol: Protocol::Udp, host_ip: [127, 0, 0, 1].into(), host: 5300, guest: 53 });
    assert_eq!(text(&datagrams(&plan.forwards, &dropping)), "--nat-localhostreachable1 on\n");
    assert!(datagrams(&plan.forwards, &Info::parse("name=\"older\"\n")).is_empty());
}

#[test]
fn rules_come_and_go_by_calls_of_their_own() {
    let udp = &plan().forwards[1];
    snapbox::assert_data_eq!(
        text(&add_forward(id(), udp)) + &text(&remove_forward(id(), &rule_name(udp))),
        snapbox::str![[r"
controlvm 00112233-4455-4677-8899-aabbccddeeff natpf1 vbox-rs-udp-5353,udp,0.0.0.0,5353,,53
controlvm 00112233-4455-4677-8899-aabbccddeeff natpf1 delete vbox-rs-udp-5353

"]]
    );
}
