//! The part of the distribution specification that boxes need: manifests, blobs, uploads.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use super::blob::Blob;
use super::connection::{Ask, Connection, Payload};
use super::document::{Descriptor, Document, MANIFEST_LIMIT};
use super::{Digest, Error, Meter, Reference, media};
use crate::boxes::checksum::hex;

/// How much of a file is sent at once.
const SEND: usize = 256 << 10;

/// A manifest or index that was fetched.
pub(super) struct Fetched {
    pub document: Document,
    pub digest: Digest,
    pub size: u64,
}

/// Bytes, and as what they were sent.
type Typed = (Vec<u8>, Option<String>);

/// Digest of bytes that we have.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::of(&hex(&Sha256::digest(bytes)))
}

/// Where an upload's bytes come from.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    File(&'a File, u64),
}

impl Content<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    fn payload(&self) -> Result<Payload, Error> {
        let Self::File(file, size) = *self else {
            let Self::Bytes(bytes) = self else { return Ok(Payload::None) };
            return Ok(Payload::Bytes(bytes.to_vec()));
        };
        let file = file.try_clone().map_err(|e| crate::store::Error::io("read", "a layer", e))?;
        let make = move |sent: Arc<_>| {
            let mut at = 0;
            let blocks = std::iter::from_fn(move || {
                let amount = usize::try_from(size - at).unwrap_or(SEND).min(SEND);
                if amount == 0 {
                    return None;
                }
                let mut block = vec![0; amount];
                let read = file.read_exact_at(&mut block, at);
                at += amount as u64;
                std::sync::atomic::AtomicU64::store(&sent, at, Ordering::Relaxed);
                Some(read.map(|()| block))
            });
            reqwest::Body::wrap_stream(futures_util::stream::iter(blocks))
        };
        Ok(Payload::Stream(Box::new(make), size))
    }
}

impl Connection {
    /// What a tag or digest leads to; `None` where there is nothing.
    pub fn manifest(&self, asked: &str, from: &Reference) -> Result<Option<Fetched>, Error> {
        let Some((bytes, sent)) = self.persist(|| self.manifest_bytes(asked))? else { return Ok(None) };
        let digest = digest_of(&bytes);
        if let Ok(expected) = asked.parse::<Digest>()
            && expected != digest
        {
            return Err(Error::Mismatch { what: format!("the manifest at {from}"), expected, found: digest });
        }
        let document =
            Document::parse(&bytes, sent.as_deref()).map_err(|why| Error::Artifact { from: from.to_string(), why })?;
        Ok(Some(Fetched { document, digest, size: bytes.len() as u64 }))
    }

    fn manifest_bytes(&self, asked: &str) -> Result<Option<Typed>, Error> {
        let ask = Ask::new(Method::GET, self.url(&format!("manifests/{asked}"))).header(ACCEPT, media::ACCEPT);
        let response = self.send(ask, || Payload::None, true)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refused("read the manifest", response)),
        }
        let sent = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Some((self.body(response, MANIFEST_LIMIT)?, sent)))
    }

    /// A small blob, whole.
    pub fn small_blob(&self, what: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        if what.size > limit {
            return Err(Error::TooLarge { what: format!("the blob {}", what.digest), size: what.size, limit });
        }
        let meter = Meter::silent();
        let mut bytes = Vec::new();
        Blob::new(self, &meter, what).read_to_end(&mut bytes).map_err(|error| match Error::from_io(error) {
            Ok(error) => error,
            Err(error) => crate::store::Error::io("read", "a blob", error).into(),
        })?;
        Ok(bytes)
    }

    /// Whether the repository has the blob.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let ask = || Ask::new(Method::HEAD, self.url(&format!("blobs/{digest}")));
        self.persist(|| {
            let response = self.send(ask(), || Payload::None, true)?;
            match response.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.refused("look for a layer", response)),
            }
        })
    }

    /// Uploads a blob, or has it taken over from the registry's repository `from`. Returns the bytes that were sent.
    pub fn upload(&self, digest: &Digest, content: Content<'_>, from: Option<&str>) -> Result<u64, Error> {
        self.persist(|| {
            let Some(mut to) = self.begin_upload(digest, from)? else { return Ok(0) };
            to.query_pairs_mut().append_pair("digest", &digest.to_string());
            let ask = Ask::new(Method::PUT, to).header(CONTENT_TYPE, "application/octet-stream");
            let mut failed = None;
            let payload = || {
                content.payload().unwrap_or_else(|error| {
                    failed = Some(error);
                    Payload::None
                })
            };
            let response = self.send(ask, payload, false)?;
            if let Some(error) = failed {
                return Err(error);
            }
            match response.status() {
                StatusCode::CREATED | StatusCode::NO_CONTENT | StatusCode::ACCEPTED => Ok(content.size()),
                _ => Err(self.refused("upload a layer", response)),
            }
        })
    }

    /// Where the bytes go; `None` when the registry has them already.
    fn begin_upload(&self, digest: &Digest, from: Option<&str>) -> Result<Option<Url>, Error> {
        let mut url = self.url("blobs/uploads/");
        if let Some(from) = from {
            let digest = digest.to_string();
            url.query_pairs_mut().extend_pairs([("mount", digest.as_str()), ("from", from)]);
        }
        let response = self.send(Ask::new(Method::POST, url.clone()), || Payload::None, false)?;
        match response.status() {
            StatusCode::CREATED if from.is_some() => Ok(None),
            StatusCode::ACCEPTED => Ok(Some(self.location(&response, &url)?)),
            _ => Err(self.refused("begin an upload", response)),
        }
    }

    /// Puts a manifest or index under a tag or its digest.
    pub fn put_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<(), Error> {
        let ask = || Ask::new(Method::PUT, self.url(&format!("manifests/{name}"))).header(CONTENT_TYPE, media_type);
        self.persist(|| {
            let response: Response = self.send(ask(), || Payload::Bytes(bytes.to_vec()), false)?;
            match response.status() {
                StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
                _ => Err(self.refused("write the manifest", response)),
            }
        })
    }
}
