//! `oci://HOST[:PORT]/REPOSITORY[:TAG|@sha256:…]`, as a user types it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Error;
use crate::boxes::checksum::is_sha256;
use crate::boxes::name::printable;
use crate::boxes::shown_source;

/// What stands before the host.
pub const SCHEME: &str = "oci://";

/// What registries call the newest version.
pub(super) const LATEST: &str = "latest";

/// The longest repository name that registries take.
const REPOSITORY_LIMIT: usize = 255;

/// The longest tag (distribution specification).
const TAG_LIMIT: usize = 128;

/// SHA-256 of a manifest or blob: `sha256:` and 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Of hexadecimal digits that we computed.
    pub(super) fn of(hex: &str) -> Self {
        Self(format!("sha256:{hex}"))
    }

    /// The digits alone.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sha256:") {
            Some(hex) if is_sha256(hex) => Ok(Self(text.into())),
            _ => Err(format!("`{}` is no digest that vbox-rs knows (`sha256:` and 64 digits)", printable(text))),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Name and port, as typed.
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Whether a text is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Name and port of the registry.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository as the registry's interface wants it.
    pub(super) fn repository(&self) -> String {
        let official = self.is_docker_hub() && !self.repository.contains('/');
        if official { format!("library/{}", self.repository) } else { self.repository.clone() }
    }

    /// The last part of the repository's name.
    pub fn file_name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// Its tag, where one was typed.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that pins it.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository under another tag.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Self {
        Self { tag: Some(tag.into()), digest: None, ..self.clone() }
    }

    /// Digest, tag, or `latest`: what the registry is asked for.
    pub(super) fn asked(&self) -> String {
        let pinned = self.digest.as_ref().map(ToString::to_string);
        pinned.or_else(|| self.tag.clone()).unwrap_or_else(|| LATEST.into())
    }

    /// The host that answers: Docker Hub's interface has another name than Docker Hub.
    pub(super) fn api_host(&self) -> &str {
        if self.is_docker_hub() { "registry-1.docker.io" } else { &self.host }
    }

    pub(super) fn is_docker_hub(&self) -> bool {
        matches!(self.host.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io")
    }

    /// Whether it is this computer, where nobody listens on the way.
    pub(super) fn is_loopback(&self) -> bool {
        Url::parse(&format!("http://{}/", self.host)).is_ok_and(|url| is_loopback(&url))
    }
}

/// Whether a URL leads to this computer.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A login does not belong there, and must not get into a message.
        let shown = if Self::is_meant(text) { shown_source(text) } else { printable(text) };
        parse(text).map_err(|why| Error::Reference { text: shown, why })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let rest = if Reference::is_meant(text) {
        &text[SCHEME.len()..]
    } else {
        return Err("it does not begin with oci://".into());
    };
    let (host, rest) = rest.split_once('/').ok_or("it names no repository")?;
    check_host(host)?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (rest, None),
    };
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) if is_tag(tag) => (repository, Some(tag.to_owned())),
        Some((_, tag)) => return Err(format!("`{}` is no tag", printable(tag))),
        None => (rest, None),
    };
    if !is_repository(repository) {
        return Err("a repository has lower-case letters, digits and . _ - / only".into());
    }
    Ok(Reference { host: host.to_ascii_lowercase(), repository: repository.into(), tag, digest })
}

fn check_host(host: &str) -> Result<(), String> {
    if host.contains('@') {
        return Err(
            "a login does not belong there; set VBOX_RS_OCI_REGISTRY, VBOX_RS_OCI_USER and VBOX_RS_OCI_PASSWORD".into(),
        );
    }
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    let url = Url::parse(&format!("http://{host}/")).ok().filter(|_| plain);
    // What comes back differs when the text was more or less than a host.
    let same = url.and_then(|url| {
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        let port = port.map(str::parse::<u16>).transpose().ok()?;
        let name = port.map_or(host.to_owned(), |port| host.trim_end_matches(&format!(":{port}")).to_owned());
        Some(url.host_str()?.eq_ignore_ascii_case(&name))
    });
    if same == Some(true) { Ok(()) } else { Err(format!("`{}` is no host", printable(host))) }
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    tag.len() <= TAG_LIMIT
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// The tag that a box's version gets; versions hold nothing else than tags may.
pub(super) fn tag_of(version: &str) -> Option<String> {
    is_tag(version).then(|| version.to_owned())
}

fn is_repository(name: &str) -> bool {
    let part = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
            && !part.contains("..")
    };
    name.len() <= REPOSITORY_LIMIT && name.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_user_types_is_understood() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, host, repository, asked) in [
            ("oci://ghcr.io/me/boxes/debian:12.1", "ghcr.io", "me/boxes/debian", "12.1"),
            ("OCI://Localhost:5000/debian", "localhost:5000", "debian", "latest"),
            ("oci://[::1]:5000/a_b/c-d", "[::1]:5000", "a_b/c-d", "latest"),
            ("oci://docker.io/debian", "docker.io", "library/debian", "latest"),
            (&format!("oci://x.example/a@{digest}"), "x.example", "a", &digest),
            (&format!("oci://x.example/a:1@{digest}"), "x.example", "a", &digest),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.host(), host, "{text}");
            assert_eq!((reference.repository().as_str(), reference.asked().as_str()), (repository, asked), "{text}");
            assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_telling_a_password() {
        for (text, why) in [
            ("oci://host", "no repository"),
            ("oci:///a", "no host"),
            ("oci://ho st/a", "no host"),
            ("oci://host:x/a", "no host"),
            ("oci://host:99999/a", "no host"),
            ("oci://me:hunter2@host/a", "a login does not belong there"),
            ("oci://host/../a", "a repository has"),
            ("oci://host/A", "a repository has"),
            ("oci://host/a//b", "a repository has"),
            ("oci://host/a:", "no tag"),
            ("oci://host/a:-x", "no tag"),
            ("oci://host/a@sha512:00", "no digest"),
            ("oci://host/a@sha256:AA", "no digest"),
            ("http://host/a", "does not begin"),
            ("oci:/\u{e9}@x", "does not begin"),
        ] {
            let message = text.parse::<Reference>().unwrap_err().to_string();
            assert!(message.contains(why) && !message.contains("hunter2"), "{text}: {message}");
        }
    }

    #[test]
    fn this_computer_is_told_from_others() {
        for (host, expected) in
            [("localhost:5000", true), ("127.0.0.2", true), ("[::1]:1", true), ("localhost.evil.example", false)]
        {
            assert_eq!(format!("oci://{host}/a").parse::<Reference>().unwrap().is_loopback(), expected, "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(oci://)?[a-z0-9:@./\\[\\]_-]{0,40}|.{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
