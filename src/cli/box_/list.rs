//! `box list`.

use clap::Args;

use super::{App, Done};
use crate::boxes::{Damaged, Library, Manifest};
use crate::error::Failure;
use crate::ui::{Table, text};

/// List the boxes on this computer
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
Examples:
  vbox-rs box list
  vbox-rs box list --json"
)]
pub(super) struct List {}

impl List {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(&self, app: &App) -> Done {
        let listing = Library::new(&App::dirs()?).list()?;
        let damaged: Vec<String> = listing.damaged.into_iter().map(describe).collect();
        for one in &damaged {
            app.ui.warn(one);
        }
        if app.ui.json() {
            let boxes: Vec<&Manifest> = listing.boxes.iter().map(|installed| &installed.manifest).collect();
            app.ui.print_json(&serde_json::json!({ "boxes": boxes, "damaged": damaged }))?;
            return Ok(0);
        }
        if listing.boxes.is_empty() {
            app.ui.say("there are no boxes; `vbox-rs box add` or `vbox-rs up` fetches one");
            return Ok(0);
        }
        let mut table = Table::new(["NAME", "VERSION", "PROVIDER", "ARCH", "SIZE"]);
        for manifest in listing.boxes.iter().map(|installed| &installed.manifest) {
            table.row([
                app.ui.neutral(&manifest.name).into_owned(),
                manifest.version.to_string(),
                app.ui.neutral(&manifest.provider).into_owned(),
                app.ui.neutral(manifest.architecture.as_deref().unwrap_or_default()).into_owned(),
                text::bytes(manifest.disks.iter().map(|disk| disk.size).sum()),
            ]);
        }
        app.ui.print(&table.render())?;
        Ok(0)
    }
}

fn describe(damaged: Damaged) -> String {
    format!("the box `{}` cannot be read: {}", damaged.name, Failure::from(damaged.error).chain())
}
