//! Publishers' files of checksums, in every form that they use, and whether they are signed.

mod json;
mod lines;
mod published;

use super::checksum::{BadChecksum, Checksum};
use super::fetch;
use super::signature::BadSignature;
use crate::error::{Exit, Explain};

pub use published::{Expected, expected, fetch_sums};

/// Bytes of a checksum file. The largest that was seen, Ubuntu's index of all releases, has about 4 MiB.
pub const LIMIT: usize = 8 << 20;

/// A checksum file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums(Vec<Listed>);

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// As it is written there; a bare hash names no file.
    file: Option<String>,
    checksum: Checksum,
}

/// Why a file of checksums cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadSums {
    /// Somebody's login or error page.
    #[error("it is a web page, not a file of checksums")]
    WebPage,
    /// Not text.
    #[error("it is not text")]
    Binary,
    /// Too many lines.
    #[error("it has more than {0} lines")]
    TooLong(usize),
    /// Broken JSON.
    #[error("its JSON is broken: {0}")]
    Json(String),
    /// The file is not there.
    #[error("it does not list `{0}`")]
    NotListed(String),
    /// Two answers.
    #[error("it lists two different checksums of `{0}`")]
    Twice(String),
}

impl Sums {
    /// Reads a file of any form.
    pub fn parse(text: &str) -> Result<Self, BadSums> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.contains('\0') {
            return Err(BadSums::Binary);
        }
        match text.bytes().next() {
            Some(b'<') => Err(BadSums::WebPage),
            Some(b'{' | b'[') => json::parse(text).map(Self),
            _ => lines::parse(text).map(Self),
        }
    }

    /// The checksum of `file`, a name or the end of a path; the strongest where several algorithms are listed. A file
    /// that holds a bare hash and nothing else is taken to mean it.
    pub fn find(&self, file: &str) -> Result<Option<Checksum>, BadSums> {
        let mut best: Option<&Checksum> = None;
        for listed in self.0.iter().filter(|listed| listed.is_of(file)) {
            match best {
                Some(other) if other.algorithm() == listed.checksum.algorithm() => {
                    if *other != listed.checksum {
                        return Err(BadSums::Twice(file.into()));
                    }
                }
                Some(other) if other.algorithm() > listed.checksum.algorithm() => {}
                _ => best = Some(&listed.checksum),
            }
        }
        let bare = self.0.first().filter(|one| self.0.len() == 1 && one.file.is_none());
        Ok(best.or(bare.map(|one| &one.checksum)).filter(|_| !file.is_empty()).cloned())
    }

    /// The only checksum of a file that belongs to one image: some publishers write another, dated name into it.
    pub fn only(&self) -> Option<Checksum> {
        match self.0.as_slice() {
            [one] => Some(one.checksum.clone()),
            _ => None,
        }
    }
}

impl Listed {
    fn is_of(&self, file: &str) -> bool {
        let Some(listed) = self.file.as_deref() else { return false };
        let rest = listed.strip_suffix(file);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/')) && !file.is_empty()
    }
}

/// The checksum that `text` lists for `file`.
pub fn find(text: &str, file: &str) -> Result<Option<Checksum>, BadSums> {
    Sums::parse(text)?.find(file)
}

/// Why an image's checksum could not be had from its publisher. URLs are shown without their secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file of checksums makes no sense, or does not name the image.
    #[error("the checksums at {url} cannot be used")]
    Unusable {
        /// Where they lie.
        url: String,
        /// What is wrong.
        source: BadSums,
    },
    /// Its publisher signs it, and this one is not.
    #[error("{url} {why}, and its publisher signs it")]
    Unsigned {
        /// Where it lies.
        url: String,
        /// What is missing.
        why: &'static str,
    },
    /// Its signature is wrong or somebody else's.
    #[error("the checksums at {url} are not their publisher's")]
    Forged {
        /// Where they lie.
        url: String,
        /// What is wrong.
        source: BadSignature,
    },
    /// The catalogue names another checksum than the publisher.
    #[error("{url} names {published} for `{file}`, and the catalogue {known}")]
    Disagree {
        /// Where the publisher's checksums lie.
        url: String,
        /// The image's name.
        file: String,
        /// What the publisher says.
        published: Checksum,
        /// What we knew.
        known: Checksum,
    },
    /// They could not be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// A checksum that is none.
    #[error(transparent)]
    Checksum(#[from] BadChecksum),
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Unusable { .. } | Self::Unsigned { .. } | Self::Forged { .. } | Self::Disagree { .. } => {
                Exit::Checksum
            }
            Self::Fetch(error) => error.exit(),
            Self::Checksum(_) => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unusable { source: BadSums::WebPage, .. } => {
                "the server answered with a page, perhaps to log in or of a captive network; try again from elsewhere"
            }
            Self::Unusable { .. } | Self::Unsigned { .. } => {
                "nothing was kept; give the image's URL and its `--checksum` to `vbox-rs box add` if you know it"
            }
            Self::Forged { source: BadSignature::NoKey(_), .. } => {
                "put the publisher's armoured key into `keys/` of vbox-rs's configuration directory"
            }
            Self::Forged { .. } => "nothing was kept; do not trust this server, and tell the publisher",
            Self::Disagree { .. } => {
                "nothing was kept; the publisher replaced an image that never changes, so ask there before you trust it"
            }
            Self::Fetch(error) => return error.hint(),
            Self::Checksum(_) => return None,
        };
        Some(text.into())
    }
}

#[cfg(test)]
mod tests;
