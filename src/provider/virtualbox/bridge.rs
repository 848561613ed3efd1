//! Interfaces of this computer that cards may be bridged to, as VirtualBox lists them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::bridge::{self, Interface};
use super::super::{Error, OpenBridge, VmPlan};
use super::machine::Machine;
use super::network::Subnet;
use super::run::Manage;
use super::{argv, parse};
use crate::config::spec::PublicNetwork;
use crate::progress::Cx;

/// An interface, and the network in which it has an address.
type Found = (Interface, Option<Subnet>);

/// How long an answer counts: one command asks several times, for each of its machines, and interfaces seldom come and go.
const FRESH: Duration = Duration::from_secs(60);

/// The last answer.
static LAST: Mutex<Option<(Instant, Vec<Found>)>> = Mutex::new(None);

/// What `list bridgedifs` tells, with the patience of who goes on from it.
fn ask(cx: &Cx, manage: &Manage) -> Result<Vec<Found>, Error> {
    // Who waits here has the same context as who asks, which ends when that is interrupted.
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(found.clone());
    }
    let found = listed(&manage.call(cx, &argv::list("bridgedifs"))?);
    *last = Some((Instant::now(), found.clone()));
    Ok(found)
}

/// Each interface with the network in which it has an address.
fn listed(text: &str) -> Vec<Found> {
    let mut all = Vec::new();
    for block in parse::blocks(text) {
        let field = |name: &str| block.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if let Some(name) = field("Name").filter(|name| !name.is_empty()) {
            let interface = Interface { name: name.to_owned(), up: field("Status") == Some("Up") };
            all.push((interface, Subnet::told(field("IPAddress"), field("NetworkMask"))));
        }
    }
    all
}

fn interfaces(cx: &Cx, manage: &Manage) -> Result<Vec<Interface>, Error> {
    Ok(ask(cx, manage)?.into_iter().map(|(interface, _)| interface).collect())
}

/// The public networks whose interface is the user's choice. `had` are those of the last start.
pub fn open(cx: &Cx, networks: &[PublicNetwork], had: &[PublicNetwork]) -> Result<Vec<OpenBridge>, Error> {
    Ok(bridge::open(networks, had, &interfaces(cx, &Manage::find()?)?))
}

/// Refuses networks for which there is no interface, or one that nobody has chosen.
pub fn require(cx: &Cx, networks: &[PublicNetwork], had: &[PublicNetwork]) -> Result<(), Error> {
    if networks.is_empty() { Ok(()) } else { bridge::require(networks, had, &interfaces(cx, &Manage::find()?)?) }
}

/// The interface that is up and has addresses of a network.
pub fn collision(cx: &Cx, manage: &Manage, subnet: Subnet) -> Result<Option<String>, Error> {
    let overlaps = |its: Option<Subnet>| its.is_some_and(|its| its.overlaps(subnet));
    let there = ask(cx, manage)?.into_iter().find(|(interface, its)| interface.up && overlaps(*its));
    Ok(there.map(|(interface, _)| interface.name))
}

/// The plan with one interface for each public network, as it is recorded. `before` is the plan of the last start.
pub fn settled(cx: &Cx, machine: &Machine<'_>, plan: &VmPlan, before: Option<&VmPlan>) -> Result<VmPlan, Error> {
    if plan.devices.publics.is_empty() {
        return Ok(plan.clone());
    }
    bridge::settled(cx, plan, before, &interfaces(cx, &machine.manage)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERFACES: &str = include_str!("recorded/list-bridgedifs.txt");

    fn interface(name: &str, up: bool) -> Interface {
        Interface { name: name.into(), up }
    }

    #[test]
    fn interfaces_are_read_as_virtualbox_tells_them() {
        assert_eq!(listed(INTERFACES), [(interface("eth0", true), Subnet::parse("192.0.2.0/24"))]);
        let warned =
            format!("WARNING: The character device /dev/vboxdrv does not exist.\n\t Please.\n\n\t No.\n{INTERFACES}");
        assert_eq!(listed(&warned).len(), 1, "what the wrapper of distributions says first is no interface");
        let macs = "Name:            en0: Wi-Fi (Wireless)\nStatus:          Up\n\nName:            bridge0\nStatus:          \
                    Down\n";
        let found = listed(macs);
        assert_eq!(found, [(interface("en0: Wi-Fi (Wireless)", true), None), (interface("bridge0", false), None)]);
        assert!(listed("").is_empty());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(text in "\\PC*|(Name: |Status: |Up|[\n a-z:0-9]){0,40}", name in "\\PC{0,9}") {
            let interfaces: Vec<_> = listed(&text).into_iter().map(|(interface, _)| interface).collect();
            let network = PublicNetwork { bridge: vec![name], ..PublicNetwork::default() };
            bridge::open(std::slice::from_ref(&network), &[], &interfaces);
        }
    }
}
