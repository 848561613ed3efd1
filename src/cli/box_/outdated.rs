//! `box outdated`.

use clap::Args;
use serde_json::{Value, json};

use super::{App, Done, Error};
use crate::boxes::fetch::Access;
use crate::boxes::{Asked, Finder, Library, Outlook, outlooks};
use crate::config;
use crate::error::{Exit, Explain, Failure};
use crate::ui::{Table, Ui};

/// Tell which boxes have a newer version where they came from
///
/// Of the boxes of this project, within the versions that its machine file allows. Fetches no box.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box outdated
  vbox-rs box outdated --global")]
pub(super) struct Outdated {
    /// All boxes on this computer
    #[arg(long)]
    global: bool,
    /// For scripts that were written for Vagrant: the sources are always asked
    #[arg(short, long)]
    force: bool,
}

/// What works outside of a project.
const GLOBAL: &str = "`vbox-rs box outdated --global` asks about all boxes";

impl Outdated {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let asked = if self.global { all(&library)? } else { of_project(app, GLOBAL)? };
        if asked.is_empty() {
            app.ui.say("there are no boxes to ask about");
        }
        let answers = outlooks(&app.ui.cx(), &origins(app)?, &asked);
        if app.ui.json() {
            let boxes: Vec<_> = asked.iter().zip(&answers).map(|(asked, answer)| as_json(asked, answer)).collect();
            app.ui.print_result("boxes", &boxes)?;
        } else if !asked.is_empty() {
            app.ui.print(&table(&app.ui, &asked, &answers))?;
        }
        if answers.iter().any(|answer| matches!(answer, Outlook::Newer(_))) {
            app.ui.say("`vbox-rs box update` fetches what is newer");
        }
        Ok(tell_failures(app, &asked, &answers))
    }
}

/// Where boxes come from.
pub(super) fn origins(app: &App) -> Result<Finder, Failure> {
    Ok(Finder::of_user(&app.ui.cx(), &App::dirs()?, Access::from_env())?)
}

/// The newest of each box on this computer.
fn all(library: &Library) -> Result<Vec<Asked>, Failure> {
    let listing = library.list()?;
    let newest = listing.newest().into_iter();
    Ok(newest.map(|installed| Asked { installed: installed.clone(), requirement: None }).collect())
}

/// The boxes of this project's machines. One that is not here is told of.
pub(super) fn of_project(app: &App, instead: &'static str) -> Result<Vec<Asked>, Failure> {
    let project = app.project().map_err(|failure| match failure.downcast_ref() {
        Some(config::Error::NotFound { start }) => Error::NoProject { start: start.clone(), instead }.into(),
        _ => failure,
    })?;
    let boxes = app.fleet()?.boxes_of(&project)?;
    for (machine, name) in &boxes.missing {
        app.ui.say(&format!("machine `{machine}`: box `{name}` is not on this computer; `vbox-rs up` fetches it"));
    }
    Ok(boxes.asked)
}

/// Tells which sources could not be asked. The code is the first failure's.
pub(super) fn tell_failures(app: &App, asked: &[Asked], answers: &[Outlook]) -> u8 {
    let mut code = Exit::Ok;
    for (asked, answer) in asked.iter().zip(answers) {
        if let Outlook::Failed(error) = answer {
            let manifest = &asked.installed.manifest;
            app.ui.warn(&format!("the source of box `{}` could not be asked: {}", manifest.name, chain(error)));
            code = if code == Exit::Ok { error.exit() } else { code };
        }
    }
    code.code()
}

fn chain(error: &crate::boxes::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn word(answer: &Outlook) -> &'static str {
    match answer {
        Outlook::Current => "current",
        Outlook::Newer(_) => "newer",
        Outlook::Unpublished => "unpublished",
        Outlook::Failed(_) => "failed",
    }
}

fn newer(answer: &Outlook) -> Option<String> {
    match answer {
        Outlook::Newer(offer) => offer.version.as_ref().map(ToString::to_string),
        _ => None,
    }
}

fn as_json(asked: &Asked, answer: &Outlook) -> Value {
    let manifest = &asked.installed.manifest;
    let error = if let Outlook::Failed(error) = answer { Some(chain(error)) } else { None };
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "provider": manifest.provider,
        "architecture": manifest.architecture,
        "state": word(answer),
        "newest": newer(answer),
        "error": error,
    })
}

fn table(ui: &Ui, asked: &[Asked], answers: &[Outlook]) -> String {
    let mut table = Table::new(["NAME", "VERSION", "PROVIDER", "ARCH", "NEWEST"]);
    for (asked, answer) in asked.iter().zip(answers) {
        let manifest = &asked.installed.manifest;
        table.row([
            ui.neutral(&manifest.name).into_owned(),
            manifest.version.to_string(),
            ui.neutral(&manifest.provider).into_owned(),
            ui.neutral(manifest.architecture.as_deref().unwrap_or_default()).into_owned(),
            match answer {
                Outlook::Newer(_) => newer(answer).unwrap_or_default(),
                Outlook::Current => "is here".into(),
                Outlook::Unpublished => "(its source publishes no versions)".into(),
                Outlook::Failed(_) => "(not known)".into(),
            },
        ]);
    }
    table.render()
}
