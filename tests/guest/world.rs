//! A server of our own, and what the tests do with it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use vbox_rs::guest::{Endpoint, HostKey, Login, Session, keys, openssh};
use vbox_rs::progress::Cx;

/// A server of our own; it ends with the value.
pub struct Sshd {
    pub dir: tempfile::TempDir,
    pub child: Child,
    pub port: u16,
    pub key: PathBuf,
    pub host_key: String,
}

impl Sshd {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = keys::ensure(dir.path(), "id_ed25519", "test").unwrap();
        let host = keys::ensure(dir.path(), "host_ed25519", "host").unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        fs::write(home.join(".ssh/authorized_keys"), format!("{}\n", key.public)).unwrap();
        let port = free_port();
        let child = serve(dir.path(), port);
        let sshd = Self { dir, child, port, key: key.private, host_key: host.public };
        sshd.wait();
        sshd
    }

    fn wait(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn login(&self) -> Login {
        Login {
            endpoint: Endpoint { host: "127.0.0.1".into(), port: self.port, user: user() },
            keys: vec![self.key.clone()],
            host_key: HostKey::Pinned(self.host_key.clone()),
            timeout: Duration::from_secs(20),
            keep_alive: true,
        }
    }

    pub fn open(&self) -> Session {
        Session::open(&Cx::silent(), &self.login()).unwrap()
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known hosts")
    }

    /// A configuration for the OpenSSH client by which `host` is this server, whose key is known.
    pub fn client_config(&self, host: &str) -> PathBuf {
        let known_hosts = self.known_hosts();
        fs::write(&known_hosts, openssh::known_hosts_line(host, &self.host_key).unwrap()).unwrap();
        let text = openssh::config_text(&openssh::ClientConfig {
            host,
            endpoint: &self.login().endpoint,
            known_hosts: &known_hosts,
            host_key_alias: host,
            host_key_known: true,
            identities: std::slice::from_ref(&self.key),
            forward_agent: false,
            forward_x11: false,
            keep_alive: true,
            connect_timeout: 15,
        });
        let file = self.dir.path().join("config");
        fs::write(&file, text.unwrap()).unwrap();
        file
    }

    pub fn authorized_keys(&self) -> PathBuf {
        self.dir.path().join("home/.ssh/authorized_keys")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().into()
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub fn serve(dir: &Path, port: u16) -> Child {
    // The server, as root, insists on this directory.
    let _ = fs::create_dir_all("/run/sshd");
    let root = dir.display();
    let config = dir.join("sshd_config");
    let text = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {root}/host_ed25519\nAuthorizedKeysFile {root}/home/.ssh/authorized_keys\n\
         SetEnv HOME={root}/home\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nMaxStartups 100\n"
    );
    fs::write(&config, text).unwrap();
    let log = fs::File::create(dir.join("sshd.log")).unwrap();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("openssh-server must be installed")
}

pub fn listening(port: u16) -> Login {
    Login {
        endpoint: Endpoint { host: "127.0.0.1".into(), port, user: "vagrant".into() },
        keys: vec![],
        host_key: HostKey::FirstContact,
        timeout: Duration::from_secs(10),
        keep_alive: false,
    }
}
