//! `up`.

use clap::Args;

use super::args::{self, Agreement, Machines, Parallel, Provisioning, provider};
use super::{App, Done};
use crate::config::spec::ProviderKind;
use crate::machine::{self, Fared, Fleet, Target, Unnamed, UpOptions, UpReport};
use crate::ui::text;

/// Make machines and start them
///
/// Brings the machines to what the machine file says: fetches the box, makes the machine, starts it, waits until it can
/// be logged in to, copies folders and runs provisioners. What is done already is not done again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs up                       all machines of the project (but those with autostart = false)
  vbox-rs up web db                two of them
  vbox-rs up --provision-with app  run the provisioner `app` once more
  vbox-rs up --json                events, one JSON object per line; the last one is the result")]
pub(super) struct Up {
    #[command(flatten)]
    machines: Machines,
    /// Hypervisor for machines that are made now
    #[arg(long, value_parser = provider())]
    provider: Option<ProviderKind>,
    #[command(flatten)]
    provisioning: Provisioning,
    #[command(flatten)]
    parallel: Parallel,
    /// Remove a machine that this command made when it fails
    #[arg(long, overrides_with = "no_destroy_on_error")]
    destroy_on_error: bool,
    /// Keep a machine that failed, to see why (default)
    #[arg(long)]
    no_destroy_on_error: bool,
    #[command(flatten)]
    agreement: Agreement,
    /// For Vagrant's users: nothing is installed, `vbox-rs doctor` says what is missing
    #[arg(long, hide = true, overrides_with = "no_install_provider")]
    install_provider: bool,
    /// As --install-provider
    #[arg(long, hide = true)]
    no_install_provider: bool,
}

impl Up {
    pub(super) fn run(&self, app: &App) -> Done {
        app.choose_provider(self.provider);
        let fleet = app.fleet()?;
        let targets = app.targets_to_make(&fleet, &self.machines.names, Unnamed::Autostart)?;
        machine::check_provisioners(&targets, self.provisioning.names())?;
        let mut options = UpOptions {
            provider: self.provider,
            destroy_on_error: self.destroy_on_error,
            ..self.provisioning.options()
        };
        machine::end_destroys(&app.ui.cx(), &fleet, &targets);
        self.agreement.seek(app, &fleet, &targets, &options)?;
        options.bridges = args::choose_bridges(app, &fleet, &targets, &options, false)?;
        let fared = machine::up(&app.ui.cx(), &fleet, &targets, &options, self.parallel.wanted());
        tell(app, &fleet, &targets, &fared)
    }
}

/// Tells how an `up`, `reload` or `resume` ended, for each machine.
pub(super) fn tell(app: &App, fleet: &Fleet, targets: &[Target], fared: &[Fared<UpReport>]) -> Done {
    let fine: Vec<&UpReport> = fared.iter().filter_map(|(_, result)| result.as_ref().ok()).collect();
    if app.ui.json() {
        app.ui.print_result("machines", &fine)?;
    }
    for report in fine {
        for line in lines(report, targets.len() > 1) {
            app.ui.say(&line);
        }
    }
    Ok(app.conclude_with_states(fleet, targets, fared))
}

fn lines(report: &UpReport, several: bool) -> Vec<String> {
    let time: u64 = report.steps.iter().map(|step| step.ms).sum();
    let time = match time {
        0 => String::new(),
        ms => format!(" in {}", text::duration(std::time::Duration::from_millis(ms))),
    };
    let mut lines = vec![format!("==> {}: {}{time}", report.name, report.outcome)];
    if report.changed {
        lines.extend(report.forwards.iter().map(|forward| {
            let host = std::net::SocketAddr::new(forward.host_ip, forward.host);
            format!("    {}: {host} -> {}/{}", report.name, forward.guest, forward.protocol)
        }));
        let name = if several { format!(" {}", report.name) } else { String::new() };
        lines.push(format!("    {}: `vbox-rs ssh{name}` opens a shell", report.name));
    }
    if let Some(message) = &report.message {
        lines.extend(message.lines().map(|line| format!("    {}: {}", report.name, text::neutral(line, false))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::Protocol;
    use crate::machine::Step;
    use crate::provider::Forward;
    use crate::store::MachineId;

    #[test]
    fn the_end_of_up_says_what_was_done_and_what_comes_next() {
        let mut report = UpReport {
            id: MachineId::random().unwrap(),
            name: "web".into(),
            changed: true,
            outcome: "created",
            steps: vec![Step { name: "boot".into(), ms: 12_300, failed: false }],
            forwards: vec![Forward {
                protocol: Protocol::Tcp,
                host_ip: "127.0.0.1".parse().unwrap(),
                host: 8080,
                guest: 80,
            }],
            message: Some("Welcome!\x1b[2J".into()),
        };
        assert_eq!(
            lines(&report, true),
            [
                "==> web: created in 12.3 s",
                "    web: 127.0.0.1:8080 -> 80/tcp",
                "    web: `vbox-rs ssh web` opens a shell",
                "    web: Welcome!",
            ]
        );
        report = UpReport { changed: false, outcome: "already running", steps: vec![], message: None, ..report };
        assert_eq!(lines(&report, false), ["==> web: already running"]);
    }
}
