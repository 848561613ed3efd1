//! `box add` and the library from the outside: every bad input, every fault of a server, and what is left behind.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests too: a panic is the message")]

#[path = "support/fault_server.rs"]
mod fault_server;
#[path = "support/images.rs"]
mod images;
#[path = "support/mounts.rs"]
mod mounts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fault_server::{Reply, Server};
use images::{LIBVIRT, gz, header, plain_box, qcow2, tar, with_backing_file, with_data_file};
use mounts::Mount;
use vbox_rs::boxes::fetch::Tuning;
use vbox_rs::boxes::{AddRequest, Error, Installed, Library, Limits, Query};
use vbox_rs::error::{Exit, Explain, Failure};
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::store::{Dirs, Lock};

/// A library in a folder of its own.
struct Home {
    dir: tempfile::TempDir,
    dirs: Dirs,
    library: Library,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let library = Library::new(&dirs);
        Self { dir, dirs, library }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn add(&self, request: &AddRequest) -> Result<Installed, Error> {
        self.library.add(&Cx::silent(), request)
    }

    fn add_file(&self, name: &str, bytes: &[u8]) -> Result<Installed, Error> {
        self.add(&request(&self.write(name, bytes)))
    }

    /// Files of boxes and downloads, but locks.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dirs.boxes(), self.dirs.downloads()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_lock = path.ends_with("boxes/lock") || path.parent().unwrap().ends_with("boxes/locks");
                match path.is_dir() {
                    true if path.parent().unwrap().ends_with("incoming") => found.push(path),
                    true => folders.push(path),
                    false if !is_lock => found.push(path),
                    false => {}
                }
            }
        }
        found
    }

    fn assert_empty(&self, why: &str) {
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "{why}: nothing is left");
    }

    fn names(&self) -> Vec<String> {
        let listing = self.library.list().unwrap();
        listing.boxes.iter().map(|b| format!("{} {}", b.manifest.name, b.manifest.version)).collect()
    }
}

/// Quick to give up.
fn impatient() -> Tuning {
    Tuning {
        connect: Duration::from_secs(2),
        stall: Duration::from_millis(400),
        tries: 3,
        backoff: Duration::from_millis(5),
    }
}

fn request(source: &Path) -> AddRequest {
    AddRequest { source: source.to_str().unwrap().into(), tuning: impatient(), ..AddRequest::default() }
}

fn request_url(server: &Server, path: &str) -> AddRequest {
    request(Path::new(&server.url(path)))
}

fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = qcow2(4096);
    image[at..at + bytes.len()].copy_from_slice(bytes);
    image
}

fn raw() -> Vec<u8> {
    let mut image = vec![0; 1 << 20];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The message with its causes, and the exit code.
fn told(error: Error) -> (String, Exit) {
    let failure = Failure::from(error);
    (failure.chain(), failure.exit())
}

#[test]
fn a_box_is_told_by_its_content_whatever_its_name() {
    let image = qcow2(3 << 20);
    let metadata_last = tar(&[("box.img", &image), ("metadata.json", LIBVIRT)]);
    let second = tar(&[("metadata.json", br#"{"provider":"qemu","disks":[{"path":"a/d.img"}]}"#), ("a/d.img", &image)]);
    for (bytes, format, provider) in [
        (plain_box(3 << 20), "qcow2", "libvirt"),
        (metadata_last, "qcow2", "libvirt"),
        (gz(&second), "qcow2", "qemu"),
        (image.clone(), "qcow2", "qemu"),
        (gz(&image), "qcow2", "qemu"),
        (raw(), "raw", "qemu"),
    ] {
        let home = Home::new();
        let installed = home.add_file("my thing.zip", &bytes).unwrap();
        let manifest = &installed.manifest;
        assert_eq!((manifest.disks[0].format.as_str(), manifest.provider.as_str()), (format, provider));
        assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("my thing.zip", "0"));
        let expected = if format == "raw" { raw() } else { image.clone() };
        assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), expected);
        assert_eq!(manifest.disks[0].sha256, sha256(&expected));
        assert_eq!(home.files().len(), 2, "a disk and a manifest: {:?}", home.files());
        assert_eq!(home.library.list().unwrap().boxes, [installed]);
    }
}

#[test]
fn a_box_of_ours_brings_name_version_kernel_and_info() {
    let home = Home::new();
    let metadata = br#"{"provider":"libvirt","architecture":"x86_64","vbox_rs":{"name":"debian/bookworm64",
        "version":"12.20260101.0","kernel":"vmlinuz","initrd":"initrd.img","cmdline":"root=x ro","seed":true,"user":"vagrant"}}"#;
    let bytes = gz(&tar(&[
        ("metadata.json", metadata),
        ("info.json", br#"{"author":"me"}"#),
        ("box.img", &qcow2(1000)),
        ("vmlinuz", b"kernel"),
        ("initrd.img", b"initrd"),
    ]));
    let installed = home.add_file("x.box", &bytes).unwrap();
    let boot = installed.direct_boot().unwrap();
    assert_eq!(fs::read(boot.kernel).unwrap(), b"kernel");
    assert_eq!(fs::read(boot.initrd.unwrap()).unwrap(), b"initrd");
    assert_eq!(installed.manifest.info.as_ref().unwrap()["author"], "me");
    let query = |version, architecture| {
        let query = Query { name: "debian/bookworm64", version, architecture, ..Query::default() };
        home.library.find(&query).unwrap().is_some()
    };
    assert!(query(Some("~> 12.0"), Some("amd64")) && query(None, None) && query(Some(">= 12, < 13"), Some("x86_64")));
    assert!(!query(Some("~> 11.0"), None) && !query(None, Some("arm64")));
}

#[test]
fn the_newest_version_that_fits_is_found() {
    let home = Home::new();
    let file = home.write("a.qcow2", &qcow2(1000));
    for version in ["1.2", "1.10", "2.0"] {
        let version = Some(version.to_owned());
        home.add(&AddRequest { name: Some("a/b".into()), version, ..request(&file) }).unwrap();
    }
    let find = |version| {
        let found = home.library.find(&Query { name: "a/b", version, ..Query::default() }).unwrap();
        found.map(|installed| installed.manifest.version.to_string())
    };
    assert_eq!(find(Some("~> 1.0")).as_deref(), Some("1.10"));
    assert_eq!(find(None).as_deref(), Some("2.0"));
    assert_eq!(find(Some("> 2")), None);
    assert_eq!(home.files().len(), 4, "three manifests share one disk");
}

#[test]
fn a_bad_box_is_refused_with_the_reason_and_leaves_nothing() {
    use tar::EntryType;
    let image = qcow2(70_000);
    let good = plain_box(70_000);
    let odd = |kind, name: &[u8]| {
        let mut bytes = header(kind, name, 0).as_bytes().to_vec();
        bytes.extend([0; 1024]);
        gz(&bytes)
    };
    let with_image = |image: &[u8]| gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", image)]));
    let zeros = {
        let mut bytes = tar(&[("metadata.json", LIBVIRT)]);
        bytes.truncate(1024);
        bytes.extend(header(EntryType::Regular, b"box.img", 100 << 30).as_bytes());
        bytes.extend(&image);
        gz(&bytes)
    };
    let mut trailing = good.clone();
    trailing.extend(b"more");
    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0xff;
    let disks = br#"{"provider":"libvirt","disks":[{"path":"a"},{"path":"b"}]}"#;
    for (bytes, why) in [
        (odd(EntryType::Regular, b"../x"), "leads out of the box's folder"),
        (odd(EntryType::Regular, b"/etc/passwd"), "absolute path"),
        (odd(EntryType::Symlink, b"box.img"), "a symbolic link"),
        (odd(EntryType::Link, b"box.img"), "a hard link"),
        (odd(EntryType::Block, b"box.img"), "a device"),
        (odd(EntryType::Char, b"box.img"), "a device"),
        (odd(EntryType::Fifo, b"box.img"), "a pipe"),
        (gz(&tar(&[("metadata.json", LIBVIRT), ("./metadata.json", LIBVIRT)])), "holds `metadata.json` twice"),
        (zeros, "85899345920 are accepted"),
        (gz(&tar(&[("box.img", &image)])), "no metadata.json"),
        (gz(&tar(&[("metadata.json", b"{"), ("box.img", &image)])), "metadata.json is broken"),
        (
            gz(&tar(&[("metadata.json", &vec![b' '; 300_000]), ("box.img", &image)])),
            "its metadata.json has 262145 bytes",
        ),
        (
            gz(&tar(&[("metadata.json", br#"{"provider":"virtualbox"}"#)])),
            "made for virtualbox; vbox-rs runs boxes for: libvirt, qemu",
        ),
        (gz(&tar(&[("metadata.json", disks)])), "2 disks"),
        (gz(&tar(&[("metadata.json", LIBVIRT)])), "does not hold `box.img`"),
        (gz(&tar(&[("metadata.json", LIBVIRT), ("info.json", b"[]"), ("box.img", &image)])), "info.json is broken"),
        (with_image(&raw()), "not a qcow2 image"),
        (with_image(&with_backing_file("/etc/shadow")), "needs a backing file, `/etc/shadow`"),
        (with_image(&with_data_file()), "external data file"),
        (patched(32, &1u32.to_be_bytes()), "encrypted"),
        (patched(24, &u64::MAX.to_be_bytes()), "virtual size"),
        (good[..good.len() / 2].to_vec(), "cut off"),
        (trailing, "data behind its end"),
        (changed, "damaged"),
        (Vec::new(), "it is empty"),
        (b"<!DOCTYPE html><html>".to_vec(), "a web page"),
        (b"PK\x03\x04 and so on".to_vec(), "a zip archive"),
        (b"{\"name\":\"x\"}".to_vec(), "a JSON document"),
        ([raw(), vec![1; 100]].concat(), "not a multiple of 512"),
    ] {
        let home = Home::new();
        let (message, exit) = told(home.add_file("x.box", &bytes).unwrap_err());
        assert!(message.contains(why), "{why}: {message}");
        assert_eq!(exit, Exit::BoxRefused, "{message}");
        home.assert_empty(why);
    }
}

#[test]
fn sizes_are_bounded_although_zeros_take_no_space() {
    let home = Home::new();
    let image = [qcow2(1000), vec![0; 3 << 20]].concat();
    let limits = Limits { file: 1 << 20, ..Limits::default() };
    for bytes in [gz(&image), gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", &image)]))] {
        let file = home.write("x.box", &bytes);
        let error = home.add(&AddRequest { limits: limits.clone(), ..request(&file) }).unwrap_err();
        assert!(told(error).0.contains("1048576 are accepted"));
        home.assert_empty("too large");
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused_before_any_work() {
    let home = Home::new();
    let file = home.write("x.qcow2", &qcow2(1000));
    let base = request(&file);
    let text = |text: &str| Some(text.to_owned());
    for (request, exit, why) in [
        (AddRequest { name: text("a\nb"), ..base.clone() }, Exit::Usage, "control characters"),
        (AddRequest { version: text("latest"), ..base.clone() }, Exit::Usage, "not a version"),
        (AddRequest { checksum: text("md5:abc"), ..base.clone() }, Exit::Usage, "not a checksum"),
        (AddRequest { provider: text("virtualbox"), ..base.clone() }, Exit::Usage, "no boxes for `virtualbox`"),
        (AddRequest { source: "ftp://u:secret@x/y".into(), ..base.clone() }, Exit::Usage, "not from `ftp`"),
        (AddRequest { source: "debian/nothing".into(), ..base.clone() }, Exit::BoxNotFound, "there is no file"),
        (AddRequest { source: "/".into(), ..base.clone() }, Exit::Usage, "not a file"),
    ] {
        let (message, code) = told(home.add(&request).unwrap_err());
        assert!(message.contains(why) && !message.contains("secret"), "{message}");
        assert_eq!(code, exit, "{message}");
        home.assert_empty(why);
    }
}

#[test]
fn a_wrong_checksum_keeps_nothing_and_a_right_one_is_recorded() {
    let bytes = plain_box(2 << 20);
    let content = bytes.clone();
    let server = Server::start(move |request, _| Reply::file(request, &content, "\"a\""));
    let home = Home::new();
    let file = home.write("x.box", &bytes);
    // A download that ends too early is told by its checksum, not by what the damage looks like.
    let cut = home.write("cut.box", &bytes[..1 << 20]);
    for base in [request(&file), request(&cut), request_url(&server, "/x.box")] {
        let checksum = Some("0".repeat(64));
        let error = home.add(&AddRequest { checksum, ..base }).unwrap_err();
        assert_eq!(error.exit(), Exit::Checksum, "{error}");
        home.assert_empty("wrong checksum");
    }
    let checksum = Some(sha256(&bytes).to_uppercase());
    let installed = home.add(&AddRequest { checksum, ..request_url(&server, "/x.box") }).unwrap();
    assert_eq!(installed.manifest.checksum, Some(format!("sha256:{}", sha256(&bytes))));
}

#[test]
fn servers_that_fail_are_named_without_secrets() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/loop" => Reply::redirect("/loop"),
        "/stall" => Reply::new(200, qcow2(10_000)).stall(5000),
        "/short" => Reply::new(200, qcow2(10_000)).length(20_000),
        "/huge" => Reply::new(200, qcow2(10_000)).length(1 << 40),
        path => {
            let status = path.split(['/', '?']).nth(1).and_then(|status| status.parse().ok());
            Reply::new(status.unwrap_or(404), "no")
        }
    });
    for (path, exit, why, tries) in [
        ("/404?token=s3cret", Exit::BoxNotFound, "answered 404 Not Found", 1),
        ("/403", Exit::Network, "answered 403 Forbidden", 1),
        ("/500", Exit::Network, "answered 500 Internal Server Error", 3),
        ("/loop", Exit::Network, "more than 10 redirects", 11),
        ("/stall", Exit::Network, "stalled: no data for 0.4 seconds", 3),
        ("/short", Exit::Network, "cut off at 10000 of 20000 bytes (tried 3 times)", 3),
        ("/huge", Exit::BoxRefused, "are accepted", 1),
    ] {
        let home = Home::new();
        let before = server.requests().len();
        let url = server.url(path).replace("http://", "http://me:hunter2@");
        let error = home.add(&request(Path::new(&url))).unwrap_err();
        assert!(error.hint().is_some());
        let (message, code) = told(error);
        assert!(message.contains(why), "{path}: {message}");
        assert!(!message.contains("hunter2") && !message.contains("s3cret"), "{message}");
        assert_eq!(code, exit, "{message}");
        assert_eq!(server.requests().len() - before, tries, "{path}");
        home.assert_empty(path);
    }
    let home = Home::new();
    let (message, code) = told(home.add(&request(Path::new("http://127.0.0.1:9/x.box"))).unwrap_err());
    assert!(message.contains("cannot download http://127.0.0.1:9/x.box (tried 3 times)"), "{message}");
    assert_eq!(code, Exit::Network);
}

#[test]
fn a_redirect_is_followed_and_names_nothing_new() {
    let bytes = plain_box(100_000);
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/a/thing.box" => Reply::redirect("/cdn/0815"),
        _ => Reply::file(request, &bytes, "\"a\""),
    });
    let home = Home::new();
    home.add(&request_url(&server, "/a/thing.box")).unwrap();
    assert_eq!(home.names(), ["thing 0"]);
    assert!(server.requests().iter().all(|request| request.header("referer").is_none()));
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let bytes = plain_box(6 << 20);
    for etag in ["\"a\"", ""] {
        let content = bytes.clone();
        let server = Server::start(move |request, _| Reply::file(request, &content, etag).cut(2 << 20));
        let home = Home::new();
        let installed = home.add(&request_url(&server, "/x.box")).unwrap();
        assert_eq!(installed.manifest.disks[0].sha256, sha256(&qcow2(6 << 20)));
        let asked: Vec<_> = server.requests().iter().map(fault_server::Request::range).collect();
        assert_eq!(asked, [None, Some(2 << 20), Some(4 << 20), Some(6 << 20)]);
        assert_eq!(home.files().len(), 2, "no part is left: {:?}", home.files());
    }
}

#[test]
fn a_later_run_goes_on_where_the_former_ended() {
    let bytes = plain_box(6 << 20);
    let home = Home::new();
    let content = Arc::new(bytes.clone());
    let is_up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (body, up) = (Arc::clone(&content), Arc::clone(&is_up));
    let server = Server::start(move |request, before| match (before, up.load(std::sync::atomic::Ordering::SeqCst)) {
        (0, _) => Reply::file(request, &body, "\"a\"").cut(3 << 20),
        (_, false) => Reply::new(503, ""),
        (_, true) => Reply::file(request, &body, "\"a\""),
    });
    let error = home.add(&request_url(&server, "/x.box")).unwrap_err();
    assert_eq!(error.exit(), Exit::Network);
    assert_eq!(home.files().iter().filter(|path| path.extension().is_some_and(|e| e == "part")).count(), 1);
    is_up.store(true, std::sync::atomic::Ordering::SeqCst);
    let checksum = Some(sha256(&content));
    home.add(&AddRequest { checksum, ..request_url(&server, "/x.box") }).unwrap();
    let last = server.requests().pop().unwrap();
    assert_eq!((last.range(), last.header("if-range")), (Some(3 << 20), Some("\"a\"")));
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

#[test]
fn servers_that_cannot_resume_or_have_another_file_are_survived() {
    let (old, new) = (plain_box(6 << 20), plain_box(5 << 20));
    // What the second request is answered with, after the first was cut.
    for fault in ["ignores the range", "says 416", "has another file", "has another file and ignores the range"] {
        let (old, new) = (old.clone(), new.clone());
        let expected = if fault.contains("another") { qcow2(5 << 20) } else { qcow2(6 << 20) };
        let server = Server::start(move |request, before| match (before, fault) {
            (0, _) => Reply::file(request, &old, "\"a\"").cut(2 << 20),
            (1, "says 416") => Reply::new(416, ""),
            (_, "ignores the range") => Reply::new(200, old.clone()).header("ETag", "\"a\""),
            (1, "has another file and ignores the range") => Reply::new(200, new.clone()).header("ETag", "\"b\""),
            (_, "says 416") => Reply::file(request, &old, "\"a\""),
            _ => Reply::file(request, &new, "\"b\""),
        });
        let home = Home::new();
        let installed = home.add(&request_url(&server, "/x.box")).expect(fault);
        assert_eq!(installed.manifest.disks[0].sha256, sha256(&expected), "{fault}");
        assert_eq!(home.files().len(), 2, "{fault}: {:?}", home.files());
    }
}

#[test]
fn a_box_that_is_there_is_replaced_only_by_force_and_shared_disks_stay() {
    let home = Home::new();
    let (first, second) = (home.write("a.qcow2", &qcow2(1000)), home.write("b.qcow2", &qcow2(2000)));
    let named = |file: &Path, name: &str| AddRequest { name: Some(name.into()), ..request(file) };
    let one = home.add(&named(&first, "one")).unwrap();
    let two = home.add(&named(&first, "two")).unwrap();
    assert_eq!(one.disk_paths(), two.disk_paths());
    let error = home.add(&named(&first, "one")).unwrap_err();
    assert!(matches!(error, Error::AlreadyThere { .. }) && error.hint().unwrap().contains("--force"));

    let silent = Cx::silent();
    let nobody = || Vec::new();
    let removed = home.library.remove(&silent, &one, &nobody, false, true).unwrap();
    assert_eq!(removed.freed, 0);
    assert!(two.disk_paths()[0].exists(), "the other box needs it");
    let replaced = home.add(&AddRequest { force: true, ..named(&second, "two") }).unwrap();
    assert!(two.disk_paths()[0].exists(), "a machine may stand on it");
    let freed = home.library.release(&silent, &|digest| *digest == two.manifest.disks[0].sha256).unwrap();
    assert_eq!((freed, two.disk_paths()[0].exists()), (0, true));
    let freed = home.library.release(&silent, &|_| false).unwrap();
    assert_eq!((freed, two.disk_paths()[0].exists()), (1000, false));
    assert_eq!(home.library.remove(&silent, &replaced, &nobody, false, true).unwrap().freed, 2000);
    home.assert_empty("all removed");
    let error = home.library.remove(&silent, &replaced, &nobody, false, true).unwrap_err();
    assert!(matches!(error, Error::Gone { .. }));
}

#[test]
fn a_box_in_use_is_removed_only_by_force_and_its_machines_keep_their_disk() {
    let home = Home::new();
    let installed = home.add_file("a.qcow2", &qcow2(1000)).unwrap();
    let users = || vec!["web".to_owned(), "db".to_owned()];
    let silent = Cx::silent();
    let (message, exit) = told(home.library.remove(&silent, &installed, &users, false, true).unwrap_err());
    assert_eq!((message.as_str(), exit), ("the box `a` 0 is used by web, db", Exit::MachineState));
    let removed = home.library.remove(&silent, &installed, &users, true, true).unwrap();
    assert_eq!(removed.still_used_by, ["web", "db"]);
    assert!(home.names().is_empty() && installed.disk_paths()[0].exists());
    assert!(matches!(home.library.hold(&silent, &installed), Err(Error::Gone { .. })));
    home.library.release(&silent, &|_| false).unwrap();
    home.assert_empty("released");
}

#[test]
fn a_held_box_is_not_removed() {
    let home = Home::new();
    let installed = home.add_file("a.qcow2", &qcow2(1000)).unwrap();
    let hold = home.library.hold(&Cx::silent(), &installed).unwrap();
    let error = home.library.remove(&Cx::silent(), &installed, &Vec::new, false, false).unwrap_err();
    assert_eq!(error.exit(), Exit::Locked);
    drop(hold);
    home.library.remove(&Cx::silent(), &installed, &Vec::new, false, false).unwrap();
}

#[test]
fn of_several_who_add_one_box_one_downloads_and_the_others_find_it() {
    let bytes = plain_box(2 << 20);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\"").slow(Duration::from_millis(10)));
    let home = Home::new();
    let request = request_url(&server, "/x.box");
    let added: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| home.add(&request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // One that comes after the others are done is told that it is there.
    assert!(added.iter().all(|result| matches!(result, Ok(_) | Err(Error::AlreadyThere { .. }))), "{added:?}");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(home.files().len(), 2);
    assert!(matches!(home.add(&request), Err(Error::AlreadyThere { .. })));
    assert_eq!(server.requests().len(), 1, "nothing is downloaded to find that out");
}

#[test]
fn an_interrupted_download_is_kept_and_nothing_else() {
    let bytes = plain_box(8 << 20);
    let content = bytes.clone();
    let server =
        Server::start(move |request, _| Reply::file(request, &content, "\"a\"").slow(Duration::from_millis(5)));
    let home = Home::new();
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(Silent), cancel.clone());
    let request = request_url(&server, "/x.box");
    let error = thread::scope(|scope| {
        let adding = scope.spawn(|| home.library.add(&cx, &request));
        thread::sleep(Duration::from_millis(250));
        cancel.raise();
        adding.join().unwrap().unwrap_err()
    });
    assert_eq!(error.exit(), Exit::Interrupted);
    assert!(home.files().iter().all(|path| path.starts_with(home.dirs.downloads())), "{:?}", home.files());
    home.add(&request).unwrap();
    assert!(server.requests()[1].range().is_some_and(|from| from > 0));
    assert_eq!(home.files().len(), 2);
}

#[test]
fn what_a_killed_command_left_is_swept_but_not_what_a_living_one_has() {
    let home = Home::new();
    let kept = home.add_file("a.qcow2", &qcow2(1000)).unwrap();
    let incoming = home.dirs.boxes().join("incoming");
    for name in ["dead", "alive"] {
        fs::create_dir_all(incoming.join(name)).unwrap();
        fs::write(incoming.join(name).join("file0"), "half").unwrap();
    }
    let alive = Lock::try_exclusive(&incoming.join("alive/lock"), "box add").unwrap().unwrap();
    let orphan = home.dirs.boxes().join("disks").join(format!("{}.qcow2", "a".repeat(64)));
    fs::write(&orphan, "x").unwrap();
    home.library.sweep(&Cx::silent()).unwrap();
    assert!(!incoming.join("dead").exists() && !orphan.exists());
    assert!(incoming.join("alive/file0").exists() && kept.disk_paths()[0].exists());
    drop(alive);

    // With a manifest that cannot be read, any disk may be needed.
    fs::write(&orphan, "x").unwrap();
    fs::write(kept.path(), r#"{"format":99}"#).unwrap();
    home.library.sweep(&Cx::silent()).unwrap();
    assert!(orphan.exists() && kept.disk_paths()[0].exists());
    let listing = home.library.list().unwrap();
    assert_eq!((listing.boxes.len(), listing.damaged[0].name.as_str()), (0, "a"));
    let error = home.library.find(&Query { name: "a", ..Query::default() }).unwrap_err();
    assert_eq!(error.exit(), Exit::State);
}

/// The other end of [`a_killed_add_leaves_no_half_box`]: run in a process of its own.
#[test]
#[ignore = "started by another test"]
fn child_adds_a_box() {
    let Some(home) = std::env::var_os("BOXES_TEST_HOME") else { return };
    let library = Library::new(&Dirs::below(Path::new(&home)));
    let source = std::env::var("BOXES_TEST_SOURCE").unwrap();
    let _ = library.add(&Cx::silent(), &AddRequest { source, tuning: impatient(), ..AddRequest::default() });
}

#[test]
fn a_killed_add_leaves_no_half_box_and_the_next_one_succeeds() {
    let bytes = plain_box(8 << 20);
    let expected = sha256(&qcow2(8 << 20));
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\"").slow(Duration::from_millis(1)));
    for round in 0..12u64 {
        let home = Home::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_adds_a_box", "--ignored"])
            .env("BOXES_TEST_HOME", home.dir.path())
            .env("BOXES_TEST_SOURCE", server.url("/x.box"))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(20 + 35 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        for installed in home.library.list().unwrap().boxes {
            assert_eq!(sha256(&fs::read(&installed.disk_paths()[0]).unwrap()), expected, "whole, or not there");
        }
        let installed = home.add(&AddRequest { force: true, ..request_url(&server, "/x.box") }).unwrap();
        assert_eq!(installed.manifest.disks[0].sha256, expected);
        home.library.release(&Cx::silent(), &|_| false).unwrap();
        assert_eq!(home.files().len(), 2, "round {round}: {:?}", home.files());
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let home = Home::new();
    let Some(_mount) = Mount::new(&home.dir.path().join("home"), "size=2m") else { return };
    let bytes = plain_box(6 << 20);
    let file = home.write("x.box", &bytes);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    for base in [request(&file), request_url(&server, "/x.box")] {
        let error = home.add(&base).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{error}");
        assert_eq!(error.exit(), Exit::Io);
        home.assert_empty("full disk");
    }
    home.add_file("small.qcow2", &qcow2(1000)).unwrap();
}

#[test]
fn a_full_cache_only_costs_the_resuming() {
    let home = Home::new();
    let Some(_mount) = Mount::new(&home.dir.path().join("cache"), "size=2m") else { return };
    let bytes = plain_box(6 << 20);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    home.add(&request_url(&server, "/x.box")).unwrap();
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

#[test]
fn a_home_that_cannot_be_written_is_told() {
    let home = Home::new();
    let file = home.write("x.qcow2", &qcow2(1000));
    let Some(_mount) = Mount::new(&home.dir.path().join("home"), "ro") else { return };
    let error = home.add(&request(&file)).unwrap_err();
    assert_eq!(error.exit(), Exit::Io);
    assert!(error.hint().is_some_and(|hint| hint.contains("read-only")), "{error}");
}

#[test]
fn names_that_look_like_paths_stay_in_the_library() {
    let home = Home::new();
    let file = home.write("x.qcow2", &qcow2(1000));
    for name in ["..", "../../x", "/etc/passwd", "a:b", "a/b/c", ".hidden", "ü ☃"] {
        let installed = home.add(&AddRequest { name: Some(name.into()), ..request(&file) }).unwrap();
        assert!(installed.path().starts_with(home.dirs.boxes().join("manifests")));
        assert!(home.library.find(&Query { name, ..Query::default() }).unwrap().is_some());
    }
    let names: BTreeSet<_> = home.library.list().unwrap().boxes.into_iter().map(|b| b.manifest.name).collect();
    assert_eq!(names.len(), 7);
}
