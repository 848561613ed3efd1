//! OpenPGP signatures of publishers' checksum files. Only keys that the catalogue names for a publisher count.

use std::time::{Duration, SystemTime};

use pgp::composed::{CleartextSignedMessage, Deserializable, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{Fingerprint, KeyDetails, KeyId, VerifyingKey};

use super::keys::Keyring;
use super::name::printable;

/// More signatures than any publisher makes on one file.
const MOST: usize = 16;

/// What a good signature is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// By this key (fingerprint), which was valid when it signed; and what is to be said of the key now.
    Good(String, Option<String>),
    /// Right, but no proof: the reason.
    Doubtful(String),
}

/// Why a signature is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadSignature {
    /// Not OpenPGP, or damaged.
    #[error("its signature cannot be read: {0}")]
    Unreadable(String),
    /// The file was changed after it was signed.
    #[error("its signature by {0} is wrong: the file is not what was signed")]
    Wrong(String),
    /// Nobody whom we know for this publisher.
    #[error("it is signed by {found}, not by its publisher ({})", allowed.join(" or "))]
    Foreign {
        /// Who signed.
        found: String,
        /// Who may.
        allowed: Vec<String>,
    },
    /// We have no key of this fingerprint.
    #[error("there is no key {0} to check its signature with")]
    NoKey(String),
    /// The publisher took the key back.
    #[error("the key {0} that signed it was revoked")]
    Revoked(String),
}

fn unreadable(error: impl std::fmt::Display) -> BadSignature {
    BadSignature::Unreadable(printable(&error.to_string()))
}

/// Checks a signature that lies in a file of its own, armoured or not.
pub(super) fn detached(
    content: &[u8],
    signature: &[u8],
    allowed: &[String],
    ring: &Keyring,
) -> Result<Judged, BadSignature> {
    let (found, _) = DetachedSignature::from_reader_many(signature).map_err(unreadable)?;
    let found: Result<Vec<_>, _> = found.take(MOST).map(|one| one.map(|one| one.signature)).collect();
    judge(&found.map_err(unreadable)?, content, allowed, ring)
}

/// Checks a clear-signed file, and returns what of it was signed.
pub(super) fn clear_signed(
    text: &str,
    allowed: &[String],
    ring: &Keyring,
) -> Result<(String, Judged), BadSignature> {
    let (message, _) = CleartextSignedMessage::from_string(text).map_err(unreadable)?;
    let signed = message.signed_text();
    let judged = judge(message.signatures(), signed.as_bytes(), allowed, ring)?;
    Ok((signed, judged))
}

/// One good signature of an allowed key is enough, and none of theirs may be wrong. Others are not looked at.
fn judge(
    signatures: &[Signature],
    content: &[u8],
    allowed: &[String],
    ring: &Keyring,
) -> Result<Judged, BadSignature> {
    let certificates = allowed.iter().map(|one| certificate(one, ring)).collect::<Result<Vec<_>, _>>()?;
    let mut best = None;
    for signature in signatures.iter().take(MOST) {
        let Some((certificate, key)) = certificates.iter().find_map(|one| Some((one, signer(one, signature)?))) else {
            continue;
        };
        let fingerprint = shown(&certificate.fingerprint());
        let is_document = matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text));
        if !is_document || key.verify(signature, content).is_err() {
            return Err(BadSignature::Wrong(fingerprint));
        }
        let judged = worth(certificate, &key, signature, fingerprint)?;
        if !matches!(best, Some(Judged::Good(..))) {
            best = Some(judged);
        }
    }
    best.ok_or_else(|| BadSignature::Foreign {
        found: signatures.iter().map(issuer).next().unwrap_or_else(|| "nobody".into()),
        allowed: allowed.to_vec(),
    })
}

fn certificate(fingerprint: &str, ring: &Keyring) -> Result<SignedPublicKey, BadSignature> {
    for armoured in ring.armoured(fingerprint) {
        let (keys, _) = SignedPublicKey::from_string_many(armoured).map_err(unreadable)?;
        if let Some(key) = keys.flatten().find(|key| shown(&key.fingerprint()) == fingerprint) {
            return Ok(key);
        }
    }
    Err(BadSignature::NoKey(fingerprint.into()))
}

/// The certificate's key that made a signature: the primary one, or a subkey that the primary one vouches for.
enum Signer<'a> {
    Primary(&'a pgp::packet::PublicKey),
    Sub(&'a pgp::packet::PublicSubkey),
}

impl Signer<'_> {
    fn verify(&self, signature: &Signature, content: &[u8]) -> Result<(), pgp::errors::Error> {
        match self {
            Self::Primary(key) => signature.verify(*key, content),
            Self::Sub(key) => signature.verify(*key, content),
        }
    }

    fn created(&self) -> SystemTime {
        match self {
            Self::Primary(key) => key.created_at().into(),
            Self::Sub(key) => key.created_at().into(),
        }
    }
}

fn signer<'a>(certificate: &'a SignedPublicKey, signature: &Signature) -> Option<Signer<'a>> {
    let made = |key: &dyn Named| {
        let (fingerprint, id) = key.names();
        let fingerprints = signature.issuer_fingerprint();
        if fingerprints.is_empty() {
            signature.issuer_key_id().iter().any(|one| **one == id)
        } else {
            fingerprints.contains(&&fingerprint)
        }
    };
    if made(&certificate.primary_key) {
        return Some(Signer::Primary(&certificate.primary_key));
    }
    let vouched = |sub: &&pgp::composed::SignedPublicSubKey| {
        sub.verify_bindings(&certificate.primary_key).is_ok() && sub.signatures.iter().any(|one| one.key_flags().sign())
    };
    let found = certificate.public_subkeys.iter().find(|sub| made(&sub.key)).filter(vouched)?;
    Some(Signer::Sub(&found.key))
}

/// What a signature calls its maker by.
trait Named {
    fn names(&self) -> (Fingerprint, KeyId);
}

impl<K: VerifyingKey> Named for K {
    fn names(&self) -> (Fingerprint, KeyId) {
        (self.fingerprint(), self.legacy_key_id())
    }
}

/// What a signature that fits is worth: when it was made, by what means, and what became of the key.
fn worth(
    certificate: &SignedPublicKey,
    key: &Signer<'_>,
    signature: &Signature,
    fingerprint: String,
) -> Result<Judged, BadSignature> {
    if !certificate.details.revocation_signatures.is_empty() {
        return Err(BadSignature::Revoked(fingerprint));
    }
    let doubtful = |why: &str| Ok(Judged::Doubtful(format!("its signature by {fingerprint} is no proof: {why}")));
    let weak = [HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Ripemd160];
    if signature.hash_alg().is_none_or(|hash| weak.contains(&hash)) {
        return doubtful("it was made with an algorithm that can be forged");
    }
    let Some(made) = signature.created().map(SystemTime::from) else {
        return doubtful("it does not say when it was made");
    };
    let now = SystemTime::now();
    let expires = expiry(certificate);
    if made < key.created() || made > now + Duration::from_secs(24 * 3600) {
        return doubtful("it was made before its key, or in the future");
    }
    if expires.is_some_and(|end| made > end) {
        return doubtful("it was made after its key expired; a newer vbox-rs may know the renewed key");
    }
    let own_end = signature.signature_expiration_time().map(|time| made + Duration::from(time));
    let note = if own_end.is_some_and(|end| end < now) {
        Some("the signature has expired since")
    } else if expires.is_some_and(|end| end < now) {
        Some("the key has expired since")
    } else {
        None
    };
    Ok(Judged::Good(fingerprint, note.map(Into::into)))
}

/// When the certificate expires, as its newest signature on itself says.
fn expiry(certificate: &SignedPublicKey) -> Option<SystemTime> {
    let own = certificate.details.users.iter().flat_map(|user| &user.signatures);
    let newest = own
        .chain(&certificate.details.direct_signatures)
        .filter(|one| issued_by(one, certificate))
        .max_by_key(|one| one.created())?;
    let time = newest.key_expiration_time().map(Duration::from).filter(|time| !time.is_zero())?;
    Some(SystemTime::from(certificate.created_at()) + time)
}

fn issued_by(signature: &Signature, certificate: &SignedPublicKey) -> bool {
    signature.issuer_fingerprint().contains(&&certificate.fingerprint())
        || signature.issuer_key_id().contains(&&certificate.legacy_key_id())
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|one| shown(one));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_ascii_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "an unnamed key".into())
}

/// As people and the catalogue write it.
fn shown(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().to_ascii_uppercase()
}
