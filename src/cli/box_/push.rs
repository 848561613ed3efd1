//! `box push`.

use clap::Args;

use super::{App, Done, Error, provider};
use crate::boxes::Library;
use crate::boxes::oci::{Options, PushRequest, Pushed};
use crate::config::spec::ProviderKind;
use crate::error::{Exit, Failure};
use crate::ui::text;

/// Push a box to an OCI registry
///
/// What the registry has already is not sent. Logins are those of `docker login` and `podman login`, or
/// VBOX_RS_OCI_USER and VBOX_RS_OCI_PASSWORD for VBOX_RS_OCI_REGISTRY (HOST[:PORT]).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box push debian/bookworm64 oci://ghcr.io/me/bookworm64
  vbox-rs box push me/web@1.2 oci://registry.example:5000/team/web:1.2")]
pub(super) struct Push {
    /// Name of the box, and its version where it is not the newest
    #[arg(value_name = "NAME[@VERSION]")]
    name: String,
    /// Where to: oci://HOST[:PORT]/REPOSITORY[:TAG]; without a tag it gets the version and `latest`
    #[arg(value_name = "OCI-REFERENCE")]
    to: String,
    /// Which provider's; needed where there are several
    #[arg(long, value_parser = provider())]
    provider: Option<ProviderKind>,
    /// Which architecture's; all of them where left out
    #[arg(short, long)]
    architecture: Option<String>,
    /// Trust any certificate, and a registry without TLS: whoever is on the way can read your login
    #[arg(long)]
    insecure: bool,
}

impl Push {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let (name, version) = match self.name.rsplit_once('@') {
            Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
            None => (self.name.clone(), None),
        };
        let request = PushRequest {
            name,
            version,
            provider: self.provider.map(|kind| kind.name().into()),
            architecture: self.architecture.clone(),
            to: self.to.clone(),
            options: Options { insecure: self.insecure, ..Options::default() },
            ..PushRequest::default()
        };
        let pushed = library.push(&app.ui.cx(), &request).map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() != Exit::Interrupted {
                return failure;
            }
            let left = "the registry has what it had before; the same command goes on after the layers that are there";
            Error::Interrupted { left: left.into() }.into()
        })?;
        if app.ui.json() {
            app.ui.print_result("pushed", &pushed)?;
        }
        app.ui.say(&outcome(&pushed));
        Ok(0)
    }
}

fn outcome(pushed: &Pushed) -> String {
    let Pushed { name, version, references, digest, uploaded, layers: (sent, all) } = pushed;
    let places = text::list(references);
    let sent = match sent {
        0 => "nothing had to be uploaded".into(),
        sent => format!("{sent} of {all} layers uploaded, {}", text::bytes(*uploaded)),
    };
    format!("box `{name}` {version} is at {places} ({sent}); {digest}")
}
