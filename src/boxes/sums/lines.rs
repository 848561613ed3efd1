//! Checksum files made of lines.

use super::{BadSums, Listed};
use crate::boxes::checksum::Checksum;

/// More lines than the largest publisher's directory has files.
const MOST: usize = 100_000;

const CLEAR: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// Whether a clear-signed wrapper is around `text`.
pub(super) fn is_clear_signed(text: &str) -> bool {
    text.starts_with(CLEAR)
}

/// GNU (`HASH *file`, `HASH  file`), BSD (`SHA256 (file) = HASH`), and bare hashes, also within a clear-signed wrapper.
pub(super) fn parse(text: &str) -> Result<Vec<Listed>, BadSums> {
    if text.lines().nth(MOST).is_some() {
        return Err(BadSums::TooLong(MOST));
    }
    let mut found = Vec::new();
    for line in body(text) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.extend(bsd(line).or_else(|| gnu(line)));
    }
    Ok(found)
}

/// The lines that count: of a clear-signed file those that were signed, with their dashes taken back.
fn body(text: &str) -> impl Iterator<Item = &str> {
    let wrapped = is_clear_signed(text);
    // Armour headers (`Hash: SHA256`) end with an empty line.
    let headers = if wrapped { text.lines().position(|line| line.trim().is_empty()).unwrap_or(usize::MAX) } else { 0 };
    text.lines()
        .skip(headers)
        .take_while(move |line| !wrapped || !line.starts_with(SIGNATURE))
        .map(move |line| if wrapped { line.strip_prefix("- ").unwrap_or(line) } else { line })
}

/// `SHA256 (file) = HASH`
fn bsd(line: &str) -> Option<Listed> {
    let (algorithm, rest) = line.split_once(" (")?;
    // A file's name may hold parentheses, a hash holds none.
    let (file, hash) = rest.rsplit_once(") = ")?;
    let checksum = format!("{}:{hash}", algorithm.trim()).parse().ok()?;
    Some(Listed { file: Some(file.into()), checksum })
}

/// `HASH  file`, `HASH *file`, `HASH file`, or only the hash.
fn gnu(line: &str) -> Option<Listed> {
    let (hash, file) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if hash.contains(':') {
        return None;
    }
    let checksum: Checksum = hash.parse().ok()?;
    let file = file.trim_start();
    let file = file.strip_prefix('*').unwrap_or(file);
    Some(Listed { file: (!file.is_empty()).then(|| file.into()), checksum })
}
