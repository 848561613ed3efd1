//! A tar archive, read as a stream and with distrust. Nothing is ever created under a name from the archive.
//!
//! The `tar` crate knows the header's fields; the walk is our own, because every length in an archive is a claim of a
//! stranger: long names, extended headers and sparse maps are bounded here before they are read.

use std::collections::VecDeque;
use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::error::Refusal;
use super::name::printable;
use super::receive::{Broken, Limits};

const RECORD: usize = 512;

/// More than any path of a box.
const NAME_LIMIT: u64 = 4096;

/// More than any extended header that tar programs write for a box.
const PAX_LIMIT: u64 = 64 << 10;

/// More pieces than a sparse file of a box has; each costs 16 bytes of memory.
const PIECES_LIMIT: usize = 100_000;

/// How many a record behind the header has room for.
const PIECES_IN_RECORD: usize = 21;

/// Tar programs fill up to a blocking factor; GNU's default is 10 KiB, and nobody uses more than this.
const PADDING_LIMIT: u64 = 4 << 20;

/// One file or folder of the archive; its content is read from the [`Archive`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative, `/` between parts, no `.` and no `..`; empty for the archive's root.
    pub name: String,
    /// Bytes of content, holes included; 0 where the archive does not say.
    pub size: u64,
    pub is_file: bool,
}

/// A walk through an archive of any kind; the content of the current entry is read from it.
pub(super) trait Walk: Read {
    /// The next file or folder; `None` at the end of the archive. What was not read of the former one is skipped.
    fn entry(&mut self) -> Result<Option<Entry>, Broken>;

    /// Reads on behind the archive's end, where nothing may follow.
    fn finish(&mut self) -> Result<(), Broken>;
}

/// A walk through a tar archive.
pub(super) struct Archive<'a> {
    from: &'a mut dyn Read,
    limits: &'a Limits,
    entries: usize,
    total: u64,
    /// Bytes of the current entry that the archive still holds, and what fills its last record.
    stored: u64,
    padding: u64,
    /// Data of the current entry: offset and length of each piece, in order; between them are holes.
    pieces: VecDeque<(u64, u64)>,
    at: u64,
    size: u64,
}

/// Whether these bytes begin a tar archive: every tar format has a checksum there.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.first_chunk::<RECORD>().is_some_and(|record| record[0] != 0 && checksum_fits(record))
}

fn checksum_fits(record: &[u8; RECORD]) -> bool {
    let sum: u32 =
        record.iter().enumerate().map(|(at, &b)| u32::from(if (148..156).contains(&at) { b' ' } else { b })).sum();
    // A fuzzer would never get past it.
    cfg!(fuzzing) || Header::from_byte_slice(record).cksum().is_ok_and(|claimed| claimed == sum)
}

/// What the entries before a file say about it.
#[derive(Default)]
struct Announced {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Archive<'a> {
    pub fn new(from: &'a mut dyn Read, limits: &'a Limits) -> Self {
        Self { from, limits, entries: 0, total: 0, stored: 0, padding: 0, pieces: VecDeque::new(), at: 0, size: 0 }
    }

    /// The next header; `None` for a record of zeros, which ends an archive.
    fn record(&mut self) -> Result<Option<[u8; RECORD]>, Broken> {
        let mut record = [0; RECORD];
        self.from.read_exact(&mut record)?;
        if record.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if checksum_fits(&record) { Ok(Some(record)) } else { Err(Refusal::Tar("a header's checksum is wrong").into()) }
    }

    fn open(&mut self, header: &Header, announced: Announced, size: u64) -> Result<Entry, Broken> {
        let raw = announced.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = header.entry_type();
        // Version 7 marked a folder by the slash alone.
        let is_folder = kind.is_dir() || kind == EntryType::Regular && raw.ends_with(b"/");
        let name = safe_name(&raw)?;
        let is_file = match kind {
            _ if is_folder => false,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => true,
            _ => return Err(Refusal::Kind { entry: name, kind: kind_name(kind) }.into()),
        };
        if name.is_empty() && is_file {
            return Err(Refusal::Path { entry: printable(&String::from_utf8_lossy(&raw)), why: "has no name" }.into());
        }
        self.stored = if is_folder { 0 } else { announced.size.unwrap_or(size) };
        self.padding = self.stored.checked_next_multiple_of(RECORD as u64).unwrap_or(u64::MAX) - self.stored;
        self.at = 0;
        self.size = self.stored;
        self.pieces = VecDeque::from([(0, self.stored)]);
        if kind == EntryType::GNUSparse {
            self.read_sparse_map(header)?;
        }
        // Both count: holes cost a hash, stored bytes that no piece uses cost time.
        self.total = self.total.saturating_add(self.size.max(self.stored));
        if self.total > self.limits.total {
            let what = "its unpacked content".into();
            return Err(Refusal::TooLarge { what, size: self.total, limit: self.limits.total }.into());
        }
        Ok(Entry { name, size: self.size, is_file })
    }

    /// GNU's old format: four pieces in the header, and records of 21 more behind it. `tar -S` writes it, and the usual
    /// script that makes boxes for libvirt calls that.
    fn read_sparse_map(&mut self, header: &Header) -> Result<(), Broken> {
        let broken = || Broken::from(Refusal::Tar("a sparse file's map makes no sense"));
        let gnu = header.as_gnu().ok_or_else(broken)?;
        self.size = gnu.real_size().map_err(|_| broken())?;
        self.pieces.clear();
        self.add_pieces(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        // Empty records add no piece, so they are counted, too.
        let mut records = 0;
        while more {
            records += 1;
            if records > PIECES_LIMIT / PIECES_IN_RECORD + 1 {
                return Err(Refusal::Tar("a sparse file has too many pieces").into());
            }
            let mut extension = GnuExtSparseHeader::new();
            self.from.read_exact(extension.as_mut_bytes())?;
            self.add_pieces(extension.sparse())?;
            more = extension.is_extended();
        }
        let data: u64 = self.pieces.iter().map(|(_, length)| length).sum();
        if data == self.stored { Ok(()) } else { Err(broken()) }
    }

    fn add_pieces(&mut self, pieces: &[GnuSparseHeader]) -> Result<(), Broken> {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            let end = self.pieces.back().map_or(0, |(offset, length)| offset + length);
            let fits = |(offset, length): (u64, u64)| {
                offset >= end && offset.checked_add(length).is_some_and(|end| end <= self.size)
            };
            let piece = piece.offset().ok().zip(piece.length().ok()).filter(|piece| fits(*piece));
            let piece = piece.ok_or(Refusal::Tar("a sparse file's map makes no sense"))?;
            self.pieces.push_back(piece);
            if self.pieces.len() > PIECES_LIMIT {
                return Err(Refusal::Tar("a sparse file has too many pieces").into());
            }
        }
        Ok(())
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Broken> {
        let mut name = self.extension(size, NAME_LIMIT)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    /// The whole content of an entry that only describes others.
    fn extension(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, Broken> {
        if size > limit {
            return Err(Refusal::TooLarge { what: "a header of its tar archive".into(), size, limit }.into());
        }
        let mut bytes = Vec::new();
        self.from.take(size).read_to_end(&mut bytes)?;
        self.stored = 0;
        self.padding = size.next_multiple_of(RECORD as u64) - size;
        Ok(bytes)
    }

    fn skip(&mut self, amount: u64) -> Result<(), Broken> {
        self.stored = 0;
        self.padding = 0;
        let skipped = io::copy(&mut self.from.take(amount), &mut io::sink())?;
        if skipped == amount { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) }
    }
}

impl Walk for Archive<'_> {
    fn entry(&mut self) -> Result<Option<Entry>, Broken> {
        let mut announced = Announced::default();
        loop {
            self.skip(self.stored + self.padding)?;
            let Some(record) = self.record()? else { return Ok(None) };
            let header = Header::from_byte_slice(&record);
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(Refusal::Entries(self.limits.entries).into());
            }
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|_| Refusal::Tar("an entry's size is no number"))?;
            match kind {
                EntryType::GNULongName => announced.name = Some(self.long_name(size)?),
                EntryType::GNULongLink => self.extension(size, NAME_LIMIT)?.clear(),
                EntryType::XHeader => read_pax(&self.extension(size, PAX_LIMIT)?, &mut announced)?,
                EntryType::XGlobalHeader => self.extension(size, PAX_LIMIT)?.clear(),
                _ => return self.open(header, announced, size).map(Some),
            }
        }
    }

    /// Only zeros may follow.
    fn finish(&mut self) -> Result<(), Broken> {
        let mut buffer = [0; 8192];
        let mut behind = 0;
        loop {
            let amount = self.from.read(&mut buffer)?;
            behind += amount as u64;
            if behind > PADDING_LIMIT || buffer[..amount].iter().any(|byte| *byte != 0) {
                return Err(Refusal::Trailing.into());
            }
            if amount == 0 {
                return Ok(());
            }
        }
    }
}

/// The content of the current entry.
impl Read for Archive<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.pieces.front().is_some_and(|(offset, length)| self.at >= offset + length) {
            self.pieces.pop_front();
        }
        let (hole, until) = match self.pieces.front() {
            Some(&(offset, length)) if self.at >= offset => (false, offset + length),
            Some(&(offset, _)) => (true, offset),
            None => (true, self.size),
        };
        let amount = usize::try_from(until - self.at).unwrap_or(usize::MAX).min(into.len());
        let into = &mut into[..amount];
        let amount = if hole {
            into.fill(0);
            amount
        } else {
            let amount = self.from.read(into)?;
            if amount == 0 && !into.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stored -= amount as u64;
            amount
        };
        self.at += amount as u64;
        Ok(amount)
    }
}

/// An entry's name without `.`; refused when it could lead out of a folder.
pub(super) fn safe_name(raw: &[u8]) -> Result<String, Refusal> {
    let bad = |why| Err(Refusal::Path { entry: printable(&String::from_utf8_lossy(raw)), why });
    let Ok(name) = std::str::from_utf8(raw) else { return bad("has a name that is not UTF-8") };
    // Programs of Windows write their own kind of slash; Vagrant reads it so too.
    let name = name.replace('\\', "/");
    if name.starts_with('/') {
        return bad("has an absolute path");
    }
    if name.chars().any(char::is_control) {
        return bad("has control characters in its name");
    }
    if name.split('/').any(|part| part == "..") {
        return bad("leads out of the box's folder");
    }
    Ok(name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/"))
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "a hard link",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        _ => "of an unknown type",
    }
}

/// Reads `LENGTH KEY=VALUE\n` records of an extended header.
fn read_pax(bytes: &[u8], announced: &mut Announced) -> Result<(), Broken> {
    let broken = || Refusal::Tar("an extended header makes no sense");
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize =
            std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
        let (record, behind) = rest.split_at_checked(length).ok_or_else(broken)?;
        let record = record.get(space + 1..).and_then(|text| text.strip_suffix(b"\n")).ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if key.starts_with(b"GNU.sparse.") {
            return Err(Refusal::Tar("it has a sparse file in pax format; pack it with `tar --format=gnu`").into());
        }
        match key {
            b"path" => announced.name = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                announced.size = Some(size.ok_or_else(broken)?);
            }
            _ => {}
        }
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names, sizes and contents of the files of an archive.
    fn walk(mut bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, Broken> {
        let mut archive = Archive::new(&mut bytes, limits);
        let mut files = Vec::new();
        while let Some(entry) = archive.entry()? {
            let mut content = Vec::new();
            if entry.is_file {
                archive.read_to_end(&mut content)?;
                assert_eq!(content.len() as u64, entry.size);
                files.push((entry.name, content));
            }
        }
        archive.finish()?;
        Ok(files)
    }

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn system_tar(args: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("sparse.img")).unwrap();
        for at in 0..40u64 {
            std::os::unix::fs::FileExt::write_all_at(&file, b"data", at << 20).unwrap();
        }
        file.set_len(50 << 20).unwrap();
        let run = std::process::Command::new("tar").args(args).arg("-C").arg(dir.path()).arg("sparse.img").output();
        run.unwrap().stdout
    }

    #[test]
    fn files_are_read_whatever_way_they_are_named() {
        let long = format!("{}/box.img", "a".repeat(120));
        let bytes = archive(&[("./metadata.json", b"{}"), (&long, b"x"), ("skipped", &[7; 1000]), ("empty", b"")]);
        let files = walk(&bytes, &Limits::default()).unwrap();
        let names: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.len())).collect();
        assert_eq!(names, [("metadata.json", 2), (long.as_str(), 1), ("skipped", 1000), ("empty", 0)]);
    }

    #[test]
    fn a_sparse_file_of_gnu_tar_is_read_whole() {
        let bytes = system_tar(&["cSf", "-", "--format=gnu"]);
        assert!(bytes.len() < 5 << 20, "it is sparse in the archive");
        let files = walk(&bytes, &Limits::default()).unwrap();
        assert_eq!(files[0].1.len(), 50 << 20);
        assert_eq!(&files[0].1[39 << 20..][..6], b"data\0\0");
        let limits = Limits { total: 1 << 20, ..Limits::default() };
        assert!(matches!(walk(&bytes, &limits), Err(Broken::Refused(Refusal::TooLarge { .. }))), "holes count");
        let pax = system_tar(&["cSf", "-", "--format=posix"]);
        assert!(matches!(walk(&pax, &Limits::default()), Err(Broken::Refused(Refusal::Tar(_)))));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for (name, safe) in [
            ("./a/./b", Some("a/b")),
            ("box.img", Some("box.img")),
            ("..a/b..", Some("..a/b..")),
            ("./", Some("")),
            ("../x", None),
            ("a/../../x", None),
            ("a/..", None),
            ("/etc/passwd", None),
            ("a\\b.vhdx", Some("a/b.vhdx")),
            ("a\\..\\..\\x", None),
            ("\\x", None),
            // What only looks like dots and slashes is a name like any other.
            ("\u{2024}\u{2024}\u{2215}x", Some("\u{2024}\u{2024}\u{2215}x")),
            ("a\u{1b}[2J", None),
        ] {
            assert_eq!(safe_name(name.as_bytes()).ok().as_deref(), safe, "{name}");
        }
        assert!(safe_name(b"\xff").is_err());
    }

    #[test]
    fn claims_about_lengths_are_bounded() {
        for kind in [EntryType::GNULongName, EntryType::XHeader, EntryType::XGlobalHeader] {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(1 << 40);
            header.set_cksum();
            let result = walk(header.as_bytes(), &Limits::default());
            assert!(matches!(result, Err(Broken::Refused(Refusal::TooLarge { .. }))), "{kind:?}");
        }
        let many = archive(&[("a", b""), ("b", b""), ("c", b"")]);
        let limits = Limits { entries: 2, ..Limits::default() };
        assert!(matches!(walk(&many, &limits), Err(Broken::Refused(Refusal::Entries(2)))));
    }

    #[test]
    fn what_follows_the_end_must_be_zeros() {
        let mut bytes = archive(&[("a", b"x")]);
        bytes.extend([0; 10_000]);
        walk(&bytes, &Limits::default()).unwrap();
        bytes.push(1);
        assert!(matches!(walk(&bytes, &Limits::default()), Err(Broken::Refused(Refusal::Trailing))));
    }

    proptest! {
        #[test]
        fn any_change_is_read_or_refused(at in 0usize..2048, byte in any::<u8>(), cut in 0usize..4000) {
            let mut bytes = archive(&[("metadata.json", b"{}"), ("box.img", &[1; 700])]);
            bytes[at] = byte;
            bytes.truncate(bytes.len().saturating_sub(cut));
            let _ = walk(&bytes, &Limits { total: 1 << 20, ..Limits::default() });
        }
    }
}
