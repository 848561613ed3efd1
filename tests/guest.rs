//! Sessions against a real OpenSSH server on loopback (`openssh-server` must be installed; its service need not run).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rexpect::session::PtySession;
use vbox_rs::guest::{
    Answer, Endpoint, Error, GuestCommand, HostKey, Login, Session, Stage, identity, keys, openssh, quote, setup,
    shell, wait,
};
use vbox_rs::progress::{Cancel, Cx, Event, Sink, Stream};

/// A server of our own; it ends with the value.
struct Sshd {
    dir: tempfile::TempDir,
    child: Child,
    port: u16,
    key: PathBuf,
    host_key: String,
}

impl Sshd {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = keys::ensure(dir.path(), "id_ed25519", "test").unwrap();
        let host = keys::ensure(dir.path(), "host_ed25519", "host").unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        fs::write(home.join(".ssh/authorized_keys"), format!("{}\n", key.public)).unwrap();
        let port = free_port();
        let child = serve(dir.path(), port);
        let sshd = Self { dir, child, port, key: key.private, host_key: host.public };
        sshd.wait();
        sshd
    }

    fn wait(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn login(&self) -> Login {
        Login {
            endpoint: Endpoint { host: "127.0.0.1".into(), port: self.port, user: user() },
            keys: vec![self.key.clone()],
            host_key: HostKey::Pinned(self.host_key.clone()),
            timeout: Duration::from_secs(20),
            keep_alive: true,
        }
    }

    fn open(&self) -> Session {
        Session::open(&Cx::silent(), &self.login()).unwrap()
    }

    fn authorized_keys(&self) -> PathBuf {
        self.dir.path().join("home/.ssh/authorized_keys")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().into()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn serve(dir: &Path, port: u16) -> Child {
    // The server, as root, insists on this directory.
    let _ = fs::create_dir_all("/run/sshd");
    let root = dir.display();
    let config = dir.join("sshd_config");
    let text = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {root}/host_ed25519\nAuthorizedKeysFile {root}/home/.ssh/authorized_keys\n\
         SetEnv HOME={root}/home\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nMaxStartups 100\n"
    );
    fs::write(&config, text).unwrap();
    let log = fs::File::create(dir.join("sshd.log")).unwrap();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("openssh-server must be installed")
}

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
fn every_usual_kind_of_key_logs_in() {
    let sshd = Sshd::start();
    let make = |name: &str, args: &[&str]| {
        let path = sshd.dir.path().join(name);
        let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&path).args(args).status().unwrap();
        assert!(made.success());
        path
    };
    for (name, args) in [
        ("rsa", &["-t", "rsa", "-b", "2048"][..]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("ecdsa", &["-t", "ecdsa"]),
        ("ecdsa-pem", &["-t", "ecdsa", "-m", "PEM"]),
        ("ed25519", &["-t", "ed25519"]),
    ] {
        let key = make(name, args);
        fs::copy(key.with_extension("pub"), sshd.authorized_keys()).unwrap();
        let session = Session::open(&Cx::silent(), &Login { keys: vec![key], ..sshd.login() });
        assert!(session.is_ok(), "{name}: {session:?}");
    }
    fs::write(sshd.authorized_keys(), keys::insecure(sshd.dir.path()).unwrap().public).unwrap();
    let keys = vec![sshd.dir.path().join("missing"), sshd.key.clone(), sshd.dir.path().join("vagrant_insecure_key")];
    Session::open(&Cx::silent(), &Login { keys, ..sshd.login() }).unwrap();
}

#[test]
fn a_wrong_key_a_missing_key_and_a_changed_host_key_are_three_things() {
    let sshd = Sshd::start();
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    let wrong = Session::open(&Cx::silent(), &Login { keys: vec![other.private.clone()], ..sshd.login() });
    assert!(matches!(&wrong, Err(Error::WrongKey { tried, .. }) if *tried == [other.private.display().to_string()]));
    let missing = Login { keys: vec!["/nonexistent/key".into()], ..sshd.login() };
    let missing = Session::open(&Cx::silent(), &missing);
    assert!(matches!(&missing, Err(Error::Key { why, .. }) if why == "there is no such file"), "{missing:?}");
    let changed = Login { host_key: HostKey::Pinned(other.public.clone()), ..sshd.login() };
    let changed = Session::open(&Cx::silent(), &changed).unwrap_err();
    let Error::HostKeyChanged(key) = &changed else { panic!("{changed:?}") };
    let (expected, shown) = (&key.expected, &key.shown);
    assert!(expected.starts_with("SHA256:") && shown.starts_with("SHA256:") && expected != shown);
    let log = fs::read_to_string(sshd.dir.path().join("sshd.log")).unwrap();
    let attempts = log.lines().filter(|line| line.contains("Failed publickey") || line.contains("Accepted")).count();
    assert!(attempts <= 1, "no key was offered to the stranger: {log}");
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
fn the_insecure_key_is_replaced_and_no_longer_lets_in() {
    let sshd = Sshd::start();
    let cx = Cx::silent();
    let insecure = keys::insecure(sshd.dir.path()).unwrap();
    fs::write(sshd.authorized_keys(), &insecure.public).unwrap();
    let own = keys::ensure(sshd.dir.path(), "own", "vbox-rs web").unwrap();
    let with_insecure = Login { keys: vec![insecure.private], ..sshd.login() };
    let mut old = Session::open(&cx, &with_insecure).unwrap();
    let with_own = Login { keys: vec![own.private], ..sshd.login() };
    let mut new = identity::replace_insecure_key(&cx, &mut old, &own.public, &with_own).unwrap();
    assert_eq!(new.output(&cx, "echo in").unwrap().stdout, b"in\n");
    assert!(matches!(Session::open(&cx, &with_insecure), Err(Error::WrongKey { .. })));
    assert_eq!(fs::read_to_string(sshd.authorized_keys()).unwrap(), format!("{}\n", own.public));
}

#[test]
fn the_insecure_key_stays_when_the_new_one_does_not_let_in() {
    let sshd = Sshd::start();
    let cx = Cx::silent();
    let insecure = keys::insecure(sshd.dir.path()).unwrap();
    fs::write(sshd.authorized_keys(), &insecure.public).unwrap();
    let own = keys::ensure(sshd.dir.path(), "own", "own").unwrap();
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    let with_insecure = Login { keys: vec![insecure.private], ..sshd.login() };
    let mut old = Session::open(&cx, &with_insecure).unwrap();
    let with_other = Login { keys: vec![other.private], ..sshd.login() };
    assert!(identity::replace_insecure_key(&cx, &mut old, &own.public, &with_other).is_err());
    Session::open(&cx, &with_insecure).unwrap();
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
    let Some(client) = openssh::client() else { return };
    let sshd = Sshd::start();
    let known_hosts = sshd.dir.path().join("known hosts");
    fs::write(&known_hosts, openssh::known_hosts_line("vbox-rs-1", &sshd.host_key).unwrap()).unwrap();
    let endpoint = sshd.login().endpoint;
    let config = openssh::ClientConfig {
        host: "web",
        endpoint: &endpoint,
        known_hosts: &known_hosts,
        host_key_alias: "vbox-rs-1",
        host_key_known: true,
        identities: std::slice::from_ref(&sshd.key),
        forward_agent: false,
        forward_x11: false,
        keep_alive: true,
        connect_timeout: 15,
    };
    let file = sshd.dir.path().join("config");
    fs::write(&file, openssh::config_text(&config).unwrap()).unwrap();
    let invocation = openssh::Invocation { command: Some("echo $((40+2)); exit 3"), ..Default::default() };
    let run = || Command::new(&client).args(openssh::arguments(&file, "web", &invocation)).output().unwrap();
    let output = run();
    assert_eq!(output.stdout, b"42\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    fs::write(&known_hosts, openssh::known_hosts_line("vbox-rs-1", &other.public).unwrap()).unwrap();
    let refused = run();
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("REMOTE HOST IDENTIFICATION HAS CHANGED"));
}

// ---- readiness ----

/// Keeps what was waited for.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Sink for Told {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if let Event::Waiting { what } = event {
            self.0.lock().unwrap().push(what.clone());
        }
    }
}

fn listening(port: u16) -> Login {
    Login {
        endpoint: Endpoint { host: "127.0.0.1".into(), port, user: "vagrant".into() },
        keys: vec![],
        host_key: HostKey::FirstContact,
        timeout: Duration::from_secs(10),
        keep_alive: false,
    }
}

const SHORT: Duration = Duration::from_millis(400);

#[test]
fn a_server_that_comes_late_is_found_and_every_stage_is_told() {
    let sshd = Sshd::start();
    let login = sshd.login();
    let mut sshd = sshd;
    sshd.child.kill().unwrap();
    sshd.child.wait().unwrap();
    let told = Arc::new(Told::default());
    let cx = Cx::new(told.clone(), Cancel::default());
    let mut session = thread::scope(|scope| {
        let waiting = scope.spawn(|| wait::for_ssh(&cx, &login, &mut || true, Duration::from_secs(30)));
        thread::sleep(Duration::from_millis(300));
        sshd.child = serve(sshd.dir.path(), sshd.port);
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(session.output(&Cx::silent(), "echo in").unwrap().stdout, b"in\n");
    let told = told.0.lock().unwrap();
    assert_eq!(told.first().map(String::as_str), Some("port answers"));
    assert_eq!(told[told.len() - 2..], ["key exchange", "login"]);
}

#[test]
fn keys_that_are_installed_late_are_waited_for() {
    let sshd = Sshd::start();
    let keys = fs::read(sshd.authorized_keys()).unwrap();
    fs::write(sshd.authorized_keys(), "").unwrap();
    let login = sshd.login();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait::for_ssh(&Cx::silent(), &login, &mut || true, Duration::from_secs(30)));
        thread::sleep(Duration::from_millis(400));
        fs::write(sshd.authorized_keys(), keys).unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn refused_keys_are_reported_as_such_at_the_deadline() {
    let sshd = Sshd::start();
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    let login = Login { keys: vec![other.private], ..sshd.login() };
    let refused = wait::for_ssh(&Cx::silent(), &login, &mut || true, Duration::from_secs(2));
    assert!(matches!(refused, Err(Error::WrongKey { .. })), "{refused:?}");
}

#[test]
fn a_changed_host_key_is_not_waited_away() {
    let sshd = Sshd::start();
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    let login = Login { host_key: HostKey::Pinned(other.public), ..sshd.login() };
    let changed = wait::for_ssh(&Cx::silent(), &login, &mut || true, Duration::from_secs(600));
    assert!(matches!(changed, Err(Error::HostKeyChanged(_))), "{changed:?}");
}

#[test]
fn a_port_without_a_server_is_told_by_what_it_does() {
    let wait_for = |port| wait::for_ssh(&Cx::silent(), &listening(port), &mut || true, SHORT).unwrap_err();
    let closed = wait_for(free_port());
    assert!(matches!(closed, Error::NoSshd { answer: Answer::Closed, .. }), "{closed:?}");

    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let error = wait_for(silent.local_addr().unwrap().port());
    assert!(matches!(error, Error::NoSshd { answer: Answer::Silent, .. }), "{error:?}");

    let hanging_up = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = hanging_up.local_addr().unwrap().port();
    thread::spawn(move || hanging_up.incoming().for_each(drop));
    let error = wait_for(port);
    assert!(matches!(error, Error::NoSshd { answer: Answer::Refused, .. }), "{error:?}");

    let stuck = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = stuck.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in stuck.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"SSH-2.0-stuck\r\n");
            kept.push(stream);
        }
    });
    let error = wait_for(port);
    assert!(matches!(error, Error::BootTimeout { stage: Stage::KeyExchange, .. }), "{error:?}");
}

#[test]
fn a_hypervisor_that_dies_ends_the_wait() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let login = listening(silent.local_addr().unwrap().port());
    let began = Instant::now();
    let mut alive = || began.elapsed() < Duration::from_millis(200);
    let died = wait::for_ssh(&Cx::silent(), &login, &mut alive, Duration::from_secs(600));
    assert!(matches!(died, Err(Error::ProcessDied { stage: Stage::Banner })), "{died:?}");
}

#[test]
fn a_cancelled_wait_and_a_cancelled_login_end() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let login = listening(silent.local_addr().unwrap().port());
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(vbox_rs::progress::Silent), cancel.clone());
    let other = cancel.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        other.raise();
    });
    let result = wait::for_ssh(&cx, &login, &mut || true, Duration::from_secs(600));
    assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
    let result = Session::open(&cx, &login);
    assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
    let slow = Session::open(&Cx::silent(), &Login { timeout: SHORT, ..login });
    assert!(matches!(slow, Err(Error::LoginTimeout { stage: Stage::KeyExchange, .. })), "{slow:?}");
}

// ---- our own client, under a terminal ----

/// Runs a session of ours on inherited input and output: what `helper` starts.
#[test]
#[ignore = "other tests start it as a process of its own"]
#[expect(clippy::exit, reason = "the exit code of the guest must become that of this process")]
fn helper_session() {
    let Some(port) = env::var("GUEST_TEST_PORT").ok().and_then(|port| port.parse().ok()) else { return };
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
    command.args(["--exact", "helper_session", "--ignored", "--nocapture", "--quiet"]);
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

/// The library's own type of a process' end cannot be named; its text can.
fn ended(session: &PtySession) -> String {
    let status = format!("{:?}", session.process().wait().unwrap());
    status.split_once("), ").map(|(_, code)| code.trim_end_matches(')').to_owned()).unwrap_or(status)
}

#[test]
fn a_shell_has_the_windows_size_ctrl_c_and_an_exit_code() {
    let sshd = Sshd::start();
    let mut session = typed(&sshd);
    resize(&session, 41, 133);
    session.send_line("sleep 0.3; echo size $(stty size)").unwrap();
    session.exp_string("size 41 133").unwrap();
    session.exp_string("ready>").unwrap();
    session.send_line("echo begun; sleep 600").unwrap();
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
