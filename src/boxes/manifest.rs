//! What the library knows of a box.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::Hardware;
use super::checksum::is_sha256;
use super::error::Error;
use super::extras;
use super::images::Format;
use super::version::Version;
use crate::store::Record;

/// A box version for one provider and architecture. Immutable: `--force` writes another one in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version; `0` where it names none.
    pub version: Version,
    /// What it is made for: one of [`super::PROVIDERS`].
    pub provider: String,
    /// `amd64`, `arm64`, …; unknown for most boxes.
    pub architecture: Option<String>,
    /// Its disks, in the order of attachment.
    pub disks: Vec<StoredDisk>,
    /// A kernel that can be started without firmware and boot loader.
    pub boot: Option<StoredKernel>,
    /// Whether it reads our seed on its first boot.
    pub seed: bool,
    /// Who logs in, where it is not `vagrant`.
    pub user: Option<String>,
    /// File or URL that it came from, without secrets.
    pub source: String,
    /// SHA-256 of the whole source's name: tells two URLs apart that differ in what is not shown.
    pub source_id: String,
    /// What the source was checked against.
    pub checksum: Option<String>,
    /// When it was added, in seconds since 1970.
    pub added_at: u64,
    /// Its `info.json`.
    pub info: Option<Map<String, Value>>,
    /// Whether it was a mere disk image (or an appliance, OVA), without `metadata.json`: probably a publisher's cloud
    /// image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
    /// How it takes our seed by cloud-init; `None` for our own boxes and for those that read none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
    /// Its Vagrantfile and what its author included, in one tar file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extras: Option<StoredFile>,
    /// Machine that it wants.
    #[serde(default)]
    pub hardware: Hardware,
    /// How far its origin was checked.
    #[serde(default)]
    pub verified: Verified,
    /// The catalogue document that named it, without secrets: newer versions stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<String>,
}

/// How an image takes a NoCloud seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloudInit {
    /// `user-data`, `meta-data` and `network-config` in version 1: cloud-init since 0.7.7 (2016).
    Modern,
    /// As modern, but the network is left to the image: it cannot rename its card to `eth0` (Ubuntu 26.04 waits two
    /// minutes for it).
    Unrenamed,
    /// No `network-config`: interfaces in `meta-data` (cloud-init 0.6 and 0.7.5, Ubuntu 12.04 and 14.04).
    Old,
    /// FreeBSD's nuageinit: a subset of cloud-config.
    Nuageinit,
}

/// How far a box's origin was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verified {
    /// Not at all.
    #[default]
    Nothing,
    /// Its checksum, which came from the user, the registry, the catalogue or the publisher's file.
    Checksum,
    /// The publisher's file of checksums was signed by this key (fingerprint), and the checksum fits.
    Signature(String),
}

impl Record for Manifest {
    const FORMAT: u32 = 1;
}

/// A disk image in the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDisk {
    /// Names the file.
    #[serde(deserialize_with = "sha256")]
    pub sha256: String,
    /// `qcow2`, `raw`, `vmdk`, `vdi`, `vhdx` or `vpc` (VHD), as QEMU calls them.
    pub format: String,
    /// What the guest sees, in bytes.
    pub virtual_size: u64,
    /// The file's size in bytes.
    pub size: u64,
}

/// A kernel in the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKernel {
    /// Names the kernel's file.
    #[serde(deserialize_with = "sha256")]
    pub kernel: String,
    /// Names the initial RAM disk's file.
    #[serde(deserialize_with = "optional_sha256")]
    pub initrd: Option<String>,
    /// Kernel command line.
    pub cmdline: String,
}

/// Any other file in the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Names the file.
    #[serde(deserialize_with = "sha256")]
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Digests become file names, so nothing else may stand there.
fn sha256<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_sha256(&text) { Ok(text) } else { Err(serde::de::Error::custom("a digest is not 64 hexadecimal digits")) }
}

fn optional_sha256<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    match text {
        Some(text) if !is_sha256(&text) => Err(serde::de::Error::custom("a digest is not 64 hexadecimal digits")),
        text => Ok(text),
    }
}

impl StoredDisk {
    /// Its file's name in the library.
    pub(super) fn file_name(&self) -> String {
        let ending = self.format.parse::<Format>().map_or("img", Format::ending);
        format!("{}.{ending}", self.sha256)
    }
}

impl StoredKernel {
    pub(super) fn kernel_name(&self) -> String {
        format!("{}.kernel", self.kernel)
    }

    pub(super) fn initrd_name(&self) -> Option<String> {
        self.initrd.as_ref().map(|digest| format!("{digest}.initrd"))
    }
}

impl StoredFile {
    pub(super) fn file_name(&self) -> String {
        format!("{}.extras", self.sha256)
    }
}

/// The SHA-256 in the name of a file of the library.
pub(super) fn digest_of(file: &str) -> &str {
    file.split('.').next().unwrap_or_default()
}

/// What tells a box from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    pub name: &'a str,
    pub version: &'a Version,
    pub provider: &'a str,
    pub architecture: Option<&'a str>,
}

impl Identity<'_> {
    /// Whether both may be one box: an architecture that nobody names may be any.
    pub fn may_be(&self, other: &Self) -> bool {
        (self.name, self.version, self.provider) == (other.name, other.version, other.provider)
            && architecture_fits(self.architecture, other.architecture)
    }
}

/// Whether what is for the one architecture will do for the other, as far as both are known.
pub(super) fn architecture_fits(has: Option<&str>, wanted: Option<&str>) -> bool {
    match (has, wanted) {
        (Some(has), Some(wanted)) => has == wanted,
        _ => true,
    }
}

impl Manifest {
    /// What tells it from all other boxes.
    pub(super) fn identity(&self) -> Identity<'_> {
        let Self { name, version, provider, architecture, .. } = self;
        Identity { name, version, provider, architecture: architecture.as_deref() }
    }

    /// The SHA-256 of each of these files.
    pub(super) fn digests(&self) -> impl Iterator<Item = &str> {
        let boot = self.boot.iter().flat_map(|boot| [Some(&boot.kernel), boot.initrd.as_ref()]).flatten();
        let extras = self.extras.iter().map(|extras| &extras.sha256);
        self.disks.iter().map(|disk| &disk.sha256).chain(boot).chain(extras).map(String::as_str)
    }

    /// Names of all files of the library that it needs: disks, kernel, initial RAM disk, what is beside them.
    pub(super) fn files(&self) -> Vec<String> {
        let boot = self.boot.iter().flat_map(|boot| [Some(boot.kernel_name()), boot.initrd_name()]).flatten();
        let extras = self.extras.iter().map(StoredFile::file_name);
        self.disks.iter().map(StoredDisk::file_name).chain(boot).chain(extras).collect()
    }
}

/// A box in the library.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    /// What is known of it.
    pub manifest: Manifest,
    /// The manifest's file.
    pub(super) path: PathBuf,
    /// Where disks and kernels lie.
    pub(super) disks: PathBuf,
}

/// How a box is started without firmware and boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectBoot {
    /// Kernel image.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub cmdline: String,
}

impl Installed {
    /// Its disk images, in the order of attachment.
    pub fn disk_paths(&self) -> Vec<PathBuf> {
        self.manifest.disks.iter().map(|disk| self.disks.join(disk.file_name())).collect()
    }

    /// Its kernel, where it brings one.
    pub fn direct_boot(&self) -> Option<DirectBoot> {
        let boot = self.manifest.boot.as_ref()?;
        Some(DirectBoot {
            kernel: self.disks.join(boot.kernel_name()),
            initrd: boot.initrd_name().map(|name| self.disks.join(name)),
            cmdline: boot.cmdline.clone(),
        })
    }

    /// Its Vagrantfile and what its author included, where there are any.
    pub(super) fn extras(&self) -> Option<PathBuf> {
        self.manifest.extras.as_ref().map(|extras| self.disks.join(extras.file_name()))
    }

    /// The private key that lets its user in, where it is not Vagrant's published one.
    pub fn private_key(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.extras().map(|path| extras::private_key(&path)).transpose()?.flatten())
    }

    /// Names of these files, as they are in the box.
    pub fn included(&self) -> Result<Vec<String>, Error> {
        let parts = self.extras().map(|path| extras::parts(&path)).transpose()?.unwrap_or_default();
        Ok(parts.into_iter().map(|part| part.name).collect())
    }

    /// The file that its manifest lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of its files; boxes may share them.
    pub fn size(&self) -> u64 {
        self.manifest.disks.iter().map(|disk| disk.size).sum()
    }
}
