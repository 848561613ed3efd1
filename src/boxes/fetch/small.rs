//! Small texts, whole in memory: scripts of provisioners.

use reqwest::{Client, StatusCode, Url};

use super::body::{Waited, client, connect_error, patiently};
use super::{Error, Tuning};
use crate::boxes::source::shown;
use crate::progress::Cx;

/// Downloads `url`, at most `limit` bytes of it.
pub fn small(cx: &Cx, url: &str, limit: u64) -> Result<Vec<u8>, crate::boxes::Error> {
    let bad = |why: String| crate::boxes::Error::Source { text: crate::boxes::shown_source(url), why };
    let parsed = Url::parse(url).map_err(|e| bad(e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad("scripts come by http and https only".into()));
    }
    let tuning = Tuning::default();
    let client = client(&tuning)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Client(e.into()))?;
    let result = runtime.block_on(get(cx, &client, &parsed, limit, &tuning));
    runtime.shutdown_background();
    Ok(result?)
}

async fn get(cx: &Cx, client: &Client, url: &Url, limit: u64, tuning: &Tuning) -> Result<Vec<u8>, Error> {
    let stalled = |waited, got| match waited {
        Waited::Interrupted(interrupted) => Error::Interrupted(interrupted),
        Waited::TooLong => Error::Stalled { url: shown(url), patience: tuning.stall, got },
    };
    let lost = |error| connect_error(shown(url), error, 1);
    let sent = patiently(cx, tuning.connect + tuning.stall, client.get(url.clone()).send()).await;
    let mut response = sent.map_err(|waited| stalled(waited, 0))?.map_err(lost)?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or("(no reason given)");
        return Err(Error::Status { url: shown(url), status: status.as_u16(), reason });
    }
    let mut bytes = Vec::new();
    loop {
        let chunk = patiently(cx, tuning.stall, response.chunk()).await;
        match chunk.map_err(|waited| stalled(waited, bytes.len() as u64))?.map_err(lost)? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => return Ok(bytes),
        }
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { url: shown(url), size: bytes.len() as u64, limit });
        }
    }
}
