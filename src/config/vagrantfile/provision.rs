//! `config.vm.provision`.

use std::rc::Rc;

use super::apply::Applying;
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::sections::UnnamedProvisioner;
use crate::config::spec::{ProvisionerKind, RunPolicy, Script, ShellProvisioner};
use toml::Spanned;

impl Applying<'_> {
    /// Adds a provisioner; one of the same name is replaced.
    pub(super) fn provision(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let mut options = Self::options(setting);
        if let Some(inner) = &setting.inner {
            options.extend(inner.log.borrow().iter().map(|one| (Rc::clone(&one.name), one.value())));
        }
        let first = setting.value().text();
        let named_kind = options.iter().find(|(key, _)| &**key == "type").and_then(|(_, value)| value.text());
        let (kind, mut name) = match (named_kind, first) {
            (Some(kind), name) => (kind, name),
            (None, Some(kind)) => (kind, None),
            (None, None) => return self.error(at, "a provisioner without a type".into(), "".into()),
        };
        let mut run = RunPolicy::Once;
        for (key, value) in &options {
            match (&**key, value.text().as_deref()) {
                ("name", Some(text)) => name = name.or_else(|| Some(text.into())),
                ("run", Some("always")) => run = RunPolicy::Always,
                ("run", Some("never")) => run = RunPolicy::Never,
                ("before" | "after", Some(_)) => {
                    self.left_out(at, &format!("`{key}` of a provisioner"), "they run in the order of the file", true);
                }
                _ => {}
            }
        }
        let made = match &*kind {
            "shell" => self.shell(at, &options),
            "file" => self.file(at, &options),
            other => return self.left_out(at, &format!("the provisioner `{other}`"), "not supported yet", true),
        };
        let Some(made) = made else { return };
        let name = name.map(|name| name.to_string());
        // The same name on a machine means: instead of the inherited one.
        layer.provisioners.retain(|other| name.is_none() || other.name != name);
        layer.provisioners.push(UnnamedProvisioner { name, run, kind: made, span: Self::span(at) });
    }

    fn shell(&mut self, at: At, options: &[(Rc<str>, Value)]) -> Option<ProvisionerKind> {
        let mut script = None;
        let mut shell = ShellProvisioner {
            script: Script::Inline(String::new()),
            args: Vec::new(),
            env: Vec::new(),
            privileged: true,
            reboot: false,
            sensitive: false,
        };
        for (key, value) in options {
            match &**key {
                "inline" if !value.is_nil() => script = self.text(at, "inline", value).map(Script::Inline),
                "path" if !value.is_nil() => script = self.script(at, value),
                "args" => shell.args = self.args(at, value),
                "env" => shell.env = self.env(at, value),
                "privileged" => shell.privileged = value.truthy(),
                "reboot" => shell.reboot = value.truthy(),
                "sensitive" => shell.sensitive = value.truthy(),
                "type" | "name" | "run" | "before" | "after" | "preserve_order" | "keep_color" | "binary"
                | "inline" | "path" => {}
                other => self.left_out(at, &format!("`{other}` of a shell provisioner"), "not supported yet", true),
            }
        }
        let Some(script) = script else {
            self.error(at, "a shell provisioner without `inline` or `path`".into(), "".into());
            return None;
        };
        shell.script = script;
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

/// The words of a line, with quotes as in a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
