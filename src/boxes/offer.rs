//! What somebody publishes: the one form that catalogue, registries and URLs are brought into before anything is fetched.

use super::Hardware;
use super::checksum::Checksum;
use super::manifest::CloudInit;
use super::version::Version;

/// One image of a box: for one version, provider and architecture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// The box's name, as the library shall know it.
    pub name: String,
    /// Its version; `None` where only the box itself can tell.
    pub version: Option<Version>,
    /// For which provider it was made; `None` for a bare image.
    pub provider: Option<String>,
    /// For which architecture (`amd64`, `arm64`, …).
    pub architecture: Option<String>,
    /// Where it lies: the same bytes everywhere, the best place first.
    pub urls: Vec<String>,
    /// What it must hash to, where that is known beforehand.
    pub checksum: Option<Checksum>,
    /// Where its publisher says what it must hash to.
    pub sums: Option<PublishedSums>,
    /// How it takes our seed; `None` for an image that reads none.
    pub cloud_init: Option<CloudInit>,
    /// Who logs in before our seed was read, where it is not `vagrant`.
    pub user: Option<String>,
    /// Machine that it wants.
    pub hardware: Hardware,
    /// Said once when it is fetched for a machine: which publisher's image stands in, that it gets no updates any more.
    pub notes: Vec<String>,
}

/// A publisher's file of checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedSums {
    /// Where it lies.
    pub url: String,
    /// The image's name in it.
    pub file: String,
    /// A detached OpenPGP signature of it; a clear-signed file needs none.
    pub signature: Option<String>,
    /// Fingerprints of the keys that may sign, as 40 or 64 upper-case hexadecimal digits.
    pub keys: Vec<String>,
}
