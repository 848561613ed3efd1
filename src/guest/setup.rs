//! Steps inside of a running guest: host name, growing the root file system, shutdown, reboot. Each is one script for
//! `sh` that may run again and again.

use std::time::{Duration, Instant};

use super::login::Login;
use super::quoting::as_root;
use super::seed::check_hostname;
use super::session::Output;
use super::{Error, Session, clean, quote, wait};
use crate::progress::Cx;

/// Runs a line that must succeed.
pub(super) fn step(session: &mut Session, cx: &Cx, what: &'static str, line: String) -> Result<Output, Error> {
    judged(what, session.output_of(cx, super::GuestCommand { line, ..super::GuestCommand::default() })?)
}

fn judged(what: &'static str, output: Output) -> Result<Output, Error> {
    if output.status == 0 {
        return Ok(output);
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(Error::Step { step: what, status: output.status, output: clean(said, 4, 400) })
}

/// Runs a script as root that is too long for a command: some ssh servers (dropbear) end the connection over one of 9,000 bytes.
pub(super) fn long_step(session: &mut Session, cx: &Cx, what: &'static str, script: &str) -> Result<Output, Error> {
    let text = one_command(script);
    let mut text = text.as_bytes();
    let command = super::GuestCommand { line: as_root("exec sh -s"), stdin: Some(&mut text), pty: false };
    judged(what, session.output_of(cx, command)?)
}

/// A script for a shell that reads its input: as one command, so that nothing it runs eats the rest of it.
pub(super) fn one_command(script: &str) -> String {
    format!("{{\n{script}\n}} </dev/null\n")
}

/// Sets the host name, for now and for later boots, and makes it resolve.
pub fn set_hostname(session: &mut Session, cx: &Cx, name: &str) -> Result<(), Error> {
    step(session, cx, "set the host name", as_root(&hostname_script(name)?)).map(drop)
}

fn hostname_script(name: &str) -> Result<String, Error> {
    check_hostname(name)?;
    let short = name.split('.').next().unwrap_or(name);
    let names = if short == name { name.to_owned() } else { format!("{name} {short}") };
    // `hostnamectl` needs D-Bus, which may not be up yet or not exist.
    Ok(format!(
        "set -e; h={name}; l={line}; \
         if [ \"$(cat /etc/hostname 2>/dev/null)\" != \"$h\" ]; then printf '%s\\n' \"$h\" >/etc/hostname; fi; \
         hostnamectl set-hostname \"$h\" 2>/dev/null || hostname \"$h\"; \
         if ! grep -qxF \"$l\" /etc/hosts 2>/dev/null; then \
           n=/etc/hosts.vbox-rs.$$; trap 'rm -f \"$n\"' EXIT; \
           {{ grep -v '^127\\.0\\.1\\.1[[:space:]]' /etc/hosts 2>/dev/null || :; printf '%s\\n' \"$l\"; }} >\"$n\"; \
           chmod 644 \"$n\"; mv -f \"$n\" /etc/hosts 2>/dev/null || cat \"$n\" >/etc/hosts; fi",
        name = quote(name),
        line = quote(&format!("127.0.1.1 {names}")),
    ))
}

/// Gives the card with this hardware address its address, where the guest did not ask for one by itself: until the next boot.
pub fn bring_card_up(session: &mut Session, cx: &Cx, mac: &str, address: &str) -> Result<(), Error> {
    step(session, cx, "bring the card for forwarded ports up", as_root(&card_script(mac, address))).map(drop)
}

fn card_script(mac: &str, address: &str) -> String {
    // `ip` may lie where only root's PATH leads.
    format!(
        "export PATH=\"$PATH:/usr/sbin:/sbin\"; m={mac}; a={address}; \
         for c in /sys/class/net/*; do [ \"$(cat \"$c/address\" 2>/dev/null)\" = \"$m\" ] || continue; c=${{c##*/}}; \
           ip -4 addr show dev \"$c\" | grep -qF \" $a \" && exit 0; \
           ip link set dev \"$c\" up && ip addr add \"$a\" dev \"$c\"; exit; \
         done; echo \"no card has the address $m\" >&2; exit 1",
        mac = quote(mac),
        address = quote(address),
    )
}

/// What growing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The root file system's device.
    pub device: String,
    /// Size of the file system before, in bytes.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Grows the partition of the root file system and then the file system itself to all of its disk.
pub fn grow_root(session: &mut Session, cx: &Cx) -> Result<Grown, Error> {
    const STEP: &str = "grow the root file system";
    let line = as_root(GROW);
    let output = session.output_of(cx, super::GuestCommand { line, ..super::GuestCommand::default() })?;
    let said = || clean(&output.stderr, 4, 400);
    match output.status {
        0 => {}
        30 => return Err(Error::ToolsMissing { step: STEP, missing: said() }),
        status => return Err(Error::Step { step: STEP, status, output: said() }),
    }
    let unreadable = || Error::Step { step: STEP, status: 0, output: "its answer cannot be read".into() };
    parse_grown(&String::from_utf8_lossy(&output.stdout)).ok_or_else(unreadable)
}

fn parse_grown(text: &str) -> Option<Grown> {
    let mut words = text.lines().last()?.split_whitespace();
    if words.next()? != "grown" {
        return None;
    }
    let (device, before, after) = (words.next()?, words.next()?, words.next()?);
    Some(Grown { device: clean(device.as_bytes(), 1, 100), before: before.parse().ok()?, after: after.parse().ok()? })
}

/// Finds disk and partition of `/` in sysfs, which needs no `lsblk`; grows with what the guest has. The last line says
/// `grown DEVICE BEFORE AFTER`. Ends with 30 when a program is missing.
const GROW: &str = r#"
set -e
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
lacks() { echo "$1" >&2; exit 30; }
has() { command -v "$1" >/dev/null 2>&1; }
size() { df -P -k / | awk 'NR==2 {printf "%.0f", $2*1024}'; }
if has findmnt; then dev=$(findmnt -no SOURCE /); type=$(findmnt -no FSTYPE /)
else dev=$(awk '$2=="/" && $1!="rootfs" {d=$1} END {print d}' /proc/mounts); type=$(awk '$2=="/" && $1!="rootfs" {t=$3} END {print t}' /proc/mounts); fi
dev=${dev%%\[*}
[ "$dev" != /dev/root ] || dev=/dev/$(sed -n 's/^DEVNAME=//p' "/sys/dev/block/$(stat -c %d / | awk '{printf "%d:%d", int($1/256), $1%256}')/uevent")
real=$(readlink -f "$dev"); name=${real##*/}
[ -e "/sys/class/block/$name" ] || { echo "the root file system is not on a disk ($dev)" >&2; exit 1; }
before=$(size)
case $name in dm-*) echo "the root file system is on LVM or an encrypted disk ($dev); grow it by hand" >&2; exit 1;; esac
if [ -e "/sys/class/block/$name/partition" ]; then
  part=$(cat "/sys/class/block/$name/partition"); path=$(readlink -f "/sys/class/block/$name"); disk=${path%/*}; disk=${disk##*/}
  end=$(( $(cat "/sys/class/block/$name/start") + $(cat "/sys/class/block/$name/size") ))
  total=$(cat "/sys/class/block/$disk/size")
  last=yes
  for other in /sys/class/block/"$disk"/*/start; do
    [ "$(cat "$other")" -lt "$end" ] || last=no
  done
  if [ $((total - end)) -gt 8192 ]; then
    [ $last = yes ] || { echo "another partition follows the one of the root file system on /dev/$disk" >&2; exit 1; }
    if has growpart; then growpart "/dev/$disk" "$part" >&2 || [ $? = 1 ]
    elif has sfdisk; then
      echo ', +' | sfdisk --no-reread --force -N "$part" "/dev/$disk" >&2
      if has partx; then partx -u --nr "$part" "/dev/$disk" >&2
      elif has partprobe; then partprobe "/dev/$disk" >&2
      else lacks 'neither partx nor partprobe is installed (util-linux or parted)'; fi
    else lacks 'neither growpart nor sfdisk is installed (cloud-guest-utils or fdisk)'; fi
  fi
fi
case $type in
  ext2|ext3|ext4) has resize2fs || lacks 'resize2fs is not installed (e2fsprogs)'; resize2fs "$real" >&2;;
  xfs) has xfs_growfs || lacks 'xfs_growfs is not installed (xfsprogs)'; xfs_growfs / >&2;;
  btrfs) has btrfs || lacks 'btrfs is not installed (btrfs-progs)'; btrfs filesystem resize max / >&2;;
  *) echo "a root file system of type $type cannot be grown" >&2; exit 1;;
esac
echo "grown $real $before $(size)"
"#;

/// Asks the guest to shut down. It may be gone before it answers.
pub fn shut_down(session: &mut Session, cx: &Cx) -> Result<(), Error> {
    ask(session, cx, "shut down", "systemctl poweroff --no-wall 2>/dev/null || shutdown -P now 2>/dev/null || poweroff")
}

/// Identity of the guest's present boot.
pub fn boot_id(session: &mut Session, cx: &Cx) -> Result<String, Error> {
    let output = step(session, cx, "read the boot id", "cat /proc/sys/kernel/random/boot_id".into())?;
    Ok(clean(&output.stdout, 1, 64))
}

/// Reboots the guest and waits, at most `deadline`, until it is up again: a login to the old boot does not count.
/// `login` and `look` are as for [`wait::for_ssh`].
pub fn reboot(
    session: &mut Session,
    cx: &Cx,
    login: &Login,
    look: wait::Look<'_>,
    deadline: Duration,
) -> Result<Session, Error> {
    let began = Instant::now();
    let before = boot_id(session, cx)?;
    ask(session, cx, "reboot", "systemctl reboot --no-wall 2>/dev/null || shutdown -r now 2>/dev/null || reboot")?;
    loop {
        let left = deadline.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(Error::Unchanged { what: "reboot", waited: deadline });
        }
        let mut next = wait::for_ssh(cx, login, &mut *look, left)?;
        match boot_id(&mut next, cx) {
            Ok(id) if id != before => return Ok(next),
            // Still the old boot, or its end.
            Ok(_) => {}
            Err(e) if e.is_passing() => {}
            Err(e) => return Err(e),
        }
        cx.sleep(Duration::from_millis(100))?;
    }
}

/// Runs as root what ends the guest, and with it the connection.
fn ask(session: &mut Session, cx: &Cx, what: &'static str, script: &str) -> Result<(), Error> {
    match step(session, cx, what, as_root(&format!("export PATH=\"$PATH:/usr/sbin:/sbin\"; {script}"))) {
        Ok(_) | Err(Error::Lost { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn is_shell(script: &str) -> bool {
        Command::new("sh").args(["-n", "-c", script]).status().unwrap().success()
    }

    #[test]
    fn the_scripts_are_shell() {
        for script in [GROW, &hostname_script("web.example.com").unwrap(), &as_root(GROW)] {
            assert!(is_shell(script), "{script}");
        }
    }

    #[test]
    fn a_bad_host_name_never_reaches_the_guest() {
        for name in ["", "a b", "a;reboot", "$(x)", "-a"] {
            assert!(matches!(hostname_script(name), Err(Error::BadValue { .. })), "{name}");
        }
    }

    #[test]
    fn the_answer_of_growing_is_read() {
        let grown = Grown { device: "/dev/vda1".into(), before: 1, after: 2 };
        assert_eq!(parse_grown("note\ngrown /dev/vda1 1 2\n"), Some(grown));
        for text in ["", "grown", "grown /dev/vda1 x 2", "other /dev/vda1 1 2"] {
            assert_eq!(parse_grown(text), None, "{text}");
        }
    }
}
