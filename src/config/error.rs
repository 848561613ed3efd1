//! Why there is no usable machine file.

use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use super::problem::{Level, Problem};
use crate::error::{Exit, Explain};

/// Why there is no usable machine file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No directory up to the root has one.
    #[error("no machine file in {} or any directory above it", start.display())]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a machine file, whatever it is.
    #[error("{} is larger than {} bytes", file.display(), super::LIMIT)]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// Not a text.
    #[error("{} is not UTF-8: line {line} has a byte that cannot be", file.display())]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// The first line with such a byte, from 1.
        line: usize,
    },
    /// Vagrant's own kind of machine file, as a text without a file.
    #[error("{} is written in Ruby, which is read from its own file only", file.display())]
    Ruby {
        /// The file.
        file: PathBuf,
    },
    /// That the user trusts the file could not be remembered.
    #[error("cannot remember that the machine file is trusted")]
    Trust(#[source] crate::store::Error),
    /// A machine of it cannot be said in TOML.
    #[error("{} cannot be written as TOML with the same meaning: machine `{machine}`", file.display())]
    Import {
        /// The file.
        file: PathBuf,
        /// The machine.
        machine: String,
    },
    /// Read, and not usable.
    #[error("{} has {}\n\n{rendered}", file.display(), counted(problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Everything that is wrong, warnings too, in the order of the file.
        problems: Vec<Problem>,
        /// All of them as plain text; [`super::render`] makes a coloured one.
        rendered: String,
    },
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Trust(error) => error.exit(),
            _ => Exit::MachineFile,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some(
                "`vbox-rs init` writes one here; or go to the project's directory, or name it by VBOX_RS_CWD".into(),
            ),
            Self::Unreadable { source, file } => crate::store::io_hint(source, file),
            Self::TooLarge { .. } => Some("move it away and write a new one by `vbox-rs init`".into()),
            Self::NotUtf8 { .. } => Some("save it as UTF-8".into()),
            Self::Ruby { .. } => Some(
                "write a Vagrantfile.toml beside it, which is read instead: \
                 `vbox-rs import --output Vagrantfile.toml`"
                    .into(),
            ),
            Self::Trust(error) => error.hint(),
            Self::Import { .. } => Some("go on with the file in Ruby, and tell us what it says of this machine".into()),
            Self::Invalid { .. } => None,
        }
    }
}

impl Error {
    /// Whether nothing is wrong with the file but that it wants what `--trust` allows.
    pub fn wants_trust(&self) -> bool {
        let Self::Invalid { problems, .. } = self else { return false };
        problems.iter().any(|problem| problem.refused && problem.level == Level::Error)
    }
}

fn counted(problems: &[Problem]) -> String {
    match problems.iter().filter(|problem| problem.level == Level::Error).count() {
        1 => "1 error".into(),
        n => format!("{n} errors"),
    }
}

pub(super) fn not_utf8(file: &Path, source: &FromUtf8Error) -> Error {
    let good = source.as_bytes().get(..source.utf8_error().valid_up_to()).unwrap_or_default();
    let line = good.split(|&b| b == b'\n').count();
    Error::NotUtf8 { file: file.to_owned(), line }
}
