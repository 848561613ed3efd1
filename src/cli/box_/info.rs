//! `box info`.

use std::fmt::Write;

use clap::Args;

use super::{App, Done, Error};
use crate::boxes::{Library, Manifest, Query, Taken};
use crate::ui::text;

/// Tell all about one box
#[derive(Debug, Args)]
#[command(
    visible_alias = "show",
    after_help = "\
Examples:
  vbox-rs box info debian/bookworm64
  vbox-rs box info debian/bookworm64 --box-version '~> 12.0' --json"
)]
pub(super) struct Info {
    /// Name of the box
    name: String,
    /// Version or constraint; the newest where left out
    #[arg(long, value_name = "VERSION")]
    box_version: Option<String>,
}

impl Info {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let query = Query { name: &self.name, version: self.box_version.as_deref(), ..Query::default() };
        let found = library
            .find(&query)?
            .ok_or_else(|| Error::NoBox { name: self.name.clone(), version: self.box_version.clone() })?;
        let users = app.fleet()?.users_of(&found.manifest)?;
        let listing = library.list()?;
        let sharing = listing.sharing(&found.manifest);
        let taken = library.usage(&listing).of(&found.manifest);
        if app.ui.json() {
            let document = serde_json::json!({
                "box": found.manifest, "used_by": users, "shares_disks_with": sharing, "taken": taken,
            });
            app.ui.print_json(&document)?;
        } else {
            let mut text = describe(&found.manifest, &users);
            let _ = writeln!(text, "{:<15} {}", "on this disk", taken_text(taken));
            if !sharing.is_empty() {
                let _ = writeln!(text, "{:<15} {}", "shares with", sharing.join(", "));
            }
            let lines: Vec<_> = text.lines().map(|line| app.ui.neutral(line) + "\n").collect();
            app.ui.print(&lines.concat())?;
        }
        Ok(0)
    }
}

fn taken_text(taken: Taken) -> String {
    match taken.shared {
        0 => text::bytes(taken.real),
        shared => format!("{}, {} of it shared", text::bytes(taken.real), text::bytes(shared)),
    }
}

fn describe(manifest: &Manifest, users: &[String]) -> String {
    let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    let mut facts = vec![
        ("name", manifest.name.clone()),
        ("version", manifest.version.to_string()),
        ("provider", manifest.provider.clone()),
        ("architecture", manifest.architecture.clone().unwrap_or_else(|| "unknown".into())),
    ];
    for disk in &manifest.disks {
        let size = text::bytes(disk.size);
        facts.push(("disk", format!("{}, {size} of {}", disk.format, text::bytes(disk.virtual_size))));
        facts.push(("", format!("sha256:{}", disk.sha256)));
    }
    facts.push(("direct start", yes_no(manifest.boot.is_some())));
    facts.push(("reads our seed", yes_no(manifest.seed)));
    facts.extend(manifest.user.clone().map(|user| ("user", user)));
    facts.push(("source", manifest.source.clone()));
    facts.push(("used by", if users.is_empty() { "no machine".into() } else { users.join(", ") }));
    facts.iter().fold(String::new(), |text, (name, value)| text + &format!("{name:<15} {value}\n"))
}
