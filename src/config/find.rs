//! Finding and reading the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::store;

/// Names of machine files, in the order in which they are preferred: beside a Ruby `Vagrantfile` for Vagrant there may
/// be a `Vagrantfile.toml` for us.
pub const NAMES: &[&str] = &["Vagrantfile.toml", "Vagrantfile"];

/// The machine file of `start`, or of the nearest directory above it that has one.
pub fn find(start: &Path) -> Result<PathBuf, Error> {
    let start = std::path::absolute(start).map_err(|source| Error::Unreadable { file: start.into(), source })?;
    for dir in start.ancestors() {
        for name in NAMES {
            let file = dir.join(name);
            match fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() => return Ok(file),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(source) => return Err(Error::Unreadable { file, source }),
            }
        }
    }
    Err(Error::NotFound { start })
}

/// The bytes of a machine file.
pub fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { file: file.into(), source };
    // A pipe or device would block or never end.
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    match store::read_bounded(file, super::LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(unreadable(io::ErrorKind::NotFound.into())),
        Err(store::Error::Io { source, .. }) => Err(unreadable(source)),
        Err(_) => Err(Error::TooLarge { file: file.into() }),
    }
}

/// The user's own file in Ruby, which machine files in Ruby start from: in our configuration, or where Vagrant has it.
pub fn user_file() -> Option<(PathBuf, String)> {
    let ours = store::Dirs::from_env().ok().map(|dirs| dirs.config().to_owned());
    let set = std::env::var_os("VAGRANT_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let theirs = set.or_else(|| Some(std::env::home_dir()?.join(".vagrant.d")));
    ours.into_iter().chain(theirs).find_map(|dir| {
        let path = std::path::absolute(dir.join("Vagrantfile")).ok()?;
        let text = String::from_utf8(read(&path).ok()?).ok()?;
        Some((path, text))
    })
}

/// Whether a text that is no TOML is one of Vagrant's machine files.
pub fn looks_like_ruby(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        let code =
            ["Vagrant.configure", "Vagrant::", "Vagrant.require_", "Vagrant.has_plugin", "require \"", "require '"];
        let comment = line.starts_with('#') && (line.contains("mode: ruby") || line.contains("ft=ruby"));
        comment || code.iter().any(|start| line.starts_with(start)) || line.starts_with("require_relative ")
    })
}
