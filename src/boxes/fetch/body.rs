//! One download, with all its attempts.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};

use super::part::{Part, Validator};
use super::{Error, MAX_REDIRECTS, Tuning};
use crate::boxes::blocks::{BLOCK, Feed, Pool};
use crate::boxes::checksum::Hasher;
use crate::boxes::source::shown;
use crate::progress::{Cx, Interrupted, Transfer};

/// How often a wait looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

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
        let client = client(self.tuning)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Client(e.into()))?;
        let mut progress = Progress { block: self.pool.take(), ..Progress::default() };
        let result = runtime.block_on(self.attempts(&client, &feed, &mut progress));
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

    async fn attempts(&mut self, client: &Client, feed: &Feed, progress: &mut Progress) -> Result<(), Stop> {
        let (mut tries, mut reached) = (0, 0);
        loop {
            tries += 1;
            let error = match self.attempt(client, feed, progress, tries).await {
                Err(Stop::Failed(error)) if error.is_passing() => error,
                other => return other,
            };
            if progress.at >= reached + PROGRESS {
                (reached, tries) = (progress.at, 1);
            }
            if tries >= self.tuning.tries {
                return Err(error.into());
            }
            self.cx.note(format!("{error}; trying again"));
            self.cx.sleep(self.tuning.backoff * 2u32.saturating_pow(tries - 1))?;
        }
    }

    async fn attempt(&mut self, client: &Client, feed: &Feed, progress: &mut Progress, tries: u32) -> Result<(), Stop> {
        let mut answer = self.ask(client, progress, tries).await?;
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
    async fn ask(&mut self, client: &Client, progress: &mut Progress, tries: u32) -> Result<Answer, Stop> {
        let fresh = progress.at == 0;
        let known = match self.part.as_ref() {
            Some(part) if fresh => part.validator().clone(),
            _ => progress.validator.clone(),
        };
        let have = if fresh { self.part.as_ref().map_or(0, Part::length) } else { progress.at };
        // With all of it here the last byte is asked for again: that proves that it is still the same file.
        let from = if known.total == Some(have) { have.saturating_sub(1) } else { have };
        if from > 0 {
            let mut request = client.get(self.url.clone()).header(RANGE, format!("bytes={from}-"));
            if let Some(tag) = known.if_range() {
                request = request.header(IF_RANGE, tag);
            }
            let response = self.send(request, tries).await?;
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
                return Err(self.refused(&response).into());
            }
            if !fresh {
                return Err(Stop::Outcome(Outcome::Changed));
            }
            self.forget_part(fresh)?;
        }
        let response = self.send(client.get(self.url.clone()), tries).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(&response).into());
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

    async fn send(&self, request: reqwest::RequestBuilder, tries: u32) -> Result<Response, Stop> {
        let url = shown(self.url);
        match patiently(self.cx, self.tuning.connect + self.tuning.stall, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(connect_error(url, error, tries).into()),
            Err(Waited::Interrupted(interrupted)) => Err(interrupted.into()),
            Err(Waited::TooLong) => Err(Error::Stalled { url, patience: self.tuning.stall, got: 0 }.into()),
        }
    }

    fn refused(&self, response: &Response) -> Error {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or("(no reason given)");
        Error::Status { url: shown(self.url), status: status.as_u16(), reason }
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

/// Why a wait ended without a result.
pub(super) enum Waited {
    Interrupted(Interrupted),
    TooLong,
}

/// Waits for `work`, but not longer than `patience`, and stops when the user wants to.
pub(super) async fn patiently<F: Future>(cx: &Cx, patience: Duration, work: F) -> Result<F::Output, Waited> {
    let mut work = pin!(work);
    let began = Instant::now();
    loop {
        cx.check().map_err(Waited::Interrupted)?;
        if let Ok(result) = tokio::time::timeout(TICK.min(patience), &mut work).await {
            return Ok(result);
        }
        if began.elapsed() >= patience {
            return Err(Waited::TooLong);
        }
    }
}

/// A client that sends no more than it must: no referer, no cookies.
pub(super) fn client(tuning: &Tuning) -> Result<Client, Error> {
    Client::builder()
        .user_agent(concat!("vbox-rs/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        .connect_timeout(tuning.connect)
        .redirect(Policy::custom(judge_redirect))
        .http2_adaptive_window(true)
        .build()
        .map_err(|e| Error::Client(e.into()))
}

/// Why a redirect is not followed; travels inside of reqwest's error.
#[derive(Debug, thiserror::Error)]
enum BadRedirect {
    #[error("too many redirects")]
    TooMany,
    #[error("redirect to {0}, which is not encrypted")]
    Downgrade(String),
    #[error("redirect to {0}")]
    Elsewhere(String),
}

fn judge_redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    match bad_redirect(attempt.previous(), attempt.url()) {
        Some(bad) => attempt.error(bad),
        None => attempt.follow(),
    }
}

fn bad_redirect(previous: &[Url], to: &Url) -> Option<BadRedirect> {
    let was_https = previous.last().is_some_and(|url| url.scheme() == "https");
    match to.scheme() {
        _ if previous.len() > MAX_REDIRECTS => Some(BadRedirect::TooMany),
        "http" if was_https => Some(BadRedirect::Downgrade(shown(to))),
        "http" | "https" => None,
        _ => Some(BadRedirect::Elsewhere(shown(to))),
    }
}

pub(super) fn connect_error(url: String, error: reqwest::Error, tries: u32) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        match inner.downcast_ref() {
            Some(BadRedirect::TooMany) => return Error::Redirects { url },
            Some(BadRedirect::Downgrade(to)) => return Error::Downgrade { url, to: to.clone() },
            Some(BadRedirect::Elsewhere(to)) => return Error::Elsewhere { url, to: to.clone() },
            None => cause = inner.source(),
        }
    }
    // reqwest would show the URL with its query.
    Error::Connect { url, tries, source: error.without_url() }
}

fn validator(headers: &HeaderMap) -> Validator {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= 500).then(|| value.to_owned())
    };
    Validator { etag: text(ETAG), last_modified: text(LAST_MODIFIED), total: None }
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
    fn redirects_are_bounded_and_never_lose_encryption() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let judged = |from: &str, to: &str| bad_redirect(&[url(from)], &url(to)).map(|bad| bad.to_string());
        assert_eq!(judged("http://a/x", "https://b/x"), None);
        assert_eq!(judged("https://a/x", "https://b/x"), None);
        assert_eq!(judged("http://a/x", "http://b/x"), None);
        assert_eq!(
            judged("https://a/x", "http://u:p@b/x?k=1").unwrap(),
            "redirect to http://b/x, which is not encrypted"
        );
        assert_eq!(judged("https://a/x", "file:///etc/passwd").unwrap(), "redirect to file:///etc/passwd");
        assert!(matches!(bad_redirect(&vec![url("http://a"); 11], &url("http://a")), Some(BadRedirect::TooMany)));
    }

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
