//! The machine file.
//!
//! [`find`] it, [`load`] it: the result is a [`spec::Project`] and warnings, or an [`Error`] that shows every problem of
//! the file at once. The reader works on the parser's tables with their places (`read.rs`), one function for each section
//! (`layer.rs`, `sections.rs`), then lays machines over the top level (`resolve.rs`) and checks what concerns several of
//! them (`project.rs`). A file in Ruby is run by `vagrantfile` instead, which fills the same layers. [`parse`] takes TOML
//! alone and does all of it without touching the disk.

mod box_file;
mod check;
mod error;
mod find;
mod import;
mod layer;
mod nearest;
mod problem;
mod project;
mod read;
mod resolve;
mod resolved;
pub mod schema;
mod sections;
pub mod size;
pub mod spec;
pub mod template;
mod trigger;
mod trust;
mod vagrantfile;
mod virtualbox;
mod words;

pub use box_file::{BoxFile, BoxSettings, read_box};
pub use error::Error;
pub use find::{NAMES, find};
pub use import::import;
pub use problem::{Label, LeftOut, Level, Problem, Source, render};
pub use resolved::to_toml;
pub use schema::schema;
pub use words::words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use self::layer::{HostFile, Layer, Paths};
use self::read::{Reader, Table};
use self::resolve::Machine;
use self::spec::{Project, ProviderKind};
use crate::store::Dirs;

/// No machine file is larger; a larger file is something else.
pub const LIMIT: u64 = 1 << 20;

/// No project has more machines; what is checked among them takes the square of their number.
const MOST_MACHINES: usize = 1000;

/// The machine's name where the file names none.
const DEFAULT: &str = "default";

/// How a machine file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// The user trusts the file, which is remembered here.
    pub trusting: Option<&'a Dirs>,
    /// The provider of machines that are made now and of which the file says nothing; it decides which provider's blocks
    /// count in files of Vagrant.
    pub provider: Option<ProviderKind>,
}

/// Reads a machine file. The problems beside a project are warnings. One in Ruby runs commands and changes files only
/// where the user said before that it may.
pub fn load(file: &Path) -> Result<(Project, Vec<Problem>), Error> {
    load_as(file, Reading::default())
}

/// As [`load`], with more to be said.
pub fn load_as(file: &Path, reading: Reading<'_>) -> Result<(Project, Vec<Problem>), Error> {
    let trusting = reading.trusting;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let bytes = find::read(&file)?;
    let text = String::from_utf8(bytes).map_err(|source| error::not_utf8(&file, &source))?;
    let root = file.parent().unwrap_or(Path::new("/"));
    let here = std::env::current_dir().unwrap_or_default();
    let shown = file.strip_prefix(here).unwrap_or(&file).display().to_string();
    let known = || Dirs::from_env().is_ok_and(|dirs| trust::is_trusted(&dirs, &file, &text));
    // Only triggers of a file in TOML run anything here.
    let may_want = find::looks_like_ruby(&text) || text.contains("trigger");
    let trusted = may_want && (trusting.is_some() || known());
    let source = Arc::new(Source { name: shown, text });
    let (project, problems, others) = read_text(&source, &file, root, Some(trusted), reading.provider)?;
    if let Some(dirs) = trusting.filter(|_| trusted) {
        trust::remember(dirs, &file, &source.text, &others).map_err(Error::Trust)?;
    }
    Ok((project, problems))
}

/// Reads the text of a machine file `file` whose relative paths start at `root`, without looking at the disk: files of
/// the host that it names are not looked for, and Ruby, which may read files, is refused.
pub fn parse(text: &str, file: &Path, root: &Path) -> Result<(Project, Vec<Problem>), Error> {
    let source = Arc::new(Source { name: file.display().to_string(), text: text.to_owned() });
    read_text(&source, file, root, None, None).map(|(project, problems, _)| (project, problems))
}

/// `trusted` is `None` where the disk is not looked at. Also the other files that a file in Ruby ran.
fn read_text(
    source: &Arc<Source>,
    file: &Path,
    root: &Path,
    trusted: Option<bool>,
    provider: Option<ProviderKind>,
) -> Result<(Project, Vec<Problem>, Vec<PathBuf>), Error> {
    let (tables, syntax) = DeTable::parse_recoverable(&source.text);
    let is_ruby = !syntax.is_empty() && find::looks_like_ruby(&source.text);
    if is_ruby && trusted.is_none() {
        return Err(Error::Ruby { file: file.to_owned() });
    }
    let mut reader = Reader::new(Arc::clone(source));
    let paths = Paths { root, home: std::env::home_dir().filter(|home| home.is_absolute()), named: Vec::new().into() };
    let (mut machines, mut others) = if is_ruby {
        let (text, user) = (&source.text, find::user_file());
        let trusted = trusted.unwrap_or_default();
        vagrantfile::machines(&reader, &vagrantfile::Sources { file, text, user, trusted, provider }, &paths)
    } else {
        reader.syntax(syntax);
        (machines(&reader, tables.get_ref(), &paths), Vec::new())
    };
    project::check(&machines, &reader, is_ruby);
    others.extend(trigger::settle(&mut machines, &reader, trusted));
    for named in paths.named.take().iter().filter(|named| trusted.is_some() && !named.path.exists()) {
        tell_missing(named, &reader);
    }
    let machines = machines.iter().map(|machine| resolve::spec(machine, root, &reader)).collect();
    let project = Project { file: file.to_owned(), root: root.to_owned(), machines };
    let problems = reader.into_problems();
    if problems.iter().any(|problem| problem.level == Level::Error) {
        let rendered = render(&problems, false);
        return Err(Error::Invalid { file: file.to_owned(), problems, rendered });
    }
    Ok((project, problems, others))
}

/// Runs the text of a machine file in Ruby, and forgets what it means: for the fuzzer.
#[doc(hidden)]
pub fn run_ruby(text: &str, root: &Path) {
    let reader = Reader::new(Arc::new(Source { name: "Vagrantfile".into(), text: text.to_owned() }));
    let paths = Paths { root, home: None, named: Vec::new().into() };
    let file = root.join("Vagrantfile");
    let sources = vagrantfile::Sources { file: &file, text, user: None, trusted: false, provider: None };
    vagrantfile::machines(&reader, &sources, &paths);
}

/// Only a warning: `status`, `halt` and `destroy` must not fail because a script is gone.
fn tell_missing(named: &HostFile, reader: &Reader) {
    let note = reader.warning(format!("{} `{}` does not exist", named.what, named.path.display()));
    note.at(named.span.clone(), "").help("relative paths start at the machine file's directory").push();
}

fn machines(reader: &Reader, file: &DeTable<'_>, paths: &Paths<'_>) -> Vec<Machine> {
    let mut file = Table::new(reader, file);
    let top = layer::read(&mut file, paths);
    resolve::check_folders(&top, reader);
    let tables = file.named_tables("machines");
    for key in ["primary", "depends_on"] {
        if let Some(span) = file.key_span(key) {
            let note = reader.error(format!("`{key}` belongs to one machine")).at(span, "");
            note.help("write it below `[machines.NAME]`").push();
            let _ = file.value(key);
        }
    }
    file.finish();
    if tables.is_empty() {
        return vec![Machine { name: DEFAULT.into(), layer: top, ..Machine::default() }];
    }
    if let Some((name, _)) = tables.get(MOST_MACHINES) {
        let note = reader.error(format!("more than {MOST_MACHINES} machines"));
        note.at(name.span(), "").help("divide them among several projects").push();
    }
    tables.into_iter().take(MOST_MACHINES).map(|(name, table)| machine(&name, table, &top, paths)).collect()
}

fn machine(name: &Spanned<String>, mut table: Table<'_, '_>, top: &Layer, paths: &Paths<'_>) -> Machine {
    let reader = table.reader();
    if let Err(wrong) = check::machine_name(name.get_ref()) {
        reader.error(format!("bad name of a machine: `{}`", name.get_ref())).at(name.span(), wrong).push();
    }
    let layer = layer::read(&mut table, paths);
    resolve::check_folders(&layer, reader);
    let primary = table.boolean("primary");
    let depends_on = table.strings("depends_on").unwrap_or_default();
    table.finish();
    let name_text = name.get_ref().clone();
    let (span, layer) = (Some(name.span()), top.overlaid(layer));
    Machine { name: name_text, span, primary, depends_on, layer, others: Vec::new() }
}

#[cfg(test)]
mod tests;
