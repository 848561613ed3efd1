//! What only the command line can do wrong.

use std::io;
use std::path::PathBuf;

use crate::error::{Exit, Explain, Failure};
use crate::machine;
use crate::ui::text::list;

/// What only the command line can do wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The current directory is gone.
    #[error("cannot tell the current directory")]
    NoDirectory(#[source] io::Error),
    /// A command for one machine was given several, or none.
    #[error("{}", not_one(asked, names))]
    NotOne {
        /// What the user wrote.
        asked: String,
        /// What it means.
        names: Vec<String>,
    },
    /// A file is in the way.
    #[error("{} exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// A verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The user said no.
    #[error("nothing was done")]
    Refused,
    /// A page of `help` that is none.
    #[error("no command or topic named `{topic}`")]
    NoTopic {
        /// What was asked for.
        topic: String,
    },
    /// The OpenSSH client did not start.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The machine has no forward of this port.
    #[error("port {guest} of machine `{name}` is not forwarded")]
    NotForwarded {
        /// The machine.
        name: String,
        /// The port.
        guest: u16,
    },
    /// The machine is not running, so nothing is forwarded.
    #[error("machine `{name}` is not running ({state})")]
    NotRunning {
        /// The machine.
        name: String,
        /// Its state.
        state: String,
    },
    /// No `up` has been measured.
    #[error("no `up` of machine `{name}` is recorded")]
    NoTimings {
        /// The machine.
        name: String,
    },
    /// The machine file has a finding of a provider that forbids `up`.
    #[error("the machine file asks for what its provider cannot do")]
    ProviderFindings,
    /// This host cannot run machines.
    #[error("no provider is usable on this computer")]
    NoProvider,
    /// Something that only the OpenSSH client can do.
    #[error("there is no OpenSSH client, and --plain and arguments for it need one")]
    NoClient,
    /// A command about the boxes of a project, outside of one.
    #[error("no machine file in {} or any directory above it", start.display())]
    NoProject {
        /// Where the search began.
        start: PathBuf,
        /// What works without a project.
        instead: &'static str,
    },
    /// The library has the box, but not this one of it.
    #[error("no box `{name}` {asked} is on this computer")]
    NotThisOne {
        /// Its name.
        name: String,
        /// Version, provider, architecture.
        asked: String,
        /// The same of those that are there.
        there: Vec<String>,
    },
    /// A box that is not in the library.
    #[error("no box named `{name}`{}", version.as_ref().map(|v| format!(" with version `{v}`")).unwrap_or_default())]
    NoBox {
        /// Its name.
        name: String,
        /// The version asked for.
        version: Option<String>,
    },
    /// Several boxes of that name.
    #[error("there are several boxes named `{name}`: {}", list(versions))]
    SeveralBoxes {
        /// The name.
        name: String,
        /// Version and provider of each.
        versions: Vec<String>,
    },
    /// A path that cannot be uploaded.
    #[error("cannot read {}", path.display())]
    Source {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Stopped by the user; what is left.
    #[error("interrupted; {left}")]
    Interrupted {
        /// What is left, and what goes on from it.
        left: String,
    },
    /// An id that is none.
    #[error("no machine has the id `{id}`")]
    NoId {
        /// What the user wrote.
        id: String,
    },
}

/// What the process ends with: a trigger may choose a code of its own.
pub(super) fn code(failure: &Failure) -> u8 {
    match failure.downcast_ref() {
        Some(machine::TriggerError::Aborted { code, .. }) => *code,
        _ => failure.exit().code(),
    }
}

fn not_one(asked: &str, names: &[String]) -> String {
    match (asked, names.len()) {
        ("", 0) => "the machine file has no machine".into(),
        ("", _) => format!("this project has several machines: {}", list(names)),
        (_, 0) => format!("no machine matches `{asked}`"),
        (_, _) => format!("`{asked}` means several machines: {}", list(names)),
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NoDirectory(_) | Self::File { .. } | Self::Source { .. } => Exit::Io,
            Self::NotOne { .. } | Self::NoTopic { .. } | Self::Exists { .. } | Self::SeveralBoxes { .. } => Exit::Usage,
            Self::Refused | Self::Run { .. } | Self::NoClient => Exit::Failure,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::NoBox { .. } | Self::NotThisOne { .. } => Exit::BoxNotFound,
            Self::NoProject { .. } => Exit::MachineFile,
            Self::NotForwarded { .. } => Exit::Port,
            Self::NotRunning { .. } | Self::NoTimings { .. } | Self::NoId { .. } => Exit::MachineState,
            Self::ProviderFindings | Self::NoProvider => Exit::Provider,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoDirectory(_) => "change to a directory that exists".into(),
            Self::NotOne { names, .. } if names.is_empty() => return None,
            Self::NotOne { .. } => "name one of them, or set `primary = true` for one in the machine file".into(),
            Self::Exists { .. } => "use --force to overwrite it, or --output to write another file".into(),
            Self::Source { .. } => "relative paths start in the current directory".into(),
            Self::File { source, path, .. } => return crate::store::io_hint(source, path),
            Self::NoTopic { .. } => {
                "`vbox-rs help` lists the commands; topics are exit-codes, machine-file and keys".into()
            }
            Self::Run { .. } => "install the OpenSSH client again, or remove it: vbox-rs can do without".into(),
            Self::NotForwarded { name, .. } => format!("`vbox-rs port {name}` lists what is forwarded"),
            Self::NotRunning { name, .. } | Self::NoTimings { name } => format!("`vbox-rs up {name}` starts it"),
            Self::NoProvider => "mend what is marked above, then run `vbox-rs doctor` again".into(),
            Self::NoClient => "sudo apt-get install openssh-client".into(),
            Self::NoBox { .. } => {
                "`vbox-rs box list` lists the boxes on this computer, `vbox-rs box search WORD` what can be had".into()
            }
            Self::NoProject { instead, .. } => format!("go to the project's directory; {instead}"),
            Self::NotThisOne { there, .. } => format!("it is here as {}", list(there)),
            Self::SeveralBoxes { .. } => "say which with --box-version, --provider and --architecture, or --all".into(),
            Self::NoId { .. } => "`vbox-rs global-status` lists all machines with their ids".into(),
            Self::Refused | Self::ProviderFindings | Self::Interrupted { .. } => return None,
        })
    }
}
