//! A box as an OCI image layout in one tar file (`oci-archive` in the words of other tools): what `package --format oci`
//! writes and `box add FILE` reads. Its blobs are those that `box push` would put into a registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::cut::{Cutter, Packed, Part, jobs};
use super::document::{BoxConfig, CONFIG_LIMIT, Descriptor, Document, ImageManifest, Index, MANIFEST_LIMIT};
use super::files::{FilePlan, judge};
use super::foreign::Foreign;
use super::pieces::{Gate, Piece, at_once};
use super::pull::{EXTRAS, choose, disk_name, foreign_metadata, merged, plan};
use super::push::{bare, config_of, document_of, entry_of, to_json};
use super::reference::{LATEST, tag_of};
use super::registry::digest_of;
use super::{Digest, Error, Meter, media};
use crate::boxes;
use crate::boxes::disk::{self, Written};
use crate::boxes::error::Refusal;
use crate::boxes::images::Format;
use crate::boxes::pack::{self, Content};
use crate::boxes::receive::{Broken, Received, ReceivedDisk, Receiver};
use crate::boxes::{Manifest, StoredDisk, StoredFile, extras};
use crate::progress::Cx;
use crate::store::{self, read_bounded};

/// Says what the folder is; every layout has it.
pub(in crate::boxes) const MARK: &str = "oci-layout";

const INDEX: &str = "index.json";

/// The note by which other tools find one of several.
const TAG: &str = "org.opencontainers.image.ref.name";

/// What our own compression needs (8 MiB).
const WINDOW_LOG: u32 = 23;

/// A box that becomes a layout.
#[derive(Debug)]
pub(in crate::boxes) struct Layout<'a> {
    /// What is known of it; what its disks hash to is found out.
    pub manifest: Manifest,
    /// Whether its name and its version were given by the user: nothing else is said of itself.
    pub named: (bool, bool),
    /// In the order of attachment.
    pub disks: Vec<PathBuf>,
    /// Kernel and initial RAM disk.
    pub boot: Option<(PathBuf, Option<PathBuf>)>,
    /// Its Vagrantfile and what its author included.
    pub extras: Option<PathBuf>,
    /// A folder for what is not packed yet.
    pub scratch: &'a Path,
}

impl Layout<'_> {
    /// Writes it; whole, or not at all.
    pub fn write(mut self, cx: &Cx, target: &Path, replace: bool, date: u64) -> Result<pack::Packed, boxes::Error> {
        let parts = self.open()?;
        let gate = Local { cx: cx.clone(), halted: AtomicBool::new(false) };
        let cutter = Cutter { gate: &gate, scratch: self.scratch };
        for (disk, part) in self.manifest.disks.iter_mut().zip(&parts) {
            *disk = StoredDisk { sha256: cutter.sha256(part)?, size: part.size, ..disk.clone() };
        }
        if let Some(part) = parts.last().filter(|part| part.name == EXTRAS) {
            self.manifest.extras = Some(StoredFile { sha256: cutter.sha256(part)?, size: part.size });
        }
        let meter = Meter::new(cx, "box", parts.iter().map(|part| part.size).sum());
        let pieces = at_once(&gate, &jobs(&parts), |_, job| {
            let digest = cutter.digest(job)?;
            let packed = digest.as_ref().map(|_| cutter.compress(job)).transpose()?;
            meter.add(job.size);
            let notes = digest.map(|digest| Piece::annotations(&job.part.name, job.offset, job.size, &digest));
            Ok(packed.zip(notes))
        })?;
        let (mut layers, mut blobs) = (Vec::new(), BTreeMap::new());
        for (packed, annotations) in pieces.into_iter().flatten() {
            let layer = bare(media::PIECE, packed.digest.clone(), packed.size);
            layers.push(Descriptor { annotations, ..layer });
            blobs.insert(packed.digest.hex().to_owned(), packed);
        }
        let documents = self.documents(&parts, layers)?;
        let blobs = blobs.into_iter().map(|(hex, packed)| blob(&hex, packed)).collect::<Result<Vec<_>, _>>()?;
        Ok(pack::write_tar(cx, target, replace, date, documents.into_iter().chain(blobs).collect())?)
    }

    fn open(&self) -> Result<Vec<Part>, Error> {
        let disks = self.disks.iter().enumerate().map(|(index, path)| (disk_name(index), path));
        let kernel = self.boot.iter().map(|(kernel, _)| ("kernel".to_owned(), kernel));
        let initrd = self.boot.iter().filter_map(|(_, initrd)| Some(("initrd".to_owned(), initrd.as_ref()?)));
        let extras = self.extras.iter().map(|path| (EXTRAS.to_owned(), path));
        disks.chain(kernel).chain(initrd).chain(extras).map(|(name, path)| Part::open(&name, path)).collect()
    }

    /// What tells about the box comes first.
    fn documents(&self, parts: &[Part], layers: Vec<Descriptor>) -> Result<Vec<pack::Part<'static>>, Error> {
        let mut config = config_of(&self.manifest, parts);
        let mut document = document_of(&self.manifest, bare(media::CONFIG, digest_of(b""), 0), layers);
        let (named, versioned) = self.named;
        if let Some(ours) = config.metadata["vbox_rs"].as_object_mut() {
            ours.retain(|key, _| named || key != "name");
            ours.retain(|key, _| versioned || key != "version");
        }
        document.annotations.retain(|key, _| named || key != media::TITLE);
        document.annotations.retain(|key, _| versioned || key != media::VERSION);
        let config = to_json(&config)?;
        document.config = bare(media::CONFIG, digest_of(&config), config.len() as u64);
        let manifest = to_json(&document)?;
        let mut entry = entry_of(&document, digest_of(&manifest), manifest.len() as u64);
        let tag = tag_of(&self.manifest.version.to_string()).filter(|_| versioned);
        entry.annotations.insert(TAG.into(), tag.unwrap_or_else(|| LATEST.into()));
        let index = Index {
            schema_version: 2,
            media_type: Some(media::INDEX.into()),
            artifact_type: None,
            manifests: vec![entry],
            annotations: BTreeMap::new(),
        };
        let text = |name: String, bytes: Vec<u8>| {
            let (size, from) = (bytes.len() as u64, Box::new(io::Cursor::new(bytes)));
            pack::Part { name, content: Content::Stream { size, from } }
        };
        Ok(vec![
            text(MARK.into(), json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes()),
            text(INDEX.into(), to_json(&index)?),
            text(place(digest_of(&manifest).hex()), manifest),
            text(place(digest_of(&config).hex()), config),
        ])
    }
}

fn place(hex: &str) -> String {
    format!("blobs/sha256/{hex}")
}

fn blob(hex: &str, packed: Packed) -> Result<pack::Part<'static>, Error> {
    let mut file = packed.file;
    file.rewind().map_err(|e| store::Error::io("read", "a layer", e))?;
    Ok(pack::Part { name: place(hex), content: Content::File(file) })
}

/// Work that no registry takes part in.
struct Local {
    cx: Cx,
    halted: AtomicBool,
}

impl Gate for Local {
    fn check(&self) -> Result<(), Error> {
        if self.halted.load(Ordering::Relaxed) { Err(Error::Halted) } else { Ok(self.cx.check()?) }
    }

    fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }
}

/// The box of a layout whose files were all received; their order in the archive does not matter.
pub(in crate::boxes) fn assemble(
    receiver: &Receiver<'_>,
    files: &BTreeMap<String, Written>,
) -> Result<Received, Broken> {
    let archive = Archive(files);
    let index = archive.bytes(INDEX, None, MANIFEST_LIMIT)?;
    let Document::Index(index) = Document::parse(&index, Some(media::INDEX)).map_err(refused)? else {
        return Err(refused("its index is none".into()).into());
    };
    let entry = match &index.manifests[..] {
        [only] => only,
        _ => choose(&index, None, receiver.name).map_err(|error| Broken::Failed(error.into()))?,
    };
    let mut document = archive.document(entry)?;
    // Builders of images put the manifests for several architectures into an index of their own.
    if let Document::Index(inner) = &document {
        let inner = choose(inner, None, receiver.name).map_err(|error| Broken::Failed(error.into()))?;
        document = archive.document(inner)?;
    }
    let Document::Manifest(manifest) = document else {
        return Err(refused("an index in an index in an index is not followed".into()).into());
    };
    if manifest.config.media_type == media::CONFIG {
        return archive.unpacked(receiver, &manifest);
    }
    let known = foreign_metadata(&manifest, entry.annotations.get(TAG).map(String::as_str));
    let mut unpacked = archive.foreign(receiver, &manifest)?;
    unpacked.metadata = merged(unpacked.metadata, known);
    Ok(unpacked)
}

fn refused(why: String) -> Refusal {
    Refusal::Layout(why)
}

struct Archive<'a>(&'a BTreeMap<String, Written>);

impl Archive<'_> {
    fn bytes(&self, name: &str, size: Option<u64>, limit: u64) -> Result<Vec<u8>, Broken> {
        let missing = || Refusal::Missing { name: name.into(), by: "OCI image layout".into() };
        let file = self.0.get(name).ok_or_else(missing)?;
        if size.is_some_and(|size| size != file.size) || file.size > limit {
            return Err(refused(format!("its `{name}` has {} bytes", file.size)).into());
        }
        let bytes = read_bounded(&file.path, limit).map_err(|e| Broken::Failed(e.into()))?;
        Ok(bytes.unwrap_or_default())
    }

    /// The file of a blob, which must have the content that its name promises.
    fn file(&self, what: &Descriptor) -> Result<&Written, Refusal> {
        let name = place(what.digest.hex());
        let missing = || Refusal::Missing { name: name.clone(), by: "OCI image layout".into() };
        let file = self.0.get(&name).ok_or_else(missing)?;
        if file.sha256 != what.digest.hex() || file.size != what.size {
            return Err(refused(format!("its `{name}` has other content than its name says")));
        }
        Ok(file)
    }

    fn document(&self, what: &Descriptor) -> Result<Document, Broken> {
        let bytes = self.blob(what, MANIFEST_LIMIT)?;
        Ok(Document::parse(&bytes, Some(&what.media_type)).map_err(refused)?)
    }

    /// What somebody else put into a layout: a layer that is a box or an image.
    fn foreign(&self, receiver: &Receiver<'_>, manifest: &ImageManifest) -> Result<Received, Broken> {
        let foreign = Foreign::choose(manifest, receiver.limits).map_err(refused)?;
        let layer = self.file(foreign.layer())?;
        let failed = |e| Broken::Failed(boxes::Error::io("read", &layer.path, e));
        let mut from = io::BufReader::new(File::open(&layer.path).map_err(failed)?);
        // What is in it gets names that the layers have already.
        let into = receiver.into.join("layer");
        store::create_private(&into).map_err(|error| Broken::Failed(error.into()))?;
        foreign.unpack(&Receiver { into: &into, ..*receiver }, &mut from)
    }

    fn blob(&self, what: &Descriptor, limit: u64) -> Result<Vec<u8>, Broken> {
        self.file(what)?;
        self.bytes(&place(what.digest.hex()), Some(what.size), limit)
    }

    fn unpacked(&self, receiver: &Receiver<'_>, manifest: &ImageManifest) -> Result<Received, Broken> {
        let config = self.blob(&manifest.config, CONFIG_LIMIT)?;
        let (config, mut metadata) = BoxConfig::parse(&config).map_err(refused)?;
        let plans = plan(&config, &metadata, &manifest.layers, receiver.limits).map_err(refused)?;
        let mut written = BTreeMap::new();
        for plan in &plans {
            written.insert(plan.name.as_str(), self.put_together(receiver, plan)?);
        }
        let mut take = |name: &str| written.remove(name).ok_or_else(|| refused(format!("it has no `{name}`")));
        let mut disks = Vec::new();
        for (index, disk) in config.disks.iter().enumerate() {
            let name = disk_name(index);
            let file = take(&name)?;
            let virtual_size = judge(&name, &disk.format, &file).map_err(|error| Broken::Failed(error.into()))?;
            let format: Format =
                disk.format.parse().map_err(|e: boxes::images::UnknownFormat| refused(e.to_string()))?;
            disks.push(ReceivedDisk { file, format, virtual_size });
        }
        let kernel = metadata.kernel.as_deref().map(&mut take).transpose()?;
        let initrd = metadata.initrd.as_deref().map(&mut take).transpose()?;
        let extras = written.remove(EXTRAS);
        if let Some(extras) = &extras {
            extras::check(&extras.path, receiver.limits)?;
        }
        metadata.cloud_init = config.cloud_init;
        let hardware = config.hardware.checked();
        Ok(Received { metadata, info: config.info, disks, kernel, initrd, extras, hardware, bare: false })
    }

    fn put_together(&self, receiver: &Receiver<'_>, plan: &FilePlan) -> Result<Written, Broken> {
        let mut segments = Vec::new();
        let mut at = 0;
        for piece in &plan.pieces {
            segments.push(Segment::Zeros(piece.offset - at));
            segments.push(Segment::Piece(self.file(&piece.layer)?.path.clone(), piece.size));
            at = piece.offset + piece.size;
        }
        segments.push(Segment::Zeros(plan.size - at));
        let mut pieces = Pieces { segments: segments.into_iter(), current: Box::new(io::empty()), missing: 0 };
        let (path, what) = (receiver.into.join(&plan.name), format!("its `{}`", plan.name));
        let written = disk::write(receiver.pool, receiver.cx.cancel(), &mut pieces, &path, &what, plan.size)?;
        if written.sha256 != plan.sha256 {
            let (expected, found) = (Digest::of(&plan.sha256), Digest::of(&written.sha256));
            let error =
                Error::Mismatch { what: format!("`{}`, put together from its pieces,", plan.name), expected, found };
            return Err(Broken::Failed(error.into()));
        }
        Ok(written)
    }
}

/// A part of a file: so many zeros, or what a layer decompresses to.
enum Segment {
    Zeros(u64),
    Piece(PathBuf, u64),
}

/// A file, front to back.
struct Pieces {
    segments: std::vec::IntoIter<Segment>,
    current: Box<dyn Read>,
    /// Bytes that the current segment still owes.
    missing: u64,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let amount = self.current.read(buffer)?;
            if amount > 0 || buffer.is_empty() {
                self.missing -= amount as u64;
                return Ok(amount);
            }
            if self.missing > 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a layer is shorter than it should be"));
            }
            match self.segments.next() {
                None => return Ok(0),
                Some(Segment::Zeros(size)) => {
                    (self.current, self.missing) = (Box::new(io::repeat(0).take(size)), size);
                }
                Some(Segment::Piece(path, size)) => {
                    let mut decoder = zstd::stream::read::Decoder::new(File::open(path)?)?;
                    decoder.window_log_max(WINDOW_LOG)?;
                    (self.current, self.missing) = (Box::new(decoder.take(size)), size);
                }
            }
        }
    }
}
