use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::error::{Exit, Explain};
use crate::folders::testing::{LocalGuest, Told};

struct Bench {
    guest: LocalGuest,
    folder: SyncedFolder,
    config: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let guest = LocalGuest::new();
        let host = guest.path("host");
        fs::create_dir(&host).unwrap();
        let folder = SyncedFolder {
            host,
            guest: guest.path("synced folder").to_str().unwrap().into(),
            kind: None,
            create: false,
            owner: None,
            group: None,
            exclude: Vec::new(),
            args: None,
        };
        let config = guest.path("config");
        Self { guest, folder, config }
    }

    fn host(&self, path: &str, content: &str) {
        let path = self.folder.host.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn there(&self, path: &str) -> PathBuf {
        Path::new(&self.folder.guest).join(path)
    }

    fn sync(&mut self) -> (Result<Synced, Error>, Vec<String>) {
        let (told, cx) = Told::cx();
        let user = me();
        let ssh = SshFiles { config: &self.config, host: "guest" };
        let result = sync(&cx, &mut self.guest, &self.folder, &ssh, &user);
        (result, told.remarks())
    }
}

fn me() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn an_empty_folder_is_filled_by_an_archive_in_two_commands() {
    let mut bench = Bench::new();
    bench.host("a/b.txt", "hello");
    bench.host(".git/config", "private");
    bench.host("tool", "#!/bin/sh\n");
    fs::set_permissions(bench.folder.host.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a/b.txt", bench.folder.host.join("link")).unwrap();
    let (synced, remarks) = bench.sync();
    assert_eq!(synced.unwrap(), Synced { files: 2, bytes: 15, how: How::Tar });
    assert!(remarks.is_empty(), "{remarks:?}");
    assert_eq!(bench.guest.runs, 2);
    assert_eq!(fs::read_to_string(bench.there("a/b.txt")).unwrap(), "hello");
    assert_eq!(fs::read_link(bench.there("link")).unwrap(), Path::new("a/b.txt"));
    assert_eq!(fs::metadata(bench.there("tool")).unwrap().mode() & 0o777, 0o755);
    assert!(!bench.there(".git").exists());
    let times = [bench.folder.host.join("a/b.txt"), bench.there("a/b.txt")].map(|p| fs::metadata(p).unwrap().mtime());
    assert_eq!(times[0], times[1], "so that rsync finds nothing to do later");
}

#[test]
fn what_is_gone_is_removed_without_rsync_too() {
    let mut bench = Bench::new();
    bench.host("dir/kept", "1");
    bench.host("becomes-dir", "file");
    bench.sync().0.unwrap();
    fs::write(bench.there("old file\n"), "").unwrap();
    fs::create_dir_all(bench.there("gone/deep")).unwrap();
    fs::write(bench.there("gone/deep/x"), "").unwrap();
    fs::create_dir_all(bench.there("cache/.git")).unwrap();
    fs::write(bench.there("cache/.git/x"), "").unwrap();
    symlink("/etc", bench.there("dir/etc")).unwrap();
    fs::remove_file(bench.folder.host.join("becomes-dir")).unwrap();
    bench.host("becomes-dir/file", "now a folder");
    let place = {
        let script = guest_side::prepare_script(&bench.folder.guest, &me(), None, false);
        guest_side::prepare(&Cx::silent(), &mut bench.guest, "x", &script).unwrap()
    };
    assert!(place.content.is_some());
    by_tar(&Cx::silent(), &mut bench.guest, &bench.folder.host, &place, &Rules::new(&[])).unwrap();
    let mut left: Vec<_> = fs::read_dir(bench.there("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["becomes-dir", "cache", "dir"], "`cache` holds what is left out");
    assert_eq!(fs::read_to_string(bench.there("becomes-dir/file")).unwrap(), "now a folder");
    assert!(!bench.there("dir/etc").exists());
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn a_link_in_the_guest_to_a_folder_it_needs_is_refused_before_anything_happens() {
    let mut bench = Bench::new();
    let owner = fs::metadata("/usr/share").unwrap();
    symlink("/usr/share", &bench.folder.guest).unwrap();
    let (refused, _) = bench.sync();
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("links in the guest lead from it"), "{refused}");
    assert_eq!(refused.exit(), Exit::MachineFile);
    assert_eq!(fs::metadata("/usr/share").unwrap().ctime(), owner.ctime());
    assert_eq!(bench.guest.runs, 1);
}

#[test]
fn a_missing_folder_is_named_or_created() {
    let mut bench = Bench::new();
    fs::remove_dir(&bench.folder.host).unwrap();
    let refused = bench.sync().0.unwrap_err();
    assert_eq!(refused.to_string(), format!("the folder {} does not exist", bench.folder.host.display()));
    assert!(refused.hint().unwrap().contains("`create = true`"));
    assert_eq!(bench.guest.runs, 0);
    bench.folder.create = true;
    assert_eq!(bench.sync().0.unwrap().files, 0);
    assert!(bench.folder.host.is_dir());
}

#[test]
fn an_owner_that_the_guest_does_not_know_is_told_in_its_words() {
    let mut bench = Bench::new();
    bench.folder.owner = Some("nobody-here".into());
    let refused = bench.sync().0.unwrap_err().to_string();
    assert!(refused.starts_with("cannot prepare") && refused.contains("nobody-here"), "{refused}");
}

#[test]
fn sockets_are_told_and_left_out() {
    let mut bench = Bench::new();
    bench.host("file", "x");
    let _socket = std::os::unix::net::UnixListener::bind(bench.folder.host.join("s")).unwrap();
    let (synced, remarks) = bench.sync();
    assert_eq!(synced.unwrap().files, 1);
    assert_eq!(remarks, ["not copied, because only files, folders and links are: s"]);
}

#[test]
fn rsync_brings_what_has_changed_into_a_folder_that_is_not_empty() {
    if !rsync::installed() {
        return;
    }
    let mut bench = Bench::new();
    bench.host("same", "same");
    bench.host("changes", "1");
    bench.sync().0.unwrap();
    bench.host("changes", "22");
    fs::write(bench.there("gone"), "").unwrap();
    fs::create_dir(bench.there(".vagrant")).unwrap();
    // Instead of a connection: rsync runs what ssh would have run in the guest.
    let fake = bench.guest.path("fake-ssh");
    fs::write(&fake, "#!/bin/sh\nwhile [ \"$1\" != guest ]; do shift; done; shift; exec sh -c \"$*\"\n").unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let ssh = SshFiles { config: &bench.config, host: "guest" };
    let script = guest_side::prepare_script(&bench.folder.guest, &me(), None, true);
    let place = guest_side::prepare(&Cx::silent(), &mut bench.guest, "x", &script).unwrap();
    assert_eq!(place.content, None, "rsync needs no list");
    let mut args = rsync::args(&bench.folder.host, &place, &ssh, &Rules::new(&[]), None);
    for arg in &mut args {
        if let Some(rest) = arg.to_str().and_then(|text| text.strip_prefix("ssh ")) {
            *arg = format!("{} {rest}", fake.display()).into();
        }
    }
    let stats = rsync::run(&Cx::silent(), &args, "x", "x").unwrap();
    assert_eq!(stats, rsync::Stats { files: 1, bytes: 2 });
    assert_eq!(fs::read_to_string(bench.there("changes")).unwrap(), "22");
    assert!(!bench.there("gone").exists());
    assert!(bench.there(".vagrant").exists());
}

#[test]
fn folders_of_other_types_say_so() {
    let mut bench = Bench::new();
    assert_eq!(unsupported(&bench.folder), None);
    bench.folder.kind = Some(FolderType::Nfs);
    assert!(unsupported(&bench.folder).unwrap().contains("type `nfs`"));
}
