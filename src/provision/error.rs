//! Why provisioning failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::{Exit, Explain, Failure};
use crate::progress::Interrupted;
use crate::{folders, guest};

/// Why provisioning failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A script or a copy ended with an exit code other than 0.
    #[error("provisioner `{name}` failed with exit code {status}{tail}")]
    Failed {
        /// The provisioner.
        name: String,
        /// The exit code.
        status: i32,
        /// What it printed last.
        tail: Tail,
    },
    /// `--provision-with` names something that is not in the machine file.
    #[error("no provisioner has the name or type `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names and types that there are.
        known: Vec<String>,
    },
    /// The name of an environment variable is none.
    #[error("provisioner `{name}`: `{variable}` cannot be the name of an environment variable")]
    Variable {
        /// The provisioner.
        name: String,
        /// The name.
        variable: String,
    },
    /// A script or file of the host cannot be read.
    #[error("provisioner `{name}`: cannot read {}", path.display())]
    Read {
        /// The provisioner.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The script is larger than any script.
    #[error("provisioner `{name}`: the script is larger than {limit} bytes")]
    TooLarge {
        /// The provisioner.
        name: String,
        /// The bound.
        limit: u64,
    },
    /// The script could not be fetched.
    #[error("provisioner `{name}`: cannot fetch the script from {url}: {why}")]
    Fetch {
        /// The provisioner.
        name: String,
        /// Where from.
        url: String,
        /// What went wrong.
        why: Failure,
    },
    /// The machine did not come back.
    #[error("provisioner `{name}`: the machine could not be rebooted: {why}")]
    Reboot {
        /// The provisioner.
        name: String,
        /// What went wrong.
        why: Failure,
    },
    /// A folder could not be copied.
    #[error("provisioner `{name}`: {why}")]
    Folder {
        /// The provisioner.
        name: String,
        /// What went wrong.
        why: Box<folders::Error>,
    },
    /// The connection failed.
    #[error("provisioner `{name}` was cut off")]
    Guest {
        /// The provisioner.
        name: String,
        /// What went wrong.
        source: guest::Error,
    },
    /// Stopped by the user.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The last lines that a script printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail(pub Vec<String>);

impl fmt::Display for Tail {
    /// Nothing, or `:` and one indented line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            f.write_str("; it printed last:")?;
        }
        self.0.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Failed { .. } => Exit::Provision,
            Self::Unknown { .. } => Exit::Usage,
            Self::Variable { .. } => Exit::MachineFile,
            Self::Read { .. } | Self::TooLarge { .. } => Exit::Io,
            Self::Fetch { why, .. } | Self::Reboot { why, .. } => why.exit(),
            Self::Folder { why, .. } => why.exit(),
            Self::Guest { source, .. } => source.exit(),
            Self::Interrupted(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Failed { name, .. } => {
                format!("the machine runs on; when the script is mended: `vbox-rs provision --provision-with {name}`")
            }
            Self::Unknown { known, .. } if known.is_empty() => "the machine file has no provisioners".into(),
            Self::Unknown { known, .. } => format!("there are: {}", known.join(", ")),
            Self::Variable { .. } => "letters, digits and underscores; no digit first".into(),
            Self::Read { path, .. } => format!("relative paths start at the machine file; see `ls {}`", path.display()),
            Self::TooLarge { .. } => "copy large files by a provisioner of type `file`".into(),
            Self::Fetch { why, .. } | Self::Reboot { why, .. } => return why.hint(),
            Self::Folder { why, .. } => return why.hint(),
            Self::Guest { source, .. } => return source.hint(),
            Self::Interrupted(_) => return None,
        })
    }
}
