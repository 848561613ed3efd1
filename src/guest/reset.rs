//! Makes a guest as new before its disk becomes a box.

use super::keys::INSECURE_PUBLIC;
use super::quoting::as_root;
use super::setup::step;
use super::{Error, Session, quote};
use crate::progress::Cx;

const SCRIPT: &str = include_str!("data/reset.sh");

/// Removes what makes the guest itself: host keys, machine id, state of first boots, leases, logs. `user` is let in by
/// Vagrant's published keys from then on, and by no other; what is not used is given back to the disk.
pub fn reset(session: &mut Session, cx: &Cx, user: &str) -> Result<(), Error> {
    step(session, cx, "clean the copy", as_root(&script(user))).map(drop)
}

fn script(user: &str) -> String {
    let keys = INSECURE_PUBLIC.map(|key| format!("{key} vagrant insecure public key")).join("\n");
    format!("set -- {} {}\n{SCRIPT}", quote(user), quote(&keys))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_script_is_shell_however_the_user_is_called() {
        for user in ["vagrant", "a'b; c"] {
            for text in [script(user), as_root(&script(user))] {
                assert!(Command::new("sh").args(["-n", "-c", &text]).status().unwrap().success(), "{text}");
            }
        }
    }

    #[test]
    fn user_and_keys_reach_the_script_as_they_are() {
        let text = script("a'b c").replace(SCRIPT, "printf '%s|%s' \"$1\" \"$2\"");
        let output = Command::new("sh").args(["-c", &text]).output().unwrap();
        let seen = String::from_utf8(output.stdout).unwrap();
        let (user, keys) = seen.split_once('|').unwrap();
        assert_eq!((user, keys.lines().count()), ("a'b c", 2));
        assert!(keys.lines().all(|line| line.ends_with(" vagrant insecure public key")), "{keys}");
    }
}
