//! Which ports a machine gets at this start.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use super::{Error, Ports, Reservation};
use crate::config::spec::{ForwardedPort, MachineSpec, Protocol};
use crate::progress::Cx;
use crate::provider::Forward;

/// The name by which a forwarded port of the machine file replaces our own for SSH, as in Vagrant.
const SSH_ID: &str = "ssh";

/// What a machine would like to have.
#[derive(Clone, Debug)]
pub struct Wishes<'a> {
    /// From the machine file.
    pub forwards: &'a [ForwardedPort],
    /// SSH's port on the host; chosen where `None`.
    pub ssh_port: Option<u16>,
    /// Port of the guest's sshd; `None` where it is reached without a forward.
    pub ssh_guest_port: Option<u16>,
    /// From which free ports are chosen.
    pub range: RangeInclusive<u16>,
    /// What the machine had at its last start, so that it keeps it when it can.
    pub remembered: &'a [Forward],
    /// Shown to others who want the same port: "machine `web` (a1b2c3d4)".
    pub owner: &'a str,
}

impl<'a> Wishes<'a> {
    /// What the machine file says, and the ports of the last start.
    pub fn of(spec: &'a MachineSpec, remembered: &'a [Forward], owner: &'a str) -> Self {
        let (first, last) = spec.usable_port_range;
        Self {
            forwards: &spec.forwarded_ports,
            ssh_port: spec.ssh.port,
            ssh_guest_port: Some(spec.ssh.guest_port),
            range: first..=last,
            remembered,
            owner,
        }
    }
}

/// What a machine gets. The reservations live as long as this, or as the process that inherits their files.
#[derive(Debug)]
pub struct Planned {
    /// The one for SSH is the first.
    pub forwards: Vec<(Forward, Reservation)>,
}

impl Planned {
    /// The port on the host that leads to the guest's sshd, and its address.
    pub fn ssh(&self) -> Option<&Forward> {
        self.forwards.first().map(|(forward, _)| forward)
    }

    /// All forwards, without their reservations.
    pub fn list(&self) -> Vec<Forward> {
        self.forwards.iter().map(|(forward, _)| forward.clone()).collect()
    }
}

/// Reserves all ports of a machine, or none. Says so when a port is not the one that was asked for.
pub fn plan_forwards(cx: &Cx, ports: Ports<'_>, wishes: &Wishes<'_>) -> Result<Planned, Error> {
    let wanted = wanted(wishes);
    check_twice(&wanted)?;
    let mut got: Vec<Option<(Forward, Reservation)>> = wanted.iter().map(|_| None).collect();
    // Fixed ports first, those that may give way after those that may not: none takes what another line insists on.
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| (wanted[index].host.is_none(), wanted[index].auto_correct));
    for index in order {
        let wish = &wanted[index];
        cx.check()?;
        let reservation = reserve(cx, ports, wishes, wish)?;
        let (protocol, host_ip, guest) = (wish.protocol, wish.host_ip, wish.guest);
        got[index] = Some((Forward { protocol, host_ip, host: reservation.port(), guest }, reservation));
    }
    Ok(Planned { forwards: got.into_iter().flatten().collect() })
}

/// Whether a line of the machine file replaces our own forward for SSH.
pub fn is_for_ssh(line: &ForwardedPort) -> bool {
    line.id.as_deref() == Some(SSH_ID)
}

/// SSH's forward and those of the machine file.
fn wanted(wishes: &Wishes<'_>) -> Vec<ForwardedPort> {
    let (ours, mut rest): (Vec<_>, Vec<_>) = wishes.forwards.iter().cloned().partition(is_for_ssh);
    let mut ours = ours.into_iter();
    let usual = wishes.ssh_guest_port.map(|guest| ForwardedPort {
        guest,
        host: wishes.ssh_port,
        host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        protocol: Protocol::Tcp,
        auto_correct: false,
        id: Some(SSH_ID.into()),
    });
    let ssh = ours.next().or(usual);
    rest.splice(0..0, ssh.into_iter().chain(ours));
    rest
}

/// Two lines with one fixed port cannot both have it, unless one of them may give way.
fn check_twice(wanted: &[ForwardedPort]) -> Result<(), Error> {
    for (index, second) in wanted.iter().enumerate() {
        let Some(port) = second.host else { continue };
        let same = |first: &&ForwardedPort| first.host == Some(port) && first.protocol == second.protocol;
        if let Some(first) = wanted[..index].iter().filter(|first| !first.auto_correct).find(same)
            && !second.auto_correct
        {
            let (first, second) = (first.guest, second.guest);
            return Err(Error::Twice { protocol: wanted[index].protocol, port, first, second });
        }
    }
    Ok(())
}

fn reserve(cx: &Cx, ports: Ports<'_>, wishes: &Wishes<'_>, wish: &ForwardedPort) -> Result<Reservation, Error> {
    let ForwardedPort { guest, host, host_ip, protocol, .. } = *wish;
    let remembered =
        wishes.remembered.iter().find(|f| f.guest == guest && f.protocol == protocol && f.host_ip == host_ip);
    let any = || {
        let prefer = remembered.map(|forward| forward.host);
        ports.reserve_any(protocol, host_ip, wishes.range.clone(), prefer, wishes.owner)
    };
    let Some(port) = host else { return any() };
    match ports.reserve(protocol, host_ip, port, wishes.owner) {
        Err(taken @ Error::Taken { .. }) if wish.auto_correct => {
            let reservation = any()?;
            let host = reservation.port();
            cx.note(format!("{taken}; the guest's port {guest} is at {host} instead"));
            Ok(reservation)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::progress::{Cancel, Event, Sink};
    use crate::store::Dirs;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Sink for Notes {
        fn emit(&self, _: Option<&str>, event: &Event) {
            if let Event::Note(text) = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    fn wish(guest: u16, host: Option<u16>, auto_correct: bool) -> ForwardedPort {
        let host_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        ForwardedPort { guest, host, host_ip, protocol: Protocol::Tcp, auto_correct, id: None }
    }

    struct Bench {
        _root: tempfile::TempDir,
        dirs: Dirs,
        range: RangeInclusive<u16>,
    }

    impl Bench {
        /// Each test has a range of its own, since tests run side by side.
        fn new(first: u16) -> Self {
            let root = tempfile::tempdir().unwrap();
            Self { dirs: Dirs::below(root.path()), _root: root, range: first..=first + 50 }
        }

        fn wishes<'a>(&self, forwards: &'a [ForwardedPort], remembered: &'a [Forward]) -> Wishes<'a> {
            let range = self.range.clone();
            Wishes { forwards, ssh_port: None, ssh_guest_port: Some(22), range, remembered, owner: "machine `web`" }
        }

        fn plan(&self, wishes: &Wishes<'_>) -> Result<(Planned, Vec<String>), Error> {
            let notes = Arc::new(Notes::default());
            let cx = Cx::new(notes.clone(), Cancel::default());
            let planned = plan_forwards(&cx, Ports(&self.dirs), wishes)?;
            let notes = notes.0.lock().unwrap().clone();
            Ok((planned, notes))
        }
    }

    fn pairs(planned: &Planned) -> Vec<(u16, u16)> {
        planned.list().iter().map(|f| (f.guest, f.host)).collect()
    }

    #[test]
    fn ssh_comes_first_and_a_chosen_port_leaves_the_fixed_ones_alone() {
        let bench = Bench::new(21_000);
        let (planned, notes) =
            bench.plan(&bench.wishes(&[wish(80, Some(21_000), false), wish(81, None, false)], &[])).unwrap();
        assert_eq!(pairs(&planned), [(22, 21_001), (80, 21_000), (81, 21_002)]);
        assert_eq!(planned.ssh().unwrap().host, 21_001);
        assert!(notes.is_empty());
    }

    #[test]
    fn a_machine_keeps_the_ports_of_its_last_start() {
        let bench = Bench::new(21_100);
        let forwards = [wish(81, None, false)];
        let (first, _) = bench.plan(&bench.wishes(&forwards, &[])).unwrap();
        let other = bench.plan(&bench.wishes(&forwards, &[])).unwrap();
        let (list, expected) = (other.0.list(), pairs(&other.0));
        drop((first, other));
        let (again, _) = bench.plan(&bench.wishes(&forwards, &list)).unwrap();
        assert_eq!(pairs(&again), expected);
    }

    #[test]
    fn a_taken_port_is_corrected_with_a_note_or_refused() {
        let bench = Bench::new(21_200);
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let (planned, notes) = bench.plan(&bench.wishes(&[wish(80, Some(port), true)], &[])).unwrap();
        assert_eq!(pairs(&planned)[1], (80, 21_200));
        assert!(notes[0].ends_with("; the guest's port 80 is at 21200 instead"), "{notes:?}");
        assert!(notes[0].starts_with(&format!("tcp port {port} of 127.0.0.1 is taken by ")), "{notes:?}");
        let refused = bench.plan(&bench.wishes(&[wish(80, Some(port), false)], &[])).unwrap_err();
        assert!(matches!(refused, Error::Taken { .. }));
    }

    #[test]
    fn two_lines_cannot_have_one_port_unless_one_gives_way() {
        let bench = Bench::new(21_300);
        let port = Some(21_340);
        let refused = bench.plan(&bench.wishes(&[wish(80, port, false), wish(81, port, false)], &[])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "tcp port 21340 of the host is forwarded twice, to the guest's ports 80 and 81"
        );
        let (planned, notes) = bench.plan(&bench.wishes(&[wish(81, port, true), wish(80, port, false)], &[])).unwrap();
        assert_eq!(pairs(&planned), [(22, 21_301), (81, 21_300), (80, 21_340)]);
        assert!(notes[0].contains("taken by machine `web`"), "{notes:?}");
    }

    #[test]
    fn a_line_named_ssh_replaces_our_own() {
        let bench = Bench::new(21_400);
        let ssh = ForwardedPort { id: Some("ssh".into()), ..wish(22, Some(21_444), true) };
        let (planned, _) = bench.plan(&bench.wishes(&[wish(80, None, false), ssh], &[])).unwrap();
        assert_eq!(pairs(&planned), [(22, 21_444), (80, 21_400)]);
    }
}
