//! VirtualBox's images. See `VDICore.h` of VirtualBox; the header is the same since version 1.1 (2005).

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::source::{Source, le32, le64};
use super::{Error, Format, Image};

const SIGNATURE: u32 = 0xbeda_107f;
const SIGNATURE_AT: usize = 64;

/// The only one in use.
const VERSION: u32 = 0x0001_0001;

const DYNAMIC: u32 = 1;
const FIXED: u32 = 2;
const DIFFERENCE: u32 = 4;

/// What every writer uses, and the only size that QEMU reads.
const BLOCK: u64 = 1 << 20;

/// Where the ids of the image and of its last change lie.
const UUIDS_AT: [u64; 2] = [392, 408];

/// Gives an image that was made just now its id, which is also that of its last change.
pub fn stamp(path: &Path, uuid: &[u8; 16]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    UUIDS_AT.iter().try_for_each(|at| file.write_all_at(uuid, *at))
}

pub(super) fn is_vdi(head: &[u8]) -> bool {
    le32(head, SIGNATURE_AT) == Some(SIGNATURE)
}

pub(super) struct Header {
    pub image: Image,
    map_at: u64,
    data_at: u64,
    blocks: u64,
    allocated: u64,
}

impl Header {
    pub fn parse(head: &[u8]) -> Result<Self, Error> {
        let short = || Error::Short(Format::Vdi);
        let word = |at| le32(head, at).ok_or_else(short);
        let version = word(68)?;
        if version != VERSION {
            let what = format!("its version is {}.{}", version >> 16, version & 0xffff);
            return Err(Error::Unsupported { format: Format::Vdi, what });
        }
        let uuid = |at: usize| head.get(at..at + 16).ok_or_else(short);
        let links = [uuid(424)?, uuid(440)?];
        match word(76)? {
            DIFFERENCE => return Err(Error::Parent(Format::Vdi)),
            DYNAMIC | FIXED if links.iter().any(|uuid| uuid.iter().any(|byte| *byte != 0)) => {
                return Err(Error::Parent(Format::Vdi));
            }
            DYNAMIC | FIXED => {}
            other => {
                return Err(Error::Unsupported { format: Format::Vdi, what: format!("its type is {other}") });
            }
        }
        if word(360)? != 512 || u64::from(word(376)?) != BLOCK {
            return Err(damaged("its sectors or blocks have an odd size"));
        }
        let image = Image::bounded(Format::Vdi, le64(head, 368).ok_or_else(short)?)?;
        let (blocks, allocated) = (u64::from(word(384)?), u64::from(word(388)?));
        if blocks < image.virtual_size.div_ceil(BLOCK) {
            return Err(damaged("its map is shorter than its disk"));
        }
        if allocated > blocks {
            return Err(damaged("it has more blocks than its disk"));
        }
        Ok(Self { image, map_at: u64::from(word(340)?), data_at: u64::from(word(344)?), blocks, allocated })
    }
}

pub(super) fn inspect(head: &[u8], source: &dyn Source) -> Result<Image, Error> {
    let header = Header::parse(head)?;
    if header.map_at < 512 || header.map_at + 4 * header.blocks > header.data_at {
        return Err(damaged("its map lies in the middle of its data"));
    }
    // The last block may be shorter than the others.
    let full = header.allocated.saturating_sub(1) * BLOCK;
    if header.data_at + full > source.size() {
        return Err(Error::Short(Format::Vdi));
    }
    Ok(header.image)
}

fn damaged(why: &'static str) -> Error {
    Error::Damaged { format: Format::Vdi, why }
}

#[cfg(test)]
mod tests {
    use super::super::tests::made;

    #[test]
    fn an_image_with_another_id_is_as_good() {
        let Some(mut image) = made("vdi", "") else { return };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &image).unwrap();
        super::stamp(file.path(), &[7; 16]).unwrap();
        let stamped = std::fs::read(file.path()).unwrap();
        image[392..424].fill(7);
        assert_eq!(stamped, image);
        super::super::inspect(&stamped.as_slice()).unwrap();
    }

    #[test]
    fn parents_and_nonsense_are_refused() {
        let Some(good) = made("vdi", "") else { return };
        for (at, bytes, why) in [
            (76, 4u32.to_le_bytes(), "needs another one, its parent"),
            (424, [1; 4], "its parent"),
            (440, [1; 4], "its parent"),
            (76, 9u32.to_le_bytes(), "its type is 9"),
            (68, 2u32.to_le_bytes(), "its version is 0.2"),
            (376, 512u32.to_le_bytes(), "odd size"),
            (384, 1u32.to_le_bytes(), "its map is shorter"),
            (388, [0xff; 4], "more blocks"),
            (340, [0xff; 4], "in the middle of its data"),
            (372, [0xff; 4], "virtual size"),
        ] {
            let mut image = good.clone();
            image[at..at + 4].copy_from_slice(&bytes);
            let message = super::super::inspect(&image.as_slice()).unwrap_err().to_string();
            assert!(message.contains(why), "{at}: {message}");
        }
    }
}
