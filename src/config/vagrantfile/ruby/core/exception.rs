//! Exceptions.

use std::rc::Rc;

use super::super::class::Object;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::Value;
use super::ok;

/// Each with the class above it.
const CLASSES: &[(&str, &str)] = &[
    ("Exception", "Object"),
    ("StandardError", "Exception"),
    ("ScriptError", "Exception"),
    ("LoadError", "ScriptError"),
    ("NotImplementedError", "ScriptError"),
    ("SyntaxError", "ScriptError"),
    ("SystemExit", "Exception"),
    ("SecurityError", "Exception"),
    ("NoMemoryError", "Exception"),
    ("SystemStackError", "Exception"),
    ("SignalException", "Exception"),
    ("Interrupt", "SignalException"),
    ("ArgumentError", "StandardError"),
    ("UncaughtThrowError", "ArgumentError"),
    ("EncodingError", "StandardError"),
    ("FiberError", "StandardError"),
    ("IOError", "StandardError"),
    ("EOFError", "IOError"),
    ("IndexError", "StandardError"),
    ("KeyError", "IndexError"),
    ("StopIteration", "IndexError"),
    ("LocalJumpError", "StandardError"),
    ("NameError", "StandardError"),
    ("NoMethodError", "NameError"),
    ("RangeError", "StandardError"),
    ("FloatDomainError", "RangeError"),
    ("RegexpError", "StandardError"),
    ("NoMatchingPatternError", "StandardError"),
    ("NoMatchingPatternKeyError", "NoMatchingPatternError"),
    ("RuntimeError", "StandardError"),
    ("FrozenError", "RuntimeError"),
    ("SystemCallError", "StandardError"),
    ("ThreadError", "StandardError"),
    ("TypeError", "StandardError"),
    ("ZeroDivisionError", "StandardError"),
];

/// What the operating system says.
const SYSTEM: &[&str] =
    &["Errno::ENOENT", "Errno::EACCES", "Errno::EEXIST", "Errno::ENOTDIR", "Errno::EISDIR", "Errno::EINVAL"];

/// Makes the classes of exceptions.
pub fn define(ruby: &mut Interp) {
    for (name, above) in CLASSES {
        let above = ruby.class_named(above);
        ruby.define_class(name, &above);
    }
    ruby.define_module("Errno");
    let above = ruby.class_named("SystemCallError");
    for name in SYSTEM {
        ruby.define_class(name, &above);
    }
    let object = Rc::clone(&ruby.object);
    ruby.define_class("Process::Status", &object);
}

methods! { ruby, me: &Rc<Object>, name, call;
    "initialize" => { if let Some(message) = call.args.first() { me.set("@message", message.clone()); } Ok(Value::Nil) },
    "message" | "to_s" => { let text = message(ruby, me)?; ok(text) },
    "full_message" | "detailed_message" => { let text = message(ruby, me)?; let class = me.class.name.borrow().clone(); ok(format!("{text} ({class})")) },
    "inspect" => { let text = message(ruby, me)?; let class = me.class.name.borrow().clone(); ok(format!("#<{class}: {text}>")) },
    "backtrace" | "backtrace_locations" => Ok(me.get("@backtrace").unwrap_or(Value::Nil)),
    "set_backtrace" => { me.set("@backtrace", call.arg(0)); Ok(call.arg(0)) },
    "cause" => Ok(Value::Nil),
    "exception" => Ok(Value::Object(Rc::clone(me))),
    "exit_value" | "status" => Ok(me.get("@status").unwrap_or(Value::Int(1))),
    "name" | "key" | "receiver" => Ok(me.get(&format!("@{name}")).unwrap_or(Value::Nil)),
}

fn message(ruby: &mut Interp, me: &Rc<Object>) -> Result<String> {
    match me.get("@message") {
        None | Some(Value::Nil) => Ok(me.class.name.borrow().to_string()),
        Some(text) => ruby.to_s(&text),
    }
}

/// Answers for an exception; `message` of a class that defines `to_s` is that.
pub fn answer(ruby: &mut Interp, object: &Rc<Object>, name: &str, call: &Call) -> Result<Option<Value>> {
    if !object.class.descends_from(&ruby.class_named("Exception")) {
        if name == "exitstatus" || name == "success?" {
            let status = object.get("@exitstatus");
            return Ok(status
                .map(|status| if name == "success?" { Value::Bool(matches!(status, Value::Int(0))) } else { status }));
        }
        return Ok(None);
    }
    let shown = Value::Object(Rc::clone(object));
    if name == "message"
        && object
            .class
            .ancestors()
            .iter()
            .any(|class| class.methods.borrow().contains_key(&super::super::names::Name::of("to_s")))
    {
        return ruby.send(&shown, "to_s", Vec::new()).map(Some);
    }
    self::call(ruby, object, name, call)
}

/// Whether an exception has a method.
pub fn has(ruby: &Interp, object: &Rc<Object>, name: &str) -> bool {
    object.class.descends_from(&ruby.class_named("Exception")) && knows(name)
}
