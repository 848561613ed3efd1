//! VirtualBox's shared folders: the guest's side. A module of the guest's kernel shows what the hypervisor shares, both ways
//! and at once.

use super::{Error, Remote, capture, posix, target};
use crate::config::spec::SyncedFolder;
use crate::guest::quote;
use crate::progress::Cx;

/// What the guest can say to a question of ours.
const ANSWER_LIMIT: usize = 1 << 10;

/// Exit code of our script when links lead to a folder that must not be hidden.
const REFUSED: i32 = 44;

/// Whether the guest's kernel has the module: built in, or of the guest additions.
const KNOWS: &str = "p=/proc/filesystems; grep -qw vboxsf $p && exit 0; PATH=\"$PATH:/usr/sbin:/sbin\"; \
    if [ \"$(id -u)\" = 0 ]; then modprobe vboxsf; else sudo -n modprobe vboxsf; fi >/dev/null 2>&1; grep -qw vboxsf $p";

/// Whether the guest can mount shared folders.
pub fn is_known(cx: &Cx, remote: &mut dyn Remote) -> Result<bool, Error> {
    let answer = capture(cx, remote, posix(KNOWS), None, 0)?;
    cx.check()?;
    Ok(answer.status == 0)
}

/// What a folder is called among those that a machine shares: as Vagrant does, so that what a machine file says of it by
/// that name is true.
pub fn name(guest: &str) -> String {
    let name: String = guest.chars().map(|c| if c.is_whitespace() || "/\\".contains(c) { '_' } else { c }).collect();
    name.strip_prefix('_').unwrap_or(&name).to_owned()
}

/// Mounts what is shared as `name`, unless it is mounted. `user` is the login name.
pub fn mount(cx: &Cx, remote: &mut dyn Remote, folder: &SyncedFolder, name: &str, user: &str) -> Result<(), Error> {
    let guest = target::check(&folder.guest)?;
    let owner = folder.owner.as_deref().unwrap_or(user);
    let answer = capture(cx, remote, posix(&script(&guest, name, owner, folder.group.as_deref())), None, ANSWER_LIMIT)?;
    cx.check()?;
    match answer.status {
        0 => Ok(()),
        REFUSED => {
            Err(Error::Target { guest, why: "links in the guest lead from it to a folder that the guest needs".into() })
        }
        _ => Err(Error::Mount { guest, said: answer.said() }),
    }
}

fn script(guest: &str, name: &str, owner: &str, group: Option<&str>) -> String {
    let refused = target::refused_patterns();
    let number = "number() { case $1 in *[!0-9]*) return 1;; esac; echo \"$1\"; }";
    let group = group.map_or_else(
        || "id -g -- \"$o\"".to_owned(),
        |group| {
            let group = quote(group);
            format!("number {group} || awk -F: -v g={group} '$1 == g {{print $3; f=1}} END {{exit !f}}' /etc/group")
        },
    );
    let resolve = quote("cd -- \"$1\" && pwd -P");
    format!(
        "t={guest}; n={name}; o={owner}; {number}; export PATH=\"$PATH:/usr/sbin:/sbin\"; \
         if [ \"$(id -u)\" = 0 ]; then s=; else s='sudo -n'; fi; \
         awk -v n=\"$n\" '$1 == n && $3 == \"vboxsf\" {{f=1}} END {{exit !f}}' /proc/mounts && exit 0; \
         u=$(number \"$o\" || id -u -- \"$o\") && g=$({group}) || {{ echo \"no such user or group\" >&2; exit 1; }}; \
         $s mkdir -p -- \"$t\" && r=$($s sh -c {resolve} sh \"$t\") || exit 1; \
         case \"$r\" in {refused}|\"$HOME\") exit {REFUSED};; esac; \
         w=uid=$u,gid=$g; \
         $s mount -t vboxsf -o \"$w,_netdev\" \"$n\" \"$r\" 2>/dev/null || $s mount -i -t vboxsf -o \"$w\" \"$n\" \"$r\"",
        guest = quote(guest),
        name = quote(name),
        owner = quote(owner),
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::testing::LocalGuest;
    use super::*;

    fn folder(guest: &str) -> SyncedFolder {
        SyncedFolder {
            host: PathBuf::from("/nowhere"),
            guest: guest.into(),
            kind: None,
            create: false,
            owner: Some("0".into()),
            group: Some("0".into()),
            exclude: Vec::new(),
            args: None,
        }
    }

    #[test]
    fn shares_are_called_as_vagrant_calls_them() {
        for (guest, expected) in [("/vagrant", "vagrant"), ("/srv/my app", "srv_my_app"), ("/a_b/c", "a_b_c")] {
            assert_eq!(name(guest), expected);
        }
    }

    #[test]
    fn the_script_is_shell() {
        for group in [None, Some("www data"), Some("it's")] {
            let script = script("/srv/it's", "srv_it's", "a b", group);
            assert!(Command::new("sh").args(["-n", "-c", &script]).status().unwrap().success(), "{script}");
        }
    }

    #[test]
    fn a_share_is_mounted_for_its_owner() {
        let mut guest = LocalGuest::new();
        let place = guest.path("srv");
        guest.tool("mount", &format!("echo \"$@\" >>'{}'", guest.path("calls").display()));
        mount(&Cx::silent(), &mut guest, &folder(place.to_str().unwrap()), "srv", "nobody").unwrap();
        let calls = std::fs::read_to_string(guest.path("calls")).unwrap();
        assert_eq!(calls, format!("-t vboxsf -o uid=0,gid=0,_netdev srv {}\n", place.display()));
        assert!(place.is_dir());
    }

    #[test]
    fn a_mount_that_fails_is_told_in_the_guests_words() {
        let mut guest = LocalGuest::new();
        guest.tool("mount", "echo 'mount: no such share' >&2; exit 32");
        let place = guest.path("srv").display().to_string();
        let error = mount(&Cx::silent(), &mut guest, &folder(&place), "srv", "nobody").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot mount `{place}` in the guest: mount: no such share"));
        let error = mount(&Cx::silent(), &mut guest, &folder("/etc"), "etc", "nobody").unwrap_err();
        assert!(error.to_string().starts_with("`/etc` cannot be a synced folder"));
    }

    #[test]
    fn owners_that_the_guest_does_not_know_are_told() {
        let mut guest = LocalGuest::new();
        let mut folder = folder(&guest.path("srv").display().to_string());
        folder.group = Some("no-such-group".into());
        let error = mount(&Cx::silent(), &mut guest, &folder, "srv", "nobody").unwrap_err();
        assert!(error.to_string().ends_with("no such user or group"), "{error}");
    }
}
