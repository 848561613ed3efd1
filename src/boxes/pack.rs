//! Writes a `.box`: a tar.gz in which nothing depends on when, where or by whom it was made.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde_json::{Map, Value};

use super::checksum::Hashed;
use super::gzip::gzip;
use crate::progress::{Cx, Transfer};
use crate::store::{Error, OutFile};

/// A quick level: a box mostly travels from this host to itself.
const LEVEL: u32 = 3;

/// How much is read at a time.
const READ: usize = 256 << 10;

/// A box that is to be written.
#[derive(Debug)]
pub struct Package<'a> {
    /// `metadata.json`.
    pub metadata: Value,
    /// `info.json`.
    pub info: Option<Map<String, Value>>,
    /// `Vagrantfile`: the defaults that a box of Vagrant's brings.
    pub vagrantfile: Option<String>,
    /// Everything else, in this order.
    pub parts: Vec<Part<'a>>,
    /// When its files were last changed, in seconds since 1970: the only time in it.
    pub date: u64,
}

/// A file of a box.
#[derive(Debug)]
pub struct Part<'a> {
    /// Its name in the box.
    pub name: String,
    /// What it holds.
    pub content: Content<'a>,
}

/// What a part of a box holds.
pub enum Content<'a> {
    /// A file that is open already: it may lose its name meanwhile.
    File(File),
    /// Something that is made on the way.
    Stream {
        /// Its length.
        size: u64,
        /// Delivers so many bytes.
        from: Box<dyn Read + 'a>,
    },
}

impl std::fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Stream { size, .. } => f.debug_struct("Stream").field("size", size).finish_non_exhaustive(),
        }
    }
}

/// A box that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of the `.box`.
    pub size: u64,
    /// Its SHA-256, for `box add --checksum`.
    pub sha256: String,
}

impl<'a> Part<'a> {
    /// The file at `path`, opened now.
    pub fn open(name: &str, path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        Ok(Self { name: name.into(), content: Content::File(file) })
    }

    /// A file of this content.
    pub fn text(name: &str, text: String) -> Self {
        let content = Content::Stream { size: text.len() as u64, from: Box::new(io::Cursor::new(text)) };
        Self { name: name.into(), content }
    }

    fn size(&self) -> io::Result<u64> {
        match &self.content {
            Content::File(file) => Ok(file.metadata()?.len()),
            Content::Stream { size, .. } => Ok(*size),
        }
    }

    /// What it holds, from the first byte.
    pub(super) fn reader(self) -> Box<dyn Read + 'a> {
        match self.content {
            Content::File(file) => Box::new(file),
            Content::Stream { from, .. } => from,
        }
    }
}

impl<'a> Package<'a> {
    /// Writes the box to `target`, whole or not at all; over a file that is there only with `replace`.
    pub fn write(self, cx: &Cx, target: &Path, replace: bool) -> Result<Packed, Error> {
        let date = self.date;
        let parts = self.in_order();
        written(cx, target, replace, |sink| gzip(sink, LEVEL, |blocks| archive(cx, blocks, date, parts)))
    }

    /// What tells about the box comes first: a reader then knows which of the large files it wants.
    fn in_order(self) -> Vec<Part<'a>> {
        let json = |value: &dyn std::fmt::Display| format!("{value:#}\n");
        let mut parts = vec![Part::text("metadata.json", json(&self.metadata))];
        parts.extend(self.info.map(|info| Part::text("info.json", json(&Value::Object(info)))));
        parts.extend(self.vagrantfile.map(|text| Part::text("Vagrantfile", text)));
        parts.extend(self.parts);
        parts
    }
}

/// Writes an archive of these files and no other, not compressed; whole or not at all.
pub(super) fn write_tar(
    cx: &Cx,
    target: &Path,
    replace: bool,
    date: u64,
    parts: Vec<Part<'_>>,
) -> Result<Packed, Error> {
    written(cx, target, replace, |sink| archive(cx, sink, date, parts))
}

/// A file that has its name only when it is whole.
fn written(
    cx: &Cx,
    target: &Path,
    replace: bool,
    write: impl FnOnce(&mut Hashed<BufWriter<&File>>) -> io::Result<()>,
) -> Result<Packed, Error> {
    let failed = |e| match cx.check() {
        Err(interrupted) => Error::Interrupted(interrupted),
        Ok(()) => Error::io("write", target, e),
    };
    let out = OutFile::begin(target)?;
    let packed = {
        let mut sink = Hashed::new(BufWriter::with_capacity(1 << 20, out.file()));
        write(&mut sink).and_then(|()| sink.flush()).map_err(failed)?;
        let (_, sha256, size) = sink.finish();
        Packed { size, sha256 }
    };
    out.publish(replace)?;
    Ok(packed)
}

fn archive(cx: &Cx, into: &mut dyn Write, date: u64, parts: Vec<Part<'_>>) -> io::Result<()> {
    let total = parts.iter().map(Part::size).sum::<io::Result<u64>>()?;
    let mut progress = Progress { cx, transfer: cx.transfer("box", Some(total)), done: 0 };
    let mut archive = tar::Builder::new(into);
    for part in parts {
        let (name, size) = (part.name.clone(), part.size()?);
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(date);
        header.set_cksum();
        let before = progress.done;
        let reader = io::BufReader::with_capacity(READ, part.reader()).take(size);
        archive.append_data(&mut header, &name, Watched { inner: reader, progress: &mut progress })?;
        // The size is in the archive already.
        if progress.done - before != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{name}` ended too early")));
        }
    }
    archive.into_inner().map(drop)
}

struct Progress<'a> {
    cx: &'a Cx,
    transfer: Transfer,
    done: u64,
}

/// Tells what was read, and stops when the user wants it.
struct Watched<'a, 'b, R> {
    inner: R,
    progress: &'a mut Progress<'b>,
}

impl<R: Read> Read for Watched<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.progress.cx.check().map_err(io::Error::other)?;
        let count = self.inner.read(buffer)?;
        self.progress.done += count as u64;
        self.progress.transfer.update(self.progress.done);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::boxes::checksum::hex;
    use crate::progress::{Cancel, Silent};

    fn package(parts: Vec<Part<'_>>) -> Package<'_> {
        Package {
            metadata: serde_json::json!({ "provider": "libvirt" }),
            info: Some(Map::new()),
            vagrantfile: Some("# x\n".into()),
            parts,
            date: 1_700_000_000,
        }
    }

    #[test]
    fn the_same_files_give_the_same_box_with_what_tells_about_it_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        fs::write(&path, vec![0; 3_000_000]).unwrap();
        let (one, two) = (dir.path().join("one.box"), dir.path().join("two.box"));
        let write = |target: &Path| {
            let stream = Content::Stream { size: 5, from: Box::new(&b"hello"[..]) };
            let stream = Part { name: "include/a".into(), content: stream };
            let parts = vec![Part::open("box.img", &path).unwrap(), stream];
            package(parts).write(&Cx::silent(), target, false).unwrap()
        };
        let packed = [write(&one), write(&two)];
        let bytes = fs::read(&one).unwrap();
        assert_eq!((packed[0].size, &packed[0]), (bytes.len() as u64, &packed[1]));
        assert_eq!(packed[0].sha256, hex(&Sha256::digest(&bytes)));
        assert!(bytes == fs::read(&two).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["metadata.json", "info.json", "Vagrantfile", "box.img", "include/a"]);
    }

    #[test]
    fn what_is_stopped_or_too_short_leaves_no_part_of_a_box() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.box");
        let stream = || Part { name: "a".into(), content: Content::Stream { size: 9, from: Box::new(&b"short"[..]) } };
        let error = package(vec![stream()]).write(&Cx::silent(), &target, false).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "`a` ended too early");
        let cancel = Cancel::default();
        cancel.raise();
        let cx = Cx::new(Arc::new(Silent), cancel);
        let result = package(vec![stream()]).write(&cx, &target, false);
        assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
