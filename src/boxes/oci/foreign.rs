//! What others publish: one layer that is a box or a disk image, or a containerDisk of KubeVirt.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use super::blob::Blob;
use super::connection::Connection;
use super::document::{Descriptor, ImageManifest};
use super::media::{self, Shape};
use super::{Error, Meter, Reference};
use crate::boxes;
use crate::boxes::Refusal;
use crate::boxes::archive::{Archive, Walk};
use crate::boxes::blocks::Pool;
use crate::boxes::compression::Compression;
use crate::boxes::name::printable;
use crate::boxes::receive::{Broken, Limits, Received, Receiver};

/// As many bytes as tell every kind of compression.
const HEAD: usize = 6;

/// Where a containerDisk has its image.
const DISK_FOLDER: &str = "disk/";

/// The layer to read, and how.
pub(super) struct Foreign {
    layer: Descriptor,
    shape: Shape,
}

impl Foreign {
    /// The one layer that can be a disk; a text beside it does not matter.
    pub fn choose(manifest: &ImageManifest, limits: &Limits) -> Result<Self, String> {
        let shape = |layer: &Descriptor| media::shape(&manifest.config.media_type, &layer.media_type);
        let known: Vec<_> = manifest.layers.iter().filter_map(|layer| Some((layer, shape(layer)?))).collect();
        let (layer, shape) = match (&known[..], manifest.layers.len()) {
            ([one], _) => *one,
            ([], 1..) => return Err(unknown(manifest)),
            (_, count) => {
                return Err(format!("it has {count} layers; of what vbox-rs did not write, one layer is read"));
            }
        };
        if layer.size > limits.total {
            return Err(format!("its layer has {} bytes; {} are accepted", layer.size, limits.total));
        }
        Ok(Self { layer: layer.clone(), shape })
    }

    /// The layer.
    pub fn layer(&self) -> &Descriptor {
        &self.layer
    }

    /// Bytes to fetch.
    pub fn size(&self) -> u64 {
        self.layer.size
    }

    /// Reads the layer.
    pub fn unpack(&self, receiver: &Receiver<'_>, from: &mut dyn BufRead) -> Result<Received, Broken> {
        match self.shape {
            Shape::Blob => receiver.receive(&mut *with_head(from)?.1),
            Shape::ContainerDisk => container_disk(receiver, from),
        }
    }

    /// Fetches and reads the layer in one pass.
    pub fn receive(
        &self,
        connection: &Connection,
        limits: &Limits,
        into: &Path,
        meter: &Meter,
        from: &Reference,
    ) -> Result<Received, boxes::Error> {
        let pool = Pool::default();
        let mut blob = Blob::new(connection, meter, &self.layer);
        let receiver = Receiver { cx: &connection.cx, pool: &pool, limits, into, name: from.file_name() };
        let outcome = self.unpack(&receiver, &mut blob);
        connection.check()?;
        if outcome.is_ok() || outcome.as_ref().is_err_and(Broken::is_damage) {
            // The digest comes before any other judgement.
            blob.drain()?;
        }
        outcome.map_err(|broken| match broken {
            Broken::Refused(refusal) => boxes::Error::Refused { from: from.to_string(), source: refusal },
            Broken::Failed(error) => error,
            Broken::Read(error) => match Error::from_io(error) {
                Ok(error) => error.into(),
                Err(error) => {
                    Error::Artifact { from: from.to_string(), why: format!("it is damaged ({error})") }.into()
                }
            },
        })
    }
}

/// Of no layer is it known how to read it: what they are.
fn unknown(manifest: &ImageManifest) -> String {
    /// More say no more.
    const SHOWN: usize = 3;
    let kind = printable(manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type));
    let kinds: BTreeSet<&str> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    let shown: Vec<_> = kinds.iter().take(SHOWN).map(|kind| format!("`{}`", printable(kind))).collect();
    let (layers, are) = if manifest.layers.len() == 1 { ("layer", "is") } else { ("layers", "are") };
    format!("its {layers} {are} of type {} (of an artifact `{kind}`), which vbox-rs does not know", shown.join(", "))
}

/// The image below `disk/` of a root file system, which holds little else.
fn container_disk(receiver: &Receiver<'_>, from: &mut dyn BufRead) -> Result<Received, Broken> {
    let (head, mut whole) = with_head(from)?;
    let mut from: Box<dyn Read + '_> = match Compression::of(&head) {
        Some(compression) => compression.undo(&mut *whole)?,
        None => Box::new(whole),
    };
    let mut archive = Archive::new(&mut *from, receiver.limits);
    let mut disk = None;
    while let Some(entry) = archive.entry()? {
        let image = entry.name.strip_prefix(DISK_FOLDER).filter(|name| entry.is_file && !name.contains('/'));
        if image.is_none() {
            continue;
        }
        if disk.is_some() {
            return Err(Refusal::Disks(2).into());
        }
        disk = Some(receiver.receive(&mut BufReader::new(&mut archive as &mut dyn Read))?);
    }
    archive.finish()?;
    disk.ok_or_else(|| Refusal::Missing { name: format!("{DISK_FOLDER}…"), by: "kind of artifact".into() }.into())
}

/// A stream whose first bytes can be looked at whole, however small the pieces are in which it arrives.
fn with_head<'a>(from: &'a mut dyn BufRead) -> io::Result<(Vec<u8>, Box<dyn BufRead + 'a>)> {
    let mut head = Vec::with_capacity(HEAD);
    Read::take(&mut *from, HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(from))))
}
