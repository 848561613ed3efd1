//! From the machine file and the box to what a provider is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::record::MachineRecord;
use super::status::backend;
use super::{BridgeChoice, Error};
use crate::boxes::{CloudInit, Hardware, Installed, Manifest};
use crate::config::spec::{
    CustomizeEvent, Firmware, FolderType, MachineSpec, PrivateNetwork, ProviderKind, ProviderOptions, Provisioner,
    ProvisionerKind, PublicNetwork, Script, ShellProvisioner, VirtualboxOptions, mac_address,
};
use crate::guest::networks::Card;
use crate::guest::seed::Flavour;
use crate::progress::Cx;
use crate::provider::{Backing, Boot, Devices, Finding, Level, PlannedDisk, VmPlan, further_mac, own_mac, public_mac};

/// Memory in MiB where neither machine file nor box says: enough for a server distribution with a compiler.
const DEFAULT_MEMORY: u64 = 1024;

/// Processors where neither machine file nor box says.
const DEFAULT_CPUS: u32 = 2;

/// What a box may ask for by itself; a machine file may ask for more.
const BOX_CPUS: std::ops::RangeInclusive<u32> = 1..=64;
const BOX_MEMORY: std::ops::RangeInclusive<u64> = 32..=64 << 10;

/// Login name where neither machine file nor box says: Vagrant's convention.
const DEFAULT_USER: &str = "vagrant";

/// What the machine file says of a machine that exists: for the provider that it has, on the box that it rests on.
pub(super) fn of_machine(spec: &MachineSpec, record: &MachineRecord) -> MachineSpec {
    spec.for_provider(record.provider).on_box(&record.manifest.hardware.settings)
}

/// Who logs in. A cloud image gets Vagrant's user from us, beside the one that its publisher gave it.
pub(super) fn user(spec: &MachineSpec, manifest: &Manifest) -> String {
    let theirs = manifest.user.clone().filter(|_| manifest.cloud_init.is_none());
    spec.ssh.username.clone().or(theirs).unwrap_or_else(|| DEFAULT_USER.into())
}

/// Who reads the seed of a machine with this box; `None` for a box that gets none.
pub(super) fn seed_flavour(manifest: &Manifest) -> Option<Flavour> {
    match manifest.cloud_init {
        Some(CloudInit::Modern) => Some(Flavour::Modern),
        Some(CloudInit::Unrenamed) => Some(Flavour::Unrenamed),
        Some(CloudInit::Old) => Some(Flavour::Old),
        Some(CloudInit::Nuageinit) => Some(Flavour::Nuageinit),
        None => manifest.seed.then_some(Flavour::Own),
    }
}

/// The machine's hardware: machine file, else box, else ours. What a box says is a stranger's word: nonsense is left out.
pub(super) fn devices(record: &MachineRecord, spec: &MachineSpec) -> Devices {
    let theirs = &record.manifest.hardware;
    let (private, public) = networks(record.provider, spec);
    Devices {
        firmware: spec.firmware.or(theirs.firmware),
        disk_bus: spec.disk_bus.or(theirs.disk_bus).unwrap_or_default(),
        nic: spec.nic.or(theirs.nic).unwrap_or_default(),
        mac: Some(mac(record, spec)),
        networks: private.to_vec(),
        publics: public.to_vec(),
    }
}

/// The private and public networks that machines of this provider have.
pub(super) fn networks(kind: ProviderKind, spec: &MachineSpec) -> (&[PrivateNetwork], &[PublicNetwork]) {
    backend(kind).map_or((&[], &[]), |provider| provider.networks(spec))
}

/// Puts in what the user chose for the public networks of a machine.
pub(super) fn choose_bridges(networks: &mut [PublicNetwork], choices: &[BridgeChoice], machine: &str) {
    for choice in choices.iter().filter(|choice| choice.machine == machine) {
        if let Some(network) = networks.get_mut(choice.network) {
            network.bridge = vec![choice.interface.clone()];
        }
    }
}

/// The guest's side of its networks, without those that set themselves up.
pub(super) fn cards(record: &MachineRecord, spec: &MachineSpec) -> Vec<Card> {
    let id = record.id;
    let (private, public) = networks(record.provider, spec);
    let private = private.iter().enumerate().filter(|(_, network)| network.card.auto_config);
    let private = private.map(|(place, network)| Card {
        mac: network.card.mac.clone().unwrap_or_else(|| further_mac(id, place)),
        address: network.ip.map(|ip| (ip, network.length(ip))),
        default_route: false,
    });
    let public = public.iter().enumerate().filter(|(_, network)| network.card.auto_config);
    let public = public.map(|(place, network)| Card {
        mac: network.card.mac.clone().unwrap_or_else(|| public_mac(id, place)),
        address: network.ip.map(|ip| (ip, network.length(ip))),
        default_route: network.use_dhcp_assigned_default_route,
    });
    private.chain(public).collect()
}

/// Hardware address of the first network card.
pub(super) fn mac(record: &MachineRecord, spec: &MachineSpec) -> String {
    // A box's address is that of all its machines: on a network that they share, none could be told from another.
    let alone = !has_own_address(record.provider, spec);
    let theirs = record.manifest.hardware.mac.as_deref().and_then(mac_address).filter(|_| alone);
    spec.mac.clone().or(theirs).unwrap_or_else(|| own_mac(record.id))
}

/// `ssh-ed25519 AAAA… comment` without the comment: how a guest shows it.
pub(super) fn without_comment(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Memory in MiB that a machine of `spec` gets.
pub(super) fn memory(spec: &MachineSpec) -> u64 {
    spec.memory.unwrap_or(DEFAULT_MEMORY)
}

/// Processors, and memory in MiB.
fn size(spec: &MachineSpec, theirs: &Hardware) -> (u32, u64) {
    let cpus = theirs.cpus.filter(|cpus| BOX_CPUS.contains(cpus));
    let memory = theirs.memory.filter(|memory| BOX_MEMORY.contains(memory));
    (spec.cpus.or(cpus).unwrap_or(DEFAULT_CPUS), spec.memory.or(memory).unwrap_or(DEFAULT_MEMORY))
}

/// Whether the kernel that a box may bring is started without its disk's boot loader.
pub(super) fn direct_boot(kind: ProviderKind, spec: &MachineSpec) -> bool {
    match kind {
        ProviderKind::Libvirt => spec.provider_options.libvirt.direct_boot,
        ProviderKind::Qemu | ProviderKind::Virtualbox => spec.provider_options.qemu.direct_boot,
    }
}

/// Whether a machine gets an address of its own, to which ssh goes without a forward.
pub(super) fn has_own_address(kind: ProviderKind, spec: &MachineSpec) -> bool {
    kind == ProviderKind::Libvirt && spec.provider_options.libvirt.network.is_some()
}

/// What the provider is told; the ports come later.
pub(super) fn vm_plan(
    record: &MachineRecord,
    spec: &MachineSpec,
    installed: &Installed,
    seed: Option<PathBuf>,
    formats: &[&str],
) -> VmPlan {
    let project = record.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let devices = devices(record, spec);
    // The kernel that a box brings starts without firmware: whoever wants UEFI wants the disk's boot loader.
    let options = &spec.provider_options;
    let direct = direct_boot(record.provider, spec) && devices.firmware != Some(Firmware::Uefi);
    let boot = installed.direct_boot().filter(|_| direct);
    let (cpus, memory) = size(spec, &record.manifest.hardware);
    VmPlan {
        name: format!("{project}/{}", record.name),
        cpus,
        memory,
        disks: disks(record, spec, installed, formats),
        boot: boot.map_or(Boot::Disk, |boot| Boot::Kernel {
            kernel: boot.kernel,
            initrd: boot.initrd,
            cmdline: boot.cmdline,
        }),
        devices,
        seed_writable: seed.is_some() && record.manifest.cloud_init == Some(CloudInit::Nuageinit),
        seed,
        tethered: false,
        forwards: Vec::new(),
        qemu: options.qemu.clone(),
        libvirt: options.libvirt.clone(),
        virtualbox: virtualbox(record, spec),
    }
}

/// The box's disks, then the extra ones.
fn disks(record: &MachineRecord, spec: &MachineSpec, installed: &Installed, formats: &[&str]) -> Vec<PlannedDisk> {
    let boxes = installed.images(formats).into_iter().zip(&installed.manifest.disks).enumerate();
    let boxes = boxes.map(|(i, ((path, format), stored))| PlannedDisk {
        // Another format is another file.
        backing: Some(Backing { sha256: (format == stored.format).then(|| stored.sha256.clone()), path, format }),
        size: spec.disk.filter(|_| i == 0),
        name: None,
    });
    boxes.chain(record.extra_disks.iter().map(|disk| PlannedDisk::empty(&disk.name, disk.size))).collect()
}

/// VirtualBox's options; a box that was made for it names its guest in VirtualBox's words.
fn virtualbox(record: &MachineRecord, spec: &MachineSpec) -> VirtualboxOptions {
    let own = spec.provider_options.virtualbox.clone();
    VirtualboxOptions { os_type: own.os_type.or_else(|| record.manifest.hardware.guest_os.clone()), ..own }
}

/// The key of forwarded ports; a restore applies them too.
pub(super) const FORWARDS: &str = "forwarded_port";

/// What of a machine file only a start applies, by its keys.
pub(super) fn wishes(spec: &MachineSpec) -> BTreeMap<String, Value> {
    let wishes = [
        ("cpus", json!(spec.cpus)),
        ("memory", json!(spec.memory)),
        ("disk", json!(spec.disk)),
        ("extra_disk", json!(spec.extra_disks)),
        ("firmware", json!(spec.firmware)),
        ("disk_bus", json!(spec.disk_bus)),
        ("nic", json!(spec.nic)),
        ("mac", json!(spec.mac)),
        ("hostname", json!(spec.hostname)),
        (FORWARDS, json!(spec.forwarded_ports)),
        ("private_network", json!(spec.private_networks)),
        ("public_network", json!(spec.public_networks)),
        ("synced_folder", json!(spec.synced_folders)),
        ("ssh.port", json!(spec.ssh.port)),
        ("ssh.guest_port", json!(spec.ssh.guest_port)),
        ("provider_options", json!(at_starts(spec))),
    ];
    wishes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The options of providers without what is over once there is a machine.
fn at_starts(spec: &MachineSpec) -> ProviderOptions {
    let mut options = spec.provider_options.clone();
    options.virtualbox.customize.retain(|one| one.event != CustomizeEvent::PreImport);
    options
}

/// The keys that say something else by now.
pub(super) fn changes(spec: &MachineSpec, before: &BTreeMap<String, Value>) -> Vec<String> {
    let differs = |(key, now): &(String, Value)| before.get(key).is_some_and(|then| then != now);
    wishes(spec).into_iter().filter(differs).map(|(key, _)| key).collect()
}

/// Refuses what the provider cannot do yet and would lose something by: changes in a folder that never come back.
pub(super) fn refuse_losses(kind: ProviderKind, spec: &MachineSpec) -> Result<(), Error> {
    let shares = backend(kind)?.shares_folders();
    let does = |kind| kind == FolderType::Rsync || (kind == FolderType::Virtualbox && shares);
    let lost: Vec<_> = spec
        .synced_folders
        .iter()
        .filter_map(|folder| Some((folder, folder.kind.filter(|folder_kind| !does(*folder_kind))?)))
        .map(|(folder, kind)| format!("synced_folder `{}` of type {kind}", folder.guest))
        .collect();
    if !lost.is_empty() {
        let problems = format!("{}; use type \"rsync\" (one way) or leave the folder out", lost.join(", "));
        return Err(Error::Unsupported { provider: kind, problems });
    }
    Ok(())
}

/// Names what the provider cannot do yet where nothing is lost by it: a network less.
pub(super) fn tell_lacks(cx: &Cx, kind: ProviderKind, spec: &MachineSpec) -> Result<(), Error> {
    let Some(why) = backend(kind)?.lacks_networks(spec) else { return Ok(()) };
    for network in &spec.private_networks {
        let ip = network.ip.map(|ip| format!(" {ip}")).unwrap_or_default();
        cx.warn(format!("provider {kind} has no private_network{ip} {why}; going on without it, forwarded ports work"));
    }
    if !spec.public_networks.is_empty() {
        cx.warn(format!("provider {kind} has no public_network {why}; going on without it, forwarded ports work"));
    }
    Ok(())
}

/// What the machine file wants copied or run must be there before anything is started for it. `folders`: the synced
/// folders are copied too.
pub(super) fn refuse_missing(spec: &MachineSpec, chosen: &[&Provisioner], folders: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    for provisioner in chosen {
        let (what, path) = match &provisioner.kind {
            ProvisionerKind::Shell(ShellProvisioner { script: Script::Path(path), .. }) => ("script", path),
            ProvisionerKind::File { source, .. } => ("source", source),
            ProvisionerKind::Shell(_) => continue,
        };
        if !path.exists() {
            missing.push(format!("{what} {} of provisioner `{}`", path.display(), provisioner.name));
        }
    }
    for folder in spec.synced_folders.iter().filter(|folder| folders && !folder.create) {
        if !folder.host.is_dir() {
            missing.push(format!("folder {} for {}", folder.host.display(), folder.guest));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingFiles { missing }) }
}

/// Asks the provider what of the plan it cannot do.
pub(super) fn refuse_findings(cx: &Cx, kind: ProviderKind, plan: &VmPlan) -> Result<(), Error> {
    let findings = backend(kind)?.check(plan);
    for finding in findings.iter().filter(|finding| finding.level == Level::Warning) {
        cx.warn(finding.text.clone());
    }
    let told = |Finding { text, fix, .. }| fix.map(|fix| format!("{text} ({fix})")).unwrap_or(text);
    let bad: Vec<_> = findings.into_iter().filter(|finding| finding.level == Level::Bad).map(told).collect();
    if bad.is_empty() { Ok(()) } else { Err(Error::Unsupported { provider: kind, problems: bad.join("; ") }) }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::super::record::sample as record;
    use super::*;
    use crate::config::spec::{DiskBus, Nic};

    pub(in crate::machine) fn spec(text: &str) -> MachineSpec {
        let text = format!("box = \"x\"\n{text}");
        crate::config::parse(&text, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap().0.machines[0].clone()
    }

    #[test]
    fn what_only_a_start_applies_is_named_when_it_changed() {
        let before = wishes(&spec("memory = 512\n[[forwarded_port]]\nguest = 80\n"));
        for (text, expected) in [
            ("memory = 512\n[[forwarded_port]]\nguest = 80\n", &[][..]),
            ("memory = 512\nboot_timeout = 9\n[[forwarded_port]]\nguest = 80\n[ssh]\nforward_agent = true\n", &[]),
            ("memory = 1024\n[[forwarded_port]]\nguest = 81\n", &["forwarded_port", "memory"]),
            ("cpus = 2\ndisk = \"9 GiB\"\nmemory = 512\n[[forwarded_port]]\nguest = 80\n", &["cpus", "disk"]),
            (
                "memory = 512\n[[forwarded_port]]\nguest = 80\n[provider_options.virtualbox]\ncustomize = \
                 [['pre-import', 'createhd']]\n",
                &[],
            ),
        ] {
            assert_eq!(changes(&spec(text), &before), expected, "{text}");
        }
        assert!(changes(&spec("memory = 1"), &BTreeMap::new()).is_empty(), "a record of an older version says nothing");
    }

    #[test]
    fn the_machine_file_comes_before_the_box_and_the_box_before_us() {
        let hardware = Hardware {
            mac: Some("0800270A0B0C".into()),
            firmware: Some(Firmware::Uefi),
            disk_bus: Some(DiskBus::Sata),
            nic: Some(Nic::E1000),
            ..Hardware::default()
        };
        let record = record(&hardware);
        let theirs = devices(&record, &spec(""));
        let expected = Devices {
            mac: Some("08:00:27:0a:0b:0c".into()),
            firmware: Some(Firmware::Uefi),
            disk_bus: DiskBus::Sata,
            nic: Nic::E1000,
            ..Devices::default()
        };
        assert_eq!(theirs, expected);
        let text = "mac = \"52:54:00:00:00:01\"\nfirmware = \"bios\"\ndisk_bus = \"virtio\"\nnic = \"pcnet\"\n";
        let expected = Devices {
            mac: Some("52:54:00:00:00:01".into()),
            firmware: Some(Firmware::Bios),
            disk_bus: DiskBus::Virtio,
            nic: Nic::Pcnet,
            ..Devices::default()
        };
        assert_eq!(devices(&record, &spec(text)), expected);
    }

    #[test]
    fn nonsense_of_a_box_is_left_out() {
        let hardware = Hardware { mac: Some("x,romfile=/etc/passwd".into()), ..Hardware::default() };
        let own = Devices { mac: Some("52:54:00:dd:ee:ff".into()), ..Devices::default() };
        assert_eq!(devices(&record(&hardware), &spec("")), own);
        let hardware = |cpus, memory| Hardware { cpus, memory, ..Hardware::default() };
        for (theirs, expected) in [
            (hardware(None, None), (DEFAULT_CPUS, DEFAULT_MEMORY)),
            (hardware(Some(4), Some(2048)), (4, 2048)),
            (hardware(Some(0), Some(1 << 40)), (DEFAULT_CPUS, DEFAULT_MEMORY)),
        ] {
            assert_eq!(size(&spec(""), &theirs), expected);
        }
        assert_eq!(size(&spec("cpus = 1\nmemory = 512\n"), &hardware(Some(4), Some(2048))), (1, 512));
    }

    #[test]
    fn a_cloud_image_is_entered_as_vagrants_user_whoever_its_publisher_made() {
        let mut manifest = record(&Hardware::default()).manifest;
        assert_eq!(user(&spec(""), &manifest), "ubuntu");
        assert_eq!(seed_flavour(&manifest), None);
        manifest.cloud_init = Some(CloudInit::Old);
        assert_eq!(user(&spec(""), &manifest), "vagrant");
        assert_eq!(user(&spec("[ssh]\nusername = \"me\"\n"), &manifest), "me");
        assert_eq!(seed_flavour(&manifest), Some(Flavour::Old));
    }

    #[test]
    fn guests_are_told_of_cards_that_do_not_set_themselves_up() {
        let mut record = record(&Hardware::default());
        let spec = spec(
            "[[private_network]]\nip = '10.1.1.2'\n[[private_network]]\nauto_config = false\n[[private_network]]\n\
             mac = '08:00:27:00:00:01'\n[[public_network]]\nuse_dhcp_assigned_default_route = true\n[[public_network]]\n\
             ip = '10.2.2.2'\nprefix = 16\n",
        );
        assert!(cards(&record, &spec).is_empty(), "QEMU has none");
        record.provider = ProviderKind::Virtualbox;
        let told: Vec<_> = cards(&record, &spec)
            .into_iter()
            .map(|card| {
                let address = card.address.map_or("dhcp".to_owned(), |(ip, prefix)| format!("{ip}/{prefix}"));
                format!("{} {address} {}", card.mac, card.default_route)
            })
            .collect();
        assert_eq!(
            told,
            [
                "52:54:01:dd:ee:ff 10.1.1.2/24 false",
                "08:00:27:00:00:01 dhcp false",
                "52:54:41:dd:ee:ff dhcp true",
                "52:54:42:dd:ee:ff 10.2.2.2/16 false",
            ]
        );
    }
}
