//! What can go wrong with registries and their documents.

use crate::boxes::fetch::{self, Wait};
use crate::error::{Exit, Explain};
use crate::progress::Interrupted;

/// Versions that a message names.
const NAMED: usize = 20;

/// Why a registry did not lead to a box.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A server's address is none.
    #[error("`{text}` is not the address of a registry: {why}")]
    Server {
        /// The address.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// It has no such box.
    #[error("the registry {server} has no box `{name}`")]
    NotFound {
        /// Which registry.
        server: String,
        /// The box.
        name: String,
    },
    /// It wants a login.
    #[error("the registry {server} wants a login for `{name}`")]
    Login {
        /// Which registry.
        server: String,
        /// The box.
        name: String,
        /// Whether a token was refused.
        token: bool,
    },
    /// The login is not enough.
    #[error("the registry {server} does not give us `{name}` (403 Forbidden)")]
    Forbidden {
        /// Which registry.
        server: String,
        /// The box.
        name: String,
    },
    /// It wants to be paid.
    #[error("the registry {server} wants to be paid for `{name}` (402 Payment Required)")]
    Payment {
        /// Which registry.
        server: String,
        /// The box.
        name: String,
    },
    /// It does not take the name.
    #[error("the registry {server} does not take the name `{name}` (422 Unprocessable Content)")]
    BadName {
        /// Which registry.
        server: String,
        /// The box.
        name: String,
    },
    /// Too many requests.
    #[error("the registry {server} limits requests (429 Too Many Requests)")]
    Limited {
        /// Which registry.
        server: String,
        /// When it wants to be asked again.
        wait: Option<Wait>,
    },
    /// It has a problem.
    #[error("the registry {server} has a problem ({status} {reason})")]
    Trouble {
        /// Which registry.
        server: String,
        /// HTTP status.
        status: u16,
        /// Its words.
        reason: &'static str,
    },
    /// No answer, or no good one.
    #[error("the registry {server} cannot be asked")]
    Unreachable {
        /// Which registry.
        server: String,
        /// Why.
        source: fetch::Error,
    },
    /// Its document is broken.
    #[error("the catalogue document {from} is refused")]
    Document {
        /// Where it lies.
        from: String,
        /// What is wrong.
        source: BadDocument,
    },
    /// The document is about another box.
    #[error("the catalogue document {from} is about `{found}`, not about `{wanted}`")]
    Another {
        /// Where it lies.
        from: String,
        /// What it is about.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Nothing in it fits.
    #[error(transparent)]
    Unmet(#[from] Unmet),
    /// The user stopped it.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Nothing fits; with what there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unmet {
    /// There is nothing at all.
    #[error("there is no published version of {name}")]
    Empty {
        /// The box.
        name: String,
    },
    /// The constraint.
    #[error("no version of {name} meets `{wanted}`")]
    Version {
        /// The box.
        name: String,
        /// The constraint.
        wanted: String,
        /// Versions that exist, the newest first.
        versions: Vec<String>,
    },
    /// The provider.
    #[error("there is no build of {name} for {}", wanted.join(", "))]
    Provider {
        /// The box.
        name: String,
        /// What would do.
        wanted: Vec<String>,
        /// Providers that exist.
        providers: Vec<String>,
    },
    /// The architecture.
    #[error("there is no build of {name} for {wanted}")]
    Architecture {
        /// The box.
        name: String,
        /// What would do.
        wanted: String,
        /// Architectures that exist.
        architectures: Vec<String>,
    },
}

impl Unmet {
    /// What there is instead.
    fn hint(&self) -> String {
        let list = |names: &[String]| {
            let more = names.len().saturating_sub(NAMED);
            let named = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            if more == 0 { named } else { format!("{named} and {more} older ones") }
        };
        match self {
            Self::Empty { .. } => "ask its publisher, or look for another box with `vbox-rs box search`".into(),
            Self::Version { versions, .. } => format!("there are {}", list(versions)),
            Self::Provider { providers, .. } => format!("it exists for {}", list(providers)),
            Self::Architecture { architectures, .. } => {
                format!("it exists for {}; choose one with `--architecture` or `box_architecture`", list(architectures))
            }
        }
    }
}

/// Why a text is no catalogue document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadDocument {
    /// Larger than Vagrant takes.
    #[error("it is larger than 20 MiB")]
    TooLarge,
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// HTML.
    #[error("it is a web page, not JSON")]
    Page,
    /// Not what a catalogue is.
    #[error("it is broken: {0}")]
    Json(String),
    /// It has no `name`.
    #[error("it names no box")]
    Nameless,
    /// A kind of checksum that nobody computes.
    #[error("its checksum is of type `{0}`; md5, sha1, sha256, sha384 and sha512 are known")]
    ChecksumType(String),
    /// Not a checksum of that kind.
    #[error("`{0}` is no checksum")]
    Checksum(String),
    /// The box's URL.
    #[error("it names {url}: {why}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl Error {
    /// Whether another registry may know better.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        !matches!(self, Self::Interrupted(_) | Self::Server { .. })
    }

    /// Whether the box is just not there.
    pub(in crate::boxes) fn is_absent(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Server { .. } => Exit::Usage,
            Self::NotFound { .. } | Self::Unmet(_) => Exit::BoxNotFound,
            Self::Document { .. } | Self::Another { .. } => Exit::BoxRefused,
            Self::Unreachable { source, .. } => source.exit(),
            Self::Interrupted(_) => Exit::Interrupted,
            _ => Exit::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Server { .. } => "VBOX_RS_SERVER_URL holds https:// addresses, separated by spaces",
            Self::NotFound { .. } => "check the name, or give a URL or file instead",
            Self::Login { token: true, .. } => {
                "its token is refused: get a new one and put it into VBOX_RS_TOKEN or the token file"
            }
            Self::Login { token: false, .. } => "put a token into VBOX_RS_TOKEN, or into its token file",
            Self::Forbidden { .. } => "ask its owner for access; a private box needs a token (VBOX_RS_TOKEN)",
            Self::Payment { .. } => "settle it with the registry, or take the box from elsewhere",
            Self::BadName { .. } => "names are USER/BOX: letters, digits, `.`, `_` and `-`",
            Self::Limited { wait: Some(wait), .. } => {
                return Some(format!("try again in {wait}; a login may raise the limit (VBOX_RS_TOKEN)"));
            }
            Self::Limited { wait: None, .. } => "try again later; a login may raise the limit (VBOX_RS_TOKEN)",
            Self::Trouble { .. } => "try again later, or name another registry in VBOX_RS_SERVER_URL",
            Self::Unreachable { source, .. } => return source.hint(),
            Self::Document { .. } => "nothing was fetched; tell whoever keeps it",
            Self::Another { .. } => "name the box as its publisher does, or leave `--name` out",
            Self::Unmet(unmet) => return Some(unmet.hint()),
            Self::Interrupted(_) => return None,
        };
        Some(text.into())
    }
}
