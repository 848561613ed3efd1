//! What lies in a folder of the host.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Error, Rules};
use crate::progress::Cx;

/// A folder's content, parents before their children.
#[derive(Debug, Default)]
pub struct Tree {
    /// The folder itself comes first, with an empty path.
    pub entries: Vec<Entry>,
    /// Size of all files.
    pub bytes: u64,
    /// Devices, sockets and pipes: they are not copied.
    pub special: Vec<PathBuf>,
    /// What could not be read.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

impl Tree {
    /// How many regular files there are.
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })).count() as u64
    }
}

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970; what is older counts as 0.
    pub mtime: u64,
}

impl Entry {
    /// The path's bytes.
    pub fn path_bytes(&self) -> &[u8] {
        self.path.as_os_str().as_bytes()
    }

    fn new(path: PathBuf, kind: Kind, metadata: &Metadata) -> Self {
        Self { path, kind, mode: metadata.mode() & 0o7777, mtime: u64::try_from(metadata.mtime()).unwrap_or(0) }
    }
}

/// What can be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// Its size when it was looked at.
        size: u64,
    },
    /// A symbolic link; it stays one.
    Link {
        /// Where it leads, as it is written.
        to: PathBuf,
    },
}

/// Lists what `rules` do not leave out of `root`. Links in it are not followed.
pub fn walk(cx: &Cx, root: &Path, rules: &Rules) -> Result<Tree, Error> {
    let failed = |source| Error::Io { action: "read", path: root.into(), source };
    let metadata = fs::metadata(root).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(Error::NotAFolder(root.into()));
    }
    let mut tree = Tree::default();
    tree.entries.push(Entry::new(PathBuf::new(), Kind::Dir, &metadata));
    // Depth first with a stack of our own: a deep tree must not overflow the thread's.
    let mut waiting = vec![PathBuf::new()];
    while let Some(dir) = waiting.pop() {
        cx.check()?;
        let mut names = match fs::read_dir(root.join(&dir)).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => {
                tree.unreadable.push((dir, e));
                continue;
            }
        };
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            if tree.add(dir.join(entry.file_name()), &entry.path(), rules) {
                waiting.push(dir.join(entry.file_name()));
            }
        }
    }
    Ok(tree)
}

impl Tree {
    /// Adds what lies at `full`; whether it is a directory to look into.
    fn add(&mut self, path: PathBuf, full: &Path, rules: &Rules) -> bool {
        let metadata = match fs::symlink_metadata(full) {
            Ok(metadata) => metadata,
            // Gone since the directory was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return false,
            Err(e) => {
                self.unreadable.push((path, e));
                return false;
            }
        };
        let kind = metadata.file_type();
        if rules.excludes(path.as_os_str().as_bytes(), kind.is_dir()) {
            return false;
        }
        if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            self.special.push(path);
            return false;
        }
        let kind = if kind.is_dir() {
            Kind::Dir
        } else if kind.is_symlink() {
            match fs::read_link(full) {
                Ok(to) => Kind::Link { to },
                Err(_) => return false,
            }
        } else {
            self.bytes += metadata.len();
            Kind::File { size: metadata.len() }
        };
        let is_dir = kind == Kind::Dir;
        self.entries.push(Entry::new(path, kind, &metadata));
        is_dir
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_links_and_what_is_not_a_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sub/.git")).unwrap();
        fs::write(dir.path().join("sub/file"), "12345").unwrap();
        symlink("/etc", dir.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let tree = walk(&Cx::silent(), dir.path(), &Rules::new(&[])).unwrap();
        let paths: Vec<_> = tree.entries.iter().map(|e| e.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["", "link", "sub", "sub/file"]);
        assert_eq!(tree.entries[1].kind, Kind::Link { to: "/etc".into() });
        assert_eq!((tree.files(), tree.bytes), (1, 5));
        assert_eq!(tree.special, [PathBuf::from("socket")]);
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = walk(&Cx::silent(), file.path(), &Rules::none()).unwrap_err();
        assert!(matches!(refused, Error::NotAFolder(_)));
    }
}
