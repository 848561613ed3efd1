//! `suspend`.

use clap::Args;

use super::args::Machines;
use super::{App, Done};
use crate::error::Failure;
use crate::machine::{self, Fleet, Order, Suspended, Target, Unnamed};

/// Save machines with their memory, to go on later with `resume`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs suspend          save all machines of the project to disk
  vbox-rs suspend --pause  only stop their processors; memory stays taken
  vbox-rs suspend -a       all running machines of all projects")]
pub(super) struct Suspend {
    #[command(flatten)]
    machines: Machines,
    /// All running machines of all projects
    #[arg(short, long, conflicts_with = "names")]
    all_global: bool,
    /// Only stop the processors; nothing is written, memory stays taken
    #[arg(long)]
    pause: bool,
}

impl Suspend {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = self.targets(app, &fleet)?;
        let how = (Order::DependantsFirst, true);
        let fared = app.each(&fleet, &targets, how, |cx, target| machine::suspend(cx, &fleet, target, self.pause));
        for (name, suspended) in fared.iter().filter_map(|(name, result)| Some((name, *result.as_ref().ok()?))) {
            let outcome = match suspended {
                Suspended::WasOff => "was not running",
                Suspended::Already => "was suspended already",
                Suspended::Saved => "suspended",
                Suspended::Paused => "paused",
            };
            app.ui.say(&format!("==> {name}: {outcome}"));
        }
        app.finish("suspended", &fleet, &targets, &fared)
    }

    fn targets(&self, app: &App, fleet: &Fleet) -> Result<Vec<Target>, Failure> {
        if !self.all_global {
            return app.targets(fleet, &self.machines.names, Unnamed::Created);
        }
        let running = fleet.survey()?.into_iter().filter(|status| status.state == "running");
        let ids: Vec<String> = running.filter_map(|status| Some(status.id?.to_string())).collect();
        if ids.is_empty() { Ok(Vec::new()) } else { fleet.targets(None, &ids, Unnamed::All) }
    }
}
