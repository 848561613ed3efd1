//! `box add`.

use clap::Args;

use super::{App, Done, Error, provider};
use crate::boxes::{AddRequest, Library};
use crate::config::spec::ProviderKind;
use crate::error::{Exit, Failure};

/// Add a box to the library: from a file or a URL
///
/// A `.box`, or a bare qcow2 or raw image. A download that was cut goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box add --name my/box ./my.box
  vbox-rs box add --name debian/12 --checksum sha256:4c1f… https://example.org/debian-12.qcow2")]
pub(super) struct Add {
    /// File or URL
    source: String,
    /// Name in the library
    #[arg(long)]
    name: Option<String>,
    /// Its version
    #[arg(long, value_name = "VERSION")]
    box_version: Option<String>,
    /// What the file must have: sha256:…, sha512:…, or the bare digits
    #[arg(long, value_name = "SUM")]
    checksum: Option<String>,
    /// Which of the box's providers
    #[arg(long, value_parser = provider())]
    provider: Option<ProviderKind>,
    /// Which architecture it is for (amd64, arm64, …), where the box does not say
    #[arg(short, long)]
    architecture: Option<String>,
    /// Replace a box of the same name and version
    #[arg(short, long)]
    force: bool,
}

impl Add {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let request = AddRequest {
            source: self.source.clone(),
            name: self.name.clone(),
            version: self.box_version.clone(),
            checksum: self.checksum.clone(),
            provider: self.provider.map(|kind| kind.name().into()),
            architecture: self.architecture.clone(),
            force: self.force,
            ..AddRequest::default()
        };
        let added = library.add(&app.ui.cx(), &request).map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() != Exit::Interrupted {
                return failure;
            }
            let left = "no box was added; the same command goes on, a download where it stopped".into();
            Error::Interrupted { left }.into()
        })?;
        let manifest = &added.manifest;
        if app.ui.json() {
            app.ui.print_result("box", manifest)?;
        }
        app.ui.say(&format!("box `{}` {} is added", manifest.name, manifest.version));
        Ok(0)
    }
}
