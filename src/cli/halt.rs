//! `halt`.

use clap::Args;

use super::args::{Machines, Parallel};
use super::{App, Done};
use crate::machine::{self, Halted, Order, Unnamed};

/// Stop machines; what is on their disks stays
///
/// Asks the guest to shut down, and pulls the plug when it has not done so after `graceful_halt_timeout`.
#[derive(Debug, Args)]
#[command(
    visible_alias = "stop",
    after_help = "\
Examples:
  vbox-rs halt        all machines of the project
  vbox-rs halt -f db  pull the plug of one"
)]
pub(super) struct Halt {
    #[command(flatten)]
    machines: Machines,
    /// Pull the plug
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    parallel: Parallel,
}

impl Halt {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets(&fleet, &self.machines.names, Unnamed::Created)?;
        let how = (Order::DependantsFirst, self.parallel.wanted());
        let fared = app.each(&fleet, &targets, how, |cx, target| machine::halt(cx, &fleet, target, self.force));
        if app.ui.json() {
            let done: serde_json::Map<_, _> = fared
                .iter()
                .filter_map(|(name, result)| Some((name.clone(), serde_json::to_value(result.as_ref().ok()?).ok()?)))
                .collect();
            app.ui.print_result("machines", &done)?;
        }
        for (name, halted) in fared.iter().filter_map(|(name, result)| Some((name, result.as_ref().ok()?))) {
            app.ui.say(&format!("==> {name}: {}", outcome(*halted)));
        }
        Ok(app.conclude_with_states(&fleet, &targets, &fared))
    }
}

fn outcome(halted: Halted) -> &'static str {
    match halted {
        Halted::WasOff => "was not running",
        Halted::Gracefully => "halted",
        Halted::ByForce => "stopped by force",
        Halted::TimedOut => "did not shut down in time and was stopped by force",
    }
}
