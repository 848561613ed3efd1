//! `box verify`.

use std::fmt::Write;

use clap::Args;

use super::{App, Done, Error};
use crate::boxes::{Finding, Library, Trouble, Verdict};
use crate::ui::{BAD, FAINT, Ui, WARNING, text};

/// Read every box again and compare it with its checksums
///
/// Changes nothing. What is wrong is told with the boxes and machines that it concerns and with the command that mends
/// it; the exit code tells of the worst of it, and is 0 when nothing harms a box or machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box verify
  vbox-rs box verify debian/bookworm64 --json")]
pub(super) struct Verify {
    /// Names of boxes; all where left out
    names: Vec<String>,
}

impl Verify {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let listing = library.list()?;
        let known = |name: &String| {
            listing.boxes.iter().any(|one| one.manifest.name == *name)
                || listing.damaged.iter().any(|one| one.name == *name)
        };
        if let Some(name) = self.names.iter().find(|name| !known(name)) {
            return Err(Error::NoBox { name: name.clone(), version: None }.into());
        }
        let needs = app.fleet()?.needs()?;
        let verdict = library.verify(&app.ui.cx(), &self.names, &needs)?;
        if app.ui.json() {
            app.ui.print_result("verified", &verdict)?;
        } else {
            app.ui.print(&verdict.findings.iter().map(|one| describe(&app.ui, one)).collect::<String>())?;
        }
        for machine in &needs.unreadable {
            app.ui.warn(&format!("which boxes a machine needs is not known: {machine}"));
        }
        app.ui.say(&summary(&verdict));
        Ok(verdict.exit().code())
    }
}

fn describe(ui: &Ui, finding: &Finding) -> String {
    let style = match finding.trouble {
        Trouble::Foreign | Trouble::Unneeded => FAINT,
        Trouble::Permissions => WARNING,
        _ => BAD,
    };
    let mut text = format!("{} {}", ui.paint(style, finding.trouble.name()), finding.path.display());
    if !finding.detail.is_empty() {
        let _ = write!(text, ": {}", ui.neutral(&finding.detail));
    }
    text.push('\n');
    let mut more = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<9} {}", ui.neutral(value));
    };
    if !finding.boxes.is_empty() {
        more("boxes", &finding.boxes.join(", "));
    }
    if !finding.machines.is_empty() {
        more("machines", &finding.machines.join(", "));
    }
    if let Some(mend) = &finding.mend {
        more("mend", mend);
    }
    text
}

fn summary(verdict: &Verdict) -> String {
    let Verdict { boxes, files, bytes, findings } = verdict;
    let harm = findings.iter().filter(|one| !matches!(one.trouble, Trouble::Foreign | Trouble::Unneeded)).count();
    let read = format!("{} of {} read ({})", count(*files, "file"), count(*boxes, "box"), text::bytes(*bytes));
    match harm {
        0 => format!("{read}: all is well"),
        harm => format!("{read}: {}", count(harm, "problem")),
    }
}

/// `1 file`, `2 boxes`.
pub(super) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with('x') => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}
