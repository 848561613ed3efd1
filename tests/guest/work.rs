//! Folders and provisioners over a session.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use vbox_rs::config::spec::{
    FolderType, Provisioner, ProvisionerKind, RunPolicy, Script, ShellProvisioner, SyncedFolder,
};
use vbox_rs::error::{Exit, Explain, Failure};
use vbox_rs::folders::{How, SshFiles, Synced, sync};
use vbox_rs::guest::Session;
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::provision::{self, Helper};

use crate::world::{Sshd, user};

struct Guest {
    sshd: Sshd,
    session: Session,
    config: PathBuf,
}

impl Guest {
    fn start() -> Self {
        let sshd = Sshd::start();
        let (session, config) = (sshd.open(), sshd.client_config("guest"));
        Self { sshd, session, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sshd.dir.path().join(name)
    }

    fn folder(&self) -> SyncedFolder {
        SyncedFolder {
            host: self.path("from"),
            guest: self.path("to the guest").to_str().unwrap().into(),
            kind: Some(FolderType::Rsync),
            create: true,
            owner: None,
            group: None,
            exclude: vec!["*.log".into()],
            args: None,
        }
    }

    fn sync(&mut self, cx: &Cx) -> Result<Synced, vbox_rs::folders::Error> {
        let folder = self.folder();
        sync(cx, &mut self.session, &folder, &SshFiles { config: &self.config, host: "guest" }, &user())
    }
}

#[test]
fn a_folder_goes_by_tar_first_and_by_rsync_then() {
    let mut guest = Guest::start();
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
    let mut guest = Guest::start();
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(Silent), cancel.clone());
    fs::create_dir(guest.path("from")).unwrap();
    fs::File::create(guest.path("from/huge")).unwrap().set_len(20 << 30).unwrap();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
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
    let mut guest = Guest::start();
    let source = guest.path("source");
    fs::write(&source, vec![9; 3_000_000]).unwrap();
    let destination = guest.path("new/copy").to_str().unwrap().to_owned();
    let shell = |text: &str| {
        ProvisionerKind::Shell(ShellProvisioner {
            script: Script::Inline(text.into()),
            args: vec!["an argument".into()],
            env: vec![("SECRET".into(), "it's\nhidden".into())],
            privileged: user() == "root",
            reboot: false,
            sensitive: false,
        })
    };
    let script = format!("printf '%s' \"$1 $SECRET\" >'{}/out'", guest.sshd.dir.path().display());
    let list = [shell(&script), ProvisionerKind::File { source, destination }, shell("seq 1000000; exit 7")]
        .map(|kind| Provisioner { name: "p".into(), run: RunPolicy::Once, kind });
    let list: Vec<_> = list.iter().collect();
    let failed = provision::run(&Cx::silent(), &mut guest.session, &list, &mut NoHelp).unwrap_err();
    assert_eq!(fs::read_to_string(guest.path("out")).unwrap(), "an argument it's\nhidden");
    assert_eq!(fs::read(guest.path("new/copy")).unwrap(), vec![9; 3_000_000]);
    let text = failed.to_string();
    assert!(text.contains("exit code 7") && text.ends_with("\n    1000000"), "{text}");
}
