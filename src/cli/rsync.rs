//! `rsync`.

use clap::Args;

use super::args::Machines;
use super::{App, Done};
use crate::machine::{self, Order, Unnamed};

/// Copy the synced folders into running machines again
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vbox-rs rsync web")]
pub(super) struct Rsync {
    #[command(flatten)]
    machines: Machines,
}

impl Rsync {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets_to_make(&fleet, &self.machines.names, Unnamed::Created)?;
        let how = (Order::Any, true);
        let fared = app.each(&fleet, &targets, how, |cx, target| machine::sync_folders(cx, &fleet, target));
        app.finish("synced", &fleet, &targets, &fared)
    }
}
