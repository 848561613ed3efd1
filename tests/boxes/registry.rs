//! Registries and catalogue documents: what they lead to, each of their errors, and what they must never learn.

use std::fs;

use serde_json::{Value, json};
use vbox_rs::boxes::registry::Servers;
use vbox_rs::boxes::{AddRequest, Ask, Attempt, Error, Finder, Installed, Origins, Reference, Verified};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;

use crate::fault_server::{Reply, Request, Server};
use crate::heard::Heard;
use crate::images::plain_box;
use crate::world::{Home, impatient, sha256, told};

const API: &str = "/api/v2/vagrant/me/deb";

fn document(builds: &Value) -> Vec<u8> {
    json!({"name": "me/deb", "versions": [{"version": "1.2.3", "providers": builds}]}).to_string().into_bytes()
}

fn finder(servers: &str) -> Finder {
    Finder { servers: Servers::parse(servers).unwrap(), tuning: impatient(), ..Finder::default() }
}

fn find(finder: &Finder, reference: &str, ask: &Ask<'_>) -> Result<AddRequest, Error> {
    finder.find(&Cx::silent(), &Reference::parse(reference).unwrap(), ask)
}

impl Home {
    fn find_and_add(&self, cx: &Cx, finder: &Finder, reference: &str) -> Result<Installed, Error> {
        let request = finder.find(cx, &Reference::parse(reference)?, &Ask::default())?;
        self.library.add(cx, &request)
    }

    /// A finder that is logged in at `server` by a token file, as a user would be.
    fn logged_in(&self, server: &Server) -> Finder {
        use std::os::unix::fs::PermissionsExt;
        let mut finder = finder(&server.url("/"));
        let url = &finder.servers.urls()[0];
        let folder = self.dirs.home().join("tokens");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("127.0.0.1_{}", url.port().unwrap()));
        fs::write(&file, "s3cret-token\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        finder.servers.log_in(&Cx::silent(), &self.dirs, &mut finder.access);
        finder
    }
}

fn bearer(request: &Request) -> bool {
    request.header("authorization") == Some("Bearer s3cret-token")
}

#[test]
fn a_name_leads_to_the_box_that_a_registry_names() {
    let bytes = plain_box(100_000);
    for plain_path in [false, true] {
        let content = bytes.clone();
        let builds = json!([
            {"name": "virtualbox", "url": "nowhere.box"},
            {"name": "libvirt", "url": "/files/deb.box", "checksum_type": "SHA256", "checksum": sha256(&bytes)},
        ]);
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/files/deb.box" => Reply::file(request, &content, "\"a\""),
            API if plain_path => Reply::new(404, "no"),
            API | "/me/deb" => Reply::new(200, document(&builds)),
            _ => Reply::new(500, ""),
        });
        let home = Home::new();
        let installed = home.find_and_add(&Cx::silent(), &finder(&server.url("/")), "me/deb@~> 1.0").unwrap();
        let manifest = &installed.manifest;
        assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("me/deb", "1.2.3"));
        assert_eq!((manifest.provider.as_str(), &manifest.verified), ("libvirt", &Verified::Checksum));
        let requests = server.requests();
        assert!(requests[..requests.len() - 1].iter().all(|r| r.header("accept") == Some("application/json")));
        assert_eq!(requests.len(), if plain_path { 3 } else { 2 });
        // It is known before the download that it is there.
        let error = home.find_and_add(&Cx::silent(), &finder(&server.url("/")), "me/deb").unwrap_err();
        assert!(matches!(error, Error::AlreadyThere { .. }), "{error}");
        assert_eq!(server.requests().iter().filter(|r| r.path.starts_with("/files")).count(), 1);
    }
}

#[test]
fn every_error_of_the_protocol_has_its_own_message_and_its_own_next_step() {
    let later = || Reply::new(429, "").header("Retry-After", "3600");
    let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 7170;
    let reset = epoch.to_string();
    let lies = json!([{"name": "libvirt", "url": "x", "checksum_type": "crc32", "checksum": "1234"}]);
    let outside = json!([{"name": "libvirt", "url": "file:///etc/passwd"}]);
    let deep = format!(r#"{{"name":"me/deb","versions":{}"#, "[".repeat(1 << 20));
    for (reply, exit, message, hint) in [
        (Reply::new(401, ""), Exit::Network, "wants a login for `me/deb`", "VBOX_RS_TOKEN"),
        (Reply::new(402, ""), Exit::Network, "402 Payment Required", "settle it"),
        (Reply::new(403, ""), Exit::Network, "403 Forbidden", "ask its owner"),
        (
            Reply::new(404, ""),
            Exit::BoxNotFound,
            "there is no box `me/deb` in the library, in the catalogue, at http",
            "add it with",
        ),
        (Reply::new(422, ""), Exit::Network, "does not take the name `me/deb`", "USER/BOX"),
        (Reply::new(429, ""), Exit::Network, "limits requests", "try again later"),
        (later(), Exit::Network, "limits requests", "try again in 1 h 0 min"),
        (
            Reply::new(429, "").header("x-hcp-vagrant-limit-retry-after", reset),
            Exit::Network,
            "limits requests",
            "try again in 1 h 59 min",
        ),
        (Reply::new(500, ""), Exit::Network, "has a problem (500 Internal Server Error)", "another registry"),
        (Reply::new(503, ""), Exit::Network, "has a problem (503 Service Unavailable)", "try again later"),
        (Reply::new(200, "<!DOCTYPE html>"), Exit::BoxRefused, "a web page, not JSON", "nothing was fetched"),
        (Reply::new(200, ""), Exit::BoxRefused, "it is empty", "nothing was fetched"),
        (Reply::new(200, "{\"name\":\"me/deb\","), Exit::BoxRefused, "it is broken: EOF", "nothing was fetched"),
        (Reply::new(200, "{\"name\":7}"), Exit::BoxRefused, "expected a string", "nothing was fetched"),
        (Reply::new(200, deep), Exit::BoxRefused, "it is broken: recursion limit exceeded", "nothing was fetched"),
        (Reply::new(200, vec![b' '; 50 << 20]), Exit::BoxRefused, "larger than 20 MiB", "nothing was fetched"),
        (Reply::new(200, "{}").length(50 << 20), Exit::BoxRefused, "larger than 20 MiB", "nothing was fetched"),
        (Reply::new(200, "{\"name\":\"evil/deb\"}"), Exit::BoxRefused, "about `evil/deb`, not about `me/deb`", "leave"),
        (Reply::new(200, "{\"name\":\"me/deb\"}"), Exit::BoxNotFound, "no published version", "box search"),
        (Reply::new(200, document(&lies)), Exit::BoxRefused, "of type `crc32`", "tell whoever keeps it"),
        (Reply::new(200, document(&outside)), Exit::BoxRefused, "can only name what servers have", "tell whoever"),
        (Reply::redirect("/api/v2/vagrant/me/deb"), Exit::Network, "more than 10 redirects", "final URL"),
        (
            Reply::redirect("file:///etc/passwd"),
            Exit::Network,
            "cannot be redirected to file:///etc/passwd",
            "final URL",
        ),
        (
            Reply::new(200, "{}").cut(0).length(9),
            Exit::Network,
            "cut off at 0 of 9 bytes",
            "run the same command again",
        ),
        (Reply::new(200, "{}").stall(1), Exit::Network, "stalled", "run the same command again"),
    ] {
        let server = Server::start(move |_, _| reply.clone());
        let error = find(&finder(&server.url("/")), "me/deb", &Ask::default()).unwrap_err();
        let next = error.hint().unwrap_or_default();
        let (text, code) = told(error);
        assert!(text.contains(message), "{message}: {text}");
        assert!(next.contains(hint), "{message}: {next}");
        assert_eq!(code, exit, "{text}");
    }
    let (text, code) = told(find(&finder("http://127.0.0.1:9"), "me/deb", &Ask::default()).unwrap_err());
    assert!(text.contains("the registry http://127.0.0.1:9/ cannot be asked"), "{text}");
    assert_eq!(code, Exit::Network);
}

#[test]
fn nobody_is_asked_for_a_name_unless_the_user_named_a_registry() {
    let error = find(&Finder::default(), "me/deb", &Ask::default()).unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.contains("VBOX_RS_SERVER_URL") && hint.contains("box_url"), "{hint}");
    assert_eq!(error.exit(), Exit::BoxNotFound);
    let error = find(&Finder::default(), "debian/bookworm64", &Ask::default()).unwrap_err();
    assert!(error.hint().unwrap().contains("vbox-rs box build debian/bookworm64"));
    // Names that no registry can have do not become paths on its server.
    let server = Server::start(|_, _| Reply::new(200, "{}"));
    let odd = Reference::Name { name: "a/b?x=1".into(), requirement: None };
    assert!(finder(&server.url("/")).find(&Cx::silent(), &odd, &Ask::default()).is_err());
    assert!(server.requests().is_empty());
}

#[test]
fn a_short_limit_is_waited_for() {
    let server = Server::start(|_, before| match before {
        0 => Reply::new(429, "").header("Retry-After", "1"),
        _ => Reply::new(200, document(&json!([{"name": "libvirt", "url": "x.box"}]))),
    });
    let (heard, cx) = Heard::cx();
    let name = Reference::parse("me/deb").unwrap();
    finder(&server.url("/")).find(&cx, &name, &Ask::default()).unwrap();
    assert!(heard.text().contains("trying again in 1 s, as it asks for"), "{}", heard.text());
}

#[test]
fn several_registries_are_asked_in_order() {
    let empty = Server::start(|_, _| Reply::new(404, ""));
    let broken = Server::start(|_, _| Reply::new(500, ""));
    let good = Server::start(|_, _| Reply::new(200, document(&json!([{"name": "libvirt", "url": "x.box"}]))));
    let list = |servers: &[&Server]| servers.iter().map(|server| server.url("/")).collect::<Vec<_>>().join(" ");
    for servers in [&[&empty, &good][..], &[&broken, &good], &[&good, &broken]] {
        let (heard, cx) = Heard::cx();
        let name = Reference::parse("me/deb").unwrap();
        let found = finder(&list(servers)).find(&cx, &name, &Ask::default()).unwrap();
        assert_eq!(found.offer.unwrap().urls, [good.url("/api/v2/vagrant/me/x.box")]);
        let asked_broken = std::ptr::eq(servers[0], &raw const broken);
        assert_eq!(heard.text().contains(&format!("asking {}", good.url("/"))), asked_broken, "{}", heard.text());
    }
    // That one cannot be asked says more than that the other does not have it.
    let (text, _) = told(find(&finder(&list(&[&broken, &empty])), "me/deb", &Ask::default()).unwrap_err());
    assert!(text.contains("500 Internal Server Error"), "{text}");
}

#[test]
fn a_token_stays_with_its_server() {
    let bytes = plain_box(50_000);
    let content = bytes.clone();
    let cdn = Server::start(move |request, _| Reply::file(request, &content, "\"a\""));
    let elsewhere = cdn.url("/deb.box");
    let server = Server::start(move |request, _| match request.path.as_str() {
        _ if !bearer(request) => Reply::new(404, ""),
        API => Reply::new(200, document(&json!([{"name": "libvirt", "url": "/dl/deb.box"}]))),
        _ => Reply::redirect(elsewhere.clone()),
    });
    let home = Home::new();
    let (heard, cx) = Heard::cx();
    home.find_and_add(&cx, &home.logged_in(&server), "me/deb").unwrap();
    assert!(server.requests().iter().all(bearer), "the registry and its download know us");
    assert!(cdn.requests().iter().all(|request| request.header("authorization").is_none()), "another host does not");
    assert!(!heard.text().contains("s3cret"));
    let kept = fs::read_to_string(home.library.list().unwrap().boxes[0].path()).unwrap();
    assert!(!kept.contains("s3cret"));

    // The same with a login in the URL, and with a user who trusts the other host.
    for (trusted, expected) in [(false, None), (true, Some("Basic bWU6aHVudGVyMg=="))] {
        let home = Home::new();
        let target = cdn.url("/deb.box");
        let front = Server::start(move |_, _| Reply::redirect(target.clone()));
        let mut finder = finder("");
        finder.access.location_trusted = trusted;
        let url = front.url("/deb.box").replace("http://", "http://me:hunter2@");
        home.find_and_add(&Cx::silent(), &finder, &url).unwrap();
        assert_eq!(front.requests()[0].header("authorization"), Some("Basic bWU6aHVudGVyMg=="));
        assert_eq!(cdn.requests().last().unwrap().header("authorization"), expected);
    }
}

#[test]
fn an_expired_token_does_not_keep_public_boxes_away() {
    let bytes = plain_box(50_000);
    for private in [false, true] {
        let content = bytes.clone();
        let server = Server::start(move |request, _| match request.path.as_str() {
            _ if bearer(request) || private => Reply::new(401, ""),
            API => Reply::new(200, document(&json!([{"name": "libvirt", "url": "/deb.box"}]))),
            _ => Reply::file(request, &content, "\"a\""),
        });
        let home = Home::new();
        let (heard, cx) = Heard::cx();
        let result = home.find_and_add(&cx, &home.logged_in(&server), "me/deb");
        assert!(heard.text().contains("refuses our token; asking without it"), "{}", heard.text());
        if private {
            let error = result.unwrap_err();
            assert!(error.hint().unwrap().contains("get a new one"), "{error}");
        } else {
            result.unwrap();
        }
    }
}

#[test]
fn what_a_registry_does_not_have_is_told_with_what_it_has() {
    let builds = json!([{"name": "libvirt", "url": "x", "architecture": "amd64"}, {"name": "parallels", "url": "y"}]);
    let server = Server::start(move |_, _| Reply::new(200, document(&builds)));
    let finder = finder(&server.url("/"));
    let told = |reference: &str, ask: &Ask<'_>| {
        let error = find(&finder, reference, ask).unwrap_err();
        assert_eq!(error.exit(), Exit::BoxNotFound);
        format!("{error}; {}", error.hint().unwrap())
    };
    let version = told("me/deb@>= 2, < 3", &Ask::default());
    assert!(version.contains("no version of me/deb meets `>= 2, < 3`; there are 1.2.3"), "{version}");
    let both = told("me/deb@>= 1", &Ask { version: Some("!= 1.2.3"), ..Ask::default() });
    assert!(both.contains("meets `>= 1, != 1.2.3`"), "{both}");
    let architecture = told("me/deb", &Ask { architecture: Some("s390x"), ..Ask::default() });
    assert!(architecture.contains("no build of me/deb for s390x; it exists for amd64"), "{architecture}");
    let provider = told("me/deb", &Ask { provider: Some("hyperv"), ..Ask::default() });
    assert!(provider.contains("no build of me/deb for hyperv; it exists for libvirt, parallels"), "{provider}");
}

#[test]
fn a_catalogue_document_is_found_by_its_url_its_type_and_as_a_file() {
    let bytes = plain_box(50_000);
    let content = bytes.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/boxes/deb.json" => Reply::new(200, document(&json!([{"name": "libvirt", "url": "1/deb.box"}]))),
        "/boxes/typed" => Reply::new(200, document(&json!([{"name": "libvirt", "url": "1/deb.box"}])))
            .header("Content-Type", "application/json; charset=utf-8"),
        "/boxes/1/deb.box" | "/boxes/bare" => Reply::file(request, &content, "\"a\""),
        _ => Reply::new(404, ""),
    });
    for path in ["/boxes/deb.json", "/boxes/typed"] {
        let home = Home::new();
        let installed = home.find_and_add(&Cx::silent(), &finder(""), &server.url(path)).unwrap();
        let manifest = &installed.manifest;
        assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("me/deb", "1.2.3"));
        assert_eq!(manifest.catalogue, Some(server.url(path)));
        let newest = finder("").newest(&Cx::silent(), &installed, None).unwrap().unwrap();
        assert_eq!(newest.version, Some(manifest.version.clone()), "nothing newer");
    }
    let home = Home::new();
    home.find_and_add(&Cx::silent(), &finder(""), &server.url("/boxes/bare")).unwrap();
    assert_eq!(home.names(), ["bare 0"]);

    let home = Home::new();
    fs::create_dir(home.dir.path().join("1")).unwrap();
    home.write("1/deb.box", &bytes);
    let file = home.write("me.catalogue", &document(&json!([{"name": "libvirt", "url": "1/deb.box"}])));
    home.find_and_add(&Cx::silent(), &finder(""), file.to_str().unwrap()).unwrap();
    assert_eq!(home.names(), ["me/deb 1.2.3"]);
    let huge = home.write("huge.json", &[b"{".to_vec(), vec![b' '; 50 << 20]].concat());
    let (text, exit) = told(find(&finder(""), huge.to_str().unwrap(), &Ask::default()).unwrap_err());
    assert!(text.contains("larger than 20 MiB"), "{text}");
    assert_eq!(exit, Exit::BoxRefused);
}

#[test]
fn a_server_that_lies_about_what_it_sends_is_told_of() {
    let bytes = plain_box(50_000);
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/box-as-document" => Reply::new(200, bytes.clone()).header("Content-Type", "application/json"),
        "/document-as-box" => Reply::new(200, document(&json!([])).clone()).header("Content-Type", "application/gzip"),
        "/page.box" => Reply::new(200, "<!DOCTYPE html>").header("Content-Type", "application/x-gzip"),
        _ => Reply::new(200, "nothing of the kind").header("Content-Type", "application/octet-stream"),
    });
    for (path, why) in [
        ("/box-as-document", "expected value"),
        ("/document-as-box", "it is a JSON document, not a box"),
        ("/page.box", "it is a web page, not a box"),
        ("/noise.qcow2", "it is data of an unknown kind, not a box"),
    ] {
        let home = Home::new();
        let error = home.find_and_add(&Cx::silent(), &finder(""), &server.url(path)).unwrap_err();
        let (text, exit) = told(error);
        assert!(text.contains(why), "{path}: {text}");
        assert_eq!(exit, Exit::BoxRefused, "{path}: {text}");
        home.assert_empty(path);
    }
}

#[test]
fn a_box_url_comes_before_the_registries_and_must_be_of_the_same_box() {
    let bytes = plain_box(50_000);
    let content = bytes.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/x.json" => Reply::new(200, document(&json!([{"name": "libvirt", "url": "x.box"}]))),
        "/x.box" => Reply::file(request, &content, "\"a\""),
        _ => Reply::new(404, ""),
    });
    let found = |name: &str, paths: &[&str]| {
        let urls: Vec<_> = paths.iter().map(|path| server.url(path)).collect();
        let reference = Reference::name(name).unwrap();
        let ask = |url| Ask { url: Some(url), version: Some("~> 1.0"), ..Ask::default() };
        let attempts: Vec<_> = urls.iter().map(|url| Attempt::new(reference.clone(), ask(url), url)).collect();
        let home = Home::new();
        let added = finder(&server.url("/")).add_first(&Cx::silent(), &home.library, &attempts, &|_| {});
        added.map(|_| home.names())
    };
    assert_eq!(found("me/deb", &["/x.json"]).unwrap(), ["me/deb 1.2.3"]);
    assert_eq!(found("me/deb", &["/none.json", "/x.json"]).unwrap(), ["me/deb 1.2.3"]);
    assert_eq!(found("me/mine", &["/x.box"]).unwrap(), ["me/mine 0"]);
    let (text, _) = told(found("me/other", &["/x.json"]).unwrap_err());
    assert!(text.contains("about `me/deb`, not about `me/other`"), "{text}");
    assert!(server.requests().iter().all(|request| !request.path.starts_with("/api")));
}

#[test]
fn a_newer_version_is_found_where_the_box_came_from() {
    let bytes = plain_box(50_000);
    let content = bytes.clone();
    let server = Server::start(move |request, before| {
        let version = if before < 2 { "1.0" } else { "1.1" };
        let build = json!({"name": "libvirt", "url": "x.box"});
        let document = json!({"name": "me/deb", "versions": [{"version": version, "providers": [build]}]});
        match request.path.as_str() {
            "/x.box" => Reply::file(request, &content, "\"a\""),
            _ => Reply::new(200, document.to_string()),
        }
    });
    let home = Home::new();
    let installed = home.find_and_add(&Cx::silent(), &finder(""), &server.url("/x.json")).unwrap();
    let newest = finder("").newest(&Cx::silent(), &installed, None).unwrap().unwrap();
    assert_eq!(newest.version.unwrap().to_string(), "1.1");
    // A box of which nobody says where it came from has no newer version.
    let own = home.add_file("own.box", &bytes).unwrap();
    assert_eq!(finder("").newest(&Cx::silent(), &own, None).unwrap(), None);
}
