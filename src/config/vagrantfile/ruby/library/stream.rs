//! `$stdout` and its like.

use std::rc::Rc;

use super::super::class::Object;
use super::super::core;
use super::super::flow::Result;
use super::super::host::Stream;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::value::Value;

const METHODS: &[&str] = &[
    "puts",
    "print",
    "write",
    "<<",
    "printf",
    "p",
    "flush",
    "fsync",
    "sync",
    "sync=",
    "tty?",
    "isatty",
    "fileno",
    "gets",
    "read",
    "readline",
    "readlines",
    "each_line",
    "noecho",
    "getch",
    "winsize",
    "close",
    "set_encoding",
];

/// Makes the streams of a program.
pub fn define(ruby: &mut Interp) {
    for (number, global, constant) in [(0, "$stdin", "STDIN"), (1, "$stdout", "STDOUT"), (2, "$stderr", "STDERR")] {
        let object = Object::new(&ruby.class_named("IO"));
        object.set("@fileno", Value::Int(number));
        let stream = Value::Object(object);
        ruby.globals.insert(Name::of(global), stream.clone());
        ruby.object.constants.borrow_mut().insert(Name::of(constant), stream);
    }
}

pub fn has(object: &Object, name: &str) -> bool {
    &**object.class.name.borrow() == "IO" && METHODS.contains(&name)
}

/// Methods of a stream.
pub fn call(ruby: &mut Interp, stream: &Rc<Object>, name: &str, call: &Call) -> Result<Option<Value>> {
    let number = stream.get("@fileno").unwrap_or(Value::Nil);
    let to = if matches!(number, Value::Int(2)) { Stream::Error } else { Stream::Out };
    let text = match name {
        "puts" if call.args.is_empty() && call.keywords.is_none() => "\n".to_owned(),
        "puts" => core::lines(ruby, &call.flat())?,
        "printf" => core::format(ruby, &call.args)?,
        "print" | "write" | "<<" => {
            let mut text = String::new();
            for arg in &call.args {
                text.push_str(&ruby.to_s(arg)?);
            }
            text
        }
        "fileno" => return Ok(Some(number)),
        "sync" => return Ok(Some(Value::Bool(true))),
        "tty?" | "isatty" => return Ok(Some(Value::Bool(false))),
        "winsize" => return Ok(Some(Value::array(vec![Value::Int(24), Value::Int(80)]))),
        "flush" | "fsync" | "sync=" | "close" | "set_encoding" => return Ok(Some(Value::Nil)),
        "gets" | "read" | "readline" | "readlines" | "each_line" | "noecho" | "getch" => {
            return Err(ruby.never("it asks for input, which nobody gives while a machine file is read"));
        }
        _ => return Ok(None),
    };
    ruby.print(&text, to)?;
    Ok(Some(match name {
        "write" => text.len().into(),
        "<<" => Value::Object(Rc::clone(stream)),
        _ => Value::Nil,
    }))
}
