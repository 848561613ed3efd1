//! From what a file wrote to what a machine is: one setting after the other is laid onto a [`Layer`], so that the last one
//! counts and lists grow, as in Vagrant.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use indexmap::IndexMap;
use toml::Spanned;

use super::plugins::WINDOWS;
use super::provision::Draft;
use super::ruby::{At, Interp, Value};
use super::section::Setting;
use crate::config::check;
use crate::config::layer::{Layer, Paths};
use crate::config::nearest::nearest;
use crate::config::problem::LeftOut;
use crate::config::read::{Complaint, Reader};
use crate::config::spec::ProviderKind;

/// Settings that change nothing here, and why.
const HARMLESS: &[(&str, &str)] = &[
    ("box_check_update", "boxes are looked up only when somebody asks for it"),
    ("box_download_checksum_type", "a digest tells its kind"),
    ("box_download_insecure", "certificates are always checked"),
    ("box_download_location_trusted", "credentials never follow a redirection"),
    ("allow_fstab_modification", "/etc/fstab is not touched"),
    ("ignore_box_vagrantfile", "a box's own Ruby is never run"),
    ("guest", "the guest tells what it is"),
    ("boot_mode", "machines run without a window"),
    ("name", "the name comes from `config.vm.define`"),
    ("box_download_disable_ssl_revoke_best_effort", "it is for Windows hosts"),
    ("allowed_synced_folder_types", "the folder's own type counts"),
    ("base_address", "the hypervisor's own network is used"),
];

/// Settings whose job is not done yet.
const NOT_YET: &[&str] = &[
    "communicator",
    "clone",
    "box_download_ca_cert",
    "box_download_ca_path",
    "box_download_client_cert",
    "box_download_options",
    "box_server_url",
    "allow_hosts_modification",
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
    // Of the first version of the configuration.
    "forward_port",
    "share_folder",
    "customize",
    "auto_port_range",
];

/// What `config.ssh` says of how Vagrant itself waits and works.
const SSH_HARMLESS: &[(&str, &str)] = &[
    ("max_tries", "`boot_timeout` says how long to wait"),
    ("timeout", "`boot_timeout` says how long to wait"),
    ("connect_retries", "`boot_timeout` says how long to wait"),
    ("connect_retry_delay", "`boot_timeout` says how long to wait"),
    ("verify_host_key", "the guest's key is always verified"),
    ("keys_only", "only the machine's own keys are offered"),
    ("paranoid", "the guest's key is always verified"),
    ("dsa_authentication", "ed25519 is used"),
    ("disable_deprecated_algorithms", "none is used"),
    ("compression", "the way to the guest is short"),
    ("key_type", "ed25519 is used"),
];

/// What `config.ssh` knows and we do not do.
const SSH_NOT_YET: &[&str] = &[
    "password",
    "host",
    "shell",
    "pty",
    "proxy_command",
    "forward_env",
    "export_command_template",
    "config",
    "remote_user",
    "sudo_command",
];

/// What settings are read with.
pub struct Applying<'a> {
    pub ruby: &'a mut Interp,
    pub reader: &'a Reader,
    pub paths: &'a Paths<'a>,
    /// The name of the machine that they are for.
    pub machine: Rc<str>,
    /// Whose machine it is.
    pub provider: ProviderKind,
    /// What was said already: machines inherit, and once is enough.
    pub said: HashSet<(u16, u32, String)>,
    /// What several levels say of one thing: it is read when all have spoken.
    pub gathered: Gathered,
}

/// Networks, folders and provisioners of one machine: a later level may add to what an earlier one said of them.
#[derive(Default)]
pub struct Gathered {
    /// The file, the machine, the provider's overrides, ….
    pub level: usize,
    pub networks: IndexMap<String, Several>,
    pub folders: IndexMap<String, Several>,
    pub provisioners: Vec<Draft>,
}

/// One network or folder.
pub struct Several {
    /// The kind of network, or the folder on the host.
    pub what: Value,
    pub options: IndexMap<Rc<str>, Value>,
    pub at: At,
    pub level: usize,
}

impl Applying<'_> {
    /// The place in the machine file; of another file, none.
    pub fn span(at: At) -> Range<usize> {
        if at.file == 0 { at.start as usize..at.end as usize } else { 0..0 }
    }

    /// With the file's name before it where the place lies in another file.
    fn placed(&self, at: At, message: String) -> String {
        if at.file == 0 { message } else { format!("{}: {message}", self.place(at)) }
    }

    /// File and line.
    pub(super) fn place(&self, at: At) -> String {
        let path = if at.file == 0 { self.reader.source().name.clone() } else { self.ruby.file_path(at.file) };
        let root = format!("{}/", self.paths.root.display());
        format!("{}:{}", path.strip_prefix(&root).unwrap_or(&path), self.ruby.line_of(at))
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
        if !self.said.insert((at.file, at.start, message.clone())) {
            return;
        }
        let left = LeftOut { what: what.to_owned(), why: why.to_owned(), changes, place: self.place(at) };
        let message = self.placed(at, message);
        let note = if changes { self.reader.warning(message) } else { self.reader.note(message) };
        note.at(Self::span(at), why).left_out(left).push();
    }

    /// A text, number or symbol as text; `nil` is none.
    pub fn text(&mut self, at: At, name: &str, value: &Value) -> Option<String> {
        match value {
            Value::Nil => None,
            Value::Str(_) | Value::Sym(_) | Value::Int(_) | Value::Float(_) => {
                // Each machine gets texts of its own of what the whole file says.
                let counted = self.ruby.to_s(value).and_then(|text| self.ruby.grow(text.len()).map(|()| text));
                if counted.is_err() {
                    self.error(at, format!("`{name}` takes too much memory for all machines together"), "".into());
                }
                counted.ok()
            }
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

    /// One setting of `config.vm`; whether the machine's box has a URL of its own.
    pub fn vm(&mut self, layer: &mut Layer, setting: &Setting, has_url: bool) {
        let (at, value, paths) = (setting.at, setting.value(), self.paths);
        match &*setting.name {
            "box" => {
                layer.has_box = !value.is_nil();
                layer.box_name = self.checked(at, "box", &value, |text| check::box_source(text, paths, has_url));
            }
            "box_version" if value.text().is_some_and(|text| text.trim().is_empty()) => {}
            "box_version" => layer.box_version = self.checked(at, "box_version", &value, check::version_constraint),
            "box_url" => {
                let urls = self.texts(at, "box_url", &value).into_iter().map(|url| Value::str(url.as_str()));
                let urls = urls.filter_map(|url| self.checked(at, "box_url", &url, |text| check::box_url(text, paths)));
                let urls: Vec<_> = urls.collect();
                layer.box_url = (!urls.is_empty()).then_some(urls);
            }
            "box_download_checksum" => {
                let digits = value.text().map_or(0, |text| text.trim().len());
                if matches!(digits, 0 | 32 | 40 | 96) {
                    if digits > 0 {
                        self.left_out(at, "`box_download_checksum`", "only sha256 and sha512 are checked", true);
                    }
                    return;
                }
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
            "usable_port_range" | "auto_port_range" => {
                if let Value::Range(range) = &value {
                    let low = self.number(at, "usable_port_range", &range.low);
                    layer.usable_port_range = low.zip(self.number(at, "usable_port_range", &range.high));
                }
            }
            "network" => self.network(setting),
            "forward_port" => self.forward_port(setting),
            "synced_folder" => self.synced_folder(setting),
            "share_folder" => self.share_folder(setting),
            "provision" => self.provision(setting),
            "disk" => self.disk(layer, setting),
            "cloud_init" => {
                let why = "the guest's cloud-init gets user, key and host name from us, and no user data of yours yet";
                self.left_out(at, "`config.vm.cloud_init`", why, true);
            }
            "communicator" if matches!(value.text().as_deref(), None | Some("ssh")) => {}
            name @ ("communicator" | "guest") if is_windows(&value) => {
                self.left_out(at, &format!("`config.vm.{name}`"), WINDOWS, true);
            }
            // These say nothing alone, or lead to machines and providers, which are read by themselves.
            "cloud_init_first_boot_only" | "provider" | "define" | "box_architecture" | "customize" => {}
            name => self.other(name, at, "config.vm", VM),
        }
    }

    /// What is known and not done, or not known.
    fn other(&mut self, name: &str, at: At, section: &str, known: &[&str]) {
        let shown = format!("`{section}.{name}`");
        if let Some((_, why)) = HARMLESS.iter().find(|(other, _)| *other == name) {
            return self.left_out(at, &shown, why, false);
        }
        let of_ssh = SSH_HARMLESS.iter().find(|(other, _)| section == "config.ssh" && *other == name);
        if let Some((_, why)) = of_ssh {
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

    /// Reads what was gathered, when every level has spoken.
    pub fn conclude(&mut self, layer: &mut Layer) {
        let gathered = std::mem::take(&mut self.gathered);
        self.networks(layer, &gathered.networks);
        self.folders(layer, &gathered.folders);
        self.provisioners(layer, &gathered.provisioners);
    }
}

/// Whether a guest or the way into it is Windows'.
fn is_windows(value: &Value) -> bool {
    matches!(value.text().as_deref(), Some("windows" | "winrm" | "winssh"))
}

/// A text, number or boolean as text, without asking the program's own methods.
pub fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        other => other.text().map(|text| text.to_string()),
    }
}
