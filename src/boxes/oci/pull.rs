//! From a reference to the files of a box.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::connection::{Access, Connection};
use super::document::{BoxConfig, CONFIG_LIMIT, Descriptor, Document, ImageManifest, Index};
use super::files::{self, FilePlan, judge};
use super::foreign::Foreign;
use super::pieces::{Piece, ordered};
use super::{Digest, Error, Meter, Options, Reference, media};
use crate::boxes::add::stored;
use crate::boxes::disk::Written;
use crate::boxes::extras;
use crate::boxes::fetch::Tuning;
use crate::boxes::metadata::{Metadata, architecture};
use crate::boxes::name::printable;
use crate::boxes::qcow2;
use crate::boxes::receive::{Limits, Received};
use crate::boxes::{self, CloudInit, Hardware, StoredDisk, Version};
use crate::progress::Cx;
use crate::store::{Dirs, Lock, create_private, remove_dir};

/// As many as libvirt's plugin has names for (`vda` to `vdz`).
const DISKS_LIMIT: usize = 26;

/// The name of the box's Vagrantfile and included files, which are one tar file, among an artifact's files.
pub(super) const EXTRAS: &str = "extras";

/// The name of a disk among an artifact's files.
pub(super) fn disk_name(index: usize) -> String {
    format!("disk{index}")
}

/// What is wanted of a reference.
pub(super) struct Wish<'a> {
    pub reference: &'a Reference,
    /// As asked for by the user; this computer's where left out.
    pub architecture: Option<&'a str>,
    pub options: &'a Options,
    pub tuning: &'a Tuning,
    pub limits: &'a Limits,
}

/// What a reference leads to; nothing of its content has been fetched yet.
pub(super) struct Found {
    connection: Connection,
    reference: Reference,
    digest: Digest,
    limits: Limits,
    /// What is known of the box.
    pub metadata: Metadata,
    content: Content,
}

enum Content {
    Ours(Ours),
    Foreign(Foreign),
}

/// A box that `box push` wrote.
struct Ours {
    files: Vec<FilePlan>,
    config: BoxConfig,
}

/// A box that arrived.
pub(super) struct Pulled {
    pub metadata: Metadata,
    /// In the order of attachment.
    pub disks: Vec<(StoredDisk, Written)>,
    pub kernel: Option<Written>,
    pub initrd: Option<Written>,
    pub extras: Option<Written>,
    pub info: Option<Map<String, Value>>,
    pub cloud_init: Option<CloudInit>,
    pub hardware: Hardware,
    /// A mere image of somebody else.
    pub bare: bool,
}

impl From<Received> for Pulled {
    fn from(received: Received) -> Self {
        let Received { metadata, info, disks, kernel, initrd, extras, hardware, bare } = received;
        let disks = disks.into_iter().map(|disk| (stored(&disk), disk.file)).collect();
        Self { metadata, disks, kernel, initrd, extras, info, cloud_init: None, hardware, bare }
    }
}

impl Found {
    /// Asks the registry what a reference leads to, and checks all that it says.
    pub fn look(cx: &Cx, wish: &Wish<'_>) -> Result<Self, Error> {
        let reference = wish.reference;
        let connection = Connection::open(cx, reference, Access::Read, Vec::new(), wish.options, wish.tuning)?;
        cx.waiting(format!("registry {}", reference.host()));
        let refused = |why: String| Error::Artifact { from: reference.to_string(), why };
        let missing = || Error::NotFound { what: reference.to_string() };
        let mut fetched = connection.manifest(&reference.asked(), reference)?.ok_or_else(missing)?;
        let mut known = None;
        if let Document::Index(index) = &fetched.document {
            let entry = choose(index, wish.architecture, &reference.to_string())?;
            known = entry.platform.as_ref().and_then(|platform| architecture(&platform.architecture).ok());
            let size = entry.size;
            let entry = connection.manifest(&entry.digest.to_string(), reference)?.ok_or_else(missing)?;
            if entry.size != size {
                let what = format!("the manifest {}", entry.digest);
                return Err(Error::Length { what, expected: size, found: entry.size });
            }
            fetched = entry;
        }
        let Document::Manifest(manifest) = fetched.document else {
            return Err(refused("an index in an index is not followed".into()));
        };
        let ours = manifest.artifact_type.as_deref() == Some(media::BOX) || manifest.config.media_type == media::CONFIG;
        let (mut metadata, content) = if ours {
            let (ours, metadata) = read_ours(&connection, &manifest, wish.limits, &refused)?;
            (metadata, Content::Ours(ours))
        } else {
            let foreign = Foreign::choose(&manifest, wish.limits).map_err(refused)?;
            (foreign_metadata(&manifest, reference.tag()), Content::Foreign(foreign))
        };
        metadata.architecture = metadata.architecture.or(known);
        cx.waiting_ended();
        let (reference, limits) = (reference.clone(), wish.limits.clone());
        Ok(Self { connection, reference, digest: fetched.digest, limits, metadata, content })
    }

    /// Fetches the content into `into`. Files of which the library has the content are linked, not fetched.
    pub fn fetch(self, dirs: &Dirs, disks: &Path, into: &Path, label: &str) -> Result<Pulled, boxes::Error> {
        let cx = self.connection.cx.clone();
        match self.content {
            Content::Foreign(foreign) => {
                let meter = Meter::new(&cx, label, foreign.size());
                let received = foreign.receive(&self.connection, &self.limits, into, &meter, &self.reference)?;
                let mut pulled = Pulled::from(received);
                let theirs = std::mem::take(&mut pulled.metadata);
                pulled.metadata = merged(theirs, self.metadata);
                Ok(pulled)
            }
            Content::Ours(ours) => {
                let folder = dirs.downloads().join(format!("oci-{}", self.digest.hex()));
                create_private(&folder)?;
                let what = format!("the download of {}", self.reference);
                let lock = Lock::exclusive(&cx, &folder.join("lock"), &what, "box add", true)?;
                let written = ours.fetch(&self.connection, &folder, disks, into, label);
                if written.as_ref().err().is_none_or(|error| !error.keeps_pieces()) {
                    remove_dir(&folder)?;
                }
                drop(lock);
                let written = written?;
                if let Some(extras) = written.get(EXTRAS) {
                    let refused = |source| boxes::Error::Refused { from: self.reference.to_string(), source };
                    extras::check(&extras.path, &self.limits).map_err(|broken| broken.told(refused))?;
                }
                Ok(ours.assemble(self.metadata, written)?)
            }
        }
    }
}

impl Ours {
    fn fetch(
        &self,
        connection: &Connection,
        folder: &Path,
        disks: &Path,
        into: &Path,
        label: &str,
    ) -> Result<BTreeMap<String, Written>, Error> {
        let mut there = BTreeMap::new();
        for plan in &self.files {
            if let Some(written) = link_known(plan, disks, into)? {
                there.insert(plan.name.clone(), written);
            }
        }
        let missing: Vec<&FilePlan> = self.files.iter().filter(|plan| !there.contains_key(&plan.name)).collect();
        if missing.is_empty() {
            return Ok(there);
        }
        let total = missing.iter().flat_map(|plan| &plan.pieces).map(|piece| piece.layer.size).sum();
        let meter = Meter::new(&connection.cx, label, total);
        for (plan, written) in missing.iter().zip(files::fetch(connection, &missing, folder, &meter)?) {
            let path = into.join(&plan.name);
            move_file(&written.path, &path)?;
            there.insert(plan.name.clone(), Written { path, ..written });
        }
        Ok(there)
    }

    fn assemble(self, metadata: Metadata, mut files: BTreeMap<String, Written>) -> Result<Pulled, Error> {
        let mut part = |name: &str| {
            let missing = || Error::Artifact { from: "the artifact".into(), why: format!("it does not hold `{name}`") };
            files.remove(name).ok_or_else(missing)
        };
        let mut disks = Vec::new();
        for (index, stored) in self.config.disks.into_iter().enumerate() {
            let name = disk_name(index);
            let written = part(&name)?;
            let virtual_size = judge(&name, &stored.format, &written)?;
            disks.push((StoredDisk { virtual_size, ..stored }, written));
        }
        let kernel = metadata.kernel.as_deref().map(&mut part).transpose()?;
        let initrd = metadata.initrd.as_deref().map(&mut part).transpose()?;
        let BoxConfig { info, cloud_init, hardware, .. } = self.config;
        let extras = files.remove(EXTRAS);
        Ok(Pulled { metadata, disks, kernel, initrd, extras, info, cloud_init, hardware, bare: false })
    }
}

/// The manifest of an index that is for the wanted architecture.
pub(super) fn choose<'a>(
    index: &'a Index,
    architecture_asked: Option<&str>,
    from: &str,
) -> Result<&'a Descriptor, Error> {
    let asked = architecture_asked.unwrap_or(std::env::consts::ARCH);
    let asked = architecture(asked).unwrap_or_else(|_| asked.to_owned());
    let name = |entry: &Descriptor| {
        let platform = entry.platform.as_ref()?;
        architecture(&platform.architecture).ok().filter(|name| name != "unknown")
    };
    let entries: Vec<&Descriptor> =
        index.manifests.iter().filter(|entry| media::is_document(&entry.media_type)).collect();
    if let Some(entry) = entries.iter().find(|entry| name(entry).as_ref() == Some(&asked)) {
        return Ok(entry);
    }
    match entries[..] {
        // One that does not say what it is for may fit.
        [entry] if name(entry).is_none() => Ok(entry),
        _ => {
            let there: BTreeSet<String> = entries.iter().filter_map(|entry| name(entry)).collect();
            let there = if there.is_empty() { vec!["nothing".into()] } else { there.into_iter().collect() };
            Err(Error::Platform { from: from.into(), asked, there })
        }
    }
}

/// Reads our configuration and sorts the layers to the files that it names.
fn read_ours(
    connection: &Connection,
    manifest: &ImageManifest,
    limits: &Limits,
    refused: &dyn Fn(String) -> Error,
) -> Result<(Ours, Metadata), Error> {
    if manifest.config.media_type != media::CONFIG {
        let found = printable(&manifest.config.media_type);
        return Err(refused(format!("its configuration is `{found}`, not `{}`", media::CONFIG)));
    }
    let bytes = connection.small_blob(&manifest.config, CONFIG_LIMIT)?;
    let (config, metadata) = BoxConfig::parse(&bytes).map_err(refused)?;
    let files = plan(&config, &metadata, &manifest.layers, limits).map_err(refused)?;
    Ok((Ours { files, config }, metadata))
}

/// Which pieces each file of a box is put together from.
pub(super) fn plan(
    config: &BoxConfig,
    metadata: &Metadata,
    layers: &[Descriptor],
    limits: &Limits,
) -> Result<Vec<FilePlan>, String> {
    let mut pieces: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    for layer in layers {
        if layer.media_type != media::PIECE {
            return Err(format!(
                "it has a layer of type `{}`, which vbox-rs does not know",
                printable(&layer.media_type)
            ));
        }
        let (name, piece) = Piece::read(layer)?;
        pieces.entry(name).or_default().push(piece);
    }
    if config.disks.is_empty() || config.disks.len() > DISKS_LIMIT {
        return Err(format!("it has {} disks", config.disks.len()));
    }
    let mut plans: Vec<FilePlan> = Vec::new();
    for (index, disk) in config.disks.iter().enumerate() {
        let (name, sha256, format) = (disk_name(index), disk.sha256.clone(), Some(disk.format.clone()));
        plans.push(FilePlan { name, sha256, size: disk.size, format, pieces: Vec::new() });
    }
    for file in &config.files {
        let is_boot = [&metadata.kernel, &metadata.initrd].into_iter().flatten().any(|name| *name == file.name);
        if !(is_boot || file.name == EXTRAS) || plans.iter().any(|plan| plan.name == file.name) {
            return Err(format!("`{}` is no file of a box", printable(&file.name)));
        }
        let (name, sha256) = (file.name.clone(), file.sha256.hex().to_owned());
        plans.push(FilePlan { name, sha256, size: file.size, format: None, pieces: Vec::new() });
    }
    let total = plans.iter().fold(0u64, |total, plan| total.saturating_add(plan.size));
    if let Some(plan) = plans.iter().find(|plan| plan.size > limits.file || total > limits.total) {
        return Err(format!("its `{}` has {} bytes; {} are accepted", plan.name, plan.size, limits.file));
    }
    for plan in &mut plans {
        plan.pieces = ordered(&plan.name, plan.size, pieces.remove(&plan.name).unwrap_or_default())?;
    }
    if let Some(name) = pieces.keys().next() {
        return Err(format!("it has pieces of `{}`, which its configuration does not name", printable(name)));
    }
    Ok(plans)
}

/// What is known of somebody else's artifact before it is read.
pub(super) fn foreign_metadata(manifest: &ImageManifest, tag: Option<&str>) -> Metadata {
    let noted = manifest.annotations.get(media::VERSION).map(String::as_str);
    let version = [noted, tag].into_iter().flatten().find(|text| text.parse::<Version>().is_ok());
    Metadata { version: version.map(str::to_owned), ..Metadata::default() }
}

/// What a box says of itself counts more than what its registry says.
pub(super) fn merged(theirs: Metadata, registry: Metadata) -> Metadata {
    Metadata {
        version: theirs.version.or(registry.version),
        architecture: theirs.architecture.or(registry.architecture),
        ..theirs
    }
}

/// A file that the library has already, linked: it stays ours even when its box is removed at this moment.
fn link_known(plan: &FilePlan, disks: &Path, into: &Path) -> Result<Option<Written>, Error> {
    let endings: &[&str] = if plan.format.is_some() { &["qcow2", "img"] } else { &["kernel", "initrd", "extras"] };
    let fits =
        |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|about| about.is_file() && about.len() == plan.size);
    let known = endings.iter().map(|ending| disks.join(format!("{}.{ending}", plan.sha256))).find(fits);
    let Some(known) = known else { return Ok(None) };
    let path = into.join(&plan.name);
    if fs::hard_link(&known, &path).is_err() {
        // Gone meanwhile, or a file system without links.
        return Ok(None);
    }
    let mut head = Vec::new();
    let read = fs::File::open(&path)
        .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, qcow2::HEAD as u64), &mut head));
    read.map_err(|e| crate::store::Error::io("read", &path, e))?;
    Ok(Some(Written { path, sha256: plan.sha256.clone(), size: plan.size, head }))
}

/// From the cache into the library, which may be another file system.
fn move_file(from: &Path, to: &Path) -> Result<(), Error> {
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    let copied = fs::copy(from, to).and_then(|_| fs::File::open(to)?.sync_all());
    Ok(copied.map_err(|e| crate::store::Error::io("write", to, e))?)
}
