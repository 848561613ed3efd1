//! Network cards besides the first: each gets its address in the guest, now and for later boots, by whatever manages the
//! guest's network. Cards are found by their hardware addresses: what a guest calls them depends on more than we know.

use std::net::IpAddr;

use super::setup::long_step;
use super::{Error, Session};
use crate::progress::Cx;

/// A network card of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its hardware address, in lower case with colons.
    pub mac: String,
    /// Its address, and the length of the network's prefix; by DHCP where `None`.
    pub address: Option<(IpAddr, u8)>,
    /// Whether it may become the way to everywhere, where DHCP says so.
    pub default_route: bool,
}

/// Gives each card its address. What is so already is left alone.
pub fn configure(session: &mut Session, cx: &Cx, cards: &[Card]) -> Result<(), Error> {
    long_step(session, cx, "set up its private networks", &script("", cards)).map(drop)
}

/// The script for a guest whose files lie below `root`.
fn script(root: &str, cards: &[Card]) -> String {
    let word = |card: &Card| match card.address {
        Some((ip, prefix)) => format!("{ip}/{prefix}"),
        None if card.default_route => "dhcp-route".into(),
        None => "dhcp".into(),
    };
    let cards: Vec<_> = cards.iter().map(|card| format!("{} {}", card.mac, word(card))).collect();
    format!("root={}; set -- {}\n{SCRIPT}", super::quote(root), cards.join(" "))
}

/// Arguments are pairs: the card's hardware address, and its address with prefix, or `dhcp`. No such card becomes the way to
/// everywhere: that is the first one's, which is not among these. With `dhcp-route` it may.
const SCRIPT: &str = r#"
set -e
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
has() { command -v "$1" >/dev/null 2>&1; }
card() {
  for f in "$root"/sys/class/net/*/address; do
    if [ "$(cat "$f" 2>/dev/null)" = "$1" ]; then f=${f%/address}; echo "${f##*/}"; return; fi
  done
  echo "no network card has the hardware address $1" >&2; return 1
}
# Makes a file what comes in; whether it was another one.
put() {
  cat >"$1.vbox-rs"
  if cmp -s "$1.vbox-rs" "$1"; then rm -f "$1.vbox-rs"; return 1; fi
  chmod "$2" "$1.vbox-rs"; mv -f "$1.vbox-rs" "$1"
}
# Whether a card has its address.
set_up() {
  case $2 in
    dhcp*) ip -4 -o addr show dev "$1" 2>/dev/null | grep -q ' inet ';;
    *) ip -o addr show dev "$1" 2>/dev/null | grep -qF " $2 ";;
  esac
}
netplan_text() {
  printf 'network:\n  version: 2\n  ethernets:\n'
  while [ $# -gt 0 ]; do
    printf '    vbox-rs-%s:\n      match:\n        macaddress: "%s"\n      optional: true\n' "$(echo "$1" | tr -d :)" "$1"
    case $2 in
      dhcp-route) printf '      dhcp4: true\n';;
      dhcp) printf '      dhcp4: true\n      dhcp4-overrides:\n        use-routes: false\n';;
      *) printf '      addresses: ["%s"]\n' "$2";;
    esac
    shift 2
  done
}
networkd_text() {
  printf '[Match]\nMACAddress=%s\n\n[Network]\n' "$1"
  case $2 in
    dhcp-route) printf 'DHCP=ipv4\n';;
    dhcp) printf 'DHCP=ipv4\n\n[DHCPv4]\nUseRoutes=false\n';;
    *) printf 'DHCP=no\nAddress=%s\n' "$2";;
  esac
}
# Debian's and Alpine's: what stands between our two lines is ours.
interfaces_text() {
  sed '/^# vbox-rs: begin$/,/^# vbox-rs: end$/d' "$root/etc/network/interfaces"
  echo '# vbox-rs: begin'
  while [ $# -gt 0 ]; do
    c=$(card "$1"); family=inet
    case $2 in *:*) family=inet6;; esac
    case $2 in
      dhcp-route) printf 'auto %s\niface %s inet dhcp\n' "$c" "$c";;
      dhcp) printf 'auto %s\niface %s inet dhcp\n    post-up ip route del default dev %s 2>/dev/null || true\n' "$c" "$c" "$c";;
      *) printf 'auto %s\niface %s %s static\n    address %s\n' "$c" "$c" "$family" "$2";;
    esac
    shift 2
  done
  echo '# vbox-rs: end'
}
# For now only; `vbox-rs up` does it again.
by_hand() {
  set_up "$1" "$2" || address "$1" "$2"
  case $2 in dhcp) ip route del default dev "$1" 2>/dev/null || :;; esac
}
address() {
  ip link set "$1" up
  case $2 in
    dhcp*) if has dhclient; then dhclient "$1"; elif has udhcpc; then udhcpc -q -n -i "$1" >/dev/null
      else echo "the guest has no client for DHCP (dhclient or udhcpc), and $1 has no fixed address" >&2; return 1; fi;;
    *) ip addr flush dev "$1" 2>/dev/null || :; ip addr add "$2" dev "$1";;
  esac
}
# All must be there before anything is written.
n=0; for a in "$@"; do
  n=$((n + 1)); [ $((n % 2)) = 0 ] || card "$a" >/dev/null
done
each() { f=$1; shift; while [ $# -gt 0 ]; do "$f" "$(card "$1")" "$2"; shift 2; done; }
missing() { set_up "$1" "$2" || lacking=yes; }
lacking=; each missing "$@"
if has netplan && [ -d "$root/etc/netplan" ]; then
  if netplan_text "$@" | put "$root/etc/netplan/60-vbox-rs.yaml" 600 || [ "$lacking" ]; then netplan apply; fi
elif has nmcli && nmcli -t -f RUNNING general 2>/dev/null | grep -q '^running'; then
  # How the connection of a card is to be.
  shape() {
    case $1 in
      dhcp-route) printf 'auto\nno\n';;
      dhcp) printf 'auto\nyes\n';;
      *:*) printf 'disabled\nno\n';;
      *) printf 'manual\nyes\n%s\n' "$1";;
    esac
  }
  managed() {
    is=$(nmcli -g ipv4.method,ipv4.never-default,ipv4.addresses connection show "vbox-rs-$1" 2>/dev/null) || is=
    if set_up "$1" "$2" && [ "$is" = "$(shape "$2")" ]; then return 0; fi
    nmcli connection delete "vbox-rs-$1" >/dev/null 2>&1 || :
    case $2 in
      dhcp-route) set -- "$1" ipv4.method auto;;
      dhcp) set -- "$1" ipv4.method auto ipv4.never-default yes;;
      *:*) set -- "$1" ipv6.method manual ipv6.addresses "$2" ipv4.method disabled;;
      *) set -- "$1" ipv4.method manual ipv4.addresses "$2" ipv4.never-default yes;;
    esac
    c=$1; shift
    nmcli connection add type ethernet ifname "$c" con-name "vbox-rs-$c" connection.autoconnect yes "$@" >/dev/null
    nmcli connection up "vbox-rs-$c" >/dev/null
  }
  each managed "$@"
elif has systemctl && systemctl is-active --quiet systemd-networkd 2>/dev/null; then
  mkdir -p "$root/etc/systemd/network"
  described() { networkd_text "$(cat "$root/sys/class/net/$1/address")" "$2" | put "$root/etc/systemd/network/60-vbox-rs-$1.network" 644 && lacking=yes || :; }
  each described "$@"
  if [ "$lacking" ]; then systemctl restart systemd-networkd; fi
elif has ifup && [ -f "$root/etc/network/interfaces" ]; then
  if interfaces_text "$@" | put "$root/etc/network/interfaces" 644 || [ "$lacking" ]; then
    again() { ifdown "$1" >/dev/null 2>&1 || :; ip addr flush dev "$1" 2>/dev/null || :; ifup "$1" >&2; }
    each again "$@"
  fi
else
  each by_hand "$@"
fi
"#;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// A guest in a folder: its programs tell what they were asked.
    struct Guest(tempfile::TempDir);

    impl Guest {
        fn new(programs: &[&str]) -> Self {
            let guest = Self(tempfile::tempdir().unwrap());
            for (name, mac) in [("eth0", "52:54:00:00:00:01"), ("eth1", MAC), ("eth2", OTHER)] {
                let card = guest.path().join("sys/class/net").join(name);
                fs::create_dir_all(&card).unwrap();
                fs::write(card.join("address"), format!("{mac}\n")).unwrap();
            }
            for folder in ["etc/netplan", "etc/network", "bin"] {
                fs::create_dir_all(guest.path().join(folder)).unwrap();
            }
            fs::write(guest.path().join("etc/network/interfaces"), "auto lo\niface lo inet loopback\n").unwrap();
            for program in programs.iter().chain(&["ip"]) {
                guest.program(program, "");
            }
            guest
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn program(&self, name: &str, more: &str) {
            let path = self.path().join("bin").join(name);
            let calls = self.path().join("calls");
            let text = format!("#!/bin/sh\necho \"{name} $*\" >>'{}'\n{more}\n", calls.display());
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        /// Sets its cards up.
        fn run(&self, cards: &[Card]) -> std::process::Output {
            let tools = self.path().join("tools");
            fs::create_dir_all(&tools).unwrap();
            for tool in ["sh", "cat", "cmp", "rm", "mv", "chmod", "sed", "grep", "tr", "mkdir"] {
                let from = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(tool));
                let link = tools.join(tool);
                if !link.exists() {
                    std::os::unix::fs::symlink(from.iter().find(|path| path.exists()).unwrap(), link).unwrap();
                }
            }
            let text = script(self.path().to_str().unwrap(), cards).replace("$PATH:/usr/sbin:/sbin", "$PATH");
            let path = format!("{}/bin:{}", self.path().display(), tools.display());
            Command::new("/bin/sh").args(["-c", &text]).env("PATH", path).output().unwrap()
        }

        /// What changed the guest's network.
        fn configure(&self, cards: &[Card]) -> Vec<String> {
            let ran = self.run(cards);
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            let calls = fs::read_to_string(self.path().join("calls")).unwrap_or_default();
            drop(fs::remove_file(self.path().join("calls")));
            let asks = |call: &&str| {
                ["addr show", "is-active", "general", "connection show"].iter().any(|ask| call.contains(ask))
            };
            calls.lines().filter(|call| !asks(call)).map(Into::into).collect()
        }

        fn file(&self, path: &str) -> String {
            fs::read_to_string(self.path().join(path)).unwrap()
        }
    }

    const MAC: &str = "52:54:01:aa:bb:cc";
    const OTHER: &str = "52:54:02:aa:bb:cc";

    fn cards() -> [Card; 2] {
        let address = Some(([192, 168, 56, 10].into(), 24));
        [
            Card { mac: MAC.into(), address, default_route: false },
            Card { mac: OTHER.into(), address: None, default_route: false },
        ]
    }

    #[test]
    fn the_script_is_shell() {
        let script = script("", &cards());
        for text in [&script, &super::super::setup::one_command(&script)] {
            assert!(Command::new("sh").args(["-n", "-c", text]).status().unwrap().success());
        }
    }

    #[test]
    fn netplan_is_told_by_hardware_addresses() {
        let guest = Guest::new(&["netplan", "ifup"]);
        assert_eq!(guest.configure(&cards()), ["netplan apply"]);
        snapbox::assert_data_eq!(
            guest.file("etc/netplan/60-vbox-rs.yaml"),
            snapbox::str![[r#"
network:
  version: 2
  ethernets:
    vbox-rs-525401aabbcc:
      match:
        macaddress: "52:54:01:aa:bb:cc"
      optional: true
      addresses: ["192.168.56.10/24"]
    vbox-rs-525402aabbcc:
      match:
        macaddress: "52:54:02:aa:bb:cc"
      optional: true
      dhcp4: true
      dhcp4-overrides:
        use-routes: false

"#]]
        );
        guest.program("ip", "echo '3: eth1 inet 192.168.56.10/24 scope global'");
        assert!(guest.configure(&cards()).is_empty(), "it is so already");
    }

    #[test]
    fn networkd_gets_a_file_for_each_card() {
        let guest = Guest::new(&["systemctl", "ifup"]);
        assert_eq!(guest.configure(&cards()), ["systemctl restart systemd-networkd"]);
        let text = guest.file("etc/systemd/network/60-vbox-rs-eth1.network");
        assert_eq!(text, format!("[Match]\nMACAddress={MAC}\n\n[Network]\nDHCP=no\nAddress=192.168.56.10/24\n"));
        assert!(guest.file("etc/systemd/network/60-vbox-rs-eth2.network").contains("DHCP=ipv4"));
        assert!(!guest.file("etc/network/interfaces").contains("vbox-rs"));
    }

    #[test]
    fn a_manager_of_networks_gets_a_connection_for_each_card() {
        let guest = Guest::new(&[]);
        guest.program("nmcli", "case $* in *general*) echo running;; *'connection show'*) exit 10;; esac");
        let calls = guest.configure(&cards()).join("\n");
        assert!(
            calls.contains(
                "con-name vbox-rs-eth1 connection.autoconnect yes ipv4.method manual ipv4.addresses 192.168.56.10/24"
            ),
            "{calls}"
        );
        assert!(calls.contains("ifname eth2") && calls.contains("connection up vbox-rs-eth2"), "{calls}");
    }

    #[test]
    fn the_file_of_interfaces_keeps_what_is_not_ours() {
        let guest = Guest::new(&["ifup", "ifdown"]);
        guest.program("systemctl", "exit 3");
        let calls = guest.configure(&cards()).join("\n");
        assert!(calls.contains("ifup eth1") && calls.contains("ifup eth2") && !calls.contains("eth0"), "{calls}");
        let once = guest.file("etc/network/interfaces");
        assert!(once.starts_with("auto lo\niface lo inet loopback\n# vbox-rs: begin\nauto eth1\niface eth1 inet static\n    address 192.168.56.10/24\n"), "{once}");
        assert!(once.ends_with("# vbox-rs: end\n"), "{once}");
        guest.configure(&cards());
        assert_eq!(guest.file("etc/network/interfaces"), once);
        guest.configure(&cards()[..1]);
        assert!(!guest.file("etc/network/interfaces").contains("eth2"));
    }

    #[test]
    fn a_guest_without_any_of_them_gets_its_addresses_for_now() {
        let guest = Guest::new(&["udhcpc"]);
        let calls = guest.configure(&cards()).join("\n");
        assert!(
            calls.contains("ip addr add 192.168.56.10/24 dev eth1") && calls.contains("udhcpc -q -n -i eth2"),
            "{calls}"
        );
    }

    #[test]
    fn only_a_card_that_may_becomes_the_way_to_everywhere() {
        let card = |default_route| [Card { mac: MAC.into(), address: None, default_route }];
        for (programs, file, never) in [
            (&["netplan"][..], "etc/netplan/60-vbox-rs.yaml", "use-routes: false"),
            (&["systemctl"], "etc/systemd/network/60-vbox-rs-eth1.network", "UseRoutes=false"),
            (&["ifup", "ifdown"], "etc/network/interfaces", "route del default"),
        ] {
            let guest = Guest::new(programs);
            if programs != ["systemctl"] {
                guest.program("systemctl", "exit 3");
            }
            guest.configure(&card(false));
            assert!(guest.file(file).contains(never), "{file}: {}", guest.file(file));
            guest.configure(&card(true));
            assert!(!guest.file(file).contains(never), "{file}: {}", guest.file(file));
            assert!(
                guest.file(file).contains("dhcp") || guest.file(file).contains("DHCP=ipv4"),
                "{}",
                guest.file(file)
            );
        }
    }

    #[test]
    fn a_guest_without_any_of_them_has_one_way_to_everywhere() {
        let card = |default_route| [Card { mac: MAC.into(), address: None, default_route }];
        let guest = Guest::new(&["dhclient"]);
        let never = "ip route del default dev eth1".to_owned();
        assert_eq!(guest.configure(&card(false)), ["ip link set eth1 up", "dhclient eth1", &never]);
        assert_eq!(guest.configure(&card(true)), ["ip link set eth1 up", "dhclient eth1"]);
        // It asked for an address of itself, and may have got a way as well.
        guest.program("ip", "echo '3: eth1 inet 10.0.0.9/24 scope global'");
        assert_eq!(guest.configure(&card(false)), [never]);
        assert!(guest.configure(&card(true)).is_empty());
        // There was no such way.
        guest.program("ip", "case $* in *'addr show'*) echo '3: eth1 inet 10.0.0.9/24';; *) exit 2;; esac");
        guest.configure(&card(false));
    }

    /// What the card has is not what it may do: a connection as it is wanted by now takes the place of one that is not.
    #[test]
    fn a_manager_of_networks_is_told_again_when_the_machine_file_says_otherwise() {
        let dhcp = |default_route| [Card { mac: MAC.into(), address: None, default_route }];
        let guest = Guest::new(&[]);
        guest.program("ip", "echo '3: eth1 inet 192.168.56.10/24 scope global'");
        for (shows, wanted, option) in [
            ("auto\\nno\\n\\n", &dhcp(false)[..], "ipv4.method auto ipv4.never-default yes"),
            ("auto\\nyes\\n\\n", &dhcp(true), "ipv4.method auto"),
            ("auto\\nno\\n\\n", &cards()[..1], "ipv4.method manual ipv4.addresses 192.168.56.10/24"),
            ("manual\\nyes\\n192.168.56.11/24\\n", &cards()[..1], "ipv4.addresses 192.168.56.10/24"),
        ] {
            let shown = format!("case $* in *general*) echo running;; *'connection show'*) printf '{shows}';; esac");
            guest.program("nmcli", &shown);
            let calls = guest.configure(wanted);
            assert!(
                calls.iter().any(|call| call.contains("connection add") && call.contains(option)),
                "{shows}: {calls:?}"
            );
        }
        for (shows, wanted) in [
            ("auto\\nyes\\n\\n", &dhcp(false)[..]),
            ("auto\\nno\\n\\n", &dhcp(true)),
            ("manual\\nyes\\n192.168.56.10/24\\n", &cards()[..1]),
        ] {
            let shown = format!("case $* in *general*) echo running;; *'connection show'*) printf '{shows}';; esac");
            guest.program("nmcli", &shown);
            assert!(guest.configure(wanted).is_empty(), "it is so already: {shows}");
        }
    }

    #[test]
    fn a_guest_that_cannot_ask_for_an_address_is_told() {
        let guest = Guest::new(&[]);
        let ran = guest.run(&cards());
        assert!(!ran.status.success());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(said.contains("no client for DHCP") && said.contains("eth2"), "{said}");
        assert_eq!(guest.run(&cards()[..1]).status.code(), Some(0));
    }

    #[test]
    fn a_card_that_is_not_there_is_named_and_nothing_is_written() {
        let guest = Guest::new(&["netplan"]);
        let cards = [Card { mac: "52:54:09:00:00:00".into(), address: None, default_route: false }];
        let text = script(guest.path().to_str().unwrap(), &cards);
        let ran = Command::new("sh").args(["-c", &text]).output().unwrap();
        assert!(!ran.status.success());
        assert!(String::from_utf8_lossy(&ran.stderr).contains("no network card has the hardware address 52:54:09"));
        assert!(!guest.path().join("etc/netplan/60-vbox-rs.yaml").exists());
    }
}
