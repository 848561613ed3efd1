//! "Already have it", known before anything is downloaded.

use std::time::{SystemTime, UNIX_EPOCH};

use super::add::{already_there, told_source};
use super::error::Error;
use super::library::Library;
use super::manifest::{Identity, Installed, Manifest, StoredDisk, architecture_fits};
use super::request::Wanted;
use super::sweep::put_manifest;
use crate::progress::Cx;

impl Library {
    /// The very box that is asked for: name, version, provider and architecture.
    pub(super) fn same_box(&self, wanted: &Wanted<'_>) -> Result<Option<Installed>, Error> {
        let (Some(name), Some(version), Some(offer)) = (wanted.name, &wanted.version, &wanted.request.offer) else {
            return Ok(None);
        };
        let provider = offer.provider.as_deref().unwrap_or("qemu");
        let asked = Identity { name, version, provider, architecture: wanted.architecture.as_deref() };
        Ok(self.list()?.boxes.into_iter().find(|installed| installed.manifest.identity().may_be(&asked)))
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
        let told = (offer.and_then(|offer| offer.user.clone()), offer.and_then(|offer| offer.cloud_init));
        // A bare image says nothing itself: what its twin has is another publisher's word, or our guess.
        let (user, cloud_init) = if twin.bare {
            (told.0.or(twin.user), told.1.or(twin.cloud_init))
        } else {
            (twin.user.or(told.0), twin.cloud_init.or(told.1))
        };
        let offered = offer.map(|offer| offer.hardware.clone()).unwrap_or_default();
        let hardware = if twin.bare { offered.or(twin.hardware) } else { twin.hardware.or(offered) };
        let manifest = Manifest {
            name: name.to_owned(),
            version: wanted.version.clone().unwrap_or(twin.version),
            architecture: twin.architecture.or_else(|| wanted.architecture.clone()),
            user,
            source: told_source(wanted, &wanted.sources[0]),
            source_id: wanted.source_id.clone(),
            checksum: Some(checksum),
            added_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            cloud_init,
            hardware,
            verified: wanted.verified.clone(),
            catalogue: wanted.request.catalogue.clone(),
            ..twin
        };
        let path = self.manifest_path(&manifest)?;
        if path.exists() {
            return Err(already_there(&manifest));
        }
        put_manifest(&path, &manifest)?;
        Ok(Some(Installed { manifest, path, disks: self.disks() }))
    }
}

/// What a box is, when it came from the same bytes; or a bare image that is the disk of another bare image.
fn twin_of(manifest: Manifest, checksum: &str, wanted: &Wanted<'_>) -> Option<Manifest> {
    let provider_fits = wanted.provider.is_none_or(|provider| provider == manifest.provider);
    if !provider_fits || !architecture_fits(manifest.architecture.as_deref(), wanted.architecture.as_deref()) {
        return None;
    }
    let same_source = manifest.checksum.as_deref() == Some(checksum);
    let is_disk = |disk: &StoredDisk| checksum.strip_prefix("sha256:") == Some(disk.sha256.as_str());
    let same_image = manifest.provider == "qemu"
        && manifest.boot.is_none()
        && matches!(&manifest.disks[..], [disk] if is_disk(disk));
    (same_source || same_image).then_some(manifest)
}
