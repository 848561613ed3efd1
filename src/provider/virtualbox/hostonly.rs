//! Networks between machines and the host. VirtualBox has them in two ways: as interfaces of the host, which take its kernel
//! driver, and on macOS since version 7 as networks of the system's own framework. Which one is there is asked, not known.
//! One that has the network's address is used, else one is made; they belong to the host, are shared by machines of ours and
//! others, and stay when machines go.

use std::net::Ipv6Addr;
use std::path::Path;

use super::super::{Error, Finding, Level};
use super::card::Wire;
use super::fault::Meaning;
use super::network::Subnet;
use super::run::Manage;
use super::{argv, bridge, making, parse};
use crate::progress::Cx;

/// Which of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Interfaces,
    Networks,
}

impl Kind {
    /// Both, in the order in which they are asked for: VirtualBox for macOS still lists interfaces, of which there are none.
    fn all(system: &str) -> [Self; 2] {
        if system == "macos" { [Self::Networks, Self::Interfaces] } else { [Self::Interfaces, Self::Networks] }
    }

    /// What `list` calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Interfaces => "hostonlyifs",
            Self::Networks => "hostonlynets",
        }
    }
}

/// An interface or a network that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// By which cards are told of it.
    pub name: String,
    /// Where it has addresses.
    pub subnets: Vec<Subnet>,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// The host-only networks of this host.
#[derive(Debug)]
pub struct HostOnly {
    kind: Kind,
    known: Vec<Known>,
}

impl HostOnly {
    /// Asks VirtualBox for them.
    pub fn ask(cx: &Cx, manage: &Manage) -> Result<Self, Error> {
        let [first, second] = Kind::all(std::env::consts::OS);
        let list = |kind: Kind| {
            let text = manage.call(cx, &argv::list(kind.word()))?;
            Ok(Self { kind, known: listed(kind, &text) })
        };
        match list(first) {
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::Unknown => list(second),
            answer => answer,
        }
    }

    /// What a card in a network hangs on; made where there is none. `dhcp`: the guest wants its address by DHCP. The caller holds
    /// `lock`.
    pub fn wire(&mut self, cx: &Cx, manage: &Manage, subnet: Subnet, dhcp: bool, lock: &Path) -> Result<Wire, Error> {
        let found = self.known.iter().find(|known| known.subnets.contains(&subnet)).cloned();
        let known = if let Some(known) = found {
            // Whatever was cut short, it came to this.
            making::end(lock, subnet)?;
            known
        } else {
            let made = self.make(cx, manage, subnet, lock)?;
            self.known.push(made.clone());
            made
        };
        let name = known.name;
        match self.kind {
            Kind::Interfaces => {
                if dhcp {
                    serve(cx, manage, &name, subnet)?;
                }
                Ok(Wire::HostOnly(name))
            }
            // The system serves DHCP there by itself.
            Kind::Networks => {
                if !known.enabled {
                    manage.call(cx, &argv::enable_network(&name))?;
                }
                Ok(Wire::HostOnlyNetwork(name))
            }
        }
    }

    fn make(&self, cx: &Cx, manage: &Manage, subnet: Subnet, lock: &Path) -> Result<Known, Error> {
        if let Some(interface) = bridge::collision(cx, manage, subnet)? {
            let text = format!("the private network {subnet} has addresses of this computer's interface `{interface}`");
            let fix = Some("set `ip` to an address of another network".into());
            return Err(Error::Plan(vec![Finding { level: Level::Bad, text, fix }]));
        }
        cx.note(format!("making a host-only network {subnet} in VirtualBox; it stays for other machines"));
        let name = match self.kind {
            Kind::Interfaces => making::make(cx, manage, subnet, &self.known, lock)?,
            Kind::Networks => make_network(cx, manage, subnet)?,
        };
        Ok(Known { name, subnets: vec![subnet], enabled: true })
    }
}

/// What `list` tells. Networks have an empty line among their fields.
fn listed(kind: Kind, text: &str) -> Vec<Known> {
    let mut all: Vec<Vec<(String, String)>> = Vec::new();
    for (key, value) in parse::blocks(text).into_iter().flatten() {
        if key == "Name" {
            all.push(Vec::new());
        }
        if let Some(last) = all.last_mut() {
            last.push((key, value));
        }
    }
    all.iter().filter_map(|fields| known(kind, fields)).collect()
}

fn known(kind: Kind, fields: &[(String, String)]) -> Option<Known> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let name = field("Name").filter(|name| !name.is_empty())?.to_owned();
    let subnet = |address: &str| Subnet::told(field(address), field("NetworkMask"));
    let six = || {
        let address: Ipv6Addr = field("IPV6Address")?.parse().ok()?;
        let prefix = field("IPV6NetworkMaskPrefixLength")?.parse().ok().filter(|prefix| *prefix <= 128)?;
        (!address.is_unspecified()).then_some(Subnet::around(address.into(), prefix))
    };
    let subnets = match kind {
        Kind::Interfaces => [subnet("IPAddress"), six()],
        Kind::Networks => [subnet("LowerIP"), None],
    };
    let subnets = subnets.into_iter().flatten().collect();
    Some(Known { name, subnets, enabled: field("State") != Some("Disabled") })
}

/// Makes a network whose first address is the host's.
fn make_network(cx: &Cx, manage: &Manage, subnet: Subnet) -> Result<String, Error> {
    if subnet.at(0).is_ipv6() {
        let text = format!("VirtualBox has no host-only network with IPv6 addresses on this system ({subnet})");
        let fix = Some("set `ip` to an IPv4 address, or `name` for a network between machines alone".into());
        return Err(Error::Plan(vec![Finding { level: Level::Bad, text, fix }]));
    }
    let name = argv::network_name(subnet);
    match manage.call(cx, &argv::make_network(&name, subnet)) {
        // Somebody gave the one of that name another range.
        Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::Exists => {
            manage.call(cx, &argv::readdress_network(&name, subnet))?;
        }
        answer => drop(answer?),
    }
    Ok(name)
}

/// Lets VirtualBox answer DHCP on an interface.
fn serve(cx: &Cx, manage: &Manage, interface: &str, subnet: Subnet) -> Result<(), Error> {
    let text = manage.call(cx, &argv::list("dhcpservers"))?;
    match server(&text, interface) {
        Some(true) => Ok(()),
        Some(false) => manage.call(cx, &argv::switch_dhcp_on(interface)).map(drop),
        None => manage.call(cx, &argv::serve_dhcp(interface, subnet)).map(drop),
    }
}

/// Whether an interface's server is switched on; `None` where there is none.
fn server(text: &str, interface: &str) -> Option<bool> {
    let network = argv::network_of(interface);
    let is = |block: &[(String, String)], name: &str, value: &str| {
        block.iter().any(|(key, other)| key == name && other == value)
    };
    let blocks = parse::blocks(text);
    let block = blocks.iter().find(|block| is(block, "NetworkName", &network))?;
    Some(is(block, "Enabled", "Yes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As VirtualBox's users show it: interfaces take the kernel driver.
    const INTERFACES: &str = "\
Name:            vboxnet0
GUID:            786f6276-656e-4074-8000-0a0027000000
DHCP:            Disabled
IPAddress:       192.168.56.1
NetworkMask:     255.255.255.0
IPV6Address:
IPV6NetworkMaskPrefixLength: 0
HardwareAddress: 0a:00:27:00:00:00
MediumType:      Ethernet
Wireless:        No
Status:          Up
VBoxNetworkName: HostInterfaceNetworking-vboxnet0

Name:            vboxnet1
GUID:            786f6276-656e-4174-8000-0a0027000001
DHCP:            Disabled
IPAddress:       10.9.8.1
NetworkMask:     255.255.255.192
IPV6Address:     fd00:1::1
IPV6NetworkMaskPrefixLength: 64
HardwareAddress: 0a:00:27:00:00:01
MediumType:      Ethernet
Wireless:        No
Status:          Down
VBoxNetworkName: HostInterfaceNetworking-vboxnet1
";

    /// As VirtualBox 7 for macOS tells them, with its empty line.
    const NETWORKS: &str = "\
Name:            vagrantnet-vbox1
GUID:            bc907fa2-e158-4c1b-96fb-63b8765a64d8

State:           Enabled
NetworkMask:     255.255.255.0
LowerIP:         192.168.56.0
UpperIP:         192.168.56.0
VBoxNetworkName: hostonly-vagrantnet-vbox1

Name:            HostNetwork
GUID:            331df2f8-cac1-4c80-93f6-367eaa31454d

State:           Disabled
NetworkMask:     255.255.255.192
LowerIP:         10.9.8.70
UpperIP:         10.9.8.120
VBoxNetworkName: hostonly-HostNetwork
";

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn interfaces_are_found_by_their_networks() {
        let all = listed(Kind::Interfaces, INTERFACES);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].name, "vboxnet0");
        assert_eq!(all[0].subnets, [subnet("192.168.56.0/24")]);
        assert_eq!(all[1].subnets.len(), 2, "{all:?}");
        assert!(listed(Kind::Interfaces, "").is_empty());
    }

    #[test]
    fn networks_are_found_by_their_ranges() {
        let all = listed(Kind::Networks, NETWORKS);
        let known = |name: &str, lies: &str, enabled| Known { name: name.into(), subnets: vec![subnet(lies)], enabled };
        assert_eq!(
            all,
            [known("vagrantnet-vbox1", "192.168.56.0/24", true), known("HostNetwork", "10.9.8.64/26", false)]
        );
    }

    #[test]
    fn the_system_says_what_is_asked_for_first() {
        assert_eq!(Kind::all("macos").map(Kind::word), ["hostonlynets", "hostonlyifs"]);
        assert_eq!(Kind::all("linux").map(Kind::word), ["hostonlyifs", "hostonlynets"]);
    }

    #[test]
    fn who_serves_is_read() {
        let servers = include_str!("recorded/list-dhcpservers.txt");
        assert_eq!(server(servers, "vboxnet0"), Some(true));
        assert_eq!(server(servers, "vboxnet1"), Some(false));
        assert_eq!(server(servers, "vboxnet2"), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(text in "\\PC*|(Name: |IPAddress: |LowerIP: |[*0-9a-f:./\n ]){0,40}") {
            listed(Kind::Interfaces, &text);
            listed(Kind::Networks, &text);
            server(&text, "vboxnet0");
        }
    }
}
