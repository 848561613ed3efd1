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
pub(super) fn clear_signed(text: &str, allowed: &[String], ring: &Keyring) -> Result<(String, Judged), BadSignature> {
    let (message, _) = CleartextSignedMessage::from_string(text).map_err(unreadable)?;
    let signed = message.signed_text();
    let judged = judge(message.signatures(), signed.as_bytes(), allowed, ring)?;
    Ok((signed, judged))
}

/// One good signature of an allowed key is enough, and none of theirs may be wrong. Others are not looked at.
fn judge(signatures: &[Signature], content: &[u8], allowed: &[String], ring: &Keyring) -> Result<Judged, BadSignature> {
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
        // One of the user's files that holds no key is none of this signature's business.
        let Ok((keys, _)) = SignedPublicKey::from_string_many(armoured) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! data {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/data/signatures/", $name)).as_slice()
        };
    }

    const SUMS: &[u8] = data!("SHA256SUMS");
    const PUBLISHER: &str = "0C409975EE15A4B1CFA64A6FE5A0AB86FD432823";

    fn ring(key: &[u8]) -> Keyring {
        Keyring::with(std::str::from_utf8(key).unwrap())
    }

    fn judged(key: &[u8], fingerprint: &str, content: &[u8], signature: &[u8]) -> Result<Judged, String> {
        detached(content, signature, &[fingerprint.into()], &ring(key)).map_err(|e| e.to_string())
    }

    fn good(fingerprint: &str, note: Option<&str>) -> Judged {
        Judged::Good(fingerprint.into(), note.map(Into::into))
    }

    #[test]
    fn a_good_signature_names_its_key() {
        let key = data!("publisher.key");
        for signature in [data!("SHA256SUMS.publisher.asc"), data!("SHA256SUMS.publisher.sig")] {
            assert_eq!(judged(key, PUBLISHER, SUMS, signature), Ok(good(PUBLISHER, None)));
        }
        let both = [data!("SHA256SUMS.publisher.sig"), data!("SHA256SUMS.publisher.sig")].concat();
        assert_eq!(judged(key, PUBLISHER, SUMS, &both), Ok(good(PUBLISHER, None)));
    }

    #[test]
    fn a_subkey_signs_for_its_primary_key() {
        let fingerprint = "5A54A5A0B93DBC1D153DAE4B38B612F35AD1045C";
        let judged = judged(data!("subkey.key"), fingerprint, SUMS, data!("SHA256SUMS.subkey.asc"));
        assert_eq!(judged, Ok(good(fingerprint, None)));
    }

    #[test]
    fn a_changed_file_is_refused() {
        let changed = [SUMS, b"\n"].concat();
        let error = judged(data!("publisher.key"), PUBLISHER, &changed, data!("SHA256SUMS.publisher.asc")).unwrap_err();
        assert_eq!(error, format!("its signature by {PUBLISHER} is wrong: the file is not what was signed"));
    }

    #[test]
    fn somebody_elses_signature_is_refused() {
        let error = judged(data!("publisher.key"), PUBLISHER, SUMS, data!("SHA256SUMS.foreign.asc")).unwrap_err();
        let who = "it is signed by 083D828DA2AF9D328BC6F2445883490FA6459D9F, not by its publisher";
        assert_eq!(error, format!("{who} ({PUBLISHER})"));
        // A key that is known, but not this publisher's.
        let error = judged(data!("publisher.key"), PUBLISHER, SUMS, data!("SHA256SUMS.subkey.asc")).unwrap_err();
        assert!(error.starts_with("it is signed by 4442FA3A"), "{error}");
        let error = judged(data!("publisher.key"), &"0".repeat(40), SUMS, data!("SHA256SUMS.foreign.asc")).unwrap_err();
        assert_eq!(error, format!("there is no key {} to check its signature with", "0".repeat(40)));
    }

    #[test]
    fn a_key_that_expired_counts_for_what_it_signed_before() {
        let (early, late) = ("F5F3BF143A42D31CF1C60645C0589F434DC4339B", "8CB03F67E9B72C66EFF47DE71075FE9DA470DE20");
        let before = judged(data!("expired.key"), early, SUMS, data!("SHA256SUMS.expired.asc"));
        assert_eq!(before, Ok(good(early, Some("the key has expired since"))));
        let Judged::Doubtful(why) = judged(data!("late.key"), late, SUMS, data!("SHA256SUMS.late.asc")).unwrap() else {
            panic!("it counts")
        };
        assert!(why.contains("after its key expired"), "{why}");
    }

    #[test]
    fn a_revoked_key_and_forgeable_means_do_not_count() {
        let revoked = "E02791ED18784781F6AEAFB2C33B4B82B5B935F6";
        let error = judged(data!("revoked.key"), revoked, SUMS, data!("SHA256SUMS.revoked.asc")).unwrap_err();
        assert_eq!(error, format!("the key {revoked} that signed it was revoked"));
        let weak = "2115642B6FD6B3C9E6DBAF1142E9EC127ECF7B68";
        let judged = judged(data!("weak.key"), weak, SUMS, data!("SHA256SUMS.weak.asc")).unwrap();
        assert!(matches!(&judged, Judged::Doubtful(why) if why.contains("can be forged")), "{judged:?}");
    }

    #[test]
    fn of_a_clear_signed_file_only_what_was_signed_counts() {
        let text = std::str::from_utf8(data!("CHECKSUM")).unwrap();
        let check = |text: &str| clear_signed(text, &[PUBLISHER.into()], &ring(data!("publisher.key")));
        let (signed, judged) = check(text).unwrap();
        assert_eq!(judged, good(PUBLISHER, None));
        assert!(signed.contains("- a line that begins with a dash"), "{signed}");
        let line = "SHA256 (x.img) = cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34\n";
        for changed in [format!("{line}{text}"), format!("{text}{line}"), text.replace("ba7816bf", "aa7816bf")] {
            assert!(check(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for text in ["", "no", "<html>", "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"] {
            assert!(judged(data!("publisher.key"), PUBLISHER, SUMS, text.as_bytes()).is_err(), "{text}");
        }
        let key = data!("publisher.key");
        assert!(judged(key, PUBLISHER, SUMS, key).is_err(), "a key is no signature");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = judged(data!("publisher.key"), PUBLISHER, SUMS, &bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = clear_signed(&format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n{text}"), &[], &Keyring::default());
        }
    }

    #[test]
    fn every_publishers_key_is_what_the_table_says() {
        let readme = include_str!("../../boxes/keys/README.md");
        for (fingerprint, armoured) in crate::boxes::keys::PUBLISHERS {
            let key = certificate(fingerprint, &Keyring::default()).unwrap();
            assert!(readme.contains(&format!("`{fingerprint}`")), "{fingerprint}");
            assert!(key.details.revocation_signatures.is_empty(), "{fingerprint}");
            assert!(armoured.is_ascii());
        }
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/boxes/keys")).unwrap();
        let keys = folder.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "asc"));
        assert_eq!(keys.count(), crate::boxes::keys::PUBLISHERS.len());
    }
}
