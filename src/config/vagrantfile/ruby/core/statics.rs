//! Methods of classes and modules that the interpreter knows itself: `Hash[…]`, `Regexp.escape`, `Math.sqrt`.

use std::rc::Rc;

use super::super::class::Class;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::regex;
use super::super::value::{Hash, Value};
use super::enumerator;
use super::number::{float, int};
use super::string::text_arg;

/// Answers for a class; `None` where it has no such method.
pub fn answer(ruby: &mut Interp, class: &Rc<Class>, name: &str, call: &Call) -> Result<Option<Value>> {
    let class_name = class.name.borrow().clone();
    Ok(Some(match (&*class_name, name) {
        ("Array", "[]") => Value::array(call.flat()),
        ("Hash", "[]") => pairs(ruby, call)?,
        ("Array" | "Hash" | "String", "try_convert") => call.arg(0),
        ("Regexp", "escape" | "quote") => {
            let text = text_arg(ruby, &call.arg(0))?;
            regex::escape(&text).into()
        }
        ("Regexp", "union") => union(ruby, call)?,
        ("Regexp", "last_match") => match (&ruby.last_match, call.arg(0)) {
            (Some(found), Value::Int(number)) => regex::group(found, usize::try_from(number).unwrap_or(usize::MAX)),
            (found, _) => found.clone().unwrap_or(Value::Nil),
        },
        ("Integer", "sqrt") => {
            let number = int(ruby, &call.arg(0))?;
            match u64::try_from(number) {
                Ok(number) => i64::try_from(number.isqrt()).unwrap_or(0).into(),
                Err(_) => {
                    return Err(ruby.error("Math::DomainError", "Numerical argument is out of domain - \"isqrt\""));
                }
            }
        }
        ("Math", name) => return math(ruby, name, call),
        ("Enumerator", "new") => return enumerator::generated(ruby, call).map(Some),
        ("ObjectSpace", "garbage_collect") | ("GC", _) => Value::Nil,
        ("ObjectSpace", name) => return Err(ruby.unsupported(format!("`ObjectSpace.{name}`"))),
        _ => return Ok(None),
    }))
}

/// `Hash[pairs]`, `Hash[key, value, …]`.
fn pairs(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let args = call.flat();
    let hash = Hash::default();
    match args.as_slice() {
        [Value::Hash(other)] => return Ok(Value::hash(other.pairs())),
        [Value::Array(list)] => {
            for pair in list.items.borrow().clone() {
                let pair = ruby.splat(&pair)?;
                hash.insert(pair.first().cloned().unwrap_or(Value::Nil), pair.get(1).cloned().unwrap_or(Value::Nil));
            }
        }
        list if list.len() % 2 == 0 => {
            for pair in list.chunks(2) {
                hash.insert(pair[0].clone(), pair[1].clone());
            }
        }
        _ => return Err(ruby.error("ArgumentError", "odd number of arguments for Hash")),
    }
    Ok(Value::Hash(Rc::new(hash)))
}

fn union(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let parts = match call.args.as_slice() {
        [Value::Array(list)] => list.items.borrow().clone(),
        args => args.to_vec(),
    };
    let mut sources = Vec::new();
    for part in &parts {
        sources.push(match part {
            Value::Regex(_) if parts.len() == 1 => return Ok(part.clone()),
            Value::Regex(_) => ruby.to_s(part)?,
            text => {
                let text = text_arg(ruby, text)?;
                regex::escape(&text)
            }
        });
    }
    let source = if sources.is_empty() { "(?!)".to_owned() } else { sources.join("|") };
    regex::compile(ruby, &source, super::super::tree::RegexFlags::default())
}

fn math(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    let mut numbers = Vec::new();
    for arg in &call.args {
        match arg {
            Value::Int(_) | Value::Float(_) => numbers.push(float(arg)),
            other => return Err(ruby.type_error(other, "Float")),
        }
    }
    let value = match (name, numbers.as_slice()) {
        ("sqrt", [x]) if *x < 0.0 => {
            return Err(ruby.error("Math::DomainError", "Numerical argument is out of domain - \"sqrt\""));
        }
        ("sqrt", [x]) => x.sqrt(),
        ("cbrt", [x]) => x.cbrt(),
        ("log", [x]) => x.ln(),
        ("log", [x, base]) => x.ln() / base.ln(),
        ("log2", [x]) => x.log2(),
        ("log10", [x]) => x.log10(),
        ("exp", [x]) => x.exp(),
        ("pow", [x, y]) => x.powf(*y),
        ("hypot", [x, y]) => x.hypot(*y),
        ("sin", [x]) => x.sin(),
        ("cos", [x]) => x.cos(),
        ("tan", [x]) => x.tan(),
        ("atan", [x]) => x.atan(),
        ("atan2", [y, x]) => y.atan2(*x),
        _ => return Ok(None),
    };
    Ok(Some(Value::Float(value)))
}
