//! Forwarded ports that the machine file changes while the machine runs.

use serde_json::json;

use super::record::{MachineDir, MachineRecord};
use super::status::backend;
use super::up::{inherited, owner};
use super::{Fleet, plan};
use crate::config::spec::{ForwardedPort, MachineSpec};
use crate::error::Failure;
use crate::network::{Ports, Wishes, is_for_ssh, plan_forwards};
use crate::progress::Cx;
use crate::provider::{Forward, Provider, Vm};

/// Lets a machine that runs have the forwarded ports that its machine file says by now; whether that changed any. What takes
/// a new start stays as it is: on most providers all, and everywhere the way to ssh.
///
/// A kill in between leaves a record with what is sure to be there, so that the next `up` goes on from that.
pub(super) fn follow(
    cx: &Cx,
    fleet: &Fleet,
    dir: &MachineDir,
    record: &mut MachineRecord,
    spec: &MachineSpec,
    vm: &mut dyn Vm,
) -> Result<bool, Failure> {
    let now = json!(spec.forwarded_ports);
    let before = record.started_with.get(plan::FORWARDS).filter(|before| **before != now);
    let Some(before) = before.filter(|_| backend(record.provider).is_ok_and(Provider::changes_forwards)) else {
        return Ok(false);
    };
    let Ok(before) = serde_json::from_value::<Vec<ForwardedPort>>(before.clone()) else { return Ok(false) };
    let Some(change) = Change::new(&before, &record.forwards, &spec.forwarded_ports) else { return Ok(false) };
    cx.step("forwards", || apply(cx, fleet, dir, record, spec, vm, &change)).1?;
    Ok(true)
}

fn apply(
    cx: &Cx,
    fleet: &Fleet,
    dir: &MachineDir,
    record: &mut MachineRecord,
    spec: &MachineSpec,
    vm: &mut dyn Vm,
    change: &Change,
) -> Result<(), Failure> {
    let remembered = record.forwards.clone();
    // What goes makes room for what comes.
    let (forwards, lines) = change.kept();
    vm.change_forwards(cx, &forwards)?;
    for gone in remembered.iter().filter(|old| !forwards.contains(old)) {
        Ports(fleet.dirs()).forget(gone.protocol, gone.host)?;
    }
    note(dir, record, forwards, &lines)?;
    let new = change.new_lines();
    let owner = owner(record);
    let wishes = Wishes { forwards: &new, ssh_guest_port: None, ..Wishes::of(spec, &remembered, &owner) };
    let planned = plan_forwards(cx, Ports(fleet.dirs()), &wishes)?;
    let all = change.all(planned.list());
    // From here on the ports are the hypervisor's to take.
    drop(inherited(&planned));
    vm.change_forwards(cx, &all)?;
    note(dir, record, all, &spec.forwarded_ports)
}

/// Records what is there, and for which lines of the machine file.
fn note(
    dir: &MachineDir,
    record: &mut MachineRecord,
    forwards: Vec<Forward>,
    lines: &[ForwardedPort],
) -> Result<(), Failure> {
    record.forwards = forwards;
    record.started_with.insert(plan::FORWARDS.into(), json!(lines));
    Ok(dir.write(record)?)
}

/// What stays and what comes.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    /// The way to ssh, and lines of the machine file for it.
    ssh: (Vec<Forward>, Vec<ForwardedPort>),
    /// The other lines of the machine file, with what is there for them already.
    lines: Vec<(ForwardedPort, Option<Forward>)>,
}

impl Change {
    /// From the lines `before`, for which the forwards of `there` were made in the same order, to those of `now`; `None` where
    /// the way to ssh changes, or what is there cannot be told apart.
    fn new(before: &[ForwardedPort], there: &[Forward], now: &[ForwardedPort]) -> Option<Self> {
        let split = |lines: &[ForwardedPort]| -> (Vec<_>, Vec<_>) { lines.iter().cloned().partition(is_for_ssh) };
        let ((old_ssh, old), (ssh, now)) = (split(before), split(now));
        let first = there.len().checked_sub(old.len()).filter(|first| *first == old_ssh.len().max(1))?;
        if old_ssh != ssh {
            return None;
        }
        let mut free: Vec<_> = old.iter().zip(&there[first..]).collect();
        let mut take = |line: ForwardedPort| {
            let at = free.iter().position(|(old, forward)| **old == line || is_for(&line, forward));
            let forward = at.map(|at| free.remove(at).1.clone());
            (line, forward)
        };
        let lines = now.into_iter().map(&mut take).collect();
        Some(Self { ssh: (there[..first].to_vec(), ssh), lines })
    }

    /// What stays, and the lines that it is for.
    fn kept(&self) -> (Vec<Forward>, Vec<ForwardedPort>) {
        let (mut forwards, mut lines) = self.ssh.clone();
        for (line, forward) in &self.lines {
            if let Some(forward) = forward {
                forwards.push(forward.clone());
                lines.push(line.clone());
            }
        }
        (forwards, lines)
    }

    /// The lines for which nothing is there yet.
    fn new_lines(&self) -> Vec<ForwardedPort> {
        self.lines.iter().filter(|(_, forward)| forward.is_none()).map(|(line, _)| line.clone()).collect()
    }

    /// All forwards in the order of the machine file, with those for `new_lines`.
    fn all(&self, new: Vec<Forward>) -> Vec<Forward> {
        let mut new = new.into_iter();
        let lines = self.lines.iter().filter_map(|(_, forward)| forward.clone().or_else(|| new.next()));
        self.ssh.0.iter().cloned().chain(lines).collect()
    }
}

/// Whether a forward is what a line asks for.
fn is_for(line: &ForwardedPort, forward: &Forward) -> bool {
    let same = (line.protocol, line.host_ip, line.guest) == (forward.protocol, forward.host_ip, forward.guest);
    same && line.host.is_none_or(|host| host == forward.host)
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

    #[test]
    fn what_is_there_stays_and_what_comes_takes_its_place_in_order() {
        let before = [line(80, Some(8080)), line(81, None), line(82, Some(8082))];
        let now = [line(90, Some(8082)), line(81, None), line(80, Some(8080))];
        let change = Change::new(&before, &there(&[(22, 2200), (80, 8080), (81, 2201), (82, 8082)]), &now).unwrap();
        assert_eq!(change.kept(), (there(&[(22, 2200), (81, 2201), (80, 8080)]), vec![now[1].clone(), now[2].clone()]));
        assert_eq!(change.new_lines(), [now[0].clone()]);
        let all = change.all(there(&[(90, 8082)]));
        assert_eq!(all, there(&[(22, 2200), (90, 8082), (81, 2201), (80, 8080)]));
    }

    #[test]
    fn a_port_that_gave_way_stays_where_it_is_as_long_as_its_line_does() {
        let corrected = ForwardedPort { auto_correct: true, ..line(80, Some(8080)) };
        let forwards = there(&[(22, 2200), (80, 2201)]);
        let more = [corrected.clone(), line(81, None)];
        let change = Change::new(std::slice::from_ref(&corrected), &forwards, &more).unwrap();
        assert_eq!(change.kept().0, forwards);
        let insists = [line(80, Some(8080))];
        let change = Change::new(&[corrected], &forwards, &insists).unwrap();
        assert_eq!(change.new_lines(), insists);
    }

    #[test]
    fn the_way_to_ssh_takes_a_new_start() {
        let ssh = ForwardedPort { id: Some("ssh".into()), ..line(22, Some(2222)) };
        let (own, theirs) = (there(&[(22, 2200)]), there(&[(22, 2222)]));
        assert_eq!(Change::new(&[], &own, std::slice::from_ref(&ssh)), None);
        assert_eq!(Change::new(std::slice::from_ref(&ssh), &theirs, &[]), None);
        let now = [line(80, None), ssh.clone()];
        let change = Change::new(&[ssh], &theirs, &now).unwrap();
        assert_eq!(change.all(there(&[(80, 2201)])), there(&[(22, 2222), (80, 2201)]));
    }

    #[test]
    fn a_record_that_does_not_fit_the_lines_is_left_alone() {
        assert_eq!(Change::new(&[line(80, None)], &[], &[]), None);
        assert_eq!(Change::new(&[], &there(&[(22, 2200), (80, 2201)]), &[]), None);
    }
}
