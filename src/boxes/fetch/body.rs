//! One download, with all its attempts.

use std::io::Read;

use reqwest::header::{CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::call::{Caller, Waited, patiently, refused};
use super::limit::http_date;
use super::part::{Part, Validator};
use super::{Access, Error, Tuning};
use crate::boxes::blocks::{BLOCK, Feed, Pool};
use crate::boxes::checksum::Hasher;
use crate::boxes::source::shown;
use crate::progress::{Cx, Interrupted, Transfer};

/// After so many new bytes an attempt counts as a success, so a bad line can be cut any number of times.
const PROGRESS: u64 = 1 << 20;

/// How a download ended without an error.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::boxes) enum Outcome {
    /// All bytes were passed on.
    Complete,
    /// The receiver does not want any more.
    Closed,
    /// The file changed after some of it was passed on: begin anew.
    Changed,
}

/// A download in progress.
pub(in crate::boxes) struct Download<'a> {
    pub cx: &'a Cx,
    pub pool: &'a Pool,
    pub url: &'a Url,
    /// What moves, for people.
    pub label: String,
    pub access: &'a Access,
    pub tuning: &'a Tuning,
    pub limit: u64,
    pub part: &'a mut Option<Part>,
    pub hasher: &'a mut Option<Hasher>,
}

/// What is known about the file while it arrives.
#[derive(Default)]
struct Progress {
    /// Bytes passed on.
    at: u64,
    validator: Validator,
    bar: Option<Transfer>,
    block: Vec<u8>,
}

/// An answer whose body begins at byte `start`.
struct Answer {
    response: Response,
    start: u64,
    validator: Validator,
}

/// Why an attempt ended.
enum Stop {
    Failed(Error),
    Outcome(Outcome),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Interrupted> for Stop {
    fn from(interrupted: Interrupted) -> Self {
        Self::Failed(interrupted.into())
    }
}

impl Download<'_> {
    /// Downloads into `feed`. Blocks; meant for a thread of its own.
    pub fn run(mut self, feed: Feed) -> Result<Outcome, Error> {
        self.access.warn(self.cx, self.url);
        let caller = Caller::new(self.cx, self.access, self.tuning)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Client(e.into()))?;
        let mut progress = Progress { block: self.pool.take(), ..Progress::default() };
        let result = runtime.block_on(self.attempts(&caller, &feed, &mut progress));
        // A name that is still being looked up must not hold us.
        runtime.shutdown_background();
        let outcome = match result {
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Outcome(outcome)) => outcome,
            Ok(()) => Outcome::Complete,
        };
        if outcome == Outcome::Complete && feed.end().is_err() {
            return Ok(Outcome::Closed);
        }
        Ok(outcome)
    }

    async fn attempts(&mut self, caller: &Caller<'_>, feed: &Feed, progress: &mut Progress) -> Result<(), Stop> {
        let (mut tries, mut reached) = (0, 0);
        loop {
            tries += 1;
            let error = match self.attempt(caller, feed, progress, tries).await {
                Err(Stop::Failed(error)) if error.is_passing() => error,
                // It was known a moment ago: the network is gone for a while.
                Err(Stop::Failed(error @ Error::Nameless { .. })) if progress.at > 0 => error,
                other => return other,
            };
            if progress.at >= reached + PROGRESS {
                (reached, tries) = (progress.at, 1);
            }
            if tries >= self.tuning.tries {
                return Err(error.into());
            }
            caller.pause(error, tries)?;
        }
    }

    async fn attempt(
        &mut self,
        caller: &Caller<'_>,
        feed: &Feed,
        progress: &mut Progress,
        tries: u32,
    ) -> Result<(), Stop> {
        let mut answer = self.ask(caller, progress, tries).await?;
        self.begin(&answer, feed, progress)?;
        let mut skip = progress.at - answer.start.min(progress.at);
        let ended = loop {
            let chunk = patiently(self.cx, self.tuning.stall, answer.response.chunk()).await;
            let chunk = match chunk {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break Ok(()),
                Ok(Err(_)) => break Err(None),
                Err(Waited::Interrupted(interrupted)) => break Err(Some(Stop::from(interrupted))),
                Err(Waited::TooLong) => {
                    let (url, patience) = (shown(self.url), self.tuning.stall);
                    break Err(Some(Error::Stalled { url, patience, got: progress.reached() }.into()));
                }
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            self.take(&chunk[known..], feed, progress)?;
        };
        // Also after a cut: what has arrived is not fetched again.
        self.flush(feed, progress)?;
        match ended {
            Err(Some(stop)) => return Err(stop),
            Ok(()) if progress.validator.total.is_none_or(|total| total == progress.at) => return Ok(()),
            Ok(()) | Err(None) => {}
        }
        let expected = progress.validator.total.map_or_else(|| "unknown".into(), |total| total.to_string());
        Err(Error::Cut { url: shown(self.url), got: progress.at, expected, tries }.into())
    }

    /// Sends the request for what is missing, and a plain one when the server cannot serve that.
    async fn ask(&mut self, caller: &Caller<'_>, progress: &mut Progress, tries: u32) -> Result<Answer, Stop> {
        let fresh = progress.at == 0;
        let known = match self.part.as_ref() {
            Some(part) if fresh => part.validator().clone(),
            _ => progress.validator.clone(),
        };
        let have = if fresh { self.part.as_ref().map_or(0, Part::length) } else { progress.at };
        // With all of it here the last byte is asked for again: that proves that it is still the same file.
        let from = if known.total == Some(have) { have.saturating_sub(1) } else { have };
        if from > 0 {
            let response = caller.ask(Method::GET, self.url, &ranged(from, &known), tries).await?;
            let total = response.content_length();
            let status = response.status();
            let validator = Validator { total, ..validator(response.headers()) };
            if status == StatusCode::PARTIAL_CONTENT {
                let (start, total) = content_range(response.headers()).unwrap_or((u64::MAX, None));
                let validator = Validator { total: total.or(known.total), ..validator };
                if start == from && known.agrees_with(&validator) {
                    let validator = Validator { total: validator.total, ..known };
                    return Ok(Answer { response, start, validator });
                }
            } else if status == StatusCode::OK && (fresh || known.agrees_with(&validator) && total.is_some()) {
                // The server sends all of it; what was passed on already is skipped.
                self.forget_part(fresh)?;
                return Ok(Answer { response, start: 0, validator });
            } else if !matches!(status, StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE) {
                return Err(refused(self.url, &response).into());
            }
            if !fresh {
                return Err(Stop::Outcome(Outcome::Changed));
            }
            self.forget_part(fresh)?;
        }
        let response = caller.ask(Method::GET, self.url, &HeaderMap::new(), tries).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(self.url, &response).into());
        }
        let validator = Validator { total: response.content_length(), ..validator(response.headers()) };
        Ok(Answer { response, start: 0, validator })
    }

    /// The part in the cache is of no use.
    fn forget_part(&mut self, fresh: bool) -> Result<(), Stop> {
        self.cx.check()?;
        if fresh && self.part.as_mut().is_some_and(|part| part.reset(Validator::default()).is_err()) {
            self.drop_part();
        }
        Ok(())
    }

    /// Before the first byte of a body: the progress bar, and what an earlier run left.
    fn begin(&mut self, answer: &Answer, feed: &Feed, progress: &mut Progress) -> Result<(), Stop> {
        let total = answer.validator.total;
        if let Some(size) = total.filter(|size| *size > self.limit) {
            return Err(Error::TooLarge { url: shown(self.url), size, limit: self.limit }.into());
        }
        if progress.bar.is_none() {
            progress.bar = Some(self.cx.transfer(self.label.clone(), total));
        }
        progress.validator = answer.validator.clone();
        if progress.at > 0 {
            return Ok(());
        }
        if answer.start > 0 {
            return self.replay(feed, progress);
        }
        if self.part.as_mut().is_some_and(|part| part.reset(answer.validator.clone()).is_err()) {
            self.drop_part();
        }
        Ok(())
    }

    /// Passes on what an earlier run left.
    fn replay(&mut self, feed: &Feed, progress: &mut Progress) -> Result<(), Stop> {
        let Some(part) = self.part.as_ref() else { return Ok(()) };
        self.cx.note(format!("going on with the download at {} MiB", part.length() >> 20));
        let changed = |_| Stop::Outcome(Outcome::Changed);
        let mut from = part.read().map_err(changed)?;
        let mut left = part.length();
        while left > 0 {
            let block = self.pool.fill(&mut from as &mut dyn Read).map_err(changed)?;
            if block.is_empty() {
                return Err(Stop::Outcome(Outcome::Changed));
            }
            left -= block.len() as u64;
            pass(self.cx, self.hasher, block, feed, progress)?;
        }
        Ok(())
    }

    /// Collects a chunk into blocks.
    fn take(&mut self, mut chunk: &[u8], feed: &Feed, progress: &mut Progress) -> Result<(), Stop> {
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(BLOCK - progress.block.len()));
            progress.block.extend_from_slice(now);
            chunk = later;
            if progress.block.len() == BLOCK {
                self.flush(feed, progress)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, feed: &Feed, progress: &mut Progress) -> Result<(), Stop> {
        if progress.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut progress.block, self.pool.take());
        if let Some(Err(error)) = self.part.as_mut().map(|part| part.append(&block)) {
            self.cx.note(format!("the download is not kept for a later run: {error}"));
            self.drop_part();
        }
        let size = progress.at + block.len() as u64;
        if size > self.limit {
            return Err(Error::TooLarge { url: shown(self.url), size, limit: self.limit }.into());
        }
        pass(self.cx, self.hasher, block, feed, progress)
    }

    fn drop_part(&mut self) {
        if let Some(part) = self.part.take() {
            part.discard();
        }
    }
}

impl Progress {
    /// Bytes that arrived, passed on or not.
    fn reached(&self) -> u64 {
        self.at + self.block.len() as u64
    }
}

/// Hashes a block and passes it on.
fn pass(
    cx: &Cx,
    hasher: &mut Option<Hasher>,
    block: Vec<u8>,
    feed: &Feed,
    progress: &mut Progress,
) -> Result<(), Stop> {
    cx.check()?;
    if let Some(hasher) = hasher {
        hasher.update(&block);
    }
    progress.at += block.len() as u64;
    if let Some(bar) = &mut progress.bar {
        bar.update(progress.at);
    }
    feed.send(block).map_err(|_| Stop::Outcome(Outcome::Closed))
}

fn validator(headers: &HeaderMap) -> Validator {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= 500).then(|| value.to_owned())
    };
    let last_modified = text(LAST_MODIFIED);
    let moments = last_modified.as_deref().and_then(http_date).zip(text(DATE).as_deref().and_then(http_date));
    let strong_date = moments.is_some_and(|(modified, now)| modified < now);
    Validator { etag: text(ETAG), last_modified, strong_date, total: None }
}

/// Headers that ask for what is missing of the file that we know.
fn ranged(from: u64, known: &Validator) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, HeaderValue::from_str(&format!("bytes={from}-")).unwrap_or(HeaderValue::from_static("")));
    if let Some(tag) = known.if_range().and_then(|tag| HeaderValue::from_str(tag).ok()) {
        headers.insert(IF_RANGE, tag);
    }
    headers
}

/// `bytes START-END/TOTAL`: the start, and the total where it is told.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 5-9/*", Some((5, None))),
            ("bytes */10", None),
            ("bytes x-9/10", None),
            ("5-9/10", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            assert_eq!(content_range(&headers), expected, "{text}");
        }
    }
}
