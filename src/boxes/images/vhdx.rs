//! Hyper-V's images. See Microsoft's "Virtual Hard Disk v2 (VHDX) File Format" (MS-VHDX).

use super::source::{Source, le16, le32, le64};
use super::{Error, Format, Image};

pub(super) const MAGIC: &[u8] = b"vhdxfile";

const KIB: u64 = 1 << 10;
const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
const HEADER: usize = 4096;
const REGIONS: [u64; 2] = [192 * KIB, 256 * KIB];
const REGION_TABLE: usize = 64 << 10;

/// Entries of the region table and of the metadata table: the specification's own bound.
const ENTRIES_LIMIT: u32 = 2047;
const ENTRY: usize = 32;

/// GUIDs as they lie in the file.
const METADATA_REGION: [u8; 16] =
    [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
const FILE_PARAMETERS: [u8; 16] =
    [0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b];
const DISK_SIZE: [u8; 16] =
    [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8];
const PARENT_LOCATOR: [u8; 16] =
    [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];

const HAS_PARENT: u32 = 1 << 1;

pub(super) fn inspect(source: &dyn Source) -> Result<Image, Error> {
    check_headers(source)?;
    let (at, length) = metadata_region(source)?;
    let table = source.bytes(at, REGION_TABLE)?.ok_or_else(short)?;
    if !table.starts_with(b"metadata") {
        return Err(damaged("its metadata is missing"));
    }
    let count = u32::from(le16(&table, 10).ok_or_else(short)?);
    let mut virtual_size = None;
    for entry in entries(&table, 32, count)? {
        let (offset, size) = (le32(entry, 16).ok_or_else(short)?, le32(entry, 20).ok_or_else(short)?);
        if u64::from(offset) + u64::from(size) > length {
            return Err(damaged("its metadata lies outside of its place"));
        }
        let item = || source.bytes(at + u64::from(offset), 8)?.ok_or_else(short);
        match entry.first_chunk() {
            Some(&PARENT_LOCATOR) => return Err(Error::Parent(Format::Vhdx)),
            Some(&FILE_PARAMETERS) if le32(&item()?, 4).is_none_or(|flags| flags & HAS_PARENT != 0) => {
                return Err(Error::Parent(Format::Vhdx));
            }
            Some(&DISK_SIZE) => virtual_size = le64(&item()?, 0),
            _ => {}
        }
    }
    Image::bounded(Format::Vhdx, virtual_size.ok_or_else(|| damaged("it does not say how large its disk is"))?)
}

/// One of the two headers must be whole.
fn check_headers(source: &dyn Source) -> Result<(), Error> {
    for at in HEADERS {
        let header = source.bytes(at, HEADER)?.ok_or_else(short)?;
        if header.starts_with(b"head") && checksum_fits(&header) {
            return match le16(&header, 66) {
                Some(1) => Ok(()),
                version => {
                    let what = format!("its version is {}", version.unwrap_or_default());
                    Err(Error::Unsupported { format: Format::Vhdx, what })
                }
            };
        }
    }
    Err(damaged("both of its headers are broken"))
}

/// Where the metadata lies, and how long it is.
fn metadata_region(source: &dyn Source) -> Result<(u64, u64), Error> {
    for at in REGIONS {
        let table = source.bytes(at, REGION_TABLE)?.ok_or_else(short)?;
        if !table.starts_with(b"regi") || !checksum_fits(&table) {
            continue;
        }
        let count = le32(&table, 8).ok_or_else(short)?;
        let mut all = entries(&table, 16, count)?;
        let entry = all.find(|entry| entry.starts_with(&METADATA_REGION));
        let entry = entry.ok_or_else(|| damaged("its metadata is missing"))?;
        let (offset, length) = (le64(entry, 16).ok_or_else(short)?, le32(entry, 24).ok_or_else(short)?);
        return Ok((offset, u64::from(length)));
    }
    Err(damaged("both of its region tables are broken"))
}

fn entries(table: &[u8], at: usize, count: u32) -> Result<impl Iterator<Item = &[u8]>, Error> {
    if count > ENTRIES_LIMIT {
        return Err(damaged("a table has more entries than it may"));
    }
    let length = count as usize * ENTRY;
    let all = table.get(at..).and_then(|rest| rest.get(..length)).ok_or_else(short)?;
    Ok(all.chunks_exact(ENTRY))
}

/// CRC-32C over all of it, with zeros in the place of the checksum (bytes 4 to 7).
fn checksum_fits(bytes: &[u8]) -> bool {
    let (Some(start), Some(rest)) = (bytes.get(..4), bytes.get(8..)) else { return false };
    let crc = [start, &[0; 4], rest].into_iter().flatten().fold(u32::MAX, |crc, byte| {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        CRC32C[index as usize] ^ crc >> 8
    });
    le32(bytes, 4) == Some(!crc)
}

/// Castagnoli's polynomial, bits reversed.
const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the index is below 256; `try_from` is not const")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

fn short() -> Error {
    Error::Short(Format::Vhdx)
}

fn damaged(why: &'static str) -> Error {
    Error::Damaged { format: Format::Vhdx, why }
}

#[cfg(test)]
mod tests {
    use super::super::tests::made;
    use super::*;

    fn place(image: &[u8], item: [u8; 16]) -> usize {
        image.windows(16).position(|window| window == item).unwrap()
    }

    fn judged(image: &[u8]) -> String {
        super::super::inspect(&image).unwrap_err().to_string()
    }

    #[test]
    fn damage_is_refused_but_one_copy_is_enough() {
        let Some(good) = made("vhdx", "subformat=dynamic") else { return };
        for (copies, why) in [([64, 128], "both of its headers"), ([192, 256], "both of its region tables")] {
            let mut image = good.clone();
            image[(copies[0] << 10) + 100] ^= 1;
            super::super::inspect(&image.as_slice()).unwrap();
            image[(copies[1] << 10) + 100] ^= 1;
            assert!(judged(&image).contains(why), "{}", judged(&image));
        }
        let mut image = good.clone();
        let metadata = image.windows(8).position(|window| window == b"metadata").unwrap();
        image[metadata + 10] = 0;
        assert!(judged(&image).contains("how large its disk is"), "{}", judged(&image));
        image[metadata] = 0;
        assert!(judged(&image).contains("metadata is missing"), "{}", judged(&image));
    }

    #[test]
    fn a_difference_to_another_image_is_refused() {
        let Some(good) = made("vhdx", "subformat=dynamic") else { return };
        let mut image = good.clone();
        let at = place(&image, DISK_SIZE);
        image[at..at + 16].copy_from_slice(&PARENT_LOCATOR);
        assert!(judged(&image).contains("its parent"), "{}", judged(&image));
        let mut image = good;
        let metadata = image.windows(8).position(|window| window == b"metadata").unwrap();
        let entry = place(&image, FILE_PARAMETERS);
        let item = metadata + le32(&image, entry + 16).unwrap() as usize;
        image[item + 4] |= 2;
        assert!(judged(&image).contains("its parent"), "{}", judged(&image));
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        let crc = |bytes: &[u8]| {
            !bytes.iter().fold(u32::MAX, |crc, byte| CRC32C[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8)
        };
        assert_eq!(crc(b"123456789"), 0xe306_9283);
    }
}
