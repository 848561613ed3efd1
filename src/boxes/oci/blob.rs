//! A blob as a stream of bytes that are what the manifest promises: cut transfers go on, length and digest are checked.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::connection::{Ask, Connection, Payload};
use super::document::Descriptor;
use super::{Digest, Error, Meter};
use crate::boxes::checksum::hex;
use crate::boxes::source::shown;

/// After so many new bytes an attempt counts as a success, so a bad line can be cut any number of times.
const PROGRESS: u64 = 1 << 20;

/// A blob that arrives.
pub(super) struct Blob<'a> {
    connection: &'a Connection,
    meter: &'a Meter,
    what: &'a Descriptor,
    response: Option<Response>,
    chunk: Bytes,
    /// Bytes that came, in `chunk` or passed on.
    at: u64,
    hasher: Sha256,
    tries: u32,
    /// Where the last attempts began.
    reached: u64,
    checked: bool,
}

impl<'a> Blob<'a> {
    /// Nothing is asked for before the first byte is wanted.
    pub fn new(connection: &'a Connection, meter: &'a Meter, what: &'a Descriptor) -> Self {
        Self {
            connection,
            meter,
            what,
            response: None,
            chunk: Bytes::new(),
            at: 0,
            hasher: Sha256::new(),
            tries: 0,
            reached: 0,
            checked: false,
        }
    }

    /// Reads what is left, so that the digest is known.
    pub fn drain(&mut self) -> Result<(), Error> {
        loop {
            self.chunk.clear();
            if !self.more()? {
                return Ok(());
            }
        }
    }

    /// Gets the next chunk; false at the end, where all is checked.
    fn more(&mut self) -> Result<bool, Error> {
        while self.at < self.what.size {
            match self.next_chunk() {
                Ok(Some(chunk)) => {
                    self.at += chunk.len() as u64;
                    if self.at > self.what.size {
                        return Err(self.wrong_length(self.at));
                    }
                    self.hasher.update(&chunk);
                    self.meter.add(chunk.len() as u64);
                    self.chunk = chunk;
                    return Ok(true);
                }
                Ok(None) => self.again(None)?,
                Err(error) if error.is_passing() => self.again(Some(error))?,
                Err(error) => return Err(error),
            }
        }
        if !self.checked {
            self.check_end()?;
        }
        Ok(false)
    }

    /// The connection ended; `error` says why, where it did not merely close.
    fn again(&mut self, error: Option<Error>) -> Result<(), Error> {
        self.response = None;
        if self.at >= self.reached + PROGRESS {
            (self.reached, self.tries) = (self.at, 1);
        }
        let url = shown(&self.connection.url(&format!("blobs/{}", self.what.digest)));
        let (got, size, tries) = (self.at, self.what.size, self.tries);
        let cut = Error::Cut { url, got, size, tries };
        if tries >= self.connection.tuning.tries {
            // Of a transfer that had begun, the cut tells more than the last attempt to go on.
            return Err(if got > 0 { cut } else { error.unwrap_or(cut) });
        }
        self.connection.rest(&error.unwrap_or(cut), tries)
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self.response.is_none() {
            self.tries += 1;
            if let Some(first) = self.open()? {
                return Ok(Some(first));
            }
        }
        match &mut self.response {
            Some(response) => self.connection.chunk(response),
            None => Ok(None),
        }
    }

    /// Asks for what is missing. A server that knows no ranges sends all of it; what is known is skipped, and what of
    /// that chunk is new is returned.
    fn open(&mut self) -> Result<Option<Bytes>, Error> {
        let mut ask = Ask::new(Method::GET, self.connection.url(&format!("blobs/{}", self.what.digest)));
        if self.at > 0 {
            ask = ask.header(RANGE, &format!("bytes={}-", self.at));
        }
        let mut response = self.connection.send(ask, || Payload::None, true)?;
        let mut skip = match response.status() {
            StatusCode::OK => self.at,
            StatusCode::PARTIAL_CONTENT if self.at > 0 && starts_at(&response, self.at) => 0,
            StatusCode::NOT_FOUND => {
                return Err(Error::NotFound { what: format!("layer {} in the registry", self.what.digest) });
            }
            _ => return Err(self.connection.refused("read a layer", response)),
        };
        if let Some(length) = response.content_length() {
            let whole = length + if skip == 0 { self.at } else { 0 };
            if whole != self.what.size {
                return Err(self.wrong_length(whole));
            }
        }
        while skip > 0 {
            let Some(mut chunk) = self.connection.chunk(&mut response)? else { return Ok(None) };
            let known = skip.min(chunk.len() as u64);
            chunk.advance(usize::try_from(known).unwrap_or(usize::MAX));
            skip -= known;
            if !chunk.is_empty() {
                self.response = Some(response);
                return Ok(Some(chunk));
            }
        }
        self.response = Some(response);
        Ok(None)
    }

    fn check_end(&mut self) -> Result<(), Error> {
        // A chunked answer may hold more than it should.
        if let Some(response) = &mut self.response
            && let Ok(Some(more)) = self.connection.chunk(response)
            && !more.is_empty()
        {
            return Err(self.wrong_length(self.at + more.len() as u64));
        }
        let found = Digest::of(&hex(&std::mem::take(&mut self.hasher).finalize()));
        if found != self.what.digest {
            let what = format!("a layer of {} bytes", self.what.size);
            return Err(Error::Mismatch { what, expected: self.what.digest.clone(), found });
        }
        self.checked = true;
        Ok(())
    }

    fn wrong_length(&self, found: u64) -> Error {
        let what = format!("the layer {}", self.what.digest);
        Error::Length { what, expected: self.what.size, found }
    }
}

fn starts_at(response: &Response, at: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {at}-")))
}

impl BufRead for Blob<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            self.more().map_err(Error::into_io)?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount.min(self.chunk.len()));
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let amount = self.fill_buf()?.read(into)?;
        self.consume(amount);
        Ok(amount)
    }
}
