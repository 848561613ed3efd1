//! `provision`.

use clap::Args;

use super::args::Machines;
use super::{App, Done};
use crate::machine::{self, Order, Unnamed};

/// Run provisioners in running machines
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs provision
  vbox-rs provision web --provision-with packages,file")]
pub(super) struct Provision {
    #[command(flatten)]
    machines: Machines,
    /// Run only these provisioners, by name or type
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    provision_with: Vec<String>,
}

impl Provision {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets_to_make(&fleet, &self.machines.names, Unnamed::Created)?;
        machine::check_provisioners(&targets, &self.provision_with)?;
        let fared = app.each(&fleet, &targets, (Order::DependenciesFirst, false), |cx, target| {
            machine::provision(cx, &fleet, target, &self.provision_with)
        });
        app.finish("provisioned", &fleet, &targets, &fared)
    }
}
