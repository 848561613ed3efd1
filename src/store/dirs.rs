//! Where things lie.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Error, MachineId};

/// The directories of this user. Nothing is created until it is needed.
#[derive(Clone, Debug)]
pub struct Dirs {
    home: PathBuf,
    cache: PathBuf,
    config: PathBuf,
    runtime: PathBuf,
}

impl Dirs {
    /// `VBOX_RS_HOME`, or `vbox-rs` in the user's data directory; `VBOX_RS_CACHE`, or `cache` inside of an explicit
    /// `VBOX_RS_HOME`, or `vbox-rs` in the user's cache directory; and so for `VBOX_RS_CONFIG` and `config`.
    pub fn from_env() -> Result<Self, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let explicit = set("VBOX_RS_HOME").map(|path| std::path::absolute(&path).unwrap_or(path));
        let home = explicit.clone().or_else(|| Some(dirs::data_dir()?.join("vbox-rs"))).ok_or(Error::NoHome)?;
        let beside = |variable, folder: &str, usual: fn() -> Option<PathBuf>| {
            set(variable)
                .map(|path| std::path::absolute(&path).unwrap_or(path))
                .or_else(|| explicit.as_ref().map(|home| home.join(folder)))
                .or_else(|| Some(usual()?.join("vbox-rs")))
                .ok_or(Error::NoHome)
        };
        let cache = beside("VBOX_RS_CACHE", "cache", dirs::cache_dir)?;
        let config = beside("VBOX_RS_CONFIG", "config", dirs::config_dir)?;
        let runtime = set("XDG_RUNTIME_DIR").map_or_else(
            || env::temp_dir().join(format!("vbox-rs-{}", rustix::process::getuid().as_raw())),
            |dir| dir.join("vbox-rs"),
        );
        Ok(Self { home, cache, config, runtime })
    }

    /// All state below `root`: for tests.
    pub fn below(root: &Path) -> Self {
        let folder = |name| root.join(name);
        Self { home: folder("home"), cache: folder("cache"), config: folder("config"), runtime: folder("run") }
    }

    /// `VBOX_RS_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// One directory per machine.
    pub fn machines(&self) -> PathBuf {
        self.home.join("machines")
    }

    /// Everything about one machine.
    pub fn machine(&self, id: MachineId) -> PathBuf {
        self.machines().join(id.to_string())
    }

    /// The library.
    pub fn boxes(&self) -> PathBuf {
        self.home.join("boxes")
    }

    /// Files that stand for the host's ports; see `network`.
    pub fn ports(&self) -> PathBuf {
        self.home.join("ports")
    }

    /// What the user adds to the program: catalogue files and keys. Never written by us.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Downloads in progress.
    pub fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// A short directory for sockets of one machine, for when the path below `home` is longer than the 108 bytes that a
    /// unix socket's address has (`unix(7)`).
    pub fn runtime(&self, id: MachineId) -> PathBuf {
        self.runtime.join(id.short())
    }
}

/// Creates `path` and its parents, readable for this user only, and refuses one that belongs to somebody else.
pub fn create_private(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| Error::io("create", path, e))?;
    let owner = path.metadata().map_err(|e| Error::io("read", path, e))?.uid();
    if owner == rustix::process::getuid().as_raw() {
        Ok(())
    } else {
        let other = std::io::Error::new(std::io::ErrorKind::PermissionDenied, format!("it belongs to user id {owner}"));
        Err(Error::io("use", path, other))
    }
}
