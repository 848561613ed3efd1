//! `box add`: fetch ∥ hash ∥ decompress ∥ unpack ∥ hash ∥ write, then into the library.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::blocks::{Feed, Pool, stream};
use super::checksum::{Checksum, Hasher, sha256_of};
use super::disk::Written;
use super::error::{Error, Refusal};
use super::fetch::{Download, Outcome, Part, Tuning};
use super::incoming::Incoming;
use super::library::Library;
use super::manifest::{Installed, Manifest, StoredDisk, StoredKernel, Verified};
use super::receive::{Broken, Limits, Received, ReceivedDisk, Receiver};
use super::source::{Source, looks_like_name};
use super::version::Version;
use super::{PROVIDERS, metadata, name, oci};
use crate::progress::Cx;
use crate::store::{Lock, create_private, read_record, sync_dir, write_record};

/// A publisher that replaces a file does so once.
const ATTEMPTS: usize = 3;

/// What `box add` is asked for.
#[derive(Clone, Debug, Default)]
pub struct AddRequest {
    /// File or URL of a `.box` or of a disk image.
    pub source: String,
    /// Its name; the box's own, else the file's, where left out.
    pub name: Option<String>,
    /// Its version; the box's own, else `0`, where left out.
    pub version: Option<String>,
    /// What the source must hash to.
    pub checksum: Option<String>,
    /// Which provider it is for.
    pub provider: Option<String>,
    /// Which architecture it is for.
    pub architecture: Option<String>,
    /// Replace a box that is there.
    pub force: bool,
    /// How large it may be.
    pub limits: Limits,
    /// Patience with the server.
    pub tuning: Tuning,
    /// How OCI registries are spoken to.
    pub oci: oci::Options,
}

/// A request that makes sense.
struct Wanted<'a> {
    source: Source,
    source_id: String,
    name: Option<&'a str>,
    version: Option<Version>,
    checksum: Option<Checksum>,
    provider: Option<&'a str>,
    architecture: Option<String>,
    force: bool,
    limits: &'a Limits,
    tuning: &'a Tuning,
}

impl AddRequest {
    fn check(&self) -> Result<Wanted<'_>, Error> {
        let source = Source::parse(&self.source)?;
        if let Source::File(path) = &source {
            check_file(path, &self.source)?;
        }
        if let Some(name) = &self.name {
            name::encode(name)?;
        }
        if let Some(asked) = self.provider.as_deref().filter(|asked| !PROVIDERS.contains(asked)) {
            return Err(Error::Provider { asked: name::printable(asked) });
        }
        let refused = |refusal| Error::Refused { from: source.to_string(), source: refusal };
        Ok(Wanted {
            source_id: source.id(),
            name: self.name.as_deref(),
            version: self.version.as_deref().map(str::parse).transpose()?,
            checksum: self.checksum.as_deref().map(str::parse).transpose()?,
            provider: self.provider.as_deref(),
            architecture: self.architecture.as_deref().map(metadata::architecture).transpose().map_err(refused)?,
            force: self.force,
            limits: &self.limits,
            tuning: &self.tuning,
            source,
        })
    }
}

fn check_file(path: &Path, typed: &str) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(Error::Source { text: name::printable(typed), why: "it is not a file".into() }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoFile { path: path.into(), looks_like_name: looks_like_name(path, typed) })
        }
        Err(e) => Err(Error::io("read", path, e)),
    }
}

impl Library {
    /// Adds a box. When another process is adding the same one, waits for it and returns what it added.
    pub fn add(&self, cx: &Cx, request: &AddRequest) -> Result<Installed, Error> {
        if oci::Reference::is_meant(&request.source) {
            return self.add_oci(cx, &oci::PullRequest::of(request)?);
        }
        let wanted = request.check()?;
        let before = self.same_source(&wanted)?;
        let locks = self.lock_box(cx, &wanted)?;
        let result = self.add_locked(cx, &wanted, &before);
        for lock in locks {
            // An empty file that stays is only untidy.
            let _ = lock.remove();
        }
        result
    }

    fn add_locked(&self, cx: &Cx, wanted: &Wanted<'_>, before: &[Installed]) -> Result<Installed, Error> {
        let mut there = self.same_source(wanted)?;
        if let Some(new) = there.iter().position(|installed| !before.contains(installed)) {
            cx.note("another command has added it meanwhile");
            return Ok(there.swap_remove(new));
        }
        // A file can have changed since; a download is not repeated to find that out.
        if let (Source::Http(_), Some(installed), false) = (&wanted.source, there.first(), wanted.force) {
            return Err(already_there(&installed.manifest));
        }
        self.sweep(cx)?;
        for _ in 0..ATTEMPTS {
            if let Some(installed) = self.try_add(cx, wanted)? {
                return Ok(installed);
            }
            cx.note(format!("{} changed meanwhile; beginning anew", wanted.source));
        }
        Err(super::fetch::Error::Changed { url: wanted.source.to_string() }.into())
    }

    /// Boxes that the request may already have led to.
    fn same_source(&self, wanted: &Wanted<'_>) -> Result<Vec<Installed>, Error> {
        let mut boxes = self.list()?.boxes;
        boxes.retain(|installed| {
            let manifest = &installed.manifest;
            manifest.source_id == wanted.source_id
                && wanted.name.is_none_or(|name| name == manifest.name)
                && wanted.version.as_ref().is_none_or(|version| *version == manifest.version)
        });
        Ok(boxes)
    }

    /// One process adds a box at a time. Name before source, everywhere, so no two wait for each other.
    fn lock_box(&self, cx: &Cx, wanted: &Wanted<'_>) -> Result<Vec<Lock>, Error> {
        let by_name = wanted.name.map(|name| sha256_of(&format!("name:{name}")));
        let what =
            wanted.name.map_or_else(|| format!("the box from {}", wanted.source), |name| format!("box `{name}`"));
        let ids = by_name.into_iter().chain([wanted.source_id.clone()]);
        let lock = |id| {
            let path = self.dirs.boxes().join("locks").join(id);
            Ok(Lock::exclusive(cx, &path, &what, "box add", true)?)
        };
        ids.map(lock).collect()
    }

    /// One pass; `None` when the file changed in the middle of it.
    fn try_add(&self, cx: &Cx, wanted: &Wanted<'_>) -> Result<Option<Installed>, Error> {
        let incoming = {
            let _lock = self.lock(cx, "box add", true)?;
            Incoming::create(&self.incoming(), "box add")?
        };
        let mut part = match &wanted.source {
            Source::Http(_) => open_part(self, cx, wanted),
            Source::File(_) => None,
        };
        let result = receive(cx, wanted, &incoming, &mut part).and_then(|received| match received {
            Some(received) => self.commit(cx, wanted, received).map(Some),
            None => Ok(None),
        });
        if let Some(part) = part {
            match &result {
                Err(Error::Interrupted(_) | Error::Unnamed { .. }) => part.keep(),
                Err(Error::Fetch(error)) if error.keeps_part() => part.keep(),
                _ => part.discard(),
            }
        }
        result
    }

    /// Puts what was received into the library. The manifest comes last: with it the box is there.
    fn commit(&self, cx: &Cx, wanted: &Wanted<'_>, received: Received) -> Result<Installed, Error> {
        let manifest = describe(wanted, &received)?;
        let disks = received.disks.into_iter().map(|disk| disk.file);
        let files: Vec<Written> = disks.chain([received.kernel, received.initrd].into_iter().flatten()).collect();
        self.register(cx, manifest, &files, wanted.force)
    }

    /// The last step of every `add`: the files, in the order in which the manifest names them, then the manifest.
    pub(super) fn register(
        &self,
        cx: &Cx,
        manifest: Manifest,
        files: &[Written],
        force: bool,
    ) -> Result<Installed, Error> {
        let path = self.manifest_path(&manifest)?;
        let _lock = self.lock(cx, "box add", true)?;
        if path.exists() {
            if !force {
                return Err(already_there(&manifest));
            }
            // Machines may stand on the files of the one that is replaced.
            if let Ok(Some(former)) = read_record::<Manifest>(&path) {
                self.keep(&former.files())?;
            }
        }
        create_private(&self.disks())?;
        let places = manifest
            .disks
            .iter()
            .map(StoredDisk::file_name)
            .chain(manifest.boot.iter().flat_map(|boot| [Some(boot.kernel_name()), boot.initrd_name()]).flatten());
        for (file, place) in files.iter().zip(places) {
            put(file, &self.disks().join(place), force)?;
        }
        sync_dir(&self.disks())?;
        write_record(&path, &manifest)?;
        Ok(Installed { manifest, path, disks: self.disks() })
    }
}

/// Moves a file to the place that its content names, unless it is there already. With `anew` it replaces what is there,
/// which may be damaged: the name promises the content, so machines that stand on it get what they had.
fn put(file: &Written, place: &Path, anew: bool) -> Result<(), Error> {
    if !anew && fs::symlink_metadata(place).is_ok_and(|there| there.is_file() && there.len() == file.size) {
        return Ok(());
    }
    fs::rename(&file.path, place).map_err(|e| Error::io("write", place, e))
}

fn describe(wanted: &Wanted<'_>, received: &Received) -> Result<Manifest, Error> {
    let theirs = &received.metadata;
    if let (Some(asked), Some(found)) = (&wanted.architecture, &theirs.architecture)
        && asked != found
    {
        let refusal = Refusal::Architecture { found: found.clone(), asked: asked.clone() };
        return Err(Error::Refused { from: wanted.source.to_string(), source: refusal });
    }
    let given = wanted.name.map(str::to_owned).or_else(|| theirs.name.clone());
    let name = given.or_else(|| wanted.source.default_name());
    let version = match (&wanted.version, &theirs.version) {
        (Some(version), _) => version.clone(),
        (None, Some(text)) => text.parse()?,
        (None, None) => Version::zero(),
    };
    let digest = |file: &Written| file.sha256.clone();
    Ok(Manifest {
        name: name.ok_or_else(|| Error::Unnamed { from: wanted.source.to_string() })?,
        version,
        provider: theirs.provider.as_deref().or(wanted.provider).unwrap_or("qemu").to_owned(),
        architecture: theirs.architecture.clone().or_else(|| wanted.architecture.clone()),
        disks: received.disks.iter().map(stored).collect(),
        boot: received.kernel.as_ref().map(|kernel| StoredKernel {
            kernel: kernel.sha256.clone(),
            initrd: received.initrd.as_ref().map(digest),
            cmdline: theirs.cmdline.clone(),
        }),
        seed: theirs.seed,
        user: theirs.user.clone(),
        source: wanted.source.to_string(),
        source_id: wanted.source_id.clone(),
        checksum: wanted.checksum.as_ref().map(ToString::to_string),
        added_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        info: received.info.clone(),
        bare: received.bare,
        cloud_init: None,
        hardware: received.hardware.clone(),
        verified: if wanted.checksum.is_some() { Verified::Checksum } else { Verified::Nothing },
    })
}

/// How the manifest names a disk that was received.
pub(super) fn stored(disk: &ReceivedDisk) -> StoredDisk {
    StoredDisk {
        sha256: disk.file.sha256.clone(),
        format: disk.format.name().into(),
        virtual_size: disk.virtual_size,
        size: disk.file.size,
    }
}

pub(super) fn already_there(manifest: &Manifest) -> Error {
    Error::AlreadyThere {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        provider: manifest.provider.clone(),
    }
}

fn open_part(library: &Library, cx: &Cx, wanted: &Wanted<'_>) -> Option<Part> {
    match Part::open(&library.dirs, &wanted.source_id, &wanted.source.to_string()) {
        Ok(part) => part,
        Err(error) => {
            cx.note(format!("the download is not kept for a later run: {error}"));
            None
        }
    }
}

/// Runs the threads: one fetches and hashes, this one decompresses and untars, one more hashes and writes each disk.
fn receive(
    cx: &Cx,
    wanted: &Wanted<'_>,
    incoming: &Incoming,
    part: &mut Option<Part>,
) -> Result<Option<Received>, Error> {
    let pool = Pool::default();
    let mut hasher = wanted.checksum.as_ref().map(Checksum::hasher);
    let (feed, mut reader) = stream(&pool, cx.cancel().clone());
    let (received, fetched) = thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(cx, wanted, &pool, part, &mut hasher, feed));
        let unpacking = Receiver { cx, pool: &pool, limits: wanted.limits, into: incoming.dir() };
        let received = unpacking.receive(&mut reader);
        // A damaged download shows as nonsense first; the checksum tells that it is damage.
        if wanted.checksum.is_some() && received.as_ref().is_err_and(Broken::is_damage) {
            while let Ok(Some(block)) = reader.next_block() {
                pool.give(block);
            }
        }
        drop(reader);
        (received, fetching.join())
    });
    let panicked =
        || Error::io("read", wanted.source.to_string(), std::io::Error::other("the reading thread panicked"));
    let outcome = fetched.map_err(|_| panicked())??;
    cx.check()?;
    if outcome == Outcome::Changed {
        return Ok(None);
    }
    if let (Outcome::Complete, Some(expected), Some(hasher)) = (outcome, &wanted.checksum, hasher) {
        let found = hasher.finish();
        if found != *expected {
            return Err(Error::Mismatch { from: wanted.source.to_string(), expected: expected.clone(), found });
        }
    }
    received.map(Some).map_err(|broken| match broken {
        Broken::Refused(refusal) => Error::Refused { from: wanted.source.to_string(), source: refusal },
        Broken::Read(error) => Error::io("read", wanted.source.to_string(), error),
        Broken::Failed(error) => error,
    })
}

fn fetch(
    cx: &Cx,
    wanted: &Wanted<'_>,
    pool: &Pool,
    part: &mut Option<Part>,
    hasher: &mut Option<Hasher>,
    feed: Feed,
) -> Result<Outcome, Error> {
    let label = wanted.name.map_or_else(|| wanted.source.file_name(), str::to_owned);
    let limit = wanted.limits.total;
    match &wanted.source {
        Source::File(path) => read_file(cx, pool, path, &label, hasher, feed),
        Source::Http(url) => {
            let download = Download { cx, pool, url, label, tuning: wanted.tuning, limit, part, hasher };
            Ok(download.run(feed)?)
        }
    }
}

fn read_file(
    cx: &Cx,
    pool: &Pool,
    path: &Path,
    label: &str,
    hasher: &mut Option<Hasher>,
    feed: Feed,
) -> Result<Outcome, Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let mut bar = cx.transfer(label, file.metadata().ok().map(|metadata| metadata.len()));
    let mut done = 0;
    loop {
        cx.check()?;
        let block = pool.fill(&mut file).map_err(failed)?;
        if block.is_empty() {
            return Ok(if feed.end().is_ok() { Outcome::Complete } else { Outcome::Closed });
        }
        if let Some(hasher) = hasher {
            hasher.update(&block);
        }
        done += block.len() as u64;
        bar.update(done);
        if feed.send(block).is_err() {
            return Ok(Outcome::Closed);
        }
    }
}
