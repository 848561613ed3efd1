//! `config.trigger.before` and `config.trigger.after`, also as the plugin vagrant-triggers had them.

use std::rc::Rc;

use super::apply::Applying;
use super::host::Sealed;
use super::plugins::flat;
use super::ruby::{At, Call, Flow, HostObject, Interp, Name, Proc, Result, Value};
use super::section::{Kind, Section, Setting};
use crate::config::layer::Layer;
use crate::config::read::Complaint;
use crate::config::spec::{Action, HostCommand, OnError, ProvisionerKind, Script, Trigger, When};
use crate::config::trigger::{WrittenTrigger, action};

/// What a trigger's block may call.
const WORDS: &[&str] = &[
    "name",
    "info",
    "warn",
    "error",
    "on_error",
    "ignore",
    "only_on",
    "run",
    "run_remote",
    "exit_codes",
    "abort",
    "ruby",
    "type",
];

/// Whether a trigger has a setting of that name.
pub fn knows(name: &str) -> bool {
    WORDS.contains(&name)
}

/// Runs the block that describes a trigger. One without parameters is written for the plugin vagrant-triggers: there it is
/// the trigger itself that `run "…"` is said to.
pub fn describe(ruby: &mut Interp, block: &Rc<Proc>) -> Result<Rc<Section>> {
    let section = Section::new("a trigger", Kind::Trigger);
    let me = Value::Host(Rc::clone(&section) as Rc<dyn HostObject>);
    let arity = ruby.send(&Value::Proc(Rc::clone(block)), "arity", Vec::new())?;
    if matches!(arity, Value::Int(0)) {
        ruby.call_with_self(block, me, Call::default(), false)?;
    } else {
        ruby.yield_to(block, vec![me])?;
    }
    Ok(section)
}

/// Settings in their order: the name, what it was given, and a block.
type Said = (Rc<str>, Value, Option<Rc<Proc>>);

impl Applying<'_> {
    /// One call of `config.trigger`.
    pub(super) fn trigger(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let when = match &*setting.name {
            "before" => When::Before,
            "after" => When::After,
            other => {
                let what = format!("the trigger {} {}", other.replace('_', " "), commands(setting));
                return self.left_out(at, &what, "only triggers before and after commands are run", true);
            }
        };
        let mut said: Vec<Said> = Vec::new();
        if let Some(inner) = &setting.inner {
            let log = inner.log.borrow();
            let one = |one: &Setting| {
                let options = one.options.clone().filter(|_| one.args.is_empty()).map(Value::Hash);
                (Rc::clone(&one.name), options.unwrap_or_else(|| one.value()), one.block.clone())
            };
            said.extend(log.iter().map(one));
        }
        said.extend(Self::options(setting).into_iter().map(|(name, value)| (name, value, None)));
        let asked = |name: &str| said.iter().rfind(|(other, _, _)| &**other == name).map(|(_, value, _)| value.clone());
        if let Some(kind) = asked("type").and_then(|kind| kind.text()).filter(|kind| &**kind != "action") {
            let what = format!("the trigger {} {} of type `{kind}`", setting.name, commands(setting));
            return self.left_out(at, &what, "only triggers of type `action` are run", true);
        }
        let only_on = asked("only_on").or_else(|| asked("vm"));
        if only_on.is_some_and(|only_on| !self.is_meant(&only_on)) {
            return;
        }
        let ignored: Vec<_> = asked("ignore").iter().flat_map(flat).filter_map(|word| word.text()).collect();
        let actions = self.actions(setting, &ignored);
        if actions.is_empty() {
            return;
        }
        let mut trigger = Trigger::new(when(actions));
        trigger.place = self.place(at);
        let mut blocks = Vec::new();
        for (name, value, block) in &said {
            match (&**name, block, value) {
                ("ruby", Some(block), _) | ("ruby", None, Value::Proc(block)) => blocks.push(Rc::clone(block)),
                _ => self.of_trigger(at, &mut trigger, name, value),
            }
        }
        let mut push =
            |spec: Trigger| layer.triggers.push(WrittenTrigger { spec, only_on: Vec::new(), span: Self::span(at) });
        let says_more = Trigger::new(trigger.when.clone());
        let (place, title) = (trigger.place.clone(), trigger.title());
        if !trigger.is_empty() {
            push(trigger);
        }
        for block in blocks {
            match self.said_by(&block) {
                Some(text) if text.trim().is_empty() => {}
                // It comes after everything else that the trigger does.
                Some(text) => push(Trigger { info: Some(text), place: place.clone(), ..says_more.clone() }),
                None => {
                    let why = "it does more than to print";
                    self.left_out(at, &format!("the Ruby block of the trigger {title}"), why, true);
                }
            }
        }
    }

    /// The commands that we have triggers for; the others are listed.
    fn actions(&mut self, setting: &Setting, ignored: &[Rc<str>]) -> Vec<Action> {
        let mut actions = Vec::new();
        for word in setting.args.iter().flat_map(flat) {
            let name = self.ruby.to_s(&word).unwrap_or_default();
            match action(&name) {
                Some(action) => actions.push(action),
                None if name == "all" => {
                    let is_ignored = |action: &&Action| ignored.iter().any(|name| **name == *action.name());
                    actions.extend(Action::ALL.iter().filter(|action| !is_ignored(action)));
                }
                None => {
                    let what = format!("the trigger {} `{name}`", setting.name);
                    let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
                    self.left_out(setting.at, &what, &format!("triggers go with {}", names.join(", ")), true);
                }
            }
        }
        actions
    }

    /// One setting of a trigger.
    fn of_trigger(&mut self, at: At, trigger: &mut Trigger, name: &str, value: &Value) {
        match name {
            "name" => trigger.name = self.text(at, "name", value),
            "info" => trigger.info = self.text(at, "info", value),
            "warn" | "error" => trigger.warn = self.text(at, "warn", value),
            "on_error" => match value.text().as_deref() {
                Some("halt") | None => trigger.on_error = OnError::Halt,
                Some("continue") => trigger.on_error = OnError::Continue,
                Some(other) => {
                    let complaint = Complaint::from("expected `:halt` or `:continue`");
                    self.error(at, format!("`on_error` cannot be `{other}`"), complaint);
                }
            },
            // The plugin's.
            "force" => trigger.on_error = if value.truthy() { OnError::Continue } else { OnError::Halt },
            "abort" => {
                trigger.abort = match value {
                    Value::Bool(true) => Some(1),
                    Value::Bool(false) | Value::Nil => None,
                    number => self.number(at, "abort", number),
                };
            }
            "exit_codes" | "good_exit" => {
                trigger.exit_codes =
                    flat(value).iter().filter_map(|code| self.number(at, "exit_codes", code)).collect();
            }
            "run" | "execute" => trigger.run = self.host_command(at, value),
            "run_remote" | "execute_remote" => trigger.run_remote = self.remote(at, value),
            "only_on" | "vm" | "ignore" | "type" | "ruby" | "stdout" | "stderr" => {}
            other => self.left_out(at, &format!("`{other}` of a trigger"), "not supported yet", true),
        }
    }

    /// `run: { inline: "…" }`, `{ path: "…", args: […] }`; the plugin's is the command alone.
    fn host_command(&mut self, at: At, value: &Value) -> Option<HostCommand> {
        let Value::Hash(hash) = value else {
            return self
                .text(at, "run", value)
                .map(|text| HostCommand { script: Script::Inline(text), args: Vec::new() });
        };
        let (mut script, mut args) = (None, Vec::new());
        for (key, value) in hash.pairs() {
            match key.text().as_deref() {
                Some("inline") if !value.is_nil() => script = self.text(at, "inline", &value).map(Script::Inline),
                Some("path") if !value.is_nil() => {
                    let paths = self.paths;
                    script = self.checked(at, "path", &value, |text| paths.resolve(text)).map(Script::Path);
                }
                // Vagrant joins them and divides the line again.
                Some("args") => {
                    let texts = self.texts(at, "args", &value);
                    args = texts.iter().flat_map(|text| crate::config::words(text)).collect();
                }
                Some("privileged") if value.truthy() => {
                    self.left_out(at, "`privileged` of a trigger's `run`", "Vagrant ignores it as well", false);
                }
                Some("env") => self.left_out(at, "`env` of a trigger's `run`", "Vagrant ignores it as well", false),
                _ => {}
            }
        }
        if script.is_none() {
            self.error(at, "a trigger's `run` without `inline` or `path`".into(), "".into());
        }
        Some(HostCommand { script: script?, args })
    }

    /// As a shell provisioner; the plugin's is the script alone.
    fn remote(&mut self, at: At, value: &Value) -> Option<crate::config::spec::ShellProvisioner> {
        let options = match value {
            Value::Hash(hash) => {
                hash.pairs().into_iter().filter_map(|(key, value)| Some((key.text()?, value))).collect()
            }
            Value::Nil => return None,
            text => vec![("inline".into(), text.clone())],
        };
        match self.shell(at, &options)? {
            ProvisionerKind::Shell(shell) => Some(shell),
            ProvisionerKind::File { .. } => None,
        }
    }

    /// Whether `only_on` means the machine: names and regular expressions.
    fn is_meant(&mut self, only_on: &Value) -> bool {
        let name = self.machine.clone();
        flat(only_on).iter().any(|one| match one {
            Value::Regex(regex) => regex.compiled.is_match(&*name).unwrap_or_default(),
            other => other.text().as_deref() == Some(&*name),
        })
    }

    /// What a `ruby` block prints, if that is all it does: it sees nothing of this computer and starts nothing. `None` for
    /// any other.
    fn said_by(&mut self, block: &Rc<Proc>) -> Option<String> {
        let sealed = Rc::new(Sealed::default());
        let host = std::mem::replace(&mut self.ruby.host, Rc::clone(&sealed) as Rc<dyn super::ruby::Host>);
        let at = self.ruby.at;
        let about: Rc<dyn HostObject> = Rc::new(About { machine: self.machine.clone() });
        let done = self.ruby.yield_to(block, vec![Value::Host(Rc::clone(&about)), Value::Host(about)]);
        self.ruby.host = host;
        self.ruby.at = at;
        matches!(done, Ok(_) | Err(Flow::Next(_))).then(|| sealed.printed.take())
    }
}

/// The commands of a call, for messages.
fn commands(setting: &Setting) -> String {
    let names: Vec<_> = setting.args.iter().flat_map(flat).filter_map(|action| action.text()).collect();
    if names.is_empty() { "an action".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

/// What a `ruby` block learns of the environment and the machine.
struct About {
    machine: Rc<str>,
}

impl HostObject for About {
    fn class_name(&self) -> Rc<str> {
        "what a trigger knows".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        Ok(match &*name.text() {
            "name" => Some(Value::sym(&self.machine)),
            "ui" => Some(Value::Host(self)),
            "info" | "warn" | "error" | "success" | "say" | "detail" | "output" => {
                let text = ruby.to_s(&call.arg(0))?;
                ruby.print(&format!("{text}\n"), super::ruby::Stream::Out)?;
                Some(Value::Nil)
            }
            _ => None,
        })
    }

    fn responds(&self, name: Name) -> bool {
        matches!(&*name.text(), "name" | "ui" | "info" | "warn")
    }
}

#[cfg(test)]
#[path = "trigger_tests.rs"]
mod tests;
