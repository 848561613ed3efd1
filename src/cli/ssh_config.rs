//! `ssh-config`.

use clap::Args;

use super::args::Machines;
use super::{App, Done};
use crate::machine::{self, Unnamed};

/// Print a configuration for OpenSSH, scp, rsync and editors
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs ssh-config > ssh.conf && scp -F ssh.conf file default:
  vbox-rs ssh-config --host web.test web >> ~/.ssh/config")]
pub(super) struct SshConfig {
    #[command(flatten)]
    machines: Machines,
    /// Name of the host in the configuration
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

impl SshConfig {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let unnamed = if self.host.is_some() { Unnamed::Single } else { Unnamed::All };
        let targets = app.targets(&fleet, &self.machines.names, unnamed)?;
        // Without names: those that run.
        let named = !self.machines.names.is_empty() || targets.len() == 1;
        let mut fared = Vec::new();
        for target in &targets {
            if named || fleet.status(target)?.state == "running" {
                fared.push((target.name.clone(), machine::ssh_target(&fleet, target)));
            }
        }
        let mut documents = Vec::new();
        let mut texts = Vec::new();
        for (name, found) in fared.iter().filter_map(|(name, result)| Some((name, result.as_ref().ok()?))) {
            let host = self.host.as_ref().unwrap_or(&found.host);
            let text = renamed(&found.config_text, &found.host, host);
            if app.ui.machine_readable() {
                app.ui.print_fields(Some(name), "ssh-config", &[&text])?;
            }
            documents.push(serde_json::json!({
                "machine": name,
                "host": host,
                "hostname": found.login.endpoint.host,
                "port": found.login.endpoint.port,
                "user": found.login.endpoint.user,
                "identity_files": found.login.keys,
                "config_file": found.config,
            }));
            texts.push(text);
        }
        if app.ui.json() {
            app.ui.print_json(&serde_json::json!({ "machines": documents }))?;
        } else if !app.ui.machine_readable() {
            app.ui.print(&texts.join("\n"))?;
        }
        Ok(app.conclude(&fared))
    }
}

/// The configuration with another name in its `Host` line.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let line = |line: &str| {
        if line == format!("Host {from}") { format!("Host {to}\n") } else { format!("{line}\n") }
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_line_is_renamed() {
        assert_eq!(renamed("Host web\n  User web\n", "web", "x"), "Host x\n  User web\n");
    }
}
