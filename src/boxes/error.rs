//! What can go wrong with boxes.

use std::io;
use std::path::{Path, PathBuf};

use super::checksum::{BadChecksum, Checksum};
use super::version::{BadRequirement, BadVersion};
use super::{PROVIDERS, fetch, qcow2, registry};
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

/// Nobody who was asked knows a box of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no box `{name}` in the library, in the catalogue{}", among(servers))]
pub struct Unknown {
    /// The name.
    pub name: String,
    /// Registries that were asked.
    pub servers: Vec<String>,
    /// Whether we can build it.
    pub recipe: bool,
}

fn among(servers: &[String]) -> String {
    servers.iter().flat_map(|server| [", at ", server]).collect()
}

impl Unknown {
    fn hint(&self) -> String {
        let name = &self.name;
        if self.recipe {
            return format!("build it with `vbox-rs box build {name}`");
        }
        let registry = if self.servers.is_empty() {
            "; no registry is asked unless VBOX_RS_SERVER_URL names one (Vagrant's own, https://vagrantcloud.com, ends with \
             2026)"
        } else {
            ""
        };
        format!(
            "add it with `vbox-rs box add --name {name} FILE-OR-URL`, or write `box_url` into the machine file{registry}"
        )
    }
}

/// Why something could not be done with a box.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Our own files.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The download.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// A registry or its document.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Nobody knows the name.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The user stopped it.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A version that is none.
    #[error(transparent)]
    Version(#[from] BadVersion),
    /// A constraint that is none.
    #[error(transparent)]
    Requirement(#[from] BadRequirement),
    /// A checksum that is none.
    #[error(transparent)]
    Checksum(#[from] BadChecksum),
    /// A name that no box can have.
    #[error("`{name}` cannot be the name of a box: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A source that is neither file nor URL.
    #[error("cannot add a box from `{text}`: {why}")]
    Source {
        /// What the user gave, without secrets.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// No name was given and none can be derived.
    #[error("the box from {from} has no name")]
    Unnamed {
        /// The source.
        from: String,
    },
    /// The file does not exist.
    #[error("there is no file {}", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
        /// It was probably meant as the name of a box.
        looks_like_name: bool,
    },
    /// A provider was asked for whose boxes we cannot run.
    #[error("vbox-rs runs no boxes for `{asked}`")]
    Provider {
        /// What was asked for.
        asked: String,
    },
    /// What arrived is not what was promised.
    #[error("{from} has {found}, not {expected}")]
    Mismatch {
        /// The source.
        from: String,
        /// The promise.
        expected: Checksum,
        /// What arrived.
        found: Checksum,
    },
    /// The box is damaged, unsafe, or not for us.
    #[error("the box from {from} is refused")]
    Refused {
        /// The source.
        from: String,
        /// The reason.
        source: Refusal,
    },
    /// The library has it already.
    #[error("the box `{name}` {version} for {provider} is already there")]
    AlreadyThere {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Its provider.
        provider: String,
    },
    /// Somebody removed it meanwhile.
    #[error("the box `{name}` {version} is not in the library any more")]
    Gone {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// Machines use it.
    #[error("the box `{name}` {version} is used by {}", machines.join(", "))]
    InUse {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Those machines.
        machines: Vec<String>,
    },
}

impl Error {
    /// What the system said about a file.
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Store(store::Error::io(action, path, source))
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => error.exit(),
            Self::Fetch(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
            Self::Registry(error) => error.exit(),
            Self::Version(_)
            | Self::Requirement(_)
            | Self::Checksum(_)
            | Self::Name { .. }
            | Self::Source { .. }
            | Self::Unnamed { .. }
            | Self::Provider { .. } => Exit::Usage,
            Self::Unknown(_) | Self::NoFile { .. } | Self::Gone { .. } => Exit::BoxNotFound,
            Self::Mismatch { .. } => Exit::Checksum,
            Self::Refused { .. } => Exit::BoxRefused,
            Self::AlreadyThere { .. } => Exit::Failure,
            Self::InUse { .. } => Exit::MachineState,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Unknown(unknown) => Some(unknown.hint()),
            Self::Interrupted(_) | Self::Version(_) | Self::Requirement(_) | Self::Checksum(_) => None,
            Self::Name { .. } | Self::Unnamed { .. } => {
                Some("give it a name with `--name`, such as `me/debian`".into())
            }
            Self::Source { .. } => Some("give a file (.box, .qcow2, .img) or an http(s) URL of one".into()),
            Self::NoFile { looks_like_name: true, .. } => {
                Some("give a file or URL; `vbox-rs box build NAME` builds a box that has a recipe".into())
            }
            Self::NoFile { .. } => Some("check the path; relative ones start in the current directory".into()),
            Self::Provider { .. } => Some(format!("boxes are run for: {}", PROVIDERS.join(", "))),
            Self::Mismatch { .. } => Some(
                "nothing was kept; check the checksum at its publisher, and if it is right, do not trust this source"
                    .into(),
            ),
            Self::Refused { source, .. } => Some(source.hint().into()),
            Self::AlreadyThere { name, .. } => {
                Some(format!("add it again with `--force`, or see it with `vbox-rs box info {name}`"))
            }
            Self::Gone { name, .. } => Some(format!("add `{name}` again")),
            Self::InUse { .. } => {
                Some("destroy these machines first, or remove the box with `--force`: they keep their disks".into())
            }
        }
    }
}

/// Why a box is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Neither an archive nor an image.
    #[error("it is {0}, not a box (tar, tar.gz) and not a qcow2 or raw disk image")]
    NotABox(&'static str),
    /// It ends too early.
    #[error("it is cut off: {0}")]
    CutOff(&'static str),
    /// Compressed data is wrong.
    #[error("its gzip data is damaged")]
    Gzip(#[source] io::Error),
    /// The archive's structure is wrong.
    #[error("its tar archive is damaged: {0}")]
    Tar(&'static str),
    /// Something follows the end.
    #[error("there is data behind its end")]
    Trailing,
    /// An entry would land elsewhere.
    #[error("its entry `{entry}` {why}")]
    Path {
        /// The entry's name.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry is no file and no directory.
    #[error("its entry `{entry}` is {kind}; a box holds files only")]
    Kind {
        /// The entry's name.
        entry: String,
        /// What it is.
        kind: &'static str,
    },
    /// Two entries have one name.
    #[error("it holds `{0}` twice")]
    Twice(String),
    /// More entries than any box has.
    #[error("it holds more than {0} entries")]
    Entries(usize),
    /// Larger than it may be.
    #[error("{what} has {size} bytes or more; {limit} are accepted")]
    TooLarge {
        /// Which part.
        what: String,
        /// How large it is, at least.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// `metadata.json` is not there.
    #[error("it has no metadata.json")]
    NoMetadata,
    /// A JSON file makes no sense.
    #[error("its {file} is broken: {why}")]
    Json {
        /// `metadata.json` or `info.json`.
        file: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It is made for another provider.
    #[error("it is made for {found}; vbox-rs runs boxes for: {}", PROVIDERS.join(", "))]
    Provider {
        /// What it is made for.
        found: String,
    },
    /// It is made for another architecture than asked for.
    #[error("it is made for {found}, not for {asked}")]
    Architecture {
        /// What it is made for.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// A file that `metadata.json` names is missing.
    #[error("it does not hold `{0}`, which its metadata.json names")]
    Missing(String),
    /// No disk or several.
    #[error("it has {0} disks; boxes with one disk are supported")]
    Disks(usize),
    /// The image is refused.
    #[error("its disk image `{entry}` is refused")]
    Image {
        /// The image's name.
        entry: String,
        /// Why.
        source: qcow2::Error,
    },
    /// A raw image whose size no disk has.
    #[error("it is a raw image of {0} bytes, which is not a multiple of 512")]
    RawSize(u64),
}

impl Refusal {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotABox("a web page") => "check the URL: the server answered with a page, perhaps to log in",
            Self::NotABox("a zip archive") => "unpack it and pack it again with `tar czf`",
            Self::NotABox(_) => "give a .box file, a qcow2 image, or a raw image with a boot sector",
            Self::CutOff(_) | Self::Gzip(_) | Self::Tar(_) => {
                "fetch it again; give `--checksum` if its publisher names one"
            }
            Self::Provider { .. } => {
                "look for a build of it for libvirt or qemu, or add a cloud image of the same system"
            }
            Self::Architecture { .. } => "add the build for the right architecture",
            Self::Image { source: qcow2::Error::BackingFile(_) | qcow2::Error::DataFile, .. } => {
                "its author can flatten it: `qemu-img convert -O qcow2 OLD NEW`"
            }
            Self::Trailing
            | Self::Path { .. }
            | Self::Kind { .. }
            | Self::Twice(_)
            | Self::Entries(_)
            | Self::TooLarge { .. } => "nothing was kept; do not trust this box, and tell its author",
            _ => "nothing was kept; tell the box's author",
        }
    }
}
