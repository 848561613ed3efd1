//! Bad input as a user meets it at the command line: what is said, the exit code, and that nothing is left or lost. What
//! takes a machine that starts is in `e2e/bad_input.rs`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "in a test a panic is the message")]

#[path = "support/fault_server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod fault_server;
#[path = "support/home.rs"]
mod home;
#[path = "support/images.rs"]
mod images;
#[path = "support/mounts.rs"]
mod mounts;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use fault_server::{Reply, Server};
use home::TestHome;
use images::{LIBVIRT, gz, header, plain_box, qcow2, tar, with_backing_file, with_data_file};
use mounts::Mount;

/// Runs a command that must fail: its code and all of `words` in what it says.
#[track_caller]
fn fails(home: &TestHome, args: &[&str], code: i32, words: &[&str]) -> String {
    let (found, out, err) = home.run(args);
    assert_eq!(found, code, "{args:?}\nstdout:\n{out}\nstderr:\n{err}");
    for word in words {
        assert!(err.contains(word), "{args:?}: `{word}` is not in:\n{err}");
    }
    err
}

/// All files in the home but locks.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") && !path.parent().unwrap().ends_with("locks") {
            found.push(path);
        }
    }
    found
}

#[track_caller]
fn assert_nothing_is_left(home: &TestHome) {
    assert_eq!(files(&home.home()), Vec::<PathBuf>::new(), "nothing is left in the home");
    assert!(!home.project().join(".vbox-rs").exists(), "nothing is left in the project");
}

fn write(home: &TestHome, name: &str, bytes: &[u8]) {
    fs::write(home.project().join(name), bytes).unwrap();
}

/// A machine whose box comes from `url`.
fn machine_from(home: &TestHome, url: &str, more: &str) {
    home.write("Vagrantfile", &format!("box = \"some/box\"\nbox_url = \"{url}\"\n{more}"));
}

/// `box add` and `up` must refuse the same source for the same reason, and keep nothing of it.
#[track_caller]
fn refused(source: &str, code: i32, words: &[&str]) {
    let home = TestHome::new();
    fails(&home, &["box", "add", source, "--name", "some/box"], code, words);
    assert_nothing_is_left(&home);
    machine_from(&home, source, "");
    fails(&home, &["up"], code, words);
    assert_nothing_is_left(&home);
}

/// As [`refused`], for a file with `bytes`.
#[track_caller]
fn refused_file(bytes: &[u8], code: i32, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.box");
    fs::write(&path, bytes).unwrap();
    refused(path.to_str().unwrap(), code, words);
    assert_eq!(fs::read(&path).unwrap(), bytes, "the user's file stays as it is");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\n[[forwarded_port]]\ngest = 80\n");
    for command in ["up", "status", "destroy"] {
        fails(&home, &[command], 3, &["unknown key `gest`", "Vagrantfile:3:1", "did you mean `guest`?", "^^^^"]);
    }
    assert_nothing_is_left(&home);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_what_is_expected() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\ncpus = \"two\"\nmemory = []\n");
    fails(&home, &["up"], 3, &["`cpus`", "Vagrantfile:2", "`memory`", "Vagrantfile:3"]);
    assert_nothing_is_left(&home);
}

#[test]
fn two_machines_that_forward_one_host_port_are_refused_before_anything_starts() {
    let home = TestHome::new();
    let port = "forwarded_port = [{ guest = 80, host = 8080 }]\n";
    home.write("Vagrantfile", &format!("box = \"x/y\"\n[machines.web]\n{port}[machines.api]\n{port}"));
    fails(&home, &["up"], 3, &["8080", "web", "api"]);
    assert_nothing_is_left(&home);
}

#[test]
fn a_missing_box_file_is_named() {
    let home = TestHome::new();
    fails(&home, &["box", "add", "gone.box"], 4, &["there is no file", "gone.box"]);
    machine_from(&home, "/gone/away.box", "");
    fails(&home, &["up"], 4, &["there is no file /gone/away.box"]);
    home.write("Vagrantfile", "box = \"nobody/has-this\"\n");
    fails(&home, &["up"], 4, &["nobody/has-this", "vbox-rs box add"]);
    assert_nothing_is_left(&home);
}

#[test]
fn a_truncated_gzip_is_told_to_be_cut_off() {
    let bytes = plain_box(300_000);
    refused_file(&bytes[..bytes.len() / 2], 6, &["cut off", "fetch it again"]);
}

#[test]
fn a_wrong_checksum_keeps_nothing() {
    let home = TestHome::new();
    write(&home, "a.box", &plain_box(300_000));
    let wrong = format!("sha256:{}", "0".repeat(64));
    fails(&home, &["box", "add", "a.box", "--checksum", &wrong], 5, &["checksum", &wrong["sha256:".len()..]]);
    assert_nothing_is_left(&home);
    let path = home.project().join("a.box");
    machine_from(&home, path.to_str().unwrap(), &format!("box_checksum = \"{wrong}\"\n"));
    fails(&home, &["up"], 5, &["checksum"]);
    assert_nothing_is_left(&home);
}

#[test]
fn servers_that_fail_are_told_with_what_they_answered() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/404/a.box" => Reply::new(404, "no"),
        "/500/a.box" => Reply::new(500, "no"),
        "/cut/a.box" => Reply::new(200, plain_box(300_000)).cut(5000),
        "/wrong-length/a.box" => Reply::new(200, plain_box(10_000)).length(20_000),
        _ => Reply::redirect("/loop/a.box"),
    });
    // Each is tried several times with pauses between: all at once, then.
    thread::scope(|scope| {
        for (path, code, words) in [
            ("/404/a.box", 4, &["answered 404 Not Found"][..]),
            ("/500/a.box", 13, &["answered 500 Internal Server Error"]),
            ("/cut/a.box", 13, &["cut off at 5000 of", "tried 5 times"]),
            ("/wrong-length/a.box", 13, &["cut off at", "of 20000 bytes"]),
            ("/loop/a.box", 13, &["more than 10 redirects"]),
        ] {
            let url = server.url(path);
            scope.spawn(move || refused(&url, code, words));
        }
    });
}

#[test]
fn a_server_that_ignores_the_range_costs_only_time() {
    let bytes = plain_box(300_000);
    let server = Server::start(move |_, before| {
        let reply = Reply::new(200, bytes.clone()).header("ETag", "\"a\"");
        if before == 0 { reply.cut(200_000) } else { reply }
    });
    let home = TestHome::new();
    let (code, out, err) = home.run(["box", "add", &server.url("/a.box"), "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(server.requests()[1].range().is_some(), "a range was asked for");
    assert_eq!(files(&home.home()).len(), 2, "a disk and its manifest");
}

#[test]
fn hostile_archives_are_refused_and_nothing_is_written_outside() {
    use tar::EntryType;
    let entry = |kind, name: &[u8]| {
        let mut bytes = header(kind, name, 0).as_bytes().to_vec();
        bytes.extend([0; 1024]);
        gz(&bytes)
    };
    let bomb = {
        let mut bytes = tar(&[("metadata.json", LIBVIRT)]);
        bytes.truncate(1024);
        bytes.extend(header(EntryType::Regular, b"box.img", 100 << 30).as_bytes());
        bytes.extend(vec![0; 1 << 20]);
        gz(&bytes)
    };
    for (bytes, words) in [
        (entry(EntryType::Regular, b"../x"), &["`../x`", "leads out of the box's folder"][..]),
        (entry(EntryType::Regular, b"/vbox-rs-was-here"), &["absolute path"]),
        (entry(EntryType::Symlink, b"box.img"), &["`box.img`", "a symbolic link"]),
        (entry(EntryType::Block, b"box.img"), &["a device"]),
        (entry(EntryType::Char, b"box.img"), &["a device"]),
        (bomb, &["are accepted"]),
    ] {
        refused_file(&bytes, 6, words);
    }
    assert!(!Path::new("/vbox-rs-was-here").exists());
}

#[test]
fn missing_or_broken_metadata_is_told() {
    let image = qcow2(70_000);
    refused_file(&gz(&tar(&[("README", b"x")])), 6, &["no metadata.json"]);
    for broken in [&b"{"[..], b"[]", b"\xff\xfe", b"{\"provider\":7}"] {
        refused_file(&gz(&tar(&[("metadata.json", broken), ("box.img", &image)])), 6, &["metadata.json is broken"]);
    }
}

#[test]
fn a_box_for_another_provider_is_refused_with_what_it_offers() {
    let metadata = br#"{"provider":"parallels"}"#;
    refused_file(&gz(&tar(&[("metadata.json", metadata)])), 6, &["made for parallels", "libvirt, qemu"]);
}

#[test]
fn an_image_with_a_backing_or_external_data_file_is_refused() {
    for (image, words) in [
        (with_backing_file("/etc/shadow"), &["backing file", "/etc/shadow", "qemu-img convert"][..]),
        (with_data_file(), &["external data file", "qemu-img convert"]),
    ] {
        refused_file(&image, 6, words);
        refused_file(&gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", &image)])), 6, words);
    }
}

#[test]
fn a_full_disk_refuses_the_box_and_keeps_nothing_of_it() {
    let home = TestHome::new();
    let Some(_mount) = Mount::new(&home.home(), "size=1m") else { return };
    write(&home, "a.box", &plain_box(4 << 20));
    fails(&home, &["box", "add", "a.box"], 16, &["No space left on device", "free some space"]);
    assert_nothing_is_left(&home);
    machine_from(&home, home.project().join("a.box").to_str().unwrap(), "");
    fails(&home, &["up"], 16, &["No space left on device", "free some space"]);
    assert_nothing_is_left(&home);
    write(&home, "small.box", &plain_box(70_000));
    assert_eq!(home.run(["box", "add", "small.box"]).0, 0, "there is room for it");
}

#[test]
fn a_read_only_home_is_told_and_reading_still_works() {
    let home = TestHome::new();
    let Some(_mount) = Mount::new(&home.home(), "ro") else { return };
    write(&home, "a.box", &plain_box(70_000));
    fails(&home, &["box", "add", "a.box"], 16, &["Read-only file system", "VBOX_RS_HOME"]);
    machine_from(&home, home.project().join("a.box").to_str().unwrap(), "");
    fails(&home, &["up"], 16, &["Read-only file system", "VBOX_RS_HOME"]);
    assert_nothing_is_left(&home);
    for command in [&["status"][..], &["global-status"], &["box", "list"], &["destroy", "-f"]] {
        assert_eq!(home.run(command).0, 0, "{command:?}");
    }
}

#[test]
fn a_host_without_qemu_is_told_before_a_box_is_fetched() {
    let server = Server::start(|_, _| Reply::new(500, "nobody should ask"));
    let home = TestHome::new();
    machine_from(&home, &server.url("/a.box"), "");
    let empty = tempfile::tempdir().unwrap();
    let output = home.cmd(["up"]).env("PATH", empty.path()).output().unwrap();
    if Path::new("/usr/libexec/qemu-kvm").exists() {
        println!("skipped: this host has a QEMU that needs no PATH");
        return;
    }
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{err}");
    assert!(err.contains("error: `qemu-system-") && err.contains("is not installed"), "{err}");
    assert!(server.requests().is_empty());
    assert_nothing_is_left(&home);
    let doctor = home.cmd(["doctor"]).env("PATH", empty.path()).output().unwrap();
    assert_eq!(doctor.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("is not installed"));
}

#[test]
fn a_machine_id_that_nobody_has_is_told() {
    let home = TestHome::new();
    for args in [&["status"][..], &["up"], &["halt"], &["destroy", "-f"], &["ssh"], &["adopt"], &["logs"]] {
        let args = [args, &["deadbeef"]].concat();
        let code = if args[0] == "adopt" { 3 } else { 7 };
        fails(&home, &args, code, &[]);
    }
    home.write("Vagrantfile", "box = \"x/y\"\n");
    for args in [&["status"][..], &["halt"], &["destroy", "-f"], &["ssh"], &["adopt"], &["logs"]] {
        fails(&home, &[args, &["deadbeef"]].concat(), 7, &["deadbeef"]);
    }
    assert_nothing_is_left(&home);
}

#[test]
fn a_damaged_or_newer_record_of_a_box_is_refused_and_kept() {
    let home = TestHome::new();
    write(&home, "a.box", &plain_box(70_000));
    assert_eq!(home.run(["box", "add", "a.box", "--name", "some/box"]).0, 0);
    let manifest = files(&home.home()).into_iter().find(|path| path.extension().is_some_and(|e| e == "json")).unwrap();
    home.write("Vagrantfile", "box = \"some/box\"\n");
    for (bad, words) in [("{\"format\": 1, \"na", "damaged"), ("{\"format\": 99}", "format 99")] {
        fs::write(&manifest, bad).unwrap();
        fails(&home, &["up"], 15, &[words]);
        let (code, out, err) = home.run(["box", "list"]);
        assert_eq!(code, 0, "{err}");
        assert!(format!("{out}{err}").contains(words), "{out}{err}");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), bad);
        assert_eq!(files(&home.home()).len(), 2, "the disk stays too");
    }
    assert!(!home.project().join(".vbox-rs").exists());
}
