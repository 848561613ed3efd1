//! Manifests, indexes and our configuration blob: text of a stranger, read with bounds.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Digest, media};
use crate::boxes::metadata::Metadata;
use crate::boxes::name::printable;
use crate::boxes::receive::Broken;
use crate::boxes::{CloudInit, Hardware, StoredDisk};

/// The distribution specification asks registries for manifests of at least this size; ours stay below it.
pub(super) const MANIFEST_LIMIT: u64 = 4 << 20;

/// Larger than any configuration of a box.
pub(super) const CONFIG_LIMIT: u64 = 1 << 20;

/// More layers or platforms than any box has.
const ENTRIES_LIMIT: usize = 4096;

/// A newer format is refused, never guessed at.
const CONFIG_FORMAT: u32 = 1;

/// Notes of an artifact or layer.
pub(super) type Annotations = BTreeMap<String, String>;

/// What a manifest says of a blob or of another manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// What a manifest of an index is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub architecture: String,
    #[serde(default)]
    pub os: String,
}

/// One artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageManifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// Artifacts for several architectures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// What a tag or digest leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Document {
    Manifest(ImageManifest),
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads what a server sent as `content_type`. The error says what is wrong.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, String> {
        let head: Head = json("its manifest", bytes)?;
        if head.schema_version != 2 {
            return Err(format!("its manifest has version {} of the schema; vbox-rs knows 2", head.schema_version));
        }
        let sent = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        // Who names two types for one text wants two programs to read it differently.
        if let (Some(named), Some(sent)) = (&head.media_type, sent)
            && media::is_document(sent)
            && named != sent
        {
            return Err(format!("its manifest is `{}` and was sent as `{}`", printable(named), printable(sent)));
        }
        let kind = head.media_type.as_deref().or(sent.filter(|sent| media::is_document(sent)));
        let index = match kind {
            Some(media::MANIFEST | media::DOCKER_MANIFEST) => false,
            Some(media::INDEX | media::DOCKER_INDEX) => true,
            Some(other) => return Err(format!("`{}` is no manifest that vbox-rs knows", printable(other))),
            None => head.manifests.is_some(),
        };
        let (document, entries) = if index {
            let index: Index = json("its index", bytes)?;
            let entries = index.manifests.len();
            (Self::Index(index), entries)
        } else {
            let manifest: ImageManifest = json("its manifest", bytes)?;
            let entries = manifest.layers.len();
            (Self::Manifest(manifest), entries)
        };
        if entries > ENTRIES_LIMIT {
            return Err(format!("its manifest has {entries} entries; {ENTRIES_LIMIT} are accepted"));
        }
        Ok(document)
    }
}

/// A file beside the disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamedFile {
    pub name: String,
    pub sha256: Digest,
    pub size: u64,
}

/// The configuration blob: what a box is, in the words of `metadata.json`, and what its files must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BoxConfig {
    pub format: u32,
    /// As in a `.box`: it is read by the same rules. Its files are `disk0`, `kernel` and `initrd`.
    pub metadata: Value,
    pub disks: Vec<StoredDisk>,
    /// Kernel, initial RAM disk, and what is beside the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<NamedFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
    #[serde(default)]
    pub hardware: Hardware,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Map<String, Value>>,
}

impl BoxConfig {
    /// The only format that is written.
    pub const FORMAT: u32 = CONFIG_FORMAT;

    /// Reads and checks a configuration blob.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Metadata), String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = json("its configuration", bytes)?;
        if head.format != CONFIG_FORMAT {
            return Err(format!("its configuration has format {}, and this vbox-rs knows format 1", head.format));
        }
        let config: Self = json("its configuration", bytes)?;
        let text = config.metadata.to_string();
        let metadata = Metadata::read(&mut text.as_bytes()).map_err(|broken| match broken {
            Broken::Refused(refusal) => refusal.to_string(),
            Broken::Read(error) => error.to_string(),
            Broken::Failed(error) => error.to_string(),
        })?;
        Ok((config, metadata))
    }
}

fn json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("{what} is broken: {}", printable(&e.to_string())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(layers: &str) -> String {
        let digest = "0".repeat(64);
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"sha256:{digest}","size":2}},"layers":[{layers}]}}"#
        )
    }

    #[test]
    fn manifests_and_indexes_are_told_apart_with_and_without_their_type() {
        let plain = manifest("");
        assert!(matches!(Document::parse(plain.as_bytes(), None).unwrap(), Document::Manifest(_)));
        assert!(matches!(Document::parse(plain.as_bytes(), Some(media::MANIFEST)).unwrap(), Document::Manifest(_)));
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(Document::parse(index.as_bytes(), Some("text/plain")).unwrap(), Document::Index(_)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let layer = r#"{"mediaType":"x/y","digest":"sha256:z","size":1},"#;
        let many =
            vec!["{\"mediaType\":\"a/b\",\"digest\":\"sha256:".to_owned() + &"0".repeat(64) + "\",\"size\":1}"; 4097]
                .join(",");
        let deep = format!("{}{}", r#"{"schemaVersion":2,"manifests":"#, "[".repeat(100_000));
        for (text, sent, why) in [
            ("", None, "is broken"),
            ("[]", None, "is broken"),
            (r#"{"schemaVersion":1,"name":"x","fsLayers":[]}"#, None, "version 1 of the schema"),
            (r#"{"schemaVersion":2,"mediaType":"text/html"}"#, None, "`text/html` is no manifest"),
            (
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
                Some(media::MANIFEST),
                "was sent as",
            ),
            (&manifest(layer.trim_end_matches(',')), None, "is no digest"),
            (&manifest(&many), None, "4097 entries"),
            (&deep, None, "is broken"),
        ] {
            let message = Document::parse(text.as_bytes(), sent).unwrap_err();
            assert!(message.contains(why), "{why}: {message}");
        }
    }

    #[test]
    fn a_configuration_is_read_by_the_rules_of_a_box() {
        let text = |metadata: &str, format: u32| format!(r#"{{"format":{format},"metadata":{metadata},"disks":[]}}"#);
        for (text, why) in [
            (text("{}", 1), "names no `provider`"),
            (text(r#"{"provider":"libvirt","vbox_rs":{"user":"-o"}}"#, 1), "no login name"),
            (text("{}", 2), "has format 2"),
            ("{".into(), "is broken"),
        ] {
            let message = BoxConfig::parse(text.as_bytes()).unwrap_err();
            assert!(message.contains(why), "{why}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", layer in ".{0,60}") {
            let _ = Document::parse(text.as_bytes(), None);
            let _ = Document::parse(manifest(&layer).as_bytes(), Some(media::INDEX));
            let _ = BoxConfig::parse(text.as_bytes());
        }
    }
}
