//! `ssh`.

use std::ffi::OsString;

use clap::Args;

use super::args::OneMachine;
use super::openssh::{Order, hand_over};
use super::{App, Done};
use crate::machine;

/// Open a shell in a machine, or run a command in its shell
///
/// Hands over to the OpenSSH client where there is one. The code is the guest command's own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs ssh web
  vbox-rs ssh -c 'df -h | grep /dev'
  vbox-rs ssh -- -L 5432:localhost:5432  arguments for the OpenSSH client")]
pub(super) struct Ssh {
    #[command(flatten)]
    machine: OneMachine,
    /// Run this line in the login shell instead of an interactive shell
    #[arg(short, long, value_name = "LINE")]
    command: Option<String>,
    /// Leave user and keys to the client's own configuration
    #[arg(short, long)]
    plain: bool,
    /// Give the command a terminal (default: where this is one; --no-tty: never)
    #[arg(short, long)]
    tty: bool,
    /// Arguments for the OpenSSH client
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

impl Ssh {
    pub(super) fn run(self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let target = machine::ssh_target(&fleet, &target)?;
        let tty = terminal(app, self.tty, self.command.is_some());
        hand_over(&target, Order { command: self.command, tty, extra: self.args, plain: self.plain })
    }
}

/// Whether a command gets a terminal: an interactive shell is left to the client.
pub(super) fn terminal(app: &App, asked: bool, command: bool) -> Option<bool> {
    match (asked, app.no_tty()) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => command.then(|| app.ui.interactive()),
    }
}
