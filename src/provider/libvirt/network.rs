//! libvirt's networks, from which a machine gets an address of its own (`network` in the machine file).
//!
//! **Forwards.** libvirt's NAT knows none, and rules in the host's packet filter would be a second owner of what libvirt
//! writes there, lost whenever the filter is loaded anew. So such a machine has a second card on QEMU's network for users,
//! cut off from everything (`restrict`), over which nothing comes but the forwards: TCP stays TCP, UDP stays UDP, and they
//! live and die with the machine, as without a network of libvirt. Its DHCP server names no router, so a guest that asks it
//! keeps its way out. A guest that asks for no address there gets it from us after each start.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Error as ProviderError, HostChange};
use super::daemon::Daemon;
use super::ffi::{Complaint, Connection};
use super::xml::element;
use super::{Error, uri};
use crate::progress::Cx;

/// The network that libvirt's packages bring, and the only one that we make.
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
    let (uri, name) = (daemon.uri().to_owned(), name.to_owned());
    Err(Error::Network { fix: command(&uri, &name, found), missing: found == Found::Missing, uri, name }.into())
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
        Found::Missing => format!("make and start libvirt's network `{name}`, with addresses {}", Subnet::free()),
        Found::Down => format!("start libvirt's network `{name}`"),
    };
    Ok(Some(HostChange { at: uri.into(), name: name.into(), what: format!("{what}, now and whenever the host boots") }))
}

/// Makes and starts it.
pub fn bring_up(cx: &Cx, uri: &str, name: &str) -> Result<(), ProviderError> {
    let daemon = Daemon::connect(cx, uri)?;
    let found = look(cx, &daemon, name)?;
    let name = name.to_owned();
    daemon.call(cx, START, "start the network", move |connection| start(connection, &name, found))
}

fn start(connection: &Arc<Connection>, name: &str, found: Found) -> Result<(), Complaint> {
    if found == Found::Up {
        return Ok(());
    }
    let network = match connection.network(name)? {
        Some(network) => network,
        None => connection.define_network(&xml(name, Subnet::free()))?,
    };
    network.set_autostart()?;
    match network.start() {
        // Another command was as quick.
        Err(_) if network.is_active().is_ok_and(|up| up) => Ok(()),
        done => done,
    }
}

/// The command that a user would have to enter.
fn command(uri: &str, name: &str, found: Found) -> String {
    let virsh = format!("virsh -c '{uri}'");
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

/// 256 addresses of 192.168.0.0/16, named by their third number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subnet(u8);

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "192.168.{}.0/24", self.0)
    }
}

impl Subnet {
    /// libvirt's usual ones; another where the host is in it already, as inside of a virtual machine.
    fn free() -> Self {
        Self::free_of(&fs::read_to_string("/proc/net/route").unwrap_or_default())
    }

    fn free_of(routes: &str) -> Self {
        let taken = taken(routes);
        let overlaps = |third: u8| {
            let ours = u32::from(Ipv4Addr::new(192, 168, third, 0));
            // The way to everywhere is no network.
            taken.iter().any(|&(to, mask)| mask != 0 && ours & mask & !0xff == to & mask & !0xff)
        };
        Self((122..=199).find(|third| !overlaps(*third)).unwrap_or(122))
    }
}

/// Destinations and masks of the kernel's table, whose numbers are in the order of the network.
fn taken(routes: &str) -> Vec<(u32, u32)> {
    let number = |text: Option<&str>| u32::from_str_radix(text?, 16).ok().map(u32::swap_bytes);
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((number(words.nth(1))?, number(words.nth(5))?))
    };
    routes.lines().skip(1).filter_map(line).collect()
}

/// A network with NAT and DHCP, as libvirt's packages bring it.
fn xml(name: &str, subnet: Subnet) -> String {
    let address = |last: u8| format!("192.168.{}.{last}", subnet.0);
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
            assert_eq!(Subnet::free_of(&routes).to_string(), expected, "{routes}");
        }
    }

    #[test]
    fn the_network_is_one_that_libvirt_takes() {
        let text = xml(DEFAULT, Subnet(122));
        super::super::domain::tests::validate(&text, "network");
        assert!(text.contains("<range start=\"192.168.122.2\" end=\"192.168.122.254\"/>"), "{text}");
    }

    #[test]
    fn a_network_is_made_or_started_and_one_that_is_up_is_left_alone() {
        let Some(connection) = Connection::for_tests() else { return };
        assert!(connection.network("lab").unwrap().is_none());
        for found in [Found::Missing, Found::Up, Found::Down] {
            start(&connection, "lab", found).unwrap();
            assert!(connection.network("lab").unwrap().unwrap().is_active().unwrap());
        }
        assert!(connection.define_network("<network/>").is_err());
    }

    #[test]
    fn what_a_user_has_to_enter_is_told() {
        let told = |name, found| command("qemu:///system", name, found);
        assert!(told("default", Found::Missing).contains("net-define /usr/share/libvirt/networks/default.xml"));
        assert!(told("lab", Found::Missing).contains("net-list --all"));
        let down = "`--yes` agrees to that (`vbox-rs up --yes`); or virsh -c 'qemu:///system' net-start lab";
        assert_eq!(told("lab", Found::Down), down);
    }
}
