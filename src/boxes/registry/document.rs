//! Vagrant's catalogue JSON: text of a stranger, up to 20 MB of it.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use reqwest::Url;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::BadDocument;
use crate::boxes::checksum::Checksum;
use crate::boxes::metadata;
use crate::boxes::name::printable;
use crate::boxes::source::shown;
use crate::boxes::version::Version;

/// Vagrant's own bound.
pub const DOCUMENT_LIMIT: u64 = 20 << 20;

/// Longer than any URL that servers take.
const URL_LIMIT: usize = 8 << 10;

/// More versions than any box has: the largest that was seen has some hundred.
const MOST_ENTRIES: usize = 20_000;

/// Where a document lies: what it names is relative to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// On a server; it cannot name files of this computer.
    Url(Url),
    /// On this computer; the folder.
    Folder(PathBuf),
}

/// A box with its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The box's name.
    pub name: String,
    /// One line about it.
    pub description: Option<String>,
    /// Its versions, the newest first.
    pub releases: Vec<Release>,
    /// Where it lies.
    pub base: Base,
}

/// One version.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Its number.
    pub version: Version,
    /// What it was built for.
    pub builds: Vec<Build>,
}

/// One file of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// `virtualbox`, `libvirt`, …
    pub provider: String,
    /// `amd64`, …; `None` where the document says nothing.
    pub architecture: Option<String>,
    /// The one to take where nobody says which.
    pub default_architecture: bool,
    url: String,
    checksum_type: String,
    checksum: String,
}

#[derive(Deserialize)]
struct RawDocument {
    name: Option<String>,
    description: Option<String>,
    short_description: Option<String>,
    #[serde(default)]
    versions: Entries<RawRelease>,
}

#[derive(Deserialize)]
struct RawRelease {
    #[serde(deserialize_with = "text_or_number")]
    version: String,
    status: Option<String>,
    #[serde(default)]
    providers: Entries<RawBuild>,
}

#[derive(Deserialize)]
struct RawBuild {
    name: String,
    url: Option<String>,
    checksum_type: Option<String>,
    checksum: Option<String>,
    architecture: Option<String>,
    default_architecture: Option<bool>,
}

/// Versions like `2.0` are numbers to those who forget the quotes.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("a version is neither text nor a number")),
    }
}

/// A list, or `null`; entries that make no sense are passed over, so that they cost nobody the others.
struct Entries<T>(Vec<T>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_unit<E>(self) -> Result<Entries<T>, E> {
        Ok(Entries::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries<T>, A::Error> {
        let (mut entries, mut odd) = (Vec::new(), None);
        let mut count = 0;
        while let Some(entry) = list.next_element::<Value>()? {
            count += 1;
            if count > MOST_ENTRIES {
                return Err(A::Error::custom(format!("a list in it has more than {MOST_ENTRIES} entries")));
            }
            match T::deserialize(entry) {
                Ok(entry) => entries.push(entry),
                Err(error) => odd = odd.or(Some(error)),
            }
        }
        match odd {
            // Nothing can be had of it: the reason helps more than an empty list.
            Some(error) if entries.is_empty() => Err(A::Error::custom(error)),
            _ => Ok(Entries(entries)),
        }
    }
}

impl Document {
    /// Reads a document that lies at `base`.
    pub fn parse(bytes: &[u8], base: Base) -> Result<Self, BadDocument> {
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(BadDocument::TooLarge);
        }
        let text = bytes.trim_ascii_start();
        if text.is_empty() {
            return Err(BadDocument::Empty);
        }
        if text.starts_with(b"<") {
            return Err(BadDocument::Page);
        }
        let raw: RawDocument =
            serde_json::from_slice(text).map_err(|error| BadDocument::Json(printable(&error.to_string())))?;
        let name = raw.name.filter(|name| !name.is_empty()).ok_or(BadDocument::Nameless)?;
        let description = raw.short_description.or(raw.description).filter(|text| !text.is_empty());
        let mut releases: Vec<_> = raw.versions.0.into_iter().filter_map(release).collect();
        releases.sort_by(|a, b| b.version.cmp(&a.version));
        let description = description.map(|text| printable(text.lines().next().unwrap_or_default()));
        Ok(Self { name: printable(&name), description, releases, base })
    }

    /// The document's own place, without secrets.
    pub fn place(&self) -> String {
        match &self.base {
            Base::Url(url) => shown(url),
            Base::Folder(folder) => folder.display().to_string(),
        }
    }
}

/// A version that can be had; what cannot be compared or is not published is passed over, as in Vagrant.
fn release(raw: RawRelease) -> Option<Release> {
    let published = raw.status.as_deref().is_none_or(|status| status.eq_ignore_ascii_case("active"));
    let version = raw.version.parse().ok().filter(|_| published)?;
    let builds = raw.providers.0.into_iter().filter_map(build).collect();
    Some(Release { version, builds })
}

fn build(raw: RawBuild) -> Option<Build> {
    let architecture = raw.architecture.filter(|text| !text.is_empty());
    Some(Build {
        provider: printable(&raw.name),
        // One with a strange architecture can never be chosen; without one it would fit everywhere.
        architecture: architecture.map(|text| metadata::architecture(&text)).transpose().ok()?,
        default_architecture: raw.default_architecture.unwrap_or(false),
        url: raw.url?,
        checksum_type: raw.checksum_type.unwrap_or_default(),
        checksum: raw.checksum.unwrap_or_default(),
    })
}

impl Build {
    /// What the file must hash to; `None` where the document promises nothing.
    pub fn checksum(&self) -> Result<Option<Checksum>, BadDocument> {
        let (kind, digits) = (self.checksum_type.trim(), self.checksum.trim());
        if digits.is_empty() {
            return Ok(None);
        }
        let kind = kind.to_ascii_lowercase().replace('-', "");
        if !matches!(kind.as_str(), "" | "md5" | "sha1" | "sha256" | "sha384" | "sha512") {
            return Err(BadDocument::ChecksumType(printable(&kind)));
        }
        let text = if kind.is_empty() { digits.to_owned() } else { format!("{kind}:{digits}") };
        text.parse().map(Some).map_err(|_| BadDocument::Checksum(printable(&text)))
    }

    /// Where the file lies.
    pub fn url(&self, base: &Base) -> Result<String, BadDocument> {
        let bad = |why| BadDocument::Url { url: crate::boxes::shown_source(&self.url), why };
        if self.url.is_empty() || self.url.len() > URL_LIMIT || self.url.chars().any(char::is_control) {
            return Err(bad("it is no URL"));
        }
        match base {
            Base::Url(base) => {
                let url = base.join(&self.url).map_err(|_| bad("it is no URL"))?;
                match url.scheme() {
                    "http" | "https" => Ok(url.into()),
                    // Without a host it would be read as a file's name.
                    "oci" if url.has_host() => Ok(url.into()),
                    _ => Err(bad("a document of a server can only name what servers have")),
                }
            }
            Base::Folder(_) if self.url.contains("://") => Ok(self.url.clone()),
            Base::Folder(folder) => Ok(folder.join(&self.url).display().to_string()),
        }
    }

    /// Whether somebody between us and the server can put another file in the place of this one.
    pub(super) fn is_unprotected(&self, base: &Base) -> bool {
        self.checksum.trim().is_empty() && self.url(base).is_ok_and(|url| url.to_ascii_lowercase().starts_with("http:"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Base {
        Base::Url("https://boxes.example/api/v2/vagrant/me/deb".parse().unwrap())
    }

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse(text.as_bytes(), base()).map_err(|error| error.to_string())
    }

    fn one(build: &str) -> Build {
        let text = format!(r#"{{"name":"me/deb","versions":[{{"version":"1","providers":[{build}]}}]}}"#);
        parse(&text).unwrap().releases.remove(0).builds.remove(0)
    }

    #[test]
    fn a_document_of_vagrants_is_understood() {
        let document = parse(
            r#"{"name":"me/deb","description":"Debian\nsecond line","versions":[
              {"version":"1.2.0","status":"active","providers":[{"name":"libvirt","url":"https://x/a.box",
                "checksum_type":"SHA-256","checksum":"","architecture":"x86_64","default_architecture":true}]},
              {"version":"1.10.0","providers":[]},{"version":"2.0.0","status":"revoked","providers":[]},
              {"version":"latest","providers":[]}], "extra": {"a": [1]}}"#,
        )
        .unwrap();
        assert_eq!((document.name.as_str(), document.description.as_deref()), ("me/deb", Some("Debian")));
        let versions: Vec<_> = document.releases.iter().map(|release| release.version.to_string()).collect();
        assert_eq!(versions, ["1.10.0", "1.2.0"]);
        let build = &document.releases[1].builds[0];
        assert_eq!((build.architecture.as_deref(), build.default_architecture), (Some("amd64"), true));
        assert_eq!(build.checksum().unwrap(), None);
    }

    #[test]
    fn what_is_no_document_is_refused_with_the_reason() {
        let deep = "[".repeat(100_000);
        let deep_name = format!(r#"{{"name":{deep}"#);
        let deep_extra = format!(r#"{{"name":"a","extra":{deep}"#);
        for (text, why) in [
            ("", "it is empty"),
            ("  <!DOCTYPE html>", "a web page"),
            ("[]", "expected struct"),
            ("{}", "names no box"),
            (r#"{"name":3}"#, "invalid type: integer `3`, expected a string"),
            (r#"{"name":"a","versions":"1"}"#, "expected a sequence"),
            (r#"{"name":"a","versions":[{"version":[]}]}"#, "neither text nor a number"),
            (r#"{"name":"a","versions":[{"version":"1","providers":{}}]}"#, "expected a sequence"),
            (r#"{"name":"a","versions":[{"version":"1","providers":[{"name":"x","url":[]}]}]}"#, "expected a string"),
            (r#"{"errors":["not found"],"success":false}"#, "names no box"),
            (&deep, "expected struct"),
            (&deep_name, "expected a string"),
            (&deep_extra, "EOF while parsing"),
        ] {
            let message = parse(text).unwrap_err();
            let expected = why.replace("expected struct", "invalid type");
            assert!(message.contains(why) || message.contains(&expected), "{why}: {message}");
        }
        let huge = vec![b' '; 50 << 20];
        assert!(matches!(Document::parse(&huge, base()), Err(BadDocument::TooLarge)));
    }

    #[test]
    fn an_odd_entry_costs_nobody_the_others() {
        let document = parse(
            r#"{"name":"a","versions":[{"version":2.0,"providers":null},{"version":["x"]},3,
              {"version":"1","providers":[{"name":"x","url":"u","default_architecture":"true"},{"name":"y","url":"v"}]}]}"#,
        )
        .unwrap();
        let told = |release: &Release| (release.version.to_string(), release.builds.len());
        assert_eq!(document.releases.iter().map(told).collect::<Vec<_>>(), [("2.0".into(), 0), ("1".into(), 1)]);
        let many = format!(r#"{{"name":"a","versions":[{}{{"version":"1"}}]}}"#, r#"{"version":"1"},"#.repeat(20_000));
        assert!(parse(&many).unwrap_err().contains("more than 20000 entries"));
    }

    #[test]
    fn checksums_of_every_form_are_read_or_refused() {
        let sum = "a".repeat(64);
        let told = |kind: &str, sum: &str| {
            let build = one(&format!(r#"{{"name":"x","url":"u","checksum_type":{kind},"checksum":{sum}}}"#));
            build.checksum().map(|sum| sum.map(|sum| sum.to_string())).map_err(|error| error.to_string())
        };
        let quoted = format!("\"{sum}\"");
        for kind in ["\"sha256\"", "\"SHA256\"", "\"sha-256\"", "\"\"", "null"] {
            assert_eq!(told(kind, &quoted), Ok(Some(format!("sha256:{sum}"))), "{kind}");
        }
        assert_eq!(told("\"sha256\"", "null"), Ok(None));
        assert_eq!(told("\"crc32\"", "\"\""), Ok(None));
        assert!(told("\"crc32\"", "\"0123\"").unwrap_err().contains("`crc32`"));
        assert!(told("\"sha512\"", &quoted).unwrap_err().contains("no checksum"));
        assert!(told("\"sha256\"", "\"zz\"").unwrap_err().contains("no checksum"));
    }

    #[test]
    fn urls_are_relative_to_the_document_and_never_leave_the_server_for_a_file() {
        let url = |text: &str, base: &Base| one(&serde_json::json!({"name": "x", "url": text}).to_string()).url(base);
        assert_eq!(url("../f.box", &base()).unwrap(), "https://boxes.example/api/v2/vagrant/f.box");
        assert_eq!(url("/f.box", &base()).unwrap(), "https://boxes.example/f.box");
        assert_eq!(url("http://y/f.box?k=1", &base()).unwrap(), "http://y/f.box?k=1");
        for text in ["file:///etc/passwd", "ftp://x/y", "", "http://[", "a\u{1b}b", "oci:x//y", "oci:/x"] {
            assert!(url(text, &base()).is_err(), "{text}");
        }
        let folder = Base::Folder("/srv/boxes".into());
        assert_eq!(url("1/f.box", &folder).unwrap(), "/srv/boxes/1/f.box");
        assert_eq!(url("/f.box", &folder).unwrap(), "/f.box");
        assert_eq!(url("https://x/f.box", &folder).unwrap(), "https://x/f.box");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&bytes, base());
        }

        #[test]
        fn any_build_has_a_url_and_a_checksum_or_a_reason(url in "\\PC{0,40}", kind in "[a-z0-9-]{0,8}", sum in "[0-9a-g]{0,70}") {
            let build = Build {
                provider: "x".into(), architecture: None, default_architecture: false, url, checksum_type: kind, checksum: sum,
            };
            let _ = (build.url(&base()), build.checksum());
        }
    }
}
