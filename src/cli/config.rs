//! `config`.

use clap::Args;

use super::{App, Done};
use crate::config;

/// Print the machine file as it is understood: defaults filled in, every machine complete
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs config
  vbox-rs config --json | jq '.machines[].forwarded_port'")]
pub(super) struct Config {}

impl Config {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(&self, app: &App) -> Done {
        let project = app.project()?;
        if app.ui.json() {
            app.ui.print_json(&project)?;
        } else {
            app.ui.print(&config::to_toml(&project))?;
        }
        Ok(0)
    }
}
