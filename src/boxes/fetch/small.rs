//! Small documents, whole in memory: catalogues, files of checksums, scripts of provisioners.

use std::time::Instant;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::call::{Caller, Waited, patiently, refused};
use super::{Access, Error, Tuning};
use crate::boxes::source::shown;
use crate::progress::Cx;

/// How many times the patience for the next piece all of a document may take.
const WHOLE: u32 = 10;

/// Downloads `url`, at most `limit` bytes of it.
pub fn small(cx: &Cx, url: &str, limit: u64) -> Result<Vec<u8>, crate::boxes::Error> {
    let tuning = Tuning { tries: 1, ..Tuning::default() };
    document(cx, url, limit, &Access::from_env(), &tuning)
}

/// The same with the user's certificates and tokens; passing troubles are tried again.
pub fn document(
    cx: &Cx,
    url: &str,
    limit: u64,
    access: &Access,
    tuning: &Tuning,
) -> Result<Vec<u8>, crate::boxes::Error> {
    let bad = |why: String| crate::boxes::Error::Source { text: crate::boxes::shown_source(url), why };
    let parsed = Url::parse(url).map_err(|e| bad(e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad("documents come by http and https only".into()));
    }
    Ok(get(cx, &parsed, limit, None, access, tuning)?)
}

/// The same for a URL that was read already, with what we accept.
pub(in crate::boxes) fn get(
    cx: &Cx,
    url: &Url,
    limit: u64,
    accept: Option<&'static str>,
    access: &Access,
    tuning: &Tuning,
) -> Result<Vec<u8>, Error> {
    access.warn(cx, url);
    let caller = Caller::new(cx, access, tuning)?;
    let mut headers = HeaderMap::new();
    if let Some(accept) = accept {
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
    }
    block_on(async {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match whole(&caller, url, &headers, limit, tries).await {
                Err(error) if error.is_passing() && tries < tuning.tries => error,
                other => return other,
            };
            caller.pause(error, tries)?;
        }
    })
}

/// What a `HEAD` says of the content's type; `None` where the server does not answer it.
pub(in crate::boxes) fn content_type(
    cx: &Cx,
    url: &Url,
    access: &Access,
    tuning: &Tuning,
) -> Result<Option<String>, Error> {
    let caller = Caller::new(cx, access, tuning)?;
    let asked = block_on(async { caller.ask(Method::HEAD, url, &HeaderMap::new(), 1).await });
    match asked {
        Ok(response) if response.status().is_success() => {
            let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            Ok(value.map(str::to_ascii_lowercase))
        }
        Err(Error::Interrupted(interrupted)) => Err(interrupted.into()),
        // Whatever it is, the download itself tells it better.
        _ => Ok(None),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Client(e.into()))?;
    let result = runtime.block_on(work);
    // A name that is still being looked up must not hold us.
    runtime.shutdown_background();
    result
}

async fn whole(caller: &Caller<'_>, url: &Url, headers: &HeaderMap, limit: u64, tries: u32) -> Result<Vec<u8>, Error> {
    let mut response = caller.ask(Method::GET, url, headers, tries).await?;
    if response.status() != StatusCode::OK {
        return Err(refused(url, &response));
    }
    let too_large = |size| Error::TooLarge { url: shown(url), size, limit };
    if let Some(size) = response.content_length().filter(|size| *size > limit) {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    let began = Instant::now();
    loop {
        let got = bytes.len() as u64;
        // A server that sends a byte from time to time must not hold us.
        let patience = caller.tuning.stall * WHOLE;
        if began.elapsed() > patience {
            return Err(Error::Slow { url: shown(url), patience, got });
        }
        match patiently(caller.cx, caller.tuning.stall, response.chunk()).await {
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(bytes),
            Ok(Err(_)) => {
                let expected = response.content_length().map_or_else(|| "unknown".into(), |total| total.to_string());
                return Err(Error::Cut { url: shown(url), got, expected, tries });
            }
            Err(Waited::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(Waited::TooLong) => {
                return Err(Error::Stalled { url: shown(url), patience: caller.tuning.stall, got });
            }
        }
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
    }
}
