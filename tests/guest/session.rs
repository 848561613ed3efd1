//! Logins, commands, streams, files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use vbox_rs::guest::{Error, GuestCommand, HostKey, Login, Session, keys, openssh, quote, setup};
use vbox_rs::progress::{Cancel, Cx, Stream};

use crate::world::Sshd;

fn collect(session: &mut Session, command: GuestCommand<'_>) -> (i32, Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = session
        .run(&Cx::silent(), command, &mut |stream, bytes| match stream {
            Stream::Stdout => out.extend_from_slice(bytes),
            Stream::Stderr => err.extend_from_slice(bytes),
        })
        .unwrap();
    (status, out, err)
}

/// Bytes of every value, the same each time.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()
}

fn line(text: &str) -> GuestCommand<'static> {
    GuestCommand { line: text.into(), ..GuestCommand::default() }
}

#[test]
fn a_login_shows_the_host_key_and_runs_commands() {
    let sshd = Sshd::start();
    let login = Login { host_key: HostKey::FirstContact, ..sshd.login() };
    let mut session = Session::open(&Cx::silent(), &login).unwrap();
    assert_eq!(format!("{} host", session.host_key()), sshd.host_key);
    let output = session.output(&Cx::silent(), "echo out; echo err >&2; exit 7").unwrap();
    assert_eq!((output.status, output.stdout, output.stderr), (7, b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(collect(&mut session, line("kill -TERM $$")).0, 128 + 15);
    assert_eq!(collect(&mut session, line("kill -KILL $$")).0, 128 + 9);
    let pty = GuestCommand { line: "test -t 0 && test -t 1".into(), pty: true, stdin: None };
    assert_eq!(collect(&mut session, pty).0, 0);
}

#[test]
fn a_flood_on_one_stream_never_blocks_the_other() {
    let sshd = Sshd::start();
    let mut session = sshd.open();
    let script = "head -c 4194304 /dev/zero >&2; echo done; head -c 4194304 /dev/zero >&2";
    let (status, out, err) = collect(&mut session, line(script));
    assert_eq!((status, out.as_slice(), err.len()), (0, &b"done\n"[..], 8 << 20));
}

#[test]
fn ten_megabytes_go_in_and_come_back() {
    let sshd = Sshd::start();
    let mut session = sshd.open();
    let sent = noise(10 << 20);
    let mut source = sent.as_slice();
    let (status, out, _) =
        collect(&mut session, GuestCommand { line: "cat".into(), stdin: Some(&mut source), pty: false });
    assert_eq!(status, 0);
    assert!(out == sent, "{} bytes came back", out.len());
    // A command that does not want its input ends all the same.
    let mut source = sent.as_slice();
    let (status, out, _) =
        collect(&mut session, GuestCommand { line: "head -c 3; exit 4".into(), stdin: Some(&mut source), pty: false });
    assert_eq!((status, out.len()), (4, 3));
}

#[test]
fn a_cancelled_command_returns_at_once() {
    let sshd = Sshd::start();
    let mut session = sshd.open();
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(vbox_rs::progress::Silent), cancel.clone());
    let result = session.run(&cx, line("echo up; sleep 600"), &mut |_, _| cancel.raise());
    assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
}

#[test]
fn files_arrive_whole_with_their_mode() {
    let sshd = Sshd::start();
    let mut session = sshd.open();
    let cx = Cx::silent();
    let bytes = noise(3_000_000);
    let from = sshd.dir.path().join("from");
    fs::write(&from, &bytes).unwrap();
    for name in ["plain", "it's a $HOME \"test\" ü"] {
        let to = sshd.dir.path().join(name);
        session.upload(&cx, &from, to.to_str().unwrap(), 0o640).unwrap();
        assert!(fs::read(&to).unwrap() == bytes);
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    }
    let to = sshd.dir.path().join("empty");
    session.write(&cx, b"", to.to_str().unwrap(), 0o4755).unwrap();
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o7777, 0o4755);
    let refused = session.write(&cx, b"x", "/nonexistent/dir/file", 0o644).unwrap_err();
    assert!(refused.to_string().starts_with("cannot write /nonexistent/dir/file in the guest: "), "{refused}");
    let refused = session.write(&cx, b"x", sshd.dir.path().to_str().unwrap(), 0o644).unwrap_err();
    assert!(refused.to_string().contains("there is a directory of that name"), "{refused}");
}

#[test]
fn the_guests_shell_reads_back_what_was_quoted() {
    let sshd = Sshd::start();
    let session = Mutex::new(sshd.open());
    let cases = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    proptest!(cases, |(text in "[^\0]{0,60}")| {
        let output = session.lock().unwrap().output(&Cx::silent(), &format!("printf %s {}", quote(&text))).unwrap();
        prop_assert_eq!(output.stdout, text.as_bytes());
    });
}

#[test]
fn the_boot_id_is_read_and_a_failing_step_tells_why() {
    let sshd = Sshd::start();
    let mut session = sshd.open();
    let id = setup::boot_id(&mut session, &Cx::silent()).unwrap();
    assert_eq!(id, fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
}

#[test]
fn the_real_client_logs_in_with_our_configuration_and_sees_a_changed_key() {
    let client = openssh::client().expect("openssh-client must be installed");
    let sshd = Sshd::start();
    let file = sshd.client_config("web");
    let invocation = openssh::Invocation { command: Some("echo $((40+2)); exit 3"), ..Default::default() };
    let run = || Command::new(&client).args(openssh::arguments(&file, "web", &invocation)).output().unwrap();
    let output = run();
    assert_eq!(output.stdout, b"42\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    fs::write(sshd.known_hosts(), openssh::known_hosts_line("web", &other.public).unwrap()).unwrap();
    let refused = run();
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("REMOTE HOST IDENTIFICATION HAS CHANGED"));
}
