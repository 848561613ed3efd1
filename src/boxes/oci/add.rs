//! `box add oci://…`: the same locks, incoming folders and last step as any other box.

use std::time::{SystemTime, UNIX_EPOCH};

use super::pull::{Found, Pulled, Wish};
use super::{Options, Reference};
use crate::boxes::add::already_there;
use crate::boxes::checksum::sha256_of;
use crate::boxes::fetch::Tuning;
use crate::boxes::incoming::Incoming;
use crate::boxes::metadata::{self, Metadata};
use crate::boxes::name::{self, printable};
use crate::boxes::{
    AddRequest, Error, Installed, Library, Limits, Manifest, Refusal, StoredFile, StoredKernel, Verified, Version,
};
use crate::progress::Cx;
use crate::store::Lock;

/// What `box add oci://…` is asked for.
#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    /// `oci://HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]`.
    pub source: String,
    /// Its name; the box's own, else the repository's last part, where left out.
    pub name: Option<String>,
    /// Its version; the box's own, else the tag, where left out.
    pub version: Option<String>,
    /// Which architecture; this computer's where left out.
    pub architecture: Option<String>,
    /// Replace a box that is there.
    pub force: bool,
    /// Fail where another process is adding the same box, instead of waiting for it.
    pub no_wait: bool,
    /// How large it may be.
    pub limits: Limits,
    /// Patience with the registry.
    pub tuning: Tuning,
    /// How the registry is spoken to.
    pub options: Options,
}

/// How a registry is spoken to, by somebody who asks for any box.
fn options(request: &AddRequest) -> Result<Options, Error> {
    let mut certificates: Vec<_> = request.access.ca_cert.iter().cloned().collect();
    if let Some(folder) = &request.access.ca_path {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))?;
        certificates.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    Ok(Options { insecure: request.access.insecure, certificates, logins: request.logins.clone() })
}

/// A request that makes sense.
struct Wanted<'a> {
    request: &'a PullRequest,
    reference: Reference,
    version: Option<Version>,
    architecture: Option<String>,
}

impl PullRequest {
    /// The same request, of somebody who asks for any box.
    pub fn of(request: &AddRequest) -> Result<Self, Error> {
        let refused = |why: &str| Error::Source { text: printable(&request.source), why: why.into() };
        if request.checksum.is_some() {
            return Err(refused("what it must hash to belongs into the reference (oci://…@sha256:…)"));
        }
        Ok(Self {
            source: request.source.clone(),
            name: request.name.clone(),
            version: request.version.clone(),
            architecture: request.architecture.clone(),
            force: request.force,
            no_wait: request.no_wait,
            limits: request.limits.clone(),
            tuning: request.tuning.clone(),
            options: options(request)?,
        })
    }

    fn check(&self) -> Result<Wanted<'_>, Error> {
        let reference: Reference = self.source.parse()?;
        if let Some(name) = &self.name {
            name::encode(name)?;
        }
        let refused = |refusal| Error::Refused { from: reference.to_string(), source: refusal };
        Ok(Wanted {
            version: self.version.as_deref().map(str::parse).transpose()?,
            architecture: self.architecture.as_deref().map(metadata::architecture).transpose().map_err(refused)?,
            request: self,
            reference,
        })
    }
}

impl Wanted<'_> {
    /// What the library will know the box as.
    fn name(&self, metadata: &Metadata) -> String {
        let given = self.request.name.clone().or_else(|| metadata.name.clone());
        given.unwrap_or_else(|| self.reference.file_name().to_owned())
    }

    fn version(&self, metadata: &Metadata) -> Result<Version, Error> {
        match (&self.version, &metadata.version) {
            (Some(version), _) => Ok(version.clone()),
            (None, Some(text)) => Ok(text.parse()?),
            (None, None) => Ok(Version::zero()),
        }
    }

    /// Everything but the files.
    fn describe(&self, metadata: Metadata) -> Result<Manifest, Error> {
        if let (Some(asked), Some(found)) = (&self.architecture, &metadata.architecture)
            && asked != found
        {
            let refusal = Refusal::Architecture { found: found.clone(), asked: asked.clone() };
            return Err(Error::Refused { from: self.reference.to_string(), source: refusal });
        }
        let pinned = self.reference.digest();
        Ok(Manifest {
            name: self.name(&metadata),
            version: self.version(&metadata)?,
            provider: metadata.provider.unwrap_or_else(|| "qemu".into()),
            architecture: metadata.architecture.or_else(|| self.architecture.clone()),
            disks: Vec::new(),
            boot: None,
            seed: metadata.seed,
            user: metadata.user,
            source: self.reference.to_string(),
            source_id: sha256_of(&self.reference.to_string()),
            checksum: pinned.map(ToString::to_string),
            added_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            info: None,
            extras: None,
            cloud_init: None,
            hardware: crate::boxes::Hardware::default(),
            bare: false,
            catalogue: None,
            verified: if pinned.is_some() { Verified::Checksum } else { Verified::Nothing },
        })
    }
}

impl Library {
    /// Adds a box from a registry. When another process is adding the same one, waits for it and returns what it added.
    pub fn add_oci(&self, cx: &Cx, request: &PullRequest) -> Result<Installed, Error> {
        let wanted = request.check()?;
        let before = self.list()?.boxes;
        let locks = self.lock_for(cx, &wanted)?;
        let result = self.add_oci_locked(cx, &wanted, &before);
        for lock in locks {
            // An empty file that stays is only untidy.
            let _ = lock.remove();
        }
        result
    }

    /// One process adds a box at a time. Name before source, as everywhere, so no two wait for each other.
    fn lock_for(&self, cx: &Cx, wanted: &Wanted<'_>) -> Result<Vec<Lock>, Error> {
        let by_name = wanted.request.name.as_ref().map(|name| sha256_of(&format!("name:{name}")));
        let what = format!("the box from {}", wanted.reference);
        let lock = |id| {
            let path = self.dirs.boxes().join("locks").join(id);
            Ok(Lock::exclusive(cx, &path, &what, "box add", !wanted.request.no_wait)?)
        };
        by_name.into_iter().chain([sha256_of(&wanted.reference.to_string())]).map(lock).collect()
    }

    fn add_oci_locked(&self, cx: &Cx, wanted: &Wanted<'_>, before: &[Installed]) -> Result<Installed, Error> {
        let PullRequest { options, tuning, limits, force, .. } = wanted.request;
        let (reference, architecture) = (&wanted.reference, wanted.architecture.as_deref());
        let found = Found::look(cx, &Wish { reference, architecture, options, tuning, limits })?;
        let planned = wanted.describe(found.metadata.clone())?;
        if let Some(there) = self.planned_box(&planned)?.filter(|_| !force) {
            if before.contains(&there) {
                return Err(already_there(&planned));
            }
            cx.note("another command has added it meanwhile");
            return Ok(there);
        }
        self.sweep(cx)?;
        let incoming = {
            let _lock = self.lock(cx, "box add", true)?;
            Incoming::create(&self.incoming(), "box add")?
        };
        let pulled = found.fetch(&self.dirs, &self.disks(), incoming.dir(), &planned.name)?;
        self.register_pulled(cx, wanted, pulled)
    }

    fn register_pulled(&self, cx: &Cx, wanted: &Wanted<'_>, pulled: Pulled) -> Result<Installed, Error> {
        let Pulled { metadata, disks, kernel, initrd, extras, info, cloud_init, hardware, bare } = pulled;
        let cmdline = metadata.cmdline.clone();
        let mut manifest = wanted.describe(metadata)?;
        let (stored, written): (Vec<_>, Vec<_>) = disks.into_iter().unzip();
        manifest.disks = stored;
        manifest.boot = kernel.as_ref().map(|kernel| StoredKernel {
            kernel: kernel.sha256.clone(),
            initrd: initrd.as_ref().map(|initrd| initrd.sha256.clone()),
            cmdline,
        });
        (manifest.info, manifest.cloud_init, manifest.hardware) = (info, cloud_init, hardware);
        manifest.bare = bare;
        manifest.extras = extras.as_ref().map(|file| StoredFile { sha256: file.sha256.clone(), size: file.size });
        let files: Vec<_> = written.into_iter().chain(kernel).chain(initrd).chain(extras).collect();
        self.register(cx, manifest, &files, wanted.request.force)
    }

    /// The box of that name, version, provider and architecture.
    fn planned_box(&self, planned: &Manifest) -> Result<Option<Installed>, Error> {
        let same = |installed: &Installed| installed.manifest.identity() == planned.identity();
        Ok(self.list()?.boxes.into_iter().find(same))
    }
}
