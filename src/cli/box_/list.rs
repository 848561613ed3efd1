//! `box list`.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::{App, Done};
use crate::boxes::{Damaged, Library, Listing, Manifest, Usage};
use crate::error::Failure;
use crate::ui::{self, Table, Ui, text};

/// List the boxes on this computer
///
/// SIZE is what a box takes on the disk, SHARED what other boxes have too.
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "\
Examples:
  vbox-rs box list
  vbox-rs box list debian --architecture amd64
  vbox-rs box list --json"
)]
pub(super) struct List {
    /// Only boxes with this in their name
    #[arg(value_name = "WORD")]
    word: Option<String>,
    /// Only boxes for this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only boxes for this architecture
    #[arg(short, long, value_name = "ARCH")]
    architecture: Option<String>,
    /// With what the box tells about itself (info.json)
    #[arg(short = 'i', long)]
    box_info: bool,
}

impl List {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let mut listing = library.list()?;
        let damaged: Vec<String> = std::mem::take(&mut listing.damaged).into_iter().map(describe).collect();
        for one in &damaged {
            app.ui.warn(one);
        }
        let usage = library.usage(&listing);
        let shown: Vec<&Manifest> =
            listing.boxes.iter().map(|installed| &installed.manifest).filter(|one| self.means(one)).collect();
        if app.ui.json() {
            let boxes: Vec<Value> = shown.iter().map(|manifest| with_sizes(manifest, &usage)).collect();
            app.ui.print_json(&json!({ "boxes": boxes, "damaged": damaged, "total_size": usage.total() }))?;
            return Ok(0);
        }
        if app.ui.machine_readable() {
            for manifest in &shown {
                fields(&app.ui, manifest, self.box_info)?;
            }
            return Ok(0);
        }
        if shown.is_empty() {
            app.ui.say(nothing(&listing));
            return Ok(0);
        }
        app.ui.print(&table(&app.ui, &shown, &usage))?;
        if self.box_info {
            for manifest in &shown {
                app.ui.print(&about(&app.ui, manifest))?;
            }
        }
        Ok(0)
    }

    fn means(&self, manifest: &Manifest) -> bool {
        self.word.as_ref().is_none_or(|word| manifest.name.contains(word))
            && self.provider.as_ref().is_none_or(|wanted| *wanted == manifest.provider)
            && self.architecture.as_ref().is_none_or(|wanted| Some(wanted) == manifest.architecture.as_ref())
    }
}

fn nothing(listing: &Listing) -> &'static str {
    if listing.boxes.is_empty() {
        "there are no boxes; `vbox-rs box add` or `vbox-rs up` fetches one"
    } else {
        "no box is like that; `vbox-rs box list` lists all"
    }
}

fn table(ui: &Ui, shown: &[&Manifest], usage: &Usage) -> String {
    let mut table = Table::new(["NAME", "VERSION", "PROVIDER", "ARCH", "SIZE", "SHARED"]);
    for manifest in shown {
        let taken = usage.of(manifest);
        table.row([
            ui.neutral(&manifest.name).into_owned(),
            manifest.version.to_string(),
            ui.neutral(&manifest.provider).into_owned(),
            ui.neutral(manifest.architecture.as_deref().unwrap_or_default()).into_owned(),
            text::bytes(taken.real),
            if taken.shared == 0 { String::new() } else { text::bytes(taken.shared) },
        ]);
    }
    table.render()
}

fn with_sizes(manifest: &Manifest, usage: &Usage) -> Value {
    let mut value = json!(manifest);
    let taken = usage.of(manifest);
    value["real_size"] = taken.real.into();
    value["shared_size"] = taken.shared.into();
    value
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
