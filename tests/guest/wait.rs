//! Readiness: from a port that nobody answers to the first login.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use vbox_rs::guest::wait::{self, Outside};
use vbox_rs::guest::{Answer, Error, HostKey, Login, Session, Stage, keys};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};

use crate::world::{Sshd, free_port, listening, serve};

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
        let waiting = scope.spawn(|| wait::for_ssh(&cx, &login, &mut || Outside::Runs, Duration::from_secs(30)));
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
        let waiting =
            scope.spawn(|| wait::for_ssh(&Cx::silent(), &login, &mut || Outside::Runs, Duration::from_secs(30)));
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
    let refused = wait::for_ssh(&Cx::silent(), &login, &mut || Outside::Runs, Duration::from_secs(2));
    assert!(matches!(refused, Err(Error::WrongKey { .. })), "{refused:?}");
}

#[test]
fn a_changed_host_key_is_not_waited_away() {
    let sshd = Sshd::start();
    let other = keys::ensure(sshd.dir.path(), "other", "other").unwrap();
    let login = Login { host_key: HostKey::Pinned(other.public), ..sshd.login() };
    let changed = wait::for_ssh(&Cx::silent(), &login, &mut || Outside::Runs, Duration::from_secs(600));
    assert!(matches!(changed, Err(Error::HostKeyChanged(_))), "{changed:?}");
}

#[test]
fn a_port_without_a_server_is_told_by_what_it_does() {
    let wait_for = |port| wait::for_ssh(&Cx::silent(), &listening(port), &mut || Outside::Runs, SHORT).unwrap_err();
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

/// A server so slow that its banner comes a second after the connection. Tells the most that were open at once.
fn slow_server(listener: &TcpListener, done: &AtomicBool) -> usize {
    listener.set_nonblocking(true).unwrap();
    let mut open: Vec<(Instant, TcpStream)> = Vec::new();
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        let new = listener.accept().ok();
        open.retain(|(_, stream)| {
            stream.set_nonblocking(true).unwrap();
            // Nothing is said to us before we say something: what can be read is the end.
            matches!(stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
        });
        open.extend(new.map(|(stream, _)| (Instant::now(), stream)));
        most = most.max(open.len());
        for (since, stream) in &mut open {
            if since.elapsed() >= Duration::from_secs(1) {
                let _ = stream.write(b"SSH-2.0-slow\r\n");
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    most
}

#[test]
fn a_slow_banner_wins_and_few_connections_wait_for_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let login = listening(listener.local_addr().unwrap().port());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let server = scope.spawn(|| slow_server(&listener, &done));
        let answered =
            wait::for_banner(&Cx::silent(), &login, &mut || Outside::Runs, Duration::from_secs(60)).map(drop);
        done.store(true, Ordering::Relaxed);
        assert!(answered.is_ok(), "{answered:?}");
        // OpenSSH turns some away from the tenth on.
        let most = server.join().unwrap();
        assert!((2..=6).contains(&most), "{most} were open at once");
    });
}

#[test]
fn who_is_turned_away_does_not_take_the_place_of_who_waits() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let login = listening(listener.local_addr().unwrap().port());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Room for one, whose banner takes a second.
        let server = scope.spawn(|| {
            let (mut first, _) = listener.accept().unwrap();
            let since = Instant::now();
            listener.set_nonblocking(true).unwrap();
            let mut served = false;
            while !done.load(Ordering::Relaxed) {
                if let Ok((mut other, _)) = listener.accept() {
                    other.write_all(b"Exceeded MaxStartups\r\n").unwrap();
                }
                if !served && since.elapsed() >= Duration::from_secs(1) {
                    served = first.write_all(b"SSH-2.0-busy\r\n").is_ok();
                }
                thread::sleep(Duration::from_millis(5));
            }
            served
        });
        let answered =
            wait::for_banner(&Cx::silent(), &login, &mut || Outside::Runs, Duration::from_secs(60)).map(drop);
        done.store(true, Ordering::Relaxed);
        assert!(answered.is_ok(), "{answered:?}");
        assert!(server.join().unwrap(), "the first one was not waited for");
    });
}

#[test]
fn a_hypervisor_that_dies_ends_the_wait() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let login = listening(silent.local_addr().unwrap().port());
    let began = Instant::now();
    let mut look = || if began.elapsed() < Duration::from_millis(200) { Outside::Runs } else { Outside::Ended };
    let died = wait::for_ssh(&Cx::silent(), &login, &mut look, Duration::from_secs(600));
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
    let result = wait::for_ssh(&cx, &login, &mut || Outside::Runs, Duration::from_secs(600));
    assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
    let result = Session::open(&cx, &login);
    assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
    let slow = Session::open(&Cx::silent(), &Login { timeout: SHORT, ..login });
    assert!(matches!(slow, Err(Error::LoginTimeout { stage: Stage::KeyExchange, .. })), "{slow:?}");
}
