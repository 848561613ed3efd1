//! The methods that the interpreter knows itself, by kind of value.

/// A table of methods: `knows` tells whether one is there, `call` runs it.
macro_rules! methods {
    ($ruby:ident, $me:ident: $type:ty, $name:ident, $call:ident; $($($text:literal)|+ => $body:expr,)+) => {
        /// Whether the table has a method.
        pub fn knows(name: &str) -> bool {
            matches!(name, $($($text)|+)|+)
        }

        /// Runs a method; `None` where the table has none of that name.
        pub fn call(
            $ruby: &mut $crate::config::vagrantfile::ruby::interp::Interp,
            $me: $type,
            $name: &str,
            $call: &$crate::config::vagrantfile::ruby::interp::Call,
        ) -> $crate::config::vagrantfile::ruby::flow::Result<Option<$crate::config::vagrantfile::ruby::value::Value>> {
            let value: $crate::config::vagrantfile::ruby::value::Value = match $name {
                $($($text)|+ => {
                    let result: $crate::config::vagrantfile::ruby::flow::Result<_> = $body;
                    result?
                })+
                _ => return Ok(None),
            };
            Ok(Some(value))
        }
    };
}

mod array;
mod class_methods;
mod convert;
mod enumerable;
mod enumerator;
mod exception;
mod format;
pub mod function;
mod hash;
mod matching;
mod number;
mod object;
mod order;
mod pack;
mod proc_methods;
mod range;
mod statics;
mod string;
mod string_change;
mod structs;

use std::rc::Rc;

use super::class::Class;
use super::flow::Result;
use super::interp::{Call, Interp};
use super::names::Name;
use super::scope::{Code, Proc, Scope};
use super::value::Value;

pub use class_methods::few_kin;
pub use enumerator::{Basket, Extra};
pub use format::format;
pub use function::lines;
pub use number::{float, int};
pub use pack::unpack;
pub use string::text_arg;
pub use string_change::CharSet;

/// A method's result from anything that becomes a value.
#[expect(clippy::unnecessary_wraps, reason = "the tables want results")]
fn ok(value: impl Into<Value>) -> Result<Value> {
    Ok(value.into())
}

/// Makes the classes and modules that every program finds.
pub fn define(ruby: &mut Interp) {
    let object = Rc::clone(&ruby.object);
    object.constants.borrow_mut().insert(Name::of("Object"), Value::Class(Rc::clone(&object)));
    ruby.known.insert("Object", Rc::clone(&object));
    for name in ["Kernel", "Comparable", "Enumerable", "Process", "ObjectSpace", "GC", "Math", "Signal"] {
        ruby.define_module(name);
    }
    let module = ruby.define_class("Module", &object);
    ruby.define_class("Class", &module);
    let numeric = ruby.define_class("Numeric", &object);
    ruby.define_class("Integer", &numeric);
    ruby.define_class("Float", &numeric);
    for name in [
        "BasicObject",
        "NilClass",
        "TrueClass",
        "FalseClass",
        "Symbol",
        "String",
        "Array",
        "Hash",
        "Range",
        "Regexp",
        "Proc",
        "Method",
        "MatchData",
        "Struct",
        "Binding",
        "Enumerator",
        "Data",
    ] {
        ruby.define_class(name, &object);
    }
    let comparable = ruby.class_named("Comparable");
    for name in ["Numeric", "String"] {
        ruby.class_named(name).included.borrow_mut().push(Rc::clone(&comparable));
    }
    let enumerable = ruby.class_named("Enumerable");
    for name in ["Array", "Hash", "Range", "Struct", "Enumerator"] {
        ruby.class_named(name).included.borrow_mut().push(Rc::clone(&enumerable));
    }
    exception::define(ruby);
    let constants = [
        ("RUBY_VERSION", Value::str("3.1.2")),
        ("RUBY_ENGINE", Value::str("ruby")),
        ("RUBY_PLATFORM", Value::str(format!("{}-linux", std::env::consts::ARCH))),
        ("RUBY_PATCHLEVEL", Value::Int(20)),
        ("ARGV", Value::array(ruby.host.arguments().into_iter().map(Value::str).collect())),
    ];
    // Of older Rubies.
    let integer = Value::Class(ruby.class_named("Integer"));
    let older = [("TRUE", Value::Bool(true)), ("FALSE", Value::Bool(false)), ("NIL", Value::Nil)];
    let numbers = [("Fixnum", integer.clone()), ("Bignum", integer)];
    for (name, value) in constants.into_iter().chain(older).chain(numbers) {
        object.constants.borrow_mut().insert(Name::of(name), value);
    }
    let float = ruby.class_named("Float");
    float.constants.borrow_mut().insert(Name::of("INFINITY"), Value::Float(f64::INFINITY));
    float.constants.borrow_mut().insert(Name::of("NAN"), Value::Float(f64::NAN));
    float.constants.borrow_mut().insert(Name::of("EPSILON"), Value::Float(f64::EPSILON));
    let math = ruby.class_named("Math");
    math.constants.borrow_mut().insert(Name::of("PI"), Value::Float(std::f64::consts::PI));
    math.constants.borrow_mut().insert(Name::of("E"), Value::Float(std::f64::consts::E));
    let argument_error = ruby.class_named("ArgumentError");
    ruby.define_class("Math::DomainError", &argument_error);
    super::library::define(ruby);
}

/// Answers with a method of the receiver's kind.
pub fn answer(ruby: &mut Interp, receiver: &Value, name: Name, call: &Call) -> Result<Option<Value>> {
    let text = name.text();
    let name_text = &*text;
    let merged;
    let mut call = call;
    // The program's own methods and those of the embedding program tell keywords from a hash; these do not.
    if call.keywords.is_some()
        && !matches!(receiver, Value::Class(_) | Value::Host(_) | Value::Proc(_) | Value::Object(_))
    {
        merged = Call { args: call.flat(), keywords: None, ..call.clone() };
        call = &merged;
    }
    ruby.charge(weight(receiver, name_text))?;
    if enumerator::waits(receiver, name_text, call)
        && (!matches!(receiver, Value::Object(_)) || (name_text != "each" && is_enumerable(ruby, receiver)))
    {
        return Ok(Some(enumerator::of(ruby, receiver, name_text, call)));
    }
    let found = match receiver {
        Value::Nil => convert::nil::call(ruby, receiver, name_text, call)?,
        Value::Bool(value) => convert::boolean::call(ruby, *value, name_text, call)?,
        Value::Int(_) | Value::Float(_) => number::call(ruby, receiver, name_text, call)?,
        Value::Sym(symbol) => convert::symbol::call(ruby, *symbol, name_text, call)?,
        Value::Str(string) => match string::call(ruby, string, name_text, call)? {
            None => match string_change::call(ruby, string, name_text, call)? {
                None => matching::string::call(ruby, string, name_text, call)?,
                found => found,
            },
            found => found,
        },
        Value::Array(array) => array::call(ruby, array, name_text, call)?,
        Value::Hash(hash) => hash::call(ruby, hash, name_text, call)?,
        Value::Range(range) => range::call(ruby, range, name_text, call)?,
        Value::Regex(regex) => matching::regexp::call(ruby, regex, name_text, call)?,
        Value::Proc(proc) => proc_methods::call(ruby, proc, name_text, call)?,
        Value::Class(class) => {
            if let Some(found) = super::library::class_method(ruby, class, name_text, call)? {
                return Ok(Some(found));
            }
            if let Some(found) = statics::answer(ruby, class, name_text, call)? {
                return Ok(Some(found));
            }
            class_methods::call(ruby, class, name_text, call)?
        }
        Value::Host(object) => Rc::clone(object).call(ruby, name, call)?,
        Value::Object(object) => {
            if let Some(found) = super::library::object_method(ruby, object, name_text, call)? {
                return Ok(Some(found));
            }
            if enumerator::is(object)
                && let Some(found) = enumerator::call(ruby, object, name_text, call)?
            {
                return Ok(Some(found));
            }
            match exception::answer(ruby, object, name_text, call)? {
                None => match structs::answer(ruby, object, name, call)? {
                    None => matching::answer(ruby, object, name_text, call)?,
                    found => found,
                },
                found => found,
            }
        }
    };
    match found {
        None if is_enumerable(ruby, receiver) => enumerable::call(ruby, receiver, name_text, call),
        found => Ok(found),
    }
}

/// What a call of something large counts as, besides its one step: most methods look at all of it.
fn weight(receiver: &Value, name: &str) -> usize {
    match receiver {
        Value::Str(text) => text.text.borrow().len() >> 6,
        Value::Array(_) | Value::Hash(_)
            if matches!(name, "[]" | "[]=" | "<<" | "push" | "length" | "size" | "pop" | "each" | "key?") =>
        {
            0
        }
        Value::Array(array) => array.items.borrow().len() >> 4,
        Value::Hash(hash) => hash.len() >> 4,
        _ => 0,
    }
}

/// Whether the methods of `Enumerable` work on it.
fn is_enumerable(ruby: &Interp, receiver: &Value) -> bool {
    match receiver {
        Value::Array(_) | Value::Hash(_) | Value::Range(_) => true,
        Value::Object(object) => object.class.descends_from(&ruby.class_named("Enumerable")),
        _ => false,
    }
}

/// Answers with what every object has, and with functions.
pub fn kernel(ruby: &mut Interp, receiver: &Value, name: Name, call: &Call) -> Result<Option<Value>> {
    let text = name.text();
    if matches!(receiver, Value::Host(_)) && !call.own {
        // What the embedding program gave us answers for itself, but for what every object has.
        return object::call(ruby, receiver, &text, call);
    }
    if let Some(found) = object::call(ruby, receiver, &text, call)? {
        return Ok(Some(found));
    }
    if order::knows(&text) && ruby.is_a(receiver, &ruby.class_named("Comparable")) {
        return order::call(ruby, receiver, &text, call);
    }
    let is_function =
        call.own || matches!(receiver, Value::Class(class) if matches!(&**class.name.borrow(), "Kernel" | "Process"));
    if is_function {
        if let Some(found) = function::call(ruby, receiver, &text, call)? {
            return Ok(Some(found));
        }
        return super::library::function(ruby, &text, call);
    }
    Ok(None)
}

/// Whether the interpreter itself knows a method of a value.
pub fn knows(ruby: &Interp, receiver: &Value, name: Name) -> bool {
    let text = name.text();
    let text = &*text;
    let own = match receiver {
        Value::Nil => convert::nil::knows(text),
        Value::Bool(_) => convert::boolean::knows(text),
        Value::Int(_) | Value::Float(_) => number::knows(text),
        Value::Sym(_) => convert::symbol::knows(text),
        Value::Str(_) => string::knows(text) || string_change::knows(text) || matching::string::knows(text),
        Value::Array(_) => array::knows(text),
        Value::Hash(_) => hash::knows(text),
        Value::Range(_) => range::knows(text),
        Value::Regex(_) => matching::regexp::knows(text),
        Value::Proc(_) => proc_methods::knows(text),
        Value::Class(class) => class_methods::knows(text) || super::library::knows_class_method(class, text),
        Value::Object(object) => {
            structs::has(object, name)
                || (enumerator::is(object) && enumerator::knows(text))
                || matching::has(object, text)
                || exception::has(ruby, object, text)
                || super::library::knows_object_method(object, text)
        }
        Value::Host(_) => false,
    };
    own || object::knows(text) || (is_enumerable(ruby, receiver) && enumerable::knows(text))
}

/// Whether there is a function of that name.
pub fn knows_function(name: Name) -> bool {
    function::knows(&name.text()) || super::library::knows_function(&name.text())
}

/// The caller's variables as an object, for templates.
pub fn binding(ruby: &Interp, scope: &Rc<Scope>) -> Value {
    let object = super::class::Object::new(&ruby.class_named("Binding"));
    // A proc keeps the scope; nothing else of it is used.
    let function = Rc::new(super::tree::Function {
        name: Name::of("binding"),
        params: super::tree::Params::default(),
        body: super::tree::Node { kind: super::tree::Kind::Nil, at: ruby.at },
    });
    let code = Code::Block { function, scope: Rc::clone(scope), breaks_to: 0 };
    object.set("@proc", Value::Proc(Rc::new(Proc { code, lambda: false })));
    Value::Object(object)
}

/// The class that an argument is.
fn class_arg(ruby: &mut Interp, value: &Value) -> Result<Rc<Class>> {
    match value {
        Value::Class(class) => Ok(Rc::clone(class)),
        _ => Err(ruby.error("TypeError", "class or module required")),
    }
}
