//! NAT networks: machines reach each other there, and through VirtualBox what this computer reaches; it does not reach them.
//! One that has the wanted name or addresses is used. Else one is made, whose name says that it is ours: it goes with the
//! last machine that has a card on it, which VirtualBox itself would not mind.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::super::{Error, Finding, Level};
use super::card::Wire;
use super::fault::Meaning;
use super::network::Subnet;
use super::run::Manage;
use super::{argv, network, parse};
use crate::config::spec::PrivateNetwork;
use crate::progress::Cx;

/// Where the machine's first card is, and each NAT network that was not told where to be.
const FIRST_CARD: Subnet = Subnet::v4(Ipv4Addr::new(10, 0, 2, 0), 24);

/// The name, behind ours, of the network of cards that name neither it nor an address.
const USUAL: &str = "nat";

/// A NAT network that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    subnet: Option<Subnet>,
    enabled: bool,
    dhcp: bool,
}

/// The NAT networks of this VirtualBox.
#[derive(Debug)]
pub struct NatNetworks(Vec<Known>);

impl NatNetworks {
    /// Asks VirtualBox for them.
    pub fn ask(cx: &Cx, manage: &Manage) -> Result<Self, Error> {
        match manage.call(cx, &argv::list_nat_networks()) {
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::Unknown => {
                let text = "this VirtualBox has no NAT networks (`VBoxManage natnetwork`)";
                Err(refused(text.into(), "leave `nat` out of `private_network`, or install a newer VirtualBox".into()))
            }
            answer => Ok(Self(listed(&answer?))),
        }
    }

    /// What a card hangs on; made where there is none. The caller holds the lock of networks until the card is there.
    pub fn wire(&mut self, cx: &Cx, manage: &Manage, network: &PrivateNetwork) -> Result<Wire, Error> {
        let (own, wanted) = (own_name(network), subnet(network));
        let known = match self.find(network).cloned() {
            Some(known) if half_made(&known, network) => {
                let subnet = wanted.unwrap_or_else(|| self.free());
                manage.call(cx, &argv::change_nat_network(&own, subnet))?;
                Known { subnet: Some(subnet), enabled: true, dhcp: true, ..known }
            }
            Some(known) => {
                fits(&known, network)?;
                if known.subnet == Some(FIRST_CARD) {
                    let name = &known.name;
                    cx.warn(format!(
                        "NAT network `{name}` has the addresses of the machine's first card ({FIRST_CARD}), and the guest may \
                         confuse them; `VBoxManage natnetwork modify --netname \"{name}\" --network {}` gives it others",
                        self.free()
                    ));
                }
                return Ok(Wire::NatNetwork(known.name));
            }
            None => make(cx, manage, own, wanted.unwrap_or_else(|| self.free()))?,
        };
        let wire = Wire::NatNetwork(known.name.clone());
        self.0.retain(|other| other.name != known.name);
        self.0.push(known);
        Ok(wire)
    }

    /// Refuses a card that cannot be what it wants to be, before anything is done for it.
    pub fn require(&self, network: &PrivateNetwork) -> Result<(), Error> {
        match self.find(network) {
            Some(known) if !half_made(known, network) => fits(known, network),
            _ => Ok(()),
        }
    }

    fn find(&self, network: &PrivateNetwork) -> Option<&Known> {
        let named = |name: &str| self.0.iter().find(|known| known.name == name);
        let own = || named(&own_name(network));
        match (&network.name, subnet(network)) {
            (Some(name), _) => named(name).or_else(own),
            (None, Some(subnet)) => own().or_else(|| self.0.iter().find(|known| known.subnet == Some(subnet))),
            (None, None) => own(),
        }
    }

    /// Addresses that no NAT network has yet, nor a card that is on VirtualBox's NAT by itself.
    fn free(&self) -> Subnet {
        let all = (99..=u8::MAX).map(|third| Subnet::v4(Ipv4Addr::new(10, 0, third, 0), 24));
        let is_free =
            |subnet: &Subnet| self.0.iter().filter_map(|known| known.subnet).all(|its| !its.overlaps(*subnet));
        all.clone().find(is_free).unwrap_or(Subnet::v4(Ipv4Addr::new(10, 0, 99, 0), 24))
    }
}

/// Whether it is one of ours that was made and not set up.
fn half_made(known: &Known, network: &PrivateNetwork) -> bool {
    known.name == own_name(network) && subnet(network) != known.subnet && known.subnet == Some(FIRST_CARD)
}

fn make(cx: &Cx, manage: &Manage, name: String, subnet: Subnet) -> Result<Known, Error> {
    cx.note(format!("making NAT network {subnet} in VirtualBox; it goes with its last machine"));
    if let Err(error) = manage.call(cx, &argv::make_nat_network(&name, subnet)) {
        // Where it was made and not set up, VirtualBox leaves it.
        if !matches!(&error, Error::Virtualbox(fault) if fault.meaning == Meaning::Exists) {
            drop(manage.call(&cx.uninterrupted(), &argv::remove_nat_network(&name)));
        }
        return Err(error);
    }
    Ok(Known { name, subnet: Some(subnet), enabled: true, dhcp: true })
}

/// Whether a card can be what it wants to be in a network that is there.
fn fits(known: &Known, network: &PrivateNetwork) -> Result<(), Error> {
    let (name, modify) = (&known.name, format!("VBoxManage natnetwork modify --netname \"{}\"", known.name));
    if let Some((ip, theirs)) = network.ip.zip(known.subnet).filter(|(ip, theirs)| !theirs.contains(*ip)) {
        let text = format!("VirtualBox's NAT network `{name}` has the addresses {theirs}, and {ip} is none of them");
        return Err(refused(text, format!("use an `ip` in {theirs}, or another `name`")));
    }
    if !known.enabled {
        return Err(refused(
            format!("VirtualBox's NAT network `{name}` is switched off"),
            format!("{modify} --enable"),
        ));
    }
    if network.ip.is_none() && !known.dhcp {
        let text = format!("VirtualBox's NAT network `{name}` has no DHCP, and its card has no `ip`");
        return Err(refused(text, format!("set `ip`, or {modify} --dhcp on")));
    }
    Ok(())
}

fn refused(text: String, fix: String) -> Error {
    Error::Plan(vec![Finding { level: Level::Bad, text, fix: Some(fix) }])
}

/// What speaks against a NAT network, before anything is made for it.
pub fn objection(network: &PrivateNetwork) -> Option<(String, String)> {
    if network.name.as_ref().is_some_and(|name| name.contains(['/', '\\'])) {
        let text = "VirtualBox makes a file of a NAT network's name, which cannot have slashes".to_owned();
        return Some((text, "use another `name`".into()));
    }
    let (ip, subnet) = network.ip.zip(subnet(network))?;
    let use_other = |subnet: Subnet| format!("use another one, for instance {}", subnet.at(10));
    if ip.is_ipv6() {
        let text =
            format!("VirtualBox gives guests in NAT networks no IPv6 addresses of the machine file's choice ({ip})");
        return Some((text, "set `ip` to an IPv4 address".into()));
    }
    if subnet.prefix() > 28 {
        return Some((format!("a NAT network {subnet} has no room for guests"), "set `prefix` to 28 or less".into()));
    }
    if subnet.overlaps(FIRST_CARD) {
        let text = format!("the NAT network {subnet} has addresses of the machine's first card ({FIRST_CARD})");
        return Some((text, "set `ip` to an address of another network, for instance 10.0.99.10".into()));
    }
    let taken = [subnet.at(0), subnet.at(1), subnet.at(2)].contains(&ip) || subnet.contains(ip) && ip > subnet.last();
    taken.then(|| (format!("{ip} is not for guests in the NAT network {subnet}"), use_other(subnet)))
}

fn subnet(network: &PrivateNetwork) -> Option<Subnet> {
    network.ip.map(|ip| Subnet::around(ip, network.length(ip)))
}

/// What a network is called if it is ours.
fn own_name(network: &PrivateNetwork) -> String {
    match (&network.name, subnet(network)) {
        (Some(name), _) if name.starts_with(argv::RULE) => name.clone(),
        (Some(name), _) => format!("{}{name}", argv::RULE),
        (None, Some(subnet)) => argv::network_name(subnet),
        (None, None) => format!("{}{USUAL}", argv::RULE),
    }
}

/// The networks of ours that cards may come to hang on.
pub fn own_names(networks: &[PrivateNetwork]) -> Vec<String> {
    let mut names = Vec::new();
    for name in networks.iter().filter(|network| network.nat).map(own_name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Removes those of these networks of ours on which no machine has a card.
pub fn release(cx: &Cx, manage: &Manage, names: &[String], lock: &Path) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let _held = network::hold(cx, lock)?;
    let there = match manage.call(cx, &argv::list_nat_networks()) {
        // It has none.
        Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::Unknown => return Ok(()),
        told => listed(&told?),
    };
    let mut ours = names.iter().filter(|name| there.iter().any(|known| known.name == **name)).peekable();
    if ours.peek().is_none() {
        return Ok(());
    }
    let machines = match manage.call(cx, &argv::list_machines()) {
        // It is one answer for all, and an error where one of them cannot be read.
        Err(Error::Virtualbox(fault)) => {
            cx.note(format!("NAT networks stay, because VirtualBox does not tell who uses them: {fault}"));
            return Ok(());
        }
        told => told?,
    };
    for name in ours.filter(|name| !machines.contains(&format!("Attachment: NAT Network '{name}',"))) {
        manage.call(cx, &argv::remove_nat_network(name))?;
    }
    Ok(())
}

/// What `natnetwork list` tells.
fn listed(text: &str) -> Vec<Known> {
    parse::blocks(text).iter().filter_map(|block| known(block)).collect()
}

fn known(block: &[(String, String)]) -> Option<Known> {
    let field = |name: &str| block.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let name = field("Name").or_else(|| field("NetworkName")).filter(|name| !name.is_empty())?.to_owned();
    let subnet = field("Network").and_then(Subnet::parse).filter(|subnet| matches!(subnet.at(0), IpAddr::V4(_)));
    // Older versions do not tell all, and have what they do not tell.
    let dhcp = field("DHCP Server").or_else(|| field("DHCP Enabled")) != Some("No");
    Some(Known { name, subnet, enabled: field("Enabled") != Some("No"), dhcp })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECORDED: &str = include_str!("recorded/natnetwork-list.txt");

    fn wish(name: &str, ip: &str) -> PrivateNetwork {
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        PrivateNetwork { name, ip: ip.parse().ok(), nat: true, ..PrivateNetwork::default() }
    }

    fn at(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn networks_are_read_as_virtualbox_tells_them() {
        let known = |name: &str, subnet: &str, enabled, dhcp| Known {
            name: name.into(),
            subnet: Some(at(subnet)),
            enabled,
            dhcp,
        };
        let all =
            [known("vbox-rs-10.99.0.0-24", "10.99.0.0/24", true, true), known("b 'q' x", "10.98.0.0/24", false, false)];
        assert_eq!(listed(RECORDED), all);
        assert!(listed("NAT Networks:\n\n0 networks found\n").is_empty());
        let older = "NAT Networks:\n\nName:        NatNetwork\nNetwork:     10.0.2.0/24\nGateway:     10.0.2.1\nIPv6:        \
                     No\nEnabled:     Yes\n\n\n1 network found\n";
        assert_eq!(listed(older), [known("NatNetwork", "10.0.2.0/24", true, true)]);
    }

    #[test]
    fn a_network_is_found_by_its_name_or_its_addresses_and_ours_by_both() {
        let all = NatNetworks(listed(RECORDED));
        let found = |name: &str, ip: &str| all.find(&wish(name, ip)).map(|known| known.name.as_str());
        assert_eq!(found("b 'q' x", ""), Some("b 'q' x"));
        assert_eq!(found("", "10.98.0.7"), Some("b 'q' x"), "whoever's it is");
        assert_eq!(found("", "10.99.0.7"), Some("vbox-rs-10.99.0.0-24"));
        assert_eq!(found("10.99.0.0-24", ""), Some("vbox-rs-10.99.0.0-24"));
        assert_eq!((found("", ""), found("office", ""), found("", "10.97.0.7")), (None, None, None));
        assert_eq!(
            own_names(&[wish("a", ""), wish("", ""), wish("a", "10.1.1.9"), wish("vbox-rs-b", "")]),
            ["vbox-rs-a", "vbox-rs-nat", "vbox-rs-b"]
        );
        assert!(own_names(&[PrivateNetwork { nat: false, ..wish("a", "") }]).is_empty());
    }

    #[test]
    fn what_does_not_fit_a_network_that_is_there_is_told_with_what_helps() {
        let known = |enabled, dhcp| Known { name: "office".into(), subnet: Some(at("10.5.0.0/24")), enabled, dhcp };
        let told = |known: &Known, ip: &str| match fits(known, &wish("office", ip)) {
            Err(Error::Plan(findings)) => format!("{} ({})", findings[0].text, findings[0].fix.clone().unwrap()),
            other => format!("{other:?}"),
        };
        assert_eq!(told(&known(true, false), "10.5.0.9"), "Ok(())");
        assert_eq!(told(&known(true, true), ""), "Ok(())");
        assert!(told(&known(true, true), "10.6.0.9").contains("has the addresses 10.5.0.0/24, and 10.6.0.9 is none"));
        assert!(
            told(&known(false, true), "").ends_with("(VBoxManage natnetwork modify --netname \"office\" --enable)")
        );
        assert!(told(&known(true, false), "").contains("has no DHCP"));
    }

    #[test]
    fn addresses_that_cannot_be_are_refused_before_anything_is_made() {
        for fine in ["10.99.0.3", "10.99.0.254", "172.20.0.10", ""] {
            assert_eq!(objection(&wish("", fine)), None, "{fine}");
        }
        for (ip, words) in [
            ("10.99.0.1", "is not for guests"),
            ("10.99.0.2", "is not for guests"),
            ("10.99.0.255", "is not for guests"),
            ("10.0.2.50", "first card"),
            ("fd00::10", "IPv6"),
        ] {
            assert!(objection(&wish("", ip)).unwrap().0.contains(words), "{ip}");
        }
        assert!(
            objection(&PrivateNetwork { prefix: Some(29), ..wish("", "10.99.0.4") }).unwrap().0.contains("no room")
        );
        assert!(objection(&PrivateNetwork { prefix: Some(8), ..wish("", "10.99.0.4") }).is_some());
        assert!(objection(&wish("a/b", "")).unwrap().0.contains("slashes"));
    }

    #[test]
    fn networks_without_addresses_of_their_own_get_free_ones() {
        assert_eq!(NatNetworks(Vec::new()).free(), at("10.0.99.0/24"));
        let one = |subnet: &str| Known { name: "x".into(), subnet: Some(at(subnet)), enabled: true, dhcp: true };
        assert_eq!(NatNetworks(vec![one("10.0.99.0/24"), one("10.0.100.128/25")]).free(), at("10.0.101.0/24"));
        assert_eq!(NatNetworks(vec![one("10.0.0.0/8")]).free(), at("10.0.99.0/24"), "as good as any");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(text in "\\PC*|(Name: |Network: |Enabled: |[*0-9a-f:./\n ]){0,40}", ip in "[0-9.:a-f]{0,15}") {
            let all = NatNetworks(listed(&text));
            all.find(&wish("", &ip));
            all.free();
            objection(&wish("", &ip));
        }
    }
}
