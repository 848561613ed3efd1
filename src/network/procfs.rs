//! Parsers of what the kernel tells about sockets (`proc_pid_net(5)`): pure functions of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One line of `/proc/net/{tcp,tcp6,udp,udp6}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The address it is bound to.
    pub address: IpAddr,
    /// The port it is bound to.
    pub port: u16,
    /// Whether it is a TCP socket that listens.
    pub listening: bool,
    /// Whose it is.
    pub uid: u32,
    /// Names the socket in `/proc/<pid>/fd`.
    pub inode: u64,
}

/// The kernel's number for a TCP socket that listens.
const LISTEN: &str = "0A";

/// All sockets of a table; lines that are not understood are left out.
pub fn sockets(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().filter_map(socket)
}

fn socket(line: &str) -> Option<Socket> {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.rsplit_once(':')?;
    let listening = fields.nth(1)? == LISTEN;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Socket { address: self::address(address)?, port: u16::from_str_radix(port, 16).ok()?, listening, uid, inode })
}

/// The kernel prints each 32-bit word of an address as a number of this machine's byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(hex)?))),
        32 => {
            let mut bytes = [0; 16];
            for (i, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(&hex[i * 8..i * 8 + 8])?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The inode in the target of a link in `/proc/<pid>/fd`: `socket:[12345]`.
pub fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0898 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D3B4 01 00000000:00000000 02:000005A3 00000000     0        0 777 2 0000000000000000 20 4 30 10 -1
   2: broken
";

    const TCP6: &str = "\
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1
   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 98 1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_tables_are_read() {
        let tcp: Vec<_> = sockets(TCP).collect();
        let localhost = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(
            tcp,
            [
                Socket { address: localhost, port: 2200, listening: true, uid: 1000, inode: 12345 },
                Socket { address: localhost, port: 8080, listening: false, uid: 0, inode: 777 },
            ]
        );
        let tcp6: Vec<_> = sockets(TCP6).map(|s| (s.address.to_string(), s.port, s.uid, s.inode)).collect();
        assert_eq!(tcp6, [("::".into(), 22, 0, 99), ("::ffff:127.0.0.1".into(), 80, 33, 98)]);
    }

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        for (link, inode) in [("socket:[12]", Some(12)), ("pipe:[12]", None), ("socket:[x]", None), ("/a", None)] {
            assert_eq!(socket_inode(link), inode, "{link}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", words in prop::collection::vec("[0-9A-Fa-f:é ]{0,40}", 0..12)) {
            let _ = sockets(&text).count();
            let _ = sockets(&words.join(" ")).count();
            let _ = socket_inode(&text);
        }

        #[test]
        fn what_the_kernel_would_print_is_read_back(ip: [u8; 4], port: u16, uid: u32, inode: u64, listening: bool) {
            let line = format!(
                "   0: {:08X}:{port:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0",
                u32::from_ne_bytes(ip), if listening { "0A" } else { "01" },
            );
            let expected = Socket { address: ip.into(), port, listening, uid, inode };
            prop_assert_eq!(sockets(&line).collect::<Vec<_>>(), vec![expected]);
        }
    }
}
