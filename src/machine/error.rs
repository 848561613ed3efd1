//! Why an operation on a machine failed.

use std::path::PathBuf;

use crate::config::size;
use crate::config::spec::{ExtraDisk, ProviderKind};
use crate::error::{Exit, Explain, Failure};
use crate::provider::Pause;
use crate::store::MachineId;

/// Why an operation on a machine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that neither the machine file nor the index knows.
    #[error("no machine is called `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names of the project, and ids that begin alike.
        known: Vec<String>,
    },
    /// An id prefix that several machines share.
    #[error("`{prefix}` is the beginning of several machine ids: {}", ids.iter().map(|id| id.short()).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// Whose id begins so.
        ids: Vec<MachineId>,
    },
    /// A pattern that does not parse.
    #[error("`/{pattern}/` is not a regular expression: {reason}")]
    Pattern {
        /// What was asked for.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// A command for one machine in a project with several, none of them primary.
    #[error("this project has several machines: {}", names.join(", "))]
    WhichOne {
        /// Their names.
        names: Vec<String>,
    },
    /// No project here, and no name was given.
    #[error("there is no machine file here or above")]
    NoProject,
    /// The machine was never created.
    #[error("machine `{name}` is not created")]
    NotCreated {
        /// Its name.
        name: String,
    },
    /// None of several machines can go on.
    #[error("no machine of this project is suspended")]
    NoneSuspended,
    /// None of several machines was ever created.
    #[error("no machine of this project is created")]
    NoneCreated,
    /// The state does not allow the command.
    #[error("machine `{name}` is {state}")]
    WrongState {
        /// Its name.
        name: String,
        /// What it is doing.
        state: String,
        /// What to do.
        hint: String,
    },
    /// `up` needs the machine file, and it is gone or no longer names the machine.
    #[error("`{name}` is in no machine file: {} {}", file.display(), if file.exists() { "does not name it" } else { "is gone" })]
    NoSpec {
        /// Its name.
        name: String,
        /// Where the machine file was.
        file: PathBuf,
        /// The machine, for `adopt`.
        id: Option<MachineId>,
    },
    /// A folder was copied together with its `.vbox-rs`.
    #[error("machine `{name}` belongs to {}", owner.display())]
    BelongsElsewhere {
        /// Its name.
        name: String,
        /// The folder that has it.
        owner: PathBuf,
        /// The folder that also claims it.
        here: PathBuf,
        /// Its id.
        id: MachineId,
    },
    /// A folder with a machine's id that is not, as far as can be told, the one that had it.
    #[error("this folder has the id of machine `{name}`, whose project was {}", from.display())]
    Strange {
        /// Its name.
        name: String,
        /// The folder that had it.
        from: PathBuf,
        /// The folder that has the id.
        here: PathBuf,
        /// Its id.
        id: MachineId,
    },
    /// `--provider` differs from the one the machine has.
    #[error("machine `{name}` was created with {has}, not {wanted}")]
    OtherProvider {
        /// Its name.
        name: String,
        /// What it has.
        has: ProviderKind,
        /// What was asked for.
        wanted: ProviderKind,
    },
    /// A provider of the design that this version does not have.
    #[error("this version of vbox-rs has no provider `{0}` yet")]
    NoProvider(ProviderKind),
    /// The provider cannot do something that would lose the user's work or safety.
    #[error("provider {provider} cannot do this machine: {problems}")]
    Unsupported {
        /// Which.
        provider: ProviderKind,
        /// What, joined.
        problems: String,
    },
    /// Files or folders of the host that the machine file names are missing.
    #[error("the machine file names what is not there: {}", missing.join("; "))]
    MissingFiles {
        /// What and where, each.
        missing: Vec<String>,
    },
    /// The machine file makes an extra disk smaller than it is.
    #[error(
        "extra_disk `{disk}` of machine `{name}` has {} and cannot shrink to {}",
        size::show(from / size::MIB),
        size::show(to / size::MIB)
    )]
    ExtraDiskShrinks {
        /// The machine's name.
        name: String,
        /// The disk's.
        disk: String,
        /// Bytes that it has.
        from: u64,
        /// Bytes that the file wants.
        to: u64,
    },
    /// The machine file has more extra disks than fit beside those that the machine keeps.
    #[error("machine `{name}` would have more than {} extra disks: it keeps the {has} that it has", ExtraDisk::MOST)]
    TooManyExtraDisks {
        /// The machine's name.
        name: String,
        /// How many it has.
        has: usize,
    },
    /// The guest did not take what was uploaded.
    #[error("cannot write {to} in the guest: {said}")]
    NotUploaded {
        /// Where it should go.
        to: String,
        /// What the guest said.
        said: String,
    },
    /// The machine file names no box.
    #[error("machine `{name}` has no box")]
    NoBox {
        /// Its name.
        name: String,
    },
    /// The box is not in the library, and nothing says where to get it.
    #[error("box `{name}` is not in the library{}", version.as_ref().map(|v| format!(" in a version that satisfies `{v}`")).unwrap_or_default())]
    BoxMissing {
        /// Its name.
        name: String,
        /// The constraint.
        version: Option<String>,
        /// The command that gets it.
        hint: String,
    },
    /// The box that the machine's disks rest on is no longer complete.
    #[error("machine `{name}` rests on box {box_name}, which is no longer in the library")]
    BoxGone {
        /// Its name.
        name: String,
        /// `name@version`.
        box_name: String,
    },
    /// The guest did not come up; the cause follows.
    #[error("step `{step}` failed")]
    Boot {
        /// The named step.
        step: &'static str,
        /// Why.
        #[source]
        cause: Wrapped,
        /// The end of the guest's console.
        console: Vec<String>,
    },
    /// The guest has none of the addresses that its network has for it.
    #[error("the guest of machine `{name}` has no address on its network")]
    NoAddress {
        /// Its name.
        name: String,
    },
    /// An image that should have read its seed lets nobody in.
    #[error(
        "the guest lets nobody in as `{user}`: neither with the key of the seed that cloud-init should have read, nor with \
         Vagrant's published one"
    )]
    SeedIgnored {
        /// Who should have been made.
        user: String,
    },
    /// The machine's process ended while we waited for its guest.
    #[error("the machine's process ended while it booted ({why})")]
    Died {
        /// What the provider knows.
        why: String,
        /// The hypervisor's log, where it lies here.
        log: Option<PathBuf>,
    },
    /// The hypervisor stopped the guest while we waited for it.
    #[error("the hypervisor paused the machine{}", match why {
        Pause::DiskError => ", because its disk could not be written".to_owned(),
        Pause::Asked => String::new(),
        Pause::Other(why) => format!(" ({why})"),
    })]
    Stuck {
        /// Why.
        why: Pause,
        /// The machine's directory.
        dir: PathBuf,
    },
    /// The hypervisor runs at another host, and its log lies there.
    #[error("the hypervisor's log of machine `{name}` lies at its host, and libvirt hands it to nobody")]
    LogElsewhere {
        /// Its name.
        name: String,
    },
    /// A machine that comes before it, because one depends on the other, failed.
    #[error("left as it was, because `{name}`, which {}, failed", if *dependant { "depends on it" } else { "it depends on" })]
    DependencyFailed {
        /// Who failed.
        name: String,
        /// Whether that one depends on this one, rather than this one on that.
        dependant: bool,
    },
    /// The copy of a machine that shall become a box could not be cleaned.
    #[error("the copy of the machine could not be cleaned")]
    Unclean {
        /// Why not.
        #[source]
        cause: Wrapped,
    },
    /// Stopped by the user; what is left.
    #[error("interrupted; {left}")]
    Interrupted {
        /// What is left, and what goes on from it.
        left: String,
    },
    /// No kernel randomness.
    #[error("cannot make a machine id")]
    Random(#[source] std::io::Error),
    /// A command in the guest failed.
    #[error("{what} failed in the guest with exit code {status}: {output}")]
    InGuest {
        /// What was tried.
        what: &'static str,
        /// Its exit code.
        status: i32,
        /// What it said last.
        output: String,
    },
}

impl Error {
    /// Wraps what made a step of `up` fail, with the end of the guest's console.
    pub fn boot(step: &'static str, cause: impl Into<Failure>, console: Vec<String>) -> Self {
        Self::Boot { step, cause: Wrapped(cause.into()), console }
    }

    /// Wraps what kept us from cleaning a copy.
    pub fn unclean(cause: impl Into<Failure>) -> Self {
        Self::Unclean { cause: Wrapped(cause.into()) }
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NoProject | Self::NoSpec { .. } | Self::NoBox { .. } | Self::MissingFiles { .. } => Exit::MachineFile,
            Self::Pattern { .. } | Self::WhichOne { .. } => Exit::Usage,
            Self::NoProvider(_) | Self::Unsupported { .. } | Self::Died { .. } => Exit::Provider,
            Self::BoxMissing { .. } | Self::BoxGone { .. } => Exit::BoxNotFound,
            Self::Boot { cause, .. } | Self::Unclean { cause } => cause.exit(),
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Stuck { why, .. } if *why != Pause::DiskError => Exit::Provider,
            Self::Stuck { .. } | Self::Random(_) | Self::NotUploaded { .. } => Exit::Io,
            Self::NoAddress { .. } => Exit::Timeout,
            Self::InGuest { .. } | Self::SeedIgnored { .. } => Exit::Guest,
            _ => Exit::MachineState,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { known, .. } if known.is_empty() => "`vbox-rs global-status` lists all machines".into(),
            Self::Unknown { known, .. } => format!("known here: {}", known.join(", ")),
            Self::Ambiguous { .. } => "type more of the id".into(),
            Self::Pattern { .. } => "`vbox-rs --help` tells how machines are named".into(),
            Self::WhichOne { .. } => "name one, or set `primary = true` for one in the machine file".into(),
            Self::NoProject => "make one with `vbox-rs init NAME`, or name a machine by its id".into(),
            Self::NotCreated { name } => format!("create it with `vbox-rs up {name}`"),
            Self::NoneCreated => "`vbox-rs up` creates them".into(),
            Self::NoneSuspended => "`vbox-rs up` starts machines that are off".into(),
            Self::WrongState { hint, .. } | Self::BoxMissing { hint, .. } => hint.clone(),
            Self::NoSpec { id: Some(id), .. } => {
                format!("if the folder was moved, run `vbox-rs adopt {}` in it; or `vbox-rs destroy {0}`", id.short())
            }
            Self::NoSpec { .. } => "put it back, or name a machine that it describes".into(),
            Self::BelongsElsewhere { here, id, .. } => format!(
                "this folder looks like a copy: remove {} to give it machines of its own, or run `vbox-rs adopt {}` to take the machine over",
                here.join(".vbox-rs").display(),
                id.short()
            ),
            Self::Strange { here, id, .. } => format!(
                "if that folder was moved here, run `vbox-rs adopt {}`; if this is a copy of it, remove {} to give it \
                 machines of its own",
                id.short(),
                here.join(".vbox-rs").display()
            ),
            Self::OtherProvider { name, .. } => {
                format!("a machine keeps its provider; `vbox-rs destroy {name}` first to change it")
            }
            Self::NoProvider(_) => "use `provider = \"qemu\"`, or leave it out".into(),
            Self::Unsupported { .. } => "`vbox-rs doctor` tells what this host offers".into(),
            Self::MissingFiles { .. } => {
                "nothing was started; relative paths start at the machine file's directory, and `vbox-rs validate` shows the lines".into()
            }
            Self::ExtraDiskShrinks { from, .. } => format!(
                "write `size = \"{}\"` or more; a smaller one takes another name, or a new machine",
                size::show(from / size::MIB)
            ),
            Self::TooManyExtraDisks { .. } => "leave new ones out, or let those that it has grow".into(),
            Self::NotUploaded { .. } => {
                "the login user writes it: upload it to /tmp, then `vbox-rs exec -- sudo mv …`".into()
            }
            Self::NoBox { .. } => "write `box = \"NAME\"` into the machine file".into(),
            Self::BoxGone { box_name, .. } => format!("add {box_name} again, or destroy the machine"),
            Self::Boot { cause, console, .. } => return boot_hint(cause.hint(), console),
            Self::NoAddress { name } => format!(
                "it asks for one by DHCP when it boots: `vbox-rs logs {name}` shows how far it came, `vbox-rs console {name}` gets \
                 you inside; without `network` in the machine file it needs none"
            ),
            Self::SeedIgnored { .. } => {
                "an image without cloud-init: say in `[ssh]` of the machine file who it lets in (`username`, \
                 `private_key_path`) and `vbox-rs destroy` this machine; one with cloud-init: `vbox-rs logs` shows why it \
                 did not read the seed, `vbox-rs console` gets you inside"
                    .into()
            }
            Self::Died { log: Some(log), .. } => format!("the hypervisor's own words are in {}", log.display()),
            Self::Died { log: None, .. } => "the hypervisor's own words are at its host".into(),
            Self::Stuck { why: Pause::DiskError, dir } => format!(
                "free some space on the file system of {}, then `vbox-rs up` goes on where it stopped",
                dir.display()
            ),
            Self::Stuck { .. } => "see `vbox-rs logs`; `vbox-rs halt --force` ends it".into(),
            Self::LogElsewhere { .. } => "look there, below /var/log/libvirt/qemu".into(),
            Self::DependencyFailed { dependant: true, .. } => {
                "mend that one and run the command again, or name this one alone".into()
            }
            Self::DependencyFailed { .. } => "mend that one and run the command again".into(),
            Self::Unclean { cause } => {
                let packed = "the machine is as it was; `--no-reset` packs its disks as they are, keys and ids included";
                cause.hint().map_or_else(|| packed.to_owned(), |hint| format!("{hint}\n{packed}"))
            }
            Self::Interrupted { .. } | Self::Random(_) | Self::InGuest { .. } => return None,
        })
    }
}

fn boot_hint(hint: Option<String>, console: &[String]) -> Option<String> {
    if console.is_empty() {
        return hint;
    }
    let tail = console.iter().map(|line| format!("    | {line}")).collect::<Vec<_>>().join("\n");
    Some(format!("{}\nthe end of the guest's console:\n{tail}", hint.unwrap_or_default()))
}

/// Lets a `Failure` of another module be the cause of one of ours.
#[derive(Debug)]
pub struct Wrapped(pub Failure);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Wrapped {}

impl Explain for Wrapped {
    fn exit(&self) -> Exit {
        self.0.exit()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint()
    }
}
