//! Forwarded ports of a machine that runs. VirtualBox changes them at once and keeps them for later starts; that a port was
//! taken it tells only its log.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use super::super::{Error, Forward};
use super::machine::{Machine, VIRTUALBOX};
use super::rules::{self, Rule};
use super::{argv, files, log, start};
use crate::config::spec::Protocol;
use crate::progress::{Cx, Interrupted};

/// How long the machine's process may take to do what VirtualBox has promised.
const SETTLING: Duration = Duration::from_secs(2);

/// How long after it said that it does it may say that it cannot.
const REFUSAL: Duration = Duration::from_millis(100);

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// Lets a machine that runs have these forwards, and no others of ours.
pub fn change(cx: &Cx, machine: &Machine<'_>, wanted: &[Forward]) -> Result<(), Error> {
    let info = machine.info(cx)?.ok_or_else(start::unregistered)?;
    let (there, stale): (Vec<_>, Vec<_>) = rules::of(&info)
        .into_iter()
        .filter(Rule::is_ours)
        .partition(|rule| rule.forward.as_ref().is_some_and(|forward| wanted.contains(forward)));
    let has = |wish: &Forward| there.iter().any(|rule| rule.forward.as_ref() == Some(wish));
    let new: Vec<_> = wanted.iter().filter(|wish| !has(wish)).cloned().collect();
    if argv::drops_answers(&new, &info) {
        return Err(unanswered());
    }
    for rule in &stale {
        machine.manage.call(cx, &argv::remove_forward(machine.id, &rule.name))?;
    }
    for forward in stale.iter().filter_map(|rule| rule.forward.as_ref()) {
        settled(cx, || can_be_bound(forward.protocol, forward.host_ip, forward.host))?;
    }
    new.iter().try_for_each(|forward| add(cx, machine, forward))
}

/// What lets answers through is read when the card is plugged in.
fn unanswered() -> Error {
    let what = "forward datagrams into a machine that was started without any: their answers would be dropped";
    let hint = "`vbox-rs reload` starts it with the new ports; `vbox-rs suspend` and `vbox-rs resume` do too";
    Error::Unable { provider: VIRTUALBOX, what, hint }
}

fn add(cx: &Cx, machine: &Machine<'_>, forward: &Forward) -> Result<(), Error> {
    let Forward { protocol, host_ip, host: port, .. } = *forward;
    let told = || {
        let text = machine.files.log().map(|path| files::tail(&path, log::TAIL)).unwrap_or_default();
        let count = |ports: Vec<u16>| ports.into_iter().filter(|other| *other == port).count();
        (count(log::added_forwards(&text)), count(log::refused_forwards(&text)))
    };
    let (added, refused) = told();
    machine.manage.call(cx, &argv::add_forward(machine.id, forward))?;
    settled(cx, || told().0 > added)?;
    // A refusal follows at once.
    cx.sleep(REFUSAL)?;
    if told().1 > refused {
        machine.manage.call(&cx.uninterrupted(), &argv::remove_forward(machine.id, &argv::rule_name(forward)))?;
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
