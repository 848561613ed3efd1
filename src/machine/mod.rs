//! The lifecycle of a machine, its record, and the index of all machines.
//!
//! [`Fleet`] is the entrance: it knows where records lie and which machines a command means; the operations on one
//! machine are functions of the modules named after them.

mod access;
mod error;
mod extra_disks;
mod forwards;
mod host_command;
mod library;
mod link;
mod needs;
mod ops;
mod package;
mod parallel;
mod plan;
mod record;
mod select;
mod settle;
mod status;
mod stop;
mod trigger;
mod up;
mod wishes;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use access::{Console, console, logs, ssh_target, timings, upload, wait};
pub use error::Error;
pub use needs::ProjectBoxes;
pub use ops::{Fared, check_provisioners, each, provision, reload, reload_anew, resumable, resume, sync_folders, up};
pub use package::{PackageRequest, Packaged, package};
pub use parallel::Order;
pub use stop::{destroy, halt, suspend};
pub use trigger::Error as TriggerError;
pub use wishes::{BridgeWish, bridge_wishes, end_destroys, host_wishes};

use crate::config::spec::{MachineSpec, ProviderKind};
use crate::provider::{Forward, VmState};
use crate::store::{Dirs, MachineId};

/// All machines of this user.
#[derive(Clone, Debug)]
pub struct Fleet {
    dirs: Dirs,
    wait: bool,
    default_provider: Option<ProviderKind>,
}

/// Which machines a command means when it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// All of the project.
    All,
    /// All of the project, and those that its machine file no longer names.
    Everything,
    /// Those of the project that were created, or the only one.
    Created,
    /// All that start by themselves (`autostart`).
    Autostart,
    /// The primary one, or the only one.
    Single,
}

/// A machine that a command means: it need not exist yet.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the project.
    pub name: String,
    /// Its project's folder.
    pub root: PathBuf,
    /// Its project's machine file.
    pub file: PathBuf,
    /// As the machine file wants it; `None` when the file is gone or no longer names it.
    pub spec: Option<MachineSpec>,
    /// Known once an `up` has begun.
    pub id: Option<MachineId>,
}

/// What `status` and `global-status` tell.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its id, when it has one.
    pub id: Option<MachineId>,
    /// Its name in the project.
    pub name: String,
    /// The hypervisor.
    pub provider: Option<ProviderKind>,
    /// One word: `VmState::word`, `unknown` where the hypervisor does not say, or `damaged` for a record that cannot be read.
    pub state: String,
    /// What stands behind the word.
    pub detail: Option<String>,
    /// What another command does with it right now (`vbox-rs up` (process 12)).
    pub busy: Option<String>,
    /// The project's folder.
    pub project: Option<PathBuf>,
    /// Whether the project's folder still has its machine file: `present`; `no machine file` in it; `moved` to a place
    /// that `detail` names; `missing` from its place, whether moved or deleted; `unreachable`, with the folder around it;
    /// `unknown` where the record is damaged.
    pub project_state: &'static str,
    /// `name@version` of its box.
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    /// The guest's own address, where it has one and ssh goes there.
    pub address: Option<IpAddr>,
    /// Forwarded ports that are open now.
    pub forwards: Vec<Forward>,
}

impl Status {
    /// The state of a machine whose record cannot be read.
    pub const DAMAGED: &'static str = "damaged";
}

/// How `up` behaves.
#[derive(Clone, Debug, Default)]
pub struct UpOptions {
    /// `--provider`.
    pub provider: Option<ProviderKind>,
    /// `--[no-]provision`; `None`: on the first `up` only (and those that run always).
    pub provision: Option<bool>,
    /// `--provision-with`: names or types.
    pub provision_with: Vec<String>,
    /// `--destroy-on-error`: a machine that this `up` created is removed when it fails.
    pub destroy_on_error: bool,
    /// What the user chose for public networks of machines that are started now.
    pub bridges: Vec<BridgeChoice>,
}

/// An interface of this computer that a user chose for a public network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeChoice {
    /// Name of the machine.
    pub machine: String,
    /// Which of its public networks, counted from 0.
    pub network: usize,
    /// The interface.
    pub interface: String,
}

/// How `up` (or `resume`, `reload`) ended.
#[derive(Clone, Debug, Serialize)]
pub struct UpReport {
    /// Its id.
    pub id: MachineId,
    /// Its name.
    pub name: String,
    /// Whether anything was done: `false` for a machine that already ran.
    pub changed: bool,
    /// What was done: "created", "started", "resumed", "provisioned", "already running".
    pub outcome: &'static str,
    /// Named steps with their times.
    pub steps: Vec<Step>,
    /// Forwarded ports, the ssh port first.
    pub forwards: Vec<Forward>,
    /// `post_up_message`.
    pub message: Option<String>,
}

/// A named step of the last `up`.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Step {
    /// `box`, `disk`, `start` or `restore`, `address`, `boot`, `login`, `cloud-init`, `key`, `hostname`, `networks`, `grow`,
    /// `folders`, `provision`.
    pub name: String,
    /// Milliseconds.
    pub ms: u64,
    /// Whether it failed.
    pub failed: bool,
}

impl Step {
    fn new(name: &str, took: Duration, failed: bool) -> Self {
        Self { name: name.into(), ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), failed }
    }
}

/// How `halt` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Halted {
    /// It was not running.
    WasOff,
    /// The guest shut itself down.
    Gracefully,
    /// It was stopped by force, as asked.
    ByForce,
    /// It did not shut down in time and was stopped by force.
    TimedOut,
}

/// How `suspend` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspended {
    /// It was not running.
    WasOff,
    /// It was suspended before.
    Already,
    /// Its memory is on the disk, its process has ended.
    Saved,
    /// Its processors stand still.
    Paused,
}

/// Where and how to log in, for `ssh`, `ssh-config`, `rsync` and the like.
#[derive(Clone, Debug)]
pub struct SshTarget {
    /// What our own sessions need.
    pub login: crate::guest::Login,
    /// A configuration file for the OpenSSH client, current.
    pub config: PathBuf,
    /// The configuration's text.
    pub config_text: String,
    /// The host's name in it.
    pub host: String,
    /// More arguments for the OpenSSH client, from the machine file.
    pub extra_args: Vec<String>,
}

impl Fleet {
    /// `wait`: wait for other commands that work on the same machine, instead of failing (`--no-wait`). `default_provider`: for
    /// machines that are made now and of which the machine file says nothing.
    pub fn new(dirs: Dirs, wait: bool, default_provider: Option<ProviderKind>) -> Self {
        Self { dirs, wait, default_provider }
    }

    /// The hypervisor that a machine is made with: the one asked for (`--provider`), else the machine file's, else the user's.
    pub(self) fn provider_for(&self, asked: Option<ProviderKind>, spec: Option<&MachineSpec>) -> ProviderKind {
        let wanted = asked.or(spec.and_then(|spec| spec.provider));
        wanted.or(self.default_provider).unwrap_or(ProviderKind::Qemu)
    }

    /// Where things lie.
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }
}

/// What was found of a machine's state, for messages.
pub fn describe(state: &VmState) -> String {
    match state.detail() {
        Some(detail) => format!("{} ({detail})", state.word()),
        None => state.word().into(),
    }
}

/// How long commands wait for the guest to answer when nothing says otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(300);

/// Log files of a machine.
#[derive(Clone, Debug)]
pub struct Logs {
    /// What the guest wrote to its serial console in earlier starts, the oldest first, where that lies elsewhere.
    pub earlier: Vec<PathBuf>,
    /// What the guest wrote to its serial console.
    pub console: PathBuf,
    /// What the hypervisor had to say; `None` where that lies at another host.
    pub hypervisor: Option<PathBuf>,
}
