//! The same machines at libvirt: these tests once more, each in a process of its own that finds a daemon of its own.

use std::env;
use std::process::Command;

use crate::daemon::Daemon;

/// Runs the test `name` of this program at a daemon of its own.
fn at_libvirt(name: &str) {
    let root = tempfile::Builder::new().prefix("lm").tempdir().unwrap();
    let daemon = match Daemon::start(root.path()) {
        Ok(daemon) => daemon,
        Err(why) => return println!("skipped: {why}"),
    };
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env("VBOX_RS_TEST_PROVIDER", "libvirt");
    let status = command.env("LIBVIRT_DEFAULT_URI", daemon.uri()).status().unwrap();
    assert!(status.success(), "it failed at libvirt");
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).unwrap().trim(), "", "domains are left");
}

macro_rules! also {
    ($($module:ident { $($name:ident)+ })+) => {
        $(mod $module {
            $(#[test]
            fn $name() {
                super::at_libvirt(concat!(stringify!($module), "::", stringify!($name)));
            })+
        })+
    };
}

also! {
    hosts {
        firmware_that_is_not_installed_is_named_with_what_installs_it
    }
    killed {
        destroy_killed_at_any_instant_is_taken_up_again
        halt_killed_at_any_instant_is_taken_up_again
        resume_killed_at_any_instant_is_taken_up_again
        suspend_killed_at_any_instant_is_taken_up_again
        up_killed_at_any_instant_is_taken_up_again
    }
}
