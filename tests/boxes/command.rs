//! `vbox-rs box add` and the environment: registries, tokens, proxies, certificates.

use std::fs;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::fault_server::{Reply, Server};
use crate::images::plain_box;

/// Runs in an empty home, or in the one that is given, with these variables and no others that matter.
fn run(home: &TempDir, variables: &[(&str, &str)], args: &[&str]) -> (i32, String) {
    let mut command = Command::new(snapbox::cmd::cargo_bin!("vbox-rs"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home.path());
    command.env("VBOX_RS_HOME", home.path().join("home")).envs(variables.iter().copied());
    let output = command.current_dir(home.path()).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

fn fresh() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_environment_names_registries_and_their_token() {
    let bytes = plain_box(50_000);
    let server = Server::start(move |request, _| match request.path.as_str() {
        _ if request.header("authorization") != Some("Bearer s3cret") => Reply::new(404, ""),
        "/api/v2/vagrant/me/deb" => {
            let build = json!({"name": "libvirt", "url": "/deb.box"});
            Reply::new(
                200,
                json!({"name": "me/deb", "versions": [{"version": "1.0", "providers": [build]}]}).to_string(),
            )
        }
        _ => Reply::file(request, &bytes, "\"a\""),
    });
    let url = server.url("");
    for variables in [
        &[("VBOX_RS_SERVER_URL", url.as_str()), ("VBOX_RS_TOKEN", "s3cret")][..],
        &[("VAGRANT_SERVER_URL", &url), ("VAGRANT_CLOUD_TOKEN", "s3cret")],
        &[("VBOX_RS_SERVER_URL", &url), ("VAGRANT_SERVER_URL", "http://127.0.0.1:9"), ("VBOX_RS_TOKEN", "s3cret")],
    ] {
        let home = fresh();
        let (code, text) = run(&home, variables, &["box", "add", "me/deb"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("box `me/deb` 1.0 is added") && !text.contains("s3cret"), "{text}");
    }
    let (code, text) = run(&fresh(), &[("VBOX_RS_SERVER_URL", "nonsense")], &["box", "add", "me/deb"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = run(&fresh(), &[], &["box", "add", "me/deb"]);
    assert!(code == 4 && text.contains("VBOX_RS_SERVER_URL"), "{text}");
}

#[test]
fn up_finds_its_box_as_box_add_does() {
    let server = Server::start(|_, _| {
        let build = json!({"name": "libvirt", "url": "/deb.box"});
        Reply::new(200, json!({"name": "me/deb", "versions": [{"version": "1.0", "providers": [build]}]}).to_string())
    });
    let url = server.url("");
    let home = fresh();
    for (file, code, says) in [
        ("box = 'me/deb'\nbox_version = '~> 2.0'".to_owned(), 4, "no version of me/deb meets `~> 2.0`"),
        ("box = 'me/deb'\nbox_architecture = 'arm64'".to_owned(), 6, "the box from"),
        ("box = 'nobody/knows'".to_owned(), 6, "is about `me/deb`, not about `nobody/knows`"),
        (
            format!("box = 'me/deb'\nbox_url = '{url}/x.json'\nbox_version = '> 1'"),
            4,
            "no version of me/deb meets `> 1`",
        ),
    ] {
        fs::write(home.path().join("Vagrantfile"), &file).unwrap();
        let (found, text) = run(&home, &[("VBOX_RS_SERVER_URL", &url)], &["up"]);
        assert!(text.contains(says), "{file}: {text}");
        assert_eq!(found, code, "{file}: {text}");
    }
    fs::write(home.path().join("Vagrantfile"), "box = 'unheard-of'").unwrap();
    let (code, text) = run(&home, &[], &["up"]);
    assert!(code == 4 && text.contains("write `box_url` into the machine file"), "{text}");
}

#[test]
fn of_several_addresses_the_first_that_delivers_counts_and_failures_are_told_together() {
    let bytes = plain_box(50_000);
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/good.box" => Reply::file(request, &bytes, "\"a\""),
        "/page.box" => Reply::new(200, "<html>log in</html>"),
        _ => Reply::new(404, ""),
    });
    let up = |addresses: &str| {
        let home = fresh();
        // A disk never shrinks, so that nothing is started.
        fs::write(home.path().join("Vagrantfile"), format!("box = 'me/deb'\ndisk = '64 MiB'\nbox_url = {addresses}"))
            .unwrap();
        let (code, text) = run(&home, &[], &["up"]);
        let (_, listed) = run(&home, &[], &["box", "list"]);
        (code, text, listed)
    };
    let (gone, page, good) = (server.url("/gone.box"), server.url("/page.box"), server.url("/good.box"));
    let secret = gone.replacen("http://", "http://me:s3cret@", 1);
    let (_, text, listed) = up(&format!("['{secret}', '/nowhere.box', '{page}', '{good}', '{gone}']"));
    assert!(listed.contains("me/deb"), "{text}");
    let note = format!(
        "{good} delivered it; tried before: cannot download {gone}: the server answered 404 Not Found; there is no file \
         /nowhere.box; the box from {page} is refused: it is a web page, not a box"
    );
    assert!(text.contains(&note), "{note}: {text}");
    assert_eq!(text.matches("404 Not Found").count(), 1, "each failure is told once: {text}");
    assert!(!text.contains("s3cret"), "{text}");

    let (code, text, _) = up(&format!("['{gone}', '{page}']"));
    assert_eq!(code, 6, "{text}");
    let error = format!(
        "error: none of 2 addresses delivers the box:\n  cannot download {gone}: the server answered 404 Not Found\n  the box \
         from {page} is refused: it is a web page"
    );
    assert!(text.contains(&error) && text.contains("`box_url`"), "{error}: {text}");
    // Of a single one its own error is told, with its own hint.
    let (code, text, _) = up(&format!("'{gone}'"));
    assert!(code == 4 && text.contains("404") && !text.contains("addresses"), "{text}");
    let (code, text, _) = up(&format!("['{good}', 'ftp://x/y.box']"));
    assert!(code == 3 && text.contains("`ftp` URLs are not supported"), "{text}");
}

#[test]
fn proxies_are_taken_from_the_environment_and_no_proxy_is_honoured() {
    let bytes = plain_box(50_000);
    let content = bytes.clone();
    let proxy = Server::start(move |request, _| Reply::file(request, &content, "\"a\""));
    let proxy_url = proxy.url("");
    let (code, text) = run(&fresh(), &[("http_proxy", &proxy_url)], &["box", "add", "http://boxes.invalid/x.box"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(proxy.requests()[0].path, "http://boxes.invalid/x.box");
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\""));
    let variables = [("http_proxy", "http://127.0.0.1:9"), ("NO_PROXY", "127.0.0.1")];
    let (code, text) = run(&fresh(), &variables, &["box", "add", &server.url("/x.box")]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn files_of_certificates_that_cannot_be_used_are_a_usage_error() {
    for args in [
        &["--cacert", "nothing.pem"][..],
        &["--capath", "nowhere"],
        &["--cert", "nothing.pem"],
        &["--checksum-type", "sha256"],
        &["--checksum-type", "crc32", "--checksum", "1"],
    ] {
        let args = [&["box", "add", "https://127.0.0.1:9/x.box"], args].concat();
        let (code, text) = run(&fresh(), &[], &args);
        assert_eq!(code, 2, "{text}");
    }
    let (code, text) =
        run(&fresh(), &[("CURL_CA_BUNDLE", "nothing.pem")], &["box", "add", "https://127.0.0.1:9/x.box"]);
    assert!(code == 2 && text.contains("nothing.pem"), "{text}");
}
