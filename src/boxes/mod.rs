//! Boxes: where they come from, how they are unpacked, and the library.
//!
//! [`Library::add`] is one pass: bytes arrive (and are kept in the cache until the box is there, and hashed), are
//! decompressed and untarred, and each disk is hashed and written, all at the same time. Nothing from a box is trusted.

mod add;
mod archive;
mod blocks;
pub mod build;
mod checksum;
mod disk;
mod error;
pub mod fetch;
mod find;
mod hardware;
mod incoming;
mod library;
mod manifest;
mod metadata;
mod name;
mod offer;
pub mod qcow2;
mod receive;
mod reference;
pub mod registry;
mod request;
mod share;
mod source;
mod sweep;
mod version;
mod waiting;

pub use checksum::{BadChecksum, Checksum};
pub use error::{Error, Refusal, Unknown};
pub use find::{Ask, Finder, Lookup};
pub use hardware::{DiskBus, Firmware, Hardware, Nic};
pub use library::{BoxHold, Damaged, Library, Listing, Query, Removed};
pub use manifest::{CloudInit, DirectBoot, Installed, Manifest, StoredDisk, StoredKernel, Verified};
pub use offer::{Offer, PublishedSums};
pub use receive::Limits;
pub use reference::Reference;
pub use request::{AddRequest, Expect};
pub use source::{default_name, shown_source};
pub use version::{BadRequirement, BadVersion, Requirement, Version};

/// Providers whose boxes we run, as `metadata.json` names them.
pub const PROVIDERS: &[&str] = &["libvirt", "qemu"];
