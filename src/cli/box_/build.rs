//! `box build`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{App, Done};
use crate::boxes::build::{self, BuildRequest, Built};
use crate::boxes::{AddRequest, Library};
use crate::error::Failure;
use crate::store::{self, create_private};
use crate::ui::{Table, text};

/// Build a Debian box from Debian's own packages and add it to the library
///
/// Needs mmdebstrap and some tools (`vbox-rs doctor` names them), and no root where the host lets users have namespaces.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs box build                     lists what can be built
  vbox-rs box build debian/bookworm64   into the library
  vbox-rs box build debian/bookworm64 --profile docker
  vbox-rs box build debian/trixie64 --output trixie.box")]
pub(super) struct Build {
    /// What to build
    recipe: Option<String>,
    /// What is in it beside a small Debian; the box's name ends with it
    #[arg(long, value_name = "PROFILE", requires = "recipe", value_parser = PossibleValuesParser::new(build::profile_names()))]
    profile: Option<String>,
    /// Write the `.box` to FILE and leave the library alone
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Debian mirror to install from; the box keeps it
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

impl Build {
    pub(super) fn run(&self, app: &App) -> Done {
        let Some(recipe) = &self.recipe else { return recipes(app) };
        let recipe = &self.profile.as_ref().map_or_else(|| recipe.clone(), |profile| build::name_of(recipe, profile));
        let work_dir = App::dirs()?.downloads().with_file_name("build");
        let output = match &self.output {
            Some(output) => output.clone(),
            None => work_dir.join(format!("{}.box", recipe.replace('/', "-"))),
        };
        let request =
            BuildRequest { recipe: recipe.clone(), output, mirror: self.mirror.clone(), work_dir: work_dir.clone() };
        create_private(&work_dir)?;
        let built = build::build(&app.ui.cx(), &request)?;
        if self.output.is_none() {
            add(app, &built)?;
        }
        if app.ui.json() {
            let path = self.output.as_ref().map(|_| &built.path);
            let document = serde_json::json!({
                "name": built.name,
                "version": built.version,
                "path": path,
                "size": built.size,
                "files_sha256": built.files_sha256,
            });
            app.ui.print_result("box", &document)?;
        }
        app.ui.say(&outcome(&built, self.output.is_some()));
        Ok(0)
    }
}

fn add(app: &App, built: &Built) -> Result<(), Failure> {
    let request = AddRequest {
        source: built.path.display().to_string(),
        name: Some(built.name.clone()),
        version: Some(built.version.clone()),
        force: true,
        ..AddRequest::default()
    };
    Library::new(&App::dirs()?).add(&app.ui.cx(), &request)?;
    Ok(store::remove_file(&built.path)?)
}

fn outcome(built: &Built, kept: bool) -> String {
    let Built { name, version, path, size, .. } = built;
    if kept {
        let path = path.display();
        let size = text::bytes(*size);
        format!("box `{name}` {version} is written to {path} ({size}); `vbox-rs box add {path}` adds it")
    } else {
        format!("box `{name}` {version} is built and added; `vbox-rs init {name}` uses it")
    }
}

fn recipes(app: &App) -> Done {
    let all = build::recipes();
    if app.ui.json() {
        let all: Vec<_> = all
            .iter()
            .map(|recipe| serde_json::json!({ "name": recipe.name, "description": recipe.description }))
            .collect();
        let profiles: Vec<_> = build::additions()
            .iter()
            .map(|addition| serde_json::json!({ "name": addition.name, "description": addition.description }))
            .collect();
        app.ui.print_json(&serde_json::json!({ "recipes": all, "profiles": profiles }))?;
        return Ok(0);
    }
    let mut table = Table::new(["NAME", "DESCRIPTION"]);
    for recipe in all {
        table.row([recipe.name.clone(), recipe.description.clone()]);
    }
    app.ui.print(&table.render())?;
    for addition in build::additions() {
        app.ui.say(&format!("--profile {}: each of them but cloud images {}", addition.name, addition.description));
    }
    Ok(0)
}
