//! Network cards: their hardware addresses, and their places among a machine's.

use crate::config::spec::NetworkCard;
use crate::store::MachineId;

/// Hardware address of the card for a private network, by its place among them.
pub fn further_mac(id: MachineId, place: usize) -> String {
    let b = id.bytes();
    format!("52:54:{:02x}:{:02x}:{:02x}:{:02x}", place + 1, b[13], b[14], b[15])
}

/// Hardware address of the card for a public network, by its place among them.
pub fn public_mac(id: MachineId, place: usize) -> String {
    further_mac(id, place + 0x40)
}

/// A locally administered address in QEMU's range, from the id: it stays over restarts and differs between machines.
pub fn own_mac(id: MachineId) -> String {
    let b = id.bytes();
    format!("52:54:00:{:02x}:{:02x}:{:02x}", b[13], b[14], b[15])
}

/// The address of the card over which forwards come where the first one has an address of its own: none of
/// [`further_mac`]'s.
pub fn forward_mac(id: MachineId) -> String {
    let b = id.bytes();
    format!("52:54:ff:{:02x}:{:02x}:{:02x}", b[13], b[14], b[15])
}

/// Places of further cards among a machine's, of which the first is 1: those that name one have it, the others the next that
/// is free.
pub fn card_places(cards: &[&NetworkCard]) -> Vec<u8> {
    let mut free = (2..=u8::MAX).filter(|place| cards.iter().all(|card| card.adapter != Some(*place)));
    cards.iter().map(|card| card.adapter.or_else(|| free.next()).unwrap_or(u8::MAX)).collect()
}

/// What that card's guest end must be called: QEMU's network for users leads forwards there.
pub const FORWARD_ADDRESS: &str = "10.0.2.15/24";
