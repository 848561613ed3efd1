//! Reading many small records with as few system calls as that takes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, statat};
use rustix::io::Errno;

use super::Error;
use super::file::{RECORD_LIMIT, Record, parse};

/// Some hundred names at a time.
const NAMES: usize = 16 << 10;

/// Most records fit.
const USUAL: usize = 4 << 10;

/// An open folder: what lies in it is found without looking at the whole path again.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`; `None` where there is none, or something else has its name.
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        Self::at(CWD, path.as_os_str(), path.to_owned())
    }

    /// A folder in this one.
    pub fn folder(&self, name: &OsStr) -> Result<Option<Self>, Error> {
        Self::at(&self.handle, name, self.path.join(name))
    }

    fn at(parent: impl std::os::fd::AsFd, name: &OsStr, path: PathBuf) -> Result<Option<Self>, Error> {
        match openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle, path })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(Error::io("read", path, error.into())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of what is in it.
    pub fn names(&self) -> Result<Vec<OsString>, Error> {
        let mut buffer = [MaybeUninit::uninit(); NAMES];
        let mut entries = RawDir::new(&self.handle, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| Error::io("read", &self.path, e.into()))?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => names.push(OsStr::from_bytes(name).to_owned()),
            }
        }
        Ok(names)
    }

    /// What a file in it takes on the disk, without its holes (`stat(2)` counts in units of 512); zero for none.
    pub fn size_on_disk(&self, name: &OsStr) -> u64 {
        let about = statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
        about.map_or(0, |about| u64::try_from(about.st_blocks).unwrap_or(0) * 512)
    }

    /// Reads a record in it, as [`super::read_record`] does.
    pub fn record<T: Record>(&self, name: &OsStr) -> Result<Option<T>, Error> {
        let failed = |e: std::io::Error| Error::io("read", self.path.join(name), e);
        let file = match openat(&self.handle, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let mut text = Vec::with_capacity(USUAL);
        file.take(RECORD_LIMIT + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > RECORD_LIMIT {
            return Err(Error::TooLarge { path: self.path.join(name), limit: RECORD_LIMIT });
        }
        parse(&text, &|| self.path.join(name)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::file::tests::Sample;
    use super::*;

    #[test]
    fn a_folder_gives_its_names_folders_and_records() {
        let dir = tempfile::tempdir().unwrap();
        let sample = Sample { name: "x".into() };
        for number in 0..1000 {
            fs::write(dir.path().join(format!("{number:0>40}")), "").unwrap();
        }
        super::super::write_record(&dir.path().join("below/r.json"), &sample).unwrap();
        let folder = Folder::open(dir.path()).unwrap().unwrap();
        assert_eq!(folder.names().unwrap().len(), 1001);
        let below = folder.folder(OsStr::new("below")).unwrap().unwrap();
        assert_eq!((below.names().unwrap(), below.path()), (vec!["r.json".into()], &*dir.path().join("below")));
        assert_eq!(below.record::<Sample>(OsStr::new("r.json")).unwrap(), Some(sample));
        assert_eq!(below.record::<Sample>(OsStr::new("none")).unwrap(), None);
        for name in ["none", "below/r.json"] {
            assert!(folder.folder(OsStr::new(name)).unwrap().is_none(), "{name}");
        }
        assert!(below.size_on_disk(OsStr::new("r.json")).is_multiple_of(512));
        assert_eq!(below.size_on_disk(OsStr::new("none")), 0);
        fs::write(dir.path().join("below/bad"), vec![b' '; 5 << 20]).unwrap();
        assert!(matches!(below.record::<Sample>(OsStr::new("bad")), Err(Error::TooLarge { .. })));
        fs::write(dir.path().join("below/bad"), "{").unwrap();
        assert!(matches!(below.record::<Sample>(OsStr::new("bad")), Err(Error::Damaged { .. })));
    }
}
