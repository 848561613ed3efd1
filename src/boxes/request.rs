//! What `box add` is asked for, and whether it makes sense.

use std::fs;
use std::path::Path;

use super::checksum::{Checksum, sha256_of};
use super::error::Error;
use super::fetch::{Access, Tuning};
use super::manifest::Verified;
use super::offer::Offer;
use super::receive::Limits;
use super::source::{Source, looks_like_name, shown_source};
use super::version::Version;
use super::{PROVIDERS, metadata, name, oci};
use crate::progress::Cx;
use crate::store::Dirs;

/// Finds what the image of an offer must hash to (its publisher may say it in a signed file), and how far that is known.
pub type Expect = fn(&Cx, &Dirs, &Access, &Offer) -> Result<(Option<Checksum>, Verified), Error>;

/// What `box add` is asked for.
#[derive(Clone, Debug, Default)]
pub struct AddRequest {
    /// File or URL of a `.box` or of a disk image. Not looked at where there is an offer.
    pub source: String,
    /// What somebody publishes (see `find`).
    pub offer: Option<Offer>,
    /// What its publisher has now, for when the offer's own file is gone: taken in order, and never silently.
    pub stand_ins: Vec<Offer>,
    /// The document that the offer stands in, without secrets: there newer versions are looked for.
    pub catalogue: Option<String>,
    /// Its name; the offer's, the box's own, else the file's, where left out.
    pub name: Option<String>,
    /// Its version; the offer's, the box's own, else `0`, where left out.
    pub version: Option<String>,
    /// What the source must hash to.
    pub checksum: Option<String>,
    /// Which provider it is for.
    pub provider: Option<String>,
    /// Which architecture it is for.
    pub architecture: Option<String>,
    /// Replace a box that is there.
    pub force: bool,
    /// Throw away what an earlier run left of the download.
    pub clean: bool,
    /// Fail where another process is adding the same box, instead of waiting for it.
    pub no_wait: bool,
    /// How large it may be.
    pub limits: Limits,
    /// Patience with the server.
    pub tuning: Tuning,
    /// How servers are believed and let us in.
    pub access: Access,
    /// Who reads publishers' files of checksums.
    pub expect: Option<Expect>,
    /// Logins of OCI registries; those of the user where left out.
    pub logins: Option<oci::Logins>,
}

/// A request that makes sense.
pub(super) struct Wanted<'a> {
    /// The same bytes everywhere, the best place first; never empty.
    pub sources: Vec<Source>,
    pub source_id: String,
    pub name: Option<&'a str>,
    pub version: Option<Version>,
    pub checksum: Option<Checksum>,
    pub verified: Verified,
    pub provider: Option<&'a str>,
    pub architecture: Option<String>,
    pub request: &'a AddRequest,
}

impl AddRequest {
    /// A request for what somebody publishes.
    pub fn of(offer: Offer) -> Self {
        Self { offer: Some(offer), ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<Wanted<'_>, Error> {
        let sources = self.sources()?;
        let Some(first) = sources.first() else {
            return Err(Error::Source { text: String::new(), why: "nobody says where it lies".into() });
        };
        let offer = self.offer.as_ref();
        let name = self.name.as_deref().or(offer.map(|offer| offer.name.as_str()));
        if let Some(name) = name {
            name::encode(name)?;
        }
        let provider = self.provider.as_deref().or_else(|| offer?.provider.as_deref());
        if let Some(asked) = provider.filter(|asked| !PROVIDERS.contains(asked)) {
            return Err(Error::Provider { asked: name::printable(asked) });
        }
        let refused = |refusal| Error::Refused { from: first.to_string(), source: refusal };
        let architecture = self.architecture.as_deref().or_else(|| offer?.architecture.as_deref());
        let given: Option<Version> = self.version.as_deref().map(str::parse).transpose()?;
        let checksum: Option<Checksum> = self.checksum.as_deref().map(str::parse).transpose()?;
        let checksum = checksum.or_else(|| offer?.checksum.clone());
        Ok(Wanted {
            source_id: first.id(),
            name,
            version: given.or_else(|| offer?.version.clone()),
            verified: if checksum.is_some() { Verified::Checksum } else { Verified::Nothing },
            checksum,
            provider,
            architecture: architecture.map(metadata::architecture).transpose().map_err(refused)?,
            request: self,
            sources,
        })
    }

    fn sources(&self) -> Result<Vec<Source>, Error> {
        let typed = match &self.offer {
            Some(offer) => offer.urls.as_slice(),
            None => std::slice::from_ref(&self.source),
        };
        let read = |text: &String| {
            let source = Source::parse(text)?;
            if let Source::File(path) = &source {
                check_file(path, text)?;
            }
            Ok(source)
        };
        typed.iter().map(read).collect()
    }
}

impl Wanted<'_> {
    /// Asks what the image must hash to, where the user does not say it.
    pub fn ask_what_to_expect(&mut self, cx: &Cx, dirs: &Dirs) -> Result<(), Error> {
        let Some(offer) = self.request.offer.as_ref().filter(|_| self.request.checksum.is_none()) else {
            return Ok(());
        };
        cx.check()?;
        match (self.request.expect, &offer.sums) {
            (Some(expect), _) => (self.checksum, self.verified) = expect(cx, dirs, &self.request.access, offer)?,
            // What the publisher promises could not be kept.
            (None, Some(sums)) if offer.checksum.is_none() => {
                let why = "nobody here can read its publisher's checksums".into();
                return Err(Error::Source { text: shown_source(&sums.url), why });
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// The request for what the publisher has now. A user who names a checksum wants that file and no other.
    pub fn stand_in(&self) -> Option<AddRequest> {
        let (next, others) = self.request.stand_ins.split_first()?;
        let offer = Some(next.clone());
        let stand_in = AddRequest { offer, stand_ins: others.to_vec(), ..self.request.clone() };
        self.request.checksum.is_none().then_some(stand_in)
    }

    /// What is asked for, for people.
    pub fn what(&self) -> String {
        self.name.map_or_else(|| format!("the box from {}", self.sources[0]), |name| format!("box `{name}`"))
    }

    /// Identifiers of the locks. Name before source, everywhere, so no two processes wait for each other.
    pub fn lock_ids(&self) -> Vec<String> {
        let by_name = self.name.map(|name| sha256_of(&format!("name:{name}")));
        by_name.into_iter().chain([self.source_id.clone()]).collect()
    }
}

fn check_file(path: &Path, typed: &str) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(Error::Source { text: name::printable(typed), why: "it is not a file".into() }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoFile { path: path.into(), looks_like_name: looks_like_name(path, typed) })
        }
        Err(e) => Err(Error::io("read", path, e)),
    }
}
