//! A folder as a tar stream that is made while it is read: no temporary file, no thread, and a reader that stops early
//! stops everything.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{EntryType, Header};

use super::{Entry, Kind};

/// Tar's unit.
const BLOCK: usize = 512;

/// How GNU tar calls the entry that holds a name which is too long for a header.
const LONG_NAME: &[u8] = b"././@LongLink";

/// Reads as a tar archive of `entries`.
pub struct TarStream<'a> {
    root: &'a Path,
    entries: std::slice::Iter<'a, Entry>,
    owner: (u64, u64),
    on_bytes: &'a mut dyn FnMut(u64),
    /// Headers and padding that are still to be read.
    ready: io::Cursor<Vec<u8>>,
    open: Option<Open>,
    ended: bool,
    moved: u64,
    changed: Vec<PathBuf>,
    unreadable: Vec<(PathBuf, io::Error)>,
}

/// The file whose content comes next.
struct Open {
    file: File,
    path: PathBuf,
    size: u64,
    left: u64,
}

impl<'a> TarStream<'a> {
    /// All of `entries` of `root`, as if `owner` (user, group) owned it. `on_bytes` hears how many bytes of files have
    /// been read in all.
    pub fn new(root: &'a Path, entries: &'a [Entry], owner: (u64, u64), on_bytes: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            root,
            entries: entries.iter(),
            owner,
            on_bytes,
            ready: io::Cursor::default(),
            open: None,
            ended: false,
            moved: 0,
            changed: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Files that shrank while they were read (their end was filled with zeros), and what could not be read.
    pub fn problems(self) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
        (self.changed, self.unreadable)
    }

    /// The bytes of files read so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    fn next_entry(&mut self) {
        let Some(entry) = self.entries.next() else {
            self.ended = true;
            self.ready = io::Cursor::new(vec![0; 2 * BLOCK]);
            return;
        };
        let mut size = 0;
        if let Kind::File { .. } = entry.kind {
            match open(&self.root.join(&entry.path)) {
                Ok((file, length)) => {
                    size = length;
                    self.open = Some(Open { file, path: entry.path.clone(), size, left: size });
                }
                // Removed since the folder was listed: as if it had never been there.
                Err(e) if e.kind() == io::ErrorKind::NotFound => return,
                Err(e) => return self.unreadable.push((entry.path.clone(), e)),
            }
        }
        self.ready = io::Cursor::new(headers(entry, size, self.owner));
    }

    fn read_file(&mut self, mut open: Open, buf: &mut [u8]) -> usize {
        let want = buf.len().min(usize::try_from(open.left).unwrap_or(usize::MAX));
        let got = match open.file.read(&mut buf[..want]) {
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                self.open = Some(open);
                return 0;
            }
            Err(e) => {
                self.unreadable.push((open.path.clone(), e));
                0
            }
        };
        let filled = if got == 0 {
            // The header has promised a size. Zeros keep the archive whole; the next sync sees another size and time.
            if self.changed.last() != Some(&open.path) {
                self.changed.push(open.path.clone());
            }
            buf[..want].fill(0);
            want
        } else {
            got
        };
        open.left -= filled as u64;
        self.moved += filled as u64;
        (self.on_bytes)(self.moved);
        self.open = Some(open);
        filled
    }
}

impl Read for TarStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let got = self.ready.read(buf)?;
            if got > 0 {
                return Ok(got);
            }
            match self.open.take() {
                Some(open) if open.left == 0 => self.ready = io::Cursor::new(vec![0; padding(open.size)]),
                Some(open) => {
                    let got = self.read_file(open, buf);
                    if got > 0 {
                        return Ok(got);
                    }
                }
                None if self.ended => return Ok(0),
                None => self.next_entry(),
            }
        }
    }
}

/// Neither follows a link that has taken the file's place, nor waits for a pipe that has.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "it is not a file any more"))
    }
}

fn padding(size: u64) -> usize {
    let unit = BLOCK as u64;
    usize::try_from(size.next_multiple_of(unit) - size).unwrap_or_default()
}

fn headers(entry: &Entry, size: u64, owner: (u64, u64)) -> Vec<u8> {
    let mut name = entry.path_bytes().to_vec();
    if entry.kind == Kind::Dir {
        name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
    }
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(entry.mtime);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_size(size);
    let mut bytes = Vec::with_capacity(BLOCK);
    match &entry.kind {
        Kind::Dir => header.set_entry_type(EntryType::Directory),
        Kind::File { .. } => header.set_entry_type(EntryType::Regular),
        Kind::Link { to } => {
            header.set_entry_type(EntryType::Symlink);
            let to = to.as_os_str().as_bytes();
            long_name(&mut bytes, EntryType::GNULongLink, to, header.as_old().linkname.len());
            fill(&mut header.as_old_mut().linkname, to);
        }
    }
    long_name(&mut bytes, EntryType::GNULongName, &name, header.as_old().name.len());
    fill(&mut header.as_old_mut().name, &name);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// GNU tar's way to tell a name that does not fit: an entry before the real one whose content is the name.
fn long_name(bytes: &mut Vec<u8>, kind: EntryType, name: &[u8], room: usize) {
    if name.len() < room {
        return;
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    fill(&mut header.as_old_mut().name, LONG_NAME);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(name);
    bytes.resize((bytes.len() + 1).next_multiple_of(BLOCK), 0);
}

fn fill(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::folders::{Rules, walk};
    use crate::progress::Cx;

    fn archive(root: &Path, entries: &[Entry]) -> (Vec<u8>, Vec<PathBuf>) {
        let mut ignore = |_| ();
        let mut stream = TarStream::new(root, entries, (1000, 1001), &mut ignore);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        (bytes, stream.problems().0)
    }

    #[test]
    fn another_reader_of_tar_finds_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(90), "ü".repeat(90));
        let exact = "e".repeat(100);
        let contents: BTreeMap<&str, Vec<u8>> = [
            ("empty", vec![]),
            ("block", vec![1; 512]),
            ("more", vec![2; 1300]),
            (&long, b"long".to_vec()),
            (&exact, b"x".to_vec()),
        ]
        .into();
        for (path, content) in &contents {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let target = "t/".repeat(80);
        symlink(&target, dir.path().join("link")).unwrap();
        let tree = walk(&Cx::silent(), dir.path(), &Rules::none()).unwrap();
        let (bytes, changed) = archive(dir.path(), &tree.entries);
        assert!(changed.is_empty());
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut seen = BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (1000, 1001));
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            match entry.header().entry_type() {
                EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).unwrap();
                    seen.insert(path, content);
                }
                EntryType::Symlink => {
                    assert_eq!(entry.link_name_bytes().unwrap(), target.as_bytes());
                }
                kind => assert_eq!(kind, EntryType::Directory),
            }
        }
        assert_eq!(seen, contents.into_iter().map(|(path, content)| (path.to_owned(), content)).collect());
    }

    #[test]
    fn what_vanishes_or_shrinks_meanwhile_leaves_a_whole_archive() {
        let dir = tempfile::tempdir().unwrap();
        for (name, size) in [("a", 100_000), ("b", 10), ("c", 10)] {
            fs::write(dir.path().join(name), vec![7; size]).unwrap();
        }
        let tree = walk(&Cx::silent(), dir.path(), &Rules::none()).unwrap();
        fs::remove_file(dir.path().join("b")).unwrap();
        let mut ignore = |_| ();
        let mut stream = TarStream::new(dir.path(), &tree.entries, (0, 0), &mut ignore);
        let mut bytes = vec![0; 3 * BLOCK];
        stream.read_exact(&mut bytes).unwrap();
        File::create(dir.path().join("a")).unwrap();
        stream.read_to_end(&mut bytes).unwrap();
        let (changed, unreadable) = stream.problems();
        assert_eq!((changed, unreadable.len()), (vec![PathBuf::from("a")], 0));
        let mut archive = tar::Archive::new(&bytes[..]);
        let names: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["./", "a", "c"]);
    }
}
