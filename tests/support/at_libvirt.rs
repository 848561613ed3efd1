//! Tests of any provider's machines (`VBOX_RS_TEST_PROVIDER`), started again for those of libvirt.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::again::{self, User};
use crate::daemon::{Daemon, is_root};

/// Tests of this program once more, in a module of their own: `run` at a daemon of each test's own, as root that of a host,
/// else that of a session; `run_in_session` always at that of a session, as an ordinary user.
macro_rules! at_libvirt {
    ($run:ident: $($part:ident { $($name:ident)+ })+) => {
        $(mod $part {
            $(#[test]
            fn $name() {
                $crate::at_libvirt::$run(concat!(module_path!(), "::", stringify!($name)));
            })+
        })+
    };
}
pub(crate) use at_libvirt;

/// The test that `path` (program, module, part, name) is about, with machines of libvirt.
pub fn run(path: &str) {
    let name = path.splitn(3, "::").last().unwrap();
    let root = tempfile::Builder::new().prefix("lv").tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = match Daemon::start(root.path()) {
        Ok(daemon) => daemon,
        Err(why) => return println!("skipped: {why}"),
    };
    let mut program = Command::new(again::program());
    if is_root() {
        // Where the daemon is, whatever the test mounts is there for both.
        program = Command::new("nsenter");
        let daemon = daemon.child.as_ref().unwrap().id().to_string();
        program.args(["--mount", "--target", &daemon]).arg(again::program());
    }
    program.env("VBOX_RS_TEST_PROVIDER", "libvirt").env("LIBVIRT_DEFAULT_URI", daemon.uri());
    again::run(program, name);
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).unwrap().trim(), "", "domains are left");
}

/// As `run`, but never as root.
pub fn run_in_session(path: &str) {
    if !is_root() {
        return run(path);
    }
    let user = User::new();
    let mut program = user.program();
    program.env("VBOX_RS_TEST_PROGRAM", user.given(Path::new(env!("CARGO_BIN_EXE_vbox-rs"))));
    if let Some(demo) = env::var_os("VBOX_RS_TEST_BOX") {
        program.env("VBOX_RS_TEST_BOX", user.given(Path::new(&demo)));
    }
    again::run(program, path.split_once("::").unwrap().1);
}
