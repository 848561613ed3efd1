//! `upload`.

use std::path::PathBuf;

use clap::Args;

use super::{App, Done};
use crate::machine;

/// Copy a file or folder into a machine
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs upload app.conf                into the login user's home
  vbox-rs upload app.conf /tmp/app.conf
  vbox-rs upload site /srv/www web       a folder, into the machine `web`")]
pub(super) struct Upload {
    /// File or folder on this computer
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    source: PathBuf,
    /// Path in the guest; relative ones start in the login user's home
    destination: Option<String>,
    /// Name or beginning of its id; needed where the project has several and none is primary
    machine: Option<String>,
}

impl Upload {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.as_deref())?;
        let cx = app.ui.cx().for_machine(&target.name);
        let path = machine::upload(&cx, &fleet, &target, &self.source, self.destination.as_deref())?;
        if app.ui.json() {
            app.ui.print_result("path", &path)?;
        }
        app.ui.say(&format!("==> {}: {} is there as {path}", target.name, self.source.display()));
        Ok(0)
    }
}
