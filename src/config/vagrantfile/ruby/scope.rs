//! Variables, and what a running method or block knows of its surroundings.

use std::cell::RefCell;
use std::rc::Rc;

use super::class::Class;
use super::names::Name;
use super::tree::Function;
use super::value::{Value, bury};

/// The variables of a method, block, class body or file.
pub struct Scope {
    vars: RefCell<Vec<(Name, Value)>>,
    parent: Option<Rc<Scope>>,
    pub frame: Rc<Frame>,
    /// Where `return` leads.
    pub returns_to: u64,
}

/// A running method (or file, or class body).
pub struct Frame {
    pub me: Value,
    /// The method's name and the class that it was found in: for `super`.
    pub method: Option<(Name, Rc<Class>)>,
    /// What it was called with: for `...`.
    pub args: Vec<Value>,
    /// The method itself: a bare `super` passes its parameters on.
    pub function: Option<Rc<Function>>,
    pub block: Option<Rc<Proc>>,
    pub lexical: Rc<Lexical>,
}

/// The classes and modules around a piece of the program's text.
pub struct Lexical {
    pub class: Rc<Class>,
    pub parent: Option<Rc<Lexical>>,
}

/// A block, lambda or method object.
pub struct Proc {
    pub code: Code,
    pub lambda: bool,
}

/// What a proc runs.
pub enum Code {
    Block {
        function: Rc<Function>,
        scope: Rc<Scope>,
        /// Where `break` leads.
        breaks_to: u64,
    },
    /// `&:name`.
    Symbol(Name),
    /// `object.method(:name)`.
    Method { receiver: Value, name: Name },
    /// A block that gets the number of the element, or an object, as well.
    With { block: Rc<Proc>, extra: super::core::Extra },
    /// Keeps what it is called with.
    Basket(Rc<super::core::Basket>),
    /// `first >> second`.
    Chain(Value, Value),
}

impl Drop for Scope {
    fn drop(&mut self) {
        bury(self.vars.take().into_iter().map(|(_, value)| value));
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        bury([std::mem::replace(&mut self.me, Value::Nil)]);
        bury(std::mem::take(&mut self.args));
        bury(self.block.take().map(Value::Proc));
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        match &mut self.code {
            Code::Chain(first, second) => bury([first, second].map(|part| std::mem::replace(part, Value::Nil))),
            Code::Method { receiver, .. } => bury([std::mem::replace(receiver, Value::Nil)]),
            // What the variables of a block hold is theirs to drop.
            Code::Block { .. } | Code::Symbol(_) | Code::With { .. } | Code::Basket(_) => {}
        }
    }
}

impl Scope {
    /// Variables of their own: of a method, class body or file.
    pub fn new(frame: Rc<Frame>, returns_to: u64) -> Rc<Self> {
        Rc::new(Self { vars: RefCell::default(), parent: None, frame, returns_to })
    }

    /// Variables of a block, which sees those around it.
    pub fn inside(parent: &Rc<Self>, frame: Rc<Frame>, returns_to: u64) -> Rc<Self> {
        Rc::new(Self { vars: RefCell::default(), parent: Some(Rc::clone(parent)), frame, returns_to })
    }

    fn up(&self, depth: u32) -> &Self {
        let mut scope = self;
        for _ in 0..depth {
            match &scope.parent {
                Some(parent) => scope = parent,
                None => break,
            }
        }
        scope
    }

    /// A variable that many blocks outside; `nil` before it was assigned.
    pub fn get(&self, name: Name, depth: u32) -> Value {
        self.up(depth).own(name).unwrap_or(Value::Nil)
    }

    fn own(&self, name: Name) -> Option<Value> {
        self.vars.borrow().iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
    }

    pub fn set(&self, name: Name, depth: u32, value: Value) {
        let mut vars = self.up(depth).vars.borrow_mut();
        match vars.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => *place = value,
            None => vars.push((name, value)),
        }
    }

    /// The variables of the method that a block stands in.
    pub fn outermost(&self) -> &Self {
        self.parent.as_ref().map_or(self, |parent| parent.outermost())
    }

    /// The names of all variables that are seen here.
    pub fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.vars.borrow().iter().map(|(name, _)| *name).collect();
        names.extend(self.parent.iter().flat_map(|parent| parent.names()));
        names
    }

    /// A variable by name, wherever it is: for templates, whose text was parsed by itself.
    pub fn find(&self, name: Name) -> Option<Value> {
        self.own(name).or_else(|| self.parent.as_ref().and_then(|parent| parent.find(name)))
    }
}
