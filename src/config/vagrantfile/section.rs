//! What a block writes to `config`: every call is kept with its place, in order, and read when the file has ended.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;

use super::ruby::{At, Call, Hash, HostObject, Interp, Name, Proc, Result, Value};

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

/// One call.
#[derive(Clone)]
pub struct Setting {
    /// Without the `=` of assignments.
    pub name: Rc<str>,
    pub args: Vec<Value>,
    /// Keywords, or the hash at the end.
    pub options: Option<Rc<Hash>>,
    pub block: Option<Rc<Proc>>,
    /// What the block of a provisioner wrote.
    pub inner: Option<Rc<Section>>,
    pub at: At,
}

impl Setting {
    pub fn value(&self) -> Value {
        self.args.first().cloned().unwrap_or(Value::Nil)
    }
}

/// `config.vm`, `config.ssh`, a provider or provisioner.
pub struct Section {
    pub label: Rc<str>,
    pub log: RefCell<Vec<Setting>>,
}

impl Section {
    pub fn new(label: &str) -> Rc<Self> {
        Rc::new(Self { label: label.into(), log: RefCell::default() })
    }

    /// The last value that was assigned.
    fn last(&self, name: &str) -> Option<Value> {
        self.log.borrow().iter().rev().find(|setting| &*setting.name == name).map(Setting::value)
    }
}

impl HostObject for Section {
    fn class_name(&self) -> Rc<str> {
        self.label.clone()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        let text = name.text();
        if OF_OBJECTS.contains(&&*text) {
            return Ok(None);
        }
        let assigned = text.strip_suffix('=');
        if assigned.is_none() && call.args.is_empty() && call.keywords.is_none() && call.block.is_none() {
            if &*text == "vmx" && self.last("vmx").is_none() {
                let hash = Value::hash([]);
                let setting =
                    Setting { name: text, args: vec![hash], options: None, block: None, inner: None, at: ruby.at };
                self.log.borrow_mut().push(setting);
                return Ok(self.last("vmx"));
            }
            return Ok(Some(self.last(&text).unwrap_or(Value::Nil)));
        }
        ruby.grow(100)?;
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
            let section = Self::new("a provisioner");
            ruby.yield_to(block, vec![Value::Host(Rc::clone(&section) as Rc<dyn HostObject>)])?;
            inner = Some(section);
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
}

impl Config {
    pub fn new() -> Rc<Self> {
        Rc::new(Self { sections: RefCell::default() })
    }

    pub fn section(&self, name: &str) -> Rc<Section> {
        let mut sections = self.sections.borrow_mut();
        Rc::clone(sections.entry(name.into()).or_insert_with(|| Section::new(&format!("config.{name}"))))
    }

    /// The calls of one section as they are now.
    pub fn log(&self, name: &str) -> Vec<Setting> {
        self.sections.borrow().get(name).map(|section| section.log.borrow().clone()).unwrap_or_default()
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
        if text.ends_with('=') || !call.args.is_empty() {
            return Err(ruby.unsupported(format!("`config.{text}` with a value")));
        }
        let section = Value::Host(self.section(&text));
        Ok(Some(section))
    }

    fn responds(&self, _name: Name) -> bool {
        true
    }
}
