//! A real web server: nginx, as Debian packages it. Without it (or without `openssl`) these tests say so and pass.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use vbox_rs::boxes::AddRequest;
use vbox_rs::boxes::fetch::Access;
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};

use crate::heard::Heard;
use crate::images::{plain_box, qcow2};
use crate::world::{Home, impatient, sha256};

/// One process, everything in one folder; ended with the value.
struct Nginx {
    child: Child,
    dir: tempfile::TempDir,
    http: u16,
    https: u16,
    mutual: u16,
}

impl Nginx {
    fn start() -> Option<Self> {
        let runs = |program: &str, argument: &str| {
            let mut command = Command::new(program);
            command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        };
        if !runs("nginx", "-v") || !runs("openssl", "version") {
            println!("skipped: nginx or openssl is not installed (Debian: nginx-light, openssl)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("www")).unwrap();
        certificates(&dir);
        // All are bound before one is released, so they differ.
        let bound: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = bound.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let &[http, https, mutual] = &ports[..] else { unreachable!() };
        let root = dir.path().display();
        let tls = format!("ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key; root {root}/www;");
        let configuration = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;
             events {{ worker_connections 64; }}
             http {{
               log_format asked '$status range=$http_range if_range=$http_if_range';
               access_log {root}/access.log asked;
               client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
               uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
               server {{ listen 127.0.0.1:{http}; root {root}/www; limit_rate_after 2m; limit_rate 1m; }}
               server {{ listen 127.0.0.1:{https} ssl; {tls} }}
               server {{ listen 127.0.0.1:{mutual} ssl; {tls}
                         ssl_client_certificate {root}/ca.pem; ssl_verify_client on; }}
             }}"
        );
        fs::write(dir.path().join("nginx.conf"), configuration).unwrap();
        drop(bound);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(dir.path().join("nginx.conf"));
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, dir, http, https, mutual };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", mutual)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "nginx does not answer: {}", nginx.read("error.log"));
            thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn serve(&self, bytes: &[u8]) {
        fs::write(self.path("www/new"), bytes).unwrap();
        fs::rename(self.path("www/new"), self.path("www/x.box")).unwrap();
    }

    fn request(scheme: &str, port: u16) -> AddRequest {
        let source = format!("{scheme}://127.0.0.1:{port}/x.box");
        AddRequest { source, tuning: impatient(), ..AddRequest::default() }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, a server's certificate and a client's, as `openssl` makes them.
fn certificates(dir: &tempfile::TempDir) {
    let run = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    run(&format!("req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.pem"));
    run(&format!("req -x509 {key} -subj /CN=stranger -keyout other.key -out other.pem"));
    let signed = "-CA ca.pem -CAkey ca.key";
    run(&format!(
        "req -x509 {key} {signed} -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.pem"
    ));
    run(&format!("req -x509 {key} {signed} -subj /CN=client -keyout client.key -out client.crt"));
    let both = ["client.crt", "client.key"].map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
    fs::write(dir.path().join("client.pem"), both.concat()).unwrap();
}

/// Interrupts once so many bytes have come.
struct InterruptAt(u64, Cancel);

impl Sink for InterruptAt {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if matches!(event, Event::Transfer { done, .. } if *done >= self.0) {
            self.1.raise();
        }
    }
}

#[test]
fn a_download_from_nginx_goes_on_unless_the_file_has_changed() {
    let Some(nginx) = Nginx::start() else { return };
    let (old, new) = (plain_box(8 << 20), plain_box(3 << 20));
    for changes in [false, true] {
        nginx.serve(&old);
        let home = Home::new();
        let cancel = Cancel::default();
        let cx = Cx::new(Arc::new(InterruptAt(1 << 20, cancel.clone())), cancel);
        let request = Nginx::request("http", nginx.http);
        assert_eq!(home.library.add(&cx, &request).unwrap_err().exit(), Exit::Interrupted);
        if changes {
            nginx.serve(&new);
        }
        let (heard, cx) = Heard::cx();
        let installed = home.library.add(&cx, &request).unwrap();
        let expected = if changes { qcow2(3 << 20) } else { qcow2(8 << 20) };
        assert_eq!(installed.manifest.disks[0].sha256, sha256(&expected));
        assert_eq!(heard.text().contains("going on with the download"), !changes, "{}", heard.text());
        let log = nginx.read("access.log");
        let last = log.lines().last().unwrap();
        let status = if changes { "200 range=bytes=" } else { "206 range=bytes=" };
        assert!(last.starts_with(status) && !last.ends_with("if_range=-"), "{log}");
        assert_eq!(home.files().len(), 2, "{:?}", home.files());
    }
}

#[test]
fn certificates_are_checked_as_the_user_says() {
    let Some(nginx) = Nginx::start() else { return };
    nginx.serve(&plain_box(100_000));
    let ca = Access { ca_cert: Some(nginx.path("ca.pem")), ..Access::default() };
    let folder = nginx.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::copy(nginx.path("ca.pem"), folder.join("a.pem")).unwrap();
    fs::write(folder.join("README"), "not a certificate").unwrap();
    let add = |port: u16, access: &Access| {
        let home = Home::new();
        let (heard, cx) = Heard::cx();
        let added = home.library.add(&cx, &AddRequest { access: access.clone(), ..Nginx::request("https", port) });
        (added, heard.text())
    };
    for access in [Access::default(), Access { ca_cert: Some(nginx.path("other.pem")), ..Access::default() }] {
        assert_eq!(add(nginx.https, &access).0.unwrap_err().exit(), Exit::Network, "{access:?}");
    }
    for access in [ca.clone(), Access { ca_path: Some(folder), ..Access::default() }] {
        let (added, said) = add(nginx.https, &access);
        let manifest = added.unwrap().manifest;
        assert!(!said.contains("warning") && !manifest.source.contains("not checked"), "{said}");
    }
    let (added, said) = add(nginx.https, &Access { insecure: true, ..Access::default() });
    assert!(said.contains("warning: the certificate of 127.0.0.1 is not checked (--insecure)"), "{said}");
    assert!(added.unwrap().manifest.source.ends_with("(its server's certificate was not checked)"));

    let ours = Access { client_cert: Some(nginx.path("client.pem")), ..ca.clone() };
    let (refused, _) = add(nginx.mutual, &ca);
    assert!(refused.unwrap_err().to_string().contains("400 Bad Request"), "it wants to know who we are");
    add(nginx.mutual, &ours).0.unwrap();
}
