//! Boxes: where they come from, how they are unpacked, and the library.
//!
//! [`Library::add`] is one pass: bytes arrive (and are kept in the cache until the box is there, and hashed), are
//! decompressed and untarred, and each disk is hashed and written, all at the same time. Nothing from a box is trusted.

mod add;
mod addresses;
mod archive;
mod blocks;
pub mod build;
pub mod catalogue;
mod checksum;
mod compression;
mod convert;
mod cores;
pub mod defaults;
mod disk;
mod error;
mod extras;
pub mod fetch;
mod find;
#[doc(hidden)]
pub mod fuzzing;
mod gc;
mod gzip;
mod hardware;
pub mod images;
mod incoming;
mod keys;
mod library;
mod manifest;
mod mend;
mod metadata;
mod name;
mod needs;
mod newest;
pub mod oci;
mod offer;
pub mod ovf;
pub mod pack;
pub mod package;
mod parts;
mod prune;
pub mod qcow2;
mod qemu_img;
mod receive;
mod reference;
pub mod registry;
mod repackage;
mod request;
mod settings;
mod share;
mod signature;
mod source;
pub mod sums;
mod sweep;
mod usage;
mod verify;
mod version;
pub mod vmx;
mod waiting;
mod zip;

pub use addresses::{Attempt, Undelivered};
pub use checksum::{BadChecksum, Checksum};
pub use error::{Error, Refusal, Unknown};
pub use find::{Ask, Finder, Lookup};
pub use gc::{Collected, Garbage};
pub use hardware::{DiskBus, Firmware, Hardware, Nic};
pub use keys::Keyring;
pub use library::{BoxHold, Damaged, Library, Listing, Query, Removed};
pub use manifest::{CloudInit, DirectBoot, Installed, Manifest, StoredDisk, StoredFile, StoredKernel, Verified};
pub use needs::Needs;
pub use newest::{Asked, Origins, Outlook, outlooks};
pub use offer::{Offer, PublishedSums};
pub use receive::Limits;
pub use reference::Reference;
pub use request::{AddRequest, Expect};
pub use signature::BadSignature;
pub use source::{default_name, shown_source};
pub use usage::{Taken, Usage};
pub use verify::{Finding, Trouble, Verdict};
pub use version::{BadRequirement, BadVersion, Requirement, Version};

/// Providers whose boxes we run, as `metadata.json` names them.
pub const PROVIDERS: &[&str] =
    &["libvirt", "qemu", "virtualbox", "vmware_desktop", "vmware_fusion", "vmware_workstation", "hyperv"];

/// Those whose boxes run without converting their disks, so that one of them is chosen before others of its version.
pub(crate) const NATIVE: &[&str] = &["libvirt", "qemu"];
