//! Downloads: resumed after a cut, within a run and across runs, and passed on while they arrive.

mod access;
mod body;
mod call;
mod limit;
mod part;
mod small;
mod stale;

use std::error::Error as _;
use std::iter::successors;
use std::path::PathBuf;
use std::time::Duration;

pub use access::{Access, Tokens};
pub(super) use body::{Download, Outcome};
pub use limit::Wait;
pub(super) use part::Part;
pub(super) use small::{content_type, get};
pub use small::{document, small};
pub(super) use stale::{Abandoned, abandoned};

use reqwest::Url;

use super::name::printable;
use super::source::shown;
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;

/// Patience with servers.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// To establish a connection.
    pub connect: Duration,
    /// Without a byte; there is no bound for a whole download.
    pub stall: Duration,
    /// Attempts without progress between them.
    pub tries: u32,
    /// Before the second attempt; doubled before each further one.
    pub backoff: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            tries: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

/// Redirects that are followed, as curl and browsers do in practice.
const MAX_REDIRECTS: usize = 10;

/// Why a download failed. URLs are shown without their secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The HTTP client could not be made.
    #[error("cannot prepare a download")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer.
    #[error("cannot download {url} (tried {})", times(*tries))]
    Connect {
        /// From where.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// Nobody knows the server's name, or there is nobody to ask.
    #[error("cannot download {url}: the name of its server cannot be looked up ({why})")]
    Nameless {
        /// From where.
        url: String,
        /// What the system said.
        why: String,
    },
    /// The server answered with an error.
    #[error("cannot download {url}: the server answered {status} {reason}")]
    Status {
        /// From where.
        url: String,
        /// HTTP status.
        status: u16,
        /// Its words.
        reason: &'static str,
        /// When it wants to be asked again.
        wait: Option<Wait>,
    },
    /// A file of certificates cannot be used.
    #[error("cannot use the certificates of {}: {why}", path.display())]
    Certificate {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Too many redirects.
    #[error("cannot download {url}: more than {MAX_REDIRECTS} redirects")]
    Redirects {
        /// From where.
        url: String,
    },
    /// A redirect from https to http.
    #[error("cannot download {url}: the server redirects to {to}, which is not encrypted")]
    Downgrade {
        /// From where.
        url: String,
        /// To where.
        to: String,
    },
    /// A redirect to something that is not HTTP.
    #[error("cannot download {url}: it cannot be redirected to {to}")]
    Elsewhere {
        /// From where.
        url: String,
        /// To where.
        to: String,
    },
    /// The connection ended early, again and again.
    #[error("the download of {url} was cut off at {got} of {expected} bytes (tried {})", times(*tries))]
    Cut {
        /// From where.
        url: String,
        /// Bytes that arrived.
        got: u64,
        /// Bytes that were announced, or `unknown`.
        expected: String,
        /// How often it was tried.
        tries: u32,
    },
    /// No byte for too long.
    #[error("the download of {url} stalled: no data for {} seconds, at {got} bytes", patience.as_secs_f32())]
    Stalled {
        /// From where.
        url: String,
        /// How long we waited.
        patience: Duration,
        /// Bytes that arrived.
        got: u64,
    },
    /// It came drop by drop.
    #[error("{url} is too slow: {got} bytes in {} seconds", patience.as_secs_f32())]
    Slow {
        /// From where.
        url: String,
        /// How long we waited for all of it.
        patience: Duration,
        /// Bytes that arrived.
        got: u64,
    },
    /// It is another file than before, each time.
    #[error("{url} changed while it was being downloaded")]
    Changed {
        /// From where.
        url: String,
    },
    /// Larger than any box.
    #[error("{url} has {size} bytes or more; {limit} are accepted")]
    TooLarge {
        /// From where.
        url: String,
        /// Its size, at least.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// The user stopped it.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// `once`, `3 times`.
pub(super) fn times(number: u32) -> String {
    if number == 1 { "once".into() } else { format!("{number} times") }
}

/// What the system said where a host's name could not be looked up: without a network no name can.
pub(super) fn nameless(error: &reqwest::Error) -> Option<String> {
    type Cause<'a> = &'a (dyn std::error::Error + 'static);
    let causes = || successors(error.source(), |error: &Cause<'_>| (*error).source());
    // hyper's words; its error has no name of its own.
    causes().find(|error| error.to_string() == "dns error")?;
    causes().last().map(|error| printable(&error.to_string()))
}

impl Error {
    /// Why no server was reached.
    pub(super) fn unreached(url: &Url, tries: u32, error: reqwest::Error) -> Self {
        let url = shown(url);
        match nameless(&error) {
            Some(why) => Self::Nameless { url, why },
            // reqwest would show the URL with its query.
            None => Self::Connect { url, tries, source: error.without_url() },
        }
    }

    /// How long the server wants to be left alone.
    pub(super) fn wait(&self) -> Option<Wait> {
        if let Self::Status { wait, .. } = self { *wait } else { None }
    }

    /// Whether the same file from another server may be had.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        let gone = matches!(self, Self::Status { .. } | Self::Redirects { .. } | Self::Downgrade { .. });
        let other = matches!(self, Self::Elsewhere { .. } | Self::Changed { .. } | Self::Nameless { .. });
        gone || other || self.is_passing()
    }

    /// Whether there is no such file any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status: 404 | 410, .. })
    }

    /// Whether trying again may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Cut { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            _ => false,
        }
    }

    /// Whether what has arrived is worth keeping for the next run.
    pub(super) fn keeps_part(&self) -> bool {
        self.is_passing() || matches!(self, Self::Interrupted(_) | Self::Nameless { .. })
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Status { status: 404 | 410, .. } => Exit::BoxNotFound,
            Self::TooLarge { .. } => Exit::BoxRefused,
            Self::Certificate { .. } => Exit::Usage,
            Self::Interrupted(_) => Exit::Interrupted,
            _ => Exit::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Status { status: 429, wait: Some(wait), .. } => {
                return Some(format!("the server limits downloads; try again in {wait}"));
            }
            Self::Status { status: 404 | 410, .. } => "check the URL: there is no such file on this server",
            Self::Status { status: 401 | 403 | 407, .. } => {
                "it wants a login; put it in the URL (https://USER:PASSWORD@…)"
            }
            Self::Status { status: 500.., .. } => "the server has a problem; try again later",
            Self::Status { .. } => "check the URL, or fetch the file by other means and add it from there",
            Self::Connect { .. } => "check the URL and the network (a proxy is taken from HTTPS_PROXY); then try again",
            Self::Nameless { .. } => {
                "check the URL, and whether this computer is online (a proxy is taken from HTTPS_PROXY)"
            }
            Self::Cut { .. } | Self::Stalled { .. } => {
                "run the same command again: where the server allows it, the download goes on where it ended"
            }
            Self::Slow { .. } => "try again later, or from elsewhere",
            Self::Redirects { .. } | Self::Elsewhere { .. } => {
                "the server is misconfigured; ask for the file's final URL"
            }
            Self::Downgrade { .. } => "ask for the file's final URL; give an http:// one only with `--checksum`",
            Self::Changed { .. } => "it is being replaced at this moment; try again later",
            Self::TooLarge { .. } => "nothing was kept; do not trust this source",
            Self::Certificate { .. } => {
                "give files in PEM form: certificates, and for `--cert` the key in the same file"
            }
            Self::Client(_) => "check the certificates of this system (package ca-certificates)",
            Self::Interrupted(_) => return None,
        };
        Some(text.into())
    }
}
