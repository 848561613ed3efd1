//! Checksum files in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value};

use super::{BadSums, Listed};
use crate::boxes::checksum::{Checksum, hex};
use crate::boxes::name::printable;

/// Keys beside which publishers write a digest: Ubuntu's simplestreams, Fedora's releases.json, Oracle's templates.
const FILES: &[&str] = &["path", "link", "image", "url", "name", "file", "filename"];
const DIGESTS: &[&str] = &["sha512", "sha384", "sha256", "sha1", "md5"];
/// Debian's file beside each image.
const DEBIAN_DIGEST: &str = "cloud.debian.org/digest";

pub(super) fn parse(text: &str) -> Result<Vec<Listed>, BadSums> {
    let document: Value = serde_json::from_str(text).map_err(|e| BadSums::Json(printable(&e.to_string())))?;
    let mut found = Vec::new();
    walk(&document, &mut found);
    Ok(found)
}

/// serde_json reads at most 128 levels, so this ends.
fn walk(value: &Value, found: &mut Vec<Listed>) {
    match value {
        Value::Object(entries) => {
            found.extend(beside(entries).or_else(|| debian(entries)));
            entries.values().for_each(|value| walk(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
        _ => {}
    }
}

/// An object that names a file and its digest.
fn beside(entries: &Map<String, Value>) -> Option<Listed> {
    let text = |key: &&str| entries.get(*key)?.as_str();
    let file = FILES.iter().find_map(text)?;
    let checksum = DIGESTS.iter().find_map(|name| format!("{name}:{}", text(name)?).parse().ok())?;
    Some(Listed { file: Some(file.into()), checksum })
}

/// An object with the annotation `cloud.debian.org/digest`: `sha512:` and Base64 without padding.
fn debian(entries: &Map<String, Value>) -> Option<Listed> {
    let digest = entries.get("metadata")?.get("annotations")?.get(DEBIAN_DIGEST)?.as_str()?;
    let (algorithm, encoded) = digest.split_once(':')?;
    let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    let checksum: Checksum = format!("{algorithm}:{}", hex(&bytes)).parse().ok()?;
    let file = entries.get("data")?.get("ref")?.as_str()?;
    Some(Listed { file: Some(file.into()), checksum })
}
