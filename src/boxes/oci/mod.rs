//! Boxes in OCI registries: `box add oci://…` and `box push NAME oci://…`.
//!
//! # What is stored
//!
//! One manifest (`application/vnd.oci.image.manifest.v1+json`) per box version and architecture:
//!
//! ```text
//! artifactType   application/vnd.vbox-rs.box.v1
//! annotations    org.opencontainers.image.title = NAME, org.opencontainers.image.version = VERSION,
//!                org.vbox-rs.box.architecture = amd64 | arm64 | …
//! config         application/vnd.vbox-rs.box.config.v1+json
//!                {"format": 1,
//!                 "metadata": as metadata.json of a `.box`; its files are named disk0, kernel, initrd,
//!                 "disks": [{"sha256", "format", "virtual_size", "size"}],
//!                 "files": [{"name": "kernel", "sha256", "size"}],   (kernel, initrd, extras)
//!                 "cloud_init", "hardware", "info"}
//! layers         application/vnd.vbox-rs.box.piece.v1+zstd, each a part of one file, compressed by itself
//!                org.vbox-rs.piece.file   = disk0 | kernel | initrd | extras
//!                org.vbox-rs.piece.offset = where in the file
//!                org.vbox-rs.piece.size   = bytes when decompressed, at most 512 MiB
//!                org.vbox-rs.piece.digest = sha256:… of these bytes
//! ```
//!
//! `extras` is a tar file with the box's `Vagrantfile` and what its author included (`include/…`).
//!
//! What no piece covers is zeros, so holes are neither stored nor written. Boxes for several architectures are joined by an
//! index (`artifactType` as above) whose entries have a `platform`. Nothing of it depends on when it was pushed: the same
//! box gives the same digests, so a second push uploads nothing.
//!
//! Pieces move several at a time. The configuration names each whole file's SHA-256; what the library has already is not
//! fetched. Of a download that was cut, even by `kill -9`, the next run takes over each piece whose digest is right.
//!
//! `package --format oci` writes the same blobs as an OCI image layout in one tar file.
//!
//! # What is read besides
//!
//! An artifact with one layer that is a box or a disk image (`oras push`, virter), and KubeVirt's containerDisk: from a
//! registry, or as an image layout in a tar file (`skopeo copy … oci-archive:FILE`).

mod add;
mod blob;
mod challenge;
mod connection;
mod cut;
mod document;
mod error;
mod files;
mod foreign;
pub(super) mod layout;
mod login;
mod media;
mod meter;
mod pieces;
mod pull;
mod push;
mod reference;
mod registry;

use std::path::PathBuf;

pub use add::PullRequest;
pub use error::Error;
pub use login::Logins;
pub use push::{PushRequest, Pushed};
pub use reference::{Digest, Reference};

use meter::Meter;

/// How registries are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Certificates are not checked, and a registry without TLS is spoken to in the clear. Told loudly.
    pub insecure: bool,
    /// PEM files with certificates that are trusted beside the system's.
    pub certificates: Vec<PathBuf>,
    /// Where logins are looked for; [`Logins::from_env`] where left out.
    pub logins: Option<Logins>,
}

/// Reads bytes of a stranger in every way that this module does. For the fuzzer.
#[doc(hidden)]
pub fn fuzzing(bytes: &[u8]) {
    let _ = document::Document::parse(bytes, None);
    if let Ok(document::Document::Manifest(manifest)) = document::Document::parse(bytes, Some(media::MANIFEST)) {
        let _ = foreign::Foreign::choose(&manifest, &super::Limits::default());
        let _ = manifest.layers.iter().map(pieces::Piece::read).count();
    }
    // A configuration, and a list of layers behind a zero byte.
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let config = parts.next().map(document::BoxConfig::parse);
    let layers = parts.next().and_then(|bytes| serde_json::from_slice::<Vec<document::Descriptor>>(bytes).ok());
    if let (Some(Ok((config, metadata))), Some(layers)) = (config, layers) {
        let _ = pull::plan(&config, &metadata, &layers, &super::Limits::default());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = challenge::parse(text);
        let _ = text.parse::<Reference>();
    }
}
