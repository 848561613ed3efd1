//! `config.vm.provision`: several levels may speak of one provisioner, so they are gathered first.

use std::rc::Rc;

use super::apply::Applying;
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::read::Complaint;
use crate::config::sections::UnnamedProvisioner;
use crate::config::spec::{ProvisionerKind, RunPolicy, Script, ShellProvisioner};
use crate::config::words::words;
use toml::Spanned;

/// Options of a shell provisioner that make no difference here, and why.
const SHELL_HARMLESS: &[(&str, &str)] = &[
    ("keep_color", "colours are passed on as they are"),
    ("binary", "scripts are copied as they are"),
    ("upload_path", "scripts have a place of their own in the guest"),
    ("powershell_args", "it is for Windows guests"),
    ("powershell_elevated_interactive", "it is for Windows guests"),
];

/// A provisioner of which more may be said.
pub struct Draft {
    name: Option<Rc<str>>,
    kind: Rc<str>,
    run: RunPolicy,
    /// In the order in which they were said: the last of a name counts.
    options: Vec<(Rc<str>, Value)>,
    level: usize,
    at: At,
}

impl Applying<'_> {
    /// Gathers one call.
    pub(super) fn provision(&mut self, setting: &Setting) {
        let at = setting.at;
        let mut options = Self::options(setting);
        if let Some(inner) = &setting.inner {
            options.extend(inner.log.borrow().iter().map(|one| (Rc::clone(&one.name), one.value())));
        }
        let first = setting.value().text();
        let named_kind = options.iter().find(|(key, _)| &**key == "type").and_then(|(_, value)| value.text());
        let (kind, name) = match (named_kind, first) {
            (Some(kind), name) => (kind, name),
            (None, Some(kind)) => (kind, None),
            (None, None) => return self.error(at, "a provisioner without a type".into(), "".into()),
        };
        let preserve = |(key, value): &(Rc<str>, Value)| &**key == "preserve_order" && value.truthy();
        let preserves = options.iter().any(preserve);
        let level = self.gathered.level;
        let earlier = self.gathered.provisioners.iter().position(|other| name.is_some() && other.name == name);
        let mut draft = Draft { name, kind, run: RunPolicy::Once, options: Vec::new(), level, at };
        let mut place = self.gathered.provisioners.len();
        if let Some(index) = earlier {
            let other = self.gathered.provisioners.remove(index);
            (draft.run, draft.options) = (other.run, other.options);
            // On its own level it only gets more options; another level's takes its place in the order as well.
            place = if other.level == level || preserves { index } else { place - 1 };
        }
        if let Some((_, run)) = options.iter().rfind(|(key, _)| &**key == "run") {
            draft.run = match run.text().as_deref() {
                Some("always") => RunPolicy::Always,
                Some("never") => RunPolicy::Never,
                Some("once") | None => RunPolicy::Once,
                Some(other) => {
                    let what = format!("`run: \"{}\"` of a provisioner", other.escape_debug());
                    let why = "it is none of `once`, `always` and `never`: as with Vagrant it runs once";
                    self.left_out(at, &what, why, true);
                    RunPolicy::Once
                }
            };
        }
        draft.options.extend(options);
        self.gathered.provisioners.insert(place, draft);
    }

    /// All of them, when every level has spoken.
    pub(super) fn provisioners(&mut self, layer: &mut Layer, gathered: &[Draft]) {
        for draft in gathered {
            let at = draft.at;
            let options = &draft.options;
            let mut name = draft.name.clone();
            for (key, value) in options {
                match (&**key, value.text().as_deref()) {
                    ("name", Some(text)) => name = name.or_else(|| Some(text.into())),
                    ("before" | "after", Some(_)) => {
                        let why = "they run in the order of the file";
                        self.left_out(at, &format!("`{key}` of a provisioner"), why, true);
                    }
                    _ => {}
                }
            }
            let made = match &*draft.kind {
                "shell" => self.shell(at, options),
                "file" => self.file(at, options),
                // As the plugin vagrant-reload has it.
                "reload" => Some(ProvisionerKind::Shell(ShellProvisioner {
                    reboot: true,
                    ..shell_with(Script::Inline("true".into()))
                })),
                other => {
                    self.left_out(at, &format!("the provisioner `{other}`"), "not supported yet", true);
                    None
                }
            };
            let Some(kind) = made else { continue };
            let name = name.map(|name| name.replace([',', '\n'], "-"));
            layer.provisioners.push(UnnamedProvisioner { name, run: draft.run, kind, span: Self::span(at) });
        }
        unique(&mut layer.provisioners);
    }

    pub(super) fn shell(&mut self, at: At, options: &[(Rc<str>, Value)]) -> Option<ProvisionerKind> {
        let last = |name: &str| options.iter().rfind(|(key, _)| &**key == name).filter(|(_, value)| value.truthy());
        let script = match (last("inline"), last("path")) {
            (Some(_), Some(_)) => {
                let help = "Vagrant refuses both, too: leave one of them out";
                let complaint = Complaint::from("which of them is meant nobody can tell").help(help);
                self.error(at, "a shell provisioner with `inline` and `path`".into(), complaint);
                return None;
            }
            (Some((_, text)), None) => Some(self.text(at, "inline", text).map(Script::Inline)),
            (None, Some((_, path))) => Some(self.script(at, path)),
            // What only starts the guest anew.
            (None, None) if last("reboot").is_some() => Some(Some(Script::Inline("true".into()))),
            (None, None) => None,
        };
        let mut shell = shell_with(Script::Inline(String::new()));
        for (key, value) in options {
            match &**key {
                "args" => shell.args = self.args(at, value),
                "env" => shell.env = self.env(at, value),
                "privileged" => shell.privileged = value.truthy(),
                "reboot" => shell.reboot = value.truthy(),
                "sensitive" => shell.sensitive = value.truthy(),
                "type"
                | "name"
                | "run"
                | "before"
                | "after"
                | "preserve_order"
                | "inline"
                | "path"
                | "id"
                | "communicator_required" => {}
                "reset" if !value.truthy() => {}
                "reset" => self.left_out(at, "`reset` of a shell provisioner", "the session stays", true),
                "md5" | "sha1" | "sha256" | "sha384" | "sha512" if !value.is_nil() => {
                    self.left_out(at, &format!("`{key}` of a shell provisioner"), "scripts are not checked", true);
                }
                other if SHELL_HARMLESS.iter().any(|(name, _)| *name == other) => {
                    let why = SHELL_HARMLESS.iter().find(|(name, _)| *name == other).map_or("", |(_, why)| why);
                    self.left_out(at, &format!("`{other}` of a shell provisioner"), why, false);
                }
                other => self.left_out(at, &format!("`{other}` of a shell provisioner"), "not supported yet", true),
            }
        }
        let Some(script) = script else {
            self.error(at, "a shell provisioner without `inline` or `path`".into(), "".into());
            return None;
        };
        shell.script = script?;
        Some(ProvisionerKind::Shell(shell))
    }

    fn script(&mut self, at: At, value: &Value) -> Option<Script> {
        let text = self.text(at, "path", value)?;
        if text.starts_with("http://") || text.starts_with("https://") {
            return Some(Script::Url(text));
        }
        let paths = self.paths;
        let path = self.checked(at, "path", value, |text| paths.resolve(text))?;
        self.paths.expect("script", &Spanned::new(Self::span(at), path.clone()));
        Some(Script::Path(path))
    }

    /// A list is passed word for word, a text as a shell would divide it.
    fn args(&mut self, at: At, value: &Value) -> Vec<String> {
        match value {
            Value::Str(text) => words(&text.text.borrow()),
            other => self.texts(at, "args", other),
        }
    }

    fn env(&mut self, at: At, value: &Value) -> Vec<(String, String)> {
        let Value::Hash(hash) = value else { return Vec::new() };
        let mut env = Vec::new();
        for (name, value) in hash.pairs() {
            let Some(name) = name.text() else { continue };
            if !crate::config::check::variable(&name) {
                self.error(at, format!("`{name}` cannot be the name of a variable"), "".into());
                continue;
            }
            let text = match &value {
                Value::Bool(value) => value.to_string(),
                Value::Nil => String::new(),
                other => self.text(at, "env", other).unwrap_or_default(),
            };
            env.push((name.to_string(), text));
        }
        env
    }

    fn file(&mut self, at: At, options: &[(Rc<str>, Value)]) -> Option<ProvisionerKind> {
        let (mut source, mut destination) = (None, None);
        let paths = self.paths;
        for (key, value) in options {
            match &**key {
                "source" => source = self.checked(at, "source", value, |text| paths.resolve(text)),
                "destination" => destination = self.text(at, "destination", value),
                _ => {}
            }
        }
        let (Some(source), Some(destination)) = (source, destination) else {
            self.error(at, "a file provisioner without `source` or `destination`".into(), "".into());
            return None;
        };
        self.paths.expect("source", &Spanned::new(Self::span(at), source.clone()));
        Some(ProvisionerKind::File { source, destination })
    }
}

fn shell_with(script: Script) -> ShellProvisioner {
    ShellProvisioner { script, args: Vec::new(), env: Vec::new(), privileged: true, reboot: false, sensitive: false }
}

/// `name:` of a shell provisioner is only shown by Vagrant, so files use one several times; here names choose.
fn unique(provisioners: &mut [UnnamedProvisioner]) {
    for at in 0..provisioners.len() {
        let (before, rest) = provisioners.split_at_mut(at);
        let Some(one) = rest.first_mut() else { return };
        let Some(name) = one.name.clone() else { continue };
        let taken = |name: &str| before.iter().any(|other| other.name.as_deref() == Some(name));
        if taken(&name) {
            let free = (2..=before.len() + 2).map(|number| format!("{name}-{number}")).find(|name| !taken(name));
            one.name = free;
        }
    }
}
