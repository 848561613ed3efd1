//! "Already have it", known before anything is downloaded.

use std::time::{SystemTime, UNIX_EPOCH};

use super::add::{already_there, told_source};
use super::error::Error;
use super::library::Library;
use super::manifest::{Installed, Manifest, StoredDisk};
use super::request::Wanted;
use crate::progress::Cx;
use crate::store::write_record;

impl Library {
    /// The very box that is asked for: name, version, provider and architecture.
    pub(super) fn same_box(&self, wanted: &Wanted<'_>) -> Result<Option<Installed>, Error> {
        let (Some(name), Some(version), Some(offer)) = (wanted.name, &wanted.version, &wanted.request.offer) else {
            return Ok(None);
        };
        let provider = offer.provider.as_deref().unwrap_or("qemu");
        Ok(self.list()?.boxes.into_iter().find(|installed| {
            let manifest = &installed.manifest;
            let same_architecture = match (&manifest.architecture, &wanted.architecture) {
                (Some(has), Some(wanted)) => has == wanted,
                _ => true,
            };
            manifest.name == name && manifest.version == *version && manifest.provider == provider && same_architecture
        }))
    }

    /// A box of another name or version whose source had the same checksum: its disks serve this one too.
    pub(super) fn share(&self, cx: &Cx, wanted: &Wanted<'_>) -> Result<Option<Installed>, Error> {
        let (Some(name), Some(checksum)) = (wanted.name, &wanted.checksum) else { return Ok(None) };
        let checksum = checksum.to_string();
        // What is made to collide must not lead to somebody else's disk.
        if checksum.starts_with("md5:") || checksum.starts_with("sha1:") {
            return Ok(None);
        }
        let _lock = self.lock(cx, "box add", true)?;
        let mut twins = self.list()?.boxes.into_iter().map(|installed| installed.manifest);
        let Some(twin) = twins.find_map(|manifest| twin_of(manifest, &checksum, wanted)) else { return Ok(None) };
        if !self.has_files(&twin) {
            return Ok(None);
        }
        cx.note(format!(
            "the library has this image already, as `{}` {}: nothing is downloaded",
            twin.name, twin.version
        ));
        let offer = wanted.request.offer.as_ref();
        let manifest = Manifest {
            name: name.to_owned(),
            version: wanted.version.clone().unwrap_or(twin.version),
            architecture: twin.architecture.or_else(|| wanted.architecture.clone()),
            user: twin.user.or_else(|| offer?.user.clone()),
            source: told_source(wanted, &wanted.sources[0]),
            source_id: wanted.source_id.clone(),
            checksum: Some(checksum),
            added_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            cloud_init: twin.cloud_init.or_else(|| offer?.cloud_init),
            hardware: offer.map_or(twin.hardware, |offer| offer.hardware.clone()),
            verified: wanted.verified.clone(),
            catalogue: wanted.request.catalogue.clone(),
            ..twin
        };
        let path = self.manifest_path(&manifest)?;
        if path.exists() {
            return Err(already_there(&manifest));
        }
        write_record(&path, &manifest)?;
        Ok(Some(Installed { manifest, path, disks: self.disks() }))
    }
}

/// What a box is, when it came from the same bytes; or a bare image that is the disk of another bare image.
fn twin_of(manifest: Manifest, checksum: &str, wanted: &Wanted<'_>) -> Option<Manifest> {
    let architecture_fits = match (&manifest.architecture, &wanted.architecture) {
        (Some(has), Some(wanted)) => has == wanted,
        _ => true,
    };
    let provider_fits = wanted.provider.is_none_or(|provider| provider == manifest.provider);
    if !architecture_fits || !provider_fits {
        return None;
    }
    let same_source = manifest.checksum.as_deref() == Some(checksum);
    let is_disk = |disk: &StoredDisk| checksum.strip_prefix("sha256:") == Some(disk.sha256.as_str());
    let same_image = manifest.provider == "qemu"
        && manifest.boot.is_none()
        && matches!(&manifest.disks[..], [disk] if is_disk(disk));
    (same_source || same_image).then_some(manifest)
}
