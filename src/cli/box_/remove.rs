//! `box remove`.

use std::cell::RefCell;

use clap::Args;

use super::{App, Done, Error, provider};
use crate::boxes::{Library, Manifest, Removed};
use crate::config::spec::ProviderKind;
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
    #[arg(long, value_parser = provider())]
    provider: Option<ProviderKind>,
    /// All versions
    #[arg(long, conflicts_with = "box_version")]
    all: bool,
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
        if chosen.len() > 1 && !self.all {
            let versions = chosen.iter().map(|one| format!("{} for {}", one.manifest.version, one.manifest.provider));
            return Err(Error::SeveralBoxes { name: self.name.clone(), versions: versions.collect() }.into());
        }
        let cx = app.ui.cx();
        let mut removed = Vec::new();
        for installed in &chosen {
            let unknown = RefCell::new(None);
            let users = || {
                fleet.users_of(&installed.manifest).unwrap_or_else(|failure| {
                    // Who cannot be asked may use it.
                    let text = failure.chain();
                    unknown.replace(Some(failure));
                    vec![text]
                })
            };
            let result = library.remove(&cx, installed, &users, self.force, app.waits());
            if let (Err(_), Some(failure)) = (&result, unknown.take()) {
                return Err(failure);
            }
            app.ui.say(&outcome(&installed.manifest, &result?));
            removed.push(&installed.manifest.version);
        }
        if app.ui.json() {
            app.ui.print_result("removed", &removed)?;
        }
        Ok(0)
    }

    fn means(&self, manifest: &Manifest) -> bool {
        manifest.name == self.name
            && self.box_version.as_ref().is_none_or(|version| *version == manifest.version.to_string())
            && self.provider.is_none_or(|kind| kind.name() == manifest.provider)
    }
}

fn outcome(manifest: &Manifest, removed: &Removed) -> String {
    let Manifest { name, version, .. } = manifest;
    let freed = text::bytes(removed.freed);
    match &removed.still_used_by[..] {
        [] => format!("box `{name}` {version} is removed; {freed} are free again"),
        users => format!("box `{name}` {version} is removed; its disks stay for {}", text::list(users)),
    }
}
