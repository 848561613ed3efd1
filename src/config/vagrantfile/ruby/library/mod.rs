//! What programs `require`: files and folders, YAML, JSON and the like.

use std::rc::Rc;

use super::class::{Class, Object};
use super::flow::Result;
use super::interp::{Call, Interp};
use super::tree::RegexFlags;
use super::value::Value;
use super::regex;

/// Methods of classes (`File.exist?`).
pub fn class_method(_ruby: &mut Interp, _class: &Rc<Class>, _name: &str, _call: &Call) -> Result<Option<Value>> {
    Ok(None)
}

/// Methods of objects that the library makes.
pub fn object_method(_ruby: &mut Interp, _object: &Rc<Object>, _name: &str, _call: &Call) -> Result<Option<Value>> {
    Ok(None)
}

/// Functions that the library adds.
pub fn function(_ruby: &mut Interp, _name: &str, _call: &Call) -> Result<Option<Value>> {
    Ok(None)
}

pub fn knows_class_method(_class: &Class, _name: &str) -> bool {
    false
}

pub fn knows_object_method(_object: &Object, _name: &str) -> bool {
    false
}

pub fn knows_function(_name: &str) -> bool {
    false
}

/// `Regexp.new(text, flags)`.
pub fn regexp(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let flags = match call.arg(1) {
        Value::Int(bits) => RegexFlags { ignore_case: bits & 1 != 0, extended: bits & 2 != 0, multi_line: bits & 4 != 0 },
        other => RegexFlags { ignore_case: other.truthy(), ..RegexFlags::default() },
    };
    match call.arg(0) {
        Value::Regex(regex) => Ok(Value::Regex(regex)),
        text => {
            let source = ruby.to_s(&text)?;
            regex::compile(ruby, &source, flags)
        }
    }
}
