//! Levels laid over each other: the top level and what a machine says make one [`MachineSpec`].
//!
//! Lists append to the inherited ones, everything else overrides; a synced folder replaces the one at the same place, an
//! extra disk the one with the same name.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::layer::{Layer, LibvirtLayer, ProviderLayers, QemuLayer, SshLayer};
use super::read::Reader;
use super::sections::{Folder, UnnamedProvisioner};
use super::spec::{
    ExtraDisk, ForwardedPort, LibvirtOptions, MachineSpec, ProviderKind, ProviderOptions, Provisioner, QemuOptions,
    SshSpec, SyncedFolder,
};
use super::trigger;

/// Vagrant's defaults.
const BOOT_TIMEOUT: u64 = 300;
const HALT_TIMEOUT: u64 = 60;
const PORT_RANGE: (u16, u16) = (2200, 2250);

/// Where the project's own folder appears unless the file says otherwise.
pub const DEFAULT_FOLDER: &str = "/vagrant";

/// One machine's own keys, and what only a machine has.
#[derive(Debug, Default)]
pub struct Machine {
    pub name: String,
    /// The name in `[machines.NAME]`; `None` where the file names no machines.
    pub span: Option<Range<usize>>,
    pub primary: Option<Spanned<bool>>,
    pub depends_on: Vec<Spanned<String>>,
    /// Already laid over the top level.
    pub layer: Layer,
    /// The same for other providers, where that is something else.
    pub others: Vec<(ProviderKind, Layer)>,
}

impl Layer {
    /// `self` with everything that `above` says.
    pub fn overlaid(&self, above: Self) -> Self {
        let below = self.clone();
        Self {
            has_box: above.has_box || below.has_box,
            autostart: above.autostart.or(below.autostart),
            box_version: inherited_with_box(&above, above.box_version.clone(), below.box_version),
            box_url: inherited_with_box(&above, above.box_url.clone(), below.box_url),
            box_checksum: inherited_with_box(&above, above.box_checksum.clone(), below.box_checksum),
            box_architecture: above.box_architecture.or(below.box_architecture),
            box_name: above.box_name.or(below.box_name),
            hostname: above.hostname.or(below.hostname),
            cpus: above.cpus.or(below.cpus),
            memory: above.memory.or(below.memory),
            disk: above.disk.or(below.disk),
            extra_disks: ExtraDisk::laid_over(below.extra_disks, above.extra_disks),
            firmware: above.firmware.or(below.firmware),
            disk_bus: above.disk_bus.or(below.disk_bus),
            nic: above.nic.or(below.nic),
            mac: above.mac.or(below.mac),
            provider: above.provider.or(below.provider),
            boot_timeout: above.boot_timeout.or(below.boot_timeout),
            graceful_halt_timeout: above.graceful_halt_timeout.or(below.graceful_halt_timeout),
            post_up_message: above.post_up_message.or(below.post_up_message),
            usable_port_range: above.usable_port_range.or(below.usable_port_range),
            forwarded_ports: appended(below.forwarded_ports, above.forwarded_ports),
            private_networks: appended(below.private_networks, above.private_networks),
            public_networks: appended(below.public_networks, above.public_networks),
            folders: appended(below.folders, above.folders),
            provisioners: appended(below.provisioners, above.provisioners),
            triggers: appended(below.triggers, above.triggers),
            ssh: below.ssh.overlaid(above.ssh),
            providers: ProviderLayers {
                qemu: below.providers.qemu.overlaid(above.providers.qemu),
                libvirt: below.providers.libvirt.overlaid(above.providers.libvirt),
                virtualbox: below.providers.virtualbox.overlaid(above.providers.virtualbox),
            },
        }
    }
}

/// Version, URL and checksum belong to the box they were written for: a machine with another box has its own or none.
fn inherited_with_box<T>(above: &Layer, own: Option<T>, inherited: Option<T>) -> Option<T> {
    own.or_else(|| inherited.filter(|_| !above.has_box))
}

impl SshLayer {
    fn overlaid(self, above: Self) -> Self {
        Self {
            username: above.username.or(self.username),
            private_key_path: appended(self.private_key_path, above.private_key_path),
            insert_key: above.insert_key.or(self.insert_key),
            guest_port: above.guest_port.or(self.guest_port),
            port: above.port.or(self.port),
            forward_agent: above.forward_agent.or(self.forward_agent),
            forward_x11: above.forward_x11.or(self.forward_x11),
            keep_alive: above.keep_alive.or(self.keep_alive),
            connect_timeout: above.connect_timeout.or(self.connect_timeout),
            extra_args: appended(self.extra_args, above.extra_args),
        }
    }

    fn spec(&self) -> SshSpec {
        let default = SshSpec::default();
        SshSpec {
            username: self.username.clone(),
            private_key_path: self.private_key_path.clone(),
            insert_key: self.insert_key.unwrap_or(default.insert_key),
            guest_port: self.guest_port.unwrap_or(default.guest_port),
            port: self.port.as_ref().map(|port| *port.get_ref()),
            forward_agent: self.forward_agent.unwrap_or(default.forward_agent),
            forward_x11: self.forward_x11.unwrap_or(default.forward_x11),
            keep_alive: self.keep_alive.unwrap_or(default.keep_alive),
            connect_timeout: self.connect_timeout.unwrap_or(default.connect_timeout),
            extra_args: self.extra_args.clone(),
        }
    }
}

impl QemuLayer {
    fn overlaid(self, above: Self) -> Self {
        Self {
            accel: above.accel.or(self.accel),
            machine: above.machine.or(self.machine),
            cpu: above.cpu.or(self.cpu),
            direct_boot: above.direct_boot.or(self.direct_boot),
            extra_args: appended(self.extra_args, above.extra_args),
        }
    }

    fn spec(&self) -> QemuOptions {
        let default = QemuOptions::default();
        QemuOptions {
            accel: self.accel.unwrap_or(default.accel),
            machine: self.machine.clone(),
            cpu: self.cpu.clone(),
            direct_boot: self.direct_boot.unwrap_or(default.direct_boot),
            extra_args: self.extra_args.clone(),
        }
    }
}

impl LibvirtLayer {
    fn overlaid(self, above: Self) -> Self {
        Self {
            uri: above.uri.or(self.uri),
            pool: above.pool.or(self.pool),
            forward_address: above.forward_address.or(self.forward_address),
            accel: above.accel.or(self.accel),
            machine: above.machine.or(self.machine),
            cpu_mode: above.cpu_mode.or(self.cpu_mode),
            direct_boot: above.direct_boot.or(self.direct_boot),
            graphics: above.graphics.or(self.graphics),
            autostart: above.autostart.or(self.autostart),
            network: above.network.or(self.network),
            nested: above.nested.or(self.nested),
            tpm: above.tpm.or(self.tpm),
            xml: appended(self.xml, above.xml),
        }
    }

    fn spec(&self) -> LibvirtOptions {
        let default = LibvirtOptions::default();
        LibvirtOptions {
            uri: self.uri.clone(),
            pool: self.pool.clone(),
            forward_address: self.forward_address,
            accel: self.accel.unwrap_or(default.accel),
            machine: self.machine.clone(),
            cpu_mode: self.cpu_mode,
            direct_boot: self.direct_boot.unwrap_or(default.direct_boot),
            graphics: self.graphics.unwrap_or(default.graphics),
            autostart: self.autostart.unwrap_or(default.autostart),
            network: self.network.clone(),
            nested: self.nested,
            tpm: self.tpm.unwrap_or(default.tpm),
            xml: self.xml.clone(),
        }
    }
}

fn appended<T>(mut below: Vec<T>, above: Vec<T>) -> Vec<T> {
    below.extend(above);
    below
}

/// The machine as the rest of the program sees it.
pub fn spec(machine: &Machine, root: &Path, reader: &Reader) -> MachineSpec {
    let mut spec = spec_of(machine, &machine.layer, root, reader);
    let quiet = reader.quiet();
    let others = machine.others.iter();
    spec.variants = others.map(|(kind, layer)| (*kind, spec_of(machine, layer, root, &quiet))).collect();
    spec
}

fn spec_of(machine: &Machine, layer: &Layer, root: &Path, reader: &Reader) -> MachineSpec {
    MachineSpec {
        name: machine.name.clone(),
        primary: machine.primary.as_ref().is_some_and(|primary| *primary.get_ref()),
        autostart: layer.autostart.unwrap_or(true),
        depends_on: depends_on(machine),
        box_name: layer.box_name.clone(),
        box_version: layer.box_version.clone(),
        box_url: layer.box_url.clone().unwrap_or_default(),
        box_checksum: layer.box_checksum.clone(),
        box_architecture: layer.box_architecture.clone(),
        hostname: layer.hostname.clone(),
        cpus: layer.cpus,
        memory: layer.memory,
        disk: layer.disk,
        extra_disks: extra_disks(machine, layer, reader),
        firmware: layer.firmware,
        disk_bus: layer.disk_bus,
        nic: layer.nic,
        mac: layer.mac.clone(),
        provider: layer.provider,
        boot_timeout: layer.boot_timeout.unwrap_or(BOOT_TIMEOUT),
        graceful_halt_timeout: layer.graceful_halt_timeout.unwrap_or(HALT_TIMEOUT),
        post_up_message: layer.post_up_message.clone(),
        usable_port_range: layer.usable_port_range.unwrap_or(PORT_RANGE),
        forwarded_ports: layer
            .forwarded_ports
            .iter()
            .map(|port| port.get_ref().clone())
            .collect::<Vec<ForwardedPort>>(),
        private_networks: layer.private_networks.clone(),
        public_networks: layer.public_networks.clone(),
        synced_folders: folders(&layer.folders, root),
        provisioners: provisioners(&layer.provisioners, reader),
        triggers: trigger::of_machine(&layer.triggers, &machine.name),
        ssh: layer.ssh.spec(),
        provider_options: ProviderOptions {
            qemu: layer.providers.qemu.spec(),
            libvirt: layer.providers.libvirt.spec(),
            virtualbox: layer.providers.virtualbox.spec(),
        },
        silent: silent(layer),
        variants: Vec::new(),
    }
}

/// What a box may say as well, and the file does not.
fn silent(layer: &Layer) -> Vec<&'static str> {
    let says_folder = layer.folders.iter().any(|folder| folder.spec.guest == DEFAULT_FOLDER);
    let keys = [
        ("boot_timeout", layer.boot_timeout.is_none()),
        ("graceful_halt_timeout", layer.graceful_halt_timeout.is_none()),
        ("ssh.connect_timeout", layer.ssh.connect_timeout.is_none()),
        ("ssh.insert_key", layer.ssh.insert_key.is_none()),
        ("ssh.guest_port", layer.ssh.guest_port.is_none()),
        ("synced_folder", !says_folder),
    ];
    keys.into_iter().filter(|(_, silent)| *silent).map(|(key, _)| key).collect()
}

/// The disks, of which there are not too many.
fn extra_disks(machine: &Machine, layer: &Layer, reader: &Reader) -> Vec<ExtraDisk> {
    if layer.extra_disks.len() > ExtraDisk::MOST {
        let note = reader.error(format!("a machine has at most {} extra disks", ExtraDisk::MOST));
        note.at(machine.span.clone().unwrap_or(0..0), "").push();
    }
    layer.extra_disks.clone()
}

fn depends_on(machine: &Machine) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in &machine.depends_on {
        if !names.contains(name.get_ref()) {
            names.push(name.get_ref().clone());
        }
    }
    names
}

/// The default folder, then the file's: the last one for a place in the guest counts.
fn folders(written: &[Folder], root: &Path) -> Vec<SyncedFolder> {
    let mut folders = vec![(default_folder(root), false)];
    for Folder { spec, disabled, .. } in written {
        match folders.iter_mut().find(|(other, _)| other.guest == spec.guest) {
            Some(place) => *place = (spec.clone(), *disabled),
            None => folders.push((spec.clone(), *disabled)),
        }
    }
    folders.into_iter().filter(|(_, disabled)| !disabled).map(|(folder, _)| folder).collect()
}

fn default_folder(root: &Path) -> SyncedFolder {
    SyncedFolder {
        host: root.to_owned(),
        guest: DEFAULT_FOLDER.into(),
        kind: None,
        create: false,
        owner: None,
        group: None,
        exclude: Vec::new(),
        args: None,
    }
}

/// Names those that have none by their type and place, and refuses a name that is used twice.
fn provisioners(written: &[UnnamedProvisioner], reader: &Reader) -> Vec<Provisioner> {
    let mut named: Vec<Provisioner> = Vec::new();
    for (index, one) in written.iter().enumerate() {
        let name = one.name.clone().unwrap_or_else(|| format!("{}-{}", one.kind.name(), index + 1));
        if let Some(first) = named.iter().position(|other| other.name == name) {
            let note = reader.error(format!("two provisioners are named `{name}`"));
            let first = written.get(first).map_or(0..0, |first| first.span.clone());
            note.at(one.span.clone(), "")
                .at(first, "the first")
                .help("`--provision-with` needs different names")
                .push();
        }
        named.push(Provisioner { name, run: one.run, kind: one.kind.clone() });
    }
    named
}

/// Two folders for one place in the guest, written on one level: surely a slip.
pub fn check_folders(layer: &Layer, reader: &Reader) {
    for (index, one) in layer.folders.iter().enumerate() {
        if let Some(first) = layer.folders.iter().take(index).find(|first| first.spec.guest == one.spec.guest) {
            let note = reader.error(format!("two synced folders for `{}`", one.spec.guest));
            note.at(one.span.clone(), "").at(first.span.clone(), "the first").push();
        }
    }
}
