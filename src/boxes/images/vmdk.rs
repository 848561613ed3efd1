//! VMware's images. See VMware's "Virtual Disk Format 5.0".
//!
//! An image is described by a small text, the descriptor. It lies inside of a file of its own kind (`monolithicSparse`,
//! and `streamOptimized`, which every exported appliance has), or in a file beside its pieces (`twoGbMaxExtentSparse`,
//! `monolithicFlat`). Readers follow it to other files, so what it names is checked here.

use super::source::{Source, le16, le32, le64};
use super::{Error, Format, HEAD, Image};
use crate::boxes::name::printable;
use crate::boxes::settings;

/// `KDMV`: begins an image, or a piece of one, that grows.
pub(super) const MAGIC: &[u8] = b"KDMV";

/// Begins a descriptor that lies in a file of its own.
const DESCRIPTOR_MAGIC: &[u8] = b"# Disk DescriptorFile";

const SECTOR: u64 = 512;
const HEADER: usize = 512;

/// The directory of the grains is at the end: the image was written as a stream.
const AT_END: u64 = u64::MAX;

/// A descriptor has 20 sectors, and no tool writes much more.
pub const DESCRIPTOR_LIMIT: usize = 64 << 10;

/// A terabyte in pieces of 2 GiB has 512.
const EXTENTS_LIMIT: usize = 4096;

/// More tables than a disk of the largest size has with the usual grains. Each is read, and may be there many times: a
/// file of zeros costs a stranger nothing, and could ask for all of our memory and for days.
const TABLES_LIMIT: u64 = 1 << 20;

/// Readers look for a parent by this word, wherever it stands.
const PARENT_WORD: &[u8] = b"parentFileNameHint";

/// What a descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// `monolithicSparse`, `streamOptimized`, …
    pub create_type: String,
    /// Its pieces, in the order of the disk.
    pub extents: Vec<Extent>,
}

/// A piece of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// How it lies in its file.
    pub kind: ExtentKind,
    /// Its file, as the descriptor names it; empty for zeros.
    pub file: String,
    /// Where in the file it begins, in sectors.
    pub offset: u64,
}

/// How a piece of a disk lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// With a header and tables.
    Sparse,
    /// As it is.
    Flat,
    /// Nowhere: all of it is zeros.
    Zero,
}

/// Whether these bytes begin a descriptor in a file of its own.
pub fn is_descriptor(head: &[u8]) -> bool {
    head.starts_with(DESCRIPTOR_MAGIC)
}

/// Whether these bytes begin a piece of an image, which does not describe itself.
pub fn is_piece(head: &[u8]) -> bool {
    // Some writers leave the place for a description, and nothing in it.
    let described = |(at, _)| head.get(at).is_some_and(|byte| *byte != 0);
    Header::parse(head).is_ok_and(|header| !header.descriptor.is_some_and(described))
}

impl Descriptor {
    /// Reads a descriptor: at most [`DESCRIPTOR_LIMIT`] bytes, up to the first zero byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        if end > DESCRIPTOR_LIMIT {
            return Err(damaged("its description is too long"));
        }
        let text = String::from_utf8_lossy(&bytes[..end]);
        let mut create_type = String::new();
        let mut extents = Vec::new();
        for (_, line) in settings::lines(&text) {
            if let Some(extent) = extent(line)? {
                extents.push(extent);
                if extents.len() > EXTENTS_LIMIT {
                    return Err(damaged("it has more pieces than any disk"));
                }
                continue;
            }
            let Some((key, value)) = settings::setting(line) else {
                // One that readers may take for a setting must be one.
                if line.contains('=') {
                    return Err(damaged("a line of its description has no end"));
                }
                continue;
            };
            match key {
                "createType" => create_type = printable(value),
                "parentCID" if !value.eq_ignore_ascii_case("ffffffff") => return Err(Error::Parent(Format::Vmdk)),
                "parentFileNameHint" => return Err(Error::Parent(Format::Vmdk)),
                _ => {}
            }
        }
        Ok(Self { create_type, extents })
    }

    /// Bytes of all pieces together.
    pub fn size(&self) -> u64 {
        self.extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.sectors.saturating_mul(SECTOR)))
    }
}

/// `RW 4192256 SPARSE "disk-s001.vmdk"`, `RW 63 FLAT "disk-flat.vmdk" 0`, `RW 100 ZERO`.
fn extent(line: &str) -> Result<Option<Extent>, Error> {
    let mut words = line.splitn(4, char::is_whitespace);
    if !matches!(words.next(), Some("RW" | "RDONLY" | "NOACCESS")) {
        return Ok(None);
    }
    let sectors = words.next().and_then(|word| word.parse().ok());
    let sectors = sectors.ok_or_else(|| damaged("a piece of it has no length"))?;
    let kind = match words.next() {
        Some("SPARSE") => ExtentKind::Sparse,
        Some("FLAT") => ExtentKind::Flat,
        Some("ZERO") => ExtentKind::Zero,
        other => {
            let what = format!("it has a piece of the kind `{}`", printable(other.unwrap_or_default()));
            return Err(Error::Unsupported { format: Format::Vmdk, what });
        }
    };
    let rest = words.next().unwrap_or_default().trim();
    let (file, behind) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')).unwrap_or_default();
    if kind != ExtentKind::Zero && file.is_empty() {
        return Err(damaged("a piece of it names no file"));
    }
    let offset = behind.trim();
    let offset = if offset.is_empty() { Ok(0) } else { offset.parse() };
    let offset = offset.map_err(|_| damaged("a piece of it has no beginning"))?;
    Ok(Some(Extent { sectors, kind, file: file.to_owned(), offset }))
}

/// The header of an image or a piece.
struct Header {
    sectors: u64,
    /// Sectors of a grain, and grains of a table.
    grain: u64,
    table: u32,
    descriptor: Option<(usize, usize)>,
    directory_at: u64,
}

impl Header {
    fn parse(head: &[u8]) -> Result<Self, Error> {
        let short = || Error::Short(Format::Vmdk);
        let word = |at| le32(head, at).ok_or_else(short);
        let long = |at| le64(head, at).ok_or_else(short);
        if !head.starts_with(MAGIC) {
            return Err(damaged("its header is missing"));
        }
        let version = word(4)?;
        if !(1..=3).contains(&version) {
            return Err(Error::Unsupported { format: Format::Vmdk, what: format!("its version is {version}") });
        }
        // QEMU goes on with other files where this is zero.
        let sectors = long(12)?;
        if sectors == 0 || sectors > super::MAX_VIRTUAL_SIZE / SECTOR {
            return Err(Error::Size(sectors.saturating_mul(SECTOR)));
        }
        let (grain, table) = (long(20)?, word(44)?);
        // VMware's own grains have 128 sectors; with fewer than 8 there would be more tables than anybody reads.
        if !grain.is_power_of_two() || !(8..=1 << 20).contains(&grain) || !(1..=512).contains(&table) {
            return Err(damaged("the size of its grains makes no sense"));
        }
        if !matches!(le16(head, 77).ok_or_else(short)?, 0 | 1) {
            return Err(Error::Unsupported { format: Format::Vmdk, what: "its compression is unknown".into() });
        }
        let directory_at = long(56)?;
        let (at, length) = (long(28)?, long(36)?);
        let descriptor = if at == 0 { None } else { Some(descriptor_place(at, length)?) };
        Ok(Self { sectors, grain, table, descriptor, directory_at })
    }
}

fn descriptor_place(at: u64, length: u64) -> Result<(usize, usize), Error> {
    let bytes = |sectors: u64| sectors.checked_mul(SECTOR).and_then(|bytes| usize::try_from(bytes).ok());
    let place = bytes(at).zip(bytes(length)).filter(|(at, length)| *at <= HEAD && *length <= DESCRIPTOR_LIMIT);
    place.ok_or_else(|| damaged("its description lies too far away"))
}

/// An image that describes itself.
pub(super) fn claim(head: &[u8]) -> Result<Image, Error> {
    let header = Header::parse(head)?;
    let Some((at, length)) = header.descriptor else {
        return Err(Error::Unsupported { format: Format::Vmdk, what: "it is one piece of several".into() });
    };
    let end = (at + length).min(head.len());
    let text = head.get(at..end).ok_or(Error::Short(Format::Vmdk))?;
    // A reader may look for the parent anywhere in this part, whatever the header says of the description's place.
    let looked_at = &head[..head.len().min(HEAD)];
    if looked_at.windows(PARENT_WORD.len()).any(|window| window == PARENT_WORD) {
        return Err(Error::Parent(Format::Vmdk));
    }
    let descriptor = Descriptor::parse(text)?;
    match descriptor.extents.as_slice() {
        [Extent { kind: ExtentKind::Sparse, sectors, .. }] if *sectors <= header.sectors => {}
        [Extent { kind: ExtentKind::Sparse, .. }] => return Err(damaged("its description says another size")),
        [] => return Err(damaged("its description names no piece")),
        [one] => return Err(Error::Outside(printable(&one.file))),
        [_, other, ..] => return Err(Error::Outside(printable(&other.file))),
    }
    Image::bounded(Format::Vmdk, header.sectors * SECTOR)
}

pub(super) fn inspect(head: &[u8], source: &dyn Source) -> Result<Image, Error> {
    let image = claim(head)?;
    check_directory(head, source)?;
    Ok(image)
}

/// A piece of an image: `sectors` long, as its descriptor says.
pub(crate) fn inspect_piece(source: &dyn Source, extent: &Extent) -> Result<(), Error> {
    match extent.kind {
        ExtentKind::Zero => Ok(()),
        ExtentKind::Flat => {
            let end = extent.offset.checked_add(extent.sectors).and_then(|end| end.checked_mul(SECTOR));
            let fits = end.is_some_and(|end| end <= source.size());
            if fits { Ok(()) } else { Err(Error::Short(Format::Vmdk)) }
        }
        ExtentKind::Sparse => {
            let head = source.bytes(0, HEADER)?.ok_or(Error::Short(Format::Vmdk))?;
            Header::parse(&head)?;
            check_directory(&head, source)
        }
    }
}

/// Directory, tables and data must lie in the file: readers take what is missing for zeros. An image that was written as
/// a stream has a second header, at its end.
fn check_directory(head: &[u8], source: &dyn Source) -> Result<(), Error> {
    let mut header = Header::parse(head)?;
    if header.directory_at == AT_END {
        // A marker, the header, and the marker of the end, a sector each.
        let footer = source.size().checked_sub(2 * SECTOR).map(|at| source.bytes(at, HEADER)).transpose()?.flatten();
        let footer = footer.filter(|footer| footer.starts_with(MAGIC)).ok_or(Error::Short(Format::Vmdk))?;
        let footer = Header::parse(&footer)?;
        if footer.sectors != header.sectors {
            return Err(damaged("its end says another size"));
        }
        header = footer;
    }
    let tables = header.sectors.div_ceil(header.grain * u64::from(header.table));
    if tables > TABLES_LIMIT {
        return Err(damaged("it has more tables than any disk"));
    }
    let directory = read_numbers(source, header.directory_at, tables)?;
    for at in directory.into_iter().filter(|at| *at != 0) {
        let grains = read_numbers(source, at.into(), header.table.into())?;
        // 1 stands for a grain of zeros.
        let last = grains.into_iter().filter(|at| *at > 1).max();
        if last.is_some_and(|at| u64::from(at) * SECTOR >= source.size()) {
            return Err(Error::Short(Format::Vmdk));
        }
    }
    Ok(())
}

/// `count` numbers that begin at a sector.
fn read_numbers(source: &dyn Source, sector: u64, count: u64) -> Result<Vec<u32>, Error> {
    let place = sector.checked_mul(SECTOR).zip(usize::try_from(4 * count).ok()).filter(|(at, _)| *at > 0);
    let (at, length) = place.ok_or(Error::Short(Format::Vmdk))?;
    let bytes = source.bytes(at, length)?.ok_or(Error::Short(Format::Vmdk))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect())
}

fn damaged(why: &'static str) -> Error {
    Error::Damaged { format: Format::Vmdk, why }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::made;
    use super::*;

    /// The image with another description.
    fn described(image: &[u8], text: &str) -> Vec<u8> {
        let mut image = image.to_vec();
        image[512..512 + 20 * 512].fill(0);
        image[512..512 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    #[test]
    fn other_files_parents_and_nonsense_are_refused() {
        let Some(good) = made("vmdk", "subformat=monolithicSparse") else { return };
        let text = |lines: &str| described(&good, &format!("# Disk DescriptorFile\nversion=1\n{lines}\n"));
        let patched = |at: usize, bytes: &[u8]| {
            let mut image = good.clone();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            image
        };
        for (image, why) in [
            (text("RW 16384 FLAT \"/etc/shadow\" 0"), "in another file, `/etc/shadow`"),
            (text("RW 16384 SPARSE \"a.vmdk\"\nRW 1 FLAT \"../b\" 0"), "in another file, `../b`"),
            (text("RW 16384 VMFSSPARSE \"a\""), "the kind `VMFSSPARSE`"),
            (text("RW 99999999 SPARSE \"a\""), "another size"),
            (text("RW x SPARSE \"a\""), "no length"),
            (text("RW 1 SPARSE"), "names no file"),
            (text(""), "names no piece"),
            (text("parentCID=12345678\nRW 16384 SPARSE \"a\""), "its parent"),
            (text("parentFileNameHint=\"/x\"\nRW 16384 SPARSE \"a\""), "its parent"),
            (text("\0\nparentFileNameHint=\"/x\""), "its parent"),
            (patched(12, &[0; 8]), "virtual size is 0"),
            (patched(4, &9u32.to_le_bytes()), "its version is 9"),
            (patched(20, &3u64.to_le_bytes()), "its grains"),
            (patched(28, &[0; 8]), "one piece of several"),
            (patched(28, &[0xff; 7]), "too far away"),
            (patched(56, &[0; 8]), "cut off"),
            (patched(77, &7u16.to_le_bytes()), "compression is unknown"),
        ] {
            let message = super::super::inspect(&image.as_slice()).unwrap_err().to_string();
            assert!(message.contains(why), "{why}: {message}");
        }
    }

    #[test]
    fn an_image_whose_data_is_missing_is_refused() {
        for options in ["subformat=monolithicSparse", "subformat=streamOptimized"] {
            let Some(good) = made("vmdk", options) else { return };
            for length in [70_000, good.len() / 2, good.len() - 70_000] {
                let message = super::super::inspect(&&good[..length.min(good.len() - 1000)]).unwrap_err().to_string();
                assert!(message.contains("cut off"), "{options}, {length} of {}: {message}", good.len());
            }
        }
    }

    #[test]
    fn a_directory_that_would_not_fit_into_memory_is_refused() {
        struct Huge(Vec<u8>);
        impl Source for Huge {
            fn size(&self) -> u64 {
                64 << 30
            }

            fn bytes(&self, at: u64, length: usize) -> std::io::Result<Option<Vec<u8>>> {
                assert!(length <= 4 << 20, "{length} bytes at {at}");
                let mut bytes = self.0.get(usize::try_from(at).unwrap()..).unwrap_or_default().to_vec();
                bytes.resize(length, 0);
                Ok(Some(bytes))
            }
        }
        let Some(mut image) = made("vmdk", "subformat=monolithicSparse") else { return };
        let sectors = crate::boxes::qcow2::MAX_VIRTUAL_SIZE / SECTOR;
        image[12..20].copy_from_slice(&sectors.to_le_bytes());
        image[20..28].copy_from_slice(&8u64.to_le_bytes());
        image[44..48].copy_from_slice(&1u32.to_le_bytes());
        let message = super::super::inspect(&Huge(image)).unwrap_err().to_string();
        assert!(message.contains("more tables than any disk"), "{message}");
    }

    #[test]
    fn a_stream_without_its_end_is_refused() {
        let Some(mut good) = made("vmdk", "subformat=streamOptimized") else { return };
        // As VirtualBox and VMware write it: the header says that the directory's place is known at the end only.
        let mut marker = [0; 512];
        (marker[0], marker[12]) = (1, 3);
        let footer = [marker.as_slice(), &good[..512], &[0; 512]].concat();
        good[56..64].fill(0xff);
        good.extend(footer);
        assert_eq!(super::super::inspect(&good.as_slice()).unwrap().virtual_size, 8 << 20);
        for missing in [512, 1000, 2000] {
            let message = super::super::inspect(&&good[..good.len() - missing]).unwrap_err().to_string();
            assert!(message.contains("cut off"), "{message}");
        }
    }

    #[test]
    fn a_descriptor_names_its_pieces() {
        let text = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
            createType=\"twoGbMaxExtentSparse\"\n\n# Extent description\n\
            RW 4192256 SPARSE \"disk s001.vmdk\"\r\nRW 10 FLAT \"f.vmdk\" 63\nRW 5 ZERO\n\nddb.adapterType = \"ide\"\n";
        assert!(is_descriptor(text.as_bytes()));
        let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
        assert_eq!(descriptor.create_type, "twoGbMaxExtentSparse");
        let names: Vec<_> = descriptor.extents.iter().map(|extent| (extent.file.as_str(), extent.offset)).collect();
        assert_eq!(names, [("disk s001.vmdk", 0), ("f.vmdk", 63), ("", 0)]);
        assert_eq!(descriptor.size(), (4_192_256 + 15) * 512);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(RW |RDONLY |[0-9]{1,20} |SPARSE |FLAT |\"[a./]{0,5}\" ?|=|\n|.){0,60}") {
            if let Ok(descriptor) = Descriptor::parse(text.as_bytes()) {
                let _ = descriptor.size();
            }
        }
    }
}
