//! What a block writes to `config`: every call is kept with its place, in order, and read when the file has ended.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;

use super::dotenv;
use super::ruby::{At, Call, Hash, HostObject, Interp, Name, Proc, Result, Value, bury};
use super::trigger;

/// What every object answers, also ours.
const OF_OBJECTS: &[&str] = &[
    "nil?",
    "class",
    "is_a?",
    "kind_of?",
    "instance_of?",
    "respond_to?",
    "to_s",
    "inspect",
    "==",
    "!=",
    "!",
    "===",
    "equal?",
    "send",
    "__send__",
    "public_send",
    "object_id",
    "freeze",
    "dup",
    "tap",
    "then",
    "itself",
    "hash",
    "instance_variable_get",
    "instance_variable_set",
    "instance_eval",
    "instance_exec",
];

/// Settings that are a hash from the beginning, to which files add.
const HASHES: &[&str] =
    &["vmx", "json", "facter", "extra_vars", "groups", "host_vars", "pillar", "docker_env", "hiera_config", "env"];

/// Settings that are a list from the beginning.
const LISTS: &[&str] = &["raw_arguments", "run_list", "networks", "installs"];

/// About what one call takes.
const SETTING: usize = 250;

/// One call.
#[derive(Clone)]
pub struct Setting {
    /// Without the `=` of assignments.
    pub name: Rc<str>,
    pub args: Vec<Value>,
    /// Keywords, or the hash at the end.
    pub options: Option<Rc<Hash>>,
    pub block: Option<Rc<Proc>>,
    /// What the block of a provisioner or trigger wrote.
    pub inner: Option<Rc<Section>>,
    pub at: At,
}

impl Setting {
    pub fn value(&self) -> Value {
        self.args.first().cloned().unwrap_or(Value::Nil)
    }

    fn read(name: &str, value: Option<Value>, at: At) -> Self {
        let args = value.into_iter().collect();
        Self { name: name.into(), args, options: None, block: None, inner: None, at }
    }
}

/// Whose settings they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Vagrant's own: `config.vm`, `config.ssh`.
    Own,
    /// A provider's block.
    Provider,
    /// A provisioner's block.
    Provisioner,
    /// A trigger's block: nothing but a trigger's own settings, so that methods of the file can be called in it.
    Trigger,
    /// Of a plugin: nobody knows what it answers.
    Plugin,
}

/// `config.vm`, `config.ssh`, a provider or provisioner.
pub struct Section {
    pub label: Rc<str>,
    pub kind: Kind,
    pub log: RefCell<Vec<Setting>>,
}

impl Drop for Section {
    /// Settings may hold sections that hold settings.
    fn drop(&mut self) {
        bury(self.log.take().into_iter().flat_map(|setting| setting.args));
    }
}

impl Section {
    pub fn new(label: &str, kind: Kind) -> Rc<Self> {
        Rc::new(Self { label: label.into(), kind, log: RefCell::default() })
    }

    /// The last value that was assigned.
    fn last(&self, name: &str) -> Option<Value> {
        let log = self.log.borrow();
        log.iter().rev().find(|setting| &*setting.name == name && !setting.args.is_empty()).map(Setting::value)
    }

    /// What was written until now, as Vagrant's own code reads it: networks with their kind, folders by their name.
    fn gathered(&self, name: &str) -> Option<Value> {
        let log = self.log.borrow();
        let calls = |method: &'static str| log.iter().filter(move |setting| &*setting.name == method);
        let options = |setting: &Setting| setting.options.as_ref().map(|options| options.pairs()).unwrap_or_default();
        match name {
            _ if &*self.label != "config.vm" => None,
            "networks" => {
                let kind = |setting: &Setting| setting.value().text().map_or(Value::Nil, |kind| Value::sym(&kind));
                let pair = |setting| Value::array(vec![kind(setting), Value::hash(options(setting))]);
                Some(Value::array(calls("network").map(pair).collect()))
            }
            "synced_folders" => Some(Value::hash(calls("synced_folder").map(|setting| {
                let guest = setting.args.get(1).cloned().unwrap_or(Value::Nil);
                let mut pairs = options(setting);
                pairs.push((Value::sym("guestpath"), guest.clone()));
                pairs.push((Value::sym("hostpath"), setting.value()));
                let id = setting.options.as_ref().and_then(|options| options.get_named("id"));
                (id.unwrap_or(guest), Value::hash(pairs))
            }))),
            _ => None,
        }
    }

    /// What a setting is worth that nothing was assigned to.
    fn unset(&self, ruby: &Interp, name: &str) -> Value {
        let fresh = match self.kind {
            Kind::Plugin => {
                // It may lead to more settings; that it was asked for is remembered, so that it is not dropped silently.
                self.log.borrow_mut().push(Setting::read(name, None, ruby.at));
                return Value::Host(Self::new(&format!("{}.{name}", self.label), Kind::Plugin) as Rc<dyn HostObject>);
            }
            Kind::Provider | Kind::Provisioner if HASHES.contains(&name) => Value::hash([]),
            Kind::Provider | Kind::Provisioner if LISTS.contains(&name) => Value::array(Vec::new()),
            Kind::Own | Kind::Trigger | Kind::Provider | Kind::Provisioner => return Value::Nil,
        };
        self.log.borrow_mut().push(Setting::read(name, Some(fresh.clone()), ruby.at));
        fresh
    }
}

impl HostObject for Section {
    fn class_name(&self) -> Rc<str> {
        self.label.clone()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        let text = name.text();
        let is_strange = self.kind == Kind::Trigger && !trigger::knows(text.trim_end_matches('='));
        if OF_OBJECTS.contains(&&*text) || is_strange {
            return Ok(None);
        }
        if &*self.label == "config.env" {
            dotenv::call(ruby, &text, call)?;
        }
        let assigned = text.strip_suffix('=');
        if assigned.is_none() && call.args.is_empty() && call.keywords.is_none() && call.block.is_none() {
            let known = self.gathered(&text).or_else(|| self.last(&text));
            return Ok(Some(known.unwrap_or_else(|| self.unset(ruby, &text))));
        }
        ruby.grow(SETTING)?;
        let at = ruby.at;
        let mut args = call.args.clone();
        let mut options = call.keywords.clone();
        if options.is_none()
            && assigned.is_none()
            && let Some(Value::Hash(last)) = args.last()
        {
            options = Some(Rc::clone(last));
            args.pop();
        }
        let mut inner = None;
        if &*text == "provision"
            && let Some(block) = &call.block
        {
            let section = Self::new("a provisioner", Kind::Provisioner);
            ruby.yield_to(block, vec![Value::Host(Rc::clone(&section) as Rc<dyn HostObject>)])?;
            inner = Some(section);
        } else if &*self.label == "config.trigger"
            && let Some(block) = &call.block
        {
            inner = Some(trigger::describe(ruby, block)?);
        }
        let name = assigned.unwrap_or(&text).into();
        self.log.borrow_mut().push(Setting { name, args, options, block: call.block.clone(), inner, at });
        Ok(Some(call.arg(0)))
    }

    fn responds(&self, _name: Name) -> bool {
        true
    }
}

/// `config`: of the whole file, of one machine, or what a provider's block overrides.
pub struct Config {
    pub sections: RefCell<IndexMap<Rc<str>, Rc<Section>>>,
    /// How many calls of each section count, where this is what another one was at some time.
    lengths: Option<Vec<usize>>,
}

impl Config {
    pub fn new() -> Rc<Self> {
        Rc::new(Self { sections: RefCell::default(), lengths: None })
    }

    pub fn section(&self, name: &str) -> Rc<Section> {
        let kind = match name {
            "vm" | "ssh" | "winrm" | "winssh" | "nfs" | "package" | "vagrant" | "trigger" | "push" => Kind::Own,
            _ => Kind::Plugin,
        };
        let mut sections = self.sections.borrow_mut();
        Rc::clone(sections.entry(name.into()).or_insert_with(|| Section::new(&format!("config.{name}"), kind)))
    }

    /// The calls of one section as they are now.
    pub fn log(&self, name: &str) -> Vec<Setting> {
        let sections = self.sections.borrow();
        let found = sections.get_full(name);
        found.map(|(index, _, section)| self.counted(index, section)).unwrap_or_default()
    }

    /// The calls of all sections as they are now.
    pub fn logs(&self) -> Vec<(Rc<str>, Vec<Setting>)> {
        let sections = self.sections.borrow();
        let all = sections.iter().enumerate();
        all.map(|(index, (name, section))| (Rc::clone(name), self.counted(index, section))).collect()
    }

    fn counted(&self, index: usize, section: &Section) -> Vec<Setting> {
        let log = section.log.borrow();
        let length = self.lengths.as_ref().map_or(log.len(), |lengths| lengths.get(index).copied().unwrap_or(0));
        log.iter().take(length).cloned().collect()
    }
}

impl Config {
    /// Takes out the machines that were named: each machine would go through all of them otherwise.
    pub fn take_defined(&self) -> Vec<Setting> {
        let sections = self.sections.borrow();
        let Some(section) = sections.get("vm") else { return Vec::new() };
        let (defined, others) = section.log.take().into_iter().partition(|setting| &*setting.name == "define");
        *section.log.borrow_mut() = others;
        defined
    }

    /// How much was written.
    pub fn size(&self) -> usize {
        match &self.lengths {
            Some(lengths) => lengths.iter().sum(),
            None => self.sections.borrow().values().map(|section| section.log.borrow().len()).sum(),
        }
    }

    /// What was written until now; nothing is copied, as each machine has one.
    pub fn until_now(&self) -> Rc<Self> {
        let sections = self.sections.borrow().clone();
        let lengths = sections.values().map(|section| section.log.borrow().len()).collect();
        Rc::new(Self { sections: RefCell::new(sections), lengths: Some(lengths) })
    }
}

impl HostObject for Config {
    fn class_name(&self) -> Rc<str> {
        "config".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        let text = name.text();
        if OF_OBJECTS.contains(&&*text) {
            return Ok(None);
        }
        let section = self.section(text.trim_end_matches('='));
        if text.ends_with('=') || !call.args.is_empty() || call.block.is_some() {
            // No setting of Vagrant is written so; a plugin's may be.
            section.log.borrow_mut().push(Setting::read("", call.args.first().cloned(), ruby.at));
        }
        Ok(Some(Value::Host(section)))
    }

    fn responds(&self, _name: Name) -> bool {
        true
    }
}
