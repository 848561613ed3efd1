//! Questions about a whole project, and the checks of what no machine can see alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use toml::Spanned;

use super::nearest::nearest;
use super::read::{Note, Reader};
use super::resolve::Machine;
use super::spec::{MachineSpec, Project, Protocol};

impl Project {
    /// The machine of that name.
    pub fn machine(&self, name: &str) -> Option<&MachineSpec> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// The machine that commands for one machine take when none is named: the primary one, or the only one.
    pub fn primary(&self) -> Option<&MachineSpec> {
        match &self.machines[..] {
            [only] => Some(only),
            all => all.iter().find(|machine| machine.primary),
        }
    }

    /// The machines in groups: those of one group may start at the same time, once all before it are ready. Within a
    /// group they are in the order of the file.
    pub fn start_order(&self) -> Vec<Vec<&MachineSpec>> {
        let names: BTreeSet<&str> = self.machines.iter().map(|machine| machine.name.as_str()).collect();
        let mut ready = BTreeSet::new();
        let mut left: Vec<&MachineSpec> = self.machines.iter().collect();
        let mut groups = Vec::new();
        while !left.is_empty() {
            let waits = |name: &String| names.contains(name.as_str()) && !ready.contains(name.as_str());
            let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(|m| m.depends_on.iter().any(waits));
            if now.is_empty() {
                // A cycle, which `load` refuses: rather start them all than none.
                groups.push(later);
                break;
            }
            ready.extend(now.iter().map(|machine| machine.name.as_str()));
            groups.push(now);
            left = later;
        }
        groups
    }
}

/// Everything that concerns more than one machine. `of_vagrant` files are used as they are: what cannot work is told, and
/// refused by the command that needs it.
pub fn check(machines: &[Machine], reader: &Reader, of_vagrant: bool) {
    check_boxes(machines, reader, of_vagrant);
    check_primary(machines, reader);
    check_dependencies(machines, reader);
    check_ports(machines, reader, of_vagrant);
}

fn told(reader: &Reader, of_vagrant: bool, message: String) -> Note<'_> {
    if of_vagrant { reader.warning(message) } else { reader.error(message) }
}

fn check_boxes(machines: &[Machine], reader: &Reader, of_vagrant: bool) {
    if reader.is_incomplete() {
        return;
    }
    for machine in machines.iter().filter(|machine| !machine.layer.has_box) {
        let key = if of_vagrant { "config.vm.box" } else { "box" };
        let help = format!("write `{key} = \"debian/bookworm64\"`, or the URL or path of a box");
        let note = match &machine.span {
            Some(span) => {
                told(reader, of_vagrant, format!("machine `{}` has no box", machine.name)).at(span.clone(), "")
            }
            None => told(reader, of_vagrant, "there is no `box`".into()),
        };
        note.help(help).push();
    }
}

fn check_primary(machines: &[Machine], reader: &Reader) {
    let primaries: Vec<_> = machines.iter().filter_map(|m| Some((m, m.primary.as_ref()?))).collect();
    let mut primaries = primaries.into_iter().filter(|(_, primary)| *primary.get_ref());
    let Some((first, first_primary)) = primaries.next() else { return };
    for (second, primary) in primaries {
        let note = reader.error(format!("two machines are primary: `{}` and `{}`", first.name, second.name));
        note.at(primary.span(), "").at(first_primary.span(), "the first").help("only one can be").push();
    }
}

fn check_dependencies(machines: &[Machine], reader: &Reader) {
    let names: Vec<_> = machines.iter().map(|machine| machine.name.as_str()).collect();
    for machine in machines {
        for name in machine.depends_on.iter().filter(|name| !names.contains(&name.get_ref().as_str())) {
            let note = reader.error(format!("`{}` depends on `{}`, which is no machine", machine.name, name.get_ref()));
            let help = match nearest(name.get_ref(), names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("machines: {}", names.join(", ")),
            };
            note.at(name.span(), "").help(help).push();
        }
    }
    check_cycles(machines, reader);
}

/// Takes away what does not lie on a cycle, then walks each cycle that is left once.
fn check_cycles(machines: &[Machine], reader: &Reader) {
    let find = |name: &str| machines.iter().position(|machine| machine.name == name);
    let edges: Vec<Vec<(usize, Range<usize>)>> = machines
        .iter()
        .map(|m| m.depends_on.iter().filter_map(|name| Some((find(name.get_ref())?, name.span()))).collect())
        .collect();
    let mut stuck = vec![true; machines.len()];
    loop {
        let free = |at: usize, stuck: &[bool]| edges[at].iter().all(|(next, _)| !stuck[*next]);
        let Some(at) = (0..machines.len()).find(|&at| stuck[at] && free(at, &stuck)) else { break };
        stuck[at] = false;
    }
    let mut told = vec![false; machines.len()];
    for start in (0..machines.len()).filter(|&at| stuck[at]) {
        let mut path: Vec<(usize, Range<usize>)> = Vec::new();
        let mut at = start;
        while !told[at] && !path.iter().any(|(seen, _)| *seen == at) {
            let Some((next, span)) = edges[at].iter().find(|(next, _)| stuck[*next]) else { break };
            path.push((at, span.clone()));
            at = *next;
        }
        let cycle = path.iter().position(|(seen, _)| *seen == at).map_or(&[][..], |from| &path[from..]);
        tell_cycle(cycle, machines, reader);
        for (seen, _) in path {
            told[seen] = true;
        }
    }
}

fn tell_cycle(cycle: &[(usize, Range<usize>)], machines: &[Machine], reader: &Reader) {
    let Some((first, _)) = cycle.first() else { return };
    let names: Vec<_> = cycle.iter().map(|(at, _)| at).chain([first]).map(|&at| machines[at].name.as_str()).collect();
    let note = reader.error(format!("machines wait for each other: {}", names.join(" -> ")));
    let note = cycle
        .iter()
        .fold(note, |note, (at, span)| note.at(span.clone(), format!("`{}` waits for this one", machines[*at].name)));
    note.help("remove one of them from `depends_on`").push();
}

/// A port of the host that a machine claims.
struct Claim<'m> {
    machine: &'m str,
    ip: IpAddr,
    protocol: Protocol,
    port: u16,
    moves: bool,
    is_ssh: bool,
    span: Range<usize>,
}

impl Claim<'_> {
    /// An unspecified address (`0.0.0.0`, `::`) listens on all of its family.
    fn meets(&self, other: &Self) -> bool {
        let same_ip = self.ip == other.ip
            || (self.ip.is_ipv4() == other.ip.is_ipv4() && (self.ip.is_unspecified() || other.ip.is_unspecified()));
        // With `auto_correct` another port is taken when the machine starts.
        same_ip && self.port == other.port && self.protocol == other.protocol && !self.moves && !other.moves
    }
}

fn claims(machine: &Machine) -> impl Iterator<Item = Claim<'_>> {
    let forwarded = machine.layer.forwarded_ports.iter().filter_map(|forward| {
        let port = forward.get_ref();
        Some(Claim {
            machine: &machine.name,
            ip: port.host_ip,
            protocol: port.protocol,
            port: port.host?,
            moves: port.auto_correct,
            is_ssh: false,
            span: forward.span(),
        })
    });
    let ssh = |port: &Spanned<u16>| Claim {
        machine: &machine.name,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        protocol: Protocol::Tcp,
        port: *port.get_ref(),
        moves: false,
        is_ssh: true,
        span: port.span(),
    };
    forwarded.chain(machine.layer.ssh.port.as_ref().map(ssh))
}

fn check_ports(machines: &[Machine], reader: &Reader, of_vagrant: bool) {
    let mut by_port: BTreeMap<u16, Vec<Claim<'_>>> = BTreeMap::new();
    for claim in machines.iter().flat_map(claims) {
        let others = by_port.entry(claim.port).or_default();
        // The first one is enough: one problem for each claim too many.
        if let Some(first) = others.iter().find(|first| first.meets(&claim)) {
            tell_ports(first, &claim, reader, of_vagrant);
        }
        others.push(claim);
    }
}

fn tell_ports(first: &Claim<'_>, second: &Claim<'_>, reader: &Reader, of_vagrant: bool) {
    let port = format!("{} port {} of the host", second.protocol, second.port);
    let help = if second.is_ssh {
        "choose another port, or leave it out for any free one"
    } else {
        "choose another port, leave `host` out for any free one, or set `auto_correct = true`"
    };
    if first.span == second.span {
        // Without names: however many machines inherit it, it is one problem.
        let note = told(reader, of_vagrant, format!("{port} is used by several machines"));
        return note.at(second.span.clone(), "every machine inherits this").help(help).push();
    }
    let message = if first.machine == second.machine {
        format!("{port} is used twice by machine `{}`", first.machine)
    } else {
        format!("{port} is used by the machines `{}` and `{}`", first.machine, second.machine)
    };
    let who = |claim: &Claim<'_>| format!("for `{}`", claim.machine);
    let note = told(reader, of_vagrant, message).help(help);
    note.at(second.span.clone(), who(second)).at(first.span.clone(), who(first)).push();
}
