//! `box push`: compress ∥ hash ∥ upload, several pieces at once; what the registry has is not sent.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::connection::{Access, Connection};
use super::cut::{Cutter, Job, Packed, Part, jobs};
use super::document::{Annotations, BoxConfig, Descriptor, Document, ImageManifest, Index, NamedFile, Platform};
use super::pieces::{Piece, at_once};
use super::pull::{EXTRAS, disk_name};
use super::reference::{LATEST, tag_of};
use super::registry::{Content, Fetched, digest_of};
use super::{Digest, Error, Meter, Options, Reference, media};
use crate::boxes;
use crate::boxes::fetch::Tuning;
use crate::boxes::metadata::architecture;
use crate::boxes::name::printable;
use crate::boxes::{Installed, Library, Manifest, Version};
use crate::progress::Cx;
use crate::store::create_private;

/// Architectures in one index: more than there are.
const PLATFORMS_LIMIT: usize = 16;

/// What `box push` is asked for.
#[derive(Clone, Debug, Default)]
pub struct PushRequest {
    /// Name of the box.
    pub name: String,
    /// Its version; the newest where left out.
    pub version: Option<String>,
    /// Which provider's; needed where there are several.
    pub provider: Option<String>,
    /// Which architecture's; all of them where left out.
    pub architecture: Option<String>,
    /// `oci://HOST[:PORT]/REPOSITORY[:TAG]`; the version and `latest` where there is no tag.
    pub to: String,
    /// Patience with the registry.
    pub tuning: Tuning,
    /// How the registry is spoken to.
    pub options: Options,
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// Name of the box.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The places under which it is to be had now.
    pub references: Vec<String>,
    /// What pins it: `oci://…@` and this digest.
    pub digest: Digest,
    /// Bytes that were sent.
    pub uploaded: u64,
    /// Layers that were sent, and all of them.
    pub layers: (usize, usize),
}

/// Where pieces go, and what is known of the place.
struct Target<'a> {
    connection: &'a Connection,
    scratch: std::path::PathBuf,
    /// Layers of what lies there already, by what they hold.
    known: BTreeMap<(Digest, u64), Descriptor>,
    /// Another repository of the same registry that the box came from.
    from: Option<String>,
    meter: Meter,
}

/// A layer, and how many bytes had to be sent for it.
type Sent = (Descriptor, u64);

impl Library {
    /// Pushes a box, for all architectures that the library has it for.
    pub fn push(&self, cx: &Cx, request: &PushRequest) -> Result<Pushed, boxes::Error> {
        let reference: Reference = request.to.parse()?;
        if reference.digest().is_some() {
            let why = "a digest is what a push results in; give a tag".into();
            return Err(Error::Reference { text: reference.to_string(), why }.into());
        }
        let boxes = self.to_push(cx, request)?;
        let first = &boxes[0].0.manifest;
        let (name, version) = (first.name.clone(), first.version.to_string());
        let tags: Vec<String> = match reference.tag() {
            Some(tag) => vec![tag.to_owned()],
            None => tag_of(&version).into_iter().chain([LATEST.to_owned()]).collect(),
        };
        let from = boxes.iter().find_map(|(installed, _)| origin(&installed.manifest, &reference));
        let also_read = from.clone().into_iter().collect();
        let connection = Connection::open(cx, &reference, Access::Write, also_read, &request.options, &request.tuning)?;
        let there = Existing::read(&connection, &reference, &tags)?;
        create_private(&self.dirs.downloads())?;
        let bytes = boxes.iter().flat_map(|(_, parts)| parts).map(|part| part.size).sum();
        let target = Target {
            connection: &connection,
            scratch: self.dirs.downloads(),
            known: there.layers(),
            from,
            meter: Meter::new(cx, &name, bytes),
        };
        let mut written = Vec::new();
        let mut sent = Vec::new();
        for (installed, parts) in &boxes {
            let (one, layers) = target.push_box(&installed.manifest, parts)?;
            written.push(one);
            sent.extend(layers);
        }
        let document = joined(written, there.others(&boxes, &version), notes(&name, &version, None))?;
        // The tags come last: what they led to before is whole until then.
        for tag in &tags {
            connection.put_manifest(tag, document.media_type, &document.bytes)?;
        }
        let digest = digest_of(&document.bytes);
        let references = tags.iter().map(|tag| reference.with_tag(tag).to_string()).collect();
        let uploaded = sent.iter().map(|(_, bytes)| bytes).sum();
        let layers = (sent.iter().filter(|(_, bytes)| *bytes > 0).count(), sent.len());
        Ok(Pushed { name, version, references, digest, uploaded, layers })
    }

    /// The boxes that are meant, with their files open.
    fn to_push(&self, cx: &Cx, request: &PushRequest) -> Result<Vec<(Installed, Vec<Part>)>, boxes::Error> {
        let version: Option<Version> = request.version.as_deref().map(str::parse).transpose()?;
        let asked = request.architecture.as_deref();
        let asked = asked.map(|text| architecture(text).unwrap_or_else(|_| text.to_owned()));
        let mut boxes = self.list()?.boxes;
        boxes.retain(|installed| {
            let manifest = &installed.manifest;
            manifest.name == request.name
                && version.as_ref().is_none_or(|version| *version == manifest.version)
                && request.provider.as_ref().is_none_or(|provider| *provider == manifest.provider)
                && asked.as_ref().is_none_or(|asked| manifest.architecture.as_ref() == Some(asked))
        });
        let newest = boxes.iter().map(|installed| &installed.manifest.version).max().cloned();
        boxes.retain(|installed| Some(&installed.manifest.version) == newest.as_ref());
        if boxes.is_empty() {
            let version = request.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            return Err(Error::NoBox { asked: printable(&format!("{}{version}", request.name)) }.into());
        }
        for (at, one) in boxes.iter().enumerate() {
            let same = |other: &&Installed| other.manifest.architecture == one.manifest.architecture;
            let several: Vec<&Installed> = boxes[at..].iter().filter(same).collect();
            if several.len() > 1 {
                let (name, version) = (one.manifest.name.clone(), one.manifest.version.to_string());
                let providers = several.iter().map(|other| other.manifest.provider.clone()).collect();
                return Err(Error::Providers { name, version, providers }.into());
            }
        }
        boxes
            .into_iter()
            .map(|installed| {
                let _hold = self.hold(cx, &installed)?;
                let parts = open_parts(&installed)?;
                Ok((installed, parts))
            })
            .collect()
    }
}

fn open_parts(installed: &Installed) -> Result<Vec<Part>, Error> {
    let boot = installed.direct_boot();
    let kernel = boot.iter().map(|boot| ("kernel".to_owned(), boot.kernel.clone()));
    let initrd = boot.iter().filter_map(|boot| Some(("initrd".to_owned(), boot.initrd.clone()?)));
    let disks = installed.disk_paths().into_iter().enumerate().map(|(index, path)| (disk_name(index), path));
    let extras = installed.extras().map(|path| (EXTRAS.to_owned(), path));
    disks.chain(kernel).chain(initrd).chain(extras).map(|(name, path)| Part::open(&name, &path)).collect()
}

/// The repository that a box came from, where it is another one of the same registry.
fn origin(manifest: &Manifest, to: &Reference) -> Option<String> {
    let from: Reference = manifest.source.parse().ok()?;
    (from.host() == to.host() && from.repository() != to.repository()).then(|| from.repository())
}

impl Target<'_> {
    /// Pushes one box, under its digest; returns its manifest and its layers.
    fn push_box(&self, manifest: &Manifest, parts: &[Part]) -> Result<(WrittenManifest, Vec<Sent>), Error> {
        let layers = at_once(self.connection, &jobs(parts), |_, job| self.push_piece(job))?;
        let sent: Vec<Sent> = layers.into_iter().flatten().collect();
        let config = self.push_bytes(media::CONFIG, &to_json(&config_of(manifest, parts))?)?;
        let document = document_of(manifest, config, sent.iter().map(|(layer, _)| layer.clone()).collect());
        let bytes = to_json(&document)?;
        let digest = digest_of(&bytes);
        self.connection.put_manifest(&digest.to_string(), media::MANIFEST, &bytes)?;
        let entry = entry_of(&document, digest, bytes.len() as u64);
        Ok((WrittenManifest { entry, bytes }, sent))
    }

    fn push_bytes(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Error> {
        let digest = digest_of(bytes);
        if !self.connection.has_blob(&digest)? {
            self.connection.upload(&digest, Content::Bytes(bytes), None)?;
        }
        Ok(bare(media_type, digest, bytes.len() as u64))
    }

    /// Brings a piece into the registry; `None` when it is all zeros.
    fn push_piece(&self, job: &Job<'_>) -> Result<Option<Sent>, Error> {
        let cutter = Cutter { gate: self.connection, scratch: &self.scratch };
        let Some(digest) = cutter.digest(job)? else {
            self.meter.add(job.size);
            return Ok(None);
        };
        let annotations = Piece::annotations(&job.part.name, job.offset, job.size, &digest);
        // What compressed to that layer once does so again; it is not compressed to find that out.
        if let Some(layer) = self.known.get(&(digest.clone(), job.size))
            && self.connection.has_blob(&layer.digest)?
        {
            self.meter.add(job.size);
            return Ok(Some((Descriptor { annotations, ..layer.clone() }, 0)));
        }
        let Packed { file, digest: packed, size } = cutter.compress(job)?;
        let there = self.connection.has_blob(&packed)?;
        let sent = if there {
            0
        } else {
            self.connection.upload(&packed, Content::File(&file, size), self.from.as_deref())?
        };
        self.meter.add(job.size);
        Ok(Some((Descriptor { annotations, ..bare(media::PIECE, packed, size) }, sent)))
    }
}

/// A manifest that the registry has under its digest.
struct WrittenManifest {
    entry: Descriptor,
    bytes: Vec<u8>,
}

/// What the tags shall lead to.
struct Tagged {
    media_type: &'static str,
    bytes: Vec<u8>,
}

/// One manifest stands for itself; several are joined by an index.
fn joined(mut written: Vec<WrittenManifest>, others: Vec<Descriptor>, notes: Annotations) -> Result<Tagged, Error> {
    if let ([_], []) = (&written[..], &others[..])
        && let Some(one) = written.pop()
    {
        return Ok(Tagged { media_type: media::MANIFEST, bytes: one.bytes });
    }
    let mut manifests: Vec<Descriptor> = written.into_iter().map(|one| one.entry).chain(others).collect();
    // The same boxes give the same index, in whichever order they were pushed.
    manifests.sort_by(|a, b| a.digest.cmp(&b.digest));
    let index = Index {
        schema_version: 2,
        media_type: Some(media::INDEX.into()),
        artifact_type: Some(media::BOX.into()),
        manifests,
        annotations: notes,
    };
    Ok(Tagged { media_type: media::INDEX, bytes: to_json(&index)? })
}

/// A blob of which no more is said.
pub(super) fn bare(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    let (media_type, annotations) = (media_type.into(), Annotations::new());
    Descriptor { media_type, digest, size, artifact_type: None, platform: None, annotations }
}

/// The manifest of a box.
pub(super) fn document_of(manifest: &Manifest, config: Descriptor, layers: Vec<Descriptor>) -> ImageManifest {
    ImageManifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.into()),
        artifact_type: Some(media::BOX.into()),
        config,
        layers,
        annotations: notes(&manifest.name, &manifest.version.to_string(), manifest.architecture.as_deref()),
    }
}

/// How an index names a manifest of ours.
pub(super) fn entry_of(manifest: &ImageManifest, digest: Digest, size: u64) -> Descriptor {
    let architecture = manifest.annotations.get(media::ARCHITECTURE).cloned();
    Descriptor {
        media_type: media::MANIFEST.into(),
        digest,
        size,
        artifact_type: manifest.artifact_type.clone(),
        platform: architecture.map(|architecture| Platform { architecture, os: "linux".into() }),
        annotations: manifest.annotations.clone(),
    }
}

pub(super) fn to_json<T: Serialize>(document: &T) -> Result<Vec<u8>, Error> {
    let failed = |e: serde_json::Error| Error::Artifact { from: "the manifest".into(), why: e.to_string() };
    serde_json::to_vec(document).map_err(failed)
}

fn notes(name: &str, version: &str, architecture: Option<&str>) -> Annotations {
    let all = [(media::TITLE, Some(name)), (media::VERSION, Some(version)), (media::ARCHITECTURE, architecture)];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
}

/// The configuration blob of a box.
pub(super) fn config_of(manifest: &Manifest, parts: &[Part]) -> BoxConfig {
    let mut ours = json!({ "name": manifest.name, "version": manifest.version, "seed": manifest.seed });
    let mut metadata = json!({ "provider": manifest.provider });
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            ours[key] = value;
        }
    };
    set("user", manifest.user.clone().map(Value::from));
    if let Some(boot) = &manifest.boot {
        set("kernel", Some("kernel".into()));
        set("initrd", boot.initrd.as_ref().map(|_| "initrd".into()));
        set("cmdline", Some(boot.cmdline.clone().into()));
    }
    if let Some(architecture) = &manifest.architecture {
        metadata["architecture"] = architecture.clone().into();
    }
    metadata["vbox_rs"] = ours;
    let boot = manifest.boot.as_ref();
    let digests = [
        ("kernel", boot.map(|boot| &boot.kernel)),
        ("initrd", boot.and_then(|boot| boot.initrd.as_ref())),
        (EXTRAS, manifest.extras.as_ref().map(|extras| &extras.sha256)),
    ];
    let mut files = Vec::new();
    for (name, digest) in digests {
        if let (Some(digest), Some(part)) = (digest, parts.iter().find(|part| part.name == name)) {
            files.push(NamedFile { name: name.into(), sha256: Digest::of(digest), size: part.size });
        }
    }
    BoxConfig {
        format: BoxConfig::FORMAT,
        metadata,
        disks: manifest.disks.clone(),
        files,
        cloud_init: manifest.cloud_init,
        hardware: manifest.hardware.clone(),
        info: manifest.info.clone(),
    }
}

/// Boxes of ours that lie under the tags already.
struct Existing(Vec<(ImageManifest, Descriptor)>);

impl Existing {
    fn read(connection: &Connection, reference: &Reference, tags: &[String]) -> Result<Self, Error> {
        let mut found = Vec::new();
        for tag in tags {
            let fetched = match connection.manifest(tag, reference) {
                Ok(Some(fetched)) => fetched,
                // What makes no sense is about to be replaced.
                Ok(None) | Err(Error::Artifact { .. }) => continue,
                Err(error) => return Err(error),
            };
            match fetched.document {
                Document::Manifest(manifest) => {
                    let entry = entry_of(&manifest, fetched.digest, fetched.size);
                    found.push((manifest, entry));
                }
                Document::Index(index) => {
                    for listed in index.manifests.into_iter().take(PLATFORMS_LIMIT) {
                        let one = connection.manifest(&listed.digest.to_string(), reference)?;
                        if let Some(Fetched { document: Document::Manifest(manifest), digest, size }) = one {
                            let entry = entry_of(&manifest, digest, size);
                            found.push((manifest, entry));
                        }
                    }
                }
            }
        }
        found.retain(|(manifest, _)| manifest.artifact_type.as_deref() == Some(media::BOX));
        Ok(Self(found))
    }

    /// Their layers, by what they hold.
    fn layers(&self) -> BTreeMap<(Digest, u64), Descriptor> {
        let layers = self.0.iter().flat_map(|(manifest, _)| &manifest.layers);
        let pieces =
            layers.filter(|layer| layer.media_type == media::PIECE).filter_map(|layer| Piece::read(layer).ok());
        pieces.map(|(_, piece)| ((piece.digest, piece.size), piece.layer)).collect()
    }

    /// Entries of the same version for architectures that are not pushed now: they stay under the tag.
    fn others(&self, boxes: &[(Installed, Vec<Part>)], version: &str) -> Vec<Descriptor> {
        let pushed = |platform: &Platform| {
            boxes.iter().any(|(installed, _)| installed.manifest.architecture.as_ref() == Some(&platform.architecture))
        };
        let mut others: Vec<Descriptor> = Vec::new();
        for (manifest, entry) in &self.0 {
            let same = manifest.annotations.get(media::VERSION).is_some_and(|found| found == version);
            let stays = same && entry.platform.as_ref().is_some_and(|platform| !pushed(platform));
            if stays && !others.iter().any(|other| other.digest == entry.digest) {
                others.push(entry.clone());
            }
        }
        others
    }
}
