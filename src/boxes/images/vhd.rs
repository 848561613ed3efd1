//! Virtual PC's and Hyper-V's older images. See Microsoft's "Virtual Hard Disk Image Format Specification" (2006).

use super::source::{Source, be32, be64};
use super::{Error, Format, Image};

/// Begins the footer, and the copy of it that images of growing size begin with.
pub(super) const MAGIC: &[u8] = b"conectix";

const FOOTER: usize = 512;
const CHECKSUM_AT: usize = 64;

const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCE: u32 = 4;

/// Begins the header of an image of growing size.
const DYNAMIC_MAGIC: &[u8] = b"cxsparse";

struct Footer {
    image: Image,
    kind: u32,
    header_at: u64,
}

impl Footer {
    fn parse(footer: &[u8]) -> Result<Self, Error> {
        let footer = footer.first_chunk::<FOOTER>().ok_or(Error::Short(Format::Vpc))?;
        let short = || Error::Short(Format::Vpc);
        let kind = be32(footer, 60).ok_or_else(short)?;
        match kind {
            DIFFERENCE => return Err(Error::Parent(Format::Vpc)),
            FIXED | DYNAMIC => {}
            other => {
                return Err(Error::Unsupported { format: Format::Vpc, what: format!("its type is {other}") });
            }
        }
        if checksum(footer) != be32(footer, CHECKSUM_AT).ok_or_else(short)? {
            return Err(damaged("a checksum is wrong"));
        }
        let image = Image::bounded(Format::Vpc, be64(footer, 48).ok_or_else(short)?)?;
        Ok(Self { image, kind, header_at: be64(footer, 16).ok_or_else(short)? })
    }
}

/// All bytes but the checksum's own.
fn checksum(footer: &[u8; FOOTER]) -> u32 {
    let counted = footer.iter().enumerate().filter(|(at, _)| !(CHECKSUM_AT..CHECKSUM_AT + 4).contains(at));
    !counted.map(|(_, byte)| u32::from(*byte)).sum::<u32>()
}

/// An image of growing size begins with a copy of its footer.
pub(super) fn claim(head: &[u8]) -> Result<Image, Error> {
    let footer = Footer::parse(head)?;
    if footer.kind == DYNAMIC { Ok(footer.image) } else { Err(damaged("it is of fixed size, with its end first")) }
}

pub(super) fn inspect(head: &[u8], source: &dyn Source) -> Result<Image, Error> {
    let image = claim(head)?;
    let footer = Footer::parse(head)?;
    let header = source.bytes(footer.header_at, 1024)?.ok_or(Error::Short(Format::Vpc))?;
    if !header.starts_with(DYNAMIC_MAGIC) {
        return Err(damaged("its second header is missing"));
    }
    let short = || Error::Short(Format::Vpc);
    // Parents are named here too; only differences may have one.
    if header.get(40..56).is_none_or(|uuid| uuid.iter().any(|byte| *byte != 0)) {
        return Err(Error::Parent(Format::Vpc));
    }
    let (map_at, blocks) = (be64(&header, 16).ok_or_else(short)?, be32(&header, 28).ok_or_else(short)?);
    let block = u64::from(be32(&header, 32).ok_or_else(short)?);
    if !block.is_power_of_two() || u64::from(blocks).saturating_mul(block) < image.virtual_size {
        return Err(damaged("its map is shorter than its disk"));
    }
    if map_at.checked_add(4 * u64::from(blocks)).is_none_or(|end| end > source.size()) {
        return Err(short());
    }
    // Writers put the footer at the end as well, and without it the last block may be missing.
    let end = source.bytes(source.size().saturating_sub(FOOTER as u64), FOOTER)?.ok_or_else(short)?;
    if !end.starts_with(MAGIC) {
        return Err(short());
    }
    Ok(image)
}

/// The image of fixed size that a file with any beginning is, if it ends in a footer.
pub(super) fn fixed(source: &dyn Source) -> Result<Option<Image>, Error> {
    let Some(at) = source.size().checked_sub(FOOTER as u64) else { return Ok(None) };
    let footer = source.bytes(at, FOOTER)?.filter(|footer| footer.starts_with(MAGIC));
    let Some(footer) = footer else { return Ok(None) };
    let footer = Footer::parse(&footer)?;
    if footer.kind != FIXED {
        return Err(damaged("its beginning is missing"));
    }
    if footer.image.virtual_size > at {
        return Err(Error::Short(Format::Vpc));
    }
    Ok(Some(footer.image))
}

fn damaged(why: &'static str) -> Error {
    Error::Damaged { format: Format::Vpc, why }
}

#[cfg(test)]
mod tests {
    use super::super::tests::made;

    #[test]
    fn differences_and_damage_are_refused() {
        let Some(good) = made("vpc", "subformat=dynamic,force_size=on") else { return };
        for (at, bytes, why) in [
            (60, 4u32.to_be_bytes(), "its parent"),
            (60, 9u32.to_be_bytes(), "its type is 9"),
            (100, [1; 4], "a checksum is wrong"),
            (512, [0; 4], "second header"),
            (512 + 40, [1; 4], "its parent"),
            (512 + 28, [0; 4], "its map is shorter"),
            (512 + 16, [0xff; 4], "cut off"),
        ] {
            let mut image = good.clone();
            image[at..at + 4].copy_from_slice(&bytes);
            let message = super::super::inspect(&image.as_slice()).unwrap_err().to_string();
            assert!(message.contains(why), "{at}: {message}");
        }
    }
}
