//! Where a box comes from: a file or a URL.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::Error;
use super::checksum::sha256_of;
use super::name::printable;

/// A file of this computer, or something to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Http(Url),
}

impl Source {
    /// Reads what a user typed. Nothing is looked at yet.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((scheme, _)) = text.split_once("://") else {
            let path = std::path::absolute(text).map_err(|e| Error::io("find", text, e))?;
            return Ok(Self::File(path));
        };
        let bad = |why: &str| Error::Source { text: without_secrets(text), why: why.into() };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Url::parse(text).map(Self::Http).map_err(|e| bad(&e.to_string())),
            "file" => {
                let url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
                let path = url.to_file_path().map_err(|()| bad("it names no file of this computer"))?;
                Ok(Self::File(path))
            }
            other => Err(bad(&format!("boxes come from files, http and https, not from `{}`", printable(other)))),
        }
    }

    /// Stands for the source in file names and records, and betrays nothing of it.
    pub fn id(&self) -> String {
        match self {
            Self::File(path) => sha256_of(&format!("file:{}", path.display())),
            Self::Http(url) => sha256_of(url.as_str()),
        }
    }

    /// The last part of the path: `debian-12-generic-amd64.qcow2`.
    pub fn file_name(&self) -> String {
        let name = match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Http(url) => {
                url.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()).map(percent_decoded))
            }
        };
        printable(&name.unwrap_or_default())
    }

    /// A name for a box that brings none: the file's, without what tells its format.
    pub fn default_name(&self) -> Option<String> {
        const ENDINGS: &[&str] = &[".box", ".qcow2", ".qcow", ".img", ".raw", ".tar", ".tgz", ".gz"];
        let mut name = self.file_name();
        while let Some(ending) = ENDINGS.iter().find(|ending| name.to_ascii_lowercase().ends_with(*ending)) {
            name.truncate(name.len() - ending.len());
        }
        let name = name.trim().to_owned();
        (!name.is_empty()).then_some(name)
    }
}

/// For messages and records: no user, password, query or fragment, any of which may be a secret.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Http(url) => f.write_str(&shown(url)),
        }
    }
}

/// The name that a box from `source` (file or URL) gets when nobody names it.
pub fn default_name(source: &str) -> Option<String> {
    Source::parse(source).ok()?.default_name()
}

/// A source for messages: without user, password, query and fragment, any of which may be a secret.
pub fn shown_source(source: &str) -> String {
    Source::parse(source).map_or_else(|_| without_secrets(source), |source| source.to_string())
}

/// A URL without its secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs without a host, which carry neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    printable(url.as_str())
}

/// The same for a text that is no URL.
fn without_secrets(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let text = &text[..end];
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let start = rest[..host].rfind('@').map_or(0, |at| at + 1);
            printable(&format!("{scheme}://{}", &rest[start..]))
        }
        None => printable(text),
    }
}

pub(super) fn percent_decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a missing file was probably meant as the name of a box (`debian/bookworm64`).
pub(super) fn looks_like_name(path: &Path, typed: &str) -> bool {
    !typed.starts_with(['/', '.', '~']) && typed.split('/').count() <= 2 && path.extension().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_urls_are_told_apart() {
        assert_eq!(Source::parse("/a/b.box").unwrap(), Source::File("/a/b.box".into()));
        assert_eq!(Source::parse("file:///a/b%20c.box").unwrap(), Source::File("/a/b c.box".into()));
        assert!(matches!(Source::parse("HTTPS://example.com/x").unwrap(), Source::Http(_)));
        assert!(matches!(Source::parse("x.box").unwrap(), Source::File(path) if path.is_absolute()));
    }

    #[test]
    fn secrets_of_a_url_are_never_shown() {
        let source = Source::parse("https://me:hunter2@example.com/a/b.box?token=s3cret#x").unwrap();
        assert_eq!(source.to_string(), "https://example.com/a/b.box");
        for text in
            ["ftp://me:hunter2@example.com/b.box?token=s3cret", "https://me:hunter2@:x/?token=s3cret", "file://host/x"]
        {
            let message = Source::parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2") && !message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_name_is_derived_from_the_file() {
        for (text, name) in [
            ("/x/debian-12-generic-amd64.qcow2", Some("debian-12-generic-amd64")),
            ("https://example.com/a/My%20Box.tar.gz?x=1", Some("My Box")),
            ("https://example.com/a/thing.BOX/", Some("thing")),
            ("https://example.com/", None),
            ("/x/.box", None),
        ] {
            assert_eq!(Source::parse(text).unwrap().default_name().as_deref(), name, "{text}");
        }
    }
}
