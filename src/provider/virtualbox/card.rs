//! Cards besides the first, which is on VirtualBox's NAT: one for each network of a plan.

use super::super::{Finding, Level, VmPlan, card_places, further_mac, public_mac};
use crate::config::spec::{NetworkCard, Nic};
use crate::store::MachineId;

/// The last place of a card that every chipset of VirtualBox's has.
pub const LAST: u8 = 8;

/// Cards besides the first.
pub const MOST: usize = LAST as usize - 1;

/// What a card hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A host-only interface.
    HostOnly(String),
    /// A host-only network, where VirtualBox has those instead of interfaces.
    HostOnlyNetwork(String),
    /// An internal network.
    Internal(String),
    /// A NAT network.
    NatNetwork(String),
    /// An interface of this computer.
    Bridged(String),
}

/// A card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its place among the machine's, of which the first is 1.
    pub place: u8,
    /// What it hangs on.
    pub wire: Wire,
    /// Its hardware address, in lower case with colons.
    pub mac: String,
    /// Its kind.
    pub nic: Nic,
}

/// The wishes for cards of a plan with the addresses that they get, private networks first.
fn wishes(id: MachineId, plan: &VmPlan) -> Vec<(&NetworkCard, String)> {
    let own = |card: &NetworkCard, usual: String| card.mac.clone().unwrap_or(usual);
    let private = plan.devices.networks.iter().enumerate();
    let private = private.map(|(i, network)| (&network.card, own(&network.card, further_mac(id, i))));
    let public = plan.devices.publics.iter().enumerate();
    let public = public.map(|(i, network)| (&network.card, own(&network.card, public_mac(id, i))));
    private.chain(public).collect()
}

/// The cards of a plan whose networks hang on `wires`, private ones first.
pub fn cards(id: MachineId, plan: &VmPlan, wires: Vec<Wire>) -> Vec<Card> {
    let wishes = wishes(id, plan);
    let places = card_places(&wishes.iter().map(|(card, _)| *card).collect::<Vec<_>>());
    let cards = wishes.into_iter().zip(places).zip(wires);
    cards
        .map(|(((card, mac), place), wire)| Card { place, wire, mac, nic: card.nic.unwrap_or(plan.devices.nic) })
        .collect()
}

/// What of a plan's cards cannot be.
pub fn check(plan: &VmPlan) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut object = |text: String, fix: &str| {
        found.push(Finding { level: Level::Bad, text, fix: Some(fix.to_owned()) });
    };
    let devices = &plan.devices;
    let private = devices.networks.iter().map(|network| &network.card);
    let cards: Vec<_> = private.chain(devices.publics.iter().map(|network| &network.card)).collect();
    if cards.len() > MOST {
        let text = format!("VirtualBox has no room for {} networks", cards.len());
        object(text, &format!("leave all but {MOST} of them out"));
    }
    let first = NetworkCard { mac: devices.mac.clone(), ..NetworkCard::default() };
    for (index, card) in cards.iter().enumerate() {
        let others = || std::iter::once(&first).chain(cards[..index].iter().copied());
        if let Some(place) = card.adapter.filter(|place| *place > LAST) {
            object(format!("VirtualBox has no network card {place}"), &format!("set `adapter` to 2 to {LAST}"));
        }
        if let Some(place) = card.adapter.filter(|_| others().any(|other| other.adapter == card.adapter)) {
            object(format!("two networks want to be card {place}"), "leave `adapter` of one of them out");
        }
        if let Some(mac) = card.mac.as_ref().filter(|_| others().any(|other| other.mac == card.mac)) {
            object(format!("two cards have the hardware address {mac}"), "leave `mac` of one of them out");
        }
        if card.nic == Some(Nic::Vmxnet3) {
            object("VirtualBox has no vmxnet3 card".into(), "set `nic = \"e1000\"` or `nic = \"virtio\"`");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::argv::tests::plan;
    use super::*;
    use crate::config::spec::{PrivateNetwork, PublicNetwork};

    fn card(adapter: Option<u8>, mac: Option<&str>) -> NetworkCard {
        NetworkCard { adapter, mac: mac.map(Into::into), ..NetworkCard::default() }
    }

    fn with(private: Vec<NetworkCard>, public: Vec<NetworkCard>) -> VmPlan {
        let mut plan = plan();
        plan.devices.networks =
            private.into_iter().map(|card| PrivateNetwork { card, ..PrivateNetwork::default() }).collect();
        plan.devices.publics =
            public.into_iter().map(|card| PublicNetwork { card, ..PublicNetwork::default() }).collect();
        plan
    }

    fn told(plan: &VmPlan) -> Vec<String> {
        check(plan).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn cards_have_the_places_that_they_name_and_the_others_the_next() {
        let mut plan = with(vec![card(None, None), card(Some(2), None)], vec![card(None, Some("08:00:27:00:00:09"))]);
        plan.devices.publics[0].card.nic = Some(Nic::Pcnet);
        plan.devices.nic = Nic::E1000;
        let id = "00112233445546778899aabbccddeeff".parse().unwrap();
        let wires = vec![Wire::HostOnly("a".into()), Wire::Internal("b".into()), Wire::Bridged("c".into())];
        let made = cards(id, &plan, wires);
        assert_eq!(made.iter().map(|card| card.place).collect::<Vec<_>>(), [3, 2, 4]);
        assert_eq!(made.iter().map(|card| card.nic).collect::<Vec<_>>(), [Nic::E1000, Nic::E1000, Nic::Pcnet]);
        let macs: Vec<_> = made.iter().map(|card| card.mac.as_str()).collect();
        assert_eq!(macs, ["52:54:01:dd:ee:ff", "52:54:02:dd:ee:ff", "08:00:27:00:00:09"]);
    }

    #[test]
    fn cards_that_cannot_be_are_told_all_at_once() {
        assert!(told(&with(vec![card(Some(8), None)], vec![card(Some(2), None), card(None, None)])).is_empty());
        assert_eq!(
            told(&with(vec![card(Some(3), None), card(Some(9), None)], vec![card(Some(3), None)])),
            ["VirtualBox has no network card 9", "two networks want to be card 3"]
        );
        let mac = Some("08:00:27:00:00:01");
        assert_eq!(
            told(&with(vec![card(None, mac)], vec![card(None, mac)])),
            ["two cards have the hardware address 08:00:27:00:00:01"]
        );
        let mut first = with(vec![card(None, mac)], Vec::new());
        first.devices.mac = mac.map(Into::into);
        assert_eq!(told(&first).len(), 1, "the machine's first card counts too");
        first.devices.mac = None;
        first.devices.networks[0].card.nic = Some(Nic::Vmxnet3);
        assert_eq!(told(&first), ["VirtualBox has no vmxnet3 card"]);
        assert_eq!(
            told(&with(vec![card(None, None); 5], vec![card(None, None); 3])),
            ["VirtualBox has no room for 8 networks"]
        );
    }
}
