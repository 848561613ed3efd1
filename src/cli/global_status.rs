//! `global-status`.

use clap::Args;

use super::status::{fields, reached, remarks, state};
use super::{App, Done};
use crate::ui::Table;

/// List the machines of all projects with their real state
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs global-status
  vbox-rs global-status --json
  vbox-rs halt 1a2b3c4d         any command takes an id, from any directory")]
pub(super) struct GlobalStatus {
    /// For Vagrant's users: nothing needs pruning here
    #[arg(long)]
    prune: bool,
}

impl GlobalStatus {
    pub(super) fn run(&self, app: &App) -> Done {
        if self.prune {
            app.ui.say("nothing needs pruning: the list is made from the machines themselves every time");
        }
        let all = app.fleet()?.survey()?;
        if app.ui.json() {
            app.ui.print_json(&serde_json::json!({ "machines": all }))?;
            return Ok(0);
        }
        if app.ui.machine_readable() {
            app.ui.print_fields(None, "metadata", &["machine-count", &all.len().to_string()])?;
            for status in &all {
                let id = status.id.map(crate::store::MachineId::short).unwrap_or_default();
                let home = status.project.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
                app.ui.print_fields(None, "machine-id", &[&id])?;
                fields(&app.ui, None, status)?;
                app.ui.print_fields(None, "machine-home", &[&app.ui.neutral(&home)])?;
            }
            return Ok(0);
        }
        if all.is_empty() {
            app.ui.say("there are no machines; `vbox-rs up` makes those of a project");
            return Ok(0);
        }
        let mut table = Table::new(["ID", "NAME", "STATE", "PROVIDER", "PORTS", "PROJECT"]);
        for status in &all {
            let project = status.project.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
            let project = match status.project_state {
                "present" | "unknown" => project,
                other => format!("{project} ({other})"),
            };
            table.row([
                status.id.map(crate::store::MachineId::short).unwrap_or_default(),
                status.name.clone(),
                state(&app.ui, status),
                status.provider.map_or_else(String::new, |kind| kind.to_string()),
                reached(status),
                app.ui.neutral(&project).into_owned(),
            ]);
        }
        app.ui.print(&table.render())?;
        app.ui.print(&remarks(&app.ui, &all))?;
        Ok(0)
    }
}
