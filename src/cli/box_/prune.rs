//! `box prune`.

use clap::Args;
use serde_json::json;

use super::remove::{kind, remove, tell};
use super::verify::count;
use super::{App, Done, Error};
use crate::boxes::{Installed, Library, Manifest};
use crate::error::Failure;
use crate::ui::{Table, text};

/// Remove old versions of boxes
///
/// All but the newest version of each box, after a question. Versions that machines use are kept and named.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box prune --dry-run
  vbox-rs box prune --name debian/bookworm64 --force")]
pub(super) struct Prune {
    /// Only boxes for this provider
    #[arg(short, long)]
    provider: Option<String>,
    /// Only tell what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Only this box
    #[arg(long)]
    name: Option<String>,
    /// Ask nothing
    #[arg(short, long)]
    force: bool,
    /// Keep what machines use (always so; for scripts that were written for Vagrant)
    #[arg(short, long)]
    keep_active_boxes: bool,
}

/// An old version that machines use.
struct Kept<'a> {
    manifest: &'a Manifest,
    users: Vec<String>,
}

impl Prune {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let library = Library::new(fleet.dirs());
        let listing = library.list()?;
        let needs = fleet.needs()?;
        let old: Vec<_> = listing.outdated().into_iter().filter(|one| self.means(&one.manifest)).cloned().collect();
        let (idle, used): (Vec<Installed>, Vec<Installed>) =
            old.into_iter().partition(|one| needs.users(&one.manifest).is_empty());
        let kept: Vec<_> =
            used.iter().map(|one| Kept { manifest: &one.manifest, users: needs.users(&one.manifest) }).collect();
        for Kept { manifest, users } in &kept {
            let (name, kind) = (&manifest.name, kind(manifest));
            app.ui.say(&format!("box `{name}` {kind} is kept: {} use it", text::list(users)));
        }
        if idle.is_empty() {
            app.ui.say("there are no old boxes to remove");
            return self.done(app, &[], &kept, 0);
        }
        show(app, &idle)?;
        if self.dry_run {
            app.ui.say(&format!("{} would be removed", count(idle.len(), "box")));
            return self.done(app, &idle, &kept, 0);
        }
        if !self.force && !app.ui.confirm(&format!("remove {}", count(idle.len(), "old box")), "--force")? {
            return Err(Error::Refused.into());
        }
        let removed = remove(app, &library, &fleet, &idle, false)?;
        tell(app, &idle, &removed);
        self.done(app, &idle, &kept, removed.freed)
    }

    fn means(&self, manifest: &Manifest) -> bool {
        self.name.as_ref().is_none_or(|name| *name == manifest.name)
            && self.provider.as_ref().is_none_or(|provider| *provider == manifest.provider)
    }

    fn done(&self, app: &App, removed: &[Installed], kept: &[Kept<'_>], freed: u64) -> Done {
        if app.ui.json() {
            let short = |manifest: &Manifest| {
                json!({ "name": manifest.name, "version": manifest.version, "provider": manifest.provider,
                        "architecture": manifest.architecture })
            };
            let removed: Vec<_> = removed.iter().map(|one| short(&one.manifest)).collect();
            let kept: Vec<_> = kept
                .iter()
                .map(|one| {
                    let mut value = short(one.manifest);
                    value["used_by"] = json!(one.users);
                    value
                })
                .collect();
            let report = json!({ "removed": removed, "kept": kept, "freed": freed, "dry_run": self.dry_run });
            app.ui.print_result("pruned", &report)?;
        }
        Ok(0)
    }
}

/// What is going to be removed; a question without it would be blind.
fn show(app: &App, idle: &[Installed]) -> Result<(), Failure> {
    if app.ui.json() {
        return Ok(());
    }
    let mut table = Table::new(["NAME", "VERSION", "PROVIDER", "ARCH"]);
    for manifest in idle.iter().map(|one| &one.manifest) {
        table.row([
            app.ui.neutral(&manifest.name).into_owned(),
            manifest.version.to_string(),
            app.ui.neutral(&manifest.provider).into_owned(),
            app.ui.neutral(manifest.architecture.as_deref().unwrap_or_default()).into_owned(),
        ]);
    }
    Ok(app.ui.print(&table.render())?)
}
