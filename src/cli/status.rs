//! `status`.

use std::fmt::Write;

use clap::Args;

use super::args::Machines;
use super::{App, Done};
use crate::error::Exit;
use crate::machine::{Status as MachineStatus, Unnamed};
use crate::progress::Cx;
use crate::provider::Forward;
use crate::ui::{self, Table, Ui};

/// Show what the project's machines are doing
///
/// Changes nothing and waits for nobody. The code is 0 whatever the state is, and 15 where the record of a machine is
/// damaged.
#[derive(Debug, Args)]
#[command(
    visible_alias = "st",
    after_help = "\
Examples:
  vbox-rs status
  vbox-rs status web --json"
)]
pub(super) struct Status {
    #[command(flatten)]
    machines: Machines,
}

impl Status {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let targets = app.targets(&fleet, &self.machines.names, Unnamed::Everything)?;
        // A program gets one document, and nothing before it.
        let cx = if app.ui.json() { Cx::silent() } else { app.ui.cx() };
        let all = fleet.reports(&cx, &targets);
        let damaged = all.iter().any(|status| status.state == MachineStatus::DAMAGED);
        let code = if damaged { Exit::State } else { Exit::Ok }.code();
        if app.ui.json() {
            app.ui.print_json(&serde_json::json!({ "machines": all }))?;
            return Ok(code);
        }
        if app.ui.machine_readable() {
            for status in &all {
                let name = Some(status.name.as_str());
                fields(&app.ui, name, status)?;
                app.ui.print_fields(name, "state-human-short", &[&status.state])?;
                let long = status.detail.as_deref().unwrap_or(&status.state);
                app.ui.print_fields(name, "state-human-long", &[&app.ui.neutral(long)])?;
            }
            return Ok(code);
        }
        let mut table = Table::new(["NAME", "STATE", "PROVIDER", "BOX", "PORTS"]);
        for status in &all {
            table.row([
                status.name.clone(),
                state(&app.ui, status),
                status.provider.map_or_else(String::new, |kind| kind.to_string()),
                status.box_name.clone().unwrap_or_default(),
                reached(status),
            ]);
        }
        app.ui.print(&table.render())?;
        app.ui.print(&remarks(&app.ui, &all))?;
        Ok(code)
    }
}

/// Provider and state as programs know them from Vagrant.
pub(super) fn fields(ui: &Ui, target: Option<&str>, status: &MachineStatus) -> Result<(), ui::Error> {
    if let Some(kind) = status.provider {
        ui.print_fields(target, "metadata", &["provider", kind.name()])?;
        ui.print_fields(target, "provider-name", &[kind.name()])?;
    }
    ui.print_fields(target, "state", &[vagrants_word(&status.state)])
}

/// Vagrant's word for a state, where it has one.
fn vagrants_word(state: &str) -> &str {
    match state {
        "not created" => "not_created",
        "off" => "poweroff",
        "vanished" => "aborted",
        other => other,
    }
}

/// The state's word in its colour.
pub(super) fn state(ui: &Ui, status: &MachineStatus) -> String {
    let style = match status.state.as_str() {
        "running" => ui::GOOD,
        "vanished" | "unresponsive" | "broken" | "damaged" => ui::BAD,
        "paused" | "saved" => ui::WARNING,
        _ => ui::FAINT,
    };
    ui.paint(style, &status.state)
}

/// What stands behind the words, one line for each machine that has something to tell.
pub(super) fn remarks(ui: &Ui, all: &[MachineStatus]) -> String {
    let mut text = String::new();
    for status in all {
        let busy = status.busy.as_ref().map(|who| format!("in use by {who}"));
        for remark in busy.iter().chain(&status.detail) {
            let _ = writeln!(text, "{}: {}", status.name, ui.neutral(remark));
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// The guest's own address, and its ports of this computer.
pub(super) fn reached(status: &MachineStatus) -> String {
    let address = status.address.map(|address| address.to_string());
    let ports = Some(ports(&status.forwards)).filter(|ports| !ports.is_empty());
    address.into_iter().chain(ports).collect::<Vec<_>>().join(", ")
}

/// `8080->80, 127.0.0.2:53->53/udp`: the usual address and protocol are left out.
fn ports(forwards: &[Forward]) -> String {
    forwards.iter().map(port).collect::<Vec<_>>().join(", ")
}

fn port(forward: &Forward) -> String {
    use crate::config::spec::Protocol;
    let local = forward.host_ip == std::net::Ipv4Addr::LOCALHOST;
    let host = if local {
        forward.host.to_string()
    } else {
        std::net::SocketAddr::new(forward.host_ip, forward.host).to_string()
    };
    let protocol = if forward.protocol == Protocol::Udp { "/udp" } else { "" };
    format!("{host}->{}{protocol}", forward.guest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::Protocol;

    #[test]
    fn ports_leave_out_what_is_usual() {
        let forward = |ip: &str, host, guest, protocol| Forward { protocol, host_ip: ip.parse().unwrap(), host, guest };
        let forwards = [
            forward("127.0.0.1", 2200, 22, Protocol::Tcp),
            forward("0.0.0.0", 53, 53, Protocol::Udp),
            forward("::1", 8080, 80, Protocol::Tcp),
        ];
        assert_eq!(ports(&forwards), "2200->22, 0.0.0.0:53->53/udp, [::1]:8080->80");
    }
}
