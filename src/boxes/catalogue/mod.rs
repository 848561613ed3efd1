//! Which image of the operating system's own publisher stands behind the name of a box.
//!
//! The files of `boxes/catalogue/` are compiled in; those under `catalogue/` in the user's configuration directory
//! replace and extend them. Nothing is read before a name is looked up, and then only what may hold it.

mod files;
mod offers;
mod release;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use self::files::FILES;
use self::release::{EndOfLife, Release, month};
use super::Error;
use super::keys::files;
use super::name::printable;
use super::offer::Offer;
use crate::store::{self, Dirs};

/// Bytes of a user's catalogue file; ours have about a thousand.
const LIMIT: u64 = 256 << 10;
/// A user's catalogue files.
const MOST: usize = 1000;

/// The catalogue: ours, with what the user adds.
#[derive(Debug)]
pub struct Catalogue {
    folder: PathBuf,
    month: String,
}

/// What is known of a name, offline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The release's own name.
    pub name: String,
    /// The operating system, for people.
    pub title: String,
    /// Who publishes the image.
    pub publisher: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// For which architectures there are images.
    pub architectures: Vec<String>,
    /// Further images, asked for as `NAME@VARIANT`.
    pub variants: Vec<String>,
    /// The smallest disk, in GiB.
    pub disk_gib: Option<u32>,
    /// `2021-04`, or `past`.
    pub end_of_life: Option<String>,
    /// Whether the updates have ended.
    pub ended: bool,
}

/// A file of the catalogue.
struct File {
    /// Where it lies; `None` for ours.
    path: Option<PathBuf>,
    stem: String,
    text: Cow<'static, str>,
}

impl File {
    /// Whether it may speak of `name`: a cheap look, before it is parsed.
    fn mentions(&self, name: &str) -> bool {
        // Written with an escape it would be overlooked; no name of a box needs one.
        self.text.contains(&format!("\"{name}\"")) || self.text.contains(&format!("'{name}'"))
    }

    fn parse(&self) -> Result<Release, Error> {
        toml::from_str(&self.text).map_err(|e| {
            let before = e.span().and_then(|span| self.text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let path = self.path.clone().unwrap_or_else(|| format!("{}.toml", self.stem).into());
            Error::Catalogue { path, why: place + &printable(e.message()) }
        })
    }
}

impl Catalogue {
    /// The catalogue of this user. Reads nothing yet.
    pub fn new(dirs: &Dirs) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { folder: dirs.config().join("catalogue"), month: month(now.as_secs() / 86_400) }
    }

    /// What is offered under `name` (`NAME` or `NAME@VARIANT`), of one architecture or of all; `None` where the
    /// catalogue does not know the name, an empty list where it has no image for the architecture.
    ///
    /// Of each architecture the pinned build comes first. Where its URL is gone, the next offer of the same architecture
    /// stands in: a newer build from the same publisher, of which no version and no checksum is known beforehand.
    pub fn lookup(&self, name: &str, architecture: Option<&str>) -> Result<Option<Vec<Offer>>, Error> {
        let (plain, variant) = split(name);
        let Some(release) = self.release(plain)? else { return Ok(None) };
        let mut offers = offers::offers(&release, name, plain, variant, &self.month);
        if offers.is_empty() {
            return Ok(None);
        }
        offers.retain(|offer| architecture.is_none_or(|asked| offer.architecture.as_deref() == Some(asked)));
        Ok(Some(offers))
    }

    /// What is known of `name`.
    pub fn entry(&self, name: &str) -> Result<Option<Entry>, Error> {
        let (plain, variant) = split(name);
        let release = self.release(plain)?.filter(|release| release.images(plain, variant).next().is_some());
        Ok(release.map(|release| self.describe(&release)))
    }

    /// Entries that hold every word, in any case, in a name, the title, the publisher or an architecture.
    pub fn search(&self, words: &[String]) -> Result<Vec<Entry>, Error> {
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let mut found = Vec::new();
        for file in self.files()? {
            let entry = self.describe(&file.parse()?);
            let texts = [&entry.name, &entry.title, &entry.publisher];
            let all = texts.into_iter().chain(&entry.aliases).chain(&entry.architectures).chain(&entry.variants);
            let all: Vec<String> = all.map(|text| text.to_lowercase()).collect();
            if words.iter().all(|word| all.iter().any(|text| text.contains(word))) {
                found.push(entry);
            }
        }
        found.sort_by_cached_key(|entry| natural(&entry.title));
        Ok(found)
    }

    /// The entry that holds a name: the user's own before ours.
    fn release(&self, name: &str) -> Result<Option<Release>, Error> {
        if name.is_empty() || name.contains(['"', '\'', '\\']) || name.chars().any(char::is_control) {
            return Ok(None);
        }
        for file in self.files()?.iter().filter(|file| file.mentions(name)) {
            let release = file.parse()?;
            if release.names().any(|one| one == name) {
                return Ok(Some(release));
            }
        }
        Ok(None)
    }

    /// All files, the user's first; one of ours that the user replaced is left out.
    fn files(&self) -> Result<Vec<File>, Error> {
        let mut all = Vec::with_capacity(FILES.len());
        for path in files(&self.folder, "toml", MOST)? {
            all.push(read(path)?);
        }
        let replaced: Vec<String> = all.iter().map(|file| file.stem.clone()).collect();
        let ours = FILES.iter().filter(|(stem, _)| !replaced.iter().any(|one| one == stem));
        all.extend(ours.map(|(stem, text)| File { path: None, stem: (*stem).into(), text: (*text).into() }));
        Ok(all)
    }

    fn describe(&self, release: &Release) -> Entry {
        let unique = |texts: Vec<&String>| {
            let mut unique: Vec<String> = Vec::new();
            for text in texts {
                if !unique.contains(text) {
                    unique.push(text.clone());
                }
            }
            unique
        };
        let sizes = release.image.iter().map(|image| image.disk_gib.or(release.disk_gib));
        Entry {
            name: release.name.clone(),
            title: release.title.clone(),
            publisher: release.publisher.clone(),
            aliases: release.names().skip(1).map(Into::into).collect(),
            architectures: unique(release.image.iter().map(|image| &image.architecture).collect()),
            variants: unique(release.image.iter().filter_map(|image| image.variant.as_ref()).collect()),
            disk_gib: sizes.flatten().max(),
            end_of_life: release.end_of_life.as_ref().map(|end| match end {
                EndOfLife::Past => "past".into(),
                EndOfLife::Month(month) => month.clone(),
            }),
            ended: release.end_of_life.as_ref().is_some_and(|end| end.is_over(&self.month)),
        }
    }
}

fn read(path: PathBuf) -> Result<File, Error> {
    let bytes = store::read_bounded(&path, LIMIT)?.unwrap_or_default();
    let bad = |why: &str| Error::Catalogue { path: path.clone(), why: why.into() };
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
    let stem = Path::file_stem(&path).map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(File { stem, text: text.into(), path: Some(path) })
}

/// `NAME@VARIANT` in its two parts.
fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(name, variant)| (name, Some(variant)))
}

/// Numbers within a text are compared as numbers: Ubuntu 9 comes before Ubuntu 10.
fn natural(text: &str) -> Vec<(u64, String)> {
    let parts = text.split_inclusive(|c: char| !c.is_ascii_digit());
    parts.map(|part| (part.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0), part.into())).collect()
}

#[cfg(test)]
mod tests;
