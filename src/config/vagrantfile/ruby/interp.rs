//! The interpreter: what a run knows, and the errors that it makes.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::budget::{self, Clock};
use super::class::{Class, Object};
use super::flow::{Flow, Result};
use super::host::{Bounds, Host, HostObject, Stop, StopKind, Stream};
use super::names::Name;
use super::scope::{Frame, Lexical, Proc, Scope};
use super::tree::{At, Node};
use super::value::{Hash, Value};
use super::{lower, show};

/// A run.
pub struct Interp {
    pub host: Rc<dyn Host>,
    pub globals: HashMap<Name, Value>,
    pub object: Rc<Class>,
    pub main: Value,
    pub files: Vec<SourceFile>,
    /// Where the running expression is.
    pub at: At,
    /// Groups of the last match; whole text and their ranges.
    pub last_match: Option<Value>,
    bounds: Bounds,
    /// When it has taken too long.
    pub clock: Clock,
    steps: u64,
    /// The step that looks at the clock next.
    looks: u64,
    depth: u32,
    memory: u64,
    printed: u64,
    tags: Cell<u64>,
    /// The calls that are running, for messages: where each came from.
    pub stack: Vec<At>,
    /// Where the stack was when the run began.
    stack_base: usize,
    /// Regular expressions that were compiled.
    pub patterns: HashMap<(Rc<str>, super::tree::RegexFlags), Value>,
    /// What the running `catch`es wait for.
    pub catching: Vec<super::value::Key>,
    /// Where chance is.
    pub chance: u64,
    /// Classes that the interpreter itself knows, by name.
    pub known: HashMap<&'static str, Rc<Class>>,
    /// Modules whose methods the embedding program answers.
    pub modules: HashMap<&'static str, Rc<dyn HostObject>>,
    /// Libraries that the program required and the host says are there.
    pub provided: Vec<(At, String)>,
    /// Classes of what is not here that the program changes.
    pub reopened: Vec<(At, String)>,
    /// Where `Dir.chdir` went.
    pub moved: Option<PathBuf>,
}

/// A file that was read.
pub struct SourceFile {
    pub path: PathBuf,
    pub text: Rc<str>,
    /// Parsed, and kept because blocks of it may still run.
    pub tree: Option<Rc<Node>>,
}

/// Bytes of the stack that a run may take: threads have two million.
const STACK: usize = 1_300_000;

/// Steps between two looks at the clock.
const LOOK: u64 = 1024;

/// The part of its memory that a run may take with one call.
const PART: u64 = 8;

/// About where the stack is now.
fn stack_place() -> usize {
    let here = 0u8;
    &raw const here as usize
}

/// The arguments of a call.
#[derive(Clone, Default)]
pub struct Call {
    pub args: Vec<Value>,
    pub keywords: Option<Rc<Hash>>,
    pub block: Option<Rc<Proc>>,
    /// Written without receiver, or with `self`: private methods answer.
    pub own: bool,
}

impl Call {
    pub fn of(args: Vec<Value>) -> Self {
        Self { args, ..Self::default() }
    }

    /// The arguments, with keywords as a hash at their end: how a method without keyword parameters sees them.
    pub fn flat(&self) -> Vec<Value> {
        let mut args = self.args.clone();
        args.extend(self.keywords.clone().map(Value::Hash));
        args
    }

    pub fn arg(&self, index: usize) -> Value {
        self.args.get(index).cloned().unwrap_or(Value::Nil)
    }

    /// A keyword, or the same key of a hash at the end.
    pub fn keyword(&self, name: &str) -> Option<Value> {
        match (&self.keywords, self.args.last()) {
            (Some(keywords), _) => keywords.get_named(name),
            (None, Some(Value::Hash(hash))) => hash.get_named(name),
            _ => None,
        }
    }
}

impl Drop for Interp {
    /// Classes, their constants and the variables of blocks refer to each other: none would ever be dropped.
    fn drop(&mut self) {
        self.globals.clear();
        for class in self.known.values().chain([&self.object]) {
            let constants = class.constants.take();
            for value in constants.into_values() {
                if let Value::Class(class) = value {
                    class.clear();
                }
            }
            class.clear();
        }
    }
}

impl Interp {
    pub fn new(host: Rc<dyn Host>, bounds: Bounds) -> Self {
        // Nothing of a run before this one.
        budget::owed();
        let object = Class::new("Object", None, false);
        let main = Value::Object(Object::new(&object));
        let mut ruby = Self {
            host,
            globals: HashMap::new(),
            object,
            main,
            files: Vec::new(),
            at: At::default(),
            last_match: None,
            bounds,
            clock: Clock::of_run(),
            steps: 0,
            looks: 0,
            depth: 0,
            memory: 0,
            printed: 0,
            tags: Cell::new(1),
            stack: Vec::new(),
            stack_base: stack_place(),
            patterns: HashMap::new(),
            catching: Vec::new(),
            chance: super::library::seed(),
            known: HashMap::new(),
            modules: HashMap::new(),
            provided: Vec::new(),
            reopened: Vec::new(),
            moved: None,
        };
        super::core::define(&mut ruby);
        ruby
    }

    /// Makes a class known by name, below `superclass`.
    pub fn define_class(&mut self, name: &'static str, superclass: &Rc<Class>) -> Rc<Class> {
        let class = Class::new(name, Some(Rc::clone(superclass)), false);
        self.register(name, &class);
        class
    }

    /// Makes a module known by name.
    pub fn define_module(&mut self, name: &'static str) -> Rc<Class> {
        let module = Class::new(name, None, true);
        self.register(name, &module);
        module
    }

    /// Makes a module of something that is not here: classes below it come into being when the program names them.
    pub fn define_absent(&mut self, name: &'static str, above: &Rc<Class>) {
        let module = self.known.get(name).cloned();
        let module = module.unwrap_or_else(|| self.define_module(name));
        *module.grows.borrow_mut() = Some(Rc::clone(above));
    }

    /// Makes a module whose methods the embedding program answers.
    pub fn define_host_module(&mut self, name: &'static str, module: Rc<dyn HostObject>) {
        self.define_module(name);
        self.modules.insert(name, module);
    }

    /// Where relative paths start.
    pub fn current_dir(&self) -> PathBuf {
        self.moved.clone().unwrap_or_else(|| self.host.current_dir())
    }

    fn register(&mut self, name: &'static str, class: &Rc<Class>) {
        self.known.insert(name, Rc::clone(class));
        let mut home = Rc::clone(&self.object);
        let mut parts = name.split("::").peekable();
        while let Some(part) = parts.next() {
            let inner = match parts.peek() {
                None => None,
                Some(_) => home.constants.borrow().get(&Name::of(part)).cloned(),
            };
            match inner {
                Some(Value::Class(inner)) => home = inner,
                _ => {
                    home.constants.borrow_mut().insert(Name::of(part), Value::Class(Rc::clone(class)));
                }
            }
        }
    }

    /// A class that the interpreter knows.
    pub fn class_named(&self, name: &str) -> Rc<Class> {
        self.known.get(name).map_or_else(|| Rc::clone(&self.object), Rc::clone)
    }

    /// Runs a file's text at the top level.
    pub fn run(&mut self, path: PathBuf, text: &str) -> Result<Value> {
        let file = u16::try_from(self.files.len()).map_err(|_| self.bound("files"))?;
        self.files.push(SourceFile { path, text: text.into(), tree: None });
        let tree = match lower::parse(text.as_bytes(), file) {
            Ok(tree) => Rc::new(tree),
            Err(errors) => {
                let Some(first) = errors.into_iter().next() else { return Ok(Value::Nil) };
                self.at = first.at;
                return Err(self.error("SyntaxError", first.message));
            }
        };
        if let Some(file) = self.files.last_mut() {
            file.tree = Some(Rc::clone(&tree));
        }
        let lexical = Rc::new(Lexical { class: Rc::clone(&self.object), parent: None });
        let frame =
            Frame { me: self.main.clone(), method: None, args: Vec::new(), function: None, block: None, lexical };
        let tag = self.tag();
        let scope = Scope::new(Rc::new(frame), tag);
        if file == 0 {
            super::library::define_top(self, &scope);
        }
        match self.eval(&tree, &scope) {
            Err(Flow::Return(to, value)) if to == tag => Ok(value),
            other => other,
        }
    }

    /// A number that no other call, block or loop has.
    pub fn tag(&self) -> u64 {
        let tag = self.tags.get();
        self.tags.set(tag + 1);
        tag
    }

    /// Counts an expression.
    pub fn step(&mut self) -> Result<()> {
        self.charge(1)
    }

    /// Counts work that takes longer the larger its subject is.
    pub fn charge(&mut self, size: usize) -> Result<()> {
        let owed = budget::owed();
        self.steps = self.steps.saturating_add(size as u64).saturating_add(owed as u64 >> 4);
        self.memory = self.memory.saturating_add(owed as u64);
        if self.steps > self.bounds.steps {
            return Err(self.bound("steps"));
        }
        if self.memory > self.bounds.memory {
            return Err(self.bound("memory"));
        }
        if self.steps >= self.looks {
            self.looks = self.steps + LOOK;
            if self.clock.is_over() {
                return Err(self.bound("time"));
            }
        }
        Ok(())
    }

    /// Refuses to go deeper than the stack of any thread of ours allows.
    pub fn check_stack(&mut self) -> Result<()> {
        if self.stack_base.abs_diff(stack_place()) > STACK {
            return Err(self.error("SystemStackError", "stack level too deep"));
        }
        Ok(())
    }

    /// Counts memory that something grows by.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        self.memory = self.memory.saturating_add(bytes as u64);
        if self.memory > self.bounds.memory {
            return Err(self.bound("memory"));
        }
        self.room(bytes)
    }

    /// Whether something of this size may be made at once; said before it is made, and not counted: it does not stay.
    pub fn room(&mut self, bytes: usize) -> Result<()> {
        if bytes as u64 > self.bounds.memory / PART { Err(self.bound("memory")) } else { Ok(()) }
    }

    /// Goes one call deeper.
    pub fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= self.bounds.depth {
            return Err(self.error("SystemStackError", "stack level too deep"));
        }
        self.check_stack()?;
        self.depth += 1;
        self.stack.push(self.at);
        let result = work(self);
        // Whoever shows the error wants to know where it was: in the program, not in a library. A rescue goes back to its
        // own place.
        if let Some(at) = self.stack.pop()
            && (result.is_ok() || self.in_library(self.at))
        {
            self.at = at;
        }
        self.depth -= 1;
        result
    }

    /// Prints what the program wants to say.
    pub fn print(&mut self, text: &str, to: Stream) -> Result<()> {
        self.printed += text.len() as u64;
        if self.printed > self.bounds.output {
            return Err(self.bound("output"));
        }
        self.host.print(text, to);
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    fn bound(&self, what: &str) -> Flow {
        Stop { message: format!("it takes too much: {what}"), kind: StopKind::Bound }.into()
    }

    /// An exception of a class that the interpreter knows.
    pub fn error(&mut self, class: &'static str, message: impl Into<String>) -> Flow {
        let class = self.class_named(class);
        let exception = Object::new(&class);
        exception.set("@message", Value::str(message));
        Flow::Raise(Value::Object(exception))
    }

    /// What Ruby can do and we cannot.
    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    pub fn unsupported(&self, what: impl Into<String>) -> Flow {
        Stop { message: what.into(), kind: StopKind::Unsupported }.into()
    }

    /// What the host refuses.
    pub fn refused(&self, why: impl Into<String>) -> Flow {
        let kind = if self.host.is_trusted() { StopKind::Never } else { StopKind::Refused };
        Stop { message: why.into(), kind }.into()
    }

    /// What is refused whoever trusts the program.
    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    pub fn never(&self, why: impl Into<String>) -> Flow {
        Stop { message: why.into(), kind: StopKind::Never }.into()
    }

    pub fn argument_error(&mut self, given: usize, expected: &str) -> Flow {
        self.error("ArgumentError", format!("wrong number of arguments (given {given}, expected {expected})"))
    }

    pub fn type_error(&mut self, value: &Value, wanted: &str) -> Flow {
        let shown = match value {
            Value::Nil => "nil".to_owned(),
            Value::Bool(value) => value.to_string(),
            _ => self.class_of(value).name.borrow().to_string(),
        };
        self.error("TypeError", format!("no implicit conversion of {shown} into {wanted}"))
    }

    /// The class of any value.
    pub fn class_of(&self, value: &Value) -> Rc<Class> {
        match value {
            Value::Object(object) => Rc::clone(&object.class),
            Value::Nil => self.class_named("NilClass"),
            Value::Bool(true) => self.class_named("TrueClass"),
            Value::Bool(false) => self.class_named("FalseClass"),
            Value::Int(_) => self.class_named("Integer"),
            Value::Float(_) => self.class_named("Float"),
            Value::Sym(_) => self.class_named("Symbol"),
            Value::Str(_) => self.class_named("String"),
            Value::Array(_) => self.class_named("Array"),
            Value::Hash(_) => self.class_named("Hash"),
            Value::Range(_) => self.class_named("Range"),
            Value::Regex(_) => self.class_named("Regexp"),
            Value::Proc(_) => self.class_named("Proc"),
            Value::Class(class) if class.is_module => self.class_named("Module"),
            Value::Class(_) => self.class_named("Class"),
            Value::Host(_) => Rc::clone(&self.object),
        }
    }

    /// As `to_s` has it, the program's own methods included.
    #[expect(clippy::wrong_self_convention, reason = "Ruby's name of it")]
    pub fn to_s(&mut self, value: &Value) -> Result<String> {
        if let Some(text) = show::to_s(value) {
            return Ok(text);
        }
        let text = self.send(value, "to_s", Vec::new())?;
        Ok(show::to_s(&text).unwrap_or_else(|| show::inspect(value)))
    }

    /// Calls a method that the interpreter itself needs.
    pub fn send(&mut self, receiver: &Value, name: &str, args: Vec<Value>) -> Result<Value> {
        self.call(receiver, Name::of(name), Call { own: true, ..Call::of(args) })
    }
}
