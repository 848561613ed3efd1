//! The only place that knows how to write safely: directories, atomic files, locks, and the version of records.

mod digest;
mod dirs;
mod file;
mod folder;
mod id;
mod lock;
mod outfile;

pub use digest::hex;
pub use dirs::{Dirs, create_private};
pub use file::{Record, read_bounded, read_record, remove_dir, remove_file, sync_dir, write_atomic, write_record};
pub use folder::Folder;
pub use id::{BadId, MachineId};
pub use lock::{Holder, Lock};
pub use outfile::OutFile;

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Explain};
use crate::progress::Interrupted;

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb ("write", "create", "read").
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record does not parse.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record was written by a later `vbox-rs`.
    #[error("{} has format {found}, and this vbox-rs knows formats up to {known}", path.display())]
    Newer {
        /// The record's file.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// A file is larger than anything that we wrote could be.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// Another process holds the lock and we may not wait.
    #[error("{what} is in use by {holder}")]
    Locked {
        /// What the lock guards, for people.
        what: String,
        /// Who holds it.
        holder: Holder,
    },
    /// Neither `VBOX_RS_HOME` nor `HOME` is set.
    #[error("there is no home directory to keep machines and boxes in")]
    NoHome,
    /// Stopped while waiting for a lock.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    /// Wraps what the system said about `path`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().into(), source }
    }

    /// Whether a full disk is the reason.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } | Self::NoHome => Exit::Io,
            Self::Damaged { .. } | Self::Newer { .. } | Self::TooLarge { .. } => Exit::State,
            Self::Locked { .. } => Exit::Locked,
            Self::Interrupted(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => io_hint(source, path),
            Self::Damaged { path, .. } | Self::TooLarge { path, .. } => Some(format!(
                "nothing was changed; move {} away if you cannot repair it, and tell us how it came about",
                path.display()
            )),
            Self::Newer { .. } => Some("update vbox-rs; nothing was changed".into()),
            Self::Locked { .. } => Some("wait for it to end, or run the command without --no-wait".into()),
            Self::NoHome => Some("set VBOX_RS_HOME to a directory".into()),
            Self::Interrupted(_) => None,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What to do about a system error on `path`, where that can be said.
pub fn io_hint(error: &io::Error, path: &Path) -> Option<String> {
    match error.kind() {
        _ if is_full(error) => Some(format!("free some space on the file system of {}", path.display())),
        io::ErrorKind::PermissionDenied => Some("check who owns it and its permissions".into()),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("the file system is read-only; set VBOX_RS_HOME to a directory that can be written".into())
        }
        _ => None,
    }
}
