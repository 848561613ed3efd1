//! The way of an offer into the library: mirrors, publishers that replace their files, what is there already, and two
//! processes that want the same.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use vbox_rs::boxes::fetch::Access;
use vbox_rs::boxes::registry::Servers;
use vbox_rs::boxes::{
    AddRequest, Ask, Checksum, CloudInit, Error, Finder, Offer, PublishedSums, Reference, Verified, shown_source,
};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::store::Dirs;

use crate::fault_server::{Reply, Request, Server};
use crate::heard::Heard;
use crate::images::{plain_box, qcow2};
use crate::world::{Home, impatient, request_url, sha256, told};

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn offer(urls: &[String]) -> Offer {
    let (name, version) = ("me/deb".to_owned(), Some("1.2.3".parse().unwrap()));
    Offer { name, version, urls: urls.to_vec(), ..Offer::default() }
}

fn of(offer: Offer) -> AddRequest {
    AddRequest { tuning: impatient(), ..AddRequest::of(offer) }
}

fn checksum(bytes: &[u8]) -> Checksum {
    sha256(bytes).parse().unwrap()
}

#[test]
fn a_mirror_that_fails_or_lies_is_followed_by_the_next_one() {
    let (good, bad) = (qcow2(3 << 20), qcow2(3 << 20).into_iter().rev().collect::<Vec<_>>());
    let content = good.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/good" => Reply::file(request, &content, "\"a\""),
        "/lies" => Reply::new(200, [&content[..512], &bad[..1 << 20]].concat()),
        "/cut" => Reply::file(request, &content, "\"c\"").cut(100_000),
        "/loop" => Reply::redirect("/loop"),
        path => Reply::new(path[1..].parse().unwrap_or(404), ""),
    });
    for first in ["/404", "/410", "/403", "/500", "/503", "/loop", "/cut", "/lies", "refused"] {
        let home = Home::new();
        let (heard, cx) = Heard::cx();
        let first = if first == "refused" { "http://127.0.0.1:9/x".into() } else { server.url(first) };
        let offer = Offer { checksum: Some(checksum(&good)), ..offer(&[first.clone(), server.url("/good")]) };
        let installed = home.library.add(&cx, &of(offer)).expect(&first);
        assert_eq!(installed.manifest.disks[0].sha256, sha256(&good), "{first}");
        assert_eq!(installed.manifest.source, server.url("/good"));
        assert!(heard.text().contains(&format!("trying the next mirror, {}", server.url("/good"))), "{}", heard.text());
        assert_eq!(first.contains("lies"), heard.text().contains("warning: "), "{}", heard.text());
        assert_eq!(home.files().len(), 2, "{first}: no part is left: {:?}", home.files());
    }
    let home = Home::new();
    let (text, exit) = told(home.add(&of(offer(&[server.url("/404"), server.url("/503")]))).unwrap_err());
    assert!(text.contains("/503: the server answered 503"), "the last one is told: {text}");
    assert_eq!(exit, Exit::Network);
}

#[test]
fn what_an_offer_says_stands_in_the_library() {
    let bytes = qcow2(1000);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    let home = Home::new();
    let (heard, cx) = Heard::cx();
    let offer = Offer {
        cloud_init: Some(CloudInit::Old),
        user: Some("debian".into()),
        architecture: Some("amd64".into()),
        notes: vec!["generic/x stands for debian/x".into()],
        ..offer(&[server.url("/x.qcow2")])
    };
    let manifest = home.library.add(&cx, &of(offer.clone())).unwrap().manifest;
    assert_eq!((manifest.cloud_init, manifest.user.as_deref()), (Some(CloudInit::Old), Some("debian")));
    assert_eq!((manifest.architecture.as_deref(), &manifest.verified), (Some("amd64"), &Verified::Nothing));
    let said = heard.text().matches("stands for").count();
    assert!(matches!(home.library.add(&cx, &of(offer)), Err(Error::AlreadyThere { .. })));
    assert_eq!((said, heard.text().matches("stands for").count()), (1, 1), "said once");
}

/// What a publisher's signed file of checksums leads to, without the file: its `file` is the checksum's `.qcow2`.
fn expect(_: &Cx, _: &Dirs, _: &Access, offer: &Offer) -> Result<(Option<Checksum>, Verified), Error> {
    let Some(sums) = &offer.sums else { return Ok((offer.checksum.clone(), Verified::Checksum)) };
    match sums.file.split('.').next().and_then(|digits| digits.parse().ok()) {
        Some(checksum) => Ok((Some(checksum), Verified::Signature("F".repeat(40)))),
        None => Err(Error::Source { text: shown_source(&sums.url), why: "not listed".into() }),
    }
}

#[test]
fn a_publishers_checksums_are_asked_for_before_the_image_and_when_another_stands_in() {
    let bytes = qcow2(2 << 20);
    let name = format!("{}.qcow2", sha256(&bytes));
    let (content, path) = (bytes.clone(), format!("/latest/{name}"));
    let server = Server::start(move |request, _| match request.path.as_str() {
        p if p == path => Reply::file(request, &content, "\"a\""),
        _ => Reply::new(404, ""),
    });
    let sums = |file: &str| {
        let url = server.url("/latest/SHA256SUMS");
        Some(PublishedSums { url, file: file.into(), signature: None, keys: Vec::new() })
    };
    let add = |home: &Home, cx: &Cx, request: AddRequest| {
        home.library.add(cx, &AddRequest { expect: Some(expect), tuning: impatient(), ..request })
    };
    // The image lies where the offer says; only its checksum is asked for.
    let silent = Cx::silent();
    let there = Offer { sums: sums(&name), ..offer(&[server.url(&format!("/latest/{name}"))]) };
    let installed = add(&Home::new(), &silent, of(there.clone())).unwrap();
    assert_eq!(installed.manifest.verified, Verified::Signature("F".repeat(40)));
    assert_eq!(installed.manifest.checksum, Some(format!("sha256:{}", sha256(&bytes))));
    // The one that the catalogue names is gone, and so is the first that stands in for it.
    let home = Home::new();
    let (heard, cx) = Heard::cx();
    let pinned = Offer { checksum: Some(checksum(b"old")), ..offer(&[server.url("/20240101/x.qcow2")]) };
    let now = Offer { version: None, ..there.clone() };
    let stand_ins = vec![Offer { version: None, ..offer(&[server.url("/gone.qcow2")]) }, now];
    let request = AddRequest { stand_ins, ..of(pinned) };
    let installed = add(&home, &cx, request.clone()).unwrap();
    assert_eq!(installed.manifest.source, server.url(&format!("/latest/{name}")));
    assert_eq!(installed.manifest.verified, Verified::Signature("F".repeat(40)));
    assert_eq!(heard.text().matches("taking what its publisher has now").count(), 2, "{}", heard.text());
    assert!(matches!(add(&home, &silent, request.clone()), Err(Error::AlreadyThere { .. })));
    // Not when the user insists on a checksum, and not when the sums cannot be had: then nothing is fetched.
    let insists = AddRequest { checksum: Some(sha256(b"old")), ..request };
    assert_eq!(add(&Home::new(), &silent, insists).unwrap_err().exit(), Exit::BoxNotFound);
    let before = server.requests().len();
    let unlisted = Offer { sums: sums("x.qcow2"), ..there };
    for expect in [Some(expect as vbox_rs::boxes::Expect), None] {
        let home = Home::new();
        home.add(&AddRequest { expect, ..of(unlisted.clone()) }).unwrap_err();
        home.assert_empty("unverifiable");
    }
    assert_eq!(server.requests().len(), before);
}

#[test]
fn the_catalogue_comes_before_registries_and_says_what_it_has() {
    fn lookup(_: &Dirs, name: &str) -> Result<Vec<Offer>, Error> {
        let one = |version: Option<&str>, architecture: &str, url: &str| Offer {
            name: name.into(),
            version: version.map(|version| version.parse().unwrap()),
            architecture: Some(architecture.into()),
            urls: vec![format!("http://127.0.0.1:9/{url}")],
            ..Offer::default()
        };
        if name == "me/broken" {
            return Err(Error::Source { text: "me.toml".into(), why: "line 3 is broken".into() });
        }
        let known = vec![one(None, "amd64", "now"), one(Some("1.0"), "amd64", "pin"), one(Some("1.1"), "arm64", "arm")];
        Ok(if name == "me/deb" { known } else { Vec::new() })
    }
    let server = Server::start(|_, _| Reply::new(404, ""));
    let home = Home::new();
    let finder = Finder {
        servers: Servers::parse(&server.url("")).unwrap(),
        catalogue: Some(lookup),
        dirs: Some(home.dirs.clone()),
        tuning: impatient(),
        ..Finder::default()
    };
    let find = |name: &str, architecture: &'static str| {
        let ask = Ask { architecture: Some(architecture), ..Ask::default() };
        finder.find(&Cx::silent(), &Reference::parse(name).unwrap(), &ask)
    };
    let found = find("me/deb", "amd64").unwrap();
    assert!(found.offer.unwrap().urls[0].ends_with("/pin") && found.stand_ins[0].urls[0].ends_with("/now"));
    assert!(find("me/deb@~> 1.0", "arm64").unwrap().offer.unwrap().urls[0].ends_with("/arm"));
    assert!(find("me/deb@1.0", "amd64").unwrap().stand_ins.is_empty(), "a constraint is for what has a version");
    assert!(find("me/broken", "amd64").unwrap_err().to_string().contains("line 3 is broken"));
    assert!(server.requests().is_empty(), "nobody else is asked");
    for (name, architecture, why) in [
        ("me/deb@~> 2.0", "amd64", "no version of me/deb meets `~> 2.0`; there are 1.1, 1.0"),
        ("me/deb", "s390x", "no build of me/deb for s390x; it exists for amd64, arm64"),
        ("other/deb", "amd64", "there is no box `other/deb`"),
    ] {
        let error = find(name, architecture).unwrap_err();
        let text = format!("{error}; {}", error.hint().unwrap());
        assert!(text.contains(why), "{text}");
        assert_eq!(error.exit(), Exit::BoxNotFound);
    }
}

#[test]
fn what_the_library_has_is_not_downloaded_again() {
    let image = qcow2(1 << 20);
    let packed = plain_box(1 << 20);
    let (a, b) = (image.clone(), packed.clone());
    let server = Server::start(move |request, _| {
        Reply::file(request, if request.path.contains(".box") { &b } else { &a }, "\"a\"")
    });
    for (file, bytes) in [("/x.qcow2", &image), ("/x.box", &packed)] {
        let home = Home::new();
        let base = Offer { checksum: Some(checksum(bytes)), ..offer(&[server.url(file)]) };
        let first = home.add(&of(base.clone())).unwrap();
        let asked = server.requests().len();
        // The same box, whatever its address.
        let moved = Offer { urls: vec![server.url("/elsewhere/x.box")], ..base.clone() };
        let moved = Offer { provider: Some(first.manifest.provider.clone()), ..moved };
        assert!(matches!(home.add(&of(moved)), Err(Error::AlreadyThere { .. })));
        // Another name, another version: the same disk.
        let (heard, cx) = Heard::cx();
        let other = Offer { name: "other/deb".into(), urls: vec![server.url("/other")], ..base.clone() };
        let other = home.library.add(&cx, &of(other)).unwrap();
        assert!(heard.text().contains("the library has this image already, as `me/deb` 1.2.3"), "{}", heard.text());
        let newer = home.add(&of(Offer { version: Some("2.0".parse().unwrap()), ..base.clone() })).unwrap();
        assert_eq!(other.disk_paths(), first.disk_paths());
        assert_eq!(newer.disk_paths(), first.disk_paths());
        assert_eq!(newer.manifest.verified, Verified::Checksum);
        assert_eq!(server.requests().len(), asked, "nothing was downloaded");
        assert_eq!(home.names(), ["me/deb 1.2.3", "me/deb 2.0", "other/deb 1.2.3"]);
        // `--force` means: fetch it.
        home.add(&AddRequest { force: true, ..of(base) }).unwrap();
        assert_eq!(server.requests().len(), asked + 1);
    }
    // What the disk hashes to was never promised by its source: an image of that checksum is the same nevertheless.
    let home = Home::new();
    home.add(&of(offer(&[server.url("/x.qcow2")]))).unwrap();
    let asked = server.requests().len();
    let twin = Offer { name: "twin".into(), checksum: Some(checksum(&image)), ..offer(&[server.url("/y.qcow2")]) };
    home.add(&of(twin)).unwrap();
    assert_eq!(server.requests().len(), asked);
    // A disk that is gone is no reason not to fetch it.
    std::fs::remove_file(&home.library.list().unwrap().boxes[0].disk_paths()[0]).unwrap();
    let third = Offer { name: "third".into(), checksum: Some(checksum(&image)), ..offer(&[server.url("/z.qcow2")]) };
    home.add(&of(third)).unwrap();
    assert_eq!(server.requests().len(), asked + 1);
}

#[test]
fn one_that_waits_shows_the_others_progress_and_takes_over_when_it_dies() {
    let bytes = plain_box(8 << 20);
    let content = bytes.clone();
    let server = Server::start(move |request, before| {
        let pause = if before == 0 { 20 } else { 0 };
        Reply::file(request, &content, "\"a\"").slow(Duration::from_millis(pause))
    });
    let home = Home::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::child_adds_a_box", "--ignored"])
        .env("BOXES_TEST_HOME", home.dir.path())
        .env("BOXES_TEST_SOURCE", server.url("/x.box"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while server.requests().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let (heard, cx) = Heard::cx();
    let installed = thread::scope(|scope| {
        let waiting = scope.spawn(|| home.library.add(&cx, &request_url(&server, "/x.box")));
        let moved = |heard: &Arc<Heard>| {
            let theirs = heard.transfers().into_iter().filter(|(label, ..)| label.contains("other process"));
            theirs.map(|(_, done, total)| (done, total)).rfind(|(done, _)| *done > 1 << 20)
        };
        let total = loop {
            if let Some((_, total)) = moved(&heard) {
                break total;
            }
            assert!(!waiting.is_finished(), "the first is too quick for this test");
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(total, Some(bytes.len() as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(installed.manifest.disks[0].sha256, sha256(&qcow2(8 << 20)));
    let said = heard.text();
    assert!(
        said.contains("is being added by `vbox-rs box add`") && said.contains("going on with the download"),
        "{said}"
    );
    let ranges: Vec<_> = server.requests().iter().map(Request::range).collect();
    assert!(matches!(ranges[..], [None, Some(from)] if from >= 1 << 20), "{ranges:?}");
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

#[test]
fn only_what_proves_to_be_the_same_file_is_gone_on_with() {
    let bytes = plain_box(4 << 20);
    for (validators, resumed, if_range) in [
        (&[("ETag", "\"a\"")][..], true, Some("\"a\"")),
        (&[("ETag", "W/\"a\"")], false, None),
        // With an ETag, even a weak one, the date must not be used (RFC 9110, 13.1.5).
        (&[("ETag", "W/\"a\""), ("Last-Modified", OLD), ("Date", "Mon, 07 Nov 1994 08:49:37 GMT")], false, None),
        (&[("Last-Modified", OLD), ("Date", "Mon, 07 Nov 1994 08:49:37 GMT")], true, Some(OLD)),
        (&[("Last-Modified", OLD), ("Date", OLD)], false, None),
        (&[("Last-Modified", OLD)], false, None),
        (&[], false, None),
    ] {
        let content = bytes.clone();
        let server = Server::start(move |request, before| {
            let mut reply = Reply::file(request, &content, "");
            for (name, value) in validators {
                reply = reply.header(name, *value);
            }
            if before == 0 { reply.cut(2 << 20) } else { reply }
        });
        let home = Home::new();
        let mut once = request_url(&server, "/x.box");
        once.tuning.tries = 1;
        assert_eq!(home.add(&once).unwrap_err().exit(), Exit::Network);
        home.add(&once).unwrap();
        let last = server.requests().pop().unwrap();
        assert_eq!((last.range().is_some(), last.header("if-range")), (resumed, if_range), "{validators:?}");
    }
}

#[test]
fn a_clean_add_throws_away_what_was_kept() {
    let bytes = plain_box(4 << 20);
    let server = Server::start(move |request, before| {
        let reply = Reply::file(request, &bytes, "\"a\"");
        if before == 0 { reply.cut(2 << 20) } else { reply }
    });
    let home = Home::new();
    let mut request = request_url(&server, "/x.box");
    request.tuning.tries = 1;
    home.add(&request).unwrap_err();
    home.add(&AddRequest { clean: true, ..request }).unwrap();
    let ranges: Vec<_> = server.requests().iter().map(Request::range).collect();
    assert_eq!(ranges, [None, None]);
}

#[test]
fn a_server_that_asks_for_patience_gets_it_or_is_told_about() {
    let bytes = plain_box(50_000);
    for (wait, works) in [("1", true), ("7200", false)] {
        let content = bytes.clone();
        let server = Server::start(move |request, before| match before {
            0 => Reply::new(429, "").header("Retry-After", wait),
            _ => Reply::file(request, &content, "\"a\""),
        });
        let result = Home::new().add(&request_url(&server, "/x.box"));
        match result {
            Ok(_) => assert!(works),
            Err(error) => {
                assert!(!works && error.hint().unwrap().contains("try again in 2 h 0 min"), "{error}");
                assert_eq!(server.requests().len(), 1, "it is left alone");
            }
        }
    }
}

#[test]
fn servers_that_lie_about_range_and_length_lead_to_no_wrong_box() {
    let bytes = plain_box(4 << 20);
    let expected = sha256(&qcow2(4 << 20));
    for lie in ["another range", "another total", "no content-range", "html for the rest"] {
        let content = bytes.clone();
        let server = Server::start(move |request, before| {
            let rest = || content[request.range().unwrap()..].to_vec();
            let from = request.range().unwrap_or(0);
            let (length, last) = (content.len(), content.len() - 1);
            match (before, lie) {
                (0, _) => Reply::file(request, &content, "\"a\"").cut(2 << 20),
                (1, "another range") => {
                    Reply::new(206, rest()).header("Content-Range", format!("bytes {}-{last}/{length}", from + 7))
                }
                (1, "another total") => {
                    Reply::new(206, rest()).header("Content-Range", format!("bytes {from}-{last}/{}", length + 9))
                }
                (1, "no content-range") => Reply::new(206, rest()),
                (1, _) => Reply::new(200, "<html>please log in</html>").header("Content-Type", "text/html"),
                _ => Reply::file(request, &content, "\"a\""),
            }
        });
        let home = Home::new();
        let installed = home.add(&request_url(&server, "/x.box")).expect(lie);
        assert_eq!(installed.manifest.disks[0].sha256, expected, "{lie}");
    }
}
