//! `config.vm.network`: several calls may speak of one network, so they are gathered first.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use indexmap::IndexMap;
use toml::Spanned;

use super::apply::{Applying, Several, word_of};
use super::provide::nic;
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::check;
use crate::config::layer::Layer;
use crate::config::read::Complaint;
use crate::config::sections::ADAPTERS;
use crate::config::spec::{ForwardedPort, NetworkCard, PrivateNetwork, Protocol, PublicNetwork};

/// Options that say what is done here in any case, or concern only what Vagrant itself shows.
const HARMLESS: &[&str] = &["hostname", "name", "virtualbox__hostonly", "virtualbox__protocol"];

/// What of libvirt's own options shows in the guest; the others say how its network is made on the host.
const OF_LIBVIRT: &[&str] = &[
    "libvirt__forward_mode",
    "libvirt__dhcp_enabled",
    "libvirt__dhcp_start",
    "libvirt__dhcp_stop",
    "libvirt__mac",
    "libvirt__mtu",
    "libvirt__host_ip",
    "libvirt__guest_ipv6",
    "libvirt__tunnel_type",
    "libvirt__tunnel_ip",
    "libvirt__tunnel_port",
];

impl Applying<'_> {
    /// Gathers one call; a later one with the same id adds to it.
    pub(super) fn network(&mut self, setting: &Setting) {
        let kind = match setting.value().text().as_deref() {
            Some("hostonly") => "private_network".to_owned(),
            Some("bridged") => "public_network".to_owned(),
            Some(other) => other.to_owned(),
            None => return self.unknown_network(setting.at),
        };
        let mut options: IndexMap<Rc<str>, Value> = Self::options(setting).into_iter().collect();
        // The first version of the configuration: `config.vm.network :hostonly, "192.168.33.10"`.
        if kind == "private_network"
            && let Some(address) = setting.args.get(1)
        {
            let is_dhcp = address.text().as_deref() == Some("dhcp");
            options.insert(if is_dhcp { "type".into() } else { "ip".into() }, address.clone());
        }
        self.gather(&kind, options, setting.at);
    }

    /// The first version's `config.vm.forward_port 80, 8080`.
    pub(super) fn forward_port(&mut self, setting: &Setting) {
        let mut options = IndexMap::new();
        for (name, value) in ["guest", "host"].into_iter().zip(&setting.args) {
            options.insert(name.into(), value.clone());
        }
        for (name, _) in Self::options(setting) {
            self.left_out(setting.at, &format!("`{name}` of a forwarded port"), "Vagrant ignores it as well", false);
        }
        self.gather("forwarded_port", options, setting.at);
    }

    fn gather(&mut self, kind: &str, options: IndexMap<Rc<str>, Value>, at: At) {
        let text = |name: &str| options.get(name).and_then(word_of).unwrap_or_default();
        let id = match options.get("id").filter(|id| id.truthy()) {
            Some(_) => text("id"),
            None if kind == "forwarded_port" => {
                let protocol = Some(text("protocol")).filter(|text| !text.is_empty()).unwrap_or_else(|| "tcp".into());
                let host = text("host");
                // Without a port of the host, which Vagrant would not take, each stands for itself.
                let host = if host.is_empty() { format!("any-{}", self.gathered.networks.len()) } else { host };
                format!("{}{protocol}{host}", text("host_ip"))
            }
            None => format!("any-{}", self.gathered.networks.len()),
        };
        let (what, level) = (Value::str(kind), self.gathered.level);
        let several = self.gathered.networks.entry(format!("{kind}-{id}"));
        let several = several.or_insert_with(|| Several { what, options: IndexMap::new(), at, level });
        if several.level != level {
            // Another level's replaces it, at the same place.
            several.options.clear();
        }
        (several.at, several.level) = (at, level);
        several.options.extend(options);
    }

    /// All of them, when every level has spoken.
    pub(super) fn networks(&mut self, layer: &mut Layer, gathered: &IndexMap<String, Several>) {
        for network in gathered.values() {
            match network.what.text().as_deref() {
                Some("forwarded_port") => self.forwarded_port(layer, network),
                Some("private_network") => self.private_network(layer, network),
                Some("public_network") => self.public_network(layer, network),
                _ => self.unknown_network(network.at),
            }
        }
        keep_order(layer, gathered);
    }

    fn unknown_network(&mut self, at: At) {
        let why = "`forwarded_port`, `private_network` and `public_network` are known";
        self.left_out(at, "this kind of network", why, true);
    }

    fn private_network(&mut self, layer: &mut Layer, gathered: &Several) {
        let at = gathered.at;
        let mut network = PrivateNetwork::default();
        for (key, value) in gathered.options.iter().filter(|(_, value)| !value.is_nil()) {
            match &**key {
                "ip" => match value.text().as_deref().and_then(|text| text.split_once('/')) {
                    // With the network's length behind it, as some providers take it.
                    Some((address, length)) if length.parse::<u8>().is_ok_and(|bits| (1..=32).contains(&bits)) => {
                        network.ip = self.address(at, &Value::str(address));
                        network.prefix = network.prefix.or(length.parse().ok());
                    }
                    _ => network.ip = self.address(at, value),
                },
                "netmask" | "libvirt__netmask" => network.prefix = self.checked(at, "netmask", value, prefix),
                "virtualbox__intnet" if matches!(value, Value::Bool(_)) => {
                    network.name = value.truthy().then(|| "intnet".into());
                }
                "virtualbox__intnet" | "libvirt__network_name" => {
                    network.name = value.text().map(|name| name.to_string());
                }
                // Ours: Vagrant takes calls of `customize` for it.
                "virtualbox__nat_network" => {
                    network.nat = value.truthy();
                    network.name = value.text().map(|name| name.to_string()).or(network.name);
                }
                "type" if matches!(value.text().as_deref(), Some("dhcp" | "static")) => {}
                "id" | "protocol" => {}
                other if self.card_option(at, &mut network.card, other, value) => {}
                other => self.network_option(at, other, "private"),
            }
        }
        network.prefix = network.prefix.filter(|_| network.ip.is_some());
        layer.private_networks.push(network);
    }

    fn public_network(&mut self, layer: &mut Layer, gathered: &Several) {
        let at = gathered.at;
        let mut network = PublicNetwork::default();
        for (key, value) in gathered.options.iter().filter(|(_, value)| !value.is_nil()) {
            match &**key {
                "ip" => network.ip = self.address(at, value),
                "netmask" => network.prefix = self.checked(at, "netmask", value, prefix),
                "bridge" | "dev" => network.bridge = self.texts(at, "bridge", value),
                "use_dhcp_assigned_default_route" => network.use_dhcp_assigned_default_route = value.truthy(),
                "type" if matches!(value.text().as_deref(), Some("dhcp" | "static" | "bridge")) => {}
                "id" | "protocol" => {}
                other if self.card_option(at, &mut network.card, other, value) => {}
                other => self.network_option(at, other, "public"),
            }
        }
        network.prefix = network.prefix.filter(|_| network.ip.is_some());
        layer.public_networks.push(network);
    }

    /// What is said of the machine's card; `false` where it is something else. VirtualBox's own options are those that all
    /// have, with its name in front.
    fn card_option(&mut self, at: At, card: &mut NetworkCard, key: &str, value: &Value) -> bool {
        match key.strip_prefix("virtualbox__").unwrap_or(key) {
            // `"auto"` is VMware's word for one of the machine's own.
            "mac" if value.text().as_deref() == Some("auto") => {}
            "mac" => card.mac = self.checked(at, "mac", value, check::mac),
            "nic_type" => match value.text().as_deref().and_then(nic) {
                None => self.left_out(
                    at,
                    &format!("`nic_type` {}", value.text().unwrap_or_default().escape_debug()),
                    "no such card here: the machine's usual one is used",
                    true,
                ),
                kind => card.nic = kind,
            },
            "adapter" => match self.number::<u8>(at, "adapter", value) {
                Some(place) if ADAPTERS.contains(&place.into()) => card.adapter = Some(place),
                Some(place) => {
                    let why = "the first card is the one that forwarded ports and ssh come through: the next free one is taken";
                    self.left_out(at, &format!("`adapter: {place}`"), why, true);
                }
                None => {}
            },
            "auto_config" => card.auto_config = value.truthy(),
            _ => return false,
        }
        true
    }

    fn network_option(&mut self, at: At, name: &str, kind: &str) {
        let of_host = name.starts_with("libvirt__") && !OF_LIBVIRT.contains(&name);
        let changes = !HARMLESS.contains(&name) && !of_host;
        let why = if changes { "not supported yet" } else { "it says how another hypervisor is used" };
        self.left_out(at, &format!("`{name}` of a {kind} network"), why, changes);
    }

    /// An empty one is none.
    fn address(&mut self, at: At, value: &Value) -> Option<IpAddr> {
        if value.text().is_some_and(|text| matches!(text.trim(), "" | "dhcp")) {
            return None;
        }
        self.checked(at, "ip", value, |text| check::ip(text.trim()))
    }

    fn forwarded_port(&mut self, layer: &mut Layer, gathered: &Several) {
        let at = gathered.at;
        let mut guest = None;
        let mut port = ForwardedPort {
            guest: 0,
            host: None,
            // Vagrant listens on every address of the host: see decision 6 of the design.
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: Protocol::Tcp,
            auto_correct: false,
            id: None,
        };
        for (key, value) in gathered.options.iter().filter(|(_, value)| !value.is_nil()) {
            match &**key {
                "guest" => guest = self.number(at, "guest", value),
                "host" => port.host = self.number(at, "host", value),
                "host_ip" => match value.text().as_deref() {
                    Some("" | "localhost") => {}
                    Some("*") => port.host_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    _ => port.host_ip = self.checked(at, "host_ip", value, check::ip).unwrap_or(port.host_ip),
                },
                "protocol" if value.text().as_deref() == Some("udp") => port.protocol = Protocol::Udp,
                "disabled" if value.truthy() => return,
                "protocol" | "disabled" => {}
                "auto_correct" => port.auto_correct = value.truthy(),
                "id" => port.id = value.text().map(|id| id.to_string()),
                other => self.left_out(at, &format!("`{other}` of a forwarded port"), "not supported yet", true),
            }
        }
        let Some(guest) = guest else {
            return self.error(at, "a forwarded port without `guest`".into(), "".into());
        };
        port.guest = guest;
        if port.id.as_deref() == Some("ssh") {
            // Vagrant's own forwarding under another number, which `auto_correct` may move.
            layer.ssh.port = port.host.filter(|_| !port.auto_correct).map(|host| Spanned::new(Self::span(at), host));
            return;
        }
        layer.forwarded_ports.push(Spanned::new(Self::span(at), port));
    }
}

/// Cards come in the order of the file. A machine has those of private networks first: where the file has another order,
/// each names its place.
fn keep_order(layer: &mut Layer, gathered: &IndexMap<String, Several>) {
    let kinds: Vec<_> = gathered.values().filter_map(|network| network.what.text()).collect();
    let last_private = kinds.iter().rposition(|kind| &**kind == "private_network");
    let first_public = kinds.iter().position(|kind| &**kind == "public_network");
    if first_public.is_none_or(|public| last_private.is_none_or(|private| private < public)) {
        return;
    }
    let private = layer.private_networks.iter().map(|network| network.card.adapter);
    let taken: Vec<_> =
        private.chain(layer.public_networks.iter().map(|network| network.card.adapter)).flatten().collect();
    let mut free = (2..=u8::MAX).filter(|place| !taken.contains(place));
    let mut private = layer.private_networks.iter_mut().map(|network| &mut network.card.adapter);
    let mut public = layer.public_networks.iter_mut().map(|network| &mut network.card.adapter);
    for kind in kinds {
        let next = match &*kind {
            "private_network" => private.next(),
            "public_network" => public.next(),
            _ => None,
        };
        if let Some(place @ None) = next {
            *place = free.next();
        }
    }
}

/// `255.255.255.0` is 24.
fn prefix(text: &str) -> Result<u8, Complaint> {
    if let Ok(length @ 1..=32) = text.trim_start_matches('/').parse() {
        return Ok(length);
    }
    let mask: Ipv4Addr =
        text.parse().map_err(|_| Complaint::from("not a netmask").help("for instance 255.255.255.0"))?;
    let bits = u32::from(mask);
    if bits == 0 || bits.leading_ones() + bits.trailing_zeros() != 32 {
        return Err(Complaint::from("not a netmask").help("for instance 255.255.255.0"));
    }
    Ok(u8::try_from(bits.leading_ones()).unwrap_or(32))
}
