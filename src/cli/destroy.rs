//! `destroy`.

use clap::Args;

use super::args::{Machines, Parallel};
use super::{App, Done, Error};
use crate::machine::{self, Order, Unnamed};
use crate::ui::text;

/// Remove machines and everything on their disks
///
/// The machine file and the boxes stay: `up` makes new machines.
#[derive(Debug, Args)]
#[command(
    visible_alias = "rm",
    after_help = "\
Examples:
  vbox-rs destroy              all machines of the project, after a question
  vbox-rs destroy -f web       one, without a question
  vbox-rs destroy -f 1a2b3c4d  by id, from any directory"
)]
pub(super) struct Destroy {
    #[command(flatten)]
    machines: Machines,
    /// Ask nothing
    #[arg(short, long)]
    force: bool,
    /// Let the guest shut down first
    #[arg(short, long)]
    graceful: bool,
    #[command(flatten)]
    parallel: Parallel,
}

impl Destroy {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets(&fleet, &self.machines.names, Unnamed::All)?;
        let there: Vec<String> =
            targets.iter().filter(|target| target.id.is_some()).map(|target| format!("`{}`", target.name)).collect();
        if !self.force && !there.is_empty() {
            let question = format!("destroy {} and all on {} disks", text::list(&there), its(there.len()));
            if !app.ui.confirm(&question, "-f")? {
                return Err(Error::Refused.into());
            }
        }
        let how = (Order::DependantsFirst, self.parallel.wanted());
        let fared = app.each(&fleet, &targets, how, |cx, target| machine::destroy(cx, &fleet, target, self.graceful));
        for (name, destroyed) in fared.iter().filter_map(|(name, result)| Some((name, *result.as_ref().ok()?))) {
            app.ui.say(&format!("==> {name}: {}", if destroyed { "destroyed" } else { "was not created" }));
        }
        app.finish("destroyed", &fleet, &targets, &fared)
    }
}

fn its(count: usize) -> &'static str {
    if count == 1 { "its" } else { "their" }
}
