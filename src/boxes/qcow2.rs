//! The header of a qcow2 image, read with distrust: an image may ask its reader to open other files of the host.
//!
//! See "QCOW2 Image Format" (`docs/interop/qcow2.rst`) of QEMU. Whether what it names is there, `images` tells.

/// `QFI\xfb`.
const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Length of the header of version 2, and of the part of version 3's that always exists.
const V2_LENGTH: usize = 72;
const V3_LENGTH: usize = 104;

/// A header extension that holds the name of an external data file.
const EXT_DATA_FILE: u32 = 0x4441_5441;
/// A header extension that points to LUKS's header.
const EXT_ENCRYPTION: u32 = 0x0537_be77;

const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
/// Dirty is harmless to a reader.
const INCOMPATIBLE_KNOWN: u64 = 1 | INCOMPATIBLE_COMPRESSION | INCOMPATIBLE_EXTENDED_L2;

/// More than any disk of a development machine, and less than what overflows anywhere.
pub const MAX_VIRTUAL_SIZE: u64 = 16 << 40;

/// How much of an image [`Header::parse`] wants to see (less where the file is shorter): the header and its extensions
/// lie in the first cluster, and no tool writes more than a few hundred bytes of them.
pub const HEAD: usize = 64 << 10;

/// What a header says, once it is known to be harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// What the guest sees, in bytes.
    pub virtual_size: u64,
    /// Internal snapshots, and where they are listed.
    pub snapshots: u32,
    pub(super) snapshots_at: u64,
    /// A cluster has two to the power of this many bytes.
    pub(super) cluster_bits: u32,
    /// The first of two tables that name the clusters of the disk: its place, and how many entries it has.
    pub(super) l1_at: u64,
    pub(super) l1_entries: u32,
    /// Whether entries of the second one have a bitmap.
    pub(super) extended_l2: bool,
    /// The table of reference counts: its place, and how many clusters it has.
    pub(super) refcounts_at: u64,
    pub(super) refcount_clusters: u32,
}

/// Why an image is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The magic number is missing.
    #[error("it is not a qcow2 image")]
    Magic,
    /// The file ends inside of the header.
    #[error("its qcow2 header is cut off")]
    Short,
    /// Version 1, or one of the future.
    #[error("it is qcow2 version {0}; versions 2 and 3 are known")]
    Version(u32),
    /// It is a delta on another file.
    #[error("it needs a backing file, `{0}`: an image in a box must stand alone")]
    BackingFile(String),
    /// Its content lies in another file.
    #[error("it keeps its content in an external data file: an image in a box must stand alone")]
    DataFile,
    /// Content is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// Marked so by QEMU.
    #[error("it is marked as corrupt")]
    Corrupt,
    /// A feature bit that a reader must know.
    #[error("it needs features that are not known here (incompatible feature bits {0:#x})")]
    Features(u64),
    /// A field that cannot be so.
    #[error("its qcow2 header makes no sense: {0}")]
    Nonsense(&'static str),
    /// Zero, or over the bound.
    #[error("its virtual size is {0} bytes; 1 to {MAX_VIRTUAL_SIZE} are accepted")]
    Size(u64),
}

/// Whether these bytes begin a qcow2 image.
pub fn is_qcow2(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

impl Header {
    /// Reads the header from the first [`HEAD`] bytes of an image (or all of a shorter one).
    pub fn parse(head: &[u8]) -> Result<Self, Error> {
        if !is_qcow2(head) {
            return Err(Error::Magic);
        }
        let version = be32(head, 4)?;
        if !matches!(version, 2 | 3) {
            return Err(Error::Version(version));
        }
        if be64(head, 8)? != 0 || be32(head, 16)? != 0 {
            return Err(Error::BackingFile(backing_name(head)));
        }
        let cluster_bits = be32(head, 20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(Error::Nonsense("cluster size"));
        }
        let virtual_size = be64(head, 24)?;
        if virtual_size == 0 || virtual_size > MAX_VIRTUAL_SIZE {
            return Err(Error::Size(virtual_size));
        }
        if be32(head, 32)? != 0 {
            return Err(Error::Encrypted);
        }
        let length = if version == 3 { check_features(head)? } else { V2_LENGTH };
        check_extensions(head, length)?;
        Ok(Self {
            version,
            virtual_size,
            snapshots: be32(head, 60)?,
            snapshots_at: be64(head, 64)?,
            cluster_bits,
            l1_at: be64(head, 40)?,
            l1_entries: be32(head, 36)?,
            extended_l2: version == 3 && be64(head, 72)? & INCOMPATIBLE_EXTENDED_L2 != 0,
            refcounts_at: be64(head, 48)?,
            refcount_clusters: be32(head, 56)?,
        })
    }
}

/// Version 3's fields; returns the header's length.
fn check_features(head: &[u8]) -> Result<usize, Error> {
    let features = be64(head, 72)?;
    if features & INCOMPATIBLE_DATA_FILE != 0 {
        return Err(Error::DataFile);
    }
    if features & INCOMPATIBLE_CORRUPT != 0 {
        return Err(Error::Corrupt);
    }
    if features & !INCOMPATIBLE_KNOWN != 0 {
        return Err(Error::Features(features & !INCOMPATIBLE_KNOWN));
    }
    if be32(head, 96)? > 6 {
        return Err(Error::Nonsense("refcount width"));
    }
    let length = be32(head, 100)? as usize;
    if length < V3_LENGTH || !length.is_multiple_of(8) {
        return Err(Error::Nonsense("header length"));
    }
    if features & INCOMPATIBLE_COMPRESSION != 0 && (length < 112 || !matches!(head.get(104), Some(0 | 1))) {
        return Err(Error::Nonsense("compression type"));
    }
    Ok(length)
}

fn check_extensions(head: &[u8], mut at: usize) -> Result<(), Error> {
    loop {
        // QEMU itself ends the list with a zero type, or at the end of the first cluster.
        if at >= head.len() {
            return if head.len() < HEAD { Ok(()) } else { Err(Error::Nonsense("header extensions without end")) };
        }
        match be32(head, at)? {
            0 => return Ok(()),
            EXT_DATA_FILE => return Err(Error::DataFile),
            EXT_ENCRYPTION => return Err(Error::Encrypted),
            _ => {}
        }
        let length = be32(head, at + 4)? as usize;
        if length > HEAD {
            return Err(Error::Nonsense("length of a header extension"));
        }
        at += 8 + length.next_multiple_of(8);
    }
}

fn backing_name(head: &[u8]) -> String {
    let bytes = || {
        let at = usize::try_from(be64(head, 8).ok()?).ok()?;
        let length = (be32(head, 16).ok()? as usize).min(200);
        head.get(at..at.checked_add(length)?)
    };
    let name = String::from_utf8_lossy(bytes().unwrap_or_default());
    name.chars().filter(|c| !c.is_control()).collect()
}

fn be32(head: &[u8], at: usize) -> Result<u32, Error> {
    let bytes = head.get(at..).and_then(<[u8]>::first_chunk).ok_or(Error::Short)?;
    Ok(u32::from_be_bytes(*bytes))
}

fn be64(head: &[u8], at: usize) -> Result<u64, Error> {
    let bytes = head.get(at..).and_then(<[u8]>::first_chunk).ok_or(Error::Short)?;
    Ok(u64::from_be_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of version 3 as `qemu-img create` writes it, `size` bytes large.
    pub fn sample(size: u64) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&3u32.to_be_bytes());
        head[20..24].copy_from_slice(&16u32.to_be_bytes());
        head[24..32].copy_from_slice(&size.to_be_bytes());
        head[96..100].copy_from_slice(&4u32.to_be_bytes());
        head[100..104].copy_from_slice(&104u32.to_be_bytes());
        head
    }

    fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = sample(1 << 30);
        head[at..at + bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn a_plain_image_is_accepted() {
        let header = Header::parse(&sample(1 << 30)).unwrap();
        assert_eq!((header.version, header.virtual_size, header.cluster_bits), (3, 1 << 30, 16));
        assert_eq!(Header::parse(&patched(4, &2u32.to_be_bytes())).unwrap().version, 2);
    }

    #[test]
    fn what_could_reach_other_files_or_is_unknown_is_refused() {
        let mut backed = patched(8, &200u64.to_be_bytes());
        backed[16..20].copy_from_slice(&11u32.to_be_bytes());
        backed[200..211].copy_from_slice(b"/etc/shadow");
        for (head, why) in [
            (backed, Error::BackingFile("/etc/shadow".into())),
            (patched(72, &4u64.to_be_bytes()), Error::DataFile),
            (patched(104, &EXT_DATA_FILE.to_be_bytes()), Error::DataFile),
            (patched(104, &EXT_ENCRYPTION.to_be_bytes()), Error::Encrypted),
            (patched(32, &1u32.to_be_bytes()), Error::Encrypted),
            (patched(72, &2u64.to_be_bytes()), Error::Corrupt),
            (patched(72, &(1u64 << 40 | 1).to_be_bytes()), Error::Features(1 << 40)),
            (patched(4, &1u32.to_be_bytes()), Error::Version(1)),
            (patched(24, &u64::MAX.to_be_bytes()), Error::Size(u64::MAX)),
            (patched(24, &0u64.to_be_bytes()), Error::Size(0)),
            (patched(20, &40u32.to_be_bytes()), Error::Nonsense("cluster size")),
            (patched(100, &8u32.to_be_bytes()), Error::Nonsense("header length")),
            (b"QFI\xfb\0\0\0\x03".to_vec(), Error::Short),
            (b"GIF89a".to_vec(), Error::Magic),
        ] {
            assert_eq!(Header::parse(&head).unwrap_err(), why);
        }
    }

    #[test]
    fn an_extension_behind_others_is_found() {
        let mut head = patched(104, &0x6803_f857_u32.to_be_bytes());
        head[108..112].copy_from_slice(&5u32.to_be_bytes());
        head[120..124].copy_from_slice(&EXT_DATA_FILE.to_be_bytes());
        assert_eq!(Header::parse(&head), Err(Error::DataFile));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Header::parse(&bytes);
            let mut head = sample(1 << 30);
            let end = bytes.len().min(head.len() - 8);
            head[8..8 + end].copy_from_slice(&bytes[..end]);
            if let Ok(header) = Header::parse(&head) {
                prop_assert!(header.virtual_size > 0 && header.virtual_size <= MAX_VIRTUAL_SIZE);
            }
        }
    }
}
