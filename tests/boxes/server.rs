//! Servers: their errors, cuts and lies.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use vbox_rs::boxes::fetch::Tuning;
use vbox_rs::boxes::{AddRequest, Offer};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Silent};

use crate::fault_server::{Reply, Server};
use crate::heard::Heard;
use crate::images::{plain_box, qcow2};
use crate::world::{Home, request, request_url, sha256, told};

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
    for (tries, said) in [(3, "(tried 3 times)"), (1, "(tried once)")] {
        let home = Home::new();
        let base = request(Path::new("http://127.0.0.1:9/x.box"));
        let tuning = Tuning { tries, ..base.tuning.clone() };
        let (message, code) = told(home.add(&AddRequest { tuning, ..base }).unwrap_err());
        assert!(message.contains(&format!("cannot download http://127.0.0.1:9/x.box {said}")), "{message}");
        assert_eq!(code, Exit::Network);
    }
}

/// As without a network. Trying again would cost a minute and not help.
#[test]
fn a_server_whose_name_is_not_known_is_left_for_the_next_at_once_and_told_once() {
    let bytes = plain_box(10_000);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    let unknown = ["http://one.invalid/x.box".to_owned(), "http://two.invalid/x.box".to_owned()];
    let offer = |urls: &[String]| Offer { name: "x".into(), urls: urls.to_vec(), ..Offer::default() };
    let home = Home::new();
    let (heard, cx) = Heard::cx();
    let urls = [&unknown[..], &[server.url("/x.box")]].concat();
    home.library.add(&cx, &AddRequest::of(offer(&urls))).unwrap();
    assert_eq!(heard.text().lines().count(), 1, "{}", heard.text());
    let said = "cannot download http://one.invalid/x.box: the name of its server cannot be looked up (";
    assert!(heard.text().starts_with(said), "{}", heard.text());

    let home = Home::new();
    let (heard, cx) = Heard::cx();
    let error = home.library.add(&cx, &AddRequest::of(offer(&unknown))).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("online")), "{error}");
    let (message, exit) = told(error);
    assert!(message.contains("http://two.invalid/x.box: the name of its server"), "{message}");
    assert_eq!((exit, heard.text().matches("trying again").count()), (Exit::Network, 0));
    home.assert_empty("nothing came");
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
        let asked: Vec<_> = server.requests().iter().map(crate::fault_server::Request::range).collect();
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
fn an_interrupted_download_is_kept_and_nothing_else() {
    let bytes = plain_box(8 << 20);
    let content = bytes.clone();
    let server =
        Server::start(move |request, _| Reply::file(request, &content, "\"a\"").slow(Duration::from_millis(20)));
    let home = Home::new();
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(Silent), cancel.clone());
    let request = request_url(&server, "/x.box");
    let error = thread::scope(|scope| {
        let adding = scope.spawn(|| home.library.add(&cx, &request));
        let arrived = || home.files().iter().any(|path| path.metadata().is_ok_and(|file| file.len() > 1 << 20));
        while !arrived() && !adding.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        cancel.raise();
        adding.join().unwrap().unwrap_err()
    });
    assert_eq!(error.exit(), Exit::Interrupted);
    assert!(home.files().iter().all(|path| path.starts_with(home.dirs.downloads())), "{:?}", home.files());
    home.add(&request).unwrap();
    assert!(server.requests()[1].range().is_some_and(|from| from > 0));
    assert_eq!(home.files().len(), 2);
}
