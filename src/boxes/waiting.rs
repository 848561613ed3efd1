//! Two processes that want one box: the second waits and shows how far the first is.

use std::path::Path;
use std::time::{Duration, Instant};

use super::error::Error;
use super::fetch::Part;
use super::library::Library;
use super::request::Wanted;
use super::source::Source;
use crate::progress::{Cx, Transfer};
use crate::store::{self, Lock};

/// How often a waiting process looks again for the lock.
const POLL: Duration = Duration::from_millis(50);

/// How often it looks how far the other is.
const LOOK: Duration = Duration::from_millis(100);

impl Library {
    /// One process adds a box at a time. When the other dies, its lock is free and we take over what it left.
    pub(super) fn lock_box(&self, cx: &Cx, wanted: &Wanted<'_>) -> Result<Vec<Lock>, Error> {
        let folder = self.dirs.boxes().join("locks");
        let lock = |id: String| self.wait_for(cx, &folder.join(id), wanted);
        wanted.lock_ids().into_iter().map(lock).collect()
    }

    fn wait_for(&self, cx: &Cx, path: &Path, wanted: &Wanted<'_>) -> Result<Lock, Error> {
        let mut shown: Option<(Transfer, Instant)> = None;
        let mut told = false;
        loop {
            if let Some(lock) = Lock::try_exclusive(path, "box add")? {
                return Ok(lock);
            }
            if wanted.request.no_wait {
                return Err(store::Error::Locked { what: wanted.what(), holder: Lock::holder(path) }.into());
            }
            if !told {
                let holder = Lock::holder(path);
                cx.note(format!("{} is being added by {holder}; waiting for it to end", wanted.what()));
                told = true;
            }
            if shown.as_ref().is_none_or(|(_, looked)| looked.elapsed() >= LOOK)
                && let Some((done, total)) = self.progress_of_another(wanted)
            {
                let bar = shown.take().map(|(bar, _)| bar);
                let mut bar = bar.unwrap_or_else(|| cx.transfer(format!("{} (other process)", wanted.what()), total));
                bar.update(done);
                shown = Some((bar, Instant::now()));
            }
            cx.sleep(POLL)?;
        }
    }

    /// Bytes of the download that another process has at this moment, and bytes in all.
    fn progress_of_another(&self, wanted: &Wanted<'_>) -> Option<(u64, Option<u64>)> {
        let downloads = wanted.sources.iter().filter(|source| matches!(source, Source::Http(_)));
        downloads.map(Source::id).find_map(|id| Part::watch(&self.dirs, &id))
    }
}
