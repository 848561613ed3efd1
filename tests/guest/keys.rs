//! Whom we let in by which key, and whom we trust.

use std::fs;
use std::process::Command;

use vbox_rs::guest::{Error, HostKey, Login, Session, identity, keys};
use vbox_rs::progress::Cx;

use crate::world::Sshd;

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
fn the_insecure_key_is_replaced_and_no_longer_lets_in() {
    let sshd = Sshd::start();
    let cx = Cx::silent();
    let insecure = keys::insecure(sshd.dir.path()).unwrap();
    fs::write(sshd.authorized_keys(), &insecure.public).unwrap();
    let own = keys::ensure(sshd.dir.path(), "own", "vbox-rs web").unwrap();
    let with_insecure = Login { keys: vec![insecure.private], ..sshd.login() };
    let mut old = Session::open(&cx, &with_insecure).unwrap();
    let with_own = Login { keys: vec![own.private], ..sshd.login() };
    let mut new = identity::replace_box_key(&cx, &mut old, &own.public, None, &with_own).unwrap();
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
    assert!(identity::replace_box_key(&cx, &mut old, &own.public, None, &with_other).is_err());
    Session::open(&cx, &with_insecure).unwrap();
}
