//! `reload`.

use clap::Args;

use super::args::{self, Agreement, Machines, Provisioning};
use super::{App, Done, up};
use crate::machine::{self, Order, Unnamed};

/// Restart machines with the machine file as it is now
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs reload                  after a change of memory, processors or ports
  vbox-rs reload web --provision  and run the provisioners again")]
pub(super) struct Reload {
    #[command(flatten)]
    machines: Machines,
    /// Pull the plug instead of asking the guest to shut down
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    provisioning: Provisioning,
    #[command(flatten)]
    agreement: Agreement,
}

impl Reload {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets_to_make(&fleet, &self.machines.names, Unnamed::Created)?;
        machine::check_provisioners(&targets, self.provisioning.names())?;
        let mut options = self.provisioning.options();
        let ended = machine::end_destroys(&app.ui.cx(), &fleet, &targets);
        self.agreement.seek(app, &fleet, &targets, &options)?;
        options.bridges = args::choose_bridges(app, &fleet, &targets, &options, true)?;
        let fared = app.each(&fleet, &targets, (Order::DependenciesFirst, true), |cx, target| {
            if ended.contains(&target.name) {
                return machine::reload_anew(cx, &fleet, target, &options);
            }
            machine::reload(cx, &fleet, target, self.force, &options)
        });
        up::tell(app, &fleet, &targets, &fared)
    }
}
