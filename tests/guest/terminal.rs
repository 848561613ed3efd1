//! Our own client, under a terminal and under pipes.

use std::env;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rexpect::session::PtySession;
use vbox_rs::guest::{Endpoint, Error, Login, Session, shell};
use vbox_rs::progress::Cx;

use crate::pty::ended;
use crate::world::{Sshd, listening, user};

/// Runs a session of ours on inherited input and output: what `helper` starts.
#[test]
#[ignore = "started by another test"]
#[expect(clippy::exit, reason = "the exit code of the guest must become that of this process")]
fn child_session() {
    let port = env::var("GUEST_TEST_PORT").unwrap().parse().unwrap();
    let login = Login { keys: vec![env::var("GUEST_TEST_KEY").unwrap().into()], ..listening(port) };
    let login = Login { endpoint: Endpoint { user: user(), ..login.endpoint }, ..login };
    let cx = Cx::silent();
    let mut session = Session::open(&cx, &login).unwrap();
    let stdio = shell::Stdio::inherited();
    let status = match env::var("GUEST_TEST_LINE") {
        Ok(line) => shell::command(&cx, &mut session, stdio, &line, false),
        Err(_) => shell::interactive(&cx, &mut session, stdio),
    };
    std::process::exit(match status {
        Ok(status) => status,
        Err(Error::Interrupted(_)) => 130,
        Err(_) => 99,
    });
}

fn helper(sshd: &Sshd) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "terminal::child_session", "--ignored", "--nocapture", "--quiet"]);
    command.env("GUEST_TEST_PORT", sshd.port.to_string()).env("GUEST_TEST_KEY", &sshd.key).env("TERM", "xterm");
    command
}

fn typed(sshd: &Sshd) -> PtySession {
    let mut session = rexpect::session::spawn_command(helper(sshd), Some(20_000)).unwrap();
    resize(&session, 30, 100);
    session.send_line("PS1='ready'\\>; stty -echo; unset PROMPT_COMMAND").unwrap();
    session.exp_string("ready>").unwrap();
    session
}

fn resize(session: &PtySession, rows: u16, columns: u16) {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
}

#[test]
fn a_shell_has_the_windows_size_ctrl_c_and_an_exit_code() {
    let sshd = Sshd::start();
    let mut session = typed(&sshd);
    resize(&session, 41, 133);
    session.send_line("sleep 0.3; echo size $(stty size)").unwrap();
    session.exp_string("size 41 133").unwrap();
    session.exp_string("ready>").unwrap();
    // Said by the command itself: a shell that is just about to start one may lose the signal.
    session.send_line("sh -c 'echo begun; exec sleep 600'").unwrap();
    session.exp_string("begun").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("ready>").unwrap();
    session.send_line("echo $TERM; exit 42").unwrap();
    session.exp_string("xterm").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(ended(&session), "42");
}

#[test]
fn tilde_dot_leaves_a_shell_that_hangs() {
    let sshd = Sshd::start();
    let mut session = typed(&sshd);
    session.send_line("echo begun; trap '' INT; sleep 600").unwrap();
    session.exp_string("begun").unwrap();
    session.send("\r~.").unwrap();
    session.flush().unwrap();
    session.exp_eof().unwrap();
    assert_eq!(ended(&session), "255");
}

#[test]
fn a_command_has_our_streams_and_a_signal_ends_it() {
    let sshd = Sshd::start();
    let piped = |line: &str| {
        let mut command = helper(&sshd);
        command.env("GUEST_TEST_LINE", line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = piped("wc -c; echo err >&2; exit 5");
    child.stdin.take().unwrap().write_all(&vec![7; 1 << 20]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("1048576\n"), "{output:?}");
    assert_eq!(output.stderr, b"err\n");

    let mut child = piped("echo begun; sleep 600");
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b"begun\n") {
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        shown.extend(byte);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
