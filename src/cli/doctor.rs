//! `doctor`.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::validate::told;
use super::{App, Done, Error};
use crate::config::spec::ProviderKind;
use crate::error::{Exit, Failure};
use crate::guest;
use crate::provider::{self, Finding, HostReport, Level};
use crate::store::Dirs;
use crate::ui;
use crate::ui::text;

/// Say what is missing on this computer, and the commands that mend it
///
/// The code is 0 when machines can run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs doctor
  vbox-rs doctor --json")]
pub(super) struct Doctor {}

#[derive(Serialize)]
struct Report {
    usable: bool,
    providers: Vec<ProviderReport>,
    state: Vec<Finding>,
    tools: Vec<Finding>,
}

#[derive(Serialize)]
struct ProviderReport {
    provider: ProviderKind,
    report: HostReport,
}

/// Less free space than this does not last for a box and a machine.
const LITTLE_SPACE: u64 = 5 << 30;

impl Doctor {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(&self, app: &App) -> Done {
        let report = examine(&App::dirs()?);
        if app.ui.json() {
            app.ui.print_json(&report)?;
        } else {
            show(app, &report)?;
        }
        match (report.usable, app.ui.json()) {
            (true, _) => Ok(0),
            // The document says it all; a second one would not be one document.
            (false, true) => Ok(Exit::Provider.code()),
            (false, false) => Err(Error::NoProvider.into()),
        }
    }
}

fn show(app: &App, report: &Report) -> Result<(), Failure> {
    for ProviderReport { provider, report } in &report.providers {
        let version = report.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        section(app, &format!("{provider}{version}"), &report.findings)?;
    }
    section(app, "directories", &report.state)?;
    section(app, "tools", &report.tools)
}

fn section(app: &App, title: &str, findings: &[Finding]) -> Result<(), Failure> {
    app.ui.print(&format!("{}\n", app.ui.paint(ui::STRONG, title)))?;
    for finding in findings {
        app.ui.print(&format!("  {}\n", told(app, finding)))?;
    }
    Ok(())
}

fn examine(dirs: &Dirs) -> Report {
    let providers: Vec<ProviderReport> = ProviderKind::ALL
        .iter()
        .filter_map(|kind| Some(ProviderReport { provider: *kind, report: provider::provider(*kind)?.probe() }))
        .collect();
    Report {
        usable: providers.iter().any(|one| one.report.usable),
        providers,
        state: [("machines and boxes", dirs.home().to_owned()), ("downloads", dirs.downloads())]
            .into_iter()
            .map(|(what, path)| directory(what, &path))
            .collect(),
        tools: tools(),
    }
}

/// The nearest directory that is there must be ours to write, with room in it.
fn directory(what: &str, path: &Path) -> Finding {
    let there = path.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    let free = rustix::fs::statvfs(there).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let text = format!("{what}: {}, {} free", path.display(), text::bytes(free));
    if !writable {
        return Finding {
            level: Level::Bad,
            text: format!("{what}: {} cannot be written", there.display()),
            fix: Some("export VBOX_RS_HOME=/a/directory/of/your/own".into()),
        };
    }
    if free < LITTLE_SPACE {
        let fix = Some("free some space, or set VBOX_RS_HOME to a directory on a larger disk".into());
        return Finding { level: Level::Warning, text, fix };
    }
    Finding { level: Level::Good, text, fix: None }
}

fn tools() -> Vec<Finding> {
    let found = |name: &str, path: Option<PathBuf>, without: &str, package: &str| match path {
        Some(path) => Finding { level: Level::Good, text: format!("{name}: {}", path.display()), fix: None },
        None => Finding {
            level: Level::Warning,
            text: format!("{name} is not installed: {without}"),
            fix: Some(format!("sudo apt-get install {package}")),
        },
    };
    let mut tools = vec![
        found(
            "ssh",
            guest::openssh::client(),
            "`ssh` uses vbox-rs's own client, without your ~/.ssh/config",
            "openssh-client",
        ),
        found("rsync", in_path("rsync"), "synced folders are sent whole every time", "rsync"),
    ];
    let build = "needed only by `box build`";
    for (tool, package) in BUILD_TOOLS {
        tools.push(found(tool, in_path(tool), build, package));
    }
    tools
}

/// What `box build` runs, and the Debian package that has it.
const BUILD_TOOLS: [(&str, &str); 3] =
    [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("qemu-img", "qemu-utils")];

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps mke2fs, which the PATH of an ordinary user leaves out.
    let dirs = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let runnable = |file: &PathBuf| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    dirs.filter(|dir| dir.is_absolute()).map(|dir| dir.join(program)).find(runnable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_fine_when_it_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let finding = directory("boxes", &dir.path().join("a/b"));
        assert_ne!(finding.level, Level::Bad);
        assert!(finding.text.starts_with(&format!("boxes: {}/a/b, ", dir.path().display())), "{}", finding.text);
    }

    #[test]
    fn a_program_is_found_in_the_path() {
        assert!(in_path("sh").is_some());
        assert!(in_path("no-such-program").is_none());
    }
}
