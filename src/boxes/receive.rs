//! What a stream of bytes is, and its parts on disk: told apart by content, never by name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use serde_json::{Map, Value};

use super::archive::{Archive, is_tar};
use super::blocks::Pool;
use super::disk::{self, Written};
use super::error::{Error, Refusal};
use super::metadata::{Metadata, read_info};
use super::qcow2::{self, Header};
use crate::progress::Cancel;

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
    /// Reading it failed: the source's fault, or the gzip data's.
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
        matches!(self, Self::Refused(Refusal::CutOff(_) | Refusal::Gzip(_) | Refusal::Tar(_) | Refusal::Trailing))
    }

    /// Reading errors that the content caused become refusals.
    fn judged(self) -> Self {
        let Self::Read(error) = self else { return self };
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Refusal::CutOff("it ends in the middle").into(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => match error.downcast::<Refusal>() {
                Ok(refusal) => refusal.into(),
                Err(error) => Refusal::Gzip(error).into(),
            },
            _ => Self::Read(error),
        }
    }
}

/// A box in its incoming folder.
#[derive(Debug)]
pub(super) struct Received {
    pub metadata: Metadata,
    pub info: Option<Map<String, Value>>,
    pub disk: Written,
    /// `qcow2` or `raw`.
    pub format: &'static str,
    pub virtual_size: u64,
    pub kernel: Option<Written>,
    pub initrd: Option<Written>,
}

/// Where the parts go and under which bounds.
pub(super) struct Receiver<'a> {
    pub pool: &'a Pool,
    pub cancel: &'a Cancel,
    pub limits: &'a Limits,
    /// The incoming folder.
    pub into: &'a Path,
}

impl Receiver<'_> {
    /// Reads all of `from`.
    pub fn receive(&self, from: &mut dyn BufRead) -> Result<Received, Broken> {
        let result = if from.fill_buf()?.starts_with(&GZIP) {
            self.unpacked(&mut Gunzip(Some(GzDecoder::new(from))))
        } else {
            self.unpacked(from)
        };
        result.map_err(Broken::judged)
    }

    fn unpacked<R: Read + ?Sized>(&self, from: &mut R) -> Result<Received, Broken> {
        let (head, mut whole) = peek(from, qcow2::HEAD)?;
        if is_tar(&head) {
            return self.archive(&mut whole);
        }
        let raw = head.get(510..512) == Some(&BOOT_SIGNATURE);
        match head.as_slice() {
            [] => Err(Refusal::CutOff("it is empty").into()),
            head if qcow2::is_qcow2(head) => self.image(&mut whole),
            _ if raw => self.image(&mut whole),
            head => Err(Refusal::NotABox(kind_of(head)).into()),
        }
    }

    /// A bare image.
    fn image(&self, from: &mut dyn Read) -> Result<Received, Broken> {
        let disk = self.store(from, "the image", None, 0)?;
        let (format, virtual_size) = if qcow2::is_qcow2(&disk.head) {
            ("qcow2", header("the image", &disk.head)?.virtual_size)
        } else if disk.size.is_multiple_of(512) {
            ("raw", disk.size)
        } else {
            return Err(Refusal::RawSize(disk.size).into());
        };
        let metadata = Metadata::default();
        Ok(Received { metadata, info: None, disk, format, virtual_size, kernel: None, initrd: None })
    }

    fn archive(&self, from: &mut dyn Read) -> Result<Received, Broken> {
        let mut archive = Archive::new(from, self.limits);
        let mut seen = BTreeSet::new();
        let mut files = BTreeMap::new();
        let (mut metadata, mut info) = (None, None);
        while let Some(entry) = archive.next()? {
            if !entry.is_file {
                continue;
            }
            if !seen.insert(entry.name.clone()) {
                return Err(Refusal::Twice(entry.name).into());
            }
            match entry.name.as_str() {
                "metadata.json" => metadata = Some(Metadata::read(&mut archive)?),
                "info.json" => info = Some(read_info(&mut archive)?),
                // The metadata may come last, so until then every file could be the disk.
                name if metadata.as_ref().is_none_or(|metadata| metadata.wants(name)) => {
                    let must_be_image = metadata.as_ref().is_some_and(|metadata| metadata.disk == name);
                    let index = files.len();
                    let claimed = Claimed { size: entry.size, must_be_image };
                    let file = self.store(&mut archive, name, Some(&claimed), index)?;
                    files.insert(entry.name, file);
                }
                _ => {}
            }
        }
        archive.finish()?;
        assemble(metadata.ok_or(Refusal::NoMetadata)?, info, files)
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
        let (head, mut whole) = peek(from, qcow2::HEAD)?;
        let mut limit = self.limits.file;
        if qcow2::is_qcow2(&head) || claimed.is_some_and(|claimed| claimed.must_be_image) {
            limit = limit.min(image_limit(&header(name, &head)?));
        }
        let what = if claimed.is_some() { format!("its `{name}`") } else { name.into() };
        if let Some(size) = claimed.map(|claimed| claimed.size).filter(|size| *size > limit) {
            return Err(Refusal::TooLarge { what, size, limit }.into());
        }
        let path = self.into.join(format!("file{index}"));
        disk::write(self.pool, self.cancel, &mut whole, &path, &what, limit)
    }
}

/// Finds the parts that the metadata names among the files of an archive.
fn assemble(
    metadata: Metadata,
    info: Option<Map<String, Value>>,
    mut files: BTreeMap<String, Written>,
) -> Result<Received, Broken> {
    let mut part = |name: &str| files.remove(name).ok_or_else(|| Refusal::Missing(name.into()));
    let disk = part(&metadata.disk)?;
    let virtual_size = header(&metadata.disk, &disk.head)?.virtual_size;
    let kernel = metadata.kernel.as_deref().map(&mut part).transpose()?;
    let initrd = metadata.initrd.as_deref().map(&mut part).transpose()?;
    Ok(Received { metadata, info, disk, format: "qcow2", virtual_size, kernel, initrd })
}

/// What the archive says of a file.
struct Claimed {
    size: u64,
    must_be_image: bool,
}

/// An image without snapshots holds at most what the guest sees and a few per cent of tables; the rest is generosity
/// towards odd writers.
fn image_limit(header: &Header) -> u64 {
    if header.snapshots > 0 { u64::MAX } else { header.virtual_size + header.virtual_size / 4 + (64 << 20) }
}

fn header(entry: &str, head: &[u8]) -> Result<Header, Refusal> {
    Header::parse(head).map_err(|source| Refusal::Image { entry: entry.into(), source })
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Ends the first sector of a disk with a partition table or boot loader.
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// What people mistake for a box.
fn kind_of(head: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"PK\x03\x04", "a zip archive"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"BZh", "compressed with bzip2"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"KDMV", "a VMDK image"),
        (b"# Disk DescriptorFile", "a VMDK descriptor"),
        (b"<<< ", "a VDI image"),
        (b"conectix", "a VHD image"),
        (b"vhdxfile", "a VHDX image"),
        (b"<", "a web page"),
        (b"{", "a JSON document"),
    ];
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

/// Gunzips one member after the other; what follows the last one must be nothing.
struct Gunzip<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let amount = decoder.read(into)?;
            if amount > 0 || into.is_empty() {
                return Ok(amount);
            }
            let Some(mut from) = self.0.take().map(GzDecoder::into_inner) else { break };
            match from.fill_buf()? {
                [] => break,
                rest if rest[0] == GZIP[0] => self.0 = Some(GzDecoder::new(from)),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, Refusal::Trailing)),
            }
        }
        Ok(0)
    }
}
