//! `box add`.

use std::path::PathBuf;

use clap::Args;

use super::{App, Done, Error};
use crate::boxes::fetch::Access;
use crate::boxes::{AddRequest, Ask, Finder, Library, Reference};
use crate::error::{Exit, Failure};
use crate::progress::Cx;

/// Add a box to the library: by its name, from a URL or from a file
///
/// A name is looked for in the catalogue, then in the registries that VBOX_RS_SERVER_URL names. A URL or file is a box
/// (`.box`), a disk image, or a catalogue document in Vagrant's JSON. What the library has already is not downloaded; a
/// download that was cut goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box add debian/bookworm64
  vbox-rs box add 'bento/ubuntu-24.04@~> 202502.0' --architecture arm64
  vbox-rs box add https://boxes.example.org/me/web.json
  vbox-rs box add --name my/box ./my.box
  vbox-rs box add --name debian/12 --checksum sha256:4c1f… https://example.org/debian-12.qcow2")]
pub(super) struct Add {
    /// Name (NAME@CONSTRAINT), URL or file
    #[arg(value_name = "BOX")]
    source: String,
    /// Name in the library
    #[arg(long)]
    name: Option<String>,
    /// Constraints for its version (`~> 12.0`); of a single file or image, its version
    #[arg(long, value_name = "VERSION")]
    box_version: Option<String>,
    /// What the file must have: sha256:…, sha512:…, or the bare digits
    #[arg(long, value_name = "SUM")]
    checksum: Option<String>,
    /// Which kind of checksum that is, where it does not say
    #[arg(long, value_name = "TYPE", requires = "checksum", value_parser = ["md5", "sha1", "sha256", "sha384", "sha512"])]
    checksum_type: Option<String>,
    /// Only a build for this provider (libvirt, qemu, …)
    #[arg(long)]
    provider: Option<String>,
    /// Which architecture (amd64, arm64, …; `auto` is this computer's, `default` the publisher's choice)
    #[arg(short, long)]
    architecture: Option<String>,
    /// Replace a box of the same name and version
    #[arg(short, long)]
    force: bool,
    /// Throw away what an earlier run left of the download
    #[arg(short, long)]
    clean: bool,
    #[command(flatten)]
    trust: Trust,
}

/// How servers are believed, in curl's and Vagrant's words.
#[derive(Debug, Args)]
struct Trust {
    /// Do not check the servers' certificates
    #[arg(long)]
    insecure: bool,
    /// Believe these authorities only (PEM)
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Believe the authorities of this folder only (PEM)
    #[arg(long, value_name = "FOLDER")]
    capath: Option<PathBuf>,
    /// Our own certificate and its key (PEM, PKCS #8)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Send the login on to servers that the first one redirects to
    #[arg(long)]
    location_trusted: bool,
}

impl Trust {
    fn access(&self) -> Access {
        let mut access = Access::from_env();
        if self.cacert.is_some() || self.capath.is_some() {
            access.ca_cert.clone_from(&self.cacert);
            access.ca_path.clone_from(&self.capath);
        }
        access.client_cert.clone_from(&self.cert);
        access.insecure = self.insecure;
        access.location_trusted = self.location_trusted;
        access
    }
}

impl Add {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let cx = app.ui.cx();
        let added = self.request(app, &cx).and_then(|request| Ok(library.add(&cx, &request)?)).map_err(|failure| {
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

    fn request(&self, app: &App, cx: &Cx) -> Result<AddRequest, Failure> {
        let finder = Finder::of_user(cx, &App::dirs()?, self.trust.access())?;
        let checksum = self.checksum.as_ref().map(|sum| match &self.checksum_type {
            Some(kind) if !sum.contains(':') => format!("{kind}:{sum}"),
            _ => sum.clone(),
        });
        let ask = Ask {
            name: self.name.as_deref(),
            version: self.box_version.as_deref(),
            architecture: self.architecture.as_deref(),
            provider: self.provider.as_deref(),
            checksum: checksum.as_deref(),
            ..Ask::default()
        };
        let found = finder.find(cx, &Reference::parse(&self.source)?, &ask)?;
        Ok(AddRequest { force: self.force, clean: self.clean, no_wait: !app.waits(), ..found })
    }
}
