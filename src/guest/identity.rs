//! Replacing Vagrant's published key by the machine's own, in an order in which no crash locks us out: the new key is
//! added, a login with it is made, and only then the published ones are removed.

use super::keys::INSECURE_PUBLIC;
use super::login::Login;
use super::quoting::with_sh;
use super::setup::step;
use super::{Error, Session, key_text, quote};
use crate::progress::Cx;

/// Puts `public` (one line) into the login user's `authorized_keys`, logs in with `login` (which names its private half)
/// and removes Vagrant's published keys and `boxes`, the public half of the key that its box came with. Returns the new
/// session. Doing it again does no harm.
pub fn replace_box_key(
    cx: &Cx,
    old: &mut Session,
    public: &str,
    boxes: Option<&str>,
    login: &Login,
) -> Result<Session, Error> {
    step(old, cx, "install the machine's key", with_sh(&add_script(public)?))?;
    // From here on the host key is known, whatever it was before.
    let pinned = Login { host_key: super::HostKey::Pinned(old.host_key().into()), ..login.clone() };
    let mut new = Session::open(cx, &pinned)?;
    step(&mut new, cx, "remove the box's key", with_sh(&remove_script(boxes)))?;
    Ok(new)
}

/// Changes `~/.ssh/authorized_keys` through a temporary file; `$n` holds the new content then.
fn rewrite(change: &str) -> String {
    format!(
        "set -e; umask 077; mkdir -p ~/.ssh; f=~/.ssh/authorized_keys; [ ! -L \"$f\" ] || f=$(readlink -f \"$f\"); \
         touch \"$f\"; n=$f.vbox-rs.$$; trap 'rm -f \"$n\"' EXIT; {change}; chmod 600 \"$n\"; mv -f \"$n\" \"$f\"; sync"
    )
}

fn add_script(public: &str) -> Result<String, Error> {
    let why = "it is not one public key in one line";
    let bad = || Error::BadValue { what: "public key", value: public.chars().take(40).collect(), why };
    let key = key_text::normal(public).ok_or_else(bad)?;
    let (key, line) = (quote(&key), quote(public.trim()));
    // The last line of the old file may lack its end; awk adds it.
    Ok(rewrite(&format!(
        "if grep -qF {key} \"$f\"; then cp \"$f\" \"$n\"; else awk 1 \"$f\" >\"$n\"; printf '%s\\n' {line} >>\"$n\"; fi"
    )))
}

fn remove_script(boxes: Option<&str>) -> String {
    let boxes = boxes.and_then(key_text::normal);
    let all = INSECURE_PUBLIC.into_iter().chain(boxes.as_deref());
    let patterns: Vec<String> = all.map(|key| format!("-e {}", quote(key))).collect();
    // grep's 1 says that no line is left, which cannot be: the new key is there.
    rewrite(&format!("grep -vF {} \"$f\" >\"$n\"", patterns.join(" ")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDdWD0MVVwjAwNXCxWvlgFOOHhzHUWVJYL0YqxVJG6Mn vbox-rs web";

    fn run(home: &Path, script: &str) -> bool {
        Command::new("sh").args(["-c", &with_sh(script)]).env("HOME", home).status().unwrap().success()
    }

    #[test]
    fn the_new_key_is_added_once_and_the_published_ones_go() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        let read = || std::fs::read_to_string(&file).unwrap();
        assert!(run(home.path(), &add_script(KEY).unwrap()));
        assert_eq!(read(), format!("{KEY}\n"));
        let [rsa, ed25519] = INSECURE_PUBLIC;
        // Without an end of its last line, as some boxes have it.
        std::fs::write(&file, format!("# mine\n{ed25519} vagrant\nfrom=\"*\" {rsa} vagrant insecure public key"))
            .unwrap();
        for _ in 0..2 {
            assert!(run(home.path(), &add_script(KEY).unwrap()));
        }
        assert!(run(home.path(), &remove_script(None)));
        assert_eq!(read(), format!("# mine\n{KEY}\n"));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(home.path().join(".ssh")).unwrap().count(), 1);
    }

    #[test]
    fn the_key_that_a_box_came_with_goes_too() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        let theirs = INSECURE_PUBLIC[1].replace("dYdxBpN", "abcdefg");
        std::fs::write(&file, format!("{theirs} of a box\n{KEY}\n")).unwrap();
        assert!(run(home.path(), &remove_script(Some(&format!("{theirs} vagrant")))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{KEY}\n"));
    }

    #[test]
    fn the_last_key_is_never_removed() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(&file, INSECURE_PUBLIC[0]).unwrap();
        assert!(!run(home.path(), &remove_script(None)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), INSECURE_PUBLIC[0]);
    }

    #[test]
    fn only_one_whole_key_is_added() {
        for bad in ["", "ssh-ed25519", &format!("{KEY}\n{KEY}")] {
            assert!(matches!(add_script(bad), Err(Error::BadValue { .. })), "{bad:?}");
        }
    }
}
