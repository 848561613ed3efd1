//! `box search`.

use clap::Args;

use super::{App, Done};
use crate::boxes::catalogue::{Catalogue, Entry};
use crate::boxes::{Library, build};
use crate::ui::{Table, text};

/// Search the catalogue, the library and the recipes for a box
///
/// Works without a network. Every word must be in a name, the operating system's name or an architecture. A name of the
/// catalogue stands for the image that the operating system's own publisher makes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box search ubuntu 22.04
  vbox-rs box search debian arm64 --json")]
pub(super) struct Search {
    /// Words to look for
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
}

impl Search {
    pub(super) fn run(&self, app: &App) -> Done {
        let dirs = App::dirs()?;
        let entries = Catalogue::new(&dirs).search(&self.words)?;
        let listing = Library::new(&dirs).list()?;
        let words: Vec<String> = self.words.iter().map(|word| word.to_lowercase()).collect();
        let matches = |text: String| words.iter().all(|word| text.to_lowercase().contains(word));
        let installed = listing.boxes.iter().map(|one| &one.manifest).filter(|manifest| {
            let architecture = manifest.architecture.as_deref().unwrap_or_default();
            matches(format!("{} {architecture}", manifest.name))
        });
        let recipes = build::recipes()
            .iter()
            .filter(|recipe| matches(format!("{} {} {}", recipe.name, recipe.description, recipe.architecture)));
        if app.ui.json() {
            let installed = installed.map(|manifest| {
                let (name, version) = (&manifest.name, &manifest.version);
                serde_json::json!({ "name": name, "version": version, "architecture": manifest.architecture })
            });
            let recipes = recipes.map(|one| serde_json::json!({ "name": one.name, "description": one.description }));
            app.ui.print_json(&serde_json::json!({
                "catalogue": entries,
                "library": installed.collect::<Vec<_>>(),
                "recipes": recipes.collect::<Vec<_>>(),
            }))?;
            return Ok(0);
        }
        let mut table = Table::new(["NAME", "SYSTEM", "ARCH", "FROM", "UPDATES"]);
        for manifest in installed {
            let architecture = manifest.architecture.as_deref().unwrap_or_default();
            let name = app.ui.neutral(&manifest.name).into_owned();
            let version = format!("version {}", manifest.version);
            table.row([name, version, app.ui.neutral(architecture).into_owned(), "library".into(), String::new()]);
        }
        for recipe in recipes {
            let (name, system) = (recipe.name.clone(), recipe.description.clone());
            table.row([name, system, recipe.architecture.clone(), "`box build`".into(), String::new()]);
        }
        for entry in &entries {
            let cells = [&entry.name, &entry.title].map(|text| app.ui.neutral(text).into_owned());
            let [name, title] = cells;
            let from = app.ui.neutral(&entry.publisher).into_owned();
            table.row([name, title, entry.architectures.join(" "), from, updates(entry)]);
        }
        if table.is_empty() {
            app.ui.say(&format!("nothing holds {}; a URL or a file can be added too", text::list(&self.words)));
        } else {
            app.ui.print(&table.render())?;
        }
        Ok(0)
    }
}

/// When the updates end, or have ended.
fn updates(entry: &Entry) -> String {
    match entry.end_of_life.as_deref() {
        Some("past") => "ended".into(),
        Some(month) if entry.ended => format!("ended {month}"),
        Some(month) => format!("until {month}"),
        None => String::new(),
    }
}
