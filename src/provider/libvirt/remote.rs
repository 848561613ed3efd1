//! Machines at other hosts: what of a plan lies there, and how this computer gets to the guest's ports.
//!
//! **Ports.** QEMU opens them at the host that it runs on. Where that host is reached by ssh, they are opened on its own
//! 127.0.0.1, each at a number that we make up, and a background `ssh` (`remote_tunnel`) leads this computer's ports there:
//! the machine file's numbers, addresses and all commands mean what they mean for machines of this computer, and at the other
//! host nothing is open to the network. `ProxyJump` would have been less (no process to look after), but only for the ssh
//! client: a forwarded port would not be one. UDP does not go through ssh, so such a port is told to lie at the other host.
//!
//! A guest with an address of its own on a network of that host is reached by the same `ssh`: once the address is known, a
//! port of this computer that nobody has to know leads to the guest's ssh server there. Its forwards are those above.
//!
//! A host that is reached by TCP or TLS offers nothing to go through. There the ports are opened at an address of that host,
//! for all of its network, and only when the machine file names it (`forward_address`); else the machine is refused.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use super::super::qemu::accel::{self, Engine, Facts};
use super::super::{Boot, Error as ProviderError, Finding, Forward, Level, VmPlan};
use super::uri::Place;
use super::volume_upload::random;
use crate::config::spec::{Accel, LibvirtOptions, Protocol};

/// Numbers that we make up: above those of services, below those that Linux gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How often another number is made up where one was taken.
pub const PORT_TRIES: u32 = 8;

/// A forward as this computer has it, and as QEMU does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// What the caller asked for.
    pub here: Forward,
    /// What QEMU opens at its host.
    pub there: Forward,
    /// Whether the number there is of our making, so that another one will do.
    pub free: bool,
}

/// Where QEMU opens the ports of a machine at `place`.
pub fn hops(place: &Place, address: Option<IpAddr>, forwards: &[Forward]) -> Result<Vec<Hop>, ProviderError> {
    let mut hops: Vec<Hop> = Vec::new();
    for (index, here) in forwards.iter().enumerate() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (host_ip, free) = match place {
            Place::Here => (here.host_ip, false),
            Place::Ssh(_) => (local, here.protocol == Protocol::Tcp),
            // The first leads to the ssh server, whose number nobody has to know.
            Place::Port { .. } => (address.unwrap_or(local), index == 0),
        };
        let mut host = here.host;
        while free && (host == here.host || hops.iter().any(|hop| hop.there.host == host)) {
            host = made_up()?;
        }
        hops.push(Hop { here: here.clone(), there: Forward { host_ip, host, ..here.clone() }, free });
    }
    Ok(hops)
}

/// A port of this computer for the way to the guest's ssh server: the former one where nobody else took it meanwhile, so
/// that what was told by `ssh-config` stays true.
pub fn way(former: Option<u16>, hops: &[Hop]) -> Result<u16, ProviderError> {
    let is_free = |port: u16| {
        hops.iter().all(|hop| hop.here.host != port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    };
    if let Some(port) = former.filter(|port| is_free(*port)) {
        return Ok(port);
    }
    let mut port = made_up()?;
    for _ in 0..PORT_TRIES {
        if is_free(port) {
            break;
        }
        port = made_up()?;
    }
    Ok(port)
}

fn made_up() -> Result<u16, ProviderError> {
    Ok(PORTS.start + u16::try_from(random()? % u32::from(PORTS.end - PORTS.start)).unwrap_or_default())
}

/// Whether another number helps: the one that is taken was made up.
pub fn is_free(hops: &[Hop], error: &ProviderError) -> bool {
    let ProviderError::PortTaken { protocol, port, .. } = error else { return false };
    hops.iter().any(|hop| hop.free && hop.there.host == *port && hop.there.protocol == *protocol)
}

/// A plan whose disks are volumes: what else lies on this computer is left out. The kernel of a box is on its disk too.
pub fn on_volumes(plan: &VmPlan) -> VmPlan {
    VmPlan { boot: Boot::Disk, ..plan.clone() }
}

/// What of a plan cannot be done at `place`, or is not as one might think.
pub fn check(place: &Place, plan: &VmPlan) -> Vec<Finding> {
    let finding = |level, text: String, fix: Option<&str>| Finding { level, text, fix: fix.map(Into::into) };
    let address = plan.libvirt.forward_address;
    let udp = plan.forwards.iter().filter(|forward| forward.protocol == Protocol::Udp);
    match place {
        Place::Port { host, .. } if address.is_none() => {
            let text = format!("the guest's ports would be opened at {host}, where this computer cannot get to them");
            let fix =
                "use `qemu+ssh`, or set `forward_address` to an address of that host, which opens them to its network";
            vec![finding(Level::Bad, text, Some(fix))]
        }
        Place::Here | Place::Ssh(_) if address.is_some() => {
            let text = "`forward_address` is for hosts that are reached by `qemu+tcp` or `qemu+tls`".to_owned();
            vec![finding(Level::Bad, text, Some("leave it out"))]
        }
        Place::Here | Place::Port { .. } => Vec::new(),
        Place::Ssh(host) => udp
            .map(|forward| {
                let (port, guest, host) = (forward.host, forward.guest, &host.host);
                let text =
                    format!("ssh carries no UDP: {port}/udp for the guest's {guest} is opened on 127.0.0.1 of {host}");
                finding(Level::Warning, text, None)
            })
            .collect(),
    }
}

/// How instructions are run at another host, as its daemon tells.
pub fn engine(options: &LibvirtOptions, offers_kvm: bool) -> Result<(Engine, Option<String>), ProviderError> {
    let overridden = std::env::var(accel::OVERRIDE).ok();
    let device = if offers_kvm { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) };
    let facts = Facts { device, virtualization: None };
    match accel::decide(options.accel, overridden.as_deref(), &facts) {
        Err(ProviderError::NoKvm { .. }) => {
            Err(ProviderError::NoKvm { reason: "the other host's daemon does not offer it".into() })
        }
        Ok((Engine::Tcg, Some(_))) if options.accel == Accel::Auto => {
            Ok((Engine::Tcg, Some("the other host's daemon does not offer KVM".into())))
        }
        decided => decided,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{domain, uri};
    use super::*;

    fn forward(protocol: Protocol, host: u16, guest: u16) -> Forward {
        Forward { protocol, host_ip: [0, 0, 0, 0].into(), host, guest }
    }

    #[test]
    fn ports_are_opened_where_something_leads_to_them() {
        let wanted =
            [forward(Protocol::Tcp, 2200, 22), forward(Protocol::Tcp, 8080, 80), forward(Protocol::Udp, 53, 53)];
        let there = |uri: &str, address: Option<IpAddr>| {
            let hops = hops(&uri::place(uri).unwrap(), address, &wanted).unwrap();
            assert!(
                hops.iter().zip(&wanted).all(|(hop, wanted)| hop.here == *wanted && hop.there.guest == wanted.guest)
            );
            hops.into_iter().map(|hop| (hop.there.host_ip.to_string(), hop.there.host)).collect::<Vec<_>>()
        };
        let any = "0.0.0.0".to_owned();
        assert_eq!(there("qemu:///system", None), [(any.clone(), 2200), (any.clone(), 8080), (any, 53)]);
        let ssh = there("qemu+ssh://h/system", None);
        assert!(ssh.iter().all(|(address, _)| address == "127.0.0.1"));
        assert!(PORTS.contains(&ssh[0].1) && PORTS.contains(&ssh[1].1) && ssh[0].1 != ssh[1].1 && ssh[2].1 == 53);
        let port = there("qemu+tcp://h/system", Some([192, 0, 2, 1].into()));
        assert!(port.iter().all(|(address, _)| address == "192.0.2.1"));
        assert!(PORTS.contains(&port[0].1) && port[1].1 == 8080, "the machine file's number counts");
    }

    #[test]
    fn the_way_to_a_guest_keeps_its_port_until_somebody_takes_it() {
        let port = way(None, &[]).unwrap();
        assert!(PORTS.contains(&port));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = taken.local_addr().unwrap().port();
        assert_ne!(way(Some(theirs), &[]).unwrap(), theirs);
        drop(taken);
        let place = uri::place("qemu+ssh://h/system").unwrap();
        let hops = hops(&place, None, &[forward(Protocol::Tcp, port, 80)]).unwrap();
        assert_ne!(way(Some(port), &hops).unwrap(), port, "the machine file wants it for something else");
    }

    #[test]
    fn only_a_number_of_our_making_is_made_up_anew() {
        let place = uri::place("qemu+tcp://h/system").unwrap();
        let hops = hops(&place, None, &[forward(Protocol::Tcp, 2200, 22), forward(Protocol::Tcp, 80, 80)]).unwrap();
        let taken = |hop: &Hop| ProviderError::PortTaken {
            protocol: hop.there.protocol,
            host_ip: hop.there.host_ip,
            port: hop.there.host,
        };
        assert!(is_free(&hops, &taken(&hops[0])));
        assert!(!is_free(&hops, &taken(&hops[1])));
        assert!(!is_free(&hops, &ProviderError::AccelValue(String::new())));
    }

    #[test]
    fn a_host_without_ssh_needs_an_address_and_the_others_have_none() {
        let plan = |address: Option<[u8; 4]>| VmPlan {
            forwards: vec![forward(Protocol::Udp, 5353, 53)],
            libvirt: LibvirtOptions { forward_address: address.map(Into::into), ..LibvirtOptions::default() },
            ..domain::tests::plan()
        };
        let said = |uri: &str, address| {
            let found = check(&uri::place(uri).unwrap(), &plan(address));
            found.into_iter().map(|finding| (finding.level, finding.text)).collect::<Vec<_>>()
        };
        let some = Some([192, 0, 2, 1]);
        assert!(said("qemu+tcp://h/system", some).is_empty() && said("qemu:///system", None).is_empty());
        let text = "the guest's ports would be opened at h, where this computer cannot get to them";
        assert_eq!(said("qemu+tls://h/system", None), [(Level::Bad, text.to_owned())]);
        let text = "`forward_address` is for hosts that are reached by `qemu+tcp` or `qemu+tls`";
        assert_eq!(said("qemu+ssh://h/system", some), [(Level::Bad, text.to_owned())]);
        let text = "ssh carries no UDP: 5353/udp for the guest's 53 is opened on 127.0.0.1 of h";
        assert_eq!(said("qemu+ssh://h/system", None), [(Level::Warning, text.to_owned())]);
    }

    #[test]
    fn the_other_hosts_word_counts_for_hardware() {
        let options = |accel| LibvirtOptions { accel, ..LibvirtOptions::default() };
        if std::env::var_os(accel::OVERRIDE).is_some() {
            return;
        }
        assert_eq!(engine(&options(Accel::Auto), true).unwrap(), (Engine::Kvm, None));
        assert_eq!(engine(&options(Accel::Auto), false).unwrap().0, Engine::Tcg);
        assert_eq!(engine(&options(Accel::Tcg), true).unwrap(), (Engine::Tcg, None));
        assert!(engine(&options(Accel::Kvm), false).unwrap_err().to_string().contains("daemon does not offer it"));
    }
}
