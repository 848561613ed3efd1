//! Public networks: a card on an interface of this computer, or on a bridge that somebody made of such ones.

use std::fs;
use std::path::Path;

use super::super::bridge::{self, Interface};
use super::super::{Error as ProviderError, OpenBridge, VmPlan};
use super::ranges;
use crate::config::spec::PublicNetwork;
use crate::progress::Cx;

/// Where the kernel tells of network cards.
const CARDS: &str = "/sys/class/net";

/// `IFF_UP`.
const UP: u32 = 1;

/// What a card of a machine hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A network of libvirt.
    Network(String),
    /// A bridge.
    Bridge(String),
    /// An interface, beside the host's own traffic: the guest reaches everybody there but the host.
    Device(String),
}

/// An interface as the kernel tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Card {
    name: String,
    up: bool,
    is_bridge: bool,
    /// Whether it leads to other computers, as far as that can be seen.
    leads_out: bool,
    /// Whether a guest beside the host's own traffic is heard there.
    carries_others: bool,
}

/// All interfaces of this computer, in the order of their names.
fn cards(root: &Path, way_out: Option<&str>) -> Vec<Card> {
    let names = fs::read_dir(root).into_iter().flatten().flatten();
    let mut cards: Vec<_> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| card(root, name, way_out))
        .collect();
    cards.sort_by(|one, other| one.name.cmp(&other.name));
    cards
}

/// `None` for what is no card of an Ethernet, as the loopback.
fn card(root: &Path, name: String, way_out: Option<&str>) -> Option<Card> {
    let dir = root.join(&name);
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    if read("type").trim() != "1" {
        return None;
    }
    let has = |file: &str| dir.join(file).exists();
    let flags = u32::from_str_radix(read("flags").trim().trim_start_matches("0x"), 16).unwrap_or_default();
    let is_bridge = has("bridge");
    let ports = fs::read_dir(dir.join("brif")).into_iter().flatten().flatten();
    let bridges = ports.map(|port| port.file_name()).any(|port| root.join(port).join("device").exists());
    // Bonds, teams and tagged networks are as good as cards.
    let made_of = ["DEVTYPE=bond", "DEVTYPE=vlan", "DEVTYPE=team"].iter().any(|kind| read("uevent").contains(kind));
    let leads_out = if is_bridge { bridges } else { has("device") || made_of } || way_out == Some(name.as_str());
    Some(Card {
        up: flags & UP != 0 && (is_bridge || read("operstate").trim() != "down"),
        is_bridge,
        leads_out: leads_out && !has("tun_flags"),
        // An access point hears nobody but the computer itself; and a port of a bridge belongs to that.
        carries_others: !has("wireless") && !has("phy80211") && !has("brport"),
        name,
    })
}

/// Those that may be meant: whatever a machine file names, and what leads out.
fn interfaces(cards: &[Card], named: &[&str]) -> Vec<Interface> {
    let may = |card: &&Card| card.carries_others && (card.leads_out || named.contains(&card.name.as_str()));
    cards.iter().filter(may).map(|card| Interface { name: card.name.clone(), up: card.up }).collect()
}

fn of_host(networks: &[PublicNetwork], before: &[PublicNetwork]) -> Vec<Interface> {
    let named: Vec<_> = networks.iter().chain(before).flat_map(|network| &network.bridge).map(String::as_str).collect();
    interfaces(&cards(Path::new(CARDS), ranges::way_out().as_deref()), &named)
}

/// The public networks whose interface is the user's choice. `had` are those of the last start.
pub fn open(networks: &[PublicNetwork], had: &[PublicNetwork]) -> Vec<OpenBridge> {
    if networks.is_empty() { Vec::new() } else { bridge::open(networks, had, &of_host(networks, had)) }
}

/// Refuses networks for which there is no interface, or one that nobody has chosen.
pub fn require(networks: &[PublicNetwork], had: &[PublicNetwork]) -> Result<(), ProviderError> {
    if networks.is_empty() { Ok(()) } else { bridge::require(networks, had, &of_host(networks, had)) }
}

/// The plan with one interface for each public network, as it is recorded. `before` is the plan of the last start.
pub fn settled(cx: &Cx, plan: &VmPlan, before: Option<&VmPlan>) -> Result<VmPlan, ProviderError> {
    let networks = &plan.devices.publics;
    if networks.is_empty() {
        return Ok(plan.clone());
    }
    let had = before.map(|before| before.devices.publics.as_slice()).unwrap_or_default();
    bridge::settled(cx, plan, before, &of_host(networks, had))
}

/// What the cards of a settled plan's public networks hang on.
pub fn wires(plan: &VmPlan) -> Vec<Wire> {
    let names = plan.devices.publics.iter().filter_map(|network| network.bridge.first());
    names.map(|name| wire(Path::new(CARDS), name)).collect()
}

fn wire(root: &Path, name: &str) -> Wire {
    let is_bridge = root.join(name).join("bridge").is_dir();
    if is_bridge { Wire::Bridge(name.into()) } else { Wire::Device(name.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A computer in a folder.
    fn host(cards: &[(&str, &[&str])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, has) in cards {
            let dir = root.path().join(name);
            fs::create_dir(&dir).unwrap();
            let mut files = vec![("type", "1"), ("flags", "0x1003"), ("operstate", "up"), ("uevent", "")];
            for has in *has {
                match has.split_once('=') {
                    Some((file, text)) => files.push((file, text)),
                    None => fs::create_dir_all(dir.join(has)).unwrap(),
                }
            }
            for (file, text) in files {
                fs::write(dir.join(file), format!("{text}\n")).unwrap();
            }
        }
        root
    }

    fn up(root: &Path, way_out: Option<&str>, named: &[&str]) -> Vec<String> {
        let network = PublicNetwork::default();
        let among = bridge::open(&[network], &[], &interfaces(&cards(root, way_out), named));
        among.into_iter().flat_map(|open| open.among).collect()
    }

    #[test]
    fn what_leads_to_other_computers_is_offered_and_what_is_named_is_found() {
        let host = host(&[
            ("lo", &["type=772"]),
            ("eth0", &["device"]),
            ("eth1", &["device", "operstate=down"]),
            ("eth2", &["device", "brport"]),
            ("wlan0", &["device", "phy80211"]),
            ("br0", &["bridge", "brif/eth2", "operstate=down"]),
            ("virbr0", &["bridge", "brif/vnet0"]),
            ("vnet0", &["tun_flags", "brport"]),
            ("tap9", &["tun_flags", "device"]),
            ("bond0", &["uevent=DEVTYPE=bond"]),
            ("veth7", &[]),
            ("off0", &["device", "flags=0x1002"]),
        ]);
        assert_eq!(up(host.path(), None, &[]), ["bond0", "br0", "eth0"]);
        assert_eq!(
            up(host.path(), None, &["veth7", "virbr0", "wlan0", "eth2", "off0"]),
            ["bond0", "br0", "eth0", "veth7", "virbr0"]
        );
        // In a container the way out is no card of the computer's.
        assert_eq!(up(host.path(), Some("veth7"), &[]), ["bond0", "br0", "eth0", "veth7"]);
        assert!(cards(&host.path().join("nowhere"), None).is_empty());
        assert_eq!(wire(host.path(), "br0"), Wire::Bridge("br0".into()));
        assert_eq!(wire(host.path(), "eth0"), Wire::Device("eth0".into()));
    }
}
