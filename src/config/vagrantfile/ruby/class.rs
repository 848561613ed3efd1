//! Classes, modules and plain objects.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use indexmap::IndexMap;

use super::names::Name;
use super::scope::{Lexical, Proc};
use super::tree::Function;
use super::value::Value;

/// Classes and modules that one may have to do with: each call looks through all of them.
pub const KIN: usize = 200;

/// A class or module.
#[expect(clippy::struct_field_names, reason = "Ruby's words")]
pub struct Class {
    /// With the modules that it lies in: `Vagrant::Util`.
    pub name: RefCell<Rc<str>>,
    pub superclass: Option<Rc<Class>>,
    pub is_module: bool,
    pub methods: RefCell<HashMap<Name, Method>>,
    /// `def self.…`.
    pub singleton: RefCell<HashMap<Name, Method>>,
    /// Modules, the last included first.
    pub included: RefCell<Vec<Rc<Class>>>,
    pub extended: RefCell<Vec<Rc<Class>>>,
    /// Modules whose methods go before its own.
    pub prepended: RefCell<Vec<Rc<Class>>>,
    /// Where it is a module of: they get what it gets.
    pub includers: RefCell<Vec<Weak<Class>>>,
    pub constants: RefCell<IndexMap<Name, Value>>,
    pub class_vars: RefCell<HashMap<Name, Value>>,
    pub instance_vars: RefCell<IndexMap<Name, Value>>,
    /// Members of a `Struct`.
    pub members: RefCell<Option<Vec<Name>>>,
    /// Where it belongs to what is not here: the class above those that come into being below it when they are named.
    pub grows: RefCell<Option<Rc<Class>>>,
    /// What `private` and `module_function` without arguments mean for the methods that follow.
    pub default_visibility: Cell<Visibility>,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    #[default]
    Public,
    Protected,
    Private,
    /// `module_function`: private, and a singleton method as well.
    ModuleFunction,
}

/// A method that the program defined.
#[derive(Clone)]
pub struct Method {
    pub body: MethodBody,
    pub visibility: Visibility,
}

/// What a method does.
#[derive(Clone)]
pub enum MethodBody {
    Function {
        function: Rc<Function>,
        lexical: Rc<Lexical>,
    },
    /// `attr_reader`.
    Get(Name),
    /// `attr_writer`.
    Set(Name),
    /// `define_method`.
    Proc(Rc<Proc>),
    /// `alias` of a method that the interpreter knows itself.
    Native(Name),
}

/// An object of a class that has no representation of its own.
pub struct Object {
    pub class: Rc<Class>,
    pub instance_vars: RefCell<IndexMap<Name, Value>>,
    pub singleton: RefCell<HashMap<Name, Method>>,
    pub extended: RefCell<Vec<Rc<Class>>>,
    pub frozen: Cell<bool>,
}

impl Class {
    pub fn new(name: &str, superclass: Option<Rc<Self>>, is_module: bool) -> Rc<Self> {
        Rc::new(Self {
            name: RefCell::new(name.into()),
            superclass,
            is_module,
            methods: RefCell::default(),
            singleton: RefCell::default(),
            included: RefCell::default(),
            extended: RefCell::default(),
            prepended: RefCell::default(),
            includers: RefCell::default(),
            constants: RefCell::default(),
            class_vars: RefCell::default(),
            instance_vars: RefCell::default(),
            members: RefCell::default(),
            grows: RefCell::default(),
            default_visibility: Cell::default(),
        })
    }

    /// Forgets what it holds, at the end of a run.
    pub fn clear(&self) {
        self.methods.take();
        self.singleton.take();
        self.included.take();
        self.extended.take();
        self.prepended.take();
        self.constants.take();
        self.class_vars.take();
        self.instance_vars.take();
        self.grows.take();
    }

    /// The classes and modules that it has to do with, each as often as it is met; no more than [`KIN`] are counted.
    pub fn kin(&self) -> usize {
        let mut count = 1;
        for other in self.included.borrow().iter().chain(self.prepended.borrow().iter()).chain(&self.superclass) {
            count += other.kin();
            if count > KIN {
                break;
            }
        }
        count
    }

    /// Whether it, and what it is a module of, would have to do with few enough if it had `more`.
    pub fn can_take(&self, more: usize) -> bool {
        let includers = self.includers.borrow();
        self.kin() + more <= KIN && includers.iter().filter_map(Weak::upgrade).all(|other| other.can_take(more))
    }

    /// Itself, its modules, its superclass and so on: in the order in which methods are looked for.
    pub fn ancestors(self: &Rc<Self>) -> Vec<Rc<Self>> {
        let mut all = Vec::new();
        let mut class = Some(Rc::clone(self));
        while let Some(here) = class {
            for module in here.prepended.borrow().iter() {
                all.extend(module.ancestors());
            }
            all.push(Rc::clone(&here));
            for module in here.included.borrow().iter() {
                all.extend(module.ancestors());
            }
            class = here.superclass.as_ref().map(Rc::clone);
        }
        all
    }

    /// Whether it is `other` or below it.
    pub fn descends_from(self: &Rc<Self>, other: &Rc<Self>) -> bool {
        let mut class = Some(Rc::clone(self));
        while let Some(here) = class {
            if Rc::ptr_eq(&here, other)
                || here
                    .included
                    .borrow()
                    .iter()
                    .chain(here.prepended.borrow().iter())
                    .any(|module| module.descends_from(other))
            {
                return true;
            }
            class = here.superclass.as_ref().map(Rc::clone);
        }
        false
    }

    /// A method of its own or of a module in it, and where exactly it is.
    pub fn own_method(self: &Rc<Self>, name: Name) -> Option<(Method, Rc<Self>)> {
        if let Some(found) = self.prepended.borrow().iter().find_map(|module| module.own_method(name)) {
            return Some(found);
        }
        if let Some(method) = self.methods.borrow().get(&name) {
            return Some((method.clone(), Rc::clone(self)));
        }
        self.included.borrow().iter().find_map(|module| module.own_method(name))
    }

    /// The members of the `Struct` that it is or descends from.
    pub fn struct_members(&self) -> Option<Vec<Name>> {
        self.members.borrow().clone().or_else(|| self.superclass.as_ref().and_then(|class| class.struct_members()))
    }
}

impl Object {
    pub fn new(class: &Rc<Class>) -> Rc<Self> {
        Rc::new(Self {
            class: Rc::clone(class),
            instance_vars: RefCell::default(),
            singleton: RefCell::default(),
            extended: RefCell::default(),
            frozen: Cell::new(false),
        })
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        self.instance_vars.borrow().get(&Name::of(name)).cloned()
    }

    pub fn set(&self, name: &str, value: Value) {
        self.instance_vars.borrow_mut().insert(Name::of(name), value);
    }
}
