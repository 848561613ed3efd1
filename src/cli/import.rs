//! `import`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{App, Done, Error};
use crate::config;
use crate::error::Failure;

/// Write a machine file in Ruby as one in TOML
///
/// What cannot be carried over is named in comments. Without --output the text goes to standard output. A Vagrantfile.toml
/// beside a Vagrantfile is read instead of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs import
  vbox-rs import --output Vagrantfile.toml")]
pub(super) struct Import {
    /// The file in Ruby; the nearest Vagrantfile where left out
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Where to write
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Overwrite the output
    #[arg(short, long)]
    force: bool,
}

impl Import {
    pub(super) fn run(&self, app: &App) -> Done {
        let start = app.start()?;
        let file = match &self.file {
            Some(file) => start.join(file),
            None => nearest(&start)?,
        };
        let output = self.output.as_ref().map(|output| start.join(output));
        if let Some(path) = output.as_ref().filter(|path| path.exists() && !self.force) {
            return Err(Error::Exists { path: path.clone() }.into());
        }
        let (project, problems) = app.load(&file)?;
        let beside = output.as_ref().is_none_or(|path| path.parent() == Some(project.root.as_path()));
        let text = config::import(&project, &problems, beside)?;
        app.tell_warnings(&problems);
        match &output {
            Some(path) => {
                super::init::write(path, &text, self.force)?;
                app.ui.say(&format!("{} is written; it means the same as {}", path.display(), file.display()));
            }
            None => app.ui.print(&text)?,
        }
        Ok(0)
    }
}

/// The nearest file that may be in Ruby: beside it there may be one in TOML, which is preferred otherwise.
fn nearest(start: &Path) -> Result<PathBuf, Failure> {
    let found = config::find(start)?;
    let beside = found.with_file_name("Vagrantfile");
    Ok(if beside.is_file() { beside } else { found })
}
