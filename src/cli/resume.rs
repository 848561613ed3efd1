//! `resume`.

use clap::Args;

use super::args::{Agreement, Machines, Provisioning};
use super::{App, Done, up};
use crate::machine::{self, Order, Unnamed};

/// Let suspended machines go on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vbox-rs resume web")]
pub(super) struct Resume {
    #[command(flatten)]
    machines: Machines,
    #[command(flatten)]
    provisioning: Provisioning,
    #[command(flatten)]
    agreement: Agreement,
}

impl Resume {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let mut targets = app.targets_to_make(&fleet, &self.machines.names, Unnamed::All)?;
        machine::check_provisioners(&targets, self.provisioning.names())?;
        if self.machines.names.is_empty() {
            targets = machine::resumable(&app.ui.cx(), &fleet, targets)?;
        }
        let options = self.provisioning.options();
        self.agreement.seek(app, &fleet, &targets, &options)?;
        let fared = app.each(&fleet, &targets, (Order::DependenciesFirst, true), |cx, target| {
            machine::resume(cx, &fleet, target, &options)
        });
        up::tell(app, &fleet, &targets, &fared)
    }
}
