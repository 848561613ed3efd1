//! Why we could not do something in the guest.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::login::{Endpoint, Stage};
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;
use crate::store;

/// What a port without an ssh server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing on the host listens.
    Closed,
    /// Connections were closed at once: the guest's kernel is up, its ssh server is not.
    Refused,
    /// Connections stood, but nothing ever came.
    Silent,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "nothing listens on that port of the host",
            Self::Refused => "the guest is up, but nothing listens on its ssh port",
            Self::Silent => "the guest never answered",
        })
    }
}

/// A host key that is not the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    /// Where.
    pub endpoint: Endpoint,
    /// Fingerprint of the recorded key.
    pub expected: String,
    /// Fingerprint of the key that was shown.
    pub shown: String,
    /// The recorded key in one line, as the machine's `known_hosts` has it.
    pub recorded: String,
}

impl fmt::Display for ChangedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, expected, shown, .. } = self;
        write!(f, "the host key of {endpoint} has changed: expected {expected}, but it shows {shown}")
    }
}

/// Why we could not do something in the guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The port refuses, or the address is wrong.
    #[error("nothing answers at {endpoint}")]
    Unreachable {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// One login took longer than its bound.
    #[error("no login at {endpoint} within {} s: it got as far as `{stage}`", limit.as_secs())]
    LoginTimeout {
        /// Where.
        endpoint: Endpoint,
        /// What it was doing.
        stage: Stage,
        /// The bound.
        limit: Duration,
    },
    /// The connection broke off before the login.
    #[error("the connection to {endpoint} broke off at `{stage}`")]
    Handshake {
        /// Where.
        endpoint: Endpoint,
        /// What it was doing.
        stage: Stage,
        /// What the library said.
        source: ssh2::Error,
    },
    /// The guest shows another host key than the recorded one.
    #[error("{0}")]
    HostKeyChanged(Box<ChangedKey>),
    /// The guest shows no host key that we can read.
    #[error("{endpoint} shows a host key that cannot be read")]
    HostKeyUnreadable {
        /// Where.
        endpoint: Endpoint,
    },
    /// The guest refused every key.
    #[error("{endpoint} refuses {}", list(tried))]
    WrongKey {
        /// Where and as whom.
        endpoint: Endpoint,
        /// The keys that were tried.
        tried: Vec<String>,
    },
    /// A private key cannot be used.
    #[error("the private key {} cannot be used: {why}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The hypervisor's process ended while we waited.
    #[error("the hypervisor's process ended while we waited for `{stage}`")]
    ProcessDied {
        /// What we waited for.
        stage: Stage,
    },
    /// The port never said that it is an SSH server.
    #[error(
        "no ssh server answered at {endpoint} within {} s: {}",
        waited.as_secs(),
        answer
    )]
    NoSshd {
        /// Where.
        endpoint: Endpoint,
        /// How long we waited.
        waited: Duration,
        /// What came instead.
        answer: Answer,
    },
    /// The ssh server answered, but the login did not happen in time.
    #[error("no login at {endpoint} within {} s: the ssh server answered, and it got as far as `{stage}`", waited.as_secs())]
    BootTimeout {
        /// Where.
        endpoint: Endpoint,
        /// How long we waited.
        waited: Duration,
        /// How far it got.
        stage: Stage,
    },
    /// The connection broke off after the login.
    #[error("the connection to {endpoint} was lost while we tried to {action}")]
    Lost {
        /// Where.
        endpoint: Endpoint,
        /// What was being done, as a verb.
        action: &'static str,
        /// What the library said.
        source: ssh2::Error,
    },
    /// What a guest's command should read could not be read on the host.
    #[error("cannot read the input of the guest's command")]
    Input(#[source] io::Error),
    /// A file could not be put into the guest.
    #[error("cannot write {to} in the guest: {why}")]
    Upload {
        /// The file in the guest.
        to: String,
        /// Why.
        why: String,
    },
    /// A step of ours failed in the guest.
    #[error("cannot {step} in the guest (exit code {status}){}", said(output))]
    Step {
        /// What was tried, as a verb.
        step: &'static str,
        /// The command's exit code.
        status: i32,
        /// The end of what it printed, cleaned.
        output: String,
    },
    /// The guest lacks the programs for a step.
    #[error("cannot {step} in the guest: {missing}")]
    ToolsMissing {
        /// What was tried, as a verb.
        step: &'static str,
        /// What is missing.
        missing: String,
    },
    /// The guest did not come to the state that we asked for.
    #[error("the guest did not {what} within {} s", waited.as_secs())]
    Unchanged {
        /// What was awaited, as a verb.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// The terminal could not be read, written or set.
    #[error("the terminal does not work")]
    Terminal(#[source] io::Error),
    /// A value cannot be written into a configuration file.
    #[error("{what} `{}` cannot be used: {why}", value.escape_debug())]
    BadValue {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// A key pair could not be made or read.
    #[error("the key pair {} cannot be made or read", path.display())]
    KeyPair {
        /// The private key's file.
        path: PathBuf,
        /// What the library said.
        source: ssh_key::Error,
    },
    /// The seed could not be made.
    #[error("the seed {} cannot be made", path.display())]
    Seed {
        /// The image.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of our own could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Stopped by the user.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    /// Whether trying again a moment later, while the guest boots, may end well.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::LoginTimeout { .. } | Self::Handshake { .. } | Self::Lost { .. }
        )
    }
}

fn list(keys: &[String]) -> String {
    match keys {
        [] => "a login without a key".into(),
        [one] => format!("the key {one}"),
        many => format!("all keys ({})", many.join(", ")),
    }
}

fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {output}") }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::LoginTimeout { .. } | Self::NoSshd { .. } | Self::BootTimeout { .. } | Self::Unchanged { .. } => {
                Exit::Timeout
            }
            Self::ProcessDied { .. } => Exit::Provider,
            Self::Input(_) | Self::Terminal(_) | Self::Seed { .. } => Exit::Io,
            Self::BadValue { .. } => Exit::MachineFile,
            Self::KeyPair { .. } => Exit::State,
            Self::Store(e) => e.exit(),
            Self::Interrupted(e) => e.exit(),
            _ => Exit::Guest,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => {
                "see `vbox-rs status` for whether the machine runs, and `vbox-rs logs` for what it says".into()
            }
            Self::LoginTimeout { .. } | Self::Handshake { .. } | Self::Lost { .. } => {
                "see `vbox-rs logs` for what the guest says; `vbox-rs reload` starts it anew".into()
            }
            Self::HostKeyChanged(changed) => format!(
                "something else may be listening on that port, so nothing was sent to it. If you replaced the guest's \
                 host key yourself, remove this line from the machine's known_hosts (`vbox-rs ssh-config` names the \
                 file) and run `vbox-rs up`: {}",
                changed.recorded
            ),
            Self::HostKeyUnreadable { .. } => "see whether an ssh server listens on that port".into(),
            Self::WrongKey { endpoint, .. } => format!(
                "`{}` must have one of these keys in its ~/.ssh/authorized_keys; set `ssh.username` or \
                 `ssh.private_key_path` in the machine file, or look inside with `vbox-rs console`",
                endpoint.user
            ),
            Self::Key { path, .. } => format!(
                "check {}; a key with a passphrase must be in your ssh-agent (`ssh-add {}`)",
                path.display(),
                path.display()
            ),
            Self::ProcessDied { .. } => {
                "see the hypervisor's own log above, or `vbox-rs logs`; `vbox-rs doctor` checks this host".into()
            }
            Self::NoSshd { answer: Answer::Refused, .. } => {
                "see `vbox-rs console` or `vbox-rs logs` for why its ssh server does not start, and check \
                 `ssh.guest_port`"
                    .into()
            }
            Self::NoSshd { .. } => {
                "see `vbox-rs logs` for how far it booted and whether its network came up; raise `boot_timeout` where \
                 it is only slow"
                    .into()
            }
            Self::BootTimeout { .. } => {
                "see `vbox-rs logs` for how far it booted; raise `boot_timeout` where it is only slow".into()
            }
            Self::Upload { .. } => "check the directory, its owner and the free space in the guest".into(),
            Self::Step { .. } => {
                "run `vbox-rs ssh` and try by hand; the login user needs sudo without a password".into()
            }
            Self::ToolsMissing { .. } => "install them in the guest or in the box".into(),
            Self::Unchanged { .. } => "see `vbox-rs console` for what the guest does".into(),
            Self::KeyPair { path, .. } => {
                format!("move {} away; the next `vbox-rs up` of a new machine makes another", path.display())
            }
            Self::Seed { path, source } => return store::io_hint(source, path),
            Self::Store(e) => return e.hint(),
            Self::Input(_) | Self::Terminal(_) | Self::BadValue { .. } | Self::Interrupted(_) => return None,
        })
    }
}
