//! Private networks: each card hangs on a network of libvirt, the one that has the address' range (or the name that the
//! machine file says), whoever made it. Where there is none, one is made if the user agrees.
//!
//! **What is made** has addresses for host and guests, and no way out: guests have that already, over their first card. So it
//! serves addresses by DHCP, but names no router and no name server, which would take the place of the right ones. (Networks
//! of vagrant-libvirt have NAT, and its guests lose what they are told there by hand.) It carries our mark, and goes with
//! its last machine: when no domain of the daemon, of ours or of anybody's, has a card on it. Others' networks are never
//! touched.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::super::{Error as ProviderError, Finding, HostChange, Level, VmPlan};
use super::daemon::Daemon;
use super::ffi::{Complaint, Connection};
use super::network::Found;
use super::ranges::{self, Taken, at, classes, overlap};
use super::xml::element;
use super::{Error, network, uri};
use crate::config::spec::PrivateNetwork;
use crate::progress::Cx;

/// Names our part of a network's metadata.
const NAMESPACE: &str = "urn:vbox-rs:network:1";

/// Cards besides the first: as many as other providers have.
const MOST: usize = 7;

/// The network of cards that want an address by DHCP, of any range.
const DHCP: &str = "vbox-rs-dhcp";

/// Where vagrant-libvirt has such cards.
const VAGRANTS: &str = "172.28.128.0/24";

/// How long a network that was agreed to may wait for its first machine, whose box may have to be fetched.
const ABANDONED: Duration = Duration::from_secs(6 * 60 * 60);

/// How long a question may take: each network is asked for its description.
const QUESTION: Duration = Duration::from_secs(10);

/// A network of libvirt, as its description tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    up: bool,
    /// When we made it; `None` for somebody else's.
    made: Option<u64>,
    bridge: Option<String>,
    /// The host's addresses in it.
    host: Vec<IpNet>,
}

impl Known {
    fn read(xml: &str, up: bool) -> Option<Self> {
        let document = roxmltree::Document::parse(xml).ok()?;
        let root = document.root_element();
        let child = |name: &str| root.children().find(|node| node.has_tag_name(name));
        let mark = root.descendants().find(|node| node.has_tag_name((NAMESPACE, "network")));
        let host = root.children().filter(|node| node.has_tag_name("ip")).filter_map(|ip| {
            let address: IpAddr = ip.attribute("address")?.parse().ok()?;
            match (ip.attribute("prefix"), ip.attribute("netmask")) {
                (Some(prefix), _) => IpNet::new(address, prefix.parse().ok()?).ok(),
                (None, Some(netmask)) => IpNet::with_netmask(address, netmask.parse().ok()?).ok(),
                (None, None) => IpNet::new(address, usual_length(address)).ok(),
            }
        });
        Some(Self {
            name: child("name")?.text()?.trim().to_owned(),
            up,
            made: mark.map(|mark| mark.attribute("made").and_then(|made| made.parse().ok()).unwrap_or_default()),
            bridge: child("bridge").and_then(|bridge| bridge.attribute("name")).map(str::to_owned),
            host: host.collect(),
        })
    }

    fn has_range(&self, range: &IpNet) -> bool {
        self.host.iter().any(|host| host.trunc() == *range)
    }
}

/// What libvirt takes where a description has no length: the classes of old.
fn usual_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(ip) if ip.octets()[0] < 128 => 8,
        IpAddr::V4(ip) if ip.octets()[0] < 192 => 16,
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    }
}

/// Where a card hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    There { name: String, up: bool },
    Missing { name: String, range: Option<IpNet> },
}

/// All networks of the daemon.
fn known(connection: &Arc<Connection>) -> Result<Vec<Known>, Complaint> {
    let mut all = Vec::new();
    for network in connection.networks()? {
        match network.xml().and_then(|xml| Ok((xml, network.is_active()?))) {
            Ok((xml, up)) => all.extend(Known::read(&xml, up)),
            // Somebody removed it in between.
            Err(complaint) if complaint.is_no_network() => {}
            Err(complaint) => return Err(complaint),
        }
    }
    Ok(all)
}

/// Where each card hangs.
fn places(cx: &Cx, daemon: &Daemon, networks: &[PrivateNetwork]) -> Result<Vec<Place>, ProviderError> {
    if networks.is_empty() {
        return Ok(Vec::new());
    }
    let known = daemon.call(cx, QUESTION, "list its networks", known)?;
    let taken = ranges::of_host();
    Ok(networks.iter().map(|network| place(network, &known, &taken)).collect::<Result<_, _>>()?)
}

fn place(network: &PrivateNetwork, known: &[Known], taken: &[Taken]) -> Result<Place, Error> {
    let range = range(network);
    let found = match (&network.name, range) {
        (Some(name), _) => known.iter().find(|known| known.name == *name),
        (None, Some(range)) => {
            let fitting = known.iter().filter(|known| known.has_range(&range));
            fitting.max_by_key(|known| known.up)
        }
        (None, None) => {
            let vagrants = VAGRANTS.parse().ok();
            let named = known.iter().find(|known| known.name == DHCP);
            named.or_else(|| known.iter().find(|known| vagrants.is_some_and(|range| known.has_range(&range))))
        }
    };
    if let Some((ip, range)) = network.ip.zip(range) {
        fits(ip, &range, found)?;
    }
    if let Some(found) = found {
        return Ok(Place::There { name: found.name.clone(), up: found.up });
    }
    if let Some(range) = &range {
        not_taken(range, known, taken)?;
    }
    Ok(Place::Missing { name: name(network), range })
}

/// The range in which its address lies.
fn range(network: &PrivateNetwork) -> Option<IpNet> {
    let ip = network.ip?;
    IpNet::new(ip, network.length(ip)).ok().map(|range| range.trunc())
}

/// What it is called if we make it.
pub fn name(network: &PrivateNetwork) -> String {
    let of_range = |range: IpNet| format!("vbox-rs-{}-{}", range.network(), range.prefix_len()).replace(':', ".");
    network.name.clone().unwrap_or_else(|| range(network).map_or_else(|| DHCP.into(), of_range))
}

/// Refuses an address that no guest can have in its network.
fn fits(ip: IpAddr, range: &IpNet, found: Option<&Known>) -> Result<(), Error> {
    let host = found.map_or_else(|| vec![at(range, 1)], |found| found.host.iter().map(IpNet::addr).collect());
    let refuse = |why: String, fix: String| Err(Error::Private { network: range.to_string(), why, fix });
    if range.prefix_len() + 2 > range.max_prefix_len() {
        return refuse("it has no room for a host and a guest".into(), "set `prefix` to a smaller number".into());
    }
    if host.contains(&ip) {
        let other = if at(range, 10) == ip || !range.contains(&at(range, 10)) { at(range, 2) } else { at(range, 10) };
        return refuse(
            format!("{ip} is the host's own address in it"),
            format!("use another one, for instance {other}"),
        );
    }
    if ip == range.network() || (ip.is_ipv4() && ip == range.broadcast()) {
        return refuse(format!("{ip} is no address of a computer in it"), "use another `ip`".into());
    }
    let Some(found) = found.filter(|found| !found.host.is_empty() && !found.host.iter().any(|net| net.contains(&ip)))
    else {
        return Ok(());
    };
    let theirs: Vec<_> = found.host.iter().map(|net| net.trunc().to_string()).collect();
    let theirs = theirs.join(", ");
    refuse(
        format!("libvirt's network `{}` has the addresses {theirs}", found.name),
        format!("use an `ip` of {theirs}, or another `name`"),
    )
}

/// Refuses a range that somebody else on this host uses.
fn not_taken(range: &IpNet, known: &[Known], taken: &[Taken]) -> Result<(), Error> {
    let network = known.iter().find(|known| known.host.iter().any(|host| overlap(&host.trunc(), range)));
    let interface = taken.iter().find(|taken| overlap(&taken.range, range));
    let who = match (network, interface) {
        (Some(network), _) => {
            let theirs = network.host.iter().map(IpNet::trunc).find(|theirs| overlap(theirs, range)).unwrap_or(*range);
            format!("libvirt's network `{}` has {theirs}", network.name)
        }
        (None, Some(Taken { range, interface })) => format!("the host's interface {interface} has {range}"),
        (None, None) => return Ok(()),
    };
    let all: Vec<_> = all_taken(known, taken);
    let free = ranges::first_free(classes(192, 168, 56..=119), &all);
    let example = free.map(|range| format!(", for instance {}", at(&range, 10))).unwrap_or_default();
    let fix = format!("use an `ip` of another network{example}");
    Err(Error::Private { network: range.to_string(), why: format!("{who} already"), fix })
}

fn all_taken(known: &[Known], taken: &[Taken]) -> Vec<IpNet> {
    let networks = known.iter().flat_map(|known| known.host.iter().map(IpNet::trunc));
    networks.chain(taken.iter().map(|taken| taken.range)).collect()
}

/// Why machines at this daemon have no private networks, as the end of a sentence about them; `None` where they do.
pub fn lacking(uri: &str) -> Option<&'static str> {
    if uri::is_session(uri) {
        return Some("at a session of libvirt (`uri = \"qemu:///system\"` has them)");
    }
    let here = uri::place(uri).is_ok_and(|place| place == uri::Place::Here);
    (!here).then_some("at another host yet")
}

/// What speaks against a plan's networks, as far as it can be told without the daemon.
pub fn objections(plan: &VmPlan) -> Vec<Finding> {
    let private = plan.devices.networks.iter().map(|network| &network.card);
    let cards: Vec<_> = private.chain(plan.devices.publics.iter().map(|network| &network.card)).collect();
    let mut found = Vec::new();
    let mut object = |text: String, fix: &str| {
        found.push(Finding { level: Level::Bad, text, fix: Some(fix.into()) });
    };
    if cards.len() > MOST {
        let text = format!("libvirt has no room for {} networks", cards.len());
        object(text, &format!("leave all but {MOST} of them out"));
    }
    let first = plan.devices.mac.as_ref();
    for (index, card) in cards.iter().enumerate() {
        let mut others = cards[..index].iter().filter_map(|other| other.mac.as_ref()).chain(first);
        if let Some(mac) = card.mac.as_ref().filter(|mac| others.any(|other| other == *mac)) {
            object(format!("two cards have the hardware address {mac}"), "leave `mac` of one of them out");
        }
        if let Some(place) = card.adapter.filter(|place| usize::from(*place) > MOST + 1) {
            object(format!("libvirt's machines have no network card {place}"), "leave `adapter` out");
        }
        if let Some(place) = card.adapter.filter(|_| cards[..index].iter().any(|other| other.adapter == card.adapter)) {
            object(format!("two networks want to be card {place}"), "leave `adapter` of one of them out");
        }
    }
    if plan.devices.networks.iter().any(|network| network.nat) {
        object("libvirt's private networks lead nowhere else (`nat`)".into(), "leave `nat` out of `private_network`");
    }
    let lacking = uri::choose(plan.libvirt.uri.as_deref()).ok().and_then(|uri| lacking(&uri));
    if let Some(why) = lacking.filter(|_| !cards.is_empty()) {
        let fix = "leave `private_network` and `public_network` out: forwarded ports work without";
        object(format!("there are no private and public networks {why}"), fix);
    }
    found
}

/// What would have to be changed for cards on these networks.
pub fn changes(cx: &Cx, uri: &str, networks: &[PrivateNetwork]) -> Result<Vec<HostChange>, ProviderError> {
    if networks.is_empty() {
        return Ok(Vec::new());
    }
    let mut changes: Vec<HostChange> = Vec::new();
    for place in places(cx, &Daemon::connect(cx, uri)?, networks)? {
        let change = match place {
            Place::There { up: true, .. } => continue,
            Place::There { name, up: false } => network::started(uri, &name),
            Place::Missing { name, range } => {
                let addresses = range.map(|range| format!(" with addresses {range}")).unwrap_or_default();
                let what =
                    format!("make and start libvirt's network `{name}`{addresses}, which goes with its last machine");
                HostChange { at: uri.into(), name, what, range: range.map(|range| range.to_string()) }
            }
        };
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    Ok(changes)
}

/// Names the networks that cards hang on, all of which must be up.
pub fn require(cx: &Cx, daemon: &Daemon, networks: &[PrivateNetwork]) -> Result<Vec<String>, ProviderError> {
    let named = |place| {
        let (name, found) = match place {
            Place::There { name, up: true } => return Ok(name),
            Place::There { name, up: false } => (name, Found::Down),
            Place::Missing { name, .. } => (name, Found::Missing),
        };
        let uri = daemon.uri().to_owned();
        let fix = match found {
            Found::Missing => "`vbox-rs up --yes` makes it".into(),
            Found::Down | Found::Up => network::command(&daemon.virsh(), &name, found),
        };
        Err(Error::Network { fix, missing: found == Found::Missing, uri, name })
    };
    Ok(places(cx, daemon, networks)?.into_iter().map(named).collect::<Result<_, _>>()?)
}

/// Defines a network of ours.
pub fn define(connection: &Arc<Connection>, name: &str, range: Option<IpNet>, now: u64) -> Result<(), Complaint> {
    let free = || {
        let all = all_taken(&known(connection)?, &ranges::of_host());
        let free = ranges::first_free(classes(172, 28, 128..=255), &all);
        free.ok_or_else(|| Complaint::of_ours("no range of addresses is free in 172.28.128.0/17"))
    };
    let range = range.map_or_else(free, Ok)?;
    connection.define_network(&description(name, &range, now)).map(drop)
}

/// With DHCP for whoever comes without an address, from the second half of the range: those that files name are lower.
fn description(name: &str, range: &IpNet, now: u64) -> String {
    let mark = element("vbox-rs:network").with("xmlns:vbox-rs", NAMESPACE).with("made", now.to_string());
    let host = at(range, 1).to_string();
    let ip = match range {
        IpNet::V4(net) => {
            let half = u32::from(net.hostmask()) / 2 + 1;
            let last = IpAddr::from(std::net::Ipv4Addr::from(u32::from(net.broadcast()) - 1));
            let guests = element("range").with("start", at(range, half).to_string()).with("end", last.to_string());
            let dhcp = (net.prefix_len() < 30).then(|| element("dhcp").child(guests));
            element("ip").with("address", host).with("netmask", net.netmask().to_string()).children(dhcp)
        }
        IpNet::V6(net) => {
            let prefix = net.prefix_len().to_string();
            element("ip").with("family", "ipv6").with("address", host).with("prefix", prefix)
        }
    };
    element("network")
        .child(element("name").text(name))
        .child(element("metadata").child(mark))
        .child(element("dns").with("enable", "no"))
        .child(ip)
        .render()
}

/// Removes networks of ours on which no domain has a card: those in `names`, and those that nobody came for.
pub fn release(connection: &Arc<Connection>, names: &[String], now: u64) -> Result<(), Complaint> {
    let mut ours = known(connection)?;
    ours.retain(|network| {
        let old = |made: u64| now.saturating_sub(made) > ABANDONED.as_secs();
        network.made.is_some_and(|made| names.contains(&network.name) || old(made))
    });
    if ours.is_empty() {
        return Ok(());
    }
    let Some(used) = used(connection)? else { return Ok(()) };
    let free = |network: &&Known| {
        !used.contains(&network.name) && network.bridge.as_ref().is_none_or(|bridge| !used.contains(bridge))
    };
    for network in ours.iter().filter(free) {
        let Some(network) = connection.network(&network.name)? else { continue };
        match network.remove() {
            Err(complaint) if complaint.is_no_network() => {}
            done => done?,
        }
    }
    Ok(())
}

/// The networks and bridges on which domains have cards, now or when they start again; `None` where that cannot be known.
fn used(connection: &Arc<Connection>) -> Result<Option<HashSet<String>>, Complaint> {
    let mut used = HashSet::new();
    for domain in connection.domains()? {
        for text in [domain.xml(), domain.definition()] {
            match text.map(|text| wires(&text)) {
                Ok(Some(names)) => used.extend(names),
                Err(complaint) if complaint.is_no_domain() => {}
                Err(complaint) if complaint.is_lost() => return Err(complaint),
                // Somebody's that we may not look at.
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
    Ok(Some(used))
}

/// What the cards of a domain hang on.
fn wires(xml: &str) -> Option<Vec<String>> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let cards = document.descendants().filter(|node| node.has_tag_name("interface"));
    let sources = cards.flat_map(|card| card.children().filter(|node| node.has_tag_name("source")));
    let names = sources.flat_map(|source| [source.attribute("network"), source.attribute("bridge")]);
    Some(names.flatten().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
