//! What a user sees who sits at a terminal, and what Ctrl-C does.
//!
//! The machines have an empty disk: their hypervisor starts for real (QEMU must be installed), and nothing ever answers.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a panic is how a test fails")]

#[path = "support/pty.rs"]
mod pty;
#[path = "machines/world.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of such machines use all of it")]
mod world;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use pty::ended;
use rexpect::session::PtySession;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use world::World;

/// A world whose machine never answers.
fn silent_machine(settings: &str) -> World {
    let world = World::empty();
    world.add_empty_box();
    world.machine_file(&format!("box = \"empty\"\nmemory = 128\n{settings}"));
    world
}

fn at_terminal(world: &World, args: &[&str]) -> PtySession {
    let mut command = world.command(args);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    command.env("TERM", "xterm").env_remove("CI");
    rexpect::session::spawn_command(command, Some(20_000)).unwrap()
}

fn shows_control_characters(session: &PtySession) -> bool {
    let terminal = session.process().get_file_handle().unwrap();
    tcgetattr(terminal.as_fd()).unwrap().local_modes.contains(LocalModes::ECHOCTL)
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

#[test]
fn destroy_asks_and_only_a_yes_destroys() {
    let world = silent_machine("boot_timeout = 1\n");
    world.run(&["up"]).fails(10, &[]);
    for (answer, words, code) in [("n", "nothing was done", "1"), ("", "nothing was done", "1")] {
        let mut session = at_terminal(&world, &["destroy"]);
        session.exp_string("destroy `default` and all on its disks? [y/N] ").unwrap();
        session.send_line(answer).unwrap();
        session.exp_string(words).unwrap();
        session.exp_eof().unwrap();
        assert_eq!(ended(&session), code);
        assert_eq!(world.state("default"), "running");
    }
    let mut session = at_terminal(&world, &["destroy"]);
    session.exp_string("[y/N] ").unwrap();
    session.send_line("perhaps").unwrap();
    session.exp_string("[y/N] ").unwrap();
    session.send_line("y").unwrap();
    session.exp_string("==> default: destroyed").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(ended(&session), "0");
    world.assert_nothing_left();
}

#[test]
fn nobody_is_asked_where_nobody_can_answer() {
    let world = silent_machine("boot_timeout = 1\n");
    world.run(&["up"]).fails(10, &[]);
    world.run(&["destroy"]).fails(2, &["cannot ask whether to destroy `default`", "use -f"]);
    assert_eq!(world.state("default"), "running");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn ctrl_c_while_it_boots_says_what_is_left_and_destroy_removes_it() {
    let world = silent_machine("");
    let mut session = at_terminal(&world, &["up"]);
    session.exp_string("boot: ssh banner").unwrap();
    assert!(!shows_control_characters(&session), "`^C` would tear the bars");
    session.send_control('c').unwrap();
    session.exp_string("interrupted; stopping at a safe point").unwrap();
    session.exp_string("machine `default` runs, but is not set up yet; `vbox-rs up` goes on").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(ended(&session), "130");
    assert!(shows_control_characters(&session), "the terminal is as it was");
    world.run(&["status"]).ok().says(&["running", "`vbox-rs up` was cut short"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn the_third_ctrl_c_ends_what_cannot_stop_and_nothing_is_lost() {
    let world = silent_machine("");
    let mut session = at_terminal(&world, &["up"]);
    session.exp_string("boot: ssh banner").unwrap();
    // A record that never can be read to its end, as on a server's disk that hangs.
    let record = world.home().join("machines").join(world.id("default")).join("machine.json");
    let good = record.with_extension("good");
    fs::rename(&record, &good).unwrap();
    assert!(Command::new("mkfifo").arg(&record).status().unwrap().success());
    session.send_control('c').unwrap();
    session.exp_string("interrupted; stopping at a safe point").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("once more ends vbox-rs at once").unwrap();
    session.send_control('c').unwrap();
    session.exp_eof().unwrap();
    assert_eq!(ended(&session), "130");
    assert!(shows_control_characters(&session), "the terminal is as it was");
    fs::rename(good, record).unwrap();
    world.run(&["status"]).ok().says(&["running", "`vbox-rs up` was cut short"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_log_tells_what_is_awaited_for_long_and_a_signal_ends_it() {
    let world = silent_machine("graceful_halt_timeout = 60\n");
    for (args, awaited, left) in [
        ("up", "    default: waiting: ssh banner", "runs, but is not set up yet"),
        ("halt", "    default: waiting: the guest to shut down", "was asked to shut down"),
    ] {
        let mut child = world.command(&[args]).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while line.trim_end() != awaited {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "`{awaited}` is told");
        }
        interrupt(&child);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert!(rest.contains(left) && !rest.contains("waiting:"), "{rest}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
    world.run(&["halt", "-f"]).ok().says(&["stopped by force"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn debug_shows_what_is_run_and_timestamp_when() {
    let world = silent_machine("boot_timeout = 1\n");
    let ran = world
        .run(&["up", "--debug-timestamp"])
        .fails(10, &["debug: ", " run ", "qemu-system-", " qmp {", "step start ended"]);
    for line in ran.stderr.lines() {
        let time = line.split(' ').next().unwrap();
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{line}");
    }
    let ran = world.run(&["destroy", "-f", "--machine-readable"]).ok();
    assert!(ran.stdout.contains(",ui,info,"), "{}", ran.stdout);
}
