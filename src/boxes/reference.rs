//! What a user calls a box: a name, perhaps with a constraint, a URL, or a file.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::name::{self, printable};
use super::source::Source;
use super::version::Requirement;

/// What a user calls a box. Nothing is asked of any server yet.
#[derive(Clone, Debug)]
pub enum Reference {
    /// `debian/bookworm64`, `debian/bookworm64@~> 12.0`.
    Name {
        /// The name.
        name: String,
        /// Which versions will do.
        requirement: Option<Requirement>,
    },
    /// A box, an image, or a catalogue document by http or https.
    Url(String),
    /// The same as a file.
    File(PathBuf),
    /// An artifact of an OCI registry: all behind `oci://`.
    Oci(String),
}

/// What files of boxes, images and catalogue documents end in; no name of a box does.
const ENDINGS: &[&str] = &[
    "box", "qcow2", "qcow", "img", "raw", "vmdk", "vdi", "vhd", "vhdx", "ova", "ovf", "json", "tar", "tgz", "gz", "xz",
    "zst", "bz2", "zip", "iso",
];

impl Reference {
    /// Reads what a user typed. A file that is there wins over a name that looks like it, as in Vagrant.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some((scheme, rest)) = text.split_once("://") {
            if scheme.eq_ignore_ascii_case("oci") {
                return Ok(Self::Oci(rest.to_owned()));
            }
            return Ok(match Source::parse(text)? {
                Source::File(path) => Self::File(path),
                Source::Http(_) => Self::Url(text.to_owned()),
            });
        }
        let is_file = Path::new(text).is_file();
        if text.starts_with("oci:") && !is_file {
            let why = "a registry's box is named oci://HOST/REPOSITORY:TAG".into();
            return Err(Error::Source { text: printable(text), why });
        }
        if is_path(text) || is_file {
            let path = std::path::absolute(text).map_err(|e| Error::io("find", text, e))?;
            return Ok(Self::File(path));
        }
        Self::name(text)
    }

    /// Reads what can only be a name: `box` of a machine file, where it is no URL and no path.
    pub fn name(text: &str) -> Result<Self, Error> {
        let (name, requirement) = match text.split_once('@') {
            // A word behind `@` is a variant of the box (`debian/bookworm64@genericcloud`), never a version.
            Some((name, behind)) if !behind.trim().starts_with(|c: char| c.is_ascii_alphabetic()) => {
                (name, Some(behind.parse()?))
            }
            _ => (text, None),
        };
        check_name(name)?;
        Ok(Self::Name { name: name.to_owned(), requirement })
    }
}

/// Whether what was typed can only be a path.
fn is_path(text: &str) -> bool {
    let known_ending = Path::new(text)
        .extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()));
    text.starts_with(['/', '.', '~']) || text.split('/').count() > 2 || known_ending
}

/// Names that are looked up: a look-alike letter must not lead to somebody else's box.
fn check_name(name: &str) -> Result<(), Error> {
    name::encode(name)?;
    let bad = |why| Err(Error::Name { name: printable(name), why });
    if !name.is_ascii() {
        return bad("only ASCII letters are looked up, because others can look alike");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return bad("it looks like a path");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_registry_is_named_by_the_whole_of_its_scheme() {
        assert!(matches!(Reference::parse("oci://x/y:1").unwrap(), Reference::Oci(_)));
        for text in ["oci:x", "oci:/x/y"] {
            let message = Reference::parse(text).unwrap_err().to_string();
            assert!(message.contains("is named oci://HOST/REPOSITORY:TAG"), "{message}");
        }
    }

    fn parsed(text: &str) -> String {
        match Reference::parse(text) {
            Ok(Reference::Name { name, requirement: None }) => format!("name {name}"),
            Ok(Reference::Name { name, requirement: Some(requirement) }) => format!("name {name}, {requirement}"),
            Ok(Reference::Url(url)) => format!("url {url}"),
            Ok(Reference::File(path)) => format!("file {}", path.file_name().unwrap().to_string_lossy()),
            Ok(Reference::Oci(rest)) => format!("oci {rest}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_urls_and_files_are_told_apart() {
        for (text, expected) in [
            ("debian/bookworm64", "name debian/bookworm64"),
            ("bento/ubuntu-16.04", "name bento/ubuntu-16.04"),
            ("precise64", "name precise64"),
            ("a/b@~> 12.0, != 12.3", "name a/b, ~> 12.0, != 12.3"),
            ("a/b@1.2", "name a/b, 1.2"),
            ("debian/bookworm64@genericcloud", "name debian/bookworm64@genericcloud"),
            ("https://x/y.box", "url https://x/y.box"),
            ("HTTP://x/y.json", "url HTTP://x/y.json"),
            ("file:///x/y.box", "file y.box"),
            ("oci://reg.example/a:1", "oci reg.example/a:1"),
            ("./thing", "file thing"),
            ("my.box", "file my.box"),
            ("a/b/c", "file c"),
            ("images/deb.QCOW2", "file deb.QCOW2"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "it is empty"),
            ("a\nb", "control characters"),
            ("a/", "looks like a path"),
            ("a/..", "looks like a path"),
            ("ubuntu/x\u{435}nial64", "can look alike"),
            ("a/b@", "not a version constraint"),
            ("a/b@>> 1", "not a version constraint"),
            ("ftp://u:s3cret@x/y", "not from `ftp`"),
        ] {
            let message = parsed(text);
            assert!(message.contains(why) && !message.contains("s3cret"), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = Reference::parse(&text);
        }
    }
}
