//! From what a file wrote to what a machine is: one setting after the other is laid onto a [`Layer`], so that the last one
//! counts and lists grow, as in Vagrant.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;

use super::ruby::{At, Interp, Value};
use super::section::Setting;
use crate::config::layer::{Layer, Paths};
use crate::config::nearest::nearest;
use crate::config::read::{Complaint, Reader};
use crate::config::sections::Folder;
use crate::config::spec::{FolderType, ForwardedPort, PrivateNetwork, Protocol, PublicNetwork, SyncedFolder};
use crate::config::{check, size};

/// Settings that change nothing here, and why.
const HARMLESS: &[(&str, &str)] = &[
    ("box_check_update", "boxes are looked up only when somebody asks for it"),
    ("box_download_checksum_type", "a digest tells its kind"),
    ("box_download_insecure", "certificates are always checked"),
    ("box_download_location_trusted", "credentials never follow a redirection"),
    ("allow_fstab_modification", "/etc/fstab is not touched"),
    ("ignore_box_vagrantfile", "a box's own Ruby is never run"),
    ("guest", "the guest tells what it is"),
    ("allowed_synced_folder_types", "the folder's own type counts"),
    ("base_address", "the hypervisor's own network is used"),
];

/// Settings whose job is not done yet.
const NOT_YET: &[&str] = &[
    "communicator",
    "cloud_init",
    "cloud_init_first_boot_only",
    "clone",
    "box_download_ca_cert",
    "box_download_ca_path",
    "box_download_client_cert",
    "box_download_options",
    "box_server_url",
    "allow_hosts_modification",
    "box_download_disable_ssl_revoke_best_effort",
];

/// What `config.vm` knows.
const VM: &[&str] = &[
    "box",
    "box_version",
    "box_url",
    "box_download_checksum",
    "box_architecture",
    "hostname",
    "host_name",
    "boot_timeout",
    "graceful_halt_timeout",
    "post_up_message",
    "usable_port_range",
    "base_mac",
    "network",
    "synced_folder",
    "provision",
    "provider",
    "define",
    "disk",
];

/// What `config.ssh` knows and we do not do.
const SSH_NOT_YET: &[&str] = &[
    "password",
    "host",
    "shell",
    "pty",
    "proxy_command",
    "forward_env",
    "sudo_command",
    "export_command_template",
    "config",
    "remote_user",
    "verify_host_key",
    "keys_only",
    "key_type",
    "compression",
    "dsa_authentication",
    "connect_retries",
    "connect_retry_delay",
    "disable_deprecated_algorithms",
];

/// What settings are read with.
pub struct Applying<'a> {
    pub ruby: &'a mut Interp,
    pub reader: &'a Reader,
    pub paths: &'a Paths<'a>,
    /// What was said already: machines inherit, and once is enough.
    pub said: HashSet<(usize, String)>,
}

impl Applying<'_> {
    /// The place in the machine file; of another file, none.
    pub fn span(at: At) -> Range<usize> {
        if at.file == 0 { at.start as usize..at.end as usize } else { 0..0 }
    }

    /// With the file's name before it where the place lies in another file.
    fn placed(&self, at: At, message: String) -> String {
        if at.file == 0 {
            message
        } else {
            format!("{}:{}: {message}", self.ruby.file_path(at.file), self.ruby.line_of(at))
        }
    }

    pub fn error(&self, at: At, message: String, complaint: Complaint) {
        let note = self.reader.error(self.placed(at, message)).at(Self::span(at), complaint.text);
        match complaint.help {
            Some(help) => note.help(help).push(),
            None => note.push(),
        }
    }

    /// Something that the file asks and that is not done.
    pub fn left_out(&mut self, at: At, what: &str, why: &str, changes: bool) {
        let message = format!("{what} {}", if changes { "is left out" } else { "is not needed" });
        if self.said.insert((at.start as usize, message.clone())) {
            self.reader.warning(self.placed(at, message)).at(Self::span(at), why).push();
        }
    }

    /// A text, number or symbol as text; `nil` is none.
    pub fn text(&mut self, at: At, name: &str, value: &Value) -> Option<String> {
        match value {
            Value::Nil => None,
            Value::Str(_) | Value::Sym(_) | Value::Int(_) | Value::Float(_) => self.ruby.to_s(value).ok(),
            other => {
                let shown = self.ruby.inspect(other).unwrap_or_default();
                self.error(at, format!("`{name}` must be a text, and is {shown}"), "".into());
                None
            }
        }
    }

    pub fn checked<T>(
        &mut self,
        at: At,
        name: &str,
        value: &Value,
        check: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        let text = self.text(at, name, value)?;
        check(&text).map_err(|complaint| self.error(at, format!("`{name}` cannot be `{text}`"), complaint)).ok()
    }

    pub fn number<T: TryFrom<i64>>(&mut self, at: At, name: &str, value: &Value) -> Option<T> {
        let number = match value {
            Value::Nil => return None,
            Value::Int(number) => Some(*number),
            #[expect(clippy::cast_possible_truncation, reason = "as Ruby's `to_i`")]
            Value::Float(number) => Some(*number as i64),
            other => other.text().and_then(|text| text.trim().parse().ok()),
        };
        let fits = number.and_then(|number| T::try_from(number).ok());
        if fits.is_none() {
            let shown = self.ruby.inspect(value).unwrap_or_default();
            self.error(at, format!("`{name}` cannot be {shown}"), "expected a number".into());
        }
        fits
    }

    /// One text or several.
    pub fn texts(&mut self, at: At, name: &str, value: &Value) -> Vec<String> {
        let items = match value {
            Value::Array(array) => array.items.borrow().clone(),
            one => vec![one.clone()],
        };
        items.iter().filter_map(|item| self.text(at, name, item)).collect()
    }

    /// The options of a call, in their order.
    pub fn options(setting: &Setting) -> Vec<(Rc<str>, Value)> {
        let pairs = setting.options.as_ref().map(|options| options.pairs()).unwrap_or_default();
        pairs.into_iter().filter_map(|(key, value)| Some((key.text()?, value))).collect()
    }

    /// One setting of `config.vm`.
    pub fn vm(&mut self, layer: &mut Layer, setting: &Setting) {
        let (at, value, paths) = (setting.at, setting.value(), self.paths);
        match &*setting.name {
            "box" => {
                layer.has_box = !value.is_nil();
                layer.box_name = self.checked(at, "box", &value, |text| check::box_source(text, paths));
            }
            "box_version" => layer.box_version = self.checked(at, "box_version", &value, check::version_constraint),
            "box_url" => {
                let urls = self.texts(at, "box_url", &value);
                if urls.len() > 1 {
                    self.left_out(at, "every `box_url` but the first", "one is tried", true);
                }
                let first = urls.first().map_or(Value::Nil, |url| Value::str(url.as_str()));
                layer.box_url = self.checked(at, "box_url", &first, |text| check::box_url(text, paths));
            }
            "box_download_checksum" => {
                layer.box_checksum = self.checked(at, "box_download_checksum", &value, |text| {
                    let kind = match text.len() {
                        64 => "sha256:",
                        128 => "sha512:",
                        _ => "",
                    };
                    check::checksum(&format!("{kind}{text}"))
                });
            }
            "box_architecture" if value.text().as_deref() != Some("auto") => {
                layer.box_architecture = self.checked(at, "box_architecture", &value, check::architecture).flatten();
            }
            "hostname" | "host_name" => layer.hostname = self.checked(at, "hostname", &value, check::hostname),
            "boot_timeout" => layer.boot_timeout = self.number(at, "boot_timeout", &value),
            "graceful_halt_timeout" => layer.graceful_halt_timeout = self.number(at, "graceful_halt_timeout", &value),
            "post_up_message" => layer.post_up_message = self.text(at, "post_up_message", &value),
            "base_mac" => layer.mac = self.checked(at, "base_mac", &value, check::mac),
            "usable_port_range" => {
                if let Value::Range(range) = &value {
                    let low = self.number(at, "usable_port_range", &range.low);
                    layer.usable_port_range = low.zip(self.number(at, "usable_port_range", &range.high));
                }
            }
            "network" => self.network(layer, setting),
            "synced_folder" => self.synced_folder(layer, setting),
            "provision" => self.provision(layer, setting),
            "disk" => self.disk(layer, setting),
            "communicator" if value.text().as_deref() == Some("ssh") => {}
            // These lead to machines and providers, which are read by themselves.
            "provider" | "define" | "box_architecture" => {}
            name => self.other(name, at, "config.vm", VM),
        }
    }

    /// What is known and not done, or not known.
    fn other(&mut self, name: &str, at: At, section: &str, known: &[&str]) {
        let shown = format!("`{section}.{name}`");
        if let Some((_, why)) = HARMLESS.iter().find(|(other, _)| *other == name) {
            return self.left_out(at, &shown, why, false);
        }
        if NOT_YET.contains(&name) || SSH_NOT_YET.contains(&name) {
            return self.left_out(at, &shown, "not supported yet", true);
        }
        let complaint = Complaint::from("not a setting of Vagrant");
        let complaint = match nearest(name, known.iter().copied()) {
            Some(near) => complaint.help(format!("did you mean `{near}`?")),
            None => complaint,
        };
        self.error(at, format!("{shown} is not known"), complaint);
    }

    /// One setting of `config.ssh`.
    pub fn ssh(&mut self, layer: &mut Layer, setting: &Setting) {
        let (at, value) = (setting.at, setting.value());
        let flag = Some(value.truthy());
        match &*setting.name {
            "username" => layer.ssh.username = self.checked(at, "username", &value, check::word),
            "private_key_path" => {
                let keys = self.texts(at, "private_key_path", &value);
                layer.ssh.private_key_path.clear();
                for key in keys {
                    match self.paths.resolve(&key) {
                        Ok(path) => layer.ssh.private_key_path.push(path),
                        Err(complaint) => self.error(at, format!("`private_key_path` cannot be `{key}`"), complaint),
                    }
                }
            }
            "insert_key" => layer.ssh.insert_key = flag,
            "guest_port" => layer.ssh.guest_port = self.number(at, "guest_port", &value),
            "port" => layer.ssh.port = self.number(at, "port", &value).map(|port| Spanned::new(Self::span(at), port)),
            "forward_agent" => layer.ssh.forward_agent = flag,
            "forward_x11" => layer.ssh.forward_x11 = flag,
            "keep_alive" => layer.ssh.keep_alive = flag,
            "connect_timeout" => layer.ssh.connect_timeout = self.number(at, "connect_timeout", &value),
            "extra_args" => layer.ssh.extra_args = self.texts(at, "extra_args", &value),
            name => self.other(
                name,
                at,
                "config.ssh",
                &["username", "private_key_path", "insert_key", "port", "guest_port"],
            ),
        }
    }

    fn network(&mut self, layer: &mut Layer, setting: &Setting) {
        match setting.value().text().as_deref() {
            Some("forwarded_port") => self.forwarded_port(layer, setting),
            Some("private_network") => {
                let mut network = PrivateNetwork { ip: None, prefix: None, name: None };
                for (key, value) in Self::options(setting) {
                    match &*key {
                        "ip" => network.ip = self.checked(setting.at, "ip", &value, check::ip),
                        "netmask" => network.prefix = self.checked(setting.at, "netmask", &value, prefix),
                        "name" | "virtualbox__intnet" | "libvirt__network_name" => {
                            network.name = value.text().map(|name| name.to_string());
                        }
                        "type" if value.text().as_deref() == Some("dhcp") => {}
                        other => self.left_out(
                            setting.at,
                            &format!("`{other}` of a private network"),
                            "not supported yet",
                            true,
                        ),
                    }
                }
                network.prefix = network.prefix.filter(|_| network.ip.is_some());
                layer.private_networks.push(network);
            }
            Some("public_network") => {
                let mut network = PublicNetwork { bridge: None, ip: None };
                for (key, value) in Self::options(setting) {
                    match &*key {
                        "ip" => network.ip = self.checked(setting.at, "ip", &value, check::ip),
                        "bridge" | "dev" => {
                            network.bridge = self.texts(setting.at, "bridge", &value).into_iter().next();
                        }
                        "type" if value.text().as_deref() == Some("dhcp") => {}
                        other => self.left_out(
                            setting.at,
                            &format!("`{other}` of a public network"),
                            "not supported yet",
                            true,
                        ),
                    }
                }
                layer.public_networks.push(network);
            }
            _ => self.error(
                setting.at,
                "this kind of network is not known".into(),
                Complaint::from("").help("`forwarded_port`, `private_network` and `public_network` are"),
            ),
        }
    }

    fn forwarded_port(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let mut guest = None;
        let mut port = ForwardedPort {
            guest: 0,
            host: None,
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: Protocol::Tcp,
            auto_correct: false,
            id: None,
        };
        for (key, value) in Self::options(setting) {
            match &*key {
                "guest" => guest = self.number(at, "guest", &value),
                "host" => port.host = self.number(at, "host", &value),
                "host_ip" if value.text().as_deref() == Some("") => {}
                "host_ip" => port.host_ip = self.checked(at, "host_ip", &value, check::ip).unwrap_or(port.host_ip),
                "protocol" if value.text().as_deref() == Some("udp") => port.protocol = Protocol::Udp,
                "protocol" => {}
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
            let chosen = port.host.filter(|_| !port.auto_correct).map(|host| Spanned::new(Self::span(at), host));
            layer.ssh.port = chosen;
            return;
        }
        // A later rule for the same port of the guest and the same id replaces the earlier one.
        layer.forwarded_ports.retain(|other| port.id.is_none() || other.get_ref().id != port.id);
        layer.forwarded_ports.push(Spanned::new(Self::span(at), port));
    }

    fn synced_folder(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let host = setting.value();
        let guest = setting.args.get(1).cloned().unwrap_or(Value::Nil);
        let mut disabled = false;
        let mut spec = SyncedFolder {
            host: self.paths.root.to_owned(),
            guest: String::new(),
            kind: FolderType::default(),
            create: false,
            owner: None,
            group: None,
            exclude: Vec::new(),
            args: None,
        };
        for (key, value) in Self::options(setting) {
            match &*key {
                "disabled" => disabled = value.truthy(),
                "create" => spec.create = value.truthy(),
                "owner" => spec.owner = self.text(at, "owner", &value),
                "group" => spec.group = self.text(at, "group", &value),
                "type" => self.folder_type(at, &value, &mut spec.kind),
                "nfs" if value.truthy() => spec.kind = FolderType::Nfs,
                "nfs" | "id" => {}
                "rsync__exclude" => spec.exclude = self.texts(at, "rsync__exclude", &value),
                "rsync__args" => spec.args = Some(self.texts(at, "rsync__args", &value)),
                other => self.left_out(at, &format!("`{other}` of a synced folder"), "not supported yet", true),
            }
        }
        let Some(place) = self.checked(at, "synced_folder", &guest, check::guest_folder) else { return };
        spec.guest = place;
        let paths = self.paths;
        if let Some(host) = self.checked(at, "synced_folder", &host, |text| paths.resolve(text)) {
            spec.host = host;
        }
        if !disabled && !spec.create {
            self.paths.expect("folder", &Spanned::new(Self::span(at), spec.host.clone()));
        }
        layer.folders.push(Folder { spec, disabled, span: Self::span(at) });
    }

    fn folder_type(&mut self, at: At, value: &Value, kind: &mut FolderType) {
        match value.text().as_deref() {
            None | Some("rsync") => *kind = FolderType::Rsync,
            Some("nfs") => *kind = FolderType::Nfs,
            Some("smb") => *kind = FolderType::Smb,
            Some("virtualbox") => *kind = FolderType::Virtualbox,
            Some("virtiofs") => *kind = FolderType::Virtiofs,
            Some("9p") => *kind = FolderType::NineP,
            Some(other) => {
                self.left_out(at, &format!("the type `{other}` of a synced folder"), "the default is used", true);
            }
        }
    }

    /// `config.vm.disk :disk, size: "40GB", primary: true`.
    fn disk(&mut self, layer: &mut Layer, setting: &Setting) {
        let options = Self::options(setting);
        let get = |name: &str| options.iter().find(|(key, _)| &**key == name).map(|(_, value)| value.clone());
        let is_primary = get("primary").is_some_and(|value| value.truthy());
        let is_disk = setting.value().text().as_deref() == Some("disk");
        match get("size").and_then(|size| size.text()).map(|size| size::parse(&size)) {
            Some(Ok(mib)) if is_primary && is_disk => layer.disk = Some(mib * size::MIB),
            _ => self.left_out(setting.at, "a disk besides the first", "not supported yet", true),
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
