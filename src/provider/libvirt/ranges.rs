//! Which addresses this host uses already, as the kernel's routes tell.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses that lie behind an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which ones.
    pub range: IpNet,
    /// The interface's name.
    pub interface: String,
}

/// Routes with prefixes up to this long lead to everywhere, also where a VPN has split that (0.0.0.0/1, 2000::/3).
const EVERYWHERE: u8 = 3;

/// What this host uses. The way to everywhere is no range of its own.
pub fn of_host() -> Vec<Taken> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut taken = four(&read("/proc/net/route"));
    taken.extend(six(&read("/proc/net/ipv6_route")));
    taken
}

/// The interface that leads to everywhere.
pub fn way_out() -> Option<String> {
    default_of(&fs::read_to_string("/proc/net/route").unwrap_or_default())
}

fn default_of(routes: &str) -> Option<String> {
    let words = routes.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut all = words.filter(|words| words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000"));
    all.next().map(|words| words[0].to_owned())
}

/// The kernel's table, whose numbers are in the order of the network.
pub(super) fn four(routes: &str) -> Vec<Taken> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (to, mask) = (number(words.get(1)?)?, number(words.get(7)?)?);
        let prefix = u8::try_from(mask.leading_ones()).ok().filter(|prefix| *prefix > EVERYWHERE)?;
        let range = IpNet::new(Ipv4Addr::from(to).into(), prefix).ok()?.trunc();
        Some(Taken { range, interface: (*words.first()?).to_owned() })
    };
    routes.lines().skip(1).filter_map(line).collect()
}

/// The table for version 6 of the protocol, without what every computer has.
fn six(routes: &str) -> Vec<Taken> {
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let to = Ipv6Addr::from(u128::from_str_radix(words.first()?, 16).ok()?);
        let prefix = u8::from_str_radix(words.get(1)?, 16).ok().filter(|prefix| *prefix > EVERYWHERE)?;
        let range = IpNet::new(to.into(), prefix).ok()?.trunc();
        let interface = (*words.get(9)?).to_owned();
        let own = to.is_loopback() || to.is_multicast() || to.is_unicast_link_local() || interface == "lo";
        (!own).then_some(Taken { range, interface })
    };
    routes.lines().filter_map(line).collect()
}

/// Whether two ranges have an address in common.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The first of `candidates` in which nobody is.
pub fn first_free(candidates: impl Iterator<Item = IpNet>, taken: &[IpNet]) -> Option<IpNet> {
    let mut candidates = candidates;
    candidates.find(|range| !taken.iter().any(|other| overlap(range, other)))
}

/// 256 addresses each: `first.second.THIRD.0`.
pub fn classes(first: u8, second: u8, thirds: std::ops::RangeInclusive<u8>) -> impl Iterator<Item = IpNet> {
    thirds.filter_map(move |third| IpNet::new(Ipv4Addr::new(first, second, third, 0).into(), 24).ok())
}

/// The address at a place of a range: 1 is the first that anybody can have.
pub fn at(range: &IpNet, place: u32) -> IpAddr {
    match range.network() {
        IpAddr::V4(ip) => IpAddr::V4(u32::from(ip).wrapping_add(place).into()),
        IpAddr::V6(ip) => IpAddr::V6(u128::from(ip).wrapping_add(place.into()).into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn ranges(taken: &[Taken]) -> Vec<String> {
        taken.iter().map(|taken| format!("{} {}", taken.interface, taken.range)).collect()
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let text = format!(
            "{HEAD}eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nvirbr0\t007AA8C0\t0\t1\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        );
        assert_eq!(ranges(&four(&text)), ["eth0 192.168.2.0/24", "virbr0 192.168.122.0/24"]);
        assert_eq!(default_of(&text).as_deref(), Some("eth0"));
        assert_eq!(default_of(HEAD), None);
        let text = "\
fd000001000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     br7
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
";
        assert_eq!(ranges(&six(text)), ["br7 fd00:1::/64"]);
    }

    #[test]
    fn halves_of_everything_are_everything() {
        let four_of = |to: &str, mask: &str| {
            ranges(&four(&format!("{HEAD}tun0\t{to}\t0102A8C0\t0003\t0\t0\t0\t{mask}\t0\t0\t0\n")))
        };
        // 0.0.0.0/1, 128.0.0.0/1, 96.0.0.0/3; 10.0.0.0/8 is somebody's.
        for (to, mask) in [("00000000", "00000080"), ("00000080", "00000080"), ("00000060", "000000E0")] {
            assert!(four_of(to, mask).is_empty(), "{to} {mask}");
        }
        assert_eq!(four_of("0000000A", "000000FF"), ["tun0 10.0.0.0/8"]);
        let six_of = |to: &str, prefix: &str| {
            let none = "0".repeat(32);
            ranges(&six(&format!("{to}{} {prefix} {none} 00 {none} 0 1 0 1 tun0\n", "0".repeat(32 - to.len()))))
        };
        for (to, prefix) in [("2", "03"), ("", "01"), ("8", "01")] {
            assert!(six_of(to, prefix).is_empty(), "{to} {prefix}");
        }
        assert_eq!(six_of("fc", "07"), ["tun0 fc00::/7"]);
    }

    #[test]
    fn ranges_overlap_where_one_is_in_the_other() {
        let range = |text: &str| text.parse::<IpNet>().unwrap();
        assert!(
            overlap(&range("10.0.0.0/8"), &range("10.1.2.0/24"))
                && overlap(&range("10.1.2.0/24"), &range("10.0.0.0/8"))
        );
        assert!(
            !overlap(&range("10.1.2.0/24"), &range("10.1.3.0/24")) && !overlap(&range("::/0"), &range("10.0.0.0/8"))
        );
        assert_eq!(at(&range("192.168.56.0/24"), 10).to_string(), "192.168.56.10");
        assert_eq!(at(&range("fd00::/64"), 1).to_string(), "fd00::1");
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_harm(text in "\\PC*|([0-9A-Fa-f]{0,33}[\t ]{0,2}){0,24}\n?") {
            four(&format!("\n{text}"));
            six(&text);
            default_of(&text);
        }
    }
}
