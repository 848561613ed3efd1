//! `box add`: fetch ∥ hash ∥ decompress ∥ untar ∥ hash ∥ write, then into the library.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::blocks::{Feed, Pool, stream};
use super::checksum::{Checksum, Hasher};
use super::disk::Written;
use super::error::{Error, Refusal};
use super::fetch::{Download, Outcome, Part, Tuning};
use super::incoming::Incoming;
use super::library::Library;
use super::manifest::{CloudInit, Installed, Manifest, StoredDisk, StoredFile, StoredKernel};
use super::oci;
use super::receive::{Broken, Received, ReceivedDisk, Receiver};
use super::request::{AddRequest, Wanted};
use super::source::Source;
use super::sweep::put_manifest;
use super::version::Version;
use crate::progress::Cx;
use crate::store::{create_private, read_record, sync_dir};

/// A publisher that replaces a file does so once.
const ATTEMPTS: usize = 3;

/// With another place to go to, a server that does not answer is not asked for long.
pub(super) const TRIES_WITH_A_MIRROR: u32 = 2;

impl Library {
    /// Adds a box. When another process is adding the same one, waits for it and returns what it added.
    pub fn add(&self, cx: &Cx, request: &AddRequest) -> Result<Installed, Error> {
        if oci::Reference::is_meant(&request.source) {
            return self.add_oci(cx, &oci::PullRequest::of(request)?);
        }
        let mut wanted = request.check()?;
        let before = self.same_source(&wanted)?;
        let locks = self.lock_box(cx, &wanted)?;
        let result = self.add_locked(cx, &mut wanted, &before);
        for lock in locks {
            // An empty file that stays is only untidy.
            let _ = lock.remove();
        }
        result
    }

    fn add_locked(&self, cx: &Cx, wanted: &mut Wanted<'_>, before: &[Installed]) -> Result<Installed, Error> {
        let mut there = self.same_source(wanted)?;
        if let Some(new) = there.iter().position(|installed| !before.contains(installed)) {
            cx.note("another command has added it meanwhile");
            return Ok(there.swap_remove(new));
        }
        if !wanted.request.force {
            // A file can have changed since; a download is not repeated to find that out.
            let known = there.first().filter(|_| matches!(wanted.sources[0], Source::Http(_)));
            if let Some(installed) = known.cloned().or(self.same_box(wanted)?) {
                return Err(already_there(&installed.manifest));
            }
        }
        for note in wanted.request.offer.iter().flat_map(|offer| &offer.notes) {
            cx.note(note);
        }
        self.sweep(cx)?;
        self.add_or_stand_in(cx, wanted)
    }

    fn add_or_stand_in(&self, cx: &Cx, wanted: &mut Wanted<'_>) -> Result<Installed, Error> {
        let error = match self.add_new(cx, wanted) {
            Err(Error::Fetch(error)) if error.is_gone() => error,
            result => return result,
        };
        let Some(request) = wanted.stand_in() else { return Err(error.into()) };
        let mut next = request.check()?;
        cx.note(format!("{error}; taking what its publisher has now, {}", next.sources[0]));
        let there = self.same_source(&next)?;
        match there.first().filter(|_| !request.force) {
            Some(installed) => Err(already_there(&installed.manifest)),
            None => self.add_or_stand_in(cx, &mut next),
        }
    }

    /// Adds what the library has not, or not under this name.
    fn add_new(&self, cx: &Cx, wanted: &mut Wanted<'_>) -> Result<Installed, Error> {
        wanted.ask_what_to_expect(cx, &self.dirs)?;
        if !wanted.request.force
            && let Some(shared) = self.share(cx, wanted)?
        {
            return Ok(shared);
        }
        self.add_from_mirrors(cx, wanted)
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

    /// Goes from one place to the next until one delivers.
    fn add_from_mirrors(&self, cx: &Cx, wanted: &Wanted<'_>) -> Result<Installed, Error> {
        let mut places = wanted.sources.iter().peekable();
        let mut is_offline = false;
        let mut result = Err(Error::Unnamed { from: wanted.what() });
        while let Some(source) = places.next() {
            let patience = if places.peek().is_some() { TRIES_WITH_A_MIRROR } else { u32::MAX };
            result = self.add_from_source(cx, wanted, source, patience);
            match (&result, places.peek()) {
                // Without a network no name is known: that is said once.
                (Err(Error::Fetch(super::fetch::Error::Nameless { .. })), Some(_)) if is_offline => {}
                (Err(Error::Fetch(error)), Some(next)) if error.may_be_elsewhere() => {
                    is_offline = matches!(error, super::fetch::Error::Nameless { .. });
                    cx.note(format!("{error}; trying the next mirror, {next}"));
                }
                (Err(error @ Error::Mismatch { .. }), Some(next)) => {
                    cx.warn(format!("{error}; do not trust it; trying the next mirror, {next}"));
                }
                _ => break,
            }
        }
        if result.is_ok() {
            self.forget_parts(wanted);
        }
        result
    }

    /// What other mirrors left in the cache is of no use any more.
    fn forget_parts(&self, wanted: &Wanted<'_>) {
        for source in wanted.sources.iter().filter(|_| wanted.sources.len() > 1) {
            if let Ok(Some(part)) = Part::open(&self.dirs, &source.id(), &source.to_string()) {
                part.discard();
            }
        }
    }

    fn add_from_source(&self, cx: &Cx, wanted: &Wanted<'_>, source: &Source, tries: u32) -> Result<Installed, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(installed) = self.try_add(cx, wanted, source, tries)? {
                return Ok(installed);
            }
            cx.note(format!("{source} changed meanwhile; beginning anew"));
        }
        Err(super::fetch::Error::Changed { url: source.to_string() }.into())
    }

    /// One pass; `None` when the file changed in the middle of it.
    fn try_add(&self, cx: &Cx, wanted: &Wanted<'_>, source: &Source, tries: u32) -> Result<Option<Installed>, Error> {
        let incoming = {
            let _lock = self.lock(cx, "box add", true)?;
            Incoming::create(&self.incoming(), "box add")?
        };
        let mut part = match source {
            Source::Http(_) => open_part(self, cx, wanted, source),
            Source::File(_) => None,
        };
        let tuning = &wanted.request.tuning;
        let tuning = Tuning { tries: tuning.tries.min(tries), ..tuning.clone() };
        let pass = Pass { cx, wanted, source, tuning: &tuning };
        let result = pass.receive(&incoming, &mut part).and_then(|received| match received {
            Some(received) => self.commit(cx, wanted, source, received).map(Some),
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
    fn commit(&self, cx: &Cx, wanted: &Wanted<'_>, source: &Source, received: Received) -> Result<Installed, Error> {
        let manifest = describe(wanted, source, &received)?;
        let disks = received.disks.into_iter().map(|disk| disk.file);
        let files: Vec<Written> =
            disks.chain([received.kernel, received.initrd, received.extras].into_iter().flatten()).collect();
        self.register(cx, manifest, &files, wanted.request.force)
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
        let places = manifest.files();
        // What is there already is not ours to give up.
        let mut new = places.clone();
        new.retain(|name| !self.disks().join(name).exists());
        let intent = Incoming::create(&self.incoming(), "box add")?;
        intent.intend(&new)?;
        for (file, place) in files.iter().zip(places) {
            put(file, &self.disks().join(place), force)?;
        }
        sync_dir(&self.disks())?;
        put_manifest(&path, &manifest)?;
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

fn describe(wanted: &Wanted<'_>, source: &Source, received: &Received) -> Result<Manifest, Error> {
    let theirs = &received.metadata;
    let offer = wanted.request.offer.as_ref();
    if let (Some(asked), Some(found)) = (&wanted.architecture, &theirs.architecture)
        && asked != found
    {
        let refusal = Refusal::Architecture { found: found.clone(), asked: asked.clone() };
        return Err(Error::Refused { from: source.to_string(), source: refusal });
    }
    let given = wanted.name.map(str::to_owned).or_else(|| theirs.name.clone());
    let name = given.or_else(|| source.default_name());
    let version = match (&wanted.version, &theirs.version) {
        (Some(version), _) => version.clone(),
        (None, Some(text)) => text.parse()?,
        (None, None) => Version::zero(),
    };
    let digest = |file: &Written| file.sha256.clone();
    Ok(Manifest {
        name: name.ok_or_else(|| Error::Unnamed { from: source.to_string() })?,
        version,
        provider: theirs.provider.as_deref().or(wanted.provider).unwrap_or("qemu").to_owned(),
        architecture: theirs.architecture.clone().or_else(|| wanted.architecture.clone()),
        disks: received.disks.iter().map(stored).collect(),
        boot: received.kernel.as_ref().map(|kernel| StoredKernel {
            kernel: kernel.sha256.clone(),
            initrd: received.initrd.as_ref().map(digest),
            cmdline: theirs.cmdline.clone(),
        }),
        extras: received.extras.as_ref().map(|file| StoredFile { sha256: digest(file), size: file.size }),
        seed: theirs.seed,
        user: theirs.user.clone().or_else(|| offer?.user.clone()),
        source: told_source(wanted, source),
        source_id: wanted.source_id.clone(),
        checksum: wanted.checksum.as_ref().map(ToString::to_string),
        added_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        info: received.info.clone(),
        // A bare image of which nothing is known: a seed does no harm, and most of them read it.
        cloud_init: theirs.cloud_init.or_else(|| offer?.cloud_init).or_else(|| {
            (received.bare && offer.is_none_or(|offer| offer.provider.is_some())).then_some(CloudInit::Modern)
        }),
        hardware: received.hardware.clone().or(offer.map(|offer| offer.hardware.clone()).unwrap_or_default()),
        bare: received.bare,
        verified: wanted.verified.clone(),
        catalogue: wanted.request.catalogue.clone(),
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

/// The source for records: what was not checked stays known.
pub(super) fn told_source(wanted: &Wanted<'_>, source: &Source) -> String {
    match source {
        Source::Http(url) if wanted.request.access.insecure && url.scheme() == "https" => {
            format!("{source} (its server's certificate was not checked)")
        }
        _ => source.to_string(),
    }
}

pub(super) fn already_there(manifest: &Manifest) -> Error {
    Error::AlreadyThere {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        provider: manifest.provider.clone(),
    }
}

fn open_part(library: &Library, cx: &Cx, wanted: &Wanted<'_>, source: &Source) -> Option<Part> {
    let open = || Part::open(&library.dirs, &source.id(), &source.to_string());
    let part = match open() {
        Ok(Some(part)) if wanted.request.clean && part.length() > 0 => {
            part.discard();
            open()
        }
        other => other,
    };
    part.unwrap_or_else(|error| {
        cx.note(format!("the download is not kept for a later run: {error}"));
        None
    })
}

/// One pass over one source.
struct Pass<'a> {
    cx: &'a Cx,
    wanted: &'a Wanted<'a>,
    source: &'a Source,
    tuning: &'a Tuning,
}

impl Pass<'_> {
    /// Runs the threads: one fetches and hashes, this one decompresses and untars, one more hashes and writes each disk.
    fn receive(&self, incoming: &Incoming, part: &mut Option<Part>) -> Result<Option<Received>, Error> {
        let Self { cx, wanted, source, .. } = *self;
        let pool = Pool::default();
        let mut hasher = wanted.checksum.as_ref().map(Checksum::hasher);
        let (feed, mut reader) = stream(&pool, cx.cancel().clone());
        let (received, fetched) = thread::scope(|scope| {
            let fetching = scope.spawn(|| self.fetch(&pool, part, &mut hasher, feed));
            let (limits, name) = (&wanted.request.limits, source.file_name());
            let name = if name.is_empty() { "image".to_owned() } else { name };
            let unpacking = Receiver { cx, pool: &pool, limits, into: incoming.dir(), name: &name };
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
        let panicked = || Error::io("read", source.to_string(), std::io::Error::other("the reading thread panicked"));
        let outcome = fetched.map_err(|_| panicked())??;
        cx.check()?;
        if outcome == Outcome::Changed {
            return Ok(None);
        }
        if let (Outcome::Complete, Some(expected), Some(hasher)) = (outcome, &wanted.checksum, hasher) {
            let found = hasher.finish();
            if found != *expected {
                return Err(Error::Mismatch { from: source.to_string(), expected: expected.clone(), found });
            }
        }
        received.map(Some).map_err(|broken| match broken {
            Broken::Refused(refusal) => Error::Refused { from: source.to_string(), source: refusal },
            Broken::Read(error) => Error::io("read", source.to_string(), error),
            Broken::Failed(error) => error,
        })
    }

    fn fetch(
        &self,
        pool: &Pool,
        part: &mut Option<Part>,
        hasher: &mut Option<Hasher>,
        feed: Feed,
    ) -> Result<Outcome, Error> {
        let Self { cx, wanted, source, tuning } = *self;
        let label = wanted.name.map_or_else(|| source.file_name(), str::to_owned);
        let limit = wanted.request.limits.total;
        let access = &wanted.request.access;
        match source {
            Source::File(path) => read_file(cx, pool, path, &label, hasher, feed),
            Source::Http(url) => {
                let download = Download { cx, pool, url, label, access, tuning, limit, part, hasher };
                Ok(download.run(feed)?)
            }
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
