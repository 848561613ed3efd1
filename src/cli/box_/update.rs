//! `box update`.

use clap::Args;
use serde_json::json;

use super::outdated::{of_project, origins, tell_failures};
use super::{App, Done, Error};
use crate::boxes::{Asked, Installed, Library, Manifest, Origins, Outlook, outlooks};
use crate::error::Failure;
use crate::machine::Fleet;
use crate::ui::text;

/// Fetch the newest version of boxes, beside those that are here
///
/// Of the boxes of this project, within the versions that its machine file allows. Nothing is removed, and machines go on
/// with the version that they were made from.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box update
  vbox-rs box update --box debian/bookworm64")]
pub(super) struct Update {
    /// This box, whatever the project uses
    #[arg(long = "box", value_name = "NAME")]
    names: Vec<String>,
    /// Only for this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only for this architecture
    #[arg(long, value_name = "ARCH")]
    architecture: Option<String>,
    /// Replace a box of the same version
    #[arg(short, long)]
    force: bool,
}

/// What works outside of a project.
const NAMED: &str = "`vbox-rs box update --box NAME` updates any box";

impl Update {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let library = Library::new(fleet.dirs());
        let asked = if self.names.is_empty() { of_project(app, NAMED)? } else { self.named(&library)? };
        let asked: Vec<_> = asked.into_iter().filter(|asked| self.means(&asked.installed.manifest)).collect();
        let cx = app.ui.cx();
        let origins = origins(app)?;
        let answers = outlooks(&cx, &origins, &asked);
        let mut added = Vec::new();
        for (asked, answer) in asked.iter().zip(&answers) {
            let Manifest { name, version, source, .. } = &asked.installed.manifest;
            match answer {
                Outlook::Newer(offer) => {
                    let new = origins.add(&cx, &library, &asked.installed, offer, self.force)?;
                    app.ui.say(&format!("box `{name}` {} is added beside {version}", new.manifest.version));
                    tell_users(app, &library, &fleet, &new)?;
                    added.push(json!({ "name": name, "from": version, "to": new.manifest.version }));
                }
                Outlook::Current => app.ui.say(&format!("box `{name}` {version} is the newest")),
                Outlook::Unpublished => {
                    let source = app.ui.neutral(source);
                    app.ui.say(&format!("box `{name}` {version} came from {source}, which publishes no versions"));
                }
                Outlook::Failed(_) => {}
            }
        }
        if app.ui.json() {
            app.ui.print_result("updated", &added)?;
        }
        Ok(tell_failures(app, &asked, &answers))
    }

    fn named(&self, library: &Library) -> Result<Vec<Asked>, Failure> {
        let listing = library.list()?;
        let newest = listing.newest();
        if let Some(name) = self.names.iter().find(|name| newest.iter().all(|one| one.manifest.name != **name)) {
            return Err(Error::NoBox { name: name.clone(), version: None }.into());
        }
        let named = newest.into_iter().filter(|one| self.names.contains(&one.manifest.name));
        Ok(named.map(|one| Asked { installed: one.clone(), requirement: None }).collect())
    }

    fn means(&self, manifest: &Manifest) -> bool {
        self.provider.as_ref().is_none_or(|wanted| *wanted == manifest.provider)
            && self.architecture.as_ref().is_none_or(|wanted| Some(wanted) == manifest.architecture.as_ref())
    }
}

/// Machines do not move to the new version by themselves.
fn tell_users(app: &App, library: &Library, fleet: &Fleet, new: &Installed) -> Result<(), Failure> {
    let needs = fleet.needs()?;
    let listing = library.list()?;
    let manifest = &new.manifest;
    let former =
        listing.boxes.iter().map(|one| &one.manifest).filter(|one| {
            one.name == manifest.name && one.provider == manifest.provider && one.version < manifest.version
        });
    for old in former {
        let machines = needs.users(old);
        if !machines.is_empty() {
            app.ui.say(&format!(
                "  {} still {} on {}: `reload` keeps that, `destroy` and `up` make it anew from {}",
                text::list(&machines),
                if machines.len() == 1 { "rests" } else { "rest" },
                old.version,
                manifest.version
            ));
        }
    }
    Ok(())
}
