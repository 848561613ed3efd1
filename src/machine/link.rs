//! `.vbox-rs/machines/NAME` in a project's folder: the id of its machine.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::store::{BadId, Error, MachineId, read_bounded, remove_file};

/// Whether two paths lead to one folder, by whatever links.
pub(super) fn same_folder(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|about| (about.dev(), about.ino()));
    a == b || identity(a).is_some_and(|one| Some(one) == identity(b))
}

/// The inode of a folder: it stays when the folder is renamed within its file system.
pub(super) fn inode(path: &Path) -> Option<u64> {
    path.metadata().ok().filter(fs::Metadata::is_dir).map(|about| about.ino())
}

/// So many folders are looked at beside the place where a project was.
const NEIGHBOURS: usize = 10_000;

/// Where a project is that was renamed beside its former place: its folder is known by its inode and by its link to the
/// machine, for inodes of deleted folders are used again.
pub(super) fn renamed(root: &Path, inode: u64, name: &str, id: MachineId) -> Option<PathBuf> {
    let neighbours = fs::read_dir(root.parent()?).ok()?.take(NEIGHBOURS).flatten();
    let mut same = neighbours.filter(|entry| entry.ino() == inode).map(|entry| entry.path());
    same.find(|path| Links::new(path).get(name).is_ok_and(|found| found == Some(id)))
}

/// The folder at `start` or above it that has ids of machines.
pub(super) fn find(start: &Path) -> Option<&Path> {
    start.ancestors().find(|root| !Links::new(root).names().is_empty())
}

const FOLDER: &str = ".vbox-rs";

/// The ids of one project's machines.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    root: &'a Path,
}

impl<'a> Links<'a> {
    /// Of the project in `root`.
    pub fn new(root: &'a Path) -> Self {
        Self { root }
    }

    /// The id that `name` has here. A file with anything but an id in it counts as none: the index finds the machine.
    pub fn get(self, name: &str) -> Result<Option<MachineId>, Error> {
        Ok(self.read(name)?.and_then(Result::ok))
    }

    /// The names that have an id here.
    pub fn names(self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(FOLDER).join("machines")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// Gives `name` the id `id`, unless it has one: of two processes that do this at once both get the winner's.
    pub fn claim(self, name: &str, id: MachineId) -> Result<MachineId, Error> {
        let path = self.path(name);
        loop {
            match self.read(name)? {
                Some(Ok(id)) => return Ok(id),
                Some(Err(_)) => remove_file(&path)?,
                None => match self.write(&path, id, false) {
                    Ok(()) => return Ok(id),
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(Error::io("write", path, e)),
                },
            }
        }
    }

    /// Gives `name` the id `id`, whatever it had.
    pub fn set(self, name: &str, id: MachineId) -> Result<(), Error> {
        let path = self.path(name);
        self.write(&path, id, true).map_err(|e| Error::io("write", path, e))
    }

    /// Removes the id of `name`, if it is `id`, and the folder when it was the last.
    pub fn remove(self, name: &str, id: MachineId) -> Result<(), Error> {
        if self.get(name)? == Some(id) {
            remove_file(&self.path(name))?;
        }
        // Not empty, or not there: both are fine.
        drop(fs::remove_dir(self.root.join(FOLDER).join("machines")));
        drop(fs::remove_dir(self.root.join(FOLDER)));
        Ok(())
    }

    fn read(self, name: &str) -> Result<Option<Result<MachineId, BadId>>, Error> {
        let Some(text) = read_bounded(&self.path(name), 4096)? else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&text).trim().parse()))
    }

    fn write(self, path: &Path, id: MachineId, replace: bool) -> io::Result<()> {
        let dir = self.root.join(FOLDER).join("machines");
        DirBuilder::new().recursive(true).create(&dir)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&dir)?;
        writeln!(file, "{id}")?;
        file.as_file().sync_all()?;
        if replace {
            file.persist(path)?;
        } else {
            file.persist_noclobber(path)?;
        }
        Ok(())
    }

    fn path(self, name: &str) -> PathBuf {
        self.root.join(FOLDER).join("machines").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_claim_wins_and_removal_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let links = Links::new(dir.path());
        let (a, b) = (MachineId::random().unwrap(), MachineId::random().unwrap());
        assert_eq!(links.get("web").unwrap(), None);
        assert_eq!(links.claim("web", a).unwrap(), a);
        assert_eq!(links.claim("web", b).unwrap(), a);
        links.remove("web", b).unwrap();
        assert_eq!(links.get("web").unwrap(), Some(a), "somebody else's id stays");
        links.remove("web", a).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_folder_by_two_paths_is_one_project() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(same_folder(&real, &link));
        assert!(!same_folder(&real, dir.path()));
        assert!(!same_folder(&dir.path().join("gone"), &dir.path().join("gone too")));
    }

    #[test]
    fn a_renamed_project_is_found_beside_its_former_place_by_inode_and_link() {
        let dir = tempfile::tempdir().unwrap();
        let (was, now) = (dir.path().join("was"), dir.path().join("now"));
        fs::create_dir_all(was.join("deeper")).unwrap();
        let id = MachineId::random().unwrap();
        Links::new(&was).set("web", id).unwrap();
        let inode = inode(&was).unwrap();
        fs::rename(&was, &now).unwrap();
        assert_eq!(renamed(&was, inode, "web", id), Some(now.clone()));
        assert_eq!(renamed(&was, inode, "db", id), None, "another machine's link");
        assert_eq!(renamed(&was, inode + 1, "web", id), None, "a copy");
        assert_eq!(renamed(Path::new("/gone/was"), inode, "web", id), None);
        assert_eq!(find(&now.join("deeper")), Some(now.as_path()));
        assert_eq!(find(dir.path()), None);
    }

    #[test]
    fn a_link_cut_short_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".vbox-rs/machines")).unwrap();
        fs::write(dir.path().join(".vbox-rs/machines/web"), "12ab").unwrap();
        let id = MachineId::random().unwrap();
        assert_eq!(Links::new(dir.path()).claim("web", id).unwrap(), id);
    }
}
