//! `resume`.

use clap::Args;

use super::args::{Machines, Provisioning};
use super::{App, Done, up};
use crate::machine::{self, Unnamed};

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
}

impl Resume {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let (_, targets) = app.targets(&fleet, &self.machines.names, Unnamed::Created)?;
        machine::check_provisioners(&targets, self.provisioning.names())?;
        let options = self.provisioning.options();
        let fared = app.each(&targets, false, |cx, target| machine::resume(cx, &fleet, target, &options));
        up::tell(app, &targets, &fared)
    }
}
