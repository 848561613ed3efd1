//! `adopt`.

use clap::Args;

use super::{App, Done, Error};
use crate::store::MachineId;

/// Link a machine with this project again, after the project's folder was moved
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs adopt 1a2b3c4d      `vbox-rs global-status` lists the ids
  vbox-rs adopt 1a2b3c4d web  under another name")]
pub(super) struct Adopt {
    /// The machine's id, or its beginning
    id: String,
    /// Its name in this project (default: as it was)
    name: Option<String>,
}

impl Adopt {
    pub(super) fn run(&self, app: &App) -> Done {
        let project = app.project()?;
        let fleet = app.fleet()?;
        let wanted = self.id.to_ascii_lowercase();
        let mut found: Vec<(MachineId, String)> = fleet
            .survey()?
            .into_iter()
            .filter_map(|status| Some((status.id?, status.name)))
            .filter(|(id, _)| !wanted.is_empty() && id.to_string().starts_with(&wanted))
            .collect();
        let (id, recorded) = match (found.pop(), found.is_empty()) {
            (Some(one), true) => one,
            (None, _) => return Err(Error::NoId { id: self.id.clone() }.into()),
            (Some(last), false) => {
                let names = found.into_iter().chain([last]).map(|(id, name)| format!("{name} ({})", id.short()));
                return Err(Error::NotOne { asked: self.id.clone(), names: names.collect() }.into());
            }
        };
        let name = self.name.as_ref().unwrap_or(&recorded);
        fleet.adopt(&app.ui.cx(), id, &project, name)?;
        if app.ui.json() {
            app.ui.print_result("machine", &serde_json::json!({ "id": id, "name": name }))?;
        }
        app.ui.say(&format!("==> {name}: belongs to {} now", project.root.display()));
        Ok(0)
    }
}
