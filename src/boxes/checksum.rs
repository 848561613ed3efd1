//! Checksums that a user gives, and the digests that files are named by.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256, Sha512};

/// What a download or file must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    const ALL: &[Self] = &[Self::Sha256, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The text is no checksum that we know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a checksum (`sha256:` and 64 hexadecimal digits, or `sha512:` and 128)")]
pub struct BadChecksum(String);

impl FromStr for Checksum {
    type Err = BadChecksum;

    fn from_str(text: &str) -> Result<Self, BadChecksum> {
        let bad = || BadChecksum(text.chars().filter(|c| !c.is_control()).take(200).collect());
        let trimmed = text.trim();
        let (named, hex) =
            trimmed.split_once(':').map_or((None, trimmed), |(name, hex)| (Some(name.trim()), hex.trim()));
        let fits = |algorithm: &&Algorithm| {
            named.is_none_or(|name| name.eq_ignore_ascii_case(algorithm.name())) && hex.len() == algorithm.digits()
        };
        let algorithm = *Algorithm::ALL.iter().find(fits).ok_or_else(bad)?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        Ok(Self { algorithm, hex: hex.to_ascii_lowercase() })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl Checksum {
    pub(super) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// Hashes as the checksum's algorithm does.
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub fn finish(self) -> Checksum {
        match self {
            Self::Sha256(hasher) => Checksum { algorithm: Algorithm::Sha256, hex: hex(&hasher.finalize()) },
            Self::Sha512(hasher) => Checksum { algorithm: Algorithm::Sha512, hex: hex(&hasher.finalize()) },
        }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// SHA-256 of a short text, as digits: names of files that stand for a URL.
pub(super) fn sha256_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Whether `text` is a SHA-256 as we write it.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_is_named_or_told_by_the_length() {
        let sha256 = "A".repeat(64);
        let sha512 = "b".repeat(128);
        for (text, expected) in [
            (sha256.clone(), format!("sha256:{}", "a".repeat(64))),
            (format!("SHA256:{sha256}"), format!("sha256:{}", "a".repeat(64))),
            (format!(" sha512:{sha512}\n"), format!("sha512:{sha512}")),
            (sha512.clone(), format!("sha512:{sha512}")),
        ] {
            assert_eq!(text.parse::<Checksum>().unwrap().to_string(), expected);
        }
        for text in ["", "md5:0123", &sha256[1..], &format!("sha512:{sha256}"), &"g".repeat(64)] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
    }

    #[test]
    fn digests_are_those_of_sha256sum() {
        assert_eq!(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(is_sha256(&sha256_of("abc")));
        assert!(!is_sha256("../../etc"));
    }
}
