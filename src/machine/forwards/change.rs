//! What of the forwards that are there stays, and what comes.

use crate::config::spec::ForwardedPort;
use crate::network::is_for_ssh;
use crate::provider::Forward;

/// Forwards, and the lines of the machine file that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub forwards: Vec<Forward>,
    pub lines: Vec<ForwardedPort>,
}

/// What stays and what comes.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The way to ssh, and lines of the machine file for it.
    ssh: Made,
    /// The other lines of the machine file, with what is there for them already.
    lines: Vec<(ForwardedPort, Option<Forward>)>,
}

impl Change {
    /// From what is there, made in the order of its lines, to the lines of `now`; `None` where the way to ssh changes, or what
    /// is there cannot be told apart.
    pub fn new(there: &Made, now: &[ForwardedPort]) -> Option<Self> {
        let split = |lines: &[ForwardedPort]| -> (Vec<_>, Vec<_>) { lines.iter().cloned().partition(is_for_ssh) };
        let ((old_ssh, old), (ssh, now)) = (split(&there.lines), split(now));
        let forwards = &there.forwards;
        let first = forwards.len().checked_sub(old.len()).filter(|first| *first == old_ssh.len().max(1))?;
        if old_ssh != ssh {
            return None;
        }
        let mut free: Vec<_> = old.iter().zip(&forwards[first..]).collect();
        let mut lines: Vec<_> = now.into_iter().map(|line| (line, None)).collect();
        // What is the same line, then what the port is for, then what takes any: each finds its own before another takes it.
        let is_same: Suits = |line, old, _| line == old;
        let is_for: Suits = |line, _, there| line.host == Some(there.host) && leads_alike(line, there);
        let takes_any: Suits = |line, _, there| line.host.is_none() && leads_alike(line, there);
        for suits in [is_same, is_for, takes_any] {
            for (line, forward) in lines.iter_mut().filter(|(_, forward)| forward.is_none()) {
                let at = free.iter().position(|(old, there)| suits(line, old, there));
                *forward = at.map(|at| free.remove(at).1.clone());
            }
        }
        let mut change = Self { ssh: Made { forwards: forwards[..first].to_vec(), lines: ssh }, lines };
        change.make_way();
        Some(change)
    }

    /// Lets go of chosen ports that a new line insists on.
    fn make_way(&mut self) {
        let new = self.new_lines();
        let insisted = |there: &Forward| {
            new.iter().any(|new| !new.auto_correct && (new.protocol, new.host) == (there.protocol, Some(there.host)))
        };
        for (_, forward) in self.lines.iter_mut().filter(|(line, _)| line.host.is_none() || line.auto_correct) {
            forward.take_if(|there| insisted(there));
        }
    }

    /// What stays.
    pub fn kept(&self) -> Made {
        let mut kept = self.ssh.clone();
        for (line, forward) in &self.lines {
            if let Some(forward) = forward {
                kept.forwards.push(forward.clone());
                kept.lines.push(line.clone());
            }
        }
        kept
    }

    /// The lines for which nothing is there yet.
    pub fn new_lines(&self) -> Vec<ForwardedPort> {
        self.lines.iter().filter(|(_, forward)| forward.is_none()).map(|(line, _)| line.clone()).collect()
    }

    /// All forwards in the order of the machine file, with those for `new_lines`.
    pub fn all(&self, new: Vec<Forward>) -> Vec<Forward> {
        let mut new = new.into_iter();
        let lines = self.lines.iter().filter_map(|(_, forward)| forward.clone().or_else(|| new.next()));
        self.ssh.forwards.iter().cloned().chain(lines).collect()
    }
}

/// Whether a line is for a forward that was made for another one.
type Suits = fn(&ForwardedPort, &ForwardedPort, &Forward) -> bool;

/// Whether a forward leads where a line wants it to, from whichever port.
fn leads_alike(line: &ForwardedPort, there: &Forward) -> bool {
    (line.protocol, line.host_ip, line.guest) == (there.protocol, there.host_ip, there.guest)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::spec::Protocol;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn line(guest: u16, host: Option<u16>) -> ForwardedPort {
        ForwardedPort { guest, host, host_ip: LOCAL, protocol: Protocol::Tcp, auto_correct: false, id: None }
    }

    fn there(pairs: &[(u16, u16)]) -> Vec<Forward> {
        let forward = |&(guest, host)| Forward { protocol: Protocol::Tcp, host_ip: LOCAL, host, guest };
        pairs.iter().map(forward).collect()
    }

    fn made(forwards: &[(u16, u16)], lines: &[ForwardedPort]) -> Made {
        Made { forwards: there(forwards), lines: lines.to_vec() }
    }

    #[test]
    fn what_is_there_stays_and_what_comes_takes_its_place_in_order() {
        let before = [line(80, Some(8080)), line(81, None), line(82, Some(8082))];
        let now = [line(90, Some(8082)), line(81, None), line(80, Some(8080))];
        let change = Change::new(&made(&[(22, 2200), (80, 8080), (81, 2201), (82, 8082)], &before), &now).unwrap();
        assert_eq!(change.kept(), made(&[(22, 2200), (81, 2201), (80, 8080)], &now[1..]));
        assert_eq!(change.new_lines(), [now[0].clone()]);
        let all = change.all(there(&[(90, 8082)]));
        assert_eq!(all, there(&[(22, 2200), (90, 8082), (81, 2201), (80, 8080)]));
    }

    #[test]
    fn a_port_that_gave_way_stays_where_it_is_as_long_as_its_line_does() {
        let corrected = ForwardedPort { auto_correct: true, ..line(80, Some(8080)) };
        let there = made(&[(22, 2200), (80, 2201)], std::slice::from_ref(&corrected));
        let change = Change::new(&there, &[corrected, line(81, None)]).unwrap();
        assert_eq!(change.kept(), there);
        let insists = [line(80, Some(8080))];
        let change = Change::new(&there, &insists).unwrap();
        assert_eq!(change.new_lines(), insists);
    }

    #[test]
    fn the_way_to_ssh_takes_a_new_start() {
        let ssh = ForwardedPort { id: Some("ssh".into()), ..line(22, Some(2222)) };
        let theirs = made(&[(22, 2222)], std::slice::from_ref(&ssh));
        assert_eq!(Change::new(&made(&[(22, 2200)], &[]), std::slice::from_ref(&ssh)), None);
        assert_eq!(Change::new(&theirs, &[]), None);
        let change = Change::new(&theirs, &[line(80, None), ssh]).unwrap();
        assert_eq!(change.all(there(&[(80, 2201)])), there(&[(22, 2222), (80, 2201)]));
    }

    #[test]
    fn a_record_that_does_not_fit_the_lines_is_left_alone() {
        assert_eq!(Change::new(&made(&[], &[line(80, None)]), &[]), None);
        assert_eq!(Change::new(&made(&[(22, 2200), (80, 2201)], &[]), &[]), None);
    }

    #[test]
    fn of_two_lines_for_one_port_each_keeps_its_own() {
        let (fixed, any) = (line(80, Some(8080)), line(80, None));
        let there = made(&[(22, 2200), (80, 8080), (80, 2201)], &[fixed.clone(), any.clone()]);
        let change = Change::new(&there, std::slice::from_ref(&any)).unwrap();
        assert_eq!(change.kept(), made(&[(22, 2200), (80, 2201)], std::slice::from_ref(&any)));
        let swapped = [any.clone(), fixed.clone()];
        let change = Change::new(&there, &swapped).unwrap();
        assert_eq!(change.kept(), made(&[(22, 2200), (80, 2201), (80, 8080)], &swapped));
        // Lines that were given names: none is the same any more.
        let named = |line: ForwardedPort| ForwardedPort { id: Some("web".into()), ..line };
        let change = Change::new(&there, &[named(any), named(fixed)]).unwrap();
        assert_eq!(change.kept().forwards, self::there(&[(22, 2200), (80, 2201), (80, 8080)]));
    }

    #[test]
    fn a_chosen_port_makes_way_for_a_line_that_insists_on_it() {
        let there = made(&[(22, 2200), (80, 2201), (81, 2202)], &[line(80, None), line(81, None)]);
        let now = [line(80, None), line(81, None), line(82, Some(2201))];
        let change = Change::new(&there, &now).unwrap();
        assert_eq!(change.new_lines(), [now[0].clone(), now[2].clone()]);
        let gives_way = ForwardedPort { auto_correct: true, ..line(82, Some(2201)) };
        let change = Change::new(&there, &[line(80, None), line(81, None), gives_way.clone()]).unwrap();
        assert_eq!(change.new_lines(), [gives_way]);
    }
}
