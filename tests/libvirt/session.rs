//! Some of the same tests as an ordinary user, at the daemon of a session.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::daemon::is_root;

/// `nobody`.
pub const USER: u32 = 65534;

#[test]
fn an_ordinary_user_and_a_session_will_do() {
    if !is_root() {
        println!("skipped: all tests run as an ordinary user here");
        return;
    }
    let dir = tempfile::Builder::new().prefix("ls").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Where it was built only its builder may be allowed to look.
    let program = dir.path().join("tests");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let home = dir.path().join("h");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    for name in [
        "life::a_domain_lives_and_dies_in_order",
        "life::the_firmware_is_heard_on_the_console_and_in_its_log",
        "save::a_saved_domain_goes_on_with_other_forwards",
        "behind::a_daemon_that_does_not_let_the_user_in_is_told_with_what_helps",
        "networks::a_session_has_none_and_says_so",
    ] {
        let user = USER.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(&program).args(["--exact", name]);
        command.env("HOME", &home).env("TMPDIR", &home).env("XDG_RUNTIME_DIR", &home).current_dir(&home);
        let output = command.arg("--nocapture").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{name}: {said}");
    }
}
