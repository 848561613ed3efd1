//! Folders and provisioners against a real sshd on this host's loopback, as the login user of the tests.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its message; clippy.toml covers only test functions")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vbox_rs::config::spec::{
    FolderType, Provisioner, ProvisionerKind, RunPolicy, Script, ShellProvisioner, SyncedFolder,
};
use vbox_rs::error::{Exit, Explain, Failure};
use vbox_rs::folders::{How, SshFiles, Synced, sync};
use vbox_rs::guest::openssh::{ClientConfig, config_text, known_hosts_line};
use vbox_rs::guest::{Endpoint, HostKey, Login, Session, keys};
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::provision::{self, Helper};

struct Guest {
    dir: tempfile::TempDir,
    sshd: Child,
    session: Session,
    user: String,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

impl Guest {
    /// `None` where there is no sshd.
    fn start() -> Option<Self> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.exists() {
            return None;
        }
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        if user == "root" {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let login = keys::ensure(dir.path(), "login", "test").unwrap();
        let host = keys::ensure(dir.path(), "host", "test").unwrap();
        fs::write(path("authorized_keys"), &login.public).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPermitRootLogin prohibit-password\n",
            host.private.display(),
            path("authorized_keys").display()
        );
        fs::write(path("sshd_config"), config).unwrap();
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(path("sshd_config"));
        let sshd = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, user: user.clone() };
        let open = || {
            Session::open(
                &Cx::silent(),
                &Login {
                    endpoint: endpoint.clone(),
                    keys: vec![login.private.clone()],
                    host_key: HostKey::FirstContact,
                    timeout: Duration::from_secs(10),
                    keep_alive: true,
                },
            )
        };
        let session = (0..100)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(50));
                open().ok()
            })
            .unwrap();
        let known = known_hosts_line("guest", session.host_key()).unwrap();
        fs::write(path("known_hosts"), known).unwrap();
        let text = config_text(&ClientConfig {
            host: "guest",
            endpoint: &endpoint,
            known_hosts: &path("known_hosts"),
            host_key_alias: "guest",
            host_key_known: true,
            identities: &[login.private],
            forward_agent: false,
            forward_x11: false,
            keep_alive: true,
            connect_timeout: 10,
        });
        fs::write(path("config"), text.unwrap()).unwrap();
        Some(Self { dir, sshd, session, user })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn folder(&self) -> SyncedFolder {
        SyncedFolder {
            host: self.path("from"),
            guest: self.path("to the guest").to_str().unwrap().into(),
            kind: FolderType::Rsync,
            create: true,
            owner: None,
            group: None,
            exclude: vec!["*.log".into()],
            args: None,
        }
    }

    fn sync(&mut self, cx: &Cx) -> Result<Synced, vbox_rs::folders::Error> {
        let (folder, config) = (self.folder(), self.path("config"));
        sync(cx, &mut self.session, &folder, &SshFiles { config: &config, host: "guest" }, &self.user)
    }
}

#[test]
fn a_folder_goes_by_tar_first_and_by_rsync_then() {
    let Some(mut guest) = Guest::start() else { return };
    let (from, to) = (guest.path("from"), guest.path("to the guest"));
    fs::create_dir_all(from.join("sub/.git")).unwrap();
    for (path, content) in [("sub/a", "1"), ("b", "22"), ("x.log", "no"), ("sub/.git/x", "no")] {
        fs::write(from.join(path), content).unwrap();
    }
    fs::write(from.join("big"), vec![7; 5_000_000]).unwrap();
    symlink("b", from.join("link")).unwrap();
    let cx = Cx::silent();
    assert_eq!(guest.sync(&cx).unwrap(), Synced { files: 3, bytes: 5_000_003, how: How::Tar });
    assert_eq!(fs::read(to.join("big")).unwrap(), fs::read(from.join("big")).unwrap());
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("b"));
    assert!(!to.join("x.log").exists() && !to.join("sub/.git").exists());

    fs::write(from.join("b"), "333").unwrap();
    fs::remove_file(from.join("sub/a")).unwrap();
    fs::write(to.join("kept.log"), "left out on both sides").unwrap();
    assert_eq!(guest.sync(&cx).unwrap(), Synced { files: 1, bytes: 3, how: How::Rsync });
    assert_eq!(fs::read_to_string(to.join("b")).unwrap(), "333");
    assert!(!to.join("sub/a").exists() && to.join("kept.log").exists());
    assert_eq!(guest.sync(&cx).unwrap().files, 0, "nothing has changed");
}

#[test]
fn a_cancelled_sync_is_told_as_such() {
    let Some(mut guest) = Guest::start() else { return };
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(Silent), cancel.clone());
    fs::create_dir(guest.path("from")).unwrap();
    fs::File::create(guest.path("from/huge")).unwrap().set_len(20 << 30).unwrap();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        cancel.raise();
    });
    assert_eq!(guest.sync(&cx).unwrap_err().exit(), Exit::Interrupted);
    stopper.join().unwrap();
}

struct NoHelp;

impl Helper<Session> for NoHelp {
    fn fetch(&mut self, _: &Cx, _: &str, _: u64) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }

    fn reboot(&mut self, _: &Cx, _: &mut Session) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn provisioners_run_over_ssh() {
    let Some(mut guest) = Guest::start() else { return };
    let source = guest.path("source");
    fs::write(&source, vec![9; 3_000_000]).unwrap();
    let destination = guest.path("new/copy").to_str().unwrap().to_owned();
    let shell = |text: &str| {
        ProvisionerKind::Shell(ShellProvisioner {
            script: Script::Inline(text.into()),
            args: vec!["an argument".into()],
            env: vec![("SECRET".into(), "it's\nhidden".into())],
            privileged: guest.user == "root",
            reboot: false,
            sensitive: false,
        })
    };
    let script = format!("printf '%s' \"$1 $SECRET\" >'{}/out'", guest.dir.path().display());
    let list = [shell(&script), ProvisionerKind::File { source, destination }, shell("seq 1000000; exit 7")]
        .map(|kind| Provisioner { name: "p".into(), run: RunPolicy::Once, kind });
    let list: Vec<_> = list.iter().collect();
    let failed = provision::run(&Cx::silent(), &mut guest.session, &list, &mut NoHelp).unwrap_err();
    assert_eq!(fs::read_to_string(guest.path("out")).unwrap(), "an argument it's\nhidden");
    assert_eq!(fs::read(guest.path("new/copy")).unwrap(), vec![9; 3_000_000]);
    let text = failed.to_string();
    assert!(text.contains("exit code 7") && text.ends_with("\n    1000000"), "{text}");
}
