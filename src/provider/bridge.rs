//! Public networks: which interface of this computer each is on. As in Vagrant, the first of those that the machine file names
//! and that is there, else the only one there is; otherwise its user chooses, once for each machine.

use super::{Error, Finding, Level, OpenBridge, VmPlan};
use crate::config::spec::PublicNetwork;
use crate::progress::Cx;

/// An interface of this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, and on some systems a description.
    pub name: String,
    /// Whether it can be used.
    pub up: bool,
}

/// What comes of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    /// This interface; `instead` of those that are named.
    Taken { name: String, instead: bool },
    /// The user's to make, among these.
    Open(Vec<String>),
}

/// The interface of a network. `before` is the one that its machine had so far.
fn choose(network: &PublicNetwork, before: &[String], interfaces: &[Interface]) -> Choice {
    let up: Vec<&str> =
        interfaces.iter().filter(|interface| interface.up).map(|interface| interface.name.as_str()).collect();
    let find = |names: &[String]| names.iter().find_map(|name| up.iter().find(|other| is_called(other, name)));
    let taken = |name: &str, instead| Choice::Taken { name: name.to_owned(), instead };
    match (find(&network.bridge), find(before), up.as_slice()) {
        (Some(name), _, _) => taken(name, false),
        (None, Some(name), _) | (None, None, [name]) => taken(name, !network.bridge.is_empty()),
        (None, None, all) => Choice::Open(all.iter().map(|name| (*name).to_owned()).collect()),
    }
}

/// Interfaces of macOS and Windows have a description behind their name (`en0: Wi-Fi (AirPort)`), which differs from version
/// to version.
fn is_called(interface: &str, name: &str) -> bool {
    let same = |interface: &str| interface.eq_ignore_ascii_case(name);
    let short = |text: &str| text.split_once(": ").map_or(text, |(short, _)| short).to_ascii_lowercase();
    same(interface) || (interface.contains(": ") && short(interface) == short(name))
}

/// The public networks whose interface is the user's choice. `had` are those of the last start.
pub fn open(networks: &[PublicNetwork], had: &[PublicNetwork], interfaces: &[Interface]) -> Vec<OpenBridge> {
    let choices = networks.iter().enumerate().map(|(place, wanted)| choose(wanted, before(had, place), interfaces));
    let open = choices.enumerate().filter_map(|(network, choice)| match choice {
        Choice::Open(among) if among.len() > 1 => Some(OpenBridge { network, among }),
        _ => None,
    });
    open.collect()
}

/// Refuses networks for which there is no interface, or one that nobody has chosen.
pub fn require(networks: &[PublicNetwork], had: &[PublicNetwork], interfaces: &[Interface]) -> Result<(), Error> {
    settle(&Cx::silent(), &mut networks.to_vec(), had, interfaces)
}

/// The plan with one interface for each public network, as it is recorded. `before` is the plan of the last start.
pub fn settled(cx: &Cx, plan: &VmPlan, before: Option<&VmPlan>, interfaces: &[Interface]) -> Result<VmPlan, Error> {
    let mut plan = plan.clone();
    let had = before.map(|before| before.devices.publics.as_slice()).unwrap_or_default();
    settle(cx, &mut plan.devices.publics, had, interfaces)?;
    Ok(plan)
}

/// The interface of the network at this place at the last start.
fn before(had: &[PublicNetwork], place: usize) -> &[String] {
    had.get(place).map(|network| network.bridge.as_slice()).unwrap_or_default()
}

fn settle(
    cx: &Cx,
    networks: &mut [PublicNetwork],
    had: &[PublicNetwork],
    interfaces: &[Interface],
) -> Result<(), Error> {
    let mut missing = Vec::new();
    for (place, network) in networks.iter_mut().enumerate() {
        match choose(network, before(had, place), interfaces) {
            Choice::Taken { name, instead } => {
                if instead {
                    let wanted = network.bridge.join("`, `");
                    cx.note(format!(
                        "no interface `{wanted}` is up on this computer; the public network is on `{name}`"
                    ));
                }
                network.bridge = vec![name];
            }
            Choice::Open(among) => missing.push(objection(network, &among, interfaces)),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::Plan(missing)) }
}

/// Why a network has no interface, and what to write.
fn objection(network: &PublicNetwork, among: &[String], interfaces: &[Interface]) -> Finding {
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let wanted: Vec<_> = network.bridge.iter().map(String::as_str).collect();
    let named = if wanted.is_empty() { String::new() } else { format!("no interface {} is up; ", quoted(&wanted)) };
    let Some(first) = among.first() else {
        let down: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let down = if down.is_empty() { String::new() } else { format!(" (down: {})", quoted(&down)) };
        let text = format!("this computer has no interface for a public network that is up{down}");
        let fix = "bring one up, or leave `public_network` out".to_owned();
        return Finding { level: Level::Bad, text, fix: Some(fix) };
    };
    let among: Vec<_> = among.iter().map(String::as_str).collect();
    let text = format!("{named}the public network may be on any of these interfaces: {}", quoted(&among));
    let fix = format!(
        "name one of them in the machine file: `bridge = \"{first}\"`; on a terminal `vbox-rs up` and `reload` ask"
    );
    Finding { level: Level::Bad, text, fix: Some(fix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(names: &[&str]) -> PublicNetwork {
        PublicNetwork { bridge: names.iter().map(|name| (*name).to_owned()).collect(), ..PublicNetwork::default() }
    }

    fn interface(name: &str, up: bool) -> Interface {
        Interface { name: name.into(), up }
    }

    fn taken(name: &str, instead: bool) -> Choice {
        Choice::Taken { name: name.into(), instead }
    }

    #[test]
    fn the_first_that_is_named_and_up_is_taken_else_the_only_one() {
        let all = [interface("eth0", true), interface("WLAN0", true), interface("eth1", false)];
        let one = &all[..1];
        assert_eq!(choose(&network(&["nope", "wlan0", "eth0"]), &[], &all), taken("WLAN0", false));
        assert_eq!(choose(&network(&[]), &[], one), taken("eth0", false));
        assert_eq!(choose(&network(&["eth1"]), &[], one), taken("eth0", true));
        let open = Choice::Open(vec!["eth0".into(), "WLAN0".into()]);
        assert_eq!(choose(&network(&[]), &[], &all), open);
        assert_eq!(choose(&network(&["eth1"]), &[], &all), open, "it is down");
        assert_eq!(choose(&network(&[]), &[], &[]), Choice::Open(Vec::new()));
    }

    #[test]
    fn what_was_chosen_once_stays_until_the_file_names_another() {
        let all = [interface("eth0", true), interface("wlan0", true)];
        let before = ["wlan0".to_owned()];
        assert_eq!(choose(&network(&[]), &before, &all), taken("wlan0", false));
        assert_eq!(choose(&network(&["eth0"]), &before, &all), taken("eth0", false));
        assert!(matches!(choose(&network(&[]), &["gone".to_owned()], &all), Choice::Open(_)));
    }

    #[test]
    fn a_description_behind_the_name_may_be_another_one() {
        for name in ["en0", "en0: Wi-Fi (AirPort)", "EN0: Wi-Fi (Wireless)"] {
            assert!(is_called("en0: Wi-Fi (Wireless)", name), "{name}");
        }
        assert!(!is_called("en0: Wi-Fi (Wireless)", "en1: Wi-Fi (Wireless)") && !is_called("eth0", "eth01"));
    }

    #[test]
    fn who_cannot_be_asked_is_told_what_there_is_and_what_to_write() {
        let all = [interface("eth0", true), interface("wlan0", true)];
        let names = ["eth0".to_owned(), "wlan0".to_owned()];
        let told = objection(&network(&["br0"]), &names, &all);
        assert_eq!(
            told.text,
            "no interface `br0` is up; the public network may be on any of these interfaces: `eth0`, `wlan0`"
        );
        assert!(told.fix.unwrap().contains("`bridge = \"eth0\"`"));
        let none = objection(&network(&[]), &[], &[interface("eth0", false)]);
        assert_eq!(none.text, "this computer has no interface for a public network that is up (down: `eth0`)");
    }
}
