//! Forwarded ports of a machine that runs. VirtualBox changes them at once and keeps them for later starts; that a port was
//! taken it tells only its log.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use super::super::{Error, Forward};
use super::argv::{self, Args};
use super::machine::Machine;
use super::parse::Info;
use super::{files, log, start};
use crate::config::spec::Protocol;
use crate::progress::{Cx, Interrupted};
use crate::store::MachineId;

/// How long the machine's process may take to do what VirtualBox has promised.
const SETTLING: Duration = Duration::from_secs(2);

/// How long after it said that it does it may say that it cannot.
const REFUSAL: Duration = Duration::from_millis(100);

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// Lets a machine that runs have these forwards, and no others of ours.
pub fn change(cx: &Cx, machine: &Machine<'_>, wanted: &[Forward]) -> Result<(), Error> {
    let info = machine.info(cx)?.ok_or_else(start::unregistered)?;
    let there = rules(&info);
    let rule = |forward: &Forward| argv::rule(forward);
    let stale: Vec<_> = there.iter().filter(|text| !wanted.iter().any(|forward| rule(forward) == **text)).collect();
    for text in &stale {
        machine.manage.call(cx, &forget(machine.id, text))?;
    }
    for (protocol, ip, port) in stale.iter().filter_map(|text| listener(text)) {
        settled(cx, || can_be_bound(protocol, ip, port))?;
    }
    for forward in wanted.iter().filter(|forward| !there.contains(&rule(forward).as_str())) {
        add(cx, machine, forward)?;
    }
    Ok(())
}

fn add(cx: &Cx, machine: &Machine<'_>, forward: &Forward) -> Result<(), Error> {
    let Forward { protocol, host_ip, host: port, .. } = *forward;
    let told = || {
        let text = machine.files.log().map(|path| files::tail(&path, log::TAIL)).unwrap_or_default();
        let count = |ports: Vec<u16>| ports.into_iter().filter(|other| *other == port).count();
        (count(log::added_forwards(&text)), count(log::refused_forwards(&text)))
    };
    let (added, refused) = told();
    machine.manage.call(cx, &argv_add(machine.id, forward))?;
    settled(cx, || told().0 > added)?;
    // A refusal follows at once.
    cx.sleep(REFUSAL)?;
    if told().1 > refused {
        machine.manage.call(&cx.uninterrupted(), &forget(machine.id, &argv::rule(forward)))?;
        return Err(Error::PortTaken { protocol, host_ip, port });
    }
    Ok(())
}

/// Waits until it is so, but not long: what comes later is seen later.
fn settled(cx: &Cx, is_so: impl Fn() -> bool) -> Result<(), Interrupted> {
    let began = Instant::now();
    while !is_so() && began.elapsed() < SETTLING {
        cx.sleep(TICK)?;
    }
    Ok(())
}

fn can_be_bound(protocol: Protocol, ip: IpAddr, port: u16) -> bool {
    match protocol {
        Protocol::Tcp => TcpListener::bind((ip, port)).is_ok(),
        Protocol::Udp => UdpSocket::bind((ip, port)).is_ok(),
    }
}

/// The rules of ours that a machine has, as we wrote them.
fn rules(info: &Info) -> Vec<&str> {
    let all = (0..).map_while(|number| info.get(&format!("Forwarding({number})")));
    all.filter(|rule| rule.starts_with(argv::RULE)).collect()
}

/// Where the host listens for a rule of ours.
fn listener(rule: &str) -> Option<(Protocol, IpAddr, u16)> {
    let fields: Vec<_> = rule.split(',').collect();
    let &[_, protocol, ip, port, ..] = &fields[..] else { return None };
    let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.to_string() == protocol)?;
    Some((protocol, ip.parse().ok()?, port.parse().ok()?))
}

fn argv_add(id: MachineId, forward: &Forward) -> Args {
    words(id, &[&argv::rule(forward)])
}

fn forget(id: MachineId, rule: &str) -> Args {
    words(id, &["delete", rule.split(',').next().unwrap_or(rule)])
}

fn words(id: MachineId, words: &[&str]) -> Args {
    let mut args = argv::control(id, "natpf1");
    args.extend(words.iter().map(Into::into));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(protocol: Protocol, host: u16, guest: u16) -> Forward {
        Forward { protocol, host_ip: IpAddr::from([127, 0, 0, 1]), host, guest }
    }

    #[test]
    fn rules_come_and_go_by_calls_of_their_own() {
        let id = "00112233445546778899aabbccddeeff".parse().unwrap();
        let line = |args: Args| args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        let call = "controlvm 00112233-4455-4677-8899-aabbccddeeff natpf1";
        let udp = forward(Protocol::Udp, 5353, 53);
        assert_eq!(line(argv_add(id, &udp)), format!("{call} vbox-rs-udp-5353,udp,127.0.0.1,5353,,53"));
        assert_eq!(line(forget(id, &argv::rule(&udp))), format!("{call} delete vbox-rs-udp-5353"));
    }

    #[test]
    fn only_rules_of_ours_are_seen() {
        let text = "Forwarding(0)=\"vbox-rs-tcp-2200,tcp,127.0.0.1,2200,,22\"\nForwarding(1)=\"mine,tcp,,80,,80\"\n\
                    Forwarding(2)=\"vbox-rs-udp-53,udp,0.0.0.0,53,,53\"\n";
        let info = Info::parse(text);
        let rules = rules(&info);
        assert_eq!(rules, [&argv::rule(&forward(Protocol::Tcp, 2200, 22)), "vbox-rs-udp-53,udp,0.0.0.0,53,,53"]);
        assert_eq!(listener(rules[0]), Some((Protocol::Tcp, [127, 0, 0, 1].into(), 2200)));
        assert_eq!(listener(rules[1]), Some((Protocol::Udp, [0, 0, 0, 0].into(), 53)));
        assert_eq!(listener("vbox-rs-tcp-x,tcp,127.0.0.1,x,,22"), None);
        assert_eq!(listener("vbox-rs-"), None);
    }
}
