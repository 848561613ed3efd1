//! Large files that a user asks for: whole under their name, or not there at all.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::Error;
use super::file::sync_dir;

/// A file that is being written and has no name yet: whoever dies in the middle leaves nothing.
#[derive(Debug)]
pub struct OutFile {
    target: PathBuf,
    half: Half,
}

#[derive(Debug)]
enum Half {
    /// `O_TMPFILE`: the kernel forgets it with the last descriptor.
    Nameless(File),
    /// For file systems without that.
    Named(tempfile::NamedTempFile),
}

impl OutFile {
    /// Begins a file that shall be `target`. Its folder must exist.
    pub fn begin(target: &Path) -> Result<Self, Error> {
        let target = std::path::absolute(target).map_err(|e| Error::io("find", target, e))?;
        let dir = target.parent().unwrap_or(Path::new("/"));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // What other programs make files with, too: the user's umask decides.
        let half = match rustix::fs::open(dir, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => Half::Nameless(file.into()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => named(dir, &target)?,
            Err(e) => return Err(Error::io("write", &target, e.into())),
        };
        Ok(Self { target, half })
    }

    /// Where the bytes go.
    pub fn file(&self) -> &File {
        match &self.half {
            Half::Nameless(file) => file,
            Half::Named(file) => file.as_file(),
        }
    }

    /// Gives it its name, in the place of a file that has it only with `replace`.
    pub fn publish(self, replace: bool) -> Result<(), Error> {
        let failed = |e| Error::io("write", &self.target, e);
        self.file().sync_all().map_err(failed)?;
        match self.half {
            Half::Nameless(file) => link(&file, &self.target, replace).map_err(failed)?,
            Half::Named(file) if replace => drop(file.persist(&self.target).map_err(|e| failed(e.error))?),
            Half::Named(file) => drop(file.persist_noclobber(&self.target).map_err(|e| failed(e.error))?),
        }
        sync_dir(self.target.parent().unwrap_or(Path::new("/")))
    }
}

fn named(dir: &Path, target: &Path) -> Result<Half, Error> {
    tempfile::NamedTempFile::new_in(dir).map(Half::Named).map_err(|e| Error::io("write", target, e))
}

/// Only a new name can be given (`linkat(2)`), so one that is taken is replaced by way of a second one.
fn link(file: &File, target: &Path, replace: bool) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |name: &Path| rustix::fs::linkat(CWD, &source, CWD, name, AtFlags::SYMLINK_FOLLOW);
    match link(target) {
        Err(rustix::io::Errno::EXIST) if replace => {}
        result => return Ok(result?),
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let second = target.with_file_name(name);
    super::remove_file(&second).map_err(io::Error::other)?;
    link(&second)?;
    fs::rename(&second, target)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_appears_whole_and_takes_a_name_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.box");
        let write = |text: &str, replace| {
            let out = OutFile::begin(&path).unwrap();
            out.file().write_all(text.as_bytes()).unwrap();
            assert!(fs::read_to_string(&path).unwrap_or_default() != text, "not yet");
            out.publish(replace)
        };
        write("one", false).unwrap();
        let Error::Io { source, .. } = write("two", false).unwrap_err() else { panic!() };
        assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write("two", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(OutFile::begin(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "what is not published leaves nothing");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let error = OutFile::begin(Path::new("/nonexistent/x.box")).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /nonexistent/x.box");
    }
}
