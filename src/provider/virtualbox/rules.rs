//! Rules by which VirtualBox's NAT cards forward ports: as it shows them, and as they stand in a machine's settings.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use roxmltree::{Document, Node};

use super::argv;
use super::parse::Info;
use crate::config::spec::Protocol;
use crate::provider::Forward;

/// More than the settings of any machine.
const SETTINGS: u64 = 16 << 20;

/// A rule of a NAT card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The card's number.
    pub card: u8,
    /// Its name, which is the user's and may hold commas.
    pub name: String,
    /// What it does; `None` for what we do not make, for instance one that leads to an address of the guest.
    pub forward: Option<Forward>,
}

impl Rule {
    /// `name,tcp,127.0.0.1,2200,,22`.
    pub fn parse(card: u8, text: &str) -> Option<Self> {
        let mut fields = text.rsplitn(6, ',');
        let [Some(guest), Some(guest_ip), Some(host), Some(host_ip), Some(protocol), Some(name)] =
            std::array::from_fn(|_| fields.next())
        else {
            return None;
        };
        let known = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.to_string() == protocol);
        let forward = known.and_then(|protocol| forward(protocol, host_ip, host, guest_ip, guest));
        Some(Self { card, name: name.into(), forward })
    }

    /// Whether we made it.
    pub fn is_ours(&self) -> bool {
        self.card == 1 && self.name.starts_with(argv::RULE)
    }
}

fn forward(protocol: Protocol, host_ip: &str, host: &str, guest_ip: &str, guest: &str) -> Option<Forward> {
    let host_ip: IpAddr = host_ip.parse().ok()?;
    let forward = Forward { protocol, host_ip, host: host.parse().ok()?, guest: guest.parse().ok()? };
    guest_ip.is_empty().then_some(forward)
}

/// The rules of a machine. VirtualBox 7.0.0 shows none of a card that has several, and no version tells names with quotes
/// apart: the settings, in which each change stands at once, have them as they are.
pub fn of(info: &Info) -> Vec<Rule> {
    let written = info.settings().and_then(|path| read(&path));
    written.and_then(|text| of_settings(&text)).unwrap_or_else(|| info.rules())
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(SETTINGS).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The rules in a settings file; not those of its snapshots, nor what a card had before it hung on something else.
fn of_settings(text: &str) -> Option<Vec<Rule>> {
    let document = Document::parse(text).ok()?;
    let machine = child(document.root_element(), "Machine")?;
    let network = child(child(machine, "Hardware")?, "Network")?;
    let mut rules = Vec::new();
    for adapter in children(network, "Adapter") {
        let Some(card) = adapter.attribute("slot").and_then(|slot| slot.parse::<u8>().ok()?.checked_add(1)) else {
            continue;
        };
        let all = child(adapter, "NAT").into_iter().flat_map(|nat| children(nat, "Forwarding"));
        rules.extend(all.map(|node| written(card, node)));
    }
    Some(rules)
}

fn written(card: u8, node: Node<'_, '_>) -> Rule {
    let field = |name: &str| node.attribute(name).unwrap_or_default();
    let protocol = match field("proto") {
        "0" => Some(Protocol::Udp),
        "1" => Some(Protocol::Tcp),
        _ => None,
    };
    let does = |protocol| forward(protocol, field("hostip"), field("hostport"), field("guestip"), field("guestport"));
    Rule { card, name: field("name").into(), forward: protocol.and_then(does) }
}

fn children<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn child<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of VirtualBox 7.2, shortened.
    const WRITTEN: &str = include_str!("recorded/settings.xml");

    fn ours(protocol: Protocol, host: u16, guest: u16) -> Rule {
        let forward = Forward { protocol, host_ip: [127, 0, 0, 1].into(), host, guest };
        Rule { card: 1, name: format!("vbox-rs-{protocol}-{host}"), forward: Some(forward) }
    }

    fn other(card: u8, name: &str) -> Rule {
        Rule { card, name: name.into(), forward: None }
    }

    #[test]
    fn rules_with_commas_in_their_names_keep_them() {
        assert_eq!(Rule::parse(2, "a,b,tcp,,80,,8080"), Some(other(2, "a,b")));
        assert_eq!(Rule::parse(1, "ssh,tcp,127.0.0.1,x,,22"), Some(other(1, "ssh")));
        assert_eq!(Rule::parse(1, "ssh,tcp,127.0.0.1,80,10.0.2.15,22"), Some(other(1, "ssh")));
        assert_eq!(Rule::parse(1, "ssh"), None);
    }

    #[test]
    fn what_we_write_is_what_we_read() {
        for rule in [ours(Protocol::Tcp, 2200, 22), ours(Protocol::Udp, 5353, 53)] {
            assert_eq!(Rule::parse(1, &argv::rule(rule.forward.as_ref().unwrap())), Some(rule));
        }
    }

    #[test]
    fn only_rules_of_the_first_card_with_our_name_are_ours() {
        assert!(ours(Protocol::Tcp, 2200, 22).is_ours() && other(1, "vbox-rs-").is_ours());
        assert!(!other(1, "web").is_ours() && !other(2, "vbox-rs-tcp-80").is_ours());
    }

    #[test]
    fn settings_tell_what_virtualbox_may_hide() {
        let rules = of_settings(WRITTEN).unwrap();
        let all = [ours(Protocol::Udp, 3391, 7), ours(Protocol::Tcp, 2200, 22), other(2, "b \"q\" &<x>, c")];
        assert_eq!(rules, all);
        assert_eq!(of_settings("<VirtualBox><Machine/></VirtualBox>"), None);
        let shown = |file: &str| of(&Info::parse(&format!("CfgFile=\"{file}\"\nForwarding(0)=\"a,tcp,,80,,80\"\n")));
        assert_eq!(shown("/nowhere"), [other(1, "a")], "what cannot be read is asked for");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, WRITTEN).unwrap();
        assert_eq!(shown(file.path().to_str().unwrap()), all);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*|[<>/=\",A-Za-z0-9 ]{0,200}") {
            of_settings(&text);
            of_settings(&format!("<V><Machine><Hardware><Network><Adapter slot=\"{text}\"><NAT><Forwarding name=\"{text}\"/>"));
            Rule::parse(1, &text);
        }
    }
}
