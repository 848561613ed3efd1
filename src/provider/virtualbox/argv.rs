//! VBoxManage's command lines, as functions of the plan. The machine is always named by its UUID, never by its name:
//! names may repeat, and its user may change them.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::Path;

use super::network::{self, Subnet, Wire};
use super::parse::{Info, Rule};
use crate::config::spec::{DiskBus, Firmware, GraphicsController, Nic};
use crate::provider::{Forward, VmPlan, further_mac, own_mac};
use crate::store::MachineId;

/// The storage controller of our machines.
pub const CONTROLLER: &str = "Disks";

/// The kind of guest where neither machine file nor box says: it decides over little but the icon, and every VirtualBox
/// knows it.
pub const OS_TYPE: &str = "Linux26_64";

/// Where the machine's id stands in its settings.
pub const MARK: &str = "vbox-rs/machine";

/// Video memory in MiB: VirtualBox warns of less.
const VRAM: u32 = 16;

/// What a rule of ours is called.
const RULE: &str = "vbox-rs-";

/// Words of a command line.
pub type Args = Vec<OsString>;

fn words(words: &[&str]) -> Args {
    words.iter().map(OsString::from).collect()
}

/// What the machine is called in VirtualBox's lists, and its folder. `/` and what else no folder may have is left out; the
/// id keeps it apart from others.
pub fn name(plan_name: &str, id: MachineId) -> String {
    let fits = |c: char| if c.is_alphanumeric() || "-.".contains(c) { c } else { '_' };
    let name: String = plan_name.chars().map(fits).take(60).collect();
    format!("{}_{}", name.trim_start_matches(['.', '-']), id.short())
}

/// Makes and registers a machine without disks.
pub fn create(id: MachineId, name: &str, folder: &Path, os_type: &str) -> Args {
    let mut args = words(&["createvm", "--name", name, "--uuid", &id.uuid(), "--ostype", os_type, "--basefolder"]);
    args.push(folder.into());
    args.push("--register".into());
    args
}

/// Writes our id into its settings.
pub fn mark(id: MachineId) -> Args {
    words(&["setextradata", &id.uuid(), MARK, &id.to_string()])
}

/// Everything about it.
pub fn info(id: MachineId) -> Args {
    words(&["showvminfo", &id.uuid(), "--machinereadable"])
}

/// All that a plan sets and that is not a disk, in one call. `stale` are the rules that it has.
pub fn settings(id: MachineId, plan: &VmPlan, console: &Path, stale: &[Rule]) -> Args {
    let options = &plan.virtualbox;
    let mac = plan.devices.mac.clone().unwrap_or_else(|| own_mac(id));
    let mut args = words(&["modifyvm", &id.uuid()]);
    for (option, value) in [
        ("--memory", &*plan.memory.to_string()),
        ("--cpus", &plan.cpus.to_string()),
        ("--ioapic", "on"),
        ("--rtcuseutc", "on"),
        ("--firmware", if plan.devices.firmware == Some(Firmware::Uefi) { "efi" } else { "bios" }),
        ("--graphicscontroller", card(options.graphics_controller.unwrap_or(GraphicsController::Vmsvga))),
        ("--vram", &options.vram.unwrap_or(VRAM).to_string()),
        ("--boot1", "disk"),
        ("--boot2", "none"),
        ("--boot3", "none"),
        ("--boot4", "none"),
        ("--nic1", "nat"),
        ("--nictype1", nic(plan.devices.nic)),
        ("--macaddress1", &mac.replace(':', "").to_ascii_uppercase()),
        ("--cableconnected1", "on"),
    ] {
        args.extend(words(&[option, value]));
    }
    args.extend(forwards(&plan.forwards, stale));
    args.extend(words(&["--uart1", "0x3F8", "4", "--uartmode1", "file"]));
    args.push(console.into());
    args
}

/// The cards after the first, and those of an earlier start that there are no more.
pub fn cards(id: MachineId, kind: Nic, wires: &[Wire], info: &Info) -> Args {
    let mut args = Args::new();
    for (place, wire) in wires.iter().enumerate() {
        let option = |name: &str| format!("--{name}{}", place + 2);
        let (net, adapter, name) = match wire {
            Wire::HostOnly(name) => ("hostonly", "hostonlyadapter", name),
            Wire::Internal(name) => ("intnet", "intnet", name),
        };
        for (name, value) in [
            ("nic", net),
            (adapter, name),
            ("nictype", nic(kind)),
            ("macaddress", &further_mac(id, place).replace(':', "").to_ascii_uppercase()),
            ("cableconnected", "on"),
        ] {
            args.extend(words(&[&option(name), value]));
        }
    }
    let stale = (wires.len() + 2..=network::MOST + 1).map(|number| format!("nic{number}"));
    for card in stale.filter(|card| info.get(card).is_some_and(|kind| kind != "none")) {
        args.extend(words(&[&format!("--{card}"), "none"]));
    }
    args
}

/// Everything of one kind that VirtualBox knows.
pub fn list(what: &str) -> Args {
    words(&["list", what])
}

/// A new host-only interface.
pub fn make_interface() -> Args {
    words(&["hostonlyif", "create"])
}

/// The host's side of a host-only network: its first address.
pub fn address_interface(name: &str, subnet: Subnet) -> Args {
    let (ip, prefix) = (subnet.at(1), subnet.prefix().to_string());
    let mut args = words(&["hostonlyif", "ipconfig", name]);
    args.extend(match ip {
        IpAddr::V4(ip) => words(&["--ip", &ip.to_string(), "--netmask", &subnet.mask().to_string()]),
        IpAddr::V6(ip) => words(&["--ipv6", &ip.to_string(), "--netmasklengthv6", &prefix]),
    });
    args
}

/// Takes a host-only interface away.
pub fn remove_interface(name: &str) -> Args {
    words(&["hostonlyif", "remove", name])
}

/// What VirtualBox calls the network of a host-only interface.
pub fn network_of(interface: &str) -> String {
    format!("HostInterfaceNetworking-{interface}")
}

/// A DHCP server for a host-only interface: the second address is its own, the others are for guests.
pub fn serve_dhcp(interface: &str, subnet: Subnet) -> Args {
    let mut args = words(&["dhcpserver", "add", "--network", &network_of(interface), "--enable"]);
    for (option, value) in [
        ("--server-ip", subnet.at(2).to_string()),
        ("--netmask", subnet.mask().to_string()),
        ("--lower-ip", subnet.at(3).to_string()),
        ("--upper-ip", subnet.last().to_string()),
    ] {
        args.extend(words(&[option, &value]));
    }
    args
}

/// Switches a server on that is there.
pub fn switch_dhcp_on(interface: &str) -> Args {
    words(&["dhcpserver", "modify", "--network", &network_of(interface), "--enable"])
}

/// What the machine is called from now on; its folder goes with the name.
pub fn rename(name: &str) -> Args {
    words(&["--name", name])
}

/// Only the forwarded ports of a machine that is off or saved.
pub fn forwards_only(id: MachineId, forwards: &[Forward], stale: &[Rule]) -> Args {
    let mut args = words(&["modifyvm", &id.uuid()]);
    args.extend(self::forwards(forwards, stale));
    args
}

fn forwards(forwards: &[Forward], stale: &[Rule]) -> Args {
    let old = stale.iter().flat_map(|rule| words(&["--natpf1", "delete", &rule.name]));
    let new = forwards.iter().flat_map(|forward| words(&["--natpf1", &rule(forward)]));
    old.chain(new).collect()
}

/// `name,protocol,host address,host port,guest address,guest port`.
fn rule(forward: &Forward) -> String {
    let Forward { protocol, host_ip, host, guest } = forward;
    format!("{RULE}{protocol}-{host},{protocol},{host_ip},{host},,{guest}")
}

fn card(card: GraphicsController) -> &'static str {
    match card {
        GraphicsController::None => "none",
        GraphicsController::Vboxvga => "vboxvga",
        GraphicsController::Vmsvga => "vmsvga",
        GraphicsController::Vboxsvga => "vboxsvga",
    }
}

/// VMware's card is refused before.
fn nic(nic: Nic) -> &'static str {
    match nic {
        Nic::Virtio | Nic::Vmxnet3 => "virtio",
        Nic::E1000 => "82540EM",
        Nic::Pcnet => "Am79C973",
    }
}

/// The controller that disks hang on.
pub fn controller(id: MachineId, bus: DiskBus, disks: usize) -> Args {
    let (kind, chip) = match bus {
        DiskBus::Virtio => ("virtio", "VirtIO"),
        DiskBus::Scsi => ("scsi", "LsiLogic"),
        DiskBus::Sata => ("sata", "IntelAhci"),
        DiskBus::Ide => ("ide", "PIIX4"),
        DiskBus::Nvme => ("pcie", "NVMe"),
    };
    let mut args = words(&[
        "storagectl",
        &id.uuid(),
        "--name",
        CONTROLLER,
        "--add",
        kind,
        "--controller",
        chip,
        "--bootable",
        "on",
    ]);
    // The others have as many ports as they can.
    if matches!(bus, DiskBus::Virtio | DiskBus::Sata | DiskBus::Nvme) {
        args.extend(words(&["--portcount", &disks.max(1).to_string()]));
    }
    args
}

/// Where the disk of an index hangs: port and device.
pub fn slot(bus: DiskBus, index: usize) -> (usize, usize) {
    if bus == DiskBus::Ide { (index / 2, index % 2) } else { (index, 0) }
}

/// Hangs a medium on a slot; `none` empties it.
pub fn attach(id: MachineId, (port, device): (usize, usize), medium: &OsStr) -> Args {
    let (port, device) = (port.to_string(), device.to_string());
    let mut args = words(&["storageattach", &id.uuid(), "--storagectl", CONTROLLER]);
    args.extend(words(&["--port", &port, "--device", &device, "--type", "hdd", "--medium"]));
    args.push(medium.into());
    args
}

/// A disk that holds what differs from `base`.
pub fn overlay(base: &Path, disk: &Path) -> Args {
    let mut args = words(&["createmedium", "disk", "--filename"]);
    args.push(disk.into());
    args.push("--diffparent".into());
    args.push(base.into());
    args.extend(words(&["--format", "VDI"]));
    args
}

/// A disk with all that `from` and what it rests on hold.
pub fn copy(from: &Path, to: &Path) -> Args {
    let mut args = words(&["clonemedium", "disk"]);
    args.extend([from.into(), to.into()]);
    args.extend(words(&["--format", "VDI"]));
    args
}

/// A disk grows to `size` bytes.
pub fn grow(disk: &Path, size: u64) -> Args {
    let mut args = words(&["modifymedium", "disk"]);
    args.push(disk.into());
    args.extend(words(&["--resizebyte", &size.to_string()]));
    args
}

/// VirtualBox forgets a medium; its file stays.
pub fn forget(disk: &Path) -> Args {
    let mut args = words(&["closemedium", "disk"]);
    args.push(disk.into());
    args
}

/// Starts it.
pub fn start(id: MachineId, gui: bool) -> Args {
    words(&["startvm", &id.uuid(), "--type", if gui { "gui" } else { "headless" }])
}

/// Tells a machine that runs to do something: `acpipowerbutton`, `poweroff`, `pause`, `resume`, `savestate`.
pub fn control(id: MachineId, what: &str) -> Args {
    words(&["controlvm", &id.uuid(), what])
}

/// Drops what `savestate` wrote.
pub fn discard(id: MachineId) -> Args {
    words(&["discardstate", &id.uuid()])
}

/// VirtualBox forgets the machine; its files, and what its disks rest on, stay.
pub fn unregister(id: MachineId) -> Args {
    words(&["unregistervm", &id.uuid()])
}

/// A call that the machine file asks for. Controllers that are not among `controllers` are those of the box as somebody else
/// imported it: ours stands for them. `None` for a call that would take ours away.
pub fn customization(id: MachineId, command: &[String], controllers: &[&str]) -> Option<Args> {
    let option = match command.first().map(String::as_str) {
        Some("storageattach") => "--storagectl",
        Some("storagectl") if !command.iter().any(|word| word == "--add") => "--name",
        _ => "",
    };
    let named = command.iter().position(|word| word == option).map(|at| at + 1);
    let theirs = named.filter(|at| command.get(*at).is_some_and(|name| !controllers.contains(&name.as_str())));
    if theirs.is_some() && command.iter().any(|word| word == "--remove") {
        return None;
    }
    let word = |(at, word): (usize, &String)| match word.as_str() {
        _ if theirs == Some(at) => CONTROLLER.into(),
        ":id" => id.uuid().into(),
        word => word.into(),
    };
    Some(command.iter().enumerate().map(word).collect())
}

/// The controllers that a machine has, and those that its file adds.
pub fn controllers<'a>(info: &'a Info, commands: impl Iterator<Item = &'a [String]>) -> Vec<&'a str> {
    let there = (0..).map_while(|index| info.get(&format!("storagecontrollername{index}")));
    let adds = commands.filter(|words| words.first().is_some_and(|verb| verb == "storagectl"));
    let adds = adds.filter(|words| words.iter().any(|word| word == "--add"));
    let name = |words: &'a [String]| words.iter().skip_while(|word| *word != "--name").nth(1).map(String::as_str);
    there.chain(adds.filter_map(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::{LibvirtOptions, Protocol, QemuOptions, VirtualboxOptions};
    use crate::provider::{Boot, Devices};

    fn id() -> MachineId {
        "00112233445546778899aabbccddeeff".parse().unwrap()
    }

    pub(crate) fn plan() -> VmPlan {
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
        let stale = [Rule { name: "vbox-rs-tcp-2201".into(), host: 2201 }, Rule { name: "own rule".into(), host: 80 }];
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
--natpf1 delete own rule
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
            networks: Vec::new(),
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
--natpf1 delete own rule
--natpf1 vbox-rs-tcp-2200,tcp,127.0.0.1,2200,,22
--natpf1 vbox-rs-udp-5353,udp,0.0.0.0,5353,,53

"]]
        );
    }

    #[test]
    fn private_networks_are_cards_after_the_first() {
        let wires = [Wire::HostOnly("vboxnet0".into()), Wire::Internal("backend".into())];
        let before = Info::parse("nic1=\"nat\"\nnic2=\"intnet\"\nnic4=\"bridged\"\nnic5=\"none\"\n");
        snapbox::assert_data_eq!(
            text(&cards(id(), Nic::E1000, &wires, &before)),
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
--nic4 none

"]]
        );
        assert_eq!(text(&cards(id(), Nic::Virtio, &[], &before)), "--nic2 none\n--nic4 none\n");
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
            customization(id(), &call(call_text), &known)
                .map(|args| text(&args).replace("\n--", " --").trim_end().to_owned())
        };
        let attached = "storageattach 00112233-4455-4677-8899-aabbccddeeff --storagectl Disks --port 1";
        assert_eq!(made("storageattach :id --storagectl SATA --port 1").as_deref(), Some(attached));
        assert!(made("storageattach :id --storagectl Floppy --port 0").unwrap().contains("--storagectl Floppy"));
        assert!(made("storagectl :id --name Extra --add sata").unwrap().contains("--name Extra"));
        assert!(made("storagectl :id --name SATA --portcount 4").unwrap().contains("--name Disks"));
        assert_eq!(made("storagectl :id --name IDE --remove"), None);
        assert!(made("setextradata :id --name x").unwrap().contains("--name x"));
    }

    #[test]
    fn every_bus_has_its_controller_and_its_slots() {
        let all = [DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Ide, DiskBus::Nvme];
        let told: String = all.iter().map(|bus| text(&controller(id(), *bus, 2)).replace("\n--", " --")).collect();
        snapbox::assert_data_eq!(
            told,
            snapbox::str![[r"
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add virtio --controller VirtIO --bootable on --portcount 2
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add scsi --controller LsiLogic --bootable on
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add sata --controller IntelAhci --bootable on --portcount 2
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add ide --controller PIIX4 --bootable on
storagectl 00112233-4455-4677-8899-aabbccddeeff --name Disks --add pcie --controller NVMe --bootable on --portcount 2

"]]
        );
        assert_eq!([0, 1, 2, 3].map(|index| slot(DiskBus::Ide, index)), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!([0, 1, 2].map(|index| slot(DiskBus::Sata, index)), [(0, 0), (1, 0), (2, 0)]);
    }

    #[test]
    fn media_are_named_by_their_files() {
        let (base, disk) = (Path::new("/b/a b.vdi"), Path::new("/m/disk0.vdi"));
        let all = [
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
        let customized = customization(id(), &["modifyvm", ":id", "--name", ":id x"].map(String::from), &[]);
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
}
