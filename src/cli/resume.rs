//! `resume`.

use clap::Args;

use super::args::{Machines, Provisioning};
use super::{App, Done, up};
use crate::error::Failure;
use crate::machine::{self, Fleet, Target, Unnamed};

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
        let mut targets = app.targets(&fleet, &self.machines.names, Unnamed::Created)?;
        machine::check_provisioners(&targets, self.provisioning.names())?;
        if self.machines.names.is_empty() && targets.len() > 1 {
            // Without names: those that are suspended, if any is.
            let suspended = suspended(&fleet, &targets)?;
            targets.retain(|target| suspended.is_empty() || suspended.contains(&target.name));
        }
        let options = self.provisioning.options();
        let fared = app.each(&targets, false, |cx, target| machine::resume(cx, &fleet, target, &options));
        up::tell(app, &targets, &fared)
    }
}

/// The names of those that `suspend` left.
fn suspended(fleet: &Fleet, targets: &[Target]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for target in targets {
        if matches!(fleet.status(target)?.state.as_str(), "saved" | "paused") {
            names.push(target.name.clone());
        }
    }
    Ok(names)
}
