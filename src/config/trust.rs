//! Which machine files in Ruby the user trusts with this computer: those may run commands and change files.
//!
//! What is trusted is a text at a place: one record for each path in `trusted/` of the home, with the digest of the file
//! and of every other file that it ran then. Once one of them differs, the user is asked again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{self, Dirs, Record};

/// No more files of one project are remembered; with more it is asked every time.
const MOST_FILES: usize = 256;

#[derive(Debug, Serialize, Deserialize)]
struct Trusted {
    /// For people who look into the folder.
    file: PathBuf,
    sha256: String,
    /// Other files that it ran.
    others: Vec<(PathBuf, String)>,
}

impl Record for Trusted {
    const FORMAT: u32 = 1;
}

/// Whether this text at this place is trusted. A record that cannot be read is none.
pub fn is_trusted(dirs: &Dirs, file: &Path, text: &str) -> bool {
    let Ok(Some(known)) = store::read_record::<Trusted>(&place(dirs, file)) else { return false };
    let same = |(path, digest): &(PathBuf, String)| digest_of_file(path).as_ref() == Some(digest);
    known.file == file && known.sha256 == digest(text.as_bytes()) && known.others.iter().all(same)
}

/// Remembers that it is, with the other files that it ran.
pub fn remember(dirs: &Dirs, file: &Path, text: &str, others: &[PathBuf]) -> Result<(), store::Error> {
    if others.len() > MOST_FILES {
        return Ok(());
    }
    let others = others.iter().filter_map(|path| Some((path.clone(), digest_of_file(path)?))).collect();
    let record = Trusted { file: file.to_owned(), sha256: digest(text.as_bytes()), others };
    store::write_record(&place(dirs, file), &record)
}

fn place(dirs: &Dirs, file: &Path) -> PathBuf {
    dirs.home().join("trusted").join(format!("{}.json", digest(file.as_os_str().as_encoded_bytes())))
}

fn digest_of_file(path: &Path) -> Option<String> {
    store::read_bounded(path, super::LIMIT).ok().flatten().map(|bytes| digest(&bytes))
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
        fs::write(place(&dirs, &file), "rubbish").unwrap();
        assert!(!is_trusted(&dirs, &file, "text"));
    }
}
