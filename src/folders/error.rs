//! Why a folder could not be synced.

use std::io;
use std::path::PathBuf;

use crate::error::{Exit, Explain};
use crate::guest;
use crate::progress::Interrupted;

/// Why a folder could not be synced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's folder is missing.
    #[error("the folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// There is something else in its place.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Syncing there would remove what the guest needs.
    #[error("`{guest}` cannot be a synced folder: {why}")]
    Target {
        /// The folder in the guest.
        guest: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder in the guest could not be made ready.
    #[error("cannot prepare `{guest}` in the guest: {said}")]
    Prepare {
        /// The folder in the guest.
        guest: String,
        /// The guest's words.
        said: String,
    },
    /// The guest could not mount what the hypervisor shares.
    #[error("cannot mount `{guest}` in the guest: {said}")]
    Mount {
        /// The folder in the guest.
        guest: String,
        /// The guest's words.
        said: String,
    },
    /// The guest could not unpack or remove.
    #[error("the guest could not write to `{guest}`: {said}")]
    Write {
        /// The folder in the guest.
        guest: String,
        /// The guest's words.
        said: String,
    },
    /// rsync failed.
    #[error("rsync to `{guest}` failed with exit code {status}: {said}")]
    Rsync {
        /// The folder in the guest.
        guest: String,
        /// Its exit code.
        status: i32,
        /// Its last words.
        said: String,
    },
    /// rsync could not be started.
    #[error("cannot run rsync")]
    Spawn(#[source] io::Error),
    /// Something on the host could not be read; everything else was synced.
    #[error("{} could not be read{}", path.display(), others(*more))]
    Unreadable {
        /// The first one.
        path: PathBuf,
        /// How many more there are.
        more: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused on the host.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The guest does not answer as it should.
    #[error("the guest's answer about `{0}` makes no sense")]
    Answer(String),
    /// The connection failed.
    #[error(transparent)]
    Guest(#[from] guest::Error),
    /// Stopped by the user.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn others(more: usize) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more") }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NoFolder(_) | Self::NotAFolder(_) | Self::Target { .. } => Exit::MachineFile,
            Self::Prepare { .. } | Self::Mount { .. } | Self::Write { .. } | Self::Rsync { .. } | Self::Answer(_) => {
                Exit::Guest
            }
            Self::Spawn(_) | Self::Unreadable { .. } | Self::Io { .. } => Exit::Io,
            Self::Guest(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFolder(path) => {
                format!("create it (`mkdir -p {}`), or set `create = true` for this synced folder", path.display())
            }
            Self::NotAFolder(_) => "a single file is copied by a provisioner of type `file`".into(),
            Self::Target { .. } => "choose a folder that is for this alone, such as `/vagrant` or `/srv/app`".into(),
            Self::Prepare { .. } => "its owner and group must exist in the guest, and the login user must be root or \
                have sudo without a password"
                .into(),
            Self::Mount { .. } => {
                "its owner and group must exist in the guest, and the guest additions must fit its kernel; \
                type \"rsync\" copies the folder instead"
                    .into()
            }
            Self::Write { .. } => {
                "check the space (`vbox-rs ssh -c 'df -h'`) and the folder's owner in the guest".into()
            }
            Self::Rsync { .. } => "`vbox-rs rsync` tries it again".into(),
            Self::Spawn(_) => "install rsync on the host".into(),
            Self::Unreadable { .. } => "change its permissions, or leave it out: `exclude = [\"…\"]`".into(),
            Self::Guest(error) => return error.hint(),
            Self::Io { .. } | Self::Answer(_) | Self::Interrupted(_) => return None,
        })
    }
}
