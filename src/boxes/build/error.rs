//! Why a box could not be built.

use std::path::PathBuf;
use std::process::ExitStatus;

use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

use super::tools::Tool;

/// Why a box could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no recipe of this name.
    #[error("no recipe named `{name}`")]
    NoRecipe {
        /// What was asked for.
        name: String,
    },
    /// Programs that the build needs are not installed.
    #[error("building a box needs {}, which {} not installed here", names(missing), if missing.len() == 1 { "is" } else { "are" })]
    MissingTools {
        /// Which ones.
        missing: Vec<Tool>,
    },
    /// The mirror is not an address of one.
    #[error("`{mirror}` is not the address of a Debian mirror")]
    BadMirror {
        /// What was given.
        mirror: String,
    },
    /// A program that we started failed.
    #[error("{program} failed ({status}); its last lines:\n{tail}")]
    Failed {
        /// Which one.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        tail: String,
        /// All of its output.
        log: PathBuf,
    },
    /// A program that we need did not start.
    #[error("{program} does not start")]
    NotStarted {
        /// Which one.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What a tool made is not what it should be.
    #[error("{what} is not as expected: {problem}")]
    Unexpected {
        /// What was looked at.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A file could not be read or written, or another build is at work.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Stopped by the user.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    pub(super) fn io(action: &'static str, path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        store::Error::io(action, path, source).into()
    }
}

fn names(missing: &[Tool]) -> String {
    missing.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NoRecipe { .. } => Exit::BoxNotFound,
            Self::BadMirror { .. } => Exit::Usage,
            Self::Store(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
            _ => Exit::Failure,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRecipe { .. } => {
                let names: Vec<_> = super::recipes().iter().map(|recipe| recipe.name.as_str()).collect();
                Some(format!("there are recipes for {}", names.join(", ")))
            }
            Self::MissingTools { missing } => {
                let mut packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
                packages.sort_unstable();
                packages.dedup();
                Some(format!("sudo apt-get install {}", packages.join(" ")))
            }
            Self::BadMirror { .. } => Some("give an address like http://deb.debian.org/debian".into()),
            Self::Failed { log, .. } => Some(format!("all of its output is in {}", log.display())),
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
