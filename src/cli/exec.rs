//! `exec`.

use clap::Args;

use super::args::OneMachine;
use super::openssh::{Order, hand_over};
use super::ssh::terminal;
use super::{App, Done};
use crate::{guest, machine};

/// Run a program in a machine, its arguments exactly as given
///
/// No shell changes the arguments: blanks, quotes, `*` and `$` arrive as they are. The code is the program's own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs exec -- uname -a
  vbox-rs exec web -- psql -c 'select * from \"users\"'")]
pub(super) struct Exec {
    #[command(flatten)]
    machine: OneMachine,
    /// Give the program a terminal (default: where this is one; --no-tty: never)
    #[arg(short, long)]
    tty: bool,
    /// Program and arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) fn run(self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let target = machine::ssh_target(&fleet, &target)?;
        let line = self.command.iter().map(|word| guest::quote(word)).collect::<Vec<_>>().join(" ");
        let tty = terminal(app, self.tty, true);
        hand_over(&target, Order { command: Some(line), tty, ..Order::default() })
    }
}
