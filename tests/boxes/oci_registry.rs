//! A real registry server on loopback, where Debian's `docker-registry` is installed.

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vbox_rs::boxes::fetch::Tuning;
use vbox_rs::boxes::oci::{Logins, Options, PushRequest, Pushed};
use vbox_rs::boxes::{AddRequest, Error, Installed, Needs};
use vbox_rs::progress::Cx;

use crate::world::{Home, impatient};

/// `tester` with the password `s3cret`, by `htpasswd -Bn -C 4`.
const HTPASSWD: &str = "tester:$2y$04$z9qeIGiKH/8jFxf0WRdKSe/ZDjliI3K8BaEIYGIYkuNO.INnHhbLS\n";

/// A registry of its own, with its storage in a folder of its own.
pub struct Registry {
    child: Child,
    port: u16,
    pub dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// Starts one; `None` (and a printed reason) where there is none to start.
    pub fn start(with_login: bool) -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            println!("skipped: Debian's docker-registry is not installed (scripts/setup.sh test)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        // Somebody else may take the port before the server does: then another one.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut config = format!(
                "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
                dir.path().join("storage").display()
            );
            if with_login {
                let file = dir.path().join("htpasswd");
                fs::write(&file, HTPASSWD).unwrap();
                write!(config, "auth:\n  htpasswd:\n    realm: test\n    path: {}\n", file.display()).unwrap();
            }
            let path = dir.path().join("config.yml");
            fs::write(&path, config).unwrap();
            let log = fs::File::create(dir.path().join("log")).unwrap();
            let mut child =
                Command::new(program).arg("serve").arg(&path).stdout(Stdio::null()).stderr(log).spawn().unwrap();
            if listens(&mut child, port) {
                return Some(Self { child, port, dir });
            }
        }
        panic!("no port for the registry");
    }

    pub fn reference(&self, rest: &str) -> String {
        format!("oci://127.0.0.1:{}/{rest}", self.port)
    }

    /// Blobs that the registry keeps.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().join("storage")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.ends_with("data") && path.components().any(|part| part.as_os_str() == "blobs") => {
                        found.push(path);
                    }
                    false => {}
                }
            }
        }
        found.sort();
        found
    }
}

fn listens(child: &mut Child, port: u16) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the registry does not begin to listen");
}

/// Nobody's logins but these, for the registry of that reference.
pub fn options(reference: &str, login: Option<(&str, &str)>) -> Options {
    let registry = reference.trim_start_matches("oci://").split('/').next().unwrap();
    let logins = login.map_or_else(Logins::default, |(user, password)| Logins::given(registry, user, password));
    Options { logins: Some(logins), ..Options::default() }
}

/// Patient with a busy computer, but not long.
pub fn tuning() -> Tuning {
    Tuning { connect: Duration::from_secs(20), stall: Duration::from_secs(20), ..impatient() }
}

pub fn pull_request(source: &str) -> AddRequest {
    AddRequest {
        source: source.into(),
        tuning: tuning(),
        logins: options(source, None).logins,
        ..AddRequest::default()
    }
}

pub fn pull(home: &Home, source: &str) -> Result<Installed, Error> {
    home.add(&pull_request(source))
}

pub fn push_request(name: &str, to: &str) -> PushRequest {
    let options = options(to, None);
    PushRequest { name: name.into(), to: to.into(), tuning: tuning(), options, ..PushRequest::default() }
}

pub fn push(home: &Home, name: &str, to: &str) -> Result<Pushed, Error> {
    home.library.push(&Cx::silent(), &push_request(name, to))
}

pub fn remove(home: &Home, installed: &Installed) {
    home.library.remove(&Cx::silent(), std::slice::from_ref(installed), &|| Ok(Needs::default()), false, true).unwrap();
}
