//! What expressions are worth. Containers are shared and changed in place, as in Ruby.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use indexmap::IndexMap;

use super::budget;
use super::class::{Class, Object};
use super::names::Name;
use super::scope::Proc;
use super::tree::RegexFlags;

/// A value.
#[derive(Clone)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Sym(Name),
    Str(Rc<Str>),
    Array(Rc<Array>),
    Hash(Rc<Hash>),
    Range(Rc<Range>),
    Regex(Rc<Regex>),
    Proc(Rc<Proc>),
    Class(Rc<Class>),
    Object(Rc<Object>),
    /// Something of the program that embeds the interpreter.
    Host(Rc<dyn super::host::HostObject>),
}

/// A string: text, as every machine file is.
#[derive(Default)]
pub struct Str {
    pub text: RefCell<String>,
    pub frozen: Cell<bool>,
}

/// An array.
#[derive(Default)]
pub struct Array {
    pub items: RefCell<Vec<Value>>,
    pub frozen: Cell<bool>,
}

/// A hash, in the order of insertion.
#[derive(Default)]
pub struct Hash {
    pub map: RefCell<IndexMap<Key, (Value, Value)>>,
    pub default: RefCell<Option<Value>>,
    pub default_proc: RefCell<Option<Rc<Proc>>>,
    pub frozen: Cell<bool>,
}

/// A value as the key of a hash: by content for what has content, by identity for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Nil,
    Bool(bool),
    Int(i64),
    Float(u64),
    Sym(Name),
    Str(Rc<str>),
    List(Vec<Key>),
    Same(usize),
}

/// A range; either end may be missing.
pub struct Range {
    pub low: Value,
    pub high: Value,
    pub exclusive: bool,
}

/// A regular expression.
pub struct Regex {
    pub source: Rc<str>,
    pub flags: RegexFlags,
    pub compiled: fancy_regex::Regex,
}

/// Arrays in arrays that a key is made of.
const KEY_DEPTH: u32 = 30;

/// Parts of one key; sixteen bytes of a text are one, too.
const KEY_PARTS: usize = 20_000;

thread_local! {
    /// Values that wait to be dropped, and whether somebody is at it.
    static GRAVES: (RefCell<Vec<Value>>, Cell<bool>) = const { (RefCell::new(Vec::new()), Cell::new(false)) };
}

/// Drops values one after the other: what nests as deeply as a loop can make it would need as deep a stack.
pub fn bury(values: impl IntoIterator<Item = Value>) {
    let mut values = values.into_iter().filter(holds).peekable();
    if values.peek().is_none() {
        return;
    }
    // When the thread itself ends, its graves may be gone before the last value.
    let _ = GRAVES.try_with(|(waiting, digging)| {
        waiting.borrow_mut().extend(values);
        if digging.replace(true) {
            return;
        }
        while let Some(value) = { waiting.borrow_mut().pop() } {
            drop(value);
        }
        digging.set(false);
    });
}

/// Whether dropping it may drop others.
fn holds(value: &Value) -> bool {
    !matches!(
        value,
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Sym(_) | Value::Str(_) | Value::Regex(_)
    )
}

impl Drop for Array {
    fn drop(&mut self) {
        bury(self.items.take());
    }
}

impl Drop for Hash {
    fn drop(&mut self) {
        bury(self.map.take().into_values().flat_map(|(key, value)| [key, value]));
        bury(self.default.take());
        bury(self.default_proc.take().map(Value::Proc));
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        bury([&mut self.low, &mut self.high].map(|end| std::mem::replace(end, Value::Nil)));
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        bury(self.instance_vars.take().into_values());
        bury(self.extended.take().into_iter().map(Value::Class));
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        for values in [self.constants.take(), self.instance_vars.take()] {
            bury(values.into_values());
        }
        bury(self.class_vars.take().into_values());
        for classes in [self.included.take(), self.extended.take(), self.prepended.take()] {
            bury(classes.into_iter().map(Value::Class));
        }
        bury(self.superclass.take().map(Value::Class));
    }
}

impl Value {
    /// A new string.
    pub fn str(text: impl Into<String>) -> Self {
        Self::Str(Rc::new(Str { text: RefCell::new(text.into()), frozen: Cell::new(false) }))
    }

    /// A symbol.
    pub fn sym(text: &str) -> Self {
        Self::Sym(Name::of(text))
    }

    /// A new array.
    pub fn array(items: Vec<Self>) -> Self {
        Self::Array(Rc::new(Array { items: RefCell::new(items), frozen: Cell::new(false) }))
    }

    /// A new hash.
    pub fn hash(pairs: impl IntoIterator<Item = (Self, Self)>) -> Self {
        let hash = Hash::default();
        for (key, value) in pairs {
            hash.insert(key, value);
        }
        Self::Hash(Rc::new(hash))
    }

    /// Everything but `nil` and `false`.
    pub fn truthy(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false))
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The text of a string or symbol.
    pub fn text(&self) -> Option<Rc<str>> {
        match self {
            Self::Str(text) => Some(text.text.borrow().as_str().into()),
            Self::Sym(name) => Some(name.text()),
            _ => None,
        }
    }

    /// How a hash knows it.
    pub fn key(&self) -> Key {
        let mut parts = KEY_PARTS;
        let key = self.key_within(KEY_DEPTH, &mut parts);
        if matches!(key, Key::List(_)) {
            budget::owe((KEY_PARTS - parts) * size_of::<Key>());
        }
        key
    }

    /// Deeper and larger parts count by identity: they may hold themselves.
    fn key_within(&self, depth: u32, parts: &mut usize) -> Key {
        fn address<T: ?Sized>(shared: &Rc<T>) -> Key {
            Key::Same(Rc::as_ptr(shared).cast::<()>() as usize)
        }
        *parts = parts.saturating_sub(1);
        let open = depth > 0 && *parts > 0;
        match self {
            Self::Nil => Key::Nil,
            Self::Bool(value) => Key::Bool(*value),
            Self::Int(value) => Key::Int(*value),
            Self::Float(value) => Key::Float(value.to_bits()),
            Self::Sym(name) => Key::Sym(*name),
            Self::Str(text) if open || depth == KEY_DEPTH => {
                let text = text.text.borrow();
                *parts = parts.saturating_sub(text.len() >> 4);
                Key::Str(text.as_str().into())
            }
            Self::Str(shared) => address(shared),
            Self::Array(array) if open => {
                Key::List(array.items.borrow().iter().map(|item| item.key_within(depth - 1, parts)).collect())
            }
            Self::Range(range) if open => Key::List(vec![
                range.low.key_within(depth - 1, parts),
                range.high.key_within(depth - 1, parts),
                Key::Bool(range.exclusive),
            ]),
            Self::Array(shared) => address(shared),
            Self::Hash(shared) => address(shared),
            Self::Range(shared) => address(shared),
            Self::Regex(regex) => Key::Str(format!("/{}/", regex.source).into()),
            Self::Proc(shared) => address(shared),
            Self::Class(shared) => address(shared),
            Self::Object(shared) => address(shared),
            Self::Host(shared) => address(shared),
        }
    }

    /// Whether both are the very same thing.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => Rc::ptr_eq(a, b),
            (Self::Array(a), Self::Array(b)) => Rc::ptr_eq(a, b),
            (Self::Hash(a), Self::Hash(b)) => Rc::ptr_eq(a, b),
            (Self::Str(_) | Self::Array(_) | Self::Hash(_), _) => false,
            _ => self.key() == other.key(),
        }
    }
}

impl Hash {
    /// The same pairs and defaults in a hash of its own.
    pub fn copy(&self) -> Self {
        Self {
            map: self.map.clone(),
            default: self.default.clone(),
            default_proc: self.default_proc.clone(),
            frozen: Cell::new(false),
        }
    }

    /// The value of a key that is there.
    pub fn get(&self, key: &Value) -> Option<Value> {
        self.map.borrow().get(&key.key()).map(|(_, value)| value.clone())
    }

    /// The value of a symbol or string of this text.
    pub fn get_named(&self, name: &str) -> Option<Value> {
        let map = self.map.borrow();
        let found = map.get(&Key::Sym(Name::of(name))).or_else(|| map.get(&Key::Str(name.into())));
        found.map(|(_, value)| value.clone())
    }

    /// Sets a key; a string key is copied, as Ruby does.
    pub fn insert(&self, key: Value, value: Value) {
        let number = key.key();
        let key = match &key {
            Value::Str(text) if !text.frozen.get() => {
                let copy = Str { text: text.text.clone(), frozen: Cell::new(true) };
                Value::Str(Rc::new(copy))
            }
            _ => key,
        };
        match self.map.borrow_mut().entry(number) {
            indexmap::map::Entry::Occupied(mut place) => place.get_mut().1 = value,
            indexmap::map::Entry::Vacant(place) => {
                place.insert((key, value));
            }
        }
    }

    /// Removes a key.
    pub fn remove(&self, key: &Value) -> Option<Value> {
        self.map.borrow_mut().shift_remove(&key.key()).map(|(_, value)| value)
    }

    /// All pairs as they are now.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        self.map.borrow().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.map.borrow().len()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        // No container holds more: the interpreter's memory is bounded far below.
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::str(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::str(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::array(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::show::inspect(self))
    }
}
