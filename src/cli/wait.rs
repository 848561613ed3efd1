//! `wait`.

use std::time::Duration;

use clap::Args;

use super::args::Machines;
use super::{App, Done};
use crate::machine::{self, DEFAULT_WAIT, Order, Unnamed};

/// Wait until machines can be logged in to
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs wait web
  vbox-rs wait --timeout 60 && vbox-rs exec -- systemctl is-system-running")]
pub(super) struct Wait {
    #[command(flatten)]
    machines: Machines,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_WAIT.as_secs())]
    timeout: u64,
}

impl Wait {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets(&fleet, &self.machines.names, Unnamed::Created)?;
        let time = Duration::from_secs(self.timeout);
        let how = (Order::Any, true);
        let fared = app.each(&fleet, &targets, how, |cx, target| machine::wait(cx, &fleet, target, time));
        for (name, _) in fared.iter().filter(|(_, result)| result.is_ok()) {
            app.ui.say(&format!("==> {name}: answers"));
        }
        app.finish("answers", &fleet, &targets, &fared)
    }
}
