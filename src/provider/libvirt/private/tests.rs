use serde_json::json;

use super::super::domain::tests::validate;
use super::*;
use crate::config::spec::{NetworkCard, PublicNetwork};

fn wanted(ip: &str, name: &str) -> PrivateNetwork {
    let (ip, prefix) = ip.split_once('/').map_or((ip, None), |(ip, prefix)| (ip, prefix.parse::<u8>().ok()));
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    serde_json::from_value(json!({ "ip": text(ip), "prefix": prefix, "name": text(name) })).unwrap()
}

fn known_as(name: &str, host: &[&str], up: bool) -> Known {
    let host = host.iter().map(|net| net.parse().unwrap()).collect();
    Known { name: name.into(), up, made: None, bridge: None, host }
}

fn taken(range: &str, interface: &str) -> Taken {
    Taken { range: range.parse().unwrap(), interface: interface.into() }
}

/// What libvirt 9 says of one that is up.
const LIVE: &str = "<network connections='1'>
  <name>lab</name>
  <uuid>6e8a5cb5-7e28-4a7a-9d0a-1f4b2a4c0c11</uuid>
  <metadata>
    <vbox-rs:network xmlns:vbox-rs=\"urn:vbox-rs:network:1\" made=\"1700000000\"/>
  </metadata>
  <bridge name='virbr3' stp='on' delay='0'/>
  <mac address='52:54:00:4b:7e:1f'/>
  <dns enable='no'/>
  <ip address='192.168.56.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.56.128' end='192.168.56.254'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='fd00:1::1' prefix='64'/>
  <ip address='10.1.2.3'/>
</network>
";

#[test]
fn a_network_is_known_by_what_libvirt_says_of_it() {
    let lab = Known::read(LIVE, true).unwrap();
    assert_eq!((lab.name.as_str(), lab.made, lab.bridge.as_deref()), ("lab", Some(1_700_000_000), Some("virbr3")));
    let host: Vec<_> = lab.host.iter().map(ToString::to_string).collect();
    assert_eq!(host, ["192.168.56.1/24", "fd00:1::1/64", "10.1.2.3/8"]);
    assert!(lab.has_range(&"192.168.56.0/24".parse().unwrap()) && !lab.has_range(&"192.168.56.0/25".parse().unwrap()));
    let other = Known::read("<network><name>x</name><forward mode='bridge'/><bridge name='br0'/></network>", false);
    assert_eq!(other.unwrap(), Known { bridge: Some("br0".into()), ..known_as("x", &[], false) });
    assert_eq!(Known::read("<network>", true), None);
}

#[test]
fn a_card_hangs_on_the_network_of_its_range_or_its_name() {
    let known = [
        known_as("down", &["192.168.56.1/24"], false),
        known_as("up", &["10.0.0.1/8", "192.168.56.1/24"], true),
        known_as("bare", &[], true),
        known_as("vagrant-private-dhcp", &["172.28.128.1/24"], true),
    ];
    let there = |name: &str, up| Place::There { name: name.into(), up };
    for (network, expected) in [
        (wanted("192.168.56.10", ""), there("up", true)),
        (wanted("192.168.56.10", "down"), there("down", false)),
        (wanted("192.168.99.10", "bare"), there("bare", true)),
        (wanted("", "bare"), there("bare", true)),
        (wanted("", ""), there("vagrant-private-dhcp", true)),
    ] {
        assert_eq!(place(&network, &known, &[]).unwrap(), expected, "{network:?}");
    }
    let missing = |name: &str, range: &str| Place::Missing { name: name.into(), range: range.parse().ok() };
    for (network, expected) in [
        (wanted("192.168.57.10", ""), missing("vbox-rs-192.168.57.0-24", "192.168.57.0/24")),
        (wanted("192.168.57.70/26", ""), missing("vbox-rs-192.168.57.64-26", "192.168.57.64/26")),
        (wanted("192.168.57.10", "lab"), missing("lab", "192.168.57.0/24")),
        (wanted("fd00:7::5", ""), missing("vbox-rs-fd00.7..-64", "fd00:7::/64")),
        (wanted("", "lab"), missing("lab", "")),
    ] {
        assert_eq!(place(&network, &known, &[]).unwrap(), expected, "{network:?}");
    }
    assert_eq!(place(&wanted("", ""), &[], &[]).unwrap(), missing("vbox-rs-dhcp", ""));
}

#[test]
fn an_address_that_cannot_be_had_is_refused_with_the_fix() {
    let known = [known_as("lab", &["10.0.0.254/24"], true), known_as("wide", &["172.16.0.1/12"], false)];
    let taken = [taken("192.168.56.0/22", "eth7"), taken("192.168.99.0/24", "virbr9")];
    for (network, why, fix) in [
        (wanted("192.168.60.1", ""), "192.168.60.1 is the host's own address in it", "for instance 192.168.60.10"),
        (wanted("10.0.0.254", ""), "10.0.0.254 is the host's own", "for instance 10.0.0.10"),
        (wanted("10.0.0.0", ""), "no address of a computer", "another `ip`"),
        (wanted("192.168.60.255", ""), "no address of a computer", "another `ip`"),
        (wanted("192.168.60.2/31", ""), "no room for a host and a guest", "set `prefix`"),
        (
            wanted("192.168.57.5", ""),
            "the host's interface eth7 has 192.168.56.0/22 already",
            "for instance 192.168.60.10",
        ),
        (wanted("192.168.99.5", ""), "the host's interface virbr9 has 192.168.99.0/24", "for instance"),
        (wanted("172.20.0.5", ""), "libvirt's network `wide` has 172.16.0.0/12 already", "for instance 192.168.60.10"),
        (
            wanted("192.168.60.5", "lab"),
            "libvirt's network `lab` has the addresses 10.0.0.0/24",
            "an `ip` of 10.0.0.0/24",
        ),
    ] {
        let error = place(&network, &known, &taken).unwrap_err();
        let Error::Private { why: told, fix: mends, .. } = &error else { panic!("{error}") };
        assert!(told.contains(why) && mends.contains(fix), "{network:?}: {told}; {mends}");
    }
    // What lies behind libvirt's bridge is no stranger's.
    let own = [known_as("ours", &["192.168.99.1/24"], true)];
    assert!(matches!(place(&wanted("192.168.99.5", ""), &own, &taken), Ok(Place::There { .. })));
}

#[test]
fn what_we_make_has_addresses_our_mark_and_no_way_out() {
    let text = description("lab", &"192.168.56.0/24".parse().unwrap(), 1_700_000_000);
    validate(&text, "network");
    snapbox::assert_data_eq!(
        text,
        snapbox::str![[r#"
<network>
  <name>lab</name>
  <metadata>
    <vbox-rs:network xmlns:vbox-rs="urn:vbox-rs:network:1" made="1700000000"/>
  </metadata>
  <dns enable="no"/>
  <ip address="192.168.56.1" netmask="255.255.255.0">
    <dhcp>
      <range start="192.168.56.128" end="192.168.56.254"/>
    </dhcp>
  </ip>
</network>

"#]]
    );
    let six = description("lab", &"fd00:7::/64".parse().unwrap(), 1);
    validate(&six, "network");
    assert!(six.contains(r#"<ip family="ipv6" address="fd00:7::1" prefix="64"/>"#), "{six}");
    let small = description("lab", &"192.168.56.4/30".parse().unwrap(), 1);
    assert!(!small.contains("dhcp") && small.contains("192.168.56.5"), "{small}");
}

#[test]
fn networks_of_ours_go_with_their_last_domain_and_those_of_others_stay() {
    let Some(connection) = Connection::for_tests() else { return };
    let range = |text: &str| text.parse::<IpNet>().ok();
    define(&connection, "ours", range("192.168.56.0/24"), 1000).unwrap();
    define(&connection, "chosen", None, 1000).unwrap();
    assert!(define(&connection, "ours", range("192.168.57.0/24"), 1000).is_err(), "the name is taken");
    let theirs = "<network><name>theirs</name><ip address='10.9.0.1' netmask='255.255.0.0'/></network>";
    connection.define_network(theirs).unwrap();
    let domain = |card: &str| {
        let text = format!(
            "<domain type='test'><name>d</name><uuid>00112233-4455-4677-8899-aabbccddeeff</uuid><memory>1024</memory>\
             <os><type>hvm</type></os><devices>{card}</devices></domain>"
        );
        connection.define(&text, false).map(drop).unwrap();
    };
    domain("<interface type='network'><source network='ours'/></interface>");

    let all: Vec<_> = ["ours", "chosen", "theirs", "nobody's"].map(str::to_owned).into();
    let left = || known(&connection).unwrap().into_iter().map(|known| known.name).collect::<HashSet<_>>();
    let chosen = known(&connection).unwrap().into_iter().find(|known| known.name == "chosen").unwrap();
    assert!(chosen.host[0].to_string().starts_with("172.28."), "{chosen:?}");
    release(&connection, &all, 1001).unwrap();
    assert!(left().contains("ours") && left().contains("theirs") && !left().contains("chosen"), "{:?}", left());
    domain("");
    release(&connection, &[], 1001).unwrap();
    assert!(left().contains("ours"), "another may be on its way to it");
    release(&connection, &[], 1001 + ABANDONED.as_secs()).unwrap();
    assert!(!left().contains("ours") && left().contains("theirs"), "{:?}", left());
}

#[test]
fn the_networks_of_a_domain_are_those_of_its_cards() {
    let xml = "<domain><name>x</name><devices>\
               <interface type='network'><source network='a' portid='1' bridge='virbr7'/></interface>\
               <interface type='bridge'><source bridge='br0'/></interface><disk><source network='no'/></disk>\
               </devices></domain>";
    assert_eq!(wires(xml).unwrap(), ["a", "virbr7", "br0"]);
    assert_eq!(wires("<domain"), None);
}

#[test]
fn where_there_are_none_is_told() {
    assert_eq!(lacking("qemu:///system"), None);
    // Root has no session of its own.
    let told = uri::is_session("qemu:///session").then(|| lacking("qemu:///session").unwrap());
    assert!(told.is_none_or(|why| why.contains("qemu:///system")));
    assert!(lacking("qemu+ssh://far/system").is_some());
}

#[test]
fn cards_that_cannot_be_are_told_all_at_once() {
    let told = |private: &[&NetworkCard], public: &[&NetworkCard]| {
        let mut plan = super::super::domain::tests::plan();
        plan.libvirt.uri = Some("qemu:///system".into());
        let networks = private.iter().map(|card| PrivateNetwork { card: (*card).clone(), ..PrivateNetwork::default() });
        plan.devices.networks = networks.collect();
        let networks = public.iter().map(|card| PublicNetwork { card: (*card).clone(), ..PublicNetwork::default() });
        plan.devices.publics = networks.collect();
        objections(&plan).into_iter().map(|finding| finding.text).collect::<Vec<_>>()
    };
    let any = &NetworkCard::default();
    let at = |place| NetworkCard { adapter: Some(place), ..NetworkCard::default() };
    let called = &NetworkCard { mac: Some("02:00:00:00:00:01".into()), ..NetworkCard::default() };
    assert!(told(&[&at(8), called], &[any]).is_empty());
    assert_eq!(
        told(&[&at(3), &at(9)], &[&at(3)]),
        ["libvirt's machines have no network card 9", "two networks want to be card 3"]
    );
    assert_eq!(told(&[called, called], &[]), ["two cards have the hardware address 02:00:00:00:00:01"]);
    assert_eq!(told(&[any; 8], &[]), ["libvirt has no room for 8 networks"]);
}

#[test]
fn a_network_with_nat_is_refused() {
    let mut plan = super::super::domain::tests::plan();
    plan.libvirt.uri = Some("qemu:///system".into());
    plan.devices.networks = vec![PrivateNetwork { nat: true, ..PrivateNetwork::default() }];
    let told: Vec<_> = objections(&plan).into_iter().map(|finding| finding.text).collect();
    assert_eq!(told, ["libvirt's private networks lead nowhere else (`nat`)"]);
}
