//! `box gc`.

use clap::Args;

use super::verify::count;
use super::{App, Done};
use crate::boxes::{Collected, Library};
use crate::ui::{Table, text};

/// Remove what no box and no machine needs
///
/// Disks that nothing names any more, what killed commands left, and downloads that nobody went on with for a week. Boxes
/// and machines lose nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box gc --dry-run   only tells what would go
  vbox-rs box gc")]
pub(super) struct Gc {
    /// Only tell what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Gc {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let library = Library::new(fleet.dirs());
        let done = library.gc(&app.ui.cx(), &|| fleet.needs(), self.dry_run, app.waits())?;
        if app.ui.json() {
            app.ui.print_result(if self.dry_run { "would_collect" } else { "collected" }, &done)?;
        } else if !done.removed.is_empty() {
            let mut table = Table::new(["WHAT", "SIZE", "FILE"]);
            for one in &done.removed {
                table.row([one.kind.name().into(), text::bytes(one.size), one.path.display().to_string()]);
            }
            app.ui.print(&table.render())?;
        }
        for reason in &done.spared {
            app.ui.warn(&format!("no disk is removed: {reason}"));
        }
        app.ui.say(&self.summary(&done));
        Ok(0)
    }

    fn summary(&self, done: &Collected) -> String {
        let (number, size) = (done.removed.len(), text::bytes(done.freed));
        let what = count(number, "thing");
        match (number, self.dry_run) {
            (0, _) => "there is nothing to remove".into(),
            (_, true) => format!("{what} would be removed, and {size} free again"),
            (_, false) => format!("{what} removed; {size} are free again"),
        }
    }
}
