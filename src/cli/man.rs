//! `man`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man as Page;

use super::{App, Done, Error};
use crate::error::Failure;

/// Print a manual page, or write all of them into a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs man | man -l -
  vbox-rs man box add | man -l -
  vbox-rs man --dir ~/.local/share/man/man1")]
pub(super) struct Man {
    /// The command whose page to print
    command: Vec<String>,
    /// Write the pages of all commands into DIR
    #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, app: &App) -> Done {
        if let Some(dir) = &self.dir {
            let count = write_all(dir)?;
            app.ui.say(&format!("{count} pages are written into {}", dir.display()));
            return Ok(0);
        }
        let pages = pages();
        let name = super::help::full_name(&self.command)?;
        let page = pages.iter().find(|(known, _)| *known == name);
        let (_, text) = page.ok_or_else(|| Error::NoTopic { topic: self.command.join(" ") })?;
        app.ui.print(text)?;
        Ok(0)
    }
}

fn write_all(dir: &Path) -> Result<usize, Failure> {
    let failed = |path: &Path, source| Error::File { action: "write", path: path.into(), source };
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let pages = pages();
    for (name, text) in &pages {
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
    }
    Ok(pages.len())
}

/// Name (`vbox-rs-box-add`) and text of every page.
fn pages() -> Vec<(String, String)> {
    let mut root = super::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "vbox-rs", &mut pages);
    pages
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, String)>) {
    let named = command.clone().name(name.to_owned()).display_name(name.to_owned());
    let mut text = Vec::new();
    // Writing into memory does not fail.
    if Page::new(named).title(name.to_owned()).render(&mut text).is_ok() {
        pages.push((name.to_owned(), String::from_utf8_lossy(&text).into_owned()));
    }
    for sub in command.get_subcommands() {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}
