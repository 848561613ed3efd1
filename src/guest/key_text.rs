//! OpenSSH's one-line form of public keys (`ssh-ed25519 AAAA…`), of every type: also of those that need code that we do
//! not link.

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The one-line form of a key as it comes over the wire; `None` when it is none.
pub(super) fn line(blob: &[u8]) -> Option<String> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-.@".contains(b);
    if name.is_empty() || name.len() > 64 || !name.iter().all(plain) {
        return None;
    }
    Some(format!("{} {}", std::str::from_utf8(name).ok()?, encode(blob, true)))
}

/// The key in `text` without a comment, checked: `None` when it is not one key in one line.
pub(super) fn normal(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(['\n', '\r']) {
        return None;
    }
    let mut words = text.split_whitespace();
    let (name, key) = (words.next()?, words.next()?);
    let normal = line(&decode(key)?)?;
    (normal.split(' ').next() == Some(name)).then_some(normal)
}

/// The wire form of a key in one line.
pub(super) fn blob(text: &str) -> Option<Vec<u8>> {
    decode(text.split_whitespace().nth(1)?)
}

/// `SHA256:…`, as OpenSSH shows it.
pub(super) fn fingerprint(text: &str) -> String {
    blob(text)
        .map_or_else(|| "an unreadable key".into(), |blob| format!("SHA256:{}", encode(&Sha256::digest(blob), false)))
}

fn encode(bytes: &[u8], pad: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, &b| group << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(ALPHABET[(group >> (18 - 6 * place)) as usize & 63]));
            } else if pad {
                text.push('=');
            }
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.chunks(4) {
        let mut group = 0u32;
        for place in 0..4 {
            let value = match chunk.get(place) {
                Some(b) => ALPHABET.iter().position(|a| a == b)?,
                None => 0,
            };
            group = group << 6 | u32::try_from(value).ok()?;
        }
        let [_, all @ ..] = group.to_be_bytes();
        bytes.extend_from_slice(all.get(..chunk.len().checked_sub(1)?)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y";

    #[test]
    fn a_key_is_read_and_written_as_openssh_does() {
        assert_eq!(normal(&format!("{KEY} a comment\n")).unwrap(), KEY);
        assert_eq!(line(&blob(KEY).unwrap()).unwrap(), KEY);
        assert_eq!(
            fingerprint(KEY),
            ssh_key::PublicKey::from_openssh(KEY).unwrap().fingerprint(ssh_key::HashAlg::Sha256).to_string()
        );
    }

    #[test]
    fn what_is_not_one_key_is_refused() {
        for text in [
            "",
            "ssh-ed25519",
            "ssh-rsa AAAA",
            "ssh-ed25519 !!!!",
            &format!("{KEY}\n{KEY}"),
            &KEY.replacen("ed25519", "dss", 1),
        ] {
            assert_eq!(normal(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn base64_goes_there_and_back(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&encode(&bytes, true)).unwrap(), bytes.clone());
            prop_assert_eq!(decode(&encode(&bytes, false)).unwrap(), bytes);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,80}") {
            let _ = normal(&text);
            let _ = fingerprint(&text);
        }
    }
}
