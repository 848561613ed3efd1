//! One request with its redirects.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::access::Login;
use super::limit::retry_after;
use super::{Access, Error, MAX_REDIRECTS, Tuning};
use crate::boxes::source::shown;
use crate::progress::{Cx, Interrupted};

/// How often a wait looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// A server that asks for more is left alone, and the user told when to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What every request of a download has in common.
pub(super) struct Caller<'a> {
    pub cx: &'a Cx,
    pub client: Client,
    pub access: &'a Access,
    pub tuning: &'a Tuning,
}

impl<'a> Caller<'a> {
    pub fn new(cx: &'a Cx, access: &'a Access, tuning: &'a Tuning) -> Result<Self, Error> {
        Ok(Self { cx, client: access.client(tuning)?, access, tuning })
    }

    /// Asks for `url` and follows redirects. The login stays with the first server, unless the user trusts the others.
    pub async fn ask(&self, method: Method, url: &Url, headers: &HeaderMap, tries: u32) -> Result<Response, Error> {
        let mut login = self.access.login(url);
        let mut at = bare(url);
        let mut hops = 0;
        loop {
            let response = self.once(&method, &at, headers, login.as_ref(), tries).await?;
            // An expired token makes even public boxes fail.
            if response.status() == StatusCode::UNAUTHORIZED && matches!(login, Some(Login::Bearer(_))) {
                self.cx.warn(format!("{} refuses our token; asking without it", at.host_str().unwrap_or_default()));
                login = None;
                continue;
            }
            let Some(next) = redirected(&response) else { return Ok(response) };
            hops += 1;
            let next = judged(url, &at, &next, hops)?;
            if next.origin() != at.origin() && !self.access.location_trusted {
                login = None;
            }
            at = bare(&next);
        }
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        login: Option<&Login>,
        tries: u32,
    ) -> Result<Response, Error> {
        let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
        if let Some(login) = login {
            request = login.put(request);
        }
        match patiently(self.cx, self.tuning.connect + self.tuning.stall, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Error::unreached(url, tries, error)),
            Err(Waited::Interrupted(interrupted)) => Err(interrupted.into()),
            Err(Waited::TooLong) => Err(Error::Stalled { url: shown(url), patience: self.tuning.stall, got: 0 }),
        }
    }
}

impl Caller<'_> {
    /// Rests before the next attempt: as long as the server asks for, where that is not too long for a person.
    pub fn pause(&self, error: Error, tries: u32) -> Result<(), Error> {
        let backoff = self.tuning.backoff * 2u32.saturating_pow(tries.saturating_sub(1));
        let time = match error.wait() {
            Some(wait) if wait.time > LONGEST_WAIT => return Err(error),
            Some(wait) => {
                self.cx.note(format!("{error}; trying again in {wait}, as it asks for"));
                wait.time.max(backoff)
            }
            None => {
                self.cx.note(format!("{error}; trying again"));
                backoff
            }
        };
        Ok(self.cx.sleep(time)?)
    }
}

/// The error that a status stands for.
pub(super) fn refused(url: &Url, response: &Response) -> Error {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("(no reason given)");
    let wait = retry_after(response.headers());
    Error::Status { url: shown(url), status: status.as_u16(), reason, wait }
}

/// Without login and fragment: the login travels in a header.
fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for URLs without a host, which carry neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}

fn redirected(response: &Response) -> Option<String> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let to = response.headers().get(LOCATION).filter(|_| follows)?;
    Some(String::from_utf8_lossy(to.as_bytes()).into_owned())
}

/// Where a redirect leads to, if it may lead there.
fn judged(first: &Url, from: &Url, to: &str, hops: usize) -> Result<Url, Error> {
    let url = shown(first);
    if hops > MAX_REDIRECTS {
        return Err(Error::Redirects { url });
    }
    let Ok(to) = from.join(to) else {
        return Err(Error::Elsewhere { url, to: "something that is no URL".into() });
    };
    match to.scheme() {
        "http" if from.scheme() == "https" => Err(Error::Downgrade { url, to: shown(&to) }),
        "http" | "https" => Ok(to),
        _ => Err(Error::Elsewhere { url, to: shown(&to) }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_bounded_and_never_lose_encryption() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let judge = |from: &str, to: &str| judged(&url(from), &url(from), to, 1);
        let told = |from: &str, to: &str| judge(from, to).unwrap_err().to_string();
        for (from, to, leads) in [
            ("http://a/x", "https://b/x", "https://b/x"),
            ("https://a/x/y", "z?q", "https://a/x/z?q"),
            ("https://a/x", "//b/y", "https://b/y"),
            ("http://a/x", "http://b/x", "http://b/x"),
        ] {
            assert_eq!(judge(from, to).unwrap(), url(leads));
        }
        assert!(told("https://a/x", "http://u:p@b/x?k=1").ends_with("redirects to http://b/x, which is not encrypted"));
        assert!(told("https://a/x", "file:///etc/passwd").ends_with("cannot be redirected to file:///etc/passwd"));
        assert!(matches!(judged(&url("http://a"), &url("http://a"), "/", 11), Err(Error::Redirects { .. })));
    }
}
