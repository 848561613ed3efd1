//! What `init` writes: machine files that teach by their comments.
//!
//! A template is a machine file in which `{{box}}` stands for the value of `box` (and for the lines `box_version` and
//! `box_url`, where they are wanted). The ones that come with the program lie in `templates/`.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::nearest::nearest;
use super::resolved::quoted;
use crate::error::{Exit, Explain};
use crate::store;

/// Name and text of the templates that come with the program; the first is the default.
const TEMPLATES: &[(&str, &str)] = &[
    ("default", include_str!("../../templates/default.toml")),
    ("web", include_str!("../../templates/web.toml")),
    ("multi", include_str!("../../templates/multi.toml")),
    ("docker", include_str!("../../templates/docker.toml")),
];

/// The box of a new machine file where none is named.
pub const DEFAULT_BOX: &str = "debian/bookworm64";

const PLACEHOLDER: &str = "{{box}}";

/// A template of a user is a machine file, so it is not larger.
const LIMIT: u64 = super::LIMIT;

/// What the new file should say.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Name, URL or path of the box; [`DEFAULT_BOX`] where left out.
    pub box_name: Option<&'a str>,
    /// Constraint on its version.
    pub box_version: Option<&'a str>,
    /// Where to fetch it from.
    pub box_url: Option<&'a str>,
    /// One of [`names`], or the path of a template of the user's own; `default` where left out.
    pub template: Option<&'a str>,
    /// Without the comments.
    pub minimal: bool,
}

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a name nor a file.
    #[error("no template named `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot read the template {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too large, or no text.
    #[error("{} is no template: it is {why}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// "larger than …", "not UTF-8".
        why: String,
    },
    /// The template has no place for the box.
    #[error("the template {} has no {PLACEHOLDER}, so it cannot take the box that you named", file.display())]
    NoPlace {
        /// The file.
        file: PathBuf,
    },
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { .. } => Exit::Io,
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } => Some(match nearest(name, names().iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("templates: {}; or the path of a file of your own", names().join(", ")),
            }),
            Self::Unreadable { file, source } => store::io_hint(source, file),
            Self::Unusable { .. } => None,
            Self::NoPlace { .. } => Some(format!("write `box = {PLACEHOLDER}` in it, or leave the box's name out")),
        }
    }
}

/// The templates that come with the program, the default one first.
pub fn names() -> Vec<&'static str> {
    TEMPLATES.iter().map(|(name, _)| *name).collect()
}

/// The text of a new machine file.
pub fn render(request: &Request<'_>) -> Result<String, Error> {
    let template = text(request)?;
    let mut value = quoted(request.box_name.unwrap_or(DEFAULT_BOX));
    for (key, line) in [("box_version", request.box_version), ("box_url", request.box_url)] {
        if let Some(line) = line {
            let _ = write!(value, "\n{key} = {}", quoted(line));
        }
    }
    let text = if request.minimal { without_comments(&template) } else { template };
    Ok(text.replace(PLACEHOLDER, &value))
}

fn text(request: &Request<'_>) -> Result<String, Error> {
    let name = request.template.unwrap_or("default");
    if let Some((_, text)) = TEMPLATES.iter().find(|(known, _)| *known == name) {
        return Ok((*text).to_owned());
    }
    let file = Path::new(name);
    let bytes = match store::read_bounded(file, LIMIT) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(missing(name)),
        Err(store::Error::Io { source, .. }) => return Err(Error::Unreadable { file: file.into(), source }),
        Err(_) => return Err(Error::Unusable { file: file.into(), why: format!("larger than {LIMIT} bytes") }),
    };
    let text = String::from_utf8(bytes).map_err(|_| Error::Unusable { file: file.into(), why: "not UTF-8".into() })?;
    let names_box = request.box_name.or(request.box_version).or(request.box_url).is_some();
    if names_box && !text.contains(PLACEHOLDER) {
        return Err(Error::NoPlace { file: file.into() });
    }
    Ok(text)
}

fn missing(name: &str) -> Error {
    if name.contains(std::path::MAIN_SEPARATOR) {
        return Error::Unreadable { file: name.into(), source: io::ErrorKind::NotFound.into() };
    }
    Error::Unknown { name: name.into() }
}

/// Drops the lines that are comments (`# …`, `#key = …`; not `#!`, which starts scripts) and the empty lines that they
/// leave behind.
fn without_comments(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') || line.starts_with("#!")) {
        if !(line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            // A comment behind a value goes too, where the value holds no `#` itself.
            lines.push(match line.split_once("  # ") {
                Some((value, comment)) if !comment.contains('"') && !value.contains('#') => value.trim_end(),
                _ => line,
            });
        }
    }
    format!("{}\n", lines.join("\n").trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn box_of(text: &str) -> Option<String> {
        let (project, warnings) = super::super::parse(text, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap();
        assert_eq!(warnings, []);
        project.machines[0].box_name.clone()
    }

    #[test]
    fn every_template_loads_with_and_without_comments() {
        for name in names() {
            for minimal in [false, true] {
                let text = render(&Request { template: Some(name), minimal, ..Request::default() }).unwrap();
                assert_eq!(box_of(&text).as_deref(), Some(DEFAULT_BOX), "{name}:\n{text}");
                assert_eq!(text.contains("# "), !minimal, "{name}:\n{text}");
            }
        }
    }

    #[test]
    fn the_default_template_without_comments_is_one_line() {
        let text = render(&Request { minimal: true, ..Request::default() }).unwrap();
        assert_eq!(text, "box = \"debian/bookworm64\"\n");
        let request = Request {
            box_name: Some("a/b"),
            box_version: Some("~> 1.0"),
            box_url: Some("https://x/y"),
            minimal: true,
            template: None,
        };
        let text = render(&request).unwrap();
        assert_eq!(text, "box = \"a/b\"\nbox_version = \"~> 1.0\"\nbox_url = \"https://x/y\"\n");
    }

    #[test]
    fn a_template_of_ones_own_is_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mine.toml");
        std::fs::write(&file, "# mine\nbox = {{box}}\ncpus = 4\n").unwrap();
        let request = Request { box_name: Some("a/b"), template: file.to_str(), ..Request::default() };
        assert_eq!(render(&request).unwrap(), "# mine\nbox = \"a/b\"\ncpus = 4\n");
        std::fs::write(&file, "box = \"x/y\"\n").unwrap();
        assert!(matches!(render(&request), Err(Error::NoPlace { .. })));
        assert_eq!(render(&Request { box_name: None, ..request }).unwrap(), "box = \"x/y\"\n");
    }

    #[test]
    fn an_unknown_template_is_told_with_the_nearest_name() {
        let error = render(&Request { template: Some("mutli"), ..Request::default() }).unwrap_err();
        assert_eq!(error.to_string(), "no template named `mutli`");
        assert_eq!(error.hint().unwrap(), "did you mean `multi`?");
        let error = render(&Request { template: Some("./nothing.toml"), ..Request::default() }).unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }));
    }

    proptest! {
        #[test]
        fn any_name_is_quoted_so_that_the_file_says_just_it(name in "[a-z/][^\\p{Cc}\\s]{0,30}") {
            prop_assume!(!name.starts_with(['/', '.', '~']));
            let text = render(&Request { box_name: Some(&name), ..Request::default() }).unwrap();
            let value: toml::Table = text.parse().unwrap();
            prop_assert_eq!(value["box"].as_str(), Some(&*name));
        }
    }
}
