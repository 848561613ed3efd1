//! `upload`.

use std::path::PathBuf;

use clap::Args;

use super::{App, Done, Error};
use crate::machine;
use crate::store::MachineId;

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
    /// Into a new folder below /tmp of the guest, when no destination is given
    #[arg(short, long, conflicts_with = "destination")]
    temporary: bool,
    /// For Vagrant's users: a folder goes as one stream anyway
    #[arg(short, long)]
    compress: bool,
    /// For Vagrant's users, as --compress
    #[arg(long, value_name = "TYPE", value_parser = ["tgz", "zip"])]
    compression_type: Option<String>,
    /// Name or beginning of its id; needed where the project has several and none is primary
    machine: Option<String>,
}

impl Upload {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.as_deref())?;
        let cx = app.ui.cx().for_machine(&target.name);
        std::fs::metadata(&self.source).map_err(|source| Error::Source { path: self.source.clone(), source })?;
        let destination = self.destination.clone().or_else(|| self.temporary.then(|| self.below_tmp()).flatten());
        let path = machine::upload(&cx, &fleet, &target, &self.source, destination.as_deref())?;
        if app.ui.json() {
            app.ui.print_result("path", &path)?;
        }
        let shown = if path.starts_with(['/', '~']) { path } else { format!("~/{path}") };
        app.ui.say(&format!("==> {}: {} is copied to {shown}", target.name, self.source.display()));
        Ok(0)
    }

    fn below_tmp(&self) -> Option<String> {
        let name = self.source.file_name()?.to_string_lossy();
        Some(format!("/tmp/vbox-rs-{}/{name}", MachineId::random().ok()?.short()))
    }
}
