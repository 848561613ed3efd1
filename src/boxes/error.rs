//! What can go wrong with boxes.

use std::io;
use std::path::{Path, PathBuf};

use super::addresses::Undelivered;
use super::checksum::{BadChecksum, Checksum};
use super::version::{BadRequirement, BadVersion};
use super::{PROVIDERS, fetch, images, oci, ovf, registry, sums, vmx};
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

/// Nobody who was asked knows a box of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub struct Unknown {
    /// The name.
    pub name: String,
    /// What its version had to meet.
    pub wanted: Option<String>,
    /// Versions in the library, ascending.
    pub versions: Vec<String>,
    /// Registries that were asked.
    pub servers: Vec<String>,
    /// Whether we can build it.
    pub recipe: bool,
}

fn among(servers: &[String]) -> String {
    servers.iter().flat_map(|server| [", at ", server]).collect()
}

impl Unknown {
    fn told(&self) -> String {
        let Self { name, versions, .. } = self;
        let among = among(&self.servers);
        match &self.wanted {
            _ if versions.is_empty() => format!("there is no box `{name}` in the library, in the catalogue{among}"),
            Some(wanted) => format!(
                "no version of the box `{name}` meets `{wanted}`: the library has {}, the catalogue{among} none",
                versions.join(", ")
            ),
            None => format!(
                "nobody publishes the box `{name}`: the library has {}, the catalogue{among} none",
                versions.join(", ")
            ),
        }
    }

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
    /// The registry.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// A registry or its document.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Nobody knows the name.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// None of several addresses has it.
    #[error(transparent)]
    Undelivered(#[from] Undelivered),
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
    /// The publisher's checksums.
    #[error(transparent)]
    Sums(#[from] sums::Error),
    /// A file of the catalogue, the user's own.
    #[error("the catalogue file {} is broken: {why}", path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A key file of the user.
    #[error("the key {} cannot be used: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
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
    /// A program that converts disk images is missing.
    #[error("{what} needs {program}, which is not installed here")]
    NoTool {
        /// What it was needed for.
        what: String,
        /// The program.
        program: &'static str,
    },
    /// A disk image could not be converted.
    #[error("{what} failed: {message}")]
    Convert {
        /// What was tried.
        what: String,
        /// The program's words.
        message: String,
    },
    /// A disk image would not fit.
    #[error(
        "{what} needs {} MiB, and the file system of {} has {} MiB free", needed.div_ceil(1 << 20), dir.display(),
        free >> 20
    )]
    NoSpace {
        /// What was tried.
        what: String,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
        /// Where it would lie.
        dir: PathBuf,
    },
    /// A format that is not known was asked for.
    #[error(transparent)]
    Format(#[from] images::UnknownFormat),
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
    /// A machine's record cannot be read.
    #[error("whether machines use the box `{name}` {version} is not known: {why}")]
    Unsure {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Which records, and what is wrong.
        why: String,
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
            Self::Sums(error) => error.exit(),
            Self::Oci(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
            Self::Undelivered(error) => error.exit,
            Self::Registry(error) => error.exit(),
            Self::Version(_)
            | Self::Requirement(_)
            | Self::Checksum(_)
            | Self::Name { .. }
            | Self::Source { .. }
            | Self::Unnamed { .. }
            | Self::Format(_)
            | Self::Provider { .. } => Exit::Usage,
            Self::NoTool { .. } => Exit::Provider,
            Self::NoSpace { .. } => Exit::Io,
            Self::Unknown(_) | Self::NoFile { .. } | Self::Gone { .. } => Exit::BoxNotFound,
            Self::Mismatch { .. } => Exit::Checksum,
            Self::Refused { .. } => Exit::BoxRefused,
            Self::AlreadyThere { .. } | Self::Convert { .. } | Self::Catalogue { .. } | Self::Key { .. } => {
                Exit::Failure
            }
            Self::InUse { .. } => Exit::MachineState,
            Self::Unsure { .. } => Exit::State,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Sums(error) => error.hint(),
            Self::Oci(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Unknown(unknown) => Some(unknown.hint()),
            Self::Undelivered(_) => Some("check these addresses (`box_url` in the machine file)".into()),
            Self::Catalogue { .. } => Some("mend it, or move it away to use the built-in catalogue".into()),
            Self::Key { .. } => Some("export it with `gpg --armor --export`, or move it away".into()),
            Self::Interrupted(_) | Self::Version(_) | Self::Requirement(_) | Self::Format(_) | Self::Checksum(_) => {
                None
            }
            Self::NoTool { program, .. } => {
                Some(format!("install {program} (`vbox-rs doctor` names the package), and run the command again"))
            }
            Self::NoSpace { dir, .. } => Some(format!("free some space on the file system of {}", dir.display())),
            Self::Convert { .. } => {
                Some("nothing was changed; the image may be damaged: add the box again with `--force`".into())
            }
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
            Self::Unsure { .. } => Some(
                "mend that record or move it away, or remove the box with `--force`: all files of it stay then".into(),
            ),
        }
    }
}

/// Why a box is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Neither an archive nor an image.
    #[error("it is {0}, not a box (tar or zip) and not a disk image")]
    NotABox(&'static str),
    /// It ends too early.
    #[error("it is cut off: {0}")]
    CutOff(&'static str),
    /// Compressed data is wrong.
    #[error("its {compression} data is damaged")]
    Compressed {
        /// By what: `gzip`, `xz`, …
        compression: &'static str,
        /// What its library says.
        source: io::Error,
    },
    /// To unpack it would take more memory than any usual setting does.
    #[error("its {0} data needs more memory to be unpacked than is given for that")]
    Memory(&'static str),
    /// The zip archive's structure is wrong, or nothing that can be read as a stream.
    #[error("its zip archive is refused: {0}")]
    Zip(&'static str),
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
    /// A file that its description names is missing.
    #[error("it does not hold `{name}`, which its {by} names")]
    Missing {
        /// The file.
        name: String,
        /// The file that names it.
        by: String,
    },
    /// None, or more than anybody attaches.
    #[error("it has {0} disks; boxes have 1 to 26")]
    Disks(usize),
    /// Several images, and nothing that says which one is meant.
    #[error("it holds the disk images {}, and no metadata.json that says what they are", .0.join(", "))]
    ManyImages(Vec<String>),
    /// An OCI image layout that makes no sense.
    #[error("its OCI image layout is refused: {0}")]
    Layout(String),
    /// What comes as the files beside its machine holds something else.
    #[error("what should be its Vagrantfile and its `include/` holds `{0}`")]
    Extra(String),
    /// Its description of the machine is missing.
    #[error("it is made for {provider}, but holds no {file}")]
    NoDescription {
        /// The provider.
        provider: String,
        /// The kind of file.
        file: &'static str,
    },
    /// Its description of the machine is refused.
    #[error("its `{entry}` is refused")]
    Ovf {
        /// Its name.
        entry: String,
        /// Why.
        source: ovf::Error,
    },
    /// Its description of the machine is refused.
    #[error("its `{entry}` is refused")]
    Vmx {
        /// Its name.
        entry: String,
        /// Why.
        source: vmx::Error,
    },
    /// The image is refused.
    #[error("its disk image `{entry}` is refused")]
    Image {
        /// The image's name.
        entry: String,
        /// Why.
        source: images::Error,
    },
}

/// What to do about a file that lost something on its way.
const AGAIN: &str = "fetch it again; give `--checksum` if its publisher names one";

impl Refusal {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotABox("a web page") => "check the URL: the server answered with a page, perhaps to log in",
            Self::NotABox("a 7z archive") => "unpack it with `7z x`, and add the image that is in it",
            Self::NotABox("a VMDK descriptor") => {
                "the disk itself lies in other files: join them with `qemu-img convert -O qcow2 FILE NEW`"
            }
            Self::NotABox(_) => {
                "give a .box file, or a disk image: qcow2, raw with a boot sector, VMDK, VDI, VHD, VHDX"
            }
            Self::CutOff(_) | Self::Compressed { .. } | Self::Tar(_) => AGAIN,
            Self::Image { source, .. } if source.is_cut() => AGAIN,
            Self::Zip(_) => "fetch it again, or unpack it and pack it with `tar czf`",
            Self::Memory(_) => "unpack it yourself, and add what is in it",
            Self::ManyImages(_) => "unpack it, and add the image that you want",
            Self::Provider { .. } => {
                "look for a build of it for libvirt, qemu or virtualbox, or add a cloud image of the same system"
            }
            Self::Layout(_) => {
                "vbox-rs reads what `vbox-rs package --format oci` wrote, a single .box or disk image, and containerDisks"
            }
            Self::Architecture { .. } => "add the build for the right architecture",
            Self::Image { source, .. } if source.needs_flattening() => {
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
