//! Atomic files and versioned records.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use super::dirs::create_private;

/// A JSON file of our own that carries its format's number.
pub trait Record: Serialize + DeserializeOwned {
    /// The newest format that this program reads and the one that it writes.
    const FORMAT: u32;
}

/// Larger than any record that we write; a file beyond it is not ours.
pub(super) const RECORD_LIMIT: u64 = 4 << 20;

/// What file systems give space in, mostly.
const BLOCK: usize = 4096;

#[derive(Serialize)]
struct Envelope<'a, T> {
    format: u32,
    #[serde(flatten)]
    record: &'a T,
}

/// What every format has in common.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Writes `bytes` to a temporary file beside `path` (created with `mode`), syncs it, renames it, and syncs the
/// directory: after a crash `path` holds the old or the new content, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let dir = parent(path);
    create_private(dir)?;
    let write = || -> io::Result<()> {
        let file =
            tempfile::Builder::new().prefix(".new-").permissions(fs::Permissions::from_mode(mode)).tempfile_in(dir)?;
        write_sparse(file.as_file(), bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|e| Error::io("write", path, plain(e)))?;
    sync_dir(dir)
}

/// Blocks of zeros become holes: a seed is a disk that holds little, and each machine has one.
fn write_sparse(file: &File, bytes: &[u8]) -> io::Result<()> {
    for (block, at) in bytes.chunks(BLOCK).zip((0u64..).step_by(BLOCK)) {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at)?;
        }
    }
    file.set_len(bytes.len() as u64)
}

/// The system's words without the temporary file's name, which `tempfile` adds and which says nothing to a user.
fn plain(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(std::error::Error::source).and_then(|e| e.downcast_ref::<io::Error>());
    inner.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
}

/// Makes the names in `dir` survive a power cut.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| Error::io("sync", dir, e))
}

/// Writes a record; only this user may read it.
pub fn write_record<T: Record>(path: &Path, record: &T) -> Result<(), Error> {
    let envelope = Envelope { format: T::FORMAT, record };
    let mut text =
        serde_json::to_vec_pretty(&envelope).map_err(|source| Error::Damaged { path: path.into(), source })?;
    text.push(b'\n');
    write_atomic(path, &text, 0o600)
}

/// Reads a record; `None` when there is no such file. A newer format is refused, never guessed at.
pub fn read_record<T: Record>(path: &Path) -> Result<Option<T>, Error> {
    let Some(text) = read_bounded(path, RECORD_LIMIT)? else { return Ok(None) };
    parse(&text, &|| path.into()).map(Some)
}

/// Reads a record's text; `path` is for errors.
pub(super) fn parse<T: Record>(text: &[u8], path: &dyn Fn() -> PathBuf) -> Result<T, Error> {
    let damaged = |source| Error::Damaged { path: path(), source };
    let format = match own_format(text) {
        Some(format) => format,
        None => serde_json::from_slice::<Header>(text).map_err(damaged)?.format,
    };
    if format > T::FORMAT {
        return Err(Error::Newer { path: path(), found: format, known: T::FORMAT });
    }
    serde_json::from_slice(text).map_err(damaged)
}

/// The format's number where it stands as we write it, at the beginning: found without reading all of a record twice.
fn own_format(text: &[u8]) -> Option<u32> {
    let rest = text.strip_prefix(b"{\n  \"format\": ")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).filter(|end| matches!(rest[*end], b',' | b'\n'))?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// Reads a whole file of at most `limit` bytes; `None` when there is none.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    // One read for the file and one for its end, instead of a buffer that grows from 32 bytes.
    let length = file.metadata().map_or(0, |about| about.len()).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length + 1).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.into(), limit });
    }
    Ok(Some(bytes))
}

/// Removes a file; one that is not there is fine.
pub fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Removes a directory of ours and all in it (links are removed, not followed); one that is not there is fine.
pub fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record, for the tests of what reads and writes them.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(in crate::store) struct Sample {
        pub name: String,
    }

    impl Record for Sample {
        const FORMAT: u32 = 2;
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        assert!(read_record::<Sample>(&path).unwrap().is_none());
        let record = Sample { name: "x".into() };
        write_record(&path, &record).unwrap();
        assert_eq!(read_record::<Sample>(&path).unwrap().unwrap(), record);
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn zeros_become_holes_and_the_content_stays() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let mut image = vec![0; (1 << 20) + 7];
        image[BLOCK..BLOCK + 3].copy_from_slice(b"abc");
        write_atomic(&path, &image, 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), image);
        assert!(path.metadata().unwrap().blocks() * 512 < 64 << 10);
    }

    #[test]
    fn a_newer_or_damaged_record_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        for (text, newer) in [
            (r#"{"format":3,"other":1}"#, true),
            ("{\n  \"format\": 3,\n  \"other\": 1\n}\n", true),
            ("{\n  \"format\": 2,\n  \"nam", false),
            ("{\n  \"format\": 2x,\n  \"name\": \"x\"\n}\n", false),
            (r#"{"format":2,"nam"#, false),
            ("", false),
        ] {
            fs::write(&path, text).unwrap();
            match read_record::<Sample>(&path) {
                Err(Error::Newer { found: 3, known: 2, .. }) => assert!(newer),
                Err(Error::Damaged { .. }) => assert!(!newer),
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_file_over_the_bound_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        fs::write(&path, [0; 11]).unwrap();
        assert!(matches!(read_bounded(&path, 10), Err(Error::TooLarge { .. })));
        assert_eq!(read_bounded(&path, 11).unwrap().unwrap().len(), 11);
    }
}
