//! `box repackage`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::remove::kind;
use super::{App, Done, Error};
use crate::boxes::{Installed, Library};
use crate::error::{Exit, Failure};
use crate::ui::text;

/// Write a box of the library as a `.box` again
///
/// Both vbox-rs and Vagrant can add it. What is not finished leaves no file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box repackage debian/bookworm64 libvirt 12.20260101.0
  vbox-rs box repackage me/box qemu 0 --output my.box")]
pub(super) struct Repackage {
    /// Name of the box
    name: String,
    /// Its provider
    provider: String,
    /// Its version
    version: String,
    /// Which architecture's; needed where there are several
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "package.box", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,
    /// Replace a file that is there
    #[arg(short, long)]
    force: bool,
}

impl Repackage {
    /// `others` are those of the name.
    fn missing(&self, others: &[Installed]) -> Error {
        let name = self.name.clone();
        if others.is_empty() {
            return Error::NoBox { name, version: None };
        }
        let architecture = self.architecture.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
        let asked = format!("{} for {}{architecture}", self.version, self.provider);
        Error::NotThisOne { name, asked, there: others.iter().map(|one| kind(&one.manifest)).collect() }
    }

    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let named = library.list()?.boxes.into_iter().filter(|one| one.manifest.name == self.name);
        let (mut chosen, others): (Vec<_>, Vec<_>) = named.partition(|one| {
            let manifest = &one.manifest;
            manifest.provider == self.provider
                && manifest.version.to_string() == self.version
                && self.architecture.as_ref().is_none_or(|wanted| Some(wanted) == manifest.architecture.as_ref())
        });
        let missing = || self.missing(&others);
        let installed = chosen.pop().ok_or_else(missing)?;
        if let Some(other) = chosen.pop() {
            let versions = [&installed, &other].map(|one| kind(&one.manifest)).into();
            return Err(Error::SeveralBoxes { name: self.name.clone(), versions }.into());
        }
        if !self.force && self.output.exists() {
            return Err(Error::Exists { path: self.output.clone() }.into());
        }
        let packed = library.repackage(&app.ui.cx(), &installed, &self.output, self.force).map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() != Exit::Interrupted {
                return failure;
            }
            Error::Interrupted { left: format!("{} was not written", self.output.display()) }.into()
        })?;
        if app.ui.json() {
            let report = json!({ "path": self.output, "size": packed.size, "sha256": packed.sha256 });
            app.ui.print_result("box", &report)?;
        }
        let (path, size) = (self.output.display(), text::bytes(packed.size));
        app.ui.say(&format!("{path} is written ({size}, sha256:{})", packed.sha256));
        Ok(0)
    }
}
