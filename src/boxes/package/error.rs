//! Why a machine was not packed.

use std::path::PathBuf;

use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

/// Why a machine was not packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that shall go into the box cannot be had.
    #[error("cannot include {}: {why}", path.display())]
    Include {
        /// As the user named it.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Two files would have one name in the box.
    #[error("two files to include would both be `{name}` in the box")]
    IncludedTwice {
        /// The name.
        name: String,
    },
    /// A file that says something of the box makes no sense.
    #[error("{} is {why}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The program that reads and writes disk images is missing.
    #[error("packing a machine needs `qemu-img`, which is not installed here")]
    NoTool,
    /// A disk cannot be read, or its copy not be written.
    #[error("cannot copy the disk {}: {message}", path.display())]
    Convert {
        /// The disk.
        path: PathBuf,
        /// What `qemu-img` said.
        message: String,
    },
    /// The image could not be put together.
    #[error("cannot put the image together")]
    Layout(#[source] Box<crate::boxes::Error>),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Stopped by the user.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Include { .. } | Self::IncludedTwice { .. } | Self::Text { .. } => Exit::Usage,
            Self::NoTool => Exit::Provider,
            Self::Convert { .. } => Exit::Failure,
            Self::Layout(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Include { .. } => {
                Some("relative paths start in the current directory; an absolute one goes by its last name".into())
            }
            Self::IncludedTwice { .. } => Some("leave one of them out, or rename it".into()),
            Self::Text { .. } => Some("nothing was changed".into()),
            Self::NoTool => Some("sudo apt-get install qemu-utils".into()),
            Self::Convert { .. } => Some("the machine is as it was; `qemu-img check` on the disk may tell more".into()),
            Self::Layout(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Interrupted(_) => None,
        }
    }
}
