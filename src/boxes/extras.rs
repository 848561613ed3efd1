//! What a box has beside its machine: its `Vagrantfile`, what lies below `include/`, the private key of its user. The library keeps all of it as one
//! tar file, by its content like a disk, and nothing of ours unpacks or runs it: it goes where the box goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::{Builder, Header};

use super::archive::{Archive, Walk};
use super::checksum::Hashed;
use super::disk::Written;
use super::error::{Error, Refusal};
use super::pack::{Content, Part};
use super::receive::{Broken, Limits};

/// The box's own Vagrantfile.
pub(super) const VAGRANTFILE: &str = "Vagrantfile";

/// What it includes: what `package --vagrantfile` was given.
pub(super) const INCLUDED: &str = "include/_Vagrantfile";

/// What its author added, as Vagrant's `package --include` puts it there.
const FOLDER: &str = "include/";

/// The private key of its user that Vagrant's `package` puts there for a machine that has one of its own
/// (`lib/vagrant/action/general/package.rb`).
const PRIVATE_KEY: &str = "vagrant_private_key";

/// Larger than any private key: one of RSA 4096 has about 3,300 bytes.
const KEY_LIMIT: u64 = 16 << 10;

/// How the file is called among those of a box that is received.
const NAME: &str = "extras";

/// Only the owner reads, nobody writes, like all of the library's files.
const MODE: u32 = 0o400;

/// Whether a file of a box is one that its author, or Vagrant's `package`, added.
pub(super) fn is_included(name: &str) -> bool {
    name.starts_with(FOLDER) || name == PRIVATE_KEY
}

/// The private key in a bundle of the library; what is something else by that name is not offered to a guest.
pub(super) fn private_key(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Some(part) = parts(path)?.into_iter().find(|part| part.name == PRIVATE_KEY) else { return Ok(None) };
    let Content::Stream { size: 0..=KEY_LIMIT, mut from } = part.content else { return Ok(None) };
    let mut text = Vec::new();
    from.read_to_end(&mut text).map_err(|e| Error::io("read", path, e))?;
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let is_key = first.starts_with(b"-----BEGIN ") && first.ends_with(b"PRIVATE KEY-----");
    Ok(Some(text).filter(|_| is_key))
}

/// Files that arrive, put together.
#[derive(Default)]
pub(super) struct Bundle {
    to: Option<(PathBuf, Builder<Hashed<BufWriter<File>>>)>,
}

impl Bundle {
    /// Adds a file of at most `limit` bytes. `folder` is where the bundle lies.
    pub fn add(&mut self, folder: &Path, name: &str, from: &mut dyn Read, limit: u64) -> Result<(), Broken> {
        let failed = |e| Broken::Failed(Error::io("write", folder, e));
        // Some archives tell a file's length only behind it, and a tar file wants it first.
        let mut spool = tempfile::tempfile_in(folder).map_err(failed)?;
        let size = copy(from, &mut spool, folder, limit)?;
        if size > limit {
            return Err(Refusal::TooLarge { what: format!("its `{name}`"), size, limit }.into());
        }
        spool.rewind().map_err(failed)?;
        if self.to.is_none() {
            let path = folder.join(NAME);
            let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path).map_err(failed)?;
            self.to = Some((path, Builder::new(Hashed::new(BufWriter::new(file)))));
        }
        let Some((_, archive)) = &mut self.to else { return Ok(()) };
        let mut header = Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        // Nothing in it depends on when or by whom it was packed: the same files are the same file.
        header.set_mtime(0);
        archive.append_data(&mut header, name, spool).map_err(failed)
    }

    /// The whole; `None` where there was nothing.
    pub fn finish(self) -> Result<Option<Written>, Error> {
        let Some((path, archive)) = self.to else { return Ok(None) };
        let failed = |e| Error::io("write", &path, e);
        let (mut file, sha256, size) = archive.into_inner().map_err(failed)?.finish();
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed)?;
        Ok(Some(Written { sha256, size, head: Vec::new(), path }))
    }
}

/// Copies a byte more than `limit` at the most. A source that fails is told from a disk that does.
fn copy(from: &mut dyn Read, to: &mut File, folder: &Path, limit: u64) -> Result<u64, Broken> {
    let mut from = from.take(limit.saturating_add(1));
    let mut block = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let amount = from.read(&mut block)?;
        if amount == 0 {
            return Ok(size);
        }
        to.write_all_at(&block[..amount], size).map_err(|e| Broken::Failed(Error::io("write", folder, e)))?;
        size += amount as u64;
    }
}

/// Checks a bundle that came as one, from a stranger: it may hold nothing else.
pub(super) fn check(path: &Path, limits: &Limits) -> Result<(), Broken> {
    let mut file = File::open(path).map_err(|e| Broken::Failed(Error::io("read", path, e)))?;
    let mut archive = Archive::new(&mut file, limits);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(entry) = archive.entry()? {
        if !entry.is_file || !(entry.name == VAGRANTFILE || is_included(&entry.name)) {
            return Err(Refusal::Extra(entry.name).into());
        }
        if !seen.insert(entry.name.clone()) {
            return Err(Refusal::Twice(entry.name).into());
        }
    }
    archive.finish()
}

/// The files of a bundle of the library, to be written into another box.
pub(super) fn parts(path: &Path) -> Result<Vec<Part<'static>>, Error> {
    let failed = |e| Error::io("read", path, e);
    let file = Arc::new(File::open(path).map_err(failed)?);
    let mut archive = tar::Archive::new(fs::File::open(path).map_err(failed)?);
    let part = |entry: io::Result<tar::Entry<'_, File>>| {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (at, size) = (entry.raw_file_position(), entry.size());
        let from = Box::new(Section { file: file.clone(), at, end: at.saturating_add(size) });
        Ok(Part { name, content: Content::Stream { size, from } })
    };
    archive.entries_with_seek().and_then(|entries| entries.map(part).collect()).map_err(failed)
}

/// A part of a file that is open already: the box may be removed meanwhile.
struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let amount = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += amount as u64;
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(dir: &Path, files: &[(&str, &[u8])]) -> Written {
        let mut bundle = Bundle::default();
        for (name, bytes) in files {
            bundle.add(dir, name, &mut &bytes[..], 100).unwrap();
        }
        bundle.finish().unwrap().unwrap()
    }

    #[test]
    fn what_is_bundled_comes_back_and_the_same_files_are_the_same_bundle() {
        let long = format!("include/{}", "x".repeat(150));
        let files: &[(&str, &[u8])] = &[(VAGRANTFILE, b"# v\n"), ("include/empty", b""), (&long, b"long")];
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let written = bundle(one.path(), files);
        assert_eq!(written.sha256, bundle(two.path(), files).sha256);
        assert_eq!(written.size, fs::metadata(&written.path).unwrap().len());
        check(&written.path, &Limits::default()).unwrap();
        let read = |part: Part<'static>| {
            let Content::Stream { size, mut from } = part.content else { panic!("{part:?}") };
            let mut bytes = Vec::new();
            assert_eq!(from.read_to_end(&mut bytes).unwrap() as u64, size);
            (part.name, bytes)
        };
        let found: Vec<_> = parts(&written.path).unwrap().into_iter().map(read).collect();
        let expected: Vec<_> = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_to_keep_is_no_file_and_too_much_is_refused() {
        assert!(Bundle::default().finish().unwrap().is_none());
        let dir = tempfile::tempdir().unwrap();
        let result = Bundle::default().add(dir.path(), "include/x", &mut &[0; 101][..], 100);
        assert!(matches!(result, Err(Broken::Refused(Refusal::TooLarge { limit: 100, .. }))), "{result:?}");
    }

    #[test]
    fn a_strangers_bundle_holds_nothing_but_what_belongs_into_one() {
        for (name, why) in [
            ("box.img", "holds `box.img`"),
            ("include", "holds `include`"),
            ("sub/Vagrantfile", "holds `sub/Vagrantfile`"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let Err(Broken::Refused(refusal)) = check(&bundle(dir.path(), &[(name, b"x")]).path, &Limits::default())
            else {
                panic!("{name} was taken")
            };
            assert!(refusal.to_string().contains(why), "{refusal}");
        }
        let dir = tempfile::tempdir().unwrap();
        let twice = bundle(dir.path(), &[(VAGRANTFILE, b"x"), (VAGRANTFILE, b"y")]);
        assert!(matches!(check(&twice.path, &Limits::default()), Err(Broken::Refused(Refusal::Twice(_)))));
        fs::remove_file(&twice.path).unwrap();
        fs::write(&twice.path, "no archive").unwrap();
        assert!(check(&twice.path, &Limits::default()).is_err());
    }
}
