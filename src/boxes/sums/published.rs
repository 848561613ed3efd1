//! From what a publisher offers to what an image must hash to, and how far that can be trusted.

use super::{BadSums, Error, LIMIT, Sums, lines};
use crate::boxes::checksum::Checksum;
use crate::boxes::fetch::{self, Access};
use crate::boxes::keys::Keyring;
use crate::boxes::manifest::Verified;
use crate::boxes::offer::{Offer, PublishedSums};
use crate::boxes::signature::{self, BadSignature, Judged};
use crate::boxes::{self, shown_source};
use crate::progress::Cx;

/// Bytes of a detached signature; one of RSA 4096 with its armour has about a thousand.
const SIGNATURE_LIMIT: u64 = 64 << 10;

/// What an image must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Nothing where neither the publisher nor we know one.
    pub checksum: Option<Checksum>,
    /// What the image is worth once its checksum fits.
    pub verified: Verified,
}

/// What the image of `offer` must hash to: by its publisher's signed file where there is one, else by what we know.
///
/// A wrong signature is an error; a file that cannot be had is one only where nothing else is known.
pub fn expected(cx: &Cx, ring: &Keyring, access: &Access, offer: &Offer) -> Result<Expected, boxes::Error> {
    let known = offer.checksum.clone();
    let ours = |checksum: Option<Checksum>| {
        let verified = if checksum.is_some() { Verified::Checksum } else { Verified::Nothing };
        Expected { checksum, verified }
    };
    let Some(sums) = offer.sums.as_ref().filter(|sums| known.is_none() || !sums.keys.is_empty()) else {
        return Ok(said(cx, ours(known)));
    };
    match fetch_sums(cx, ring, access, sums) {
        // Whoever can put another image there can leave out the signature, too.
        Err(boxes::Error::Sums(Error::Unsigned { url, why })) if known.is_some() => {
            cx.note(format!("{url} {why}: the checksum that is known already counts"));
            Ok(said(cx, ours(known)))
        }
        Ok((published, verified)) => {
            let other = known.clone().filter(|one| one.algorithm() == published.algorithm() && *one != published);
            if let Some(known) = other {
                let (url, file) = (shown_source(&sums.url), sums.file.clone());
                return Err(Error::Disagree { url, file, published, known }.into());
            }
            // What nobody signed counts no more than what we know.
            let signed = matches!(verified, Verified::Signature(_));
            let checksum = if signed { Some(published) } else { known.or(Some(published)) };
            Ok(said(cx, Expected { checksum, verified }))
        }
        Err(error) if known.is_some() && is_absent(&error) => {
            cx.note(format!("{error}: the signature was not checked, the checksum of the catalogue will be"));
            Ok(said(cx, ours(known)))
        }
        Err(error) => Err(error),
    }
}

fn said(cx: &Cx, expected: Expected) -> Expected {
    if let Some(weakness) = expected.checksum.as_ref().and_then(Checksum::weakness) {
        cx.warn(weakness);
    }
    expected
}

/// Whether nothing was learned, as against something bad.
fn is_absent(error: &boxes::Error) -> bool {
    match error {
        boxes::Error::Fetch(fetch::Error::Interrupted(_)) => false,
        boxes::Error::Fetch(_) => true,
        boxes::Error::Sums(Error::Unusable { source, .. }) => {
            matches!(source, BadSums::NotListed(_) | BadSums::WebPage)
        }
        _ => false,
    }
}

/// Downloads a publisher's file of checksums and its signature, checks it, and finds the image in it.
pub fn fetch_sums(
    cx: &Cx,
    ring: &Keyring,
    access: &Access,
    sums: &PublishedSums,
) -> Result<(Checksum, Verified), boxes::Error> {
    let url = shown_source(&sums.url);
    let unusable = |source| boxes::Error::from(Error::Unusable { url: url.clone(), source });
    let bytes = fetch::document(cx, &sums.url, LIMIT as u64, access, &fetch::Tuning::default())?;
    // Windows-1252 in a comment must not cost the hashes, which are ASCII.
    let text = String::from_utf8_lossy(&bytes);
    let (text, verified) = match verify(cx, ring, access, sums, &bytes, &text)? {
        Some((signed, key)) => (signed, Verified::Signature(key)),
        None => (text.into_owned(), Verified::Checksum),
    };
    let listed = Sums::parse(&text).map_err(unusable)?;
    let own = || listed.only().filter(|_| belongs_to(&sums.url, &sums.file));
    let checksum = listed.find(&sums.file).map_err(unusable)?.or_else(own);
    let checksum = checksum.ok_or_else(|| unusable(BadSums::NotListed(sums.file.clone())))?;
    Ok((checksum, verified))
}

/// Whether a file of checksums is of this image alone: `IMAGE.sha256`.
fn belongs_to(url: &str, file: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().is_some_and(|name| name.len() > file.len() && name.starts_with(file))
}

/// What was signed and by whom; nothing where the publisher signs nothing, or it proves nothing.
fn verify(
    cx: &Cx,
    ring: &Keyring,
    access: &Access,
    sums: &PublishedSums,
    bytes: &[u8],
    text: &str,
) -> Result<Option<(String, String)>, boxes::Error> {
    if sums.keys.is_empty() {
        return Ok(None);
    }
    let url = shown_source(&sums.url);
    let forged = |source: BadSignature| boxes::Error::from(Error::Forged { url: url.clone(), source });
    let unsigned = |why| Err(boxes::Error::from(Error::Unsigned { url: url.clone(), why }));
    let (signed, judged) = if let Some(signature) = &sums.signature {
        let signature = match fetch::document(cx, signature, SIGNATURE_LIMIT, access, &fetch::Tuning::default()) {
            Err(boxes::Error::Fetch(fetch::Error::Status { status: 404 | 410, .. })) => {
                return unsigned("has no signature beside it");
            }
            signature => signature?,
        };
        (text.to_owned(), signature::detached(bytes, &signature, &sums.keys, ring).map_err(forged)?)
    } else if lines::is_clear_signed(text) {
        signature::clear_signed(text, &sums.keys, ring).map_err(forged)?
    } else {
        return unsigned("is not signed any more");
    };
    match judged {
        Judged::Good(key, note) => {
            if let Some(note) = note {
                cx.note(format!("{url} was signed by {key} while that was valid; {note}"));
            }
            Ok(Some((signed, key)))
        }
        Judged::Doubtful(why) => {
            cx.warn(format!("{url}: {why}"));
            Ok(None)
        }
    }
}
