//! `box list`.

use clap::Args;

use super::{App, Done};
use crate::boxes::{Library, Manifest};
use crate::ui::{Table, text};

/// List the boxes on this computer
#[derive(Debug, Args)]
#[command(visible_alias = "ls", after_help = "\
Examples:
  vbox-rs box list
  vbox-rs box list --json")]
pub(super) struct List {}

impl List {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(&self, app: &App) -> Done {
        let listing = Library::new(&app.dirs()?).list()?;
        for damaged in &listing.damaged {
            app.ui.warn(&damaged.to_string());
        }
        if app.ui.json() {
            let boxes: Vec<&Manifest> = listing.boxes.iter().map(|installed| &installed.manifest).collect();
            let damaged: Vec<String> = listing.damaged.iter().map(ToString::to_string).collect();
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
                app.ui.neutral(&manifest.version).into_owned(),
                app.ui.neutral(&manifest.provider).into_owned(),
                app.ui.neutral(&manifest.architecture).into_owned(),
                text::bytes(manifest.disks.iter().map(|disk| disk.size).sum()),
            ]);
        }
        app.ui.print(&table.render())?;
        Ok(0)
    }
}
