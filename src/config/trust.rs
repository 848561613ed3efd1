//! Which machine files in Ruby the user trusts with this computer: those may run commands and change files.
//!
//! What is trusted is a text at a place: one record for each path in `trusted/` of the home, with the digest of the file
//! and of every other file and folder that it looked at then, also of those that were not there. Once one of them differs,
//! the user is asked again.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{self, Dirs, Record};

/// No more files of one project are remembered; with more it is asked every time.
const MOST_FILES: usize = 1000;

/// Entries of a folder whose names are remembered.
const MOST_ENTRIES: usize = 20_000;

/// Bytes of a file that is remembered: larger ones are not read by machine files.
const LARGEST: u64 = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Trusted {
    /// For people who look into the folder.
    file: PathBuf,
    sha256: String,
    /// What it looked at besides.
    others: Vec<(PathBuf, String)>,
}

impl Record for Trusted {
    const FORMAT: u32 = 1;
}

/// Whether this text at this place is trusted. A record that cannot be read is none.
pub fn is_trusted(dirs: &Dirs, file: &Path, text: &str) -> bool {
    let Ok(Some(known)) = store::read_record::<Trusted>(&place(dirs, file)) else { return false };
    let same = |(path, digest): &(PathBuf, String)| digest_at(path).as_ref() == Some(digest);
    known.file == file && known.sha256 == digest(text.as_bytes()) && known.others.iter().all(same)
}

/// Remembers that it is, with what it looked at besides. Where that cannot be told by a digest, nothing is remembered.
pub fn remember(dirs: &Dirs, file: &Path, text: &str, others: &[PathBuf]) -> Result<(), store::Error> {
    // What the kernel tells changes by itself, and no project says it.
    let others: Vec<_> = others.iter().filter(|path| !path.starts_with("/proc") && !path.starts_with("/sys")).collect();
    if others.len() > MOST_FILES {
        return Ok(());
    }
    let others = others.into_iter().map(|path| Some((path.clone(), digest_at(path)?)));
    let Some(others) = others.collect() else { return Ok(()) };
    let record = Trusted { file: file.to_owned(), sha256: digest(text.as_bytes()), others };
    store::write_record(&place(dirs, file), &record)
}

fn place(dirs: &Dirs, file: &Path) -> PathBuf {
    dirs.home().join("trusted").join(format!("{}.json", digest(file.as_os_str().as_encoded_bytes())))
}

/// What lies there; `None` where that cannot be told.
fn digest_at(path: &Path) -> Option<String> {
    match path.metadata() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Some("absent".into()),
        Ok(about) if about.is_dir() => {
            let entries = path.read_dir().ok()?.take(MOST_ENTRIES + 1);
            let mut names = entries.map(|entry| Some(entry.ok()?.file_name())).collect::<Option<Vec<_>>>()?;
            if names.len() > MOST_ENTRIES {
                return None;
            }
            // Machines are linked there, by us.
            names.retain(|name| name != ".vbox-rs");
            names.sort();
            // No name has a slash.
            Some(format!("folder {}", digest(names.join(OsStr::new("/")).as_encoded_bytes())))
        }
        Ok(about) if about.is_file() => store::read_bounded(path, LARGEST).ok()?.map(|bytes| digest(&bytes)),
        _ => None,
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn trust_ends_when_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let (file, helper) = (dir.path().join("Vagrantfile"), dir.path().join("helper.rb"));
        fs::write(&helper, "a").unwrap();
        assert!(!is_trusted(&dirs, &file, "text"));
        remember(&dirs, &file, "text", std::slice::from_ref(&helper)).unwrap();
        assert!(is_trusted(&dirs, &file, "text"));
        assert!(!is_trusted(&dirs, &file, "other text"));
        assert!(!is_trusted(&dirs, &dir.path().join("elsewhere/Vagrantfile"), "text"));
        fs::write(&helper, "b").unwrap();
        assert!(!is_trusted(&dirs, &file, "text"), "the helper is another one");
        fs::remove_file(&helper).unwrap();
        assert!(!is_trusted(&dirs, &file, "text"), "the helper is gone");
        let (absent, folder) = (dir.path().join("extra.rb"), dir.path().join("conf.d"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), "").unwrap();
        remember(&dirs, &file, "text", &[absent.clone(), folder.clone()]).unwrap();
        assert!(is_trusted(&dirs, &file, "text"));
        fs::write(folder.join("b"), "").unwrap();
        assert!(!is_trusted(&dirs, &file, "text"), "the folder has one more");
        fs::remove_file(folder.join("b")).unwrap();
        assert!(is_trusted(&dirs, &file, "text"));
        fs::write(&absent, "").unwrap();
        assert!(!is_trusted(&dirs, &file, "text"), "what was not there is there");
        fs::write(place(&dirs, &file), "rubbish").unwrap();
        assert!(!is_trusted(&dirs, &file, "text"));
    }
}
