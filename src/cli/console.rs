//! `console`.

use clap::Args;

use super::args::OneMachine;
use super::{App, Done};
use crate::guest::console::{self, Left};
use crate::guest::shell::Stdio;
use crate::machine;
use crate::progress::Cx;

/// Attach this terminal to a machine's serial console
///
/// Works without a network and before the guest answers. Everything that is typed goes to the guest, Ctrl-C too;
/// Ctrl-] leaves.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vbox-rs console web")]
pub(super) struct Console {
    #[command(flatten)]
    machine: OneMachine,
}

impl Console {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let serial = machine::console(&fleet, &target)?;
        app.ui.say(&format!("==> {}: connected to the serial console; Ctrl-] leaves it", target.name));
        // It has ears of its own, and Ctrl-C is the guest's.
        let left = console::attach(&Cx::silent(), &serial.stream, Stdio::inherited());
        // However it ended.
        serial.leave()?;
        app.ui.say(match left? {
            Left::Asked => "",
            Left::Closed => "\nthe machine has ended",
        });
        Ok(0)
    }
}
