//! `version`.

use clap::Args;

use super::{App, Done};
use crate::config::spec::ProviderKind;
use crate::provider;

/// Print version, build and providers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs version
  vbox-rs version --json")]
pub(super) struct Version {}

/// Set by the release build.
const COMMIT: Option<&str> = option_env!("VBOX_RS_COMMIT");

impl Version {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(&self, app: &App) -> Done {
        let version = env!("CARGO_PKG_VERSION");
        let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let providers: Vec<_> =
            ProviderKind::ALL.iter().copied().filter(|kind| provider::provider(*kind).is_some()).collect();
        if app.ui.json() {
            app.ui.print_json(&serde_json::json!({
                "version": version,
                "commit": COMMIT,
                "platform": platform,
                "providers": providers,
            }))?;
        } else if app.ui.machine_readable() {
            app.ui.print_fields(None, "version-installed", &[version])?;
        } else {
            let commit = COMMIT.map(|commit| format!(" ({commit})")).unwrap_or_default();
            let providers = providers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            app.ui.print(&format!("vbox-rs {version}{commit}, {platform}, providers: {providers}\n"))?;
        }
        Ok(0)
    }
}
