//! Keys that may sign for publishers: compiled in, or put into the user's configuration directory.

use std::fs;
use std::path::Path;

use super::Error;
use super::name::printable;
use crate::store::{self, Dirs};

macro_rules! key {
    ($fingerprint:literal $file:literal) => {
        ($fingerprint, include_str!(concat!("../../boxes/keys/", $file, ".asc")))
    };
}

/// Fingerprint and armoured key; `boxes/keys/README.md` says where each comes from.
pub(super) const PUBLISHERS: &[(&str, &str)] = &[
    key!("EE6DB7B98F5BF5EDD9DA0DE5DEE5C11CC2A1E572" "almalinux-10"),
    key!("BC5EDDCADF502C077F1582882AE81E8ACED7258B" "almalinux-8"),
    key!("5E9B8F5617B5066CE92057C3488FCF7C3ABB34F8" "almalinux-8-2021"),
    key!("BF18AC2876178908D6E71267D36CB86CB86B3716" "almalinux-9"),
    key!("6341AB2753D78A78A7C27BB124C6A8A7F4A80EB5" "centos-7"),
    key!("DF9B9C49EAA9298432589D76DA87E80D6294BE9B" "debian-cd"),
    key!("963A2BEB02009608FE67EA4249FD77499570FF31" "fedora-33"),
    key!("8C5BA6990BDB26E19F2A1A801161AE6945719A39" "fedora-34"),
    key!("787EA6AE1147EEE56C40B30CDB4639719867C58F" "fedora-35"),
    key!("53DED2CB922D8B8D9E63FD18999F7CBF38AB71F4" "fedora-36"),
    key!("ACB5EE4E831C74BB7C168D27F55AD3FB5323552A" "fedora-37"),
    key!("6A51BBABBA3D5467B6171221809A8D7CEB10B464" "fedora-38"),
    key!("E8F23996F23218640CB44CBE75CF5AC418B8E74C" "fedora-39"),
    key!("115DF9AEF857853EE8445D0A0727707EA15B79CC" "fedora-40"),
    key!("466CF2D8B60BC3057AA9453ED0622462E99D6AD1" "fedora-41"),
    key!("B0F4950458F69E1150C6C5EDC8AC4916105EF944" "fedora-42"),
    key!("C6E7F081CF80E13146676E88829B606631645531" "fedora-43"),
    key!("36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6" "fedora-44"),
    key!("22C07BA534178CD02EFE22AAB88B2FD43DBDC284" "opensuse-2008"),
    key!("AD485664E901B867051AB15F35A2F86E29B700A4" "opensuse-2022"),
    key!("D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81" "ubuntu-cloud-images"),
];

/// Bytes of a key file; a key with many signatures on it has tens of thousands.
const LIMIT: u64 = 1 << 20;
/// Key files of a user.
const FILES: usize = 200;

/// Keys that may sign, by fingerprint.
#[derive(Debug, Default)]
pub struct Keyring {
    added: Vec<String>,
}

impl Keyring {
    /// The publishers' keys and those under `keys/` in the user's configuration directory.
    pub fn new(dirs: &Dirs) -> Result<Self, Error> {
        let folder = dirs.config().join("keys");
        let mut added = Vec::new();
        for path in files(&folder, "asc", FILES)? {
            let bytes = store::read_bounded(&path, LIMIT)?.unwrap_or_default();
            let text = String::from_utf8(bytes);
            added.push(text.map_err(|_| Error::Key { path: path.clone(), why: "it is not armoured".into() })?);
        }
        Ok(Self { added })
    }

    /// Armoured keys that may hold the key with this fingerprint.
    pub(super) fn armoured<'a>(&'a self, fingerprint: &'a str) -> impl Iterator<Item = &'a str> {
        let published = PUBLISHERS.iter().filter(move |(known, _)| *known == fingerprint).map(|(_, text)| *text);
        published.chain(self.added.iter().map(String::as_str))
    }

    /// With another armoured key.
    #[cfg(test)]
    pub(super) fn with(armoured: &str) -> Self {
        Self { added: vec![armoured.into()] }
    }
}

/// Files of a folder with this ending, sorted; none where there is no folder.
pub(super) fn files(folder: &Path, ending: &str, limit: usize) -> Result<Vec<std::path::PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", folder, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("read", folder, e))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|found| found == ending) && !hidden {
            found.push(path);
        }
        if found.len() > limit {
            let name = printable(&folder.display().to_string());
            return Err(Error::Source { text: name, why: format!("it holds more than {limit} files") });
        }
    }
    found.sort();
    Ok(found)
}
