//! VBoxManage's command lines, as functions of the plan. The machine is always named by its UUID, never by its name:
//! names may repeat, and its user may change them.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::Path;

use super::card::{self, Card, Wire};
use super::network::Subnet;
use super::parse::Info;
use super::rules::Rule;
use crate::config::spec::{DiskBus, Firmware, GraphicsController, Nic, Protocol};
use crate::provider::{Forward, VmPlan, own_mac};
use crate::store::MachineId;

/// The storage controller of our machines.
pub const CONTROLLER: &str = "Disks";

/// The kind of guest where neither machine file nor box says: it decides over little but the icon, and every VirtualBox
/// knows it.
pub const OS_TYPE: &str = "Linux26_64";

/// Where the machine's id stands in its settings.
pub const MARK: &str = "vbox-rs/machine";

/// Ports of our controller, where its kind has a choice: as many as VirtualBox gives a SATA controller that it imports, so
/// that the calls of machine files find theirs.
pub const PORTS: usize = 30;

/// Video memory in MiB: VirtualBox warns of less.
const VRAM: u32 = 16;

/// What the names of our rules and networks begin with.
pub const RULE: &str = "vbox-rs-";

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
        ("--graphicscontroller", graphics(options.graphics_controller.unwrap_or(GraphicsController::Vmsvga))),
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

/// What answers to datagrams take: VirtualBox 7 drops those to this computer's own addresses otherwise. Older versions do not
/// know the option, and do not tell of it.
pub fn datagrams(forwards: &[Forward], info: &Info) -> Args {
    if drops_answers(forwards, info) { words(&["--nat-localhostreachable1", "on"]) } else { Args::new() }
}

/// Whether answers to datagrams that come by any of these would be dropped.
pub fn drops_answers(forwards: &[Forward], info: &Info) -> bool {
    let any = forwards.iter().any(|forward| forward.protocol == Protocol::Udp);
    any && info.get("localhostReachable") == Some("0")
}

/// The cards after the first, and those of an earlier start that there are no more.
pub fn cards(cards: &[Card], info: &Info) -> Args {
    let mut args = Args::new();
    for card in cards {
        let option = |name: &str| format!("--{name}{}", card.place);
        let (net, adapter, name) = match &card.wire {
            Wire::HostOnly(name) => ("hostonly", "hostonlyadapter", name),
            Wire::HostOnlyNetwork(name) => ("hostonlynet", "host-only-net", name),
            Wire::Internal(name) => ("intnet", "intnet", name),
            Wire::NatNetwork(name) => ("natnetwork", "nat-network", name),
            Wire::Bridged(name) => ("bridged", "bridgeadapter", name),
        };
        for (name, value) in [
            ("nic", net),
            (adapter, name),
            ("nictype", nic(card.nic)),
            ("macaddress", &card.mac.replace(':', "").to_ascii_uppercase()),
            ("cableconnected", "on"),
        ] {
            args.extend(words(&[&option(name), value]));
        }
    }
    let stale = (2..=card::LAST).filter(|place| cards.iter().all(|card| card.place != *place));
    for name in stale.map(|place| format!("nic{place}")) {
        if info.get(&name).is_some_and(|kind| kind != "none") {
            args.extend(words(&[&format!("--{name}"), "none"]));
        }
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

/// What a host-only network of ours is called, where VirtualBox has those instead of interfaces.
pub fn network_name(subnet: Subnet) -> String {
    format!("{RULE}{}", subnet.to_string().replace('/', "-"))
}

/// A new host-only network: its first address is the host's, the others are for guests.
pub fn make_network(name: &str, subnet: Subnet) -> Args {
    network("add", name, subnet)
}

/// The same for one that is there and lies elsewhere.
pub fn readdress_network(name: &str, subnet: Subnet) -> Args {
    network("modify", name, subnet)
}

fn network(verb: &str, name: &str, subnet: Subnet) -> Args {
    let [mask, lower, upper] = [subnet.mask().into(), subnet.at(1), subnet.last()].map(|ip: IpAddr| ip.to_string());
    words(&[
        "hostonlynet",
        verb,
        "--name",
        name,
        "--netmask",
        &mask,
        "--lower-ip",
        &lower,
        "--upper-ip",
        &upper,
        "--enable",
    ])
}

/// Switches a host-only network on that is there.
pub fn enable_network(name: &str) -> Args {
    words(&["hostonlynet", "modify", "--name", name, "--enable"])
}

/// All NAT networks. What `list natnets` tells of them is less.
pub fn list_nat_networks() -> Args {
    words(&["natnetwork", "list"])
}

/// A new NAT network: its first address is VirtualBox's own, the second leads to this computer, the others are for guests.
pub fn make_nat_network(name: &str, subnet: Subnet) -> Args {
    nat_network("add", name, subnet)
}

/// The same for one that is there.
pub fn change_nat_network(name: &str, subnet: Subnet) -> Args {
    nat_network("modify", name, subnet)
}

fn nat_network(verb: &str, name: &str, subnet: Subnet) -> Args {
    let network = subnet.to_string();
    words(&["natnetwork", verb, "--netname", name, "--network", &network, "--enable", "--dhcp", "on"])
}

/// Takes a NAT network away, whoever uses it.
pub fn remove_nat_network(name: &str) -> Args {
    words(&["natnetwork", "remove", "--netname", name])
}

/// Everything about all machines.
pub fn list_machines() -> Args {
    words(&["list", "vms", "--long"])
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

/// A machine that runs forwards one more port.
pub fn add_forward(id: MachineId, forward: &Forward) -> Args {
    words(&["controlvm", &id.uuid(), "natpf1", &rule(forward)])
}

/// A machine that runs forwards a port no more.
pub fn remove_forward(id: MachineId, rule: &str) -> Args {
    words(&["controlvm", &id.uuid(), "natpf1", "delete", rule])
}

fn forwards(forwards: &[Forward], stale: &[Rule]) -> Args {
    let old = stale.iter().flat_map(|rule| words(&[&format!("--natpf{}", rule.card), "delete", &rule.name]));
    let new = forwards.iter().flat_map(|forward| words(&["--natpf1", &rule(forward)]));
    old.chain(new).collect()
}

/// What our rule for a forward is called.
pub fn rule_name(forward: &Forward) -> String {
    format!("{RULE}{}-{}", forward.protocol, forward.host)
}

/// `name,protocol,host address,host port,guest address,guest port`.
pub fn rule(forward: &Forward) -> String {
    let Forward { protocol, host_ip, host, guest } = forward;
    format!("{},{protocol},{host_ip},{host},,{guest}", rule_name(forward))
}

fn graphics(card: GraphicsController) -> &'static str {
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
pub fn controller(id: MachineId, bus: DiskBus) -> Args {
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
        args.extend(words(&["--portcount", &PORTS.to_string()]));
    }
    args
}

/// Gives it that many ports.
pub fn widen(id: MachineId, ports: usize) -> Args {
    words(&["storagectl", &id.uuid(), "--name", CONTROLLER, "--portcount", &ports.to_string()])
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

/// An empty disk of `size` bytes.
pub fn empty(disk: &Path, size: u64) -> Args {
    let mut args = words(&["createmedium", "disk", "--filename"]);
    args.push(disk.into());
    args.extend(words(&["--sizebyte", &size.to_string(), "--format", "VDI"]));
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

/// Shares a folder with the guest of a machine that runs, until it ends.
pub fn share(id: MachineId, name: &str, folder: &Path) -> Args {
    let mut args = words(&["sharedfolder", "add", &id.uuid(), "--name", name, "--hostpath"]);
    args.push(folder.into());
    args.push("--transient".into());
    args
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
/// imported it: ours stands for them, and keeps its `ports`. `None` for a call that would take ours away.
pub fn customization(id: MachineId, command: &[String], controllers: &[&str], ports: usize) -> Option<Args> {
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
    let ours = theirs.is_some() || named.is_some_and(|at| command.get(at).is_some_and(|name| name == CONTROLLER));
    let count = command.iter().position(|word| ours && word == "--portcount").map(|at| at + 1);
    let word = |(at, word): (usize, &String)| match word.as_str() {
        _ if theirs == Some(at) => CONTROLLER.into(),
        // The seed hangs on one of the last.
        fewer if count == Some(at) && fewer.parse().is_ok_and(|count: usize| count < ports) => ports.to_string().into(),
        ":id" => id.uuid().into(),
        word => word.into(),
    };
    Some(command.iter().enumerate().map(word).collect())
}

/// The slot of our controller on which a call hangs a medium; not on one of the `others` that calls add.
pub fn hangs_on(command: &[String], others: &[&str]) -> Option<(usize, usize)> {
    let value = |option: &str| command.iter().skip_while(|word| *word != option).nth(1).map(String::as_str);
    let hangs = command.first().is_some_and(|verb| verb == "storageattach")
        && value("--storagectl").is_some_and(|name| !others.contains(&name))
        && value("--medium").is_some_and(|medium| medium != "none");
    let number = |option| value(option).map_or(Some(0), |value| value.parse().ok());
    hangs.then(|| Some((number("--port")?, number("--device")?)))?
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
pub mod tests;
