//! What can go wrong with registries.

use std::io;
use std::time::Duration;

use super::Digest;
use crate::boxes::fetch;
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;

/// What gives a login to one registry.
const VARIABLES: &str = "VBOX_RS_OCI_REGISTRY, VBOX_RS_OCI_USER and VBOX_RS_OCI_PASSWORD";

/// Why a registry did not give or take a box.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A reference that is none.
    #[error("`{text}` is no place in a registry: {why}")]
    Reference {
        /// What was typed, without a login.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot prepare a connection to the registry")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file with logins cannot be used.
    #[error("the logins in {path} cannot be read: {why}")]
    Logins {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A program that keeps logins failed.
    #[error("`{program}` gave no login: {why}")]
    Helper {
        /// The program.
        program: String,
        /// What is wrong.
        why: String,
    },
    /// The registry wants a login, or another one.
    #[error("the registry {host} does not let {who} {action} {repository}")]
    Unauthorized {
        /// The registry.
        host: String,
        /// `you` or the user's name.
        who: String,
        /// `read` or `write`.
        action: &'static str,
        /// The repository.
        repository: String,
        /// Whether it is a matter of having a login at all.
        anonymous: bool,
    },
    /// The registry asks for a login in a way that is not safe or not known.
    #[error("the registry {host} asks for a login in a way that is not followed: {why}")]
    Challenge {
        /// The registry.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// No such tag, digest or repository.
    #[error("there is no {what}")]
    NotFound {
        /// What is missing.
        what: String,
    },
    /// The registry answered with an error.
    #[error("cannot {action}: the registry answered {status}{said}")]
    Status {
        /// What was tried.
        action: String,
        /// HTTP status.
        status: u16,
        /// Its words, with `: ` before them.
        said: String,
        /// When to come again, in its words.
        after: Option<Duration>,
    },
    /// No answer.
    #[error("cannot reach {url}")]
    Connect {
        /// From where.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The connection ended early, again and again.
    #[error("the transfer of {url} was cut off at {got} of {size} bytes (tried {})", fetch::times(*tries))]
    Cut {
        /// From where.
        url: String,
        /// Bytes that arrived.
        got: u64,
        /// Bytes that there are.
        size: u64,
        /// How often it was tried.
        tries: u32,
    },
    /// No byte for too long.
    #[error("the transfer of {url} stalled: nothing for {} seconds", patience.as_secs_f32())]
    Stalled {
        /// From or to where.
        url: String,
        /// How long we waited.
        patience: Duration,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {to}, which is not followed: {why}")]
    Redirect {
        /// From where.
        url: String,
        /// To where.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// More or fewer bytes than promised.
    #[error("{what} has {found} bytes, not {expected}")]
    Length {
        /// What.
        what: String,
        /// The promise.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// What arrived is not what was promised.
    #[error("{what} has {found}, not {expected}")]
    Mismatch {
        /// What.
        what: String,
        /// The promise.
        expected: Digest,
        /// What arrived.
        found: Digest,
    },
    /// Larger than it may be.
    #[error("{what} has {size} bytes or more; {limit} are accepted")]
    TooLarge {
        /// What.
        what: String,
        /// Its size, at least.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// The artifact makes no sense, or is none of ours.
    #[error("what lies at {from} is refused: {why}")]
    Artifact {
        /// Where it lies.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// There is nothing for this architecture.
    #[error("{from} has nothing for {asked}; it has: {}", there.join(", "))]
    Platform {
        /// Where it lies.
        from: String,
        /// Architecture asked for.
        asked: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The box is not in the library.
    #[error("no box `{asked}` is on this computer")]
    NoBox {
        /// What was asked for.
        asked: String,
    },
    /// Two boxes of one name, version and architecture.
    #[error("`{name}` {version} is there for several providers: {}", providers.join(", "))]
    Providers {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Those providers.
        providers: Vec<String>,
    },
    /// One of the threads failed first; its error is the one that counts.
    #[error("stopped")]
    Halted,
    /// A file of our own.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The user stopped it.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    /// Whether trying again may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Cut { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            _ => false,
        }
    }

    /// Whether the registry's name could not be looked up: without a network it does not help to ask again.
    pub(super) fn is_nameless(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if fetch::nameless(source).is_some())
    }

    /// Whether what has arrived is worth keeping for the next run.
    pub(super) fn keeps_pieces(&self) -> bool {
        self.is_passing() || matches!(self, Self::Interrupted(_) | Self::Unauthorized { .. } | Self::Store(_))
    }

    /// Through a reader and out again.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// What [`Error::into_io`] hid.
    pub(super) fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Reference { .. } | Self::Providers { .. } => Exit::Usage,
            Self::NotFound { .. } | Self::Platform { .. } | Self::NoBox { .. } => Exit::BoxNotFound,
            Self::Mismatch { .. } => Exit::Checksum,
            Self::Length { .. } | Self::TooLarge { .. } | Self::Artifact { .. } => Exit::BoxRefused,
            Self::Logins { .. } | Self::Helper { .. } => Exit::Failure,
            Self::Store(error) => error.exit(),
            Self::Interrupted(error) => error.exit(),
            _ => Exit::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Reference { .. } => {
                "write it as oci://HOST/REPOSITORY:TAG, such as oci://ghcr.io/me/debian:12.1".into()
            }
            Self::Client(_) => "check the certificates of this system (package ca-certificates)".into(),
            Self::Logins { .. } => format!("mend the file, or set {VARIABLES}"),
            Self::Helper { .. } => {
                format!("log in again with the program that wrote it, or set {VARIABLES}")
            }
            Self::Unauthorized { host, anonymous: true, .. } => format!(
                "log in with `docker login {host}` or `podman login {host}`, or set {VARIABLES}; \
                 check the name too: many registries answer so for what does not exist"
            ),
            Self::Unauthorized { .. } => "check user, password and what this user may do there".into(),
            Self::Challenge { .. } | Self::Redirect { .. } => {
                "the registry is misconfigured or wants your password in the clear; tell who runs it".into()
            }
            Self::NotFound { .. } => "check host, repository and tag".into(),
            Self::Status { status: 429, .. } => "you asked too often; wait, or log in for a higher limit".into(),
            Self::Status { status: 500.., .. } => "the registry has a problem; try again later".into(),
            Self::Status { .. } => "check the reference and what the registry allows".into(),
            Self::Connect { .. } => {
                "check host and port; a registry without TLS, or with a certificate of its own, needs --insecure".into()
            }
            Self::Cut { .. } | Self::Stalled { .. } => {
                "run the same command again: what has arrived is not transferred again".into()
            }
            Self::Length { .. } | Self::Mismatch { .. } | Self::TooLarge { .. } => {
                "nothing was kept; do not trust this registry or what is stored there".into()
            }
            Self::Artifact { .. } => {
                "vbox-rs reads what `vbox-rs box push` wrote, a single .box or disk image, and containerDisks".into()
            }
            Self::Platform { .. } => "give one of these with `--architecture`".into(),
            Self::NoBox { .. } => "`vbox-rs box list` lists the boxes on this computer".into(),
            Self::Providers { .. } => "say which with `--provider`".into(),
            Self::Store(error) => return error.hint(),
            Self::Halted | Self::Interrupted(_) => return None,
        })
    }
}
