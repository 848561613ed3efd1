//! `box remove`.

use std::collections::BTreeSet;

use clap::Args;

use super::{App, Done, Error};
use crate::boxes::{Installed, Library, Manifest, Removed};
use crate::error::Failure;
use crate::machine::Fleet;
use crate::ui::text;

/// Remove a box from this computer
///
/// A box that machines use stays, unless --force is given: then it leaves the list, and those machines keep its disks.
#[derive(Debug, Args)]
#[command(
    visible_alias = "rm",
    after_help = "\
Examples:
  vbox-rs box remove debian/bookworm64
  vbox-rs box remove debian/bookworm64 --box-version 12.20260101.0"
)]
pub(super) struct Remove {
    /// Name of the box
    name: String,
    /// Which version; needed where there are several
    #[arg(long, value_name = "VERSION")]
    box_version: Option<String>,
    /// Which provider's; needed where there are several
    #[arg(long)]
    provider: Option<String>,
    /// Which architecture's; needed where there are several
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// All versions, with all providers and architectures
    #[arg(long, conflicts_with = "box_version")]
    all: bool,
    /// All providers of a version
    #[arg(long, conflicts_with = "provider")]
    all_providers: bool,
    /// All architectures of a provider
    #[arg(long, conflicts_with = "architecture")]
    all_architectures: bool,
    /// Even when machines use it: they go on working, new ones cannot be made from it
    #[arg(short, long)]
    force: bool,
}

impl Remove {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let fleet = app.fleet()?;
        let chosen: Vec<_> = library.list()?.boxes.into_iter().filter(|one| self.means(&one.manifest)).collect();
        if chosen.is_empty() {
            return Err(Error::NoBox { name: self.name.clone(), version: self.box_version.clone() }.into());
        }
        if self.is_ambiguous(&chosen) {
            let several = chosen.iter().map(|one| kind(&one.manifest)).collect();
            return Err(Error::SeveralBoxes { name: self.name.clone(), versions: several }.into());
        }
        let removed = remove(app, &library, &fleet, &chosen, self.force)?;
        if app.ui.json() {
            let versions: Vec<_> = chosen.iter().map(|one| &one.manifest.version).collect();
            app.ui.print_result("removed", &versions)?;
        }
        tell(app, &chosen, &removed);
        Ok(0)
    }

    fn means(&self, manifest: &Manifest) -> bool {
        manifest.name == self.name
            && self.box_version.as_ref().is_none_or(|version| *version == manifest.version.to_string())
            && self.provider.as_ref().is_none_or(|provider| *provider == manifest.provider)
            && self.architecture.as_ref().is_none_or(|wanted| Some(wanted) == manifest.architecture.as_ref())
    }

    /// Whether more than one version, provider or architecture is meant where not all were asked for.
    fn is_ambiguous(&self, chosen: &[Installed]) -> bool {
        fn several<T: Ord>(values: impl Iterator<Item = T>) -> bool {
            values.collect::<BTreeSet<_>>().len() > 1
        }
        let manifests = || chosen.iter().map(|one| &one.manifest);
        !self.all
            && (several(manifests().map(|one| &one.version))
                || !self.all_providers && several(manifests().map(|one| &one.provider))
                || !self.all_architectures && several(manifests().map(|one| &one.architecture)))
    }
}

/// Removes boxes unless machines use them.
pub(super) fn remove(
    app: &App,
    library: &Library,
    fleet: &Fleet,
    chosen: &[Installed],
    force: bool,
) -> Result<Removed, Failure> {
    Ok(library.remove(&app.ui.cx(), chosen, &|| fleet.needs(), force, app.waits())?)
}

/// Says what was removed, and how much is free again.
pub(super) fn tell(app: &App, chosen: &[Installed], removed: &Removed) {
    for (Installed { manifest: Manifest { name, version, .. }, .. }, users) in chosen.iter().zip(&removed.still_used_by)
    {
        app.ui.say(&match &users[..] {
            [] => format!("box `{name}` {version} is removed"),
            users => format!("box `{name}` {version} is removed; its disks stay for {}", text::list(users)),
        });
    }
    app.ui.say(&match removed.freed {
        0 => "its files stay: other boxes or machines need them".into(),
        freed => format!("{} are free again", text::bytes(freed)),
    });
}

/// Version, provider and architecture of a box, for people.
pub(super) fn kind(manifest: &Manifest) -> String {
    let Manifest { version, provider, architecture, .. } = manifest;
    let architecture = architecture.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
    format!("{version} for {provider}{architecture}")
}
