//! `box list`.

use std::fmt::Write;

use clap::Args;
use serde_json::Value;

use super::{App, Done};
use crate::boxes::{Damaged, Library, Manifest};
use crate::error::Failure;
use crate::ui::{self, Table, Ui, text};

/// List the boxes on this computer
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
Examples:
  vbox-rs box list
  vbox-rs box list --json"
)]
pub(super) struct List {
    /// With what the box tells about itself (info.json)
    #[arg(short = 'i', long)]
    box_info: bool,
}

impl List {
    pub(super) fn run(&self, app: &App) -> Done {
        let listing = Library::new(&App::dirs()?).list()?;
        let damaged: Vec<String> = listing.damaged.into_iter().map(describe).collect();
        for one in &damaged {
            app.ui.warn(one);
        }
        if app.ui.json() {
            let boxes: Vec<&Manifest> = listing.boxes.iter().map(|installed| &installed.manifest).collect();
            app.ui.print_json(&serde_json::json!({ "boxes": boxes, "damaged": damaged }))?;
            return Ok(0);
        }
        if app.ui.machine_readable() {
            for manifest in listing.boxes.iter().map(|installed| &installed.manifest) {
                fields(&app.ui, manifest, self.box_info)?;
            }
            return Ok(0);
        }
        if listing.boxes.is_empty() {
            app.ui.say("there are no boxes; `vbox-rs box add` or `vbox-rs up` fetches one");
            return Ok(0);
        }
        let mut table = Table::new(["NAME", "VERSION", "PROVIDER", "ARCH", "SIZE"]);
        for manifest in listing.boxes.iter().map(|installed| &installed.manifest) {
            table.row([
                app.ui.neutral(&manifest.name).into_owned(),
                manifest.version.to_string(),
                app.ui.neutral(&manifest.provider).into_owned(),
                app.ui.neutral(manifest.architecture.as_deref().unwrap_or_default()).into_owned(),
                text::bytes(manifest.disks.iter().map(|disk| disk.size).sum()),
            ]);
        }
        app.ui.print(&table.render())?;
        if self.box_info {
            for manifest in listing.boxes.iter().map(|installed| &installed.manifest) {
                app.ui.print(&about(&app.ui, manifest))?;
            }
        }
        Ok(0)
    }
}

fn describe(damaged: Damaged) -> String {
    format!("the box `{}` cannot be read: {}", damaged.name, Failure::from(damaged.error).chain())
}

/// The lines that programs know from Vagrant.
fn fields(ui: &Ui, manifest: &Manifest, info: bool) -> Result<(), ui::Error> {
    ui.print_fields(None, "box-name", &[&ui.neutral(&manifest.name)])?;
    ui.print_fields(None, "box-provider", &[&ui.neutral(&manifest.provider)])?;
    ui.print_fields(None, "box-version", &[&manifest.version.to_string()])?;
    ui.print_fields(None, "box-architecture", &[&ui.neutral(manifest.architecture.as_deref().unwrap_or_default())])?;
    for (key, value) in manifest.info.iter().flatten().filter(|_| info) {
        let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
        ui.print_fields(None, "box-info", &[&ui.neutral(key), &ui.neutral(&value)])?;
    }
    Ok(())
}

/// What the box tells about itself, indented below its name.
fn about(ui: &Ui, manifest: &Manifest) -> String {
    let mut text = format!("\n{} {}\n", ui.neutral(&manifest.name), manifest.version);
    for (key, value) in manifest.info.iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Object(entries) => format!("{} entries, see `vbox-rs box info --json`", entries.len()),
            Value::Array(entries) => format!("{} entries, see `vbox-rs box info --json`", entries.len()),
            other => other.to_string(),
        };
        let _ = writeln!(text, "  {}: {}", ui.neutral(key), ui.neutral(&value));
    }
    text
}
