//! Evaluates the tree.

mod assign;
mod call;
mod control;
mod define;
mod invoke;
mod pattern;

use std::rc::Rc;

use super::budget::{OBJECT, PAIR};
use super::class::Class;
use super::flow::Result;
use super::interp::Interp;
use super::names::Name;
use super::scope::{Code, Proc, Scope};
use super::tree::{ConstScope, Group, Kind, Node, Pair};
use super::value::{Hash, Range, Value};
use super::{regex, show};

impl Interp {
    /// The value of an expression.
    pub fn eval(&mut self, node: &Node, scope: &Rc<Scope>) -> Result<Value> {
        self.step()?;
        self.check_stack()?;
        match &node.kind {
            Kind::Nil => Ok(Value::Nil),
            Kind::True => Ok(Value::Bool(true)),
            Kind::False => Ok(Value::Bool(false)),
            Kind::SelfRef => Ok(scope.frame.me.clone()),
            Kind::Int(value) => Ok(Value::Int(*value)),
            Kind::Float(value) => Ok(Value::Float(*value)),
            Kind::Str(text) => {
                self.grow(OBJECT + text.len())?;
                Ok(Value::str(&**text))
            }
            Kind::Sym(name) => Ok(Value::Sym(*name)),
            Kind::Local { name, depth } => Ok(scope.get(*name, *depth)),
            Kind::Call(call) => {
                self.at = node.at;
                self.eval_call(call, scope, node.at)
            }
            Kind::Sequence(nodes) => self.sequence(nodes, scope),
            _ => {
                self.at = node.at;
                self.eval_literal(node, scope)
            }
        }
    }

    fn sequence(&mut self, nodes: &[Node], scope: &Rc<Scope>) -> Result<Value> {
        let mut last = Value::Nil;
        for node in nodes {
            last = self.eval(node, scope)?;
        }
        Ok(last)
    }

    fn eval_literal(&mut self, node: &Node, scope: &Rc<Scope>) -> Result<Value> {
        match &node.kind {
            Kind::Interpolated(parts) => Ok(Value::str(self.interpolate(parts, scope)?)),
            Kind::InterpolatedSym(parts) => Ok(Value::Sym(Name::of(&self.interpolate(parts, scope)?))),
            Kind::Command(parts) => {
                let line = self.interpolate(parts, scope)?;
                self.run_command(&line)
            }
            Kind::Regex { parts, flags } => {
                let source = self.regex_source(parts, scope)?;
                regex::compile(self, &source, *flags)
            }
            Kind::Array(nodes) => Ok(Value::array(self.eval_list(nodes, scope)?)),
            Kind::Hash(pairs) => Ok(Value::Hash(self.eval_pairs(pairs, scope)?)),
            Kind::Range { low, high, exclusive } => {
                let mut end = |node: &Option<Box<Node>>| match node {
                    Some(node) => self.eval(node, scope),
                    None => Ok(Value::Nil),
                };
                let (low, high) = (end(low)?, end(high)?);
                Ok(Value::Range(Rc::new(Range { low, high, exclusive: *exclusive })))
            }
            Kind::Splat(inner) => {
                let value = self.eval(inner, scope)?;
                Ok(Value::array(self.splat(&value)?))
            }
            Kind::InstanceVar(name) => Ok(self.instance_var(&scope.frame.me, *name)),
            Kind::ClassVar(name) => self.class_var(scope, *name),
            Kind::GlobalVar(name) => Ok(self.global(*name)),
            Kind::Match(group) => Ok(self.matched(*group)),
            Kind::Const { scope: place, name } => self.eval_const(place, *name, scope),
            Kind::File => Ok(Value::str(self.file_path(node.at.file))),
            Kind::Line => Ok(Value::from(self.line_of(node.at))),
            Kind::Lambda(function) => {
                let code = Code::Block { function: Rc::clone(function), scope: Rc::clone(scope), breaks_to: 0 };
                Ok(Value::Proc(Rc::new(Proc { code, lambda: true })))
            }
            Kind::Unsupported(what) => Err(self.unsupported(*what)),
            _ => self.eval_statement(node, scope),
        }
    }

    /// The path of a file as `__FILE__` says it.
    pub fn file_path(&self, file: u16) -> String {
        self.files.get(usize::from(file)).map(|file| file.path.display().to_string()).unwrap_or_default()
    }

    /// The line of a place, from 1.
    pub fn line_of(&self, at: super::tree::At) -> usize {
        let text = self.files.get(usize::from(at.file)).map(|file| &file.text);
        let before = text.and_then(|text| text.as_bytes().get(..at.start as usize)).unwrap_or_default();
        String::from_utf8_lossy(before).matches('\n').count() + 1
    }

    /// The elements of an array, arguments of a call: splats are spread.
    pub(super) fn eval_list(&mut self, nodes: &[Node], scope: &Rc<Scope>) -> Result<Vec<Value>> {
        self.grow(OBJECT + nodes.len() * size_of::<Value>())?;
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            match &node.kind {
                Kind::Splat(inner) => {
                    let value = self.eval(inner, scope)?;
                    values.extend(self.splat(&value)?);
                }
                _ => values.push(self.eval(node, scope)?),
            }
        }
        Ok(values)
    }

    /// What `*value` spreads to.
    pub fn splat(&mut self, value: &Value) -> Result<Vec<Value>> {
        Ok(match value {
            Value::Array(array) => {
                let length = array.items.borrow().len();
                self.charge(length >> 4)?;
                self.grow(length * size_of::<Value>())?;
                array.items.borrow().clone()
            }
            Value::Nil => Vec::new(),
            Value::Hash(_) | Value::Range(_) => self.items_of(value)?,
            other if self.responds(other, "to_a") => {
                let list = self.send(other, "to_a", Vec::new())?;
                if let Value::Array(array) = list { array.items.borrow().clone() } else { vec![list] }
            }
            other => vec![other.clone()],
        })
    }

    pub(super) fn eval_pairs(&mut self, pairs: &[Pair], scope: &Rc<Scope>) -> Result<Rc<Hash>> {
        let hash = Rc::new(Hash::default());
        self.grow(OBJECT + pairs.len() * PAIR)?;
        for pair in pairs {
            match pair {
                Pair::Of(key, value) => {
                    let key = self.eval(key, scope)?;
                    hash.insert(key, self.eval(value, scope)?);
                }
                Pair::Splat(other) => match self.eval(other, scope)? {
                    Value::Hash(other) => {
                        self.grow(other.len() * PAIR)?;
                        for (key, value) in other.pairs() {
                            hash.insert(key, value);
                        }
                    }
                    Value::Nil => {}
                    other => return Err(self.type_error(&other, "Hash")),
                },
            }
        }
        Ok(hash)
    }

    pub(super) fn interpolate(&mut self, parts: &[Node], scope: &Rc<Scope>) -> Result<String> {
        let mut text = String::new();
        for part in parts {
            let value = self.eval(part, scope)?;
            let part = self.to_s(&value)?;
            // Counted before it is put in: it may be as long as strings may be.
            self.grow(part.len())?;
            text.push_str(&part);
        }
        self.grow(OBJECT)?;
        Ok(text)
    }

    /// As [`Self::interpolate`], but a regular expression within is put in with its flags.
    fn regex_source(&mut self, parts: &[Node], scope: &Rc<Scope>) -> Result<String> {
        let mut text = String::new();
        for part in parts {
            match (&part.kind, self.eval(part, scope)?) {
                (Kind::Str(plain), _) => text.push_str(plain),
                (_, value) => text.push_str(&show::to_s(&value).map_or_else(|| self.to_s(&value), Ok)?),
            }
        }
        Ok(text)
    }

    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    pub fn instance_var(&self, me: &Value, name: Name) -> Value {
        let found = match me {
            Value::Object(object) => object.instance_vars.borrow().get(&name).cloned(),
            Value::Class(class) => class.instance_vars.borrow().get(&name).cloned(),
            _ => None,
        };
        found.unwrap_or(Value::Nil)
    }

    fn class_var(&mut self, scope: &Scope, name: Name) -> Result<Value> {
        let class = Rc::clone(&scope.frame.lexical.class);
        for class in class.ancestors() {
            if let Some(value) = class.class_vars.borrow().get(&name) {
                return Ok(value.clone());
            }
        }
        let shown = class.name.borrow().clone();
        Err(self.error("NameError", format!("uninitialized class variable {name} in {shown}")))
    }

    fn global(&self, name: Name) -> Value {
        match &*name.text() {
            "$0" | "$PROGRAM_NAME" => Value::str("vagrant"),
            "$~" => self.last_match.clone().unwrap_or(Value::Nil),
            _ => self.globals.get(&name).cloned().unwrap_or(Value::Nil),
        }
    }

    fn matched(&self, group: Group) -> Value {
        let Some(found) = &self.last_match else { return Value::Nil };
        match group {
            Group::Number(number) => regex::group(found, number as usize),
            Group::Whole => regex::group(found, 0),
            Group::Before => self.instance_var(found, Name::of("@before")),
            Group::After => self.instance_var(found, Name::of("@after")),
        }
    }

    pub(super) fn eval_const(&mut self, place: &ConstScope, name: Name, scope: &Rc<Scope>) -> Result<Value> {
        let found = match place {
            ConstScope::Lexical => match self.lexical_const(name, scope) {
                None if self.autoload(&name.text())? => self.lexical_const(name, scope),
                found => found,
            },
            ConstScope::Top => {
                self.autoload(&name.text())?;
                self.object.constants.borrow().get(&name).cloned()
            }
            ConstScope::In(outer) => match self.eval(outer, scope)? {
                Value::Class(class) => return self.const_in(&class, name),
                other => {
                    let shown = show::inspect(&other);
                    return Err(self.error("TypeError", format!("{shown} is not a class/module")));
                }
            },
        };
        found.ok_or_else(|| self.error("NameError", format!("uninitialized constant {name}")))
    }

    /// From inside to outside, then in the superclasses.
    pub(super) fn lexical_const(&self, name: Name, scope: &Scope) -> Option<Value> {
        let mut lexical = Some(&scope.frame.lexical);
        while let Some(here) = lexical {
            if let Some(value) = here.class.constants.borrow().get(&name) {
                return Some(value.clone());
            }
            lexical = here.parent.as_ref();
        }
        let class = &scope.frame.lexical.class;
        let inherited = class.ancestors().into_iter().find_map(|class| class.constants.borrow().get(&name).cloned());
        inherited.or_else(|| self.object.constants.borrow().get(&name).cloned())
    }

    /// `class::NAME`.
    pub fn const_in(&mut self, class: &Rc<Class>, name: Name) -> Result<Value> {
        let object = &self.object;
        // Only what is asked for by its own name is looked for at the top level.
        let places =
            class.ancestors().into_iter().filter(|place| !Rc::ptr_eq(place, object) || Rc::ptr_eq(class, object));
        let found = places.into_iter().find_map(|class| class.constants.borrow().get(&name).cloned());
        if let Some(found) = found {
            return Ok(found);
        }
        if Rc::ptr_eq(class, &self.object) && self.autoload(&name.text())? {
            return self.const_in(class, name);
        }
        let above = class.grows.borrow().clone();
        if let Some(above) = above {
            return Ok(Value::Class(grown(class, name, &above)));
        }
        let outer = class.name.borrow().clone();
        let shown = if &*outer == "Object" { name.to_string() } else { format!("{outer}::{name}") };
        Err(self.error("NameError", format!("uninitialized constant {shown}")))
    }
}

/// A class that comes into being because the program names it.
fn grown(class: &Class, name: Name, above: &Rc<Class>) -> Rc<Class> {
    let made = Class::new(&format!("{}::{name}", class.name.borrow()), Some(Rc::clone(above)), false);
    *made.grows.borrow_mut() = Some(Rc::clone(above));
    class.constants.borrow_mut().insert(name, Value::Class(Rc::clone(&made)));
    made
}
