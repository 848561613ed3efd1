//! Disk images: which kind a file is, and what its headers claim, read with distrust.
//!
//! An image may ask its reader to open other files of the host (backing files, parents, extents). Whatever does is
//! refused here, before any program that would follow it sees the image. Nothing but headers and tables is looked at: the
//! rest is the part of `qemu-img` and of the hypervisor, who are always told the format and never guess it.

mod source;
mod tables;
pub mod vdi;
mod vhd;
mod vhdx;
pub mod vmdk;

use std::fmt;
use std::io;
use std::str::FromStr;

pub use source::{FileSource, Source};

use super::qcow2;
pub use super::qcow2::{HEAD, MAX_VIRTUAL_SIZE};

/// A format of disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// QEMU's own.
    Qcow2,
    /// The disk's content as it is.
    Raw,
    /// VMware's, in one file; stream-optimised ones too.
    Vmdk,
    /// VirtualBox's.
    Vdi,
    /// Hyper-V's.
    Vhdx,
    /// Hyper-V's older one (VHD), which QEMU calls after Virtual PC.
    Vpc,
}

impl Format {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Qcow2, Self::Raw, Self::Vmdk, Self::Vdi, Self::Vhdx, Self::Vpc];

    /// What QEMU calls it, and a box's manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhdx => "vhdx",
            Self::Vpc => "vpc",
        }
    }

    /// What its files' names end in: VirtualBox goes by that.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Raw => "img",
            Self::Vpc => "vhd",
            other => other.name(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No format that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format of disk images that is known here")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.iter().find(|format| format.name() == text);
        found.copied().ok_or_else(|| UnknownFormat(super::name::printable(text)))
    }
}

/// What an image's headers say, once they are known to be harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its format.
    pub format: Format,
    /// What the guest sees, in bytes.
    pub virtual_size: u64,
    /// How large its file can be at most, if what it says is true.
    pub bound: u64,
}

impl Image {
    /// An image holds at most what the guest sees and a few per cent of tables; the rest is generosity towards odd
    /// writers.
    fn bounded(format: Format, virtual_size: u64) -> Result<Self, Error> {
        if virtual_size == 0 || virtual_size > MAX_VIRTUAL_SIZE {
            return Err(Error::Size(virtual_size));
        }
        Ok(Self { format, virtual_size, bound: virtual_size + virtual_size / 4 + (64 << 20) })
    }
}

/// Why an image is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A qcow2 image.
    #[error(transparent)]
    Qcow2(#[from] qcow2::Error),
    /// It ends too early.
    #[error("it is a {0} image that is cut off")]
    Short(Format),
    /// It ends before something that it names.
    #[error(
        "it is a {format} image that is cut off: {what} ends at byte {end} or later, and its file has {size} bytes"
    )]
    Cut {
        /// Its format.
        format: Format,
        /// What is missing.
        what: &'static str,
        /// Where that ends, at least.
        end: u64,
        /// How long the file is.
        size: u64,
    },
    /// It is a delta on another image.
    #[error("it is a {0} image that needs another one, its parent: an image in a box must stand alone")]
    Parent(Format),
    /// Its content lies in other files.
    #[error("it keeps its content in another file, `{0}`: an image in a box must stand alone")]
    Outside(String),
    /// Something in it cannot be so.
    #[error("it is a damaged {format} image: {why}")]
    Damaged {
        /// Its format.
        format: Format,
        /// What cannot be so.
        why: &'static str,
    },
    /// Something that neither we nor QEMU can read.
    #[error("it is a {format} image of a kind that cannot be read: {what}")]
    Unsupported {
        /// Its format.
        format: Format,
        /// What it needs.
        what: String,
    },
    /// Zero, or over the bound.
    #[error("its virtual size is {0} bytes; 1 to {MAX_VIRTUAL_SIZE} are accepted")]
    Size(u64),
    /// A raw image whose size no disk has.
    #[error("it is a raw image of {0} bytes, which is not a multiple of 512")]
    RawSize(u64),
    /// None of the formats.
    #[error("it is not a disk image of a kind that is known here")]
    Unknown,
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

impl Error {
    /// Whether its end is missing.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Short(_) | Self::Cut { .. } | Self::Qcow2(qcow2::Error::Short))
    }

    /// Whether its author would have to flatten it.
    pub fn needs_flattening(&self) -> bool {
        matches!(
            self,
            Self::Parent(_) | Self::Outside(_) | Self::Qcow2(qcow2::Error::BackingFile(_) | qcow2::Error::DataFile)
        )
    }
}

/// Ends the first sector of a disk with a partition table or boot loader.
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// The format of an image that begins so; `None` where it is no image, or a raw one without a boot sector.
pub fn kind_of(head: &[u8]) -> Option<Format> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    match () {
        () if qcow2::is_qcow2(head) => Some(Format::Qcow2),
        () if begins(vmdk::MAGIC) => Some(Format::Vmdk),
        () if begins(vhdx::MAGIC) => Some(Format::Vhdx),
        () if begins(vhd::MAGIC) => Some(Format::Vpc),
        () if vdi::is_vdi(head) => Some(Format::Vdi),
        () if head.get(510..512) == Some(&BOOT_SIGNATURE) => Some(Format::Raw),
        () => None,
    }
}

/// What an image that begins with `head` (its first [`HEAD`] bytes, or all of a shorter one) claims; `None` where its
/// first bytes do not tell.
pub fn claim(format: Format, head: &[u8]) -> Result<Option<Image>, Error> {
    match format {
        Format::Qcow2 => {
            let header = qcow2::Header::parse(head)?;
            let image = Image::bounded(format, header.virtual_size)?;
            let bound = if header.snapshots > 0 { u64::MAX } else { image.bound };
            Ok(Some(Image { bound, ..image }))
        }
        Format::Vmdk => vmdk::claim(head).map(Some),
        Format::Vdi => Ok(Some(vdi::Header::parse(head)?.image)),
        Format::Vpc => vhd::claim(head).map(Some),
        Format::Vhdx | Format::Raw => Ok(None),
    }
}

/// Judges a whole image. A raw one may turn out to be a VHD of fixed size, which only its end tells.
pub fn inspect(source: &dyn Source) -> Result<Image, Error> {
    let head = source.bytes(0, HEAD.min(usize::try_from(source.size()).unwrap_or(HEAD)))?.unwrap_or_default();
    let format = kind_of(&head).ok_or(Error::Unknown)?;
    let image = match format {
        Format::Qcow2 => {
            tables::check(&qcow2::Header::parse(&head)?, source)?;
            claim(format, &head)?.ok_or(Error::Unknown)?
        }
        Format::Vmdk => vmdk::inspect(&head, source)?,
        Format::Vdi => vdi::inspect(&head, source)?,
        Format::Vpc => vhd::inspect(&head, source)?,
        Format::Vhdx => vhdx::inspect(source)?,
        Format::Raw => match vhd::fixed(source)? {
            Some(image) => image,
            None if !source.size().is_multiple_of(512) => return Err(Error::RawSize(source.size())),
            None => Image { format, virtual_size: source.size(), bound: u64::MAX },
        },
    };
    if source.size() > image.bound {
        return Err(Error::Damaged { format, why: "its file is larger than the disk in it can be" });
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// An image of 8 MiB with some content, made by `qemu-img`.
    pub fn made(format: &str, options: &str) -> Option<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let (raw, path) = (dir.path().join("raw"), dir.path().join("image"));
        let mut content = vec![0; 8 << 20];
        content[510..512].copy_from_slice(&BOOT_SIGNATURE);
        content[3 << 20..4 << 20].fill(7);
        std::fs::write(&raw, content).unwrap();
        let mut command = Command::new("qemu-img");
        command.args(["convert", "-f", "raw", "-O", format]);
        if !options.is_empty() {
            command.args(["-o", options]);
        }
        let done = command.arg(&raw).arg(&path).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(std::fs::read(&path).unwrap());
        }
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: it takes qemu-img\n");
        None
    }

    const MADE: &[(&str, &str, Format)] = &[
        ("qcow2", "", Format::Qcow2),
        ("raw", "", Format::Raw),
        ("vmdk", "subformat=monolithicSparse", Format::Vmdk),
        ("vmdk", "subformat=streamOptimized", Format::Vmdk),
        ("vdi", "", Format::Vdi),
        ("vdi", "static=on", Format::Vdi),
        ("vpc", "subformat=dynamic,force_size=on", Format::Vpc),
        ("vpc", "subformat=fixed,force_size=on", Format::Vpc),
        ("vhdx", "subformat=dynamic", Format::Vhdx),
        ("vhdx", "subformat=fixed", Format::Vhdx),
    ];

    #[test]
    fn what_qemu_img_writes_is_understood() {
        for (format, options, expected) in MADE {
            let Some(bytes) = made(format, options) else { return };
            let image = inspect(&bytes.as_slice()).unwrap_or_else(|e| panic!("{format} {options}: {e}"));
            assert_eq!((image.format, image.virtual_size), (*expected, 8 << 20), "{format} {options}");
            let head = &bytes[..bytes.len().min(HEAD)];
            if let Some(claimed) = kind_of(head).and_then(|format| claim(format, head).unwrap()) {
                assert_eq!(claimed.virtual_size, image.virtual_size);
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for (format, options, _) in MADE.iter().filter(|(format, _, _)| !matches!(*format, "qcow2" | "raw")) {
            let Some(bytes) = made(format, options) else { return };
            for length in [60, 200, 1000] {
                let whole = inspect(&&bytes[..length]);
                assert!(whole.is_err(), "{format} {options}, {length} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn formats_are_named_as_qemu_does() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), *format);
        }
        assert!("luks".parse::<Format>().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            which in 0..MADE.len(), changes in proptest::collection::vec((0usize..600, any::<u8>()), 0..20)
        ) {
            thread_local! {
                static IMAGES: Vec<Option<Vec<u8>>> =
                    MADE.iter().map(|(format, options, _)| made(format, options)).collect();
            }
            let mut bytes = IMAGES.with(|images| images[which].clone()).unwrap_or_default();
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Ok(image) = inspect(&bytes.as_slice()) {
                prop_assert!(image.virtual_size > 0 && image.virtual_size <= MAX_VIRTUAL_SIZE);
            }
        }
    }
}
