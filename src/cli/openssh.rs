//! Handing over to the user's OpenSSH client, or doing without one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{Done, Error};
use crate::error::Failure;
use crate::guest::Session;
use crate::guest::openssh::{self, Invocation};
use crate::guest::shell::{self, Stdio};
use crate::machine::SshTarget;
use crate::progress::Cx;
use crate::trace;

/// What to do in the guest.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// A line for the login shell; an interactive shell where left out.
    pub command: Option<String>,
    /// Force a terminal (`true`) or none (`false`); `None`: as the client does.
    pub tty: Option<bool>,
    /// More arguments for the client.
    pub extra: Vec<OsString>,
    /// Leave user and keys to the client's own configuration.
    pub plain: bool,
}

/// Replaces this process by the OpenSSH client, or does the same over our own connection when there is none.
pub(super) fn hand_over(target: &SshTarget, order: Order) -> Done {
    match openssh::client() {
        Some(client) => Err(exec(&client, &arguments(target, order))),
        None => without_client(target, &order),
    }
}

/// Returns only when the client cannot be run.
fn exec(client: &Path, arguments: &[OsString]) -> Failure {
    let mut command = Command::new(client);
    command.args(arguments);
    trace::command(&command);
    let source = command.exec();
    Error::Run { program: client.into(), source }.into()
}

fn arguments(target: &SshTarget, order: Order) -> Vec<OsString> {
    let tty = if order.command.is_some() { order.tty } else { None };
    let mut arguments = if order.plain {
        let endpoint = &target.login.endpoint;
        vec!["-p".into(), endpoint.port.to_string().into(), endpoint.host.clone().into()]
    } else {
        openssh::arguments(
            &target.config,
            &target.host,
            &Invocation { tty, extra: &target.extra_args, ..Invocation::default() },
        )
    };
    // Behind the host, as Vagrant has it: `-- ls` is a command, and the client takes options there too.
    arguments.extend(order.extra);
    if let Some(command) = order.command {
        arguments.extend(["--".into(), command.into()]);
    }
    arguments
}

fn without_client(target: &SshTarget, order: &Order) -> Done {
    if order.plain || !order.extra.is_empty() {
        return Err(Error::NoClient.into());
    }
    // The session has ears of its own, and Ctrl-C is the guest's.
    let cx = Cx::silent();
    let mut session = Session::open(&cx, &target.login)?;
    let stdio = Stdio::inherited();
    let code = match &order.command {
        Some(line) => shell::command(&cx, &mut session, stdio, line, order.tty.unwrap_or(false))?,
        None => shell::interactive(&cx, &mut session, stdio)?,
    };
    Ok(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guest::{Endpoint, HostKey, Login};

    fn target() -> SshTarget {
        SshTarget {
            login: Login {
                endpoint: Endpoint { host: "127.0.0.1".into(), port: 2200, user: "vagrant".into() },
                keys: vec![],
                host_key: HostKey::FirstContact,
                timeout: Duration::from_secs(1),
                keep_alive: false,
            },
            config: "/h/ssh/config".into(),
            config_text: String::new(),
            host: "web".into(),
            extra_args: vec!["Compression=yes".into()],
        }
    }

    #[test]
    fn the_client_gets_our_configuration_and_the_users_arguments() {
        let command = |text: &str| Some(text.to_owned());
        let cases = [
            (Order::default(), "-F /h/ssh/config -o Compression=yes web"),
            (
                Order { command: command("uname -a"), tty: Some(false), ..Order::default() },
                "-F /h/ssh/config -T -o Compression=yes web -- uname -a",
            ),
            (
                Order { command: command("top"), tty: Some(true), ..Order::default() },
                "-F /h/ssh/config -t -o Compression=yes web -- top",
            ),
            (
                Order { extra: vec!["-L".into(), "1:x:2".into()], ..Order::default() },
                "-F /h/ssh/config -o Compression=yes web -L 1:x:2",
            ),
            (Order { plain: true, ..Order::default() }, "-p 2200 127.0.0.1"),
        ];
        for (order, expected) in cases {
            let found: Vec<_> = arguments(&target(), order).iter().map(|a| a.to_string_lossy().into_owned()).collect();
            assert_eq!(found.join(" "), expected);
        }
    }
}
