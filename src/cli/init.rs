//! `init`.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{App, Done, Error};
use crate::config::template;
use crate::error::Failure;

/// Write a machine file
///
/// Its comments teach what can be written in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs init                          with the default box
  vbox-rs init debian/trixie64 -m       without the comments
  vbox-rs init --template web           a web server with a forwarded port
  vbox-rs init --output - > my.toml     to standard output")]
pub(super) struct Init {
    /// Name, URL or path of the box
    #[arg(value_name = "BOX")]
    name: Option<String>,
    /// Where to fetch the box from
    url: Option<String>,
    /// Constraint on the box's version (`~> 12.0`)
    #[arg(long, value_name = "VERSION")]
    box_version: Option<String>,
    /// Overwrite a machine file that is there
    #[arg(short, long)]
    force: bool,
    /// Without comments
    #[arg(short, long)]
    minimal: bool,
    /// File to write; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "Vagrantfile", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,
    /// What to begin with: default, web, multi, docker, or a file of your own
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
}

impl Init {
    pub(super) fn run(&self, app: &App) -> Done {
        let text = template::render(&template::Request {
            box_name: self.name.as_deref(),
            box_version: self.box_version.as_deref(),
            box_url: self.url.as_deref(),
            template: self.template.as_deref(),
            minimal: self.minimal,
        })?;
        if self.output == Path::new("-") {
            app.ui.print(&text)?;
            return Ok(0);
        }
        let path = app.start()?.join(&self.output);
        write(&path, &text, self.force)?;
        if app.ui.json() {
            app.ui.print_json(&serde_json::json!({ "file": path }))?;
        }
        app.ui.say(&format!("{} is written; `vbox-rs up` makes the machine", self.output.display()));
        Ok(0)
    }
}

/// Writes the whole file or nothing, and never over another one unless `force`.
pub(super) fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |source| Error::File { action: "write", path: path.into(), source };
    let dir = path.parent().unwrap_or(Path::new("/"));
    // The message of the temporary file would name a file that nobody knows.
    std::fs::metadata(dir).map_err(failed)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().prefix(".new-").permissions(readable).tempfile_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let done = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match done {
        Ok(_) => Ok(()),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Err(Error::Exists { path: path.into() }.into()),
        Err(e) => Err(failed(e.error).into()),
    }
}
