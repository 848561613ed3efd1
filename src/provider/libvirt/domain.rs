//! The description of a domain, as a function of the plan.

use std::path::Path;

use super::super::{
    Boot, Error as ProviderError, Forward, Nic, VmPlan, card_places, forward_mac, further_mac, own_mac, public_mac,
};
use super::Error;
use super::bridge::Wire;
use super::fragment::{self, Place};
use super::volume::{Storage, disk_name, seed_name};
use super::xml::{Element, element, escape, is_plain};
use crate::config::spec::{CpuMode, DiskBus, Firmware, Graphics, NetworkCard, Protocol};
use crate::provider::qemu::accel::Engine;
use crate::provider::qemu::argv::{self, Arch};
use crate::provider::qemu::files::Files;
use crate::provider::qemu::firmware::{self, Flash};
use crate::store::MachineId;

/// Names our part of the metadata.
const NAMESPACE: &str = "urn:vbox-rs:machine:1";

/// The first version that knows the processor model "maximum" (7.1.0).
const MAXIMUM_SINCE: u64 = 7_001_000;

/// How our network begins among QEMU's arguments.
const NETWORK: &str = "user,id=vbox0";

/// How it goes on where it is there for forwards alone.
const APART: &str = ",ipv6=off";

/// What keeps it apart then: no way out, no router and no name server for the guest. It also drops what the guest answers to
/// datagrams (libslirp's `udp_input`), so where some are forwarded, it cannot be.
const CLOSED: &str = ",restrict=on";

/// Where our network card is plugged in.
const SLOT: u8 = 0x10;

/// All that a description depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Processor architecture.
    pub arch: Arch,
    /// How instructions are run.
    pub engine: Engine,
    /// The machine's id.
    pub id: MachineId,
    /// The domain's name.
    pub name: &'a str,
    /// What it should be.
    pub plan: &'a VmPlan,
    /// Where its files lie.
    pub files: &'a Files,
    /// UEFI firmware, where it starts by one.
    pub flash: Option<&'a Flash>,
    /// User and group that its process runs as, where the daemon could choose others.
    pub owner: Option<(u32, u32)>,
    /// The daemon's version.
    pub version: u64,
    /// What the processor calls its way to run virtual machines, where it has one.
    pub virtualization: Option<&'static str>,
    /// Where the disks lie, where they are volumes.
    pub volumes: Option<&'a Storage>,
    /// Whether the daemon sees this computer's files.
    pub local: bool,
    /// Whether an agent in the guest gets a channel. In a session the socket that libvirt makes for it lies so deep below the
    /// user's home that its path may be too long.
    pub agent: bool,
    /// What the cards of private networks hang on, and then those of public ones.
    pub wires: &'a [Wire],
}

/// The description. Fails only for paths that XML has no letters for.
pub fn xml(input: &Input<'_>) -> Result<String, ProviderError> {
    let Input { plan, .. } = input;
    let domain = element("domain")
        .with("type", if input.engine == Engine::Kvm { "kvm" } else { "qemu" })
        .with("xmlns:qemu", fragment::QEMU)
        .child(element("name").text(input.name))
        .child(element("uuid").text(input.id.uuid()))
        .child(element("title").text(plan.name.as_str()))
        .child(metadata(input))
        .child(element("memory").with("unit", "MiB").text(plan.memory.to_string()))
        .child(element("vcpu").text(plan.cpus.to_string()))
        .child(os(input)?)
        // Without it libvirt 9 tells QEMU 10 something that it does not know any more; and no power button works.
        .child(element("features").child(element("acpi")).children(apic(input.arch)))
        .children(cpu(input))
        .child(element("clock").with("offset", "utc"))
        .child(element("on_poweroff").text("destroy"))
        .child(element("on_reboot").text("restart"))
        .child(element("on_crash").text("destroy"))
        .child(devices(input)?)
        .children(owner(input))
        .child(command_line(input))
        .raw(fragment::parts(&plan.libvirt.xml, Place::Domain));
    Ok(domain.render())
}

fn metadata(input: &Input<'_>) -> Element {
    let machine = element("vbox-rs:machine")
        .with("xmlns:vbox-rs", NAMESPACE)
        .with("id", input.id.to_string())
        .with("name", input.plan.name.as_str());
    element("metadata").child(machine)
}

fn os(input: &Input<'_>) -> Result<Element, ProviderError> {
    let plan = input.plan;
    let kind = element("type").with("arch", input.arch.name()).with("machine", machine(input)).text("hvm");
    let mut os = element("os");
    // Where the disks lie at the daemon, it chooses the firmware too, and keeps the variables with the domain.
    if input.volumes.is_some() && plan.devices.firmware == Some(Firmware::Uefi) {
        os = os.with("firmware", "efi");
    }
    os = os.child(kind);
    if let Some(Flash { code, code_format, nvram, nvram_format }) = input.flash {
        let format =
            |element: Element, format: &str| if format == "raw" { element } else { element.with("format", format) };
        let loader = element("loader").with("readonly", "yes").with("type", "pflash");
        os = os
            .child(format(loader, code_format).text(path(code)?))
            .child(format(element("nvram"), nvram_format).text(path(nvram)?));
    }
    match &plan.boot {
        Boot::Kernel { kernel, initrd, cmdline } => {
            os = os.child(element("kernel").text(path(kernel)?));
            if let Some(initrd) = initrd {
                os = os.child(element("initrd").text(path(initrd)?));
            }
            os = os.child(element("cmdline").text(cmdline.as_str()));
        }
        // Without graphics the firmware talks to the serial console, so what it meets is in the log.
        Boot::Disk if input.flash.is_none() && input.arch == Arch::X86_64 => {
            os = os.child(element("bios").with("useserial", "yes"));
        }
        Boot::Disk => {}
    }
    Ok(os)
}

fn machine<'a>(input: &Input<'a>) -> &'a str {
    let plan = input.plan;
    plan.libvirt.machine.as_deref().unwrap_or(firmware::machine(input.arch, plan.devices.disk_bus))
}

fn apic(arch: Arch) -> Option<Element> {
    (arch == Arch::X86_64).then(|| element("apic"))
}

fn cpu(input: &Input<'_>) -> Option<Element> {
    let mode = match (input.plan.libvirt.cpu_mode, input.engine) {
        (Some(CpuMode::HostPassthrough), _) | (None, Engine::Kvm) => "host-passthrough",
        (Some(CpuMode::HostModel), _) => "host-model",
        (Some(CpuMode::Maximum), _) | (None, Engine::Tcg) => "maximum",
    };
    // What is left then is QEMU's default, which every guest runs on, if not as fast.
    let known = mode != "maximum" || input.version >= MAXIMUM_SINCE;
    known.then(|| element("cpu").with("mode", mode).with("check", "none").children(nested(input)))
}

/// The guest's own virtual machines: most models have what they take where the host's module allows it, but nobody says so.
fn nested(input: &Input<'_>) -> Option<Element> {
    let policy = match (input.plan.libvirt.nested?, input.engine) {
        (false, _) => "disable",
        (true, Engine::Kvm) => "require",
        // An emulated processor has it anyway.
        (true, Engine::Tcg) => return None,
    };
    Some(element("feature").with("policy", policy).with("name", input.virtualization?))
}

fn devices(input: &Input<'_>) -> Result<Element, ProviderError> {
    let plan = input.plan;
    let bus = plan.devices.disk_bus;
    let mut devices = element("devices");
    for (index, planned) in plan.disks.iter().enumerate() {
        // Index 0 belongs to the loader of a kernel that QEMU starts directly.
        let order = (index + 1).to_string();
        let driver = element("driver").with("name", "qemu").with("type", "qcow2").with("discard", "unmap");
        let source = match input.volumes {
            Some(storage) => volume(storage, &disk_name(input.id, index)),
            None => file(&input.files.disk(index))?,
        };
        let disk = disk(bus, plan.place(index), driver, source);
        let serial = planned.serial().map(|serial| element("serial").text(serial));
        devices = devices.child(disk.child(element("boot").with("order", order)).children(serial));
    }
    if let Some(seed) = &plan.seed {
        let driver = element("driver").with("name", "qemu").with("type", "raw");
        let source = match input.volumes {
            Some(storage) => volume(storage, &seed_name(input.id)),
            None => file(seed)?,
        };
        let disk = disk(bus, plan.box_disks(), driver, source);
        // The other buses know no disk that cannot be written.
        let writable = plan.seed_writable || !matches!(bus, DiskBus::Virtio | DiskBus::Scsi);
        devices = devices.child(if writable { disk } else { disk.child(element("readonly")) });
    }
    if bus == DiskBus::Scsi {
        let controller = element("controller").with("type", "scsi").with("index", "0").with("model", "virtio-scsi");
        devices = devices.child(controller);
    }
    let log = |file| element("log").with("file", file).with("append", "on");
    let console = input.files.console_log();
    let log = if input.local { Some(log(path(&console)?)) } else { None };
    let random = element("backend").with("model", "random").text("/dev/urandom");
    let agent = input.agent.then(|| {
        let target = element("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0");
        element("channel").with("type", "unix").child(target)
    });
    devices = devices
        .child(element("controller").with("type", "usb").with("model", "none"))
        .child(element("serial").with("type", "pty").children(log).child(element("target").with("port", "0")))
        .child(element("console").with("type", "pty").child(element("target").with("type", "serial").with("port", "0")))
        .children(agent)
        .children(plan.libvirt.network.as_deref().map(|name| {
            let source = element("source").with("network", name);
            interface("network", source, mac(input), plan.devices.nic)
        }))
        .children(further_cards(input))
        .children(graphics(plan.libvirt.graphics))
        .children(plan.libvirt.tpm.then(|| tpm(input.arch)))
        .child(element("rng").with("model", "virtio").child(random))
        .child(element("memballoon").with("model", "none"))
        .raw(fragment::parts(&plan.libvirt.xml, Place::Devices));
    Ok(devices)
}

/// A card on something of libvirt's or the host's.
fn interface(kind: &str, source: Element, mac: String, nic: Nic) -> Element {
    let model = match nic {
        Nic::Virtio => "virtio",
        Nic::E1000 => "e1000",
        Nic::Pcnet => "pcnet",
        Nic::Vmxnet3 => "vmxnet3",
    };
    element("interface")
        .with("type", kind)
        .child(element("mac").with("address", mac))
        .child(source)
        .child(element("model").with("type", model))
        // Nobody boots from it.
        .child(element("rom").with("enabled", "no"))
}

/// The cards of private and public networks, in the order of their places.
fn further_cards(input: &Input<'_>) -> Vec<Element> {
    let devices = &input.plan.devices;
    let private = devices.networks.iter().enumerate().map(|(i, network)| (&network.card, further_mac(input.id, i)));
    let public = devices.publics.iter().enumerate().map(|(i, network)| (&network.card, public_mac(input.id, i)));
    let (cards, macs): (Vec<_>, Vec<_>) = private.chain(public).unzip();
    let places = card_places(&cards);
    let mut all: Vec<_> = cards.into_iter().zip(macs).zip(input.wires).zip(places).collect();
    all.sort_by_key(|(_, place)| *place);
    let element = |(((card, usual), wire), place): (((&NetworkCard, String), &Wire), u8)| {
        let (kind, source) = match wire {
            Wire::Network(name) => ("network", element("source").with("network", name.as_str())),
            Wire::Bridge(name) => ("bridge", element("source").with("bridge", name.as_str())),
            Wire::Device(name) => ("direct", element("source").with("dev", name.as_str()).with("mode", "bridge")),
        };
        let mac = card.mac.clone().unwrap_or(usual);
        behind(input, place, interface(kind, source, mac, card.nic.unwrap_or(devices.nic)))
    };
    all.into_iter().map(element).collect()
}

/// Beside QEMU's network for users a card is plugged in behind that one's, which is the first: guests take the first that
/// they find for the one with the way out. Else libvirt's order says the same.
fn behind(input: &Input<'_>, place: u8, card: Element) -> Element {
    if input.plan.libvirt.network.is_some() {
        return card;
    }
    let slot = format!("{:#04x}", SLOT - 1 + place);
    card.child(element("address").with("type", "pci").with("domain", "0").with("bus", "0").with("slot", slot))
}

fn mac(input: &Input<'_>) -> String {
    input.plan.devices.mac.clone().unwrap_or_else(|| own_mac(input.id))
}

fn tpm(arch: Arch) -> Element {
    let model = if arch == Arch::X86_64 { "tpm-crb" } else { "tpm-tis" };
    let backend = element("backend").with("type", "emulator").with("version", "2.0");
    element("tpm").with("model", model).child(backend)
}

/// A kind of disk, and where it lies.
type Source = (&'static str, Element);

fn file(file: &Path) -> Result<Source, ProviderError> {
    Ok(("file", element("source").with("file", path(file)?)))
}

fn volume(storage: &Storage, name: &str) -> Source {
    ("volume", element("source").with("pool", storage.pool.as_str()).with("volume", name))
}

fn disk(bus: DiskBus, index: usize, driver: Element, (kind, source): Source) -> Element {
    let (bus, prefix) = match bus {
        DiskBus::Virtio => ("virtio", "vd"),
        DiskBus::Scsi => ("scsi", "sd"),
        DiskBus::Sata => ("sata", "sd"),
        DiskBus::Ide => ("ide", "hd"),
        DiskBus::Nvme => ("nvme", "nvme"),
    };
    let target = element("target").with("dev", format!("{prefix}{}", letters(index))).with("bus", bus);
    element("disk").with("type", kind).with("device", "disk").child(driver).child(source).child(target)
}

/// `a`, …, `z`, `aa`, …: how libvirt numbers disks.
fn letters(index: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(index % 26).unwrap_or_default());
    if index < 26 { letter.into() } else { format!("{}{letter}", letters(index / 26 - 1)) }
}

fn graphics(wanted: Graphics) -> Vec<Element> {
    let kind = match wanted {
        Graphics::None => return Vec::new(),
        Graphics::Vnc => "vnc",
        Graphics::Spice => "spice",
    };
    let screen = element("graphics").with("type", kind).with("autoport", "yes").with("listen", "127.0.0.1");
    vec![screen, element("video").child(element("model").with("type", "virtio"))]
}

/// The process runs as the user whose machine it is, as with provider `qemu`: it may use the user's files as they are, and
/// nobody changes their owner.
fn owner(input: &Input<'_>) -> Option<Element> {
    let (user, group) = input.owner?;
    let label = element("label").text(format!("+{user}:+{group}"));
    Some(element("seclabel").with("type", "static").with("model", "dac").with("relabel", "no").child(label))
}

/// QEMU's own network for users: needs no rights, and carries the forwards, which are there again after every start of the
/// guest. libvirt knows no forwards for it. Where the machine is on another network, it is there for forwards alone.
fn user_network(input: &Input<'_>) -> Vec<String> {
    let card = match input.plan.devices.nic {
        Nic::Virtio => "virtio-net-pci",
        Nic::E1000 => "e1000",
        Nic::Pcnet => "pcnet",
        Nic::Vmxnet3 => "vmxnet3",
    };
    let apart = input.plan.libvirt.network.is_some();
    let mac = if apart { forward_mac(input.id) } else { mac(input) };
    let bus = if machine(input).starts_with("pc-i440fx") || machine(input) == "pc" { "pci.0" } else { "pcie.0" };
    // No option ROM: nobody boots from this network, and loading it costs the firmware time. QEMU makes it before libvirt's
    // own devices: a place of its own, far from those that libvirt gives away.
    let device = format!("{card},netdev=vbox0,id=vboxnic0,bus={bus},addr={SLOT:#04x},mac={mac},romfile=");
    vec!["-netdev".into(), netdev(apart, &input.plan.forwards), "-device".into(), device]
}

fn netdev(apart: bool, forwards: &[Forward]) -> String {
    let rules = forwards.iter().map(|forward| format!(",hostfwd={}", argv::rule(forward)));
    let datagrams = forwards.iter().any(|forward| forward.protocol == Protocol::Udp);
    let closed = (apart && !datagrams).then(|| CLOSED.to_owned());
    let apart = apart.then(|| APART.to_owned());
    std::iter::once(NETWORK.to_owned()).chain(apart).chain(closed).chain(rules).collect()
}

/// What libvirt hands on to QEMU as it is: our network, and whatever the user has for it.
fn command_line(input: &Input<'_>) -> Element {
    let network = user_network(input).into_iter().map(argument);
    element("qemu:commandline").children(network).children(fragment::command_line(&input.plan.libvirt.xml))
}

fn argument(value: String) -> Element {
    element("qemu:arg").with("value", value)
}

/// The same description with other forwards; `None` where it is none of ours.
pub fn with_forwards(xml: &str, forwards: &[Forward]) -> Option<String> {
    let begin = xml.match_indices(NETWORK).map(|(at, _)| at).find(|&at| xml[..at].ends_with(['"', '\'']))?;
    let quote = xml[..begin].chars().next_back()?;
    let end = begin + xml[begin..].find(quote)?;
    let apart = xml[begin..end].contains(APART);
    Some(format!("{}{}{}", &xml[..begin], escape(&netdev(apart, forwards)), &xml[end..]))
}

/// Whether two descriptions by libvirt say the same: it writes the same devices in another order when it has read them again.
pub fn same(one: &str, other: &str) -> bool {
    let lines = |text: &str| {
        let mut lines: Vec<_> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    lines(one) == lines(other)
}

fn path(path: &Path) -> Result<&str, ProviderError> {
    let told = path.to_str().filter(|text| is_plain(text));
    told.ok_or_else(|| Error::Path { path: path.display().to_string().escape_debug().to_string() }.into())
}

#[cfg(test)]
pub(super) mod tests;
