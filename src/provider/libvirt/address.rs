//! Where a guest is reached that has an address of its own: asked of all who may know it. Whoever answers first is heard,
//! and nobody is believed for longer than one command: a guest may come back with another address.

use std::net::IpAddr;

use super::ffi::{Complaint, Domain, Interface, Source};

/// In the order of trust: the guest itself; who gave it the address; who has heard of it.
const SOURCES: [Source; 3] = [Source::Agent, Source::Lease, Source::Arp];

/// The addresses of the card `mac`, the most probable first. Nobody who does not answer is missed: most guests have no
/// agent, and before a guest asks for an address there is no lease.
pub fn find(domain: &Domain, mac: &str) -> Result<Vec<IpAddr>, Complaint> {
    let mut found = Vec::new();
    for source in SOURCES {
        match domain.interfaces(source) {
            Ok(interfaces) => add(&mut found, &interfaces, mac),
            Err(complaint) if complaint.is_lost() || complaint.is_no_domain() => return Err(complaint),
            Err(_) => {}
        }
    }
    Ok(found)
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
        let mut found = Vec::new();
        for interfaces in [&agent[..], &lease, &[]] {
            add(&mut found, interfaces, "52:54:00:aa:bb:cc");
        }
        let expected = ["192.168.122.9", "2001:db8::5", "192.168.122.8"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(found, expected);
    }
}
