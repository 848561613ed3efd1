//! What a user adds to a box: files below `include/`, a Vagrantfile, `info.json`. Read before anything is done to the
//! machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::{Error, unlaid};
use crate::boxes;
use crate::boxes::extras::{self, Bundle};
use crate::boxes::pack::{Content, Part};
use crate::store::{self, read_bounded};

/// Larger than any text of these; what readers of boxes accept too.
const TEXT_LIMIT: u64 = 256 << 10;

/// More files than this are no files to include, but a file system.
const COUNT_LIMIT: usize = 5000;

/// Where the user's own Vagrantfile lies in a box, as in Vagrant's.
pub(super) const VAGRANTFILE: &str = "include/_Vagrantfile";

/// What the user named.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Files and folders.
    pub include: Vec<PathBuf>,
    /// A Vagrantfile.
    pub vagrantfile: Option<PathBuf>,
    /// A JSON object.
    pub info: Option<PathBuf>,
}

/// What goes into the box beside the machine.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Files by their names in the box.
    files: BTreeMap<String, PathBuf>,
    /// Whether one of them is a Vagrantfile that the box's own has to load.
    pub(super) vagrantfile: bool,
    pub(super) info: Option<Map<String, Value>>,
}

impl Extras {
    /// Reads what the user named, and refuses what is missing, makes no sense or has no name in a box.
    pub fn read(wanted: &Wanted) -> Result<Self, Error> {
        let mut extras = Self::default();
        for path in &wanted.include {
            let name = format!("include/{}", name_of(path)?);
            extras.add(path, name)?;
        }
        if let Some(path) = &wanted.vagrantfile {
            text(path)?;
            extras.put(VAGRANTFILE.into(), path)?;
            extras.vagrantfile = true;
        }
        extras.info = wanted.info.as_deref().map(info).transpose()?;
        Ok(extras)
    }

    /// The files, which are opened when their turn comes: there may be more than a process may have open.
    pub(super) fn parts(&self) -> Result<Vec<Part<'static>>, Error> {
        let part = |(name, path): (&String, &PathBuf)| {
            let size = fs::metadata(path).map_err(|e| store::Error::io("read", path, e))?.len();
            let from = Box::new(Later { path: path.clone(), file: None });
            Ok(Part { name: name.clone(), content: Content::Stream { size, from } })
        };
        self.files.iter().map(part).collect()
    }

    /// The same and the box's own Vagrantfile, in one file in `folder`; `None` where there is nothing.
    pub(super) fn bundle(&self, vagrantfile: Option<String>, folder: &Path) -> Result<Option<PathBuf>, Error> {
        let mut bundle = Bundle::default();
        let vagrantfile = vagrantfile.map(|text| Part::text(extras::VAGRANTFILE, text));
        for part in vagrantfile.into_iter().chain(self.parts()?) {
            let name = part.name.clone();
            let added = bundle.add(folder, &name, &mut part.reader(), u64::MAX);
            let refused = |source| boxes::Error::Refused { from: name.clone(), source };
            added.map_err(|broken| unlaid(broken.told(refused)))?;
        }
        Ok(bundle.finish().map_err(unlaid)?.map(|written| written.path))
    }

    /// A file, or all of a folder.
    fn add(&mut self, path: &Path, name: String) -> Result<(), Error> {
        let refused = |why: &str| Error::Include { path: path.into(), why: why.into() };
        let missing = |e: io::Error| refused(&store_words(&e));
        // Links are followed where the user names one, and nowhere below it: what lies there is the user's own word.
        let about = fs::metadata(path).map_err(missing)?;
        if about.is_file() {
            fs::File::open(path).map_err(missing)?;
            return self.put(name, path);
        }
        if !about.is_dir() {
            return Err(refused("it is neither a file nor a folder"));
        }
        let mut entries: Vec<_> = fs::read_dir(path).and_then(Iterator::collect).map_err(missing)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let below = entry.path();
            let Ok(last) = entry.file_name().into_string() else {
                return Err(Error::Include { path: below, why: "its name is not UTF-8".into() });
            };
            if entry.file_type().map_err(missing)?.is_symlink() {
                let why = "it is a link, and a box holds files only; name what it leads to".into();
                return Err(Error::Include { path: below, why });
            }
            self.add(&below, format!("{name}/{last}"))?;
        }
        Ok(())
    }

    fn put(&mut self, name: String, path: &Path) -> Result<(), Error> {
        if name.chars().any(char::is_control) {
            return Err(Error::Include { path: path.into(), why: "its name holds control characters".into() });
        }
        if self.files.len() >= COUNT_LIMIT {
            let why = format!("a box takes at most {COUNT_LIMIT} files beside the machine");
            return Err(Error::Include { path: path.into(), why });
        }
        match self.files.insert(name.clone(), path.into()) {
            None => Ok(()),
            Some(_) => Err(Error::IncludedTwice { name }),
        }
    }
}

/// A file that is opened at the first byte.
struct Later {
    path: PathBuf,
    file: Option<fs::File>,
}

impl Read for Later {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => fs::File::open(&self.path)?,
        };
        let count = file.read(buffer)?;
        self.file = Some(file);
        Ok(count)
    }
}

/// The name in the box: a relative path stays, as in Vagrant; of an absolute one the last part.
fn name_of(path: &Path) -> Result<String, Error> {
    let refused = |why: &str| Error::Include { path: path.into(), why: why.into() };
    let kept = if path.is_absolute() { path.file_name().map(Path::new) } else { Some(path) };
    let kept = kept.ok_or_else(|| refused("it has no name of its own"))?;
    let mut names = Vec::new();
    for part in kept.components() {
        match part {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(|| refused("its name is not UTF-8"))?),
            Component::CurDir => {}
            _ => return Err(refused("it leads out of the current directory")),
        }
    }
    if names.is_empty() { Err(refused("it has no name of its own")) } else { Ok(names.join("/")) }
}

fn store_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        _ => error.to_string(),
    }
}

fn text(path: &Path) -> Result<String, Error> {
    let missing = || store::Error::io("read", path, io::ErrorKind::NotFound.into());
    let bytes = read_bounded(path, TEXT_LIMIT)?.ok_or_else(missing)?;
    String::from_utf8(bytes).map_err(|_| Error::Text { path: path.into(), why: "not text in UTF-8".into() })
}

fn info(path: &Path) -> Result<Map<String, Value>, Error> {
    let not = |why: String| Error::Text { path: path.into(), why: format!("no JSON object: {why}") };
    match serde_json::from_str(&text(path)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(not("it holds a single value or a list".into())),
        Err(e) => Err(not(e.to_string())),
    }
}
