//! Where a guest is reached that has an address of its own: asked of all who may know it. Nobody is believed for longer than
//! one command: a guest may come back with another address.
//!
//! **The host comes first, the guest's agent last**, and only where the host does not know the one address: an agent may be
//! slow or hang, libvirt waits without end for what it says, and each who waits takes one of the daemon's few threads.

use std::net::IpAddr;
use std::time::Duration;

use super::ffi::{Complaint, Domain, Interface, Source};

/// Who of the host knows something: who gave the guest its address; who has heard of it.
const HOST: [Source; 2] = [Source::Lease, Source::Arp];

/// How long a guest's agent is waited for. One that works answers within milliseconds.
pub const AGENT: Duration = Duration::from_secs(1);

/// The addresses of the card `mac` that the host knows, the most probable first. Nobody who does not answer is missed:
/// before a guest asks for an address there is no lease.
pub fn known(domain: &Domain, mac: &str) -> Result<Vec<IpAddr>, Complaint> {
    let mut found = Vec::new();
    for source in HOST {
        match domain.interfaces(source) {
            Ok(interfaces) => add(&mut found, &interfaces, mac),
            Err(complaint) if complaint.is_lost() || complaint.is_no_domain() => return Err(complaint),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// What the guest says of itself comes before what others say of it.
pub fn with_word(said: &[Interface], known: Vec<IpAddr>, mac: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    add(&mut found, said, mac);
    for address in known {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Adds what can be reached from here. What a guest says is a stranger's word: nothing but addresses is taken.
fn add(found: &mut Vec<IpAddr>, interfaces: &[Interface], mac: &str) {
    let ours = interfaces.iter().filter(|interface| interface.mac.eq_ignore_ascii_case(mac));
    let mut addresses: Vec<IpAddr> =
        ours.flat_map(|interface| &interface.addresses).filter_map(|text| text.parse().ok()).collect();
    addresses.retain(is_reachable);
    // libvirt's own networks speak version 4 first.
    addresses.sort_by_key(IpAddr::is_ipv6);
    for address in addresses {
        if !found.contains(&address) {
            found.push(address);
        }
    }
}

/// Not those that mean something on one computer or one cable alone.
fn is_reachable(address: &IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(four) => four.is_link_local() || four.is_broadcast(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(mac: &str, addresses: &[&str]) -> Interface {
        Interface { mac: mac.into(), addresses: addresses.iter().map(|text| (*text).to_owned()).collect() }
    }

    #[test]
    fn addresses_of_the_one_card_are_taken_once_and_what_cannot_be_reached_is_not() {
        let agent = [
            interface("00:00:00:00:00:00", &["127.0.0.1", "::1"]),
            interface("52:54:00:AA:BB:CC", &["fe80::1", "2001:db8::5", "192.168.122.9", "169.254.3.4", "nonsense"]),
            interface("02:42:00:00:00:01", &["172.17.0.1"]),
        ];
        let lease = [interface("52:54:00:aa:bb:cc", &["192.168.122.9", "192.168.122.8"])];
        let (mac, mut known) = ("52:54:00:aa:bb:cc", Vec::new());
        for interfaces in [&lease[..], &[]] {
            add(&mut known, interfaces, mac);
        }
        let found = with_word(&agent, known, mac);
        let expected = ["192.168.122.9", "2001:db8::5", "192.168.122.8"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(found, expected);
    }
}
