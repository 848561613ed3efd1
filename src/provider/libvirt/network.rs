//! libvirt's networks, from which a machine gets an address of its own (`network` in the machine file).
//!
//! **Forwards.** libvirt's NAT knows none, and rules in the host's packet filter would be a second owner of what libvirt
//! writes there, lost whenever the filter is loaded anew. So such a machine has a second card on QEMU's network for users,
//! cut off from everything (`restrict`), over which nothing comes but the forwards: TCP stays TCP, UDP stays UDP, and they
//! live and die with the machine, as without a network of libvirt. Its DHCP server names no router, so a guest that asks it
//! keeps its way out; with forwarded UDP ports, whose answers would be cut off too, it is a way out like the first. A guest that
//! asks for no address there gets it from us after each start.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use super::super::{Error as ProviderError, HostChange};
use super::daemon::Daemon;
use super::ffi::{Complaint, Connection, Network};
use super::ranges::{self, at, classes};
use super::xml::element;
use super::{Error, private, uri};
use crate::progress::Cx;
use crate::trace::quoted;

/// The network that libvirt's packages bring, and the only one that we make for `network`.
pub const DEFAULT: &str = "default";

/// How long a network may take to come up: a bridge, a DHCP server, rules.
const START: Duration = Duration::from_secs(30);

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(5);

/// What is there of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// It is defined, and down.
    Down,
    /// It is up.
    Up,
}

/// Looks for a network.
pub fn look(cx: &Cx, daemon: &Daemon, name: &str) -> Result<Found, ProviderError> {
    let name = name.to_owned();
    daemon.call(cx, QUESTION, "say what the network does", move |connection| {
        let Some(network) = connection.network(&name)? else { return Ok(Found::Missing) };
        Ok(if network.is_active()? { Found::Up } else { Found::Down })
    })
}

/// A network that must be up, with the command that brings it up where it is not.
pub fn require(cx: &Cx, daemon: &Daemon, name: &str) -> Result<(), ProviderError> {
    let found = look(cx, daemon, name)?;
    if found == Found::Up {
        return Ok(());
    }
    let (uri, name, fix) = (daemon.uri().to_owned(), name.to_owned(), command(&daemon.virsh(), name, found));
    Err(Error::Network { fix, missing: found == Found::Missing, uri, name }.into())
}

/// What would have to be changed for a machine on this network; `None` where it is up, or where it is none of ours to make.
pub fn change(cx: &Cx, uri: &str, name: &str) -> Result<Option<HostChange>, ProviderError> {
    if uri::is_session(uri) {
        return Ok(None);
    }
    let found = look(cx, &Daemon::connect(cx, uri)?, name)?;
    let what = match found {
        Found::Up => return Ok(None),
        Found::Missing if name != DEFAULT => return Ok(None),
        Found::Missing => format!("make and start libvirt's network `{name}`, with addresses {}", free()),
        Found::Down => return Ok(Some(started(uri, name))),
    };
    Ok(Some(HostChange { at: uri.into(), name: name.into(), what: format!("{what}, {FOR_GOOD}"), range: None }))
}

/// How long a network stays up that is nobody's of ours.
const FOR_GOOD: &str = "now and whenever the host boots";

/// That a network is started which is there.
pub fn started(uri: &str, name: &str) -> HostChange {
    let what = format!("start libvirt's network `{name}`, {FOR_GOOD}");
    HostChange { at: uri.into(), name: name.into(), what, range: None }
}

/// Makes and starts it.
pub fn bring_up(cx: &Cx, change: &HostChange) -> Result<(), ProviderError> {
    let daemon = Daemon::connect(cx, &change.at)?;
    let range = change.range.as_deref().and_then(|range| range.parse().ok());
    let name = change.name.clone();
    daemon.call(cx, START, "start the network", move |connection| start(connection, &name, range))
}

fn start(connection: &Arc<Connection>, name: &str, range: Option<IpNet>) -> Result<(), Complaint> {
    let (network, made) = match connection.network(name)? {
        Some(network) => (network, false),
        None => make(connection, name, range)?,
    };
    if network.is_active()? {
        return Ok(());
    }
    network.set_autostart()?;
    match network.start() {
        // Another command was as quick.
        Err(_) if network.is_active().is_ok_and(|up| up) => Ok(()),
        Err(complaint) => {
            if made {
                // What was told is why it does not start.
                drop(network.remove());
            }
            Err(complaint)
        }
        Ok(()) => Ok(()),
    }
}

/// Defines it; whether that was us, and not another command that was as quick.
fn make(connection: &Arc<Connection>, name: &str, range: Option<IpNet>) -> Result<(Network, bool), Complaint> {
    let made = if name == DEFAULT && range.is_none() {
        connection.define_network(&xml(name, &free())).map(drop)
    } else {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        private::define(connection, name, range, now.as_secs())
    };
    match (connection.network(name)?, made) {
        (Some(network), made) => Ok((network, made.is_ok())),
        (None, Err(complaint)) => Err(complaint),
        (None, Ok(())) => Err(Complaint::of_ours("somebody removed it again")),
    }
}

/// The command that a user would have to enter; `virsh` is how it begins.
pub fn command(virsh: &str, name: &str, found: Found) -> String {
    let name = &quoted(name);
    match found {
        Found::Missing if name != DEFAULT => format!("`{virsh} net-list --all` lists the networks there are"),
        Found::Missing => format!(
            "`--yes` agrees to that (`vbox-rs up --yes`); or {virsh} net-define /usr/share/libvirt/networks/default.xml && {virsh} net-start {name}"
        ),
        Found::Down | Found::Up => {
            format!("`--yes` agrees to that (`vbox-rs up --yes`); or {virsh} net-start {name}")
        }
    }
}

/// libvirt's usual addresses; others where the host is in them already, as inside of a virtual machine.
fn free() -> IpNet {
    let taken: Vec<_> = ranges::of_host().into_iter().map(|taken| taken.range).collect();
    free_of(&taken)
}

fn free_of(taken: &[IpNet]) -> IpNet {
    let usual = IpNet::new_assert([192, 168, 122, 0].into(), 24);
    ranges::first_free(classes(192, 168, 122..=199), taken).unwrap_or(usual)
}

/// A network with NAT and DHCP, as libvirt's packages bring it.
fn xml(name: &str, addresses: &IpNet) -> String {
    let address = |place| at(addresses, place).to_string();
    let range = element("range").with("start", address(2)).with("end", address(254));
    let ip = element("ip").with("address", address(1)).with("netmask", "255.255.255.0");
    element("network")
        .child(element("name").text(name))
        .child(element("forward").with("mode", "nat"))
        .child(ip.child(element("dhcp").child(range)))
        .render()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn a_network_is_made_where_the_host_has_none() {
        let route = |to: &str, mask: &str| format!("{HEAD}eth0\t{to}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n");
        for (routes, expected) in [
            (String::new(), "192.168.122.0/24"),
            (route("00000000", "00000000"), "192.168.122.0/24"),
            (route("007AA8C0", "00FFFFFF"), "192.168.123.0/24"),
            // One address of it, and the half of it.
            (route("097AA8C0", "FFFFFFFF"), "192.168.123.0/24"),
            (route("0078A8C0", "00F8FFFF"), "192.168.128.0/24"),
            (route("0000A8C0", "0000FFFF"), "192.168.122.0/24"),
            ("nonsense\nmore of it".into(), "192.168.122.0/24"),
        ] {
            let taken: Vec<_> = ranges::four(&routes).into_iter().map(|taken| taken.range).collect();
            assert_eq!(free_of(&taken).to_string(), expected, "{routes}");
        }
    }

    #[test]
    fn the_network_is_one_that_libvirt_takes() {
        let text = xml(DEFAULT, &free_of(&[]));
        super::super::domain::tests::validate(&text, "network");
        assert!(text.contains("<range start=\"192.168.122.2\" end=\"192.168.122.254\"/>"), "{text}");
    }

    #[test]
    fn a_network_is_made_or_started_and_one_that_is_up_is_left_alone() {
        let Some(connection) = Connection::for_tests() else { return };
        assert!(connection.network("lab").unwrap().is_none());
        for _ in 0..2 {
            start(&connection, "lab", None).unwrap();
            assert!(connection.network("lab").unwrap().unwrap().is_active().unwrap());
        }
        assert!(connection.define_network("<network/>").is_err());
    }

    #[test]
    fn what_a_user_has_to_enter_is_told() {
        let told = |name, found| command("virsh -c qemu:///system", name, found);
        assert!(told("default", Found::Missing).contains("net-define /usr/share/libvirt/networks/default.xml"));
        assert!(told("lab", Found::Missing).contains("net-list --all"));
        let down = "`--yes` agrees to that (`vbox-rs up --yes`); or virsh -c qemu:///system net-start lab";
        assert_eq!(told("lab", Found::Down), down);
        assert!(told("my lab", Found::Down).ends_with(" net-start 'my lab'"));
    }
}
