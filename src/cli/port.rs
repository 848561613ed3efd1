//! `port`.

use clap::Args;

use super::args::OneMachine;
use super::{App, Done, Error};
use crate::ui::Table;

/// Show which ports of this computer lead into a machine
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs port
  curl http://127.0.0.1:$(vbox-rs port --guest 80)/
  vbox-rs port web --json")]
pub(super) struct Port {
    #[command(flatten)]
    machine: OneMachine,
    /// Print only the host's port that leads to this port of the guest
    #[arg(long, value_name = "PORT")]
    guest: Option<u16>,
}

impl Port {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let status = fleet.status(&target)?;
        let name = &target.name;
        if status.forwards.is_empty() && status.state != "running" {
            return Err(Error::NotRunning { name: name.clone(), state: status.state }.into());
        }
        let wanted: Vec<_> =
            status.forwards.iter().filter(|forward| self.guest.is_none_or(|port| port == forward.guest)).collect();
        match self.guest {
            Some(guest) if wanted.is_empty() => return Err(Error::NotForwarded { name: name.clone(), guest }.into()),
            _ if app.ui.machine_readable() => {
                for forward in wanted {
                    let (guest, host) = (forward.guest.to_string(), forward.host.to_string());
                    app.ui.print_fields(Some(name), "forwarded_port", &[&guest, &host])?;
                }
            }
            _ if app.ui.json() => app.ui.print_json(&serde_json::json!({ "machine": name, "forwards": wanted }))?,
            Some(_) => {
                for forward in wanted {
                    app.ui.print(&format!("{}\n", forward.host))?;
                }
            }
            None => {
                let mut table = Table::new(["GUEST", "HOST"]);
                for forward in wanted {
                    let host = std::net::SocketAddr::new(forward.host_ip, forward.host);
                    table.row([format!("{}/{}", forward.guest, forward.protocol), host.to_string()]);
                }
                app.ui.print(&table.render())?;
            }
        }
        Ok(0)
    }
}
