//! The files of an archive, and how a box is made of them.
//!
//! Which files are disks is said by the box's `metadata.json` (libvirt, QEMU), by the description of its machine
//! (VirtualBox's OVF, VMware's VMX), or by what they are (Hyper-V, and archives of a single image).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::archive::safe_name;
use super::convert;
use super::defaults::Defaults;
use super::disk::Written;
use super::error::Refusal;
use super::extras::Bundle;
use super::images::vmdk::Descriptor;
use super::images::{self, Format};
use super::metadata::{Metadata, is_user};
use super::ovf::Ovf;
use super::receive::{Broken, Received, ReceivedDisk, Receiver, inspected};
use super::source::percent_decoded;
use super::vmx::Vmx;
use super::{DiskBus, Hardware};

/// What was found in an archive.
#[derive(Default)]
pub(super) struct Parts {
    pub seen: BTreeSet<String>,
    pub metadata: Option<Metadata>,
    pub info: Option<Map<String, Value>>,
    pub vagrantfile: Vec<u8>,
    /// The Vagrantfile again, and what the box's author included.
    pub extras: Bundle,
    /// What the Vagrantfile includes: what `package --vagrantfile` was given.
    pub included: Vec<u8>,
    pub files: BTreeMap<String, Written>,
    pub described: BTreeMap<String, Described>,
    /// Descriptions of disks in pieces.
    pub descriptors: BTreeMap<String, Descriptor>,
}

/// The description of a machine.
pub(super) struct Described {
    disks: Vec<String>,
    hardware: Hardware,
    is_ovf: bool,
}

impl Described {
    pub fn ovf(ovf: Ovf) -> Self {
        // Files are named by URL there.
        let disks = ovf.disks.iter().map(|href| percent_decoded(href)).collect();
        Self { disks, hardware: ovf.hardware, is_ovf: true }
    }

    pub fn vmx(vmx: Vmx) -> Self {
        Self { disks: vmx.disks, hardware: vmx.hardware, is_ovf: false }
    }
}

/// What is to be a disk, and who says so.
struct Wanted {
    disks: Vec<String>,
    by: String,
    hardware: Hardware,
}

impl Parts {
    /// The box that these files are.
    pub fn assemble(mut self, receiver: &Receiver<'_>) -> Result<Received, Broken> {
        let Wanted { disks, by, mut hardware } = self.wanted()?;
        let bare = self.metadata.is_none();
        let mut metadata = self.metadata.take().unwrap_or_default();
        let provider = metadata.provider.as_deref().unwrap_or("virtualbox");
        let defaults = Defaults::read(receiver.cx, &self.vagrantfile, &self.included, provider);
        hardware = std::mem::take(&mut metadata.hardware).or(defaults.hardware).or(hardware);
        metadata.user = metadata.user.or(defaults.user.filter(|user| is_user(user)));
        let kernel = metadata.kernel.as_deref().map(|name| self.take(name, "metadata.json")).transpose()?;
        let initrd = metadata.initrd.as_deref().map(|name| self.take(name, "metadata.json")).transpose()?;
        let disks = disks.iter().map(|name| self.disk(receiver, name, &by)).collect::<Result<_, _>>()?;
        let extras = self.extras.finish().map_err(Broken::Failed)?;
        Ok(Received { metadata, info: self.info, disks, kernel, initrd, extras, hardware, bare })
    }

    fn take(&mut self, name: &str, by: &str) -> Result<Written, Refusal> {
        self.files.remove(name).ok_or_else(|| Refusal::Missing { name: name.into(), by: by.into() })
    }

    fn wanted(&self) -> Result<Wanted, Refusal> {
        let Some(metadata) = &self.metadata else { return self.wanted_without_metadata() };
        if metadata.is_native() {
            let hardware = Hardware::default();
            return Ok(Wanted { disks: metadata.disks.clone(), by: "metadata.json".into(), hardware });
        }
        let provider = metadata.provider.clone().unwrap_or_default();
        let missing = |file| Err(Refusal::NoDescription { provider: provider.clone(), file });
        match provider.as_str() {
            "virtualbox" => self.machine("box.ovf", true).unwrap_or_else(|| missing("OVF description")),
            "hyperv" => {
                let disks = self.images();
                let disks = if disks.is_empty() { Err(Refusal::Disks(0)) } else { Ok(disks) };
                Ok(Wanted { disks: disks?, by: "metadata.json".into(), hardware: self.of_hyperv() })
            }
            _ => self.machine("", false).unwrap_or_else(|| missing("VMX file")),
        }
    }

    /// An appliance, or an archive of one image.
    fn wanted_without_metadata(&self) -> Result<Wanted, Refusal> {
        if let Some(appliance) = self.machine("box.ovf", true) {
            return appliance;
        }
        let images = self.images();
        match images.len() {
            0 => Err(Refusal::NoMetadata),
            1 => Ok(Wanted { disks: images, by: "archive".into(), hardware: Hardware::default() }),
            _ => Err(Refusal::ManyImages(images)),
        }
    }

    /// The machine that a description describes: Vagrant's name for it first, else the first one, as Vagrant does.
    fn machine(&self, usual: &str, is_ovf: bool) -> Option<Result<Wanted, Refusal>> {
        let mut fitting = self.described.iter().filter(|(_, described)| described.is_ovf == is_ovf);
        let usual = self.described.get_key_value(usual).filter(|(_, described)| described.is_ovf == is_ovf);
        let (name, described) = usual.or_else(|| fitting.next())?;
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let disks = described.disks.iter().map(|disk| beside(folder, disk)).collect::<Result<_, _>>();
        Some(disks.map(|disks| Wanted { disks, by: name.clone(), hardware: described.hardware.clone() }))
    }

    /// All files that are images, by name.
    fn images(&self) -> Vec<String> {
        let is_image = |(_, file): &(&String, &Written)| images::kind_of(&file.head).is_some();
        self.files.iter().filter(is_image).map(|(name, _)| name.clone()).collect()
    }

    /// Hyper-V's own description is of a secret format; the older image format is that of machines with a BIOS.
    fn of_hyperv(&self) -> Hardware {
        let is_old = |file: &Written| images::kind_of(&file.head).is_some_and(|format| format != Format::Vhdx);
        let firmware = self.files.values().any(is_old).then_some(super::Firmware::Bios);
        Hardware { firmware, disk_bus: firmware.map(|_| DiskBus::Ide), ..Hardware::default() }
    }

    fn disk(&mut self, receiver: &Receiver<'_>, name: &str, by: &str) -> Result<ReceivedDisk, Broken> {
        if let Some(descriptor) = self.descriptors.remove(name) {
            return self.joined(receiver, name, &descriptor);
        }
        inspected(name, self.take(name, by)?)
    }

    /// A disk in pieces, joined: one image is what the library can keep.
    fn joined(&mut self, receiver: &Receiver<'_>, name: &str, descriptor: &Descriptor) -> Result<ReceivedDisk, Broken> {
        let refused = |source| Broken::Refused(Refusal::Image { entry: name.into(), source });
        let size = descriptor.size();
        if size == 0 || size > images::MAX_VIRTUAL_SIZE {
            return Err(refused(images::Error::Size(size)));
        }
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut pieces = Vec::new();
        for extent in &descriptor.extents {
            if extent.file.is_empty() {
                pieces.push(None);
                continue;
            }
            let file = beside(folder, &extent.file)?;
            let file = self.files.get(&file).ok_or_else(|| Refusal::Missing { name: file, by: name.into() })?;
            let source = std::fs::File::open(&file.path).and_then(images::FileSource::new);
            let source = source.map_err(|e| refused(images::Error::Read(e)))?;
            images::vmdk::inspect_piece(&source, extent).map_err(refused)?;
            pieces.push(Some(file.path.as_path()));
        }
        let joined = convert::join(receiver.cx, receiver.into, name, descriptor, &pieces).map_err(Broken::Failed)?;
        let disk = inspected(name, joined)?;
        let why = "its pieces have other sizes than it says";
        if disk.virtual_size == size {
            Ok(disk)
        } else {
            Err(refused(images::Error::Damaged { format: Format::Vmdk, why }))
        }
    }
}

/// The file that a description in `folder` of the archive means; refused where it would lie outside.
fn beside(folder: &str, file: &str) -> Result<String, Refusal> {
    if file.contains("://") {
        let entry = super::name::printable(file);
        return Err(Refusal::Path { entry, why: "lies outside of the box" });
    }
    // An absolute name must not become a relative one.
    safe_name(file.as_bytes())?;
    safe_name(format!("{folder}/{file}").trim_start_matches('/').as_bytes())
}
