//! Private networks. One that says so is a NAT network. Of the others, one with a name is VirtualBox's internal network of
//! that name, between machines only; any other is host-only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::super::{Error, Finding, Level};
use super::card::Wire;
use super::hostonly::HostOnly;
use super::machine::Machine;
use super::natnet::{self, NatNetworks};
use crate::config::spec::PrivateNetwork;
use crate::progress::Cx;
use crate::store::Lock;

/// Where VirtualBox reads which addresses host-only interfaces may have.
const ALLOWED: &str = "/etc/vbox/networks.conf";

/// What it allows without that file.
const USUAL: [Subnet; 2] = [
    Subnet { address: IpAddr::V4(Ipv4Addr::new(192, 168, 56, 0)), prefix: 21 },
    Subnet { address: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), prefix: 10 },
];

/// The network of cards that want an address by DHCP: VirtualBox's own first one.
const DHCP: Subnet = Subnet { address: IpAddr::V4(Ipv4Addr::new(192, 168, 56, 0)), prefix: 24 };

/// A network's address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// One that is known from the start; `address` is its first.
    pub const fn v4(address: Ipv4Addr, prefix: u8) -> Self {
        Self { address: IpAddr::V4(address), prefix }
    }

    /// The network in which an address lies.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let address = match address {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & mask4(prefix)).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & mask6(prefix)).into()),
        };
        Self { address, prefix }
    }

    /// The network of an address and a mask, as VirtualBox tells them of an interface; none where it has no address.
    pub fn told(address: Option<&str>, mask: Option<&str>) -> Option<Self> {
        let address: Ipv4Addr = address?.parse().ok()?;
        let mask: Ipv4Addr = mask?.parse().ok()?;
        let prefix = u8::try_from(u32::from(mask).leading_ones()).ok()?;
        (!address.is_unspecified()).then_some(Self::around(address.into(), prefix))
    }

    /// Whether two networks have addresses in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// Where a host-only network lies.
    fn of(network: &PrivateNetwork) -> Self {
        network.ip.map_or(DHCP, |ip| Self::around(ip, network.length(ip)))
    }

    /// `192.168.56.0/21`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(most), |prefix| prefix.parse().ok())?;
        (prefix <= most).then(|| Self::around(address, prefix))
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Self::around(address, self.prefix) == self
    }

    /// The address at a place: 1 is the host's.
    pub fn at(self, place: u32) -> IpAddr {
        match self.address {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) | place).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) | u128::from(place)).into()),
        }
    }

    /// The last address that a guest may have, of an IPv4 network.
    pub fn last(self) -> IpAddr {
        let broadcast = !mask4(self.prefix);
        self.at(broadcast & !1)
    }

    /// `255.255.255.0`.
    pub fn mask(self) -> Ipv4Addr {
        mask4(self.prefix).into()
    }

    /// The length of its prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// Which addresses VirtualBox lets host-only interfaces have.
enum Limits {
    /// Any.
    None,
    /// What it allows by itself.
    Usual,
    /// What its file says.
    File(String),
}

impl Limits {
    fn of_host() -> Self {
        // VirtualBox keeps to that file on these systems.
        if !cfg!(any(target_os = "linux", target_os = "freebsd", target_os = "solaris", target_os = "illumos")) {
            return Self::None;
        }
        std::fs::read_to_string(ALLOWED).map_or(Self::Usual, Self::File)
    }

    /// The networks in which host-only interfaces may lie; `None` where any may. Lines that begin with `*` name them.
    fn allowed(&self) -> Option<Vec<Subnet>> {
        let text = match self {
            Self::None => return None,
            Self::Usual => return Some(USUAL.to_vec()),
            Self::File(text) => text,
        };
        let ranges = text.lines().filter_map(|line| line.trim().strip_prefix('*'));
        Some(ranges.flat_map(str::split_whitespace).filter_map(Subnet::parse).collect())
    }

    /// What allows one more. A file that is new ends the usual permission.
    fn allow(&self, subnet: Subnet) -> String {
        let usual = if matches!(self, Self::Usual) { format!(" {}", USUAL[0]) } else { String::new() };
        let allowed = self.allowed().unwrap_or_default();
        let other = allowed.iter().find(|range| range.address.is_ipv4());
        let other = other.map_or_else(String::new, |range| format!(", or an `ip` in {range}"));
        format!("sudo mkdir -p /etc/vbox && echo '*{usual} {subnet}' | sudo tee -a {ALLOWED}{other}")
    }
}

/// What speaks against a plan's networks, before anything is made for them.
pub fn check(networks: &[PrivateNetwork]) -> Vec<Finding> {
    if networks.is_empty() { Vec::new() } else { objections(networks, &Limits::of_host()) }
}

fn objections(networks: &[PrivateNetwork], limits: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut object = |text: String, fix: String| found.push(Finding { level: Level::Bad, text, fix: Some(fix) });
    let allowed = limits.allowed();
    for network in networks.iter().filter(|network| network.nat) {
        if let Some((text, fix)) = natnet::objection(network) {
            object(text, fix);
        }
    }
    for network in networks.iter().filter(|network| network.name.is_none() && !network.nat) {
        let subnet = Subnet::of(network);
        if let Some(ip) = network.ip.filter(|ip| *ip == subnet.at(1) && *ip != subnet.at(0)) {
            let text = format!("{ip} is the host's own address in the private network {subnet}");
            object(text, format!("use another one, for instance {}", subnet.at(10)));
        }
        if allowed.as_ref().is_some_and(|ranges| !ranges.iter().any(|range| range.contains(subnet.at(1)))) {
            let text = format!("VirtualBox allows no private network {subnet} on this host ({ALLOWED})");
            object(text, limits.allow(subnet));
        }
    }
    found
}

/// Keeps others from making or removing networks.
pub fn hold(cx: &Cx, lock: &Path) -> Result<Lock, Error> {
    Ok(Lock::exclusive(cx, lock, "VirtualBox's networks", "up", true)?)
}

/// What the cards hang on, in order, and what keeps it there until they do.
#[derive(Debug, Default)]
pub struct Wires {
    /// For each private network.
    pub wires: Vec<Wire>,
    held: Option<Lock>,
}

impl Wires {
    /// Finds or makes it. `lock` keeps others from making the same, and from removing it.
    pub fn find(cx: &Cx, machine: &Machine<'_>, networks: &[PrivateNetwork], lock: &Path) -> Result<Self, Error> {
        let manage = &machine.manage;
        let (mut all, mut host_only, mut nat) = (Self::default(), None, None);
        for network in networks {
            if let (Some(name), false) = (&network.name, network.nat) {
                all.wires.push(Wire::Internal(name.clone()));
                continue;
            }
            if all.held.is_none() {
                all.held = Some(hold(cx, lock)?);
            }
            let wire = if network.nat {
                let known = known(&mut nat, || NatNetworks::ask(cx, manage))?;
                known.wire(cx, manage, network)?
            } else {
                let known = known(&mut host_only, || HostOnly::ask(cx, manage))?;
                known.wire(cx, manage, Subnet::of(network), network.ip.is_none(), lock)?
            };
            all.wires.push(wire);
        }
        Ok(all)
    }
}

/// What was asked for once.
fn known<T>(known: &mut Option<T>, ask: impl FnOnce() -> Result<T, Error>) -> Result<&mut T, Error> {
    Ok(match known {
        Some(known) => known,
        None => known.insert(ask()?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(ip: &str) -> PrivateNetwork {
        PrivateNetwork { ip: ip.parse().ok(), ..PrivateNetwork::default() }
    }

    fn texts(networks: &[PrivateNetwork], limits: &Limits) -> Vec<String> {
        let told = |finding: Finding| format!("{} ({})", finding.text, finding.fix.unwrap_or_default());
        objections(networks, limits).into_iter().map(told).collect()
    }

    #[test]
    fn an_address_that_virtualbox_does_not_allow_is_told_with_what_allows_it() {
        let plain = &Limits::Usual;
        for fine in ["192.168.56.10", "192.168.63.250", "fe80::10", ""] {
            assert!(texts(&[network(fine)], plain).is_empty(), "{fine}");
        }
        assert_eq!(
            texts(&[network("10.1.2.3")], plain),
            ["VirtualBox allows no private network 10.1.2.0/24 on this host (/etc/vbox/networks.conf) (sudo mkdir -p \
              /etc/vbox && echo '* 192.168.56.0/21 10.1.2.0/24' | sudo tee -a /etc/vbox/networks.conf, or an `ip` in \
              192.168.56.0/21)"]
        );
        let file = "# ours\n  * 10.0.0.0/8 192.168.33.0/24\n*2001:db8::/32\nnonsense\n* x/y\n";
        for fine in ["10.1.2.3", "192.168.33.10", "2001:db8::5"] {
            assert!(texts(&[network(fine)], &Limits::File(file.into())).is_empty(), "{fine}");
        }
        let told = texts(&[network("192.168.56.10")], &Limits::File(file.into()));
        assert!(
            told[0].contains("echo '* 192.168.56.0/24'") && told[0].ends_with("an `ip` in 10.0.0.0/8)"),
            "{told:?}"
        );
        assert!(texts(&[network("10.1.2.3")], &Limits::None).is_empty(), "no limits there");
        assert_eq!(
            texts(&[network("192.168.56.10")], &Limits::File(String::new())).len(),
            1,
            "an empty file allows nothing"
        );
    }

    #[test]
    fn a_network_of_another_kind_has_no_limits() {
        let named = PrivateNetwork { name: Some("backend".into()), ..network("10.1.2.3") };
        assert!(
            texts(std::slice::from_ref(&named), &Limits::Usual).is_empty(),
            "machines among themselves have no limits"
        );
        let told = texts(&[network("192.168.57.1")], &Limits::Usual);
        assert!(
            told[0].starts_with("192.168.57.1 is the host's own address in the private network 192.168.57.0/24"),
            "{told:?}"
        );
    }

    #[test]
    fn an_address_lies_in_a_network() {
        assert_eq!(Subnet::of(&network("")), Subnet::parse("192.168.56.0/24").unwrap());
        let narrow = PrivateNetwork { prefix: Some(28), ..network("192.168.57.20") };
        assert_eq!(Subnet::of(&narrow).to_string(), "192.168.57.16/28");
    }

    #[test]
    fn networks_that_share_addresses_overlap() {
        let parse = |text: &str| Subnet::parse(text).unwrap();
        let told = Subnet::told(Some("192.168.57.4"), Some("255.255.255.0"));
        assert_eq!(told, Some(parse("192.168.57.0/24")));
        assert_eq!(Subnet::told(Some("0.0.0.0"), Some("0.0.0.0")), None);
        assert!(
            parse("10.0.0.0/8").overlaps(parse("10.9.8.0/24")) && parse("10.9.8.0/24").overlaps(parse("10.0.0.0/8"))
        );
        assert!(
            !parse("10.9.8.0/24").overlaps(parse("10.9.9.0/24")) && !parse("10.0.0.0/8").overlaps(parse("fd00::/8"))
        );
    }

    #[test]
    fn a_network_has_places() {
        let subnet = Subnet::parse("192.168.22.64/26").unwrap();
        let places = [subnet.at(1), subnet.at(2), subnet.last()].map(|ip| ip.to_string());
        assert_eq!(places, ["192.168.22.65", "192.168.22.66", "192.168.22.126"]);
        assert_eq!(subnet.mask().to_string(), "255.255.255.192");
    }

    proptest! {
        #[test]
        fn any_file_and_answer_is_read_without_harm(text in "\\PC*|[*0-9a-f:./\n ]{0,80}") {
            Limits::File(text).allowed();
        }
    }
}
