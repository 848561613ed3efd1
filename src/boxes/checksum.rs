//! Checksums that a user gives, and the digests that files are named by.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

pub(super) use crate::store::hex;

/// What a download or file must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

/// Ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    const ALL: &[Self] = &[Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Each algorithm has a length of its own, so bare digits tell which it is.
    fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

/// The text is no checksum that we know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a checksum (`sha256:` and 64 hexadecimal digits, `sha512:` and 128; or sha384, sha1, md5)")]
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
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What a user has to know of an algorithm that others can forge.
    pub fn weakness(&self) -> Option<String> {
        let weak = matches!(self.algorithm, Algorithm::Md5 | Algorithm::Sha1);
        weak.then(|| {
            let name = self.algorithm.name();
            format!("its checksum is {name}: that finds damage, but somebody else can make another file that has it")
        })
    }

    pub(super) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Md5 => Hasher::Md5(Md5::new()),
            Algorithm::Sha1 => Hasher::Sha1(Sha1::new()),
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// Hashes as the checksum's algorithm does.
pub(super) enum Hasher {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub fn finish(self) -> Checksum {
        let (algorithm, hex) = match self {
            Self::Md5(hasher) => (Algorithm::Md5, hex(&hasher.finalize())),
            Self::Sha1(hasher) => (Algorithm::Sha1, hex(&hasher.finalize())),
            Self::Sha256(hasher) => (Algorithm::Sha256, hex(&hasher.finalize())),
            Self::Sha384(hasher) => (Algorithm::Sha384, hex(&hasher.finalize())),
            Self::Sha512(hasher) => (Algorithm::Sha512, hex(&hasher.finalize())),
        };
        Checksum { algorithm, hex }
    }
}

/// SHA-256 of a short text, as digits: names of files that stand for a URL.
pub(super) fn sha256_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Whether `text` is a SHA-256 as we write it.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Writes, counts and hashes.
pub(super) struct Hashed<W> {
    to: W,
    hasher: Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    pub fn new(to: W) -> Self {
        Self { to, hasher: Sha256::new(), size: 0 }
    }

    /// Where it went, the SHA-256 of all that was written, and how much that was.
    pub fn finish(self) -> (W, String, u64) {
        (self.to, hex(&self.hasher.finalize()), self.size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let amount = self.to.write(bytes)?;
        self.hasher.update(&bytes[..amount]);
        self.size += amount as u64;
        Ok(amount)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
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
    fn every_algorithm_gives_what_its_command_gives() {
        for (text, weak) in [
            ("md5:900150983cd24fb0d6963f7d28e17f72", true),
            ("sha1:a9993e364706816aba3e25717850c26c9cd0d89d", true),
            ("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", false),
            (
                "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                 8086072ba1e7cc2358baeca134c825a7",
                false,
            ),
            (
                "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                false,
            ),
        ] {
            let promised: Checksum = text.parse().unwrap();
            let mut hasher = promised.hasher();
            hasher.update(b"ab");
            hasher.update(b"c");
            assert_eq!(hasher.finish(), promised);
            assert_eq!(promised.weakness().is_some(), weak, "{text}");
        }
    }

    #[test]
    fn digests_are_those_of_sha256sum() {
        assert_eq!(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(is_sha256(&sha256_of("abc")));
        assert!(!is_sha256("../../etc"));
    }
}
