//! Writes the `.box`: a tar.gz in which nothing depends on when, where or by whom it was made.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::Error;
use crate::progress::{Cx, Transfer};

/// A quick level: the disk's blocks are read once, and the box mostly travels from this host to itself.
const LEVEL: u32 = 3;

/// A file's name in the box, and where it is now.
pub(super) type Member<'a> = (&'a str, &'a Path);

/// Writes `members` in their order to `target`, which is whole or not there at all.
pub(super) fn pack(cx: &Cx, target: &Path, date: u64, members: &[Member<'_>]) -> Result<(), Error> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let half = target.with_file_name(format!(".{name}.part"));
    let result = write(cx, &half, date, members).and_then(|()| {
        fs::rename(&half, target).map_err(|e| Error::io("write", target, e))?;
        let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Ok(crate::store::sync_dir(dir)?)
    });
    if result.is_err() {
        crate::store::remove_file(&half)?;
    }
    result
}

fn write(cx: &Cx, half: &Path, date: u64, members: &[Member<'_>]) -> Result<(), Error> {
    let mut total = 0;
    for (_, path) in members {
        total += path.metadata().map_err(|e| Error::io("read", path, e))?.len();
    }
    let writing = |e| match cx.check() {
        Err(interrupted) => Error::Interrupted(interrupted),
        Ok(()) => Error::io("write", half, e),
    };
    let file = File::create(half).map_err(writing)?;
    let gzip = GzBuilder::new().mtime(0).write(BufWriter::with_capacity(1 << 20, file), Compression::new(LEVEL));
    let mut archive = tar::Builder::new(gzip);
    let mut progress = Progress { cx, transfer: cx.transfer("box", Some(total)), done: 0 };
    for (name, path) in members {
        let source = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let size = source.metadata().map_err(|e| Error::io("read", path, e))?.len();
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(date);
        header.set_cksum();
        let reader = Watched { inner: BufReader::with_capacity(1 << 20, source).take(size), progress: &mut progress };
        archive.append_data(&mut header, name, reader).map_err(writing)?;
    }
    let mut file = archive.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(writing)?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(writing)
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
    use super::*;
    use crate::progress::{Cancel, Silent};
    use std::sync::Arc;

    #[test]
    fn the_same_files_give_the_same_box() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "first").unwrap();
        fs::write(&b, vec![0; 100_000]).unwrap();
        let (one, two) = (dir.path().join("one.box"), dir.path().join("two.box"));
        for target in [&one, &two] {
            pack(&Cx::silent(), target, 1_700_000_000, &[("metadata.json", &a), ("box.img", &b)]).unwrap();
        }
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&one).unwrap()));
        let names: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("metadata.json"), Path::new("box.img")]);
    }

    #[test]
    fn a_stopped_build_leaves_no_part_of_a_box() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a");
        fs::write(&a, "first").unwrap();
        let cancel = Cancel::default();
        cancel.raise();
        let cx = Cx::new(Arc::new(Silent), cancel);
        let result = pack(&cx, &dir.path().join("x.box"), 0, &[("a", &a)]);
        assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
