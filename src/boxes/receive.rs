//! What a stream of bytes is, and its parts on disk: told apart by content, never by name.

use std::fs::File;
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::Hardware;
use super::archive::{Archive, Walk, is_tar};
use super::blocks::Pool;
use super::compression::Compression;
use super::defaults;
use super::disk::{self, Written};
use super::error::{Error, Refusal};
use super::extras;
use super::images::{self, FileSource, Format, HEAD, Image};
use super::metadata::{Metadata, read_info};
use super::oci::layout;
use super::ovf::{self, Ovf};
use super::parts::{Described, Parts};
use super::vmx::{self, Vmx};
use super::zip::{Zip, is_zip};
use crate::progress::Cx;

/// How large a box may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file, holes included.
    pub file: u64,
    /// Bytes of all files of an archive together, and of a download.
    pub total: u64,
    /// Entries of an archive.
    pub entries: usize,
}

impl Default for Limits {
    /// The largest boxes in public use (Windows with its tools) are below 30 GiB.
    fn default() -> Self {
        Self { file: 64 << 30, total: 80 << 30, entries: 10_000 }
    }
}

/// Why a stream was not received.
#[derive(Debug)]
pub(super) enum Broken {
    /// Its content is refused.
    Refused(Refusal),
    /// Reading it failed: the source's fault.
    Read(io::Error),
    /// Something of our own failed.
    Failed(Error),
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Broken {
    /// Whether the bytes may have changed on their way.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Refused(
                Refusal::CutOff(_) | Refusal::Compressed { .. } | Refusal::Tar(_) | Refusal::Zip(_) | Refusal::Trailing
            )
        ) || matches!(self, Self::Refused(Refusal::Image { source, .. }) if source.is_cut())
    }

    /// Of a file of our own disk, which is read again: what is wrong with it.
    pub fn told(self, refused: impl FnOnce(Refusal) -> Error) -> Error {
        match self.judged() {
            Self::Refused(refusal) => refused(refusal),
            Self::Read(error) => Error::io("read", "a file of the box", error),
            Self::Failed(error) => error,
        }
    }

    /// Reading errors that the content caused become refusals.
    fn judged(self) -> Self {
        let Self::Read(error) = self else { return self };
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Refusal::CutOff("it ends in the middle").into(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => match error.downcast::<Refusal>() {
                Ok(refusal) => refusal.into(),
                Err(error) => Self::Read(error),
            },
            _ => Self::Read(error),
        }
    }
}

/// A box in its incoming folder.
#[derive(Debug)]
pub(super) struct Received {
    /// Empty for a bare image.
    pub metadata: Metadata,
    pub info: Option<Map<String, Value>>,
    pub disks: Vec<ReceivedDisk>,
    pub kernel: Option<Written>,
    pub initrd: Option<Written>,
    /// Its Vagrantfile and what its author included.
    pub extras: Option<Written>,
    pub hardware: Hardware,
    /// Whether it was a mere image or appliance, without `metadata.json`.
    pub bare: bool,
}

/// A disk of a box.
#[derive(Debug)]
pub(super) struct ReceivedDisk {
    pub file: Written,
    pub format: Format,
    pub virtual_size: u64,
}

/// Where the parts go and under which bounds.
pub(super) struct Receiver<'a> {
    pub cx: &'a Cx,
    pub pool: &'a Pool,
    pub limits: &'a Limits,
    /// The incoming folder.
    pub into: &'a Path,
    /// What a bare image is called.
    pub name: &'a str,
}

impl Receiver<'_> {
    /// Reads all of `from`.
    pub fn receive(&self, from: &mut dyn BufRead) -> Result<Received, Broken> {
        let result = match Compression::of(from.fill_buf()?) {
            Some(compression) => {
                compression.undo(from).map_err(Broken::from).and_then(|mut plain| self.unpacked(&mut plain))
            }
            None => self.unpacked(from),
        };
        result.map_err(Broken::judged)
    }

    fn unpacked<R: Read + ?Sized>(&self, from: &mut R) -> Result<Received, Broken> {
        let (head, mut whole) = peek(from, HEAD)?;
        if is_tar(&head) {
            return self.archive(&mut Archive::new(&mut whole, self.limits));
        }
        if is_zip(&head) {
            return self.archive(&mut Zip::new(&mut whole, self.limits));
        }
        match head.as_slice() {
            [] => Err(Refusal::CutOff("it is empty").into()),
            head if images::kind_of(head).is_some() => self.image(&mut whole),
            head => Err(Refusal::NotABox(kind_of(head)).into()),
        }
    }

    /// A bare image.
    fn image(&self, from: &mut dyn Read) -> Result<Received, Broken> {
        let file = self.store(from, self.name, None, 0)?;
        Ok(Received {
            metadata: Metadata::default(),
            info: None,
            disks: vec![inspected(self.name, file)?],
            kernel: None,
            initrd: None,
            extras: None,
            hardware: Hardware::default(),
            bare: true,
        })
    }

    fn archive(&self, archive: &mut dyn Walk) -> Result<Received, Broken> {
        let mut parts = Parts::default();
        while let Some(entry) = archive.entry()? {
            if !entry.is_file {
                continue;
            }
            if !parts.seen.insert(entry.name.clone()) {
                return Err(Refusal::Twice(entry.name).into());
            }
            match entry.name.as_str() {
                "metadata.json" => parts.metadata = Some(Metadata::read(archive)?),
                "info.json" => parts.info = Some(read_info(archive)?),
                extras::VAGRANTFILE => {
                    let limit = defaults::LIMIT as u64;
                    archive.take(limit + 1).read_to_end(&mut parts.vagrantfile)?;
                    parts.extras.add(self.into, extras::VAGRANTFILE, &mut parts.vagrantfile.as_slice(), limit)?;
                }
                extras::INCLUDED => {
                    let limit = defaults::LIMIT as u64;
                    archive.take(limit + 1).read_to_end(&mut parts.included)?;
                    parts.extras.add(self.into, extras::INCLUDED, &mut parts.included.as_slice(), limit)?;
                }
                // No part of its machine, unless its metadata says so.
                name if extras::is_included(name)
                    && !parts.metadata.as_ref().is_some_and(|metadata| metadata.names(name)) =>
                {
                    parts.extras.add(self.into, name, archive, self.limits.file)?;
                }
                // The metadata may come last, so until then every file could be a part of the box.
                name if parts.metadata.as_ref().is_none_or(|metadata| metadata.wants(name)) => {
                    self.part(archive, name, entry.size, &mut parts)?;
                }
                _ => {}
            }
        }
        archive.finish()?;
        if parts.metadata.is_none() && parts.seen.contains(layout::MARK) {
            return layout::assemble(self, &parts.files);
        }
        parts.assemble(self)
    }

    /// A file of an archive: a description, which is read at once, or something to be stored.
    fn part(&self, from: &mut dyn Walk, name: &str, size: u64, parts: &mut Parts) -> Result<(), Broken> {
        let (head, mut whole) = peek(from, HEAD)?;
        let is_disk = parts.metadata.as_ref().is_some_and(|metadata| metadata.is_disk(name));
        let described = match head.as_slice() {
            _ if is_disk => None,
            head if ovf::is_ovf(head) => {
                let ovf = Ovf::parse(&text(&mut whole, ovf::LIMIT)?);
                let ovf = ovf.map_err(|source| Refusal::Ovf { entry: name.into(), source })?;
                Some(Described::ovf(ovf))
            }
            head if vmx::is_vmx(head) => {
                let vmx = Vmx::parse(&text(&mut whole, vmx::LIMIT)?);
                let vmx = vmx.map_err(|source| Refusal::Vmx { entry: name.into(), source })?;
                Some(Described::vmx(vmx))
            }
            head if images::vmdk::is_descriptor(head) => {
                let bytes = text(&mut whole, images::vmdk::DESCRIPTOR_LIMIT)?;
                let descriptor = images::vmdk::Descriptor::parse(&bytes);
                let descriptor = descriptor.map_err(|source| Refusal::Image { entry: name.into(), source })?;
                parts.descriptors.insert(name.into(), descriptor);
                return Ok(());
            }
            _ => None,
        };
        if let Some(described) = described {
            parts.described.insert(name.into(), described);
            return Ok(());
        }
        let index = parts.files.len();
        let file = self.store(&mut whole, name, Some(&Claimed { size, is_disk }), index)?;
        parts.files.insert(name.into(), file);
        Ok(())
    }

    /// Writes a file of the box under a name of our own. An image is judged by its first bytes, before the rest of it is
    /// unpacked.
    fn store(
        &self,
        from: &mut dyn Read,
        name: &str,
        claimed: Option<&Claimed>,
        index: usize,
    ) -> Result<Written, Broken> {
        let (head, mut whole) = peek(from, HEAD)?;
        let mut limit = self.limits.file;
        if let Some(image) = claim(name, &head, claimed)? {
            limit = limit.min(image.bound);
        }
        let what = if claimed.is_some() { format!("its `{name}`") } else { "the image".into() };
        if let Some(size) = claimed.map(|claimed| claimed.size).filter(|size| *size > limit) {
            return Err(Refusal::TooLarge { what, size, limit }.into());
        }
        let path = self.into.join(format!("file{index}"));
        disk::write(self.pool, self.cx.cancel(), &mut whole, &path, &what, limit)
    }
}

/// What the archive says of a file.
struct Claimed {
    size: u64,
    /// The metadata names it.
    is_disk: bool,
}

fn claim(name: &str, head: &[u8], claimed: Option<&Claimed>) -> Result<Option<Image>, Refusal> {
    let refused = |source| Refusal::Image { entry: name.into(), source };
    match images::kind_of(head) {
        // The piece of a disk, which is judged with the others when all are there.
        Some(Format::Vmdk) if claimed.is_some() && images::vmdk::is_piece(head) => Ok(None),
        Some(format) => images::claim(format, head).map_err(refused),
        None if claimed.is_some_and(|claimed| claimed.is_disk) => Err(refused(images::Error::Unknown)),
        None => Ok(None),
    }
}

/// Judges a whole image that was written.
pub(super) fn inspected(name: &str, file: Written) -> Result<ReceivedDisk, Broken> {
    let source = File::open(&file.path).and_then(FileSource::new);
    let source = source.map_err(|e| Broken::Failed(Error::io("read", &file.path, e)))?;
    let Image { format, virtual_size, .. } =
        images::inspect(&source).map_err(|source| Refusal::Image { entry: name.into(), source })?;
    Ok(ReceivedDisk { file, format, virtual_size })
}

/// All of a text, or a byte more than it may have.
fn text(from: &mut dyn Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What people mistake for a box.
fn kind_of(head: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"# Disk DescriptorFile", "a VMDK descriptor"),
        (b"Rar!", "a RAR archive"),
        (b"<", "a web page"),
        (b"{", "a JSON document"),
    ];
    if Compression::of(head).is_some() {
        return "compressed twice";
    }
    let text = head.trim_ascii_start();
    let found = KINDS.iter().find(|(magic, _)| text.starts_with(magic));
    found.map_or("data of an unknown kind", |(_, name)| name)
}

/// The first `length` bytes (fewer at the end), and the whole stream again.
fn peek<R: Read + ?Sized>(from: &mut R, length: usize) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::with_capacity(length);
    from.take(length as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(from)))
}
