//! HTTP with one registry, from any thread: waits that end, logins, redirects that lose no secret.
//!
//! One thread drives the sockets; every other one asks and waits here, so the rest of the module is plain code.

mod door;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::login::Login;
use super::reference::is_loopback;
use super::{Error, Options, Reference};
use crate::boxes::fetch::Tuning;
use crate::boxes::name::printable;
use crate::boxes::source::shown;
use crate::progress::Cx;
use crate::store::read_bounded;

/// How often a wait looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// Registries redirect once, to where their blobs lie.
const REDIRECTS: usize = 5;

/// More than any answer to a request for a token, and than any error's words.
const ANSWER_LIMIT: u64 = 256 << 10;

/// A bundle of certificates.
const CERTIFICATES_LIMIT: u64 = 4 << 20;

/// Longer than anybody waits because a server wishes it.
const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// What is done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// What is sent.
pub(super) enum Payload {
    None,
    Bytes(Vec<u8>),
    Form(String),
    /// Made anew for each attempt; the number of bytes is known.
    Stream(Box<dyn FnOnce(Arc<AtomicU64>) -> reqwest::Body + Send>, u64),
}

/// A request.
pub(super) struct Ask {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
}

impl Ask {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new() }
    }

    pub fn header(mut self, name: reqwest::header::HeaderName, value: &str) -> Self {
        // Ours are all ASCII; a digest or media type of a stranger that is not is simply not sent.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// A connection to a registry for one repository.
pub(super) struct Connection {
    pub cx: Cx,
    pub tuning: Tuning,
    reference: Reference,
    access: Access,
    /// Other repositories of the registry from which blobs are taken over.
    also_read: Vec<String>,
    client: Client,
    base: Url,
    insecure: bool,
    login: OnceLock<Option<Login>>,
    logins: super::Logins,
    /// What opens the door at the moment, and how often that has changed.
    key: Mutex<(u64, Option<HeaderValue>)>,
    halted: AtomicBool,
    handle: Handle,
    driver: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.driver.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Connection {
    /// Prepares one; nothing is sent unless it must be found out whether the registry speaks TLS.
    pub fn open(
        cx: &Cx,
        reference: &Reference,
        access: Access,
        also_read: Vec<String>,
        options: &Options,
        tuning: &Tuning,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Client(e.into()))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let _ = runtime.block_on(stopped);
            // A name that is still being looked up must not hold us.
            runtime.shutdown_background();
        });
        let loopback = reference.is_loopback();
        let scheme = if loopback { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/", reference.api_host());
        let base = Url::parse(&base).map_err(|e| Error::Client(e.into()))?;
        let mut connection = Self {
            cx: cx.clone(),
            tuning: tuning.clone(),
            reference: reference.clone(),
            access,
            also_read,
            client: client(options, tuning, loopback)?,
            base,
            insecure: options.insecure,
            login: OnceLock::new(),
            logins: options.logins.clone().unwrap_or_else(super::Logins::from_env),
            key: Mutex::new((0, None)),
            halted: AtomicBool::new(false),
            handle,
            driver: Some((stop, thread)),
        };
        if options.insecure && !loopback {
            connection.find_scheme()?;
        }
        Ok(connection)
    }

    /// With `--insecure` a registry may have no TLS at all; it is asked for TLS first.
    fn find_scheme(&mut self) -> Result<(), Error> {
        let host = self.reference.host().to_owned();
        let ping = Ask::new(Method::GET, self.base.clone());
        let what = match self.once(&ping, Payload::None, None) {
            Err(Error::Connect { .. }) => {
                if self.base.set_scheme("http").is_err() {
                    return Ok(());
                }
                "not encrypted"
            }
            Err(error) => return Err(error),
            Ok(_) => "encrypted, but nobody checked with whom",
        };
        self.cx.warn(format!(
            "the connection to the registry {host} is {what} (--insecure): whoever is on the way can read your login and \
             replace the box"
        ));
        Ok(())
    }

    /// A URL of the registry's interface, below the repository.
    pub fn url(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{rest}", self.reference.repository()));
        url
    }

    /// Where a `Location` of the registry leads.
    pub fn location(&self, response: &Response, from: &Url) -> Result<Url, Error> {
        let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let to = text.and_then(|text| from.join(text).ok());
        let to = to.ok_or_else(|| self.redirect_refused(from, text.unwrap_or_default(), "it leads nowhere"))?;
        let known = matches!(to.scheme(), "http" | "https");
        if !known || to.scheme() == "http" && from.scheme() == "https" && !self.insecure {
            return Err(self.redirect_refused(from, &shown(&to), "it is not encrypted"));
        }
        if is_loopback(&to) && !is_loopback(&self.base) {
            return Err(self.redirect_refused(from, &shown(&to), "it leads into this computer"));
        }
        Ok(to)
    }

    #[expect(clippy::unused_self, reason = "reads as the other refusals of a connection do")]
    fn redirect_refused(&self, from: &Url, to: &str, why: &'static str) -> Error {
        Error::Redirect { url: shown(from), to: printable(to), why }
    }

    /// The other threads stop at their next wait.
    pub fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
    }

    /// `Err` once the work should stop.
    pub fn check(&self) -> Result<(), Error> {
        self.cx.check()?;
        if self.halted.load(Ordering::SeqCst) { Err(Error::Halted) } else { Ok(()) }
    }

    /// Does `work` until it succeeds, or fails in a way that time does not heal.
    pub fn persist<T>(&self, mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut tries = 1;
        loop {
            match work() {
                Err(error) if error.is_passing() && !error.is_nameless() && tries < self.tuning.tries => {
                    self.rest(&error, tries)?;
                }
                other => return other,
            }
            tries += 1;
        }
    }

    /// Between two attempts.
    pub fn rest(&self, error: &Error, tries: u32) -> Result<(), Error> {
        self.check()?;
        self.cx.note(format!("{error}; trying again"));
        let wished = match error {
            Error::Status { after, .. } => after.unwrap_or_default().min(RETRY_LIMIT),
            _ => Duration::ZERO,
        };
        Ok(self.cx.sleep(wished.max(self.tuning.backoff * 2u32.saturating_pow(tries - 1)))?)
    }

    /// Sends a request with what opens the door, and follows redirects where `follow`. The answer's status is the
    /// caller's matter, but 401 and 403.
    pub fn send(&self, ask: Ask, mut payload: impl FnMut() -> Payload, follow: bool) -> Result<Response, Error> {
        let mut ask = ask;
        let mut asked_to_login = false;
        let mut redirects = 0;
        loop {
            let home = same_origin(&ask.url, &self.base);
            let (version, key) = self.key().clone();
            let response = self.once(&ask, payload(), key.filter(|_| home))?;
            let status = response.status();
            match status {
                StatusCode::UNAUTHORIZED if home && !asked_to_login => {
                    asked_to_login = true;
                    self.log_in(&response, version)?;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if home => return Err(self.unauthorized()?),
                _ if status.is_redirection() && follow && response.headers().contains_key(LOCATION) => {
                    redirects += 1;
                    if redirects > REDIRECTS {
                        return Err(self.redirect_refused(&ask.url, "one more place", "these are too many redirects"));
                    }
                    ask.url = self.location(&response, &ask.url)?;
                }
                _ => return Ok(response),
            }
        }
    }

    /// What an unexpected answer says, in the registry's own words.
    pub fn refused(&self, action: &str, response: Response) -> Error {
        let status = response.status().as_u16();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let words = self.body(response, ANSWER_LIMIT).ok().and_then(|bytes| words_of(&bytes));
        let said = words.map(|words| format!(": {words}")).unwrap_or_default();
        Error::Status { action: action.into(), status, said, after }
    }

    /// A whole body, at most `limit` bytes of it.
    pub fn body(&self, mut response: Response, limit: u64) -> Result<Vec<u8>, Error> {
        let url = response.url().clone();
        let what = || shown(&url);
        if let Some(size) = response.content_length().filter(|size| *size > limit) {
            return Err(Error::TooLarge { what: what(), size, limit });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(Error::TooLarge { what: what(), size: bytes.len() as u64, limit });
            }
        }
        Ok(bytes)
    }

    /// The next bytes of a body.
    pub fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, Error> {
        let url = shown(response.url());
        let waited = self.wait(&url, &AtomicU64::new(0), self.tuning.stall, response.chunk())?;
        waited.map_err(|source| Error::Connect { url, source: source.without_url() })
    }

    /// One request and the head of its answer.
    fn once(&self, ask: &Ask, payload: Payload, key: Option<HeaderValue>) -> Result<Response, Error> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut request = self.client.request(ask.method.clone(), ask.url.clone()).headers(ask.headers.clone());
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, key);
        }
        request = match payload {
            Payload::None => request,
            Payload::Bytes(bytes) => request.body(bytes),
            Payload::Form(text) => request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(text),
            Payload::Stream(make, size) => {
                request.header(reqwest::header::CONTENT_LENGTH, size).body(make(Arc::clone(&sent)))
            }
        };
        let url = shown(&ask.url);
        let patience = self.tuning.connect + self.tuning.stall;
        let waited = self.wait(&url, &sent, patience, request.send())?;
        waited.map_err(|source| Error::Connect { url, source: source.without_url() })
    }

    /// Waits for `work`, but not longer than `patience` without a change of `progress`.
    fn wait<F: Future>(
        &self,
        url: &str,
        progress: &AtomicU64,
        patience: Duration,
        work: F,
    ) -> Result<F::Output, Error> {
        self.handle.block_on(async {
            let mut work = std::pin::pin!(work);
            let mut began = Instant::now();
            let mut reached = 0;
            loop {
                self.check()?;
                if let Ok(result) = tokio::time::timeout(TICK.min(patience), &mut work).await {
                    return Ok(result);
                }
                let now = progress.load(Ordering::Relaxed);
                if now != reached {
                    (reached, began) = (now, Instant::now());
                }
                if began.elapsed() >= patience {
                    return Err(Error::Stalled { url: url.into(), patience });
                }
            }
        })
    }

    fn key(&self) -> MutexGuard<'_, (u64, Option<HeaderValue>)> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// `{"errors":[{"message":…}]}`: the first message, for people.
fn words_of(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        message: String,
    }
    let said: Said = serde_json::from_slice(bytes).ok()?;
    let message = said.errors.into_iter().map(|one| one.message).find(|message| !message.is_empty())?;
    Some(printable(&message))
}

/// A client that follows no redirect by itself: each is judged here, and gets no secret.
fn client(options: &Options, tuning: &Tuning, loopback: bool) -> Result<Client, Error> {
    let mut builder = Client::builder()
        .user_agent(concat!("vbox-rs/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        .connect_timeout(tuning.connect)
        .redirect(Policy::none())
        .http2_adaptive_window(true)
        .tls_danger_accept_invalid_certs(options.insecure);
    if loopback {
        builder = builder.no_proxy();
    }
    for path in &options.certificates {
        let text = read_bounded(path, CERTIFICATES_LIMIT)?.unwrap_or_default();
        let bundle = Certificate::from_pem_bundle(&text).map_err(|e| Error::Client(e.into()))?;
        builder = builder.tls_certs_merge(bundle);
    }
    builder.build().map_err(|e| Error::Client(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_at_its_origin() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        for (a, b, same) in [
            ("https://x/v2/", "https://x:443/blob", true),
            ("https://x/v2/", "http://x/blob", false),
            ("https://x/v2/", "https://x:444/blob", false),
            ("https://x/v2/", "https://y/blob", false),
        ] {
            assert_eq!(same_origin(&url(a), &url(b)), same, "{a} {b}");
        }
    }

    #[test]
    fn the_registrys_words_are_shown_without_control_characters() {
        let text = r#"{"errors":[{"code":"DENIED"},{"code":"X","message":"quota\u001b[2J exceeded"}]}"#;
        assert_eq!(words_of(text.as_bytes()).as_deref(), Some("quota?[2J exceeded"));
        assert_eq!(words_of(b"<html>"), None);
    }
}
