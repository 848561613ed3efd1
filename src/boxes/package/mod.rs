//! A new box out of the disks of a machine: what `vbox-rs package` writes and both vbox-rs and Vagrant can add.

mod convert;
mod error;
mod extras;
mod ovf;
mod vagrantfile;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub use error::Error;
pub use extras::{Extras, Wanted};

use super::manifest::{Manifest, StoredDisk};
use super::metadata::architecture;
use super::oci::layout::Layout;
use super::pack::{Package, Packed, Part};
use super::repackage;
use super::{DirectBoot, Hardware, Version, oci};
use crate::boxes;
use crate::progress::Cx;

/// Which hypervisor's box is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// qcow2 and `metadata.json`: for vbox-rs and for vagrant-libvirt.
    #[default]
    Libvirt,
    /// OVF and a compressed VMDK.
    Virtualbox,
    /// An OCI image layout in one tar file: for vbox-rs, and for tools that bring images into registries.
    Oci,
}

impl Format {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Libvirt, Self::Virtualbox, Self::Oci];

    /// As Vagrant calls the provider.
    pub fn name(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Virtualbox => "virtualbox",
            Self::Oci => "oci",
        }
    }
}

/// A disk of the machine, which nobody writes to meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its file.
    pub path: PathBuf,
    /// Its format, as `qemu-img` calls it.
    pub format: String,
    /// What the guest sees, in bytes.
    pub virtual_size: u64,
}

/// The machine that becomes a box.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// Its box's manifest: how it is started and takes its seed stays as it is.
    pub manifest: &'a Manifest,
    /// The kernel that it is started with, where that is not its disk's own.
    pub boot: Option<DirectBoot>,
    /// Its disks, in the order of attachment.
    pub disks: Vec<Disk>,
    /// Who logs in.
    pub user: &'a str,
    /// What it needs of hardware.
    pub hardware: Hardware,
    /// What a hypervisor that wants numbers is told: processors, memory in MiB.
    pub size: (u32, u64),
    /// Hardware address of its first network card.
    pub mac: String,
}

/// Where the box goes, and what it is called.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    /// The file.
    pub path: &'a Path,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// Which kind of box.
    pub format: Format,
    /// The name that the box says of itself.
    pub name: Option<&'a str>,
    /// Its version.
    pub version: Option<&'a Version>,
    /// A folder for disks that are not packed yet; whoever owns it removes it.
    pub scratch: &'a Path,
}

/// Writes the box; whole, or not at all.
pub fn write(cx: &Cx, machine: &Machine<'_>, extras: Extras, to: &Destination<'_>) -> Result<Packed, Error> {
    if to.format == Format::Oci {
        return layout(cx, machine, extras, to);
    }
    let names = disk_names(to.format, machine.disks.len());
    let mut parts = Vec::new();
    if to.format == Format::Virtualbox {
        let description = ovf::describe(machine, &names);
        parts.push(Part::text("box.ovf", description));
    } else if let Some(boot) = &machine.boot {
        parts.push(Part::open("vmlinuz", &boot.kernel)?);
        if let Some(initrd) = &boot.initrd {
            parts.push(Part::open("initrd.img", initrd)?);
        }
    }
    for (disk, name) in machine.disks.iter().zip(&names) {
        let flat = to.scratch.join(name);
        convert::convert(cx, disk, to.format, &flat)?;
        parts.push(Part::open(name, &flat)?);
    }
    let vagrantfile = vagrantfile::text(machine, to.format, &extras);
    parts.extend(extras.parts()?);
    let package =
        Package { metadata: metadata(machine, to, &names), info: extras.info, vagrantfile, parts, date: now() };
    Ok(package.write(cx, to.path, to.replace)?)
}

/// The same as an image for registries.
fn layout(cx: &Cx, machine: &Machine<'_>, extras: Extras, to: &Destination<'_>) -> Result<Packed, Error> {
    let names = disk_names(to.format, machine.disks.len());
    let mut disks = Vec::new();
    for (disk, name) in machine.disks.iter().zip(&names) {
        let flat = to.scratch.join(name);
        convert::convert(cx, disk, to.format, &flat)?;
        disks.push(flat);
    }
    let vagrantfile = vagrantfile::text(machine, to.format, &extras);
    let layout = Layout {
        extras: extras.bundle(vagrantfile, to.scratch)?,
        manifest: Manifest { info: extras.info, ..manifest(machine, to) },
        named: (to.name.is_some(), to.version.is_some()),
        disks,
        boot: machine.boot.as_ref().map(|boot| (boot.kernel.clone(), boot.initrd.clone())),
        scratch: to.scratch,
    };
    layout.write(cx, to.path, to.replace, now()).map_err(unlaid)
}

fn unlaid(error: boxes::Error) -> Error {
    match error {
        boxes::Error::Store(error) | boxes::Error::Oci(oci::Error::Store(error)) => error.into(),
        boxes::Error::Interrupted(error) | boxes::Error::Oci(oci::Error::Interrupted(error)) => error.into(),
        error => Error::Layout(Box::new(error)),
    }
}

fn disk_names(format: Format, count: usize) -> Vec<String> {
    match format {
        Format::Libvirt | Format::Oci => repackage::disk_names(count),
        Format::Virtualbox => (1..=count).map(|number| format!("box-disk{number:03}.vmdk")).collect(),
    }
}

fn metadata(machine: &Machine<'_>, to: &Destination<'_>, names: &[String]) -> Value {
    if to.format == Format::Virtualbox {
        let mut metadata = json!({ "provider": "virtualbox" });
        if let Ok(architecture) = architecture(std::env::consts::ARCH) {
            metadata["architecture"] = architecture.into();
        }
        return metadata;
    }
    let mut metadata = repackage::metadata(&manifest(machine, to), names);
    if let Some(ours) = metadata["vbox_rs"].as_object_mut() {
        // Whoever adds it names it, where it has no name yet.
        ours.retain(|key, _| match key.as_str() {
            "name" => to.name.is_some(),
            "version" => to.version.is_some(),
            _ => true,
        });
    }
    metadata
}

/// The box as the library would know it; what its disks hash to is not known yet.
fn manifest(machine: &Machine<'_>, to: &Destination<'_>) -> Manifest {
    let stored = |disk: &Disk| StoredDisk {
        sha256: String::new(),
        format: "qcow2".into(),
        virtual_size: disk.virtual_size,
        size: 0,
    };
    Manifest {
        name: to.name.unwrap_or_default().into(),
        version: to.version.cloned().unwrap_or_else(|| machine.manifest.version.clone()),
        provider: "libvirt".into(),
        architecture: architecture(std::env::consts::ARCH).ok(),
        disks: machine.disks.iter().map(stored).collect(),
        boot: machine.manifest.boot.clone().filter(|_| machine.boot.is_some()),
        // A cloud image makes its users by itself.
        user: machine.manifest.cloud_init.map_or_else(|| Some(machine.user.into()), |_| machine.manifest.user.clone()),
        hardware: machine.hardware.clone(),
        // What the former box's author said of it need not be true of this one.
        extras: None,
        ..machine.manifest.clone()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
