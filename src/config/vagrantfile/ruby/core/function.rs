//! Functions: what is called without a receiver.

use std::rc::Rc;

use super::super::class::Object;
use super::super::flow::{Flow, Result};
use super::super::host::{Stop, StopKind, Stream};
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::show;
use super::super::value::Value;
use super::{number, ok};

methods! { ruby, me: &Value, name, call;
    "puts" => { let text = if call.args.is_empty() && call.keywords.is_none() { "\n".into() } else { lines(ruby, &call.flat())? }; ruby.print(&text, Stream::Out)?; Ok(Value::Nil) },
    "warn" => { let text = lines(ruby, &call.args)?; ruby.print(&text, Stream::Error)?; Ok(Value::Nil) },
    "print" => { let text = joined(ruby, &call.args)?; ruby.print(&text, Stream::Out)?; Ok(Value::Nil) },
    "p" | "pp" => inspected(ruby, call),
    "printf" => { let text = super::format(ruby, &call.args)?; ruby.print(&text, Stream::Out)?; Ok(Value::Nil) },
    "format" | "sprintf" => super::format(ruby, &call.flat()).map(Value::str),
    "raise" | "fail" => raise(ruby, call),
    "loop" => forever(ruby, call),
    "catch" => catch(ruby, call),
    "throw" => throw(ruby, call),
    "exit" | "exit!" => Err(exit(&call.arg(0)).into()),
    "abort" => abort(ruby, call),
    "at_exit" | "trap" | "sleep" | "using" => Ok(Value::Nil),
    "Integer" => number::integer_from(ruby, call),
    "Float" => number::float_from(ruby, call),
    "String" => { let text = ruby.to_s(&call.arg(0))?; ok(text) },
    "Array" => { let list = ruby.splat(&call.arg(0))?; ok(list) },
    "Hash" => Ok(if call.arg(0).is_nil() { Value::hash([]) } else { call.arg(0) }),
    "Rational" | "Complex" => Err(ruby.unsupported("rational and complex numbers")),
    "rand" => super::super::library::random(ruby, &call.arg(0)),
    "srand" => Err(ruby.unsupported("chance that begins at a number of the file's")),
    "caller" | "caller_locations" => ok(Vec::new()),
    "gets" | "readline" | "readlines" => Err(ruby.never("it asks for input, which nobody gives while a machine file is read")),
    "system" | "spawn" | "exec" | "`" => command(ruby, call, name),
    "open" => open(ruby, call),
    "putc" => { let text = ruby.to_s(&call.arg(0))?; ruby.print(&text, Stream::Out)?; Ok(call.arg(0)) },
    "gem" => ok(true),
    "global_variables" => ok(ruby.globals.keys().map(|name| Value::Sym(*name)).collect::<Vec<_>>()),
    "fork" => Err(ruby.never("it wants another process")),
    "attr_accessor" | "attr_reader" | "attr_writer" | "include" | "private" | "public" | "define_method" => at_top(ruby, me, name, call),
}

/// As `puts` writes them.
pub fn lines(ruby: &mut Interp, values: &[Value]) -> Result<String> {
    let mut out = String::new();
    for value in values {
        if let Value::Array(array) = value {
            let items = array.items.borrow().clone();
            out.push_str(&ruby.deeper(|ruby| lines(ruby, &items))?);
            continue;
        }
        let text = ruby.to_s(value)?;
        out.push_str(&text);
        if !text.ends_with('\n') {
            out.push('\n');
        }
    }
    Ok(out)
}

fn joined(ruby: &mut Interp, values: &[Value]) -> Result<String> {
    values.iter().map(|value| ruby.to_s(value)).collect()
}

fn inspected(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let values = call.flat();
    for value in &values {
        let text = ruby.send(value, "inspect", Vec::new())?;
        let text = show::to_s(&text).unwrap_or_default() + "\n";
        ruby.print(&text, Stream::Out)?;
    }
    Ok(match values.len() {
        0 => Value::Nil,
        1 => call.arg(0),
        _ => Value::array(values),
    })
}

fn raise(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let message = call.args.get(1).cloned();
    let exception = match call.arg(0) {
        Value::Nil => match ruby.globals.get(&Name::of("$!")) {
            Some(current) if !current.is_nil() => current.clone(),
            _ => return Err(ruby.error("RuntimeError", "unhandled exception")),
        },
        Value::Str(text) => {
            let text = text.text.borrow().clone();
            return Err(ruby.error("RuntimeError", text));
        }
        Value::Class(class) => {
            let mut args = Call::of(message.into_iter().collect());
            args.keywords.clone_from(&call.keywords);
            ruby.call(&Value::Class(class), Name::of("new"), args)?
        }
        other => other,
    };
    if !ruby.is_a(&exception, &ruby.class_named("Exception")) {
        return Err(ruby.error("TypeError", "exception class/object expected"));
    }
    Err(Flow::Raise(exception))
}

fn forever(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let Some(block) = &call.block else { return Err(ruby.unsupported("`loop` without a block")) };
    loop {
        match ruby.yield_to(block, Vec::new()) {
            Ok(_) => {}
            Err(Flow::Raise(error)) if ruby.is_a(&error, &ruby.class_named("StopIteration")) => return Ok(Value::Nil),
            Err(other) => return Err(other),
        }
    }
}

fn catch(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let tag = match call.args.first() {
        Some(tag) => tag.clone(),
        None => Value::Object(Object::new(&ruby.object)),
    };
    let Some(block) = &call.block else { return Ok(Value::Nil) };
    ruby.catching.push(tag.key());
    let result = ruby.yield_to(block, vec![tag.clone()]);
    ruby.catching.pop();
    match result {
        Err(Flow::Throw(thrown, value)) if thrown.key() == tag.key() => Ok(value),
        other => other,
    }
}

fn throw(ruby: &mut Interp, call: &Call) -> Result<Value> {
    if ruby.catching.contains(&call.arg(0).key()) {
        return Err(Flow::Throw(call.arg(0), call.arg(1)));
    }
    let shown = show::inspect(&call.arg(0));
    Err(ruby.error("UncaughtThrowError", format!("uncaught throw {shown}")))
}

fn exit(status: &Value) -> Stop {
    let status = match status {
        Value::Int(status) => i32::try_from(*status).unwrap_or(1),
        Value::Bool(false) => 1,
        _ => 0,
    };
    Stop { message: format!("the file ended itself with `exit {status}`"), kind: StopKind::Exit(status) }
}

fn abort(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let message = match call.arg(0) {
        Value::Nil => "the file ended itself with `abort`".to_owned(),
        text => ruby.to_s(&text)?,
    };
    Err(Stop { message, kind: StopKind::Exit(1) }.into())
}

/// `open` of a path, a command (`|ls`) or an address.
fn open(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let target = ruby.to_s(&call.arg(0))?;
    if target.contains("://") {
        return Err(ruby.never(format!("it wants to reach the network: {target}")));
    }
    if target.starts_with('|') {
        return Err(ruby.unsupported("`open` of a command"));
    }
    let file = Value::Class(ruby.class_named("File"));
    ruby.call(&file, Name::of("open"), call.clone())
}

/// A command as one line for a shell.
pub fn command_line(ruby: &mut Interp, call: &Call) -> Result<String> {
    let mut line = String::new();
    let mut words = Vec::new();
    // `IO.popen` takes its words in a list, too.
    let listed = match call.args.first() {
        Some(Value::Array(words)) => Some(words.items.borrow().clone()),
        _ => None,
    };
    for arg in listed.as_ref().unwrap_or(&call.args) {
        match arg {
            // Variables of the environment come first, options last.
            Value::Hash(variables) if words.is_empty() => {
                for (name, value) in variables.pairs() {
                    let (name, value) = (ruby.to_s(&name)?, ruby.to_s(&value)?);
                    line.extend([&name, "=", &quoted(&value), " "]);
                }
            }
            Value::Hash(_) => {}
            word => words.push(ruby.to_s(word)?),
        }
    }
    if let Some(folder) = call.keyword("chdir") {
        let folder = ruby.to_s(&folder)?;
        line.insert_str(0, &format!("cd {} && ", quoted(&folder)));
    }
    match words.as_slice() {
        [only] => line.push_str(only),
        several => line.push_str(&several.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
    }
    Ok(line)
}

/// A word so that a shell takes it as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// How a shell ends that does not find a program.
const NOT_FOUND: i32 = 127;

fn command(ruby: &mut Interp, call: &Call, name: &str) -> Result<Value> {
    let line = command_line(ruby, call)?;
    let output = ruby.command_output(&line)?;
    if name == "exec" && output.status == NOT_FOUND {
        ruby.host.may_run(&line).map_err(|why| ruby.refused(why))?;
    }
    if name == "`" {
        return ok(output.text);
    }
    ruby.print(&output.text, Stream::Out)?;
    if name == "exec" {
        let message = format!("the file ended itself with `exec {line}`");
        return Err(Stop { message, kind: StopKind::Exit(output.status) }.into());
    }
    ok(output.status == 0)
}

/// `include` and the like outside of classes concern `Object`.
fn at_top(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    if !me.same(&ruby.main) {
        return Err(ruby.no_method(me, Name::of(name)));
    }
    let object = Value::Class(Rc::clone(&ruby.object));
    ruby.call(&object, Name::of(name), Call { own: true, ..call.clone() })
}
