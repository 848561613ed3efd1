//! YAML as Psych, Ruby's reader, understands it.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::value::Value;

/// Deeper than any file that people write.
const DEPTH: usize = 100;

/// A sequence or mapping that is being read.
struct Open {
    value: Value,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<Value>,
}

/// The documents of a text; `name` is for messages.
pub fn documents(ruby: &mut Interp, text: &str, name: &str) -> Result<Vec<Value>> {
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut open: Vec<Open> = Vec::new();
    let mut documents = Vec::new();
    for event in Parser::new_from_str(text) {
        ruby.step()?;
        let (event, _) = match event {
            Ok(event) => event,
            Err(error) => return Err(ruby.error("Psych::SyntaxError", format!("({name}): {error}"))),
        };
        let done = match event {
            Event::Scalar(text, style, anchor, tag) => {
                ruby.grow(text.len() + 16)?;
                let value = scalar(&text, style, tag.as_deref());
                Some((value, anchor))
            }
            Event::Alias(anchor) => Some((anchors.get(&anchor).cloned().unwrap_or(Value::Nil), 0)),
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag))
                if tag.suffix.starts_with("ruby/") =>
            {
                let message =
                    format!("Tried to load unspecified class: {}", tag.suffix.rsplit(':').next().unwrap_or(""));
                return Err(ruby.error("Psych::DisallowedClass", message));
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open { value: Value::array(Vec::new()), anchor, key: None });
                None
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open { value: Value::hash([]), anchor, key: None });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|done| (done.value, done.anchor)),
            _ => None,
        };
        if open.len() > DEPTH {
            return Err(ruby.error("Psych::SyntaxError", format!("({name}): nested too deeply")));
        }
        let Some((value, anchor)) = done else { continue };
        if anchor != 0 {
            anchors.insert(anchor, value.clone());
        }
        match open.last_mut() {
            Some(container) => put(container, value),
            None => documents.push(value),
        }
    }
    Ok(documents)
}

/// Adds a value to the sequence or mapping that it stands in.
fn put(container: &mut Open, value: Value) {
    match (&container.value, container.key.take()) {
        (Value::Array(array), _) => array.items.borrow_mut().push(value),
        (Value::Hash(_), None) => container.key = Some(value),
        (Value::Hash(hash), Some(key)) => {
            if key.text().as_deref() != Some("<<") {
                return hash.insert(key, value);
            }
            let merged = match &value {
                Value::Array(several) => several.items.borrow().clone(),
                one => vec![one.clone()],
            };
            for other in &merged {
                let Value::Hash(other) = other else { continue };
                for (key, value) in other.pairs() {
                    if hash.get(&key).is_none() {
                        hash.insert(key, value);
                    }
                }
            }
        }
        _ => {}
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_plain = style == ScalarStyle::Plain;
    match tag.map(|tag| tag.suffix.as_str()) {
        Some("str") => Value::str(text),
        Some("int" | "float" | "bool" | "null") => plain(text),
        _ if is_plain => plain(text),
        _ => Value::str(text),
    }
}

/// What an unquoted word means.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    if let Some(name) = text.strip_prefix(':')
        && !name.is_empty()
        && !name.contains(": ")
    {
        return Value::sym(name.trim_matches(['"', '\'']));
    }
    number(text).unwrap_or_else(|| Value::str(text))
}

fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.contains(':') {
        return sexagesimal(digits).map(|number| Value::Int(sign * number));
    }
    let bare = digits.replace(['_', ','], "");
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|number| Value::Int(sign * number));
    match bare.get(..2) {
        Some("0x") => return radix(&bare[2..], 16),
        Some("0b") => return radix(&bare[2..], 2),
        Some("0o") => return radix(&bare[2..], 8),
        _ => {}
    }
    if bare.bytes().all(|b| b.is_ascii_digit()) {
        let is_octal = bare.len() > 1 && bare.starts_with('0');
        return if is_octal { radix(&bare, 8) } else { radix(&bare, 10) };
    }
    let float = bare.contains('.') && bare.bytes().any(|b| b.is_ascii_digit());
    let float = float && bare.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    // Psych takes `1.2.3` for a word, and so does Rust.
    float
        .then(|| bare.parse::<f64>().ok())
        .flatten()
        .map(|number| Value::Float(if sign < 0 { -number } else { number }))
}

/// `1:30:15` are seconds, and Psych takes `22:30` for hours and minutes.
fn sexagesimal(text: &str) -> Option<i64> {
    let parts: Vec<_> = text.split(':').collect();
    let fits = |part: &&str| part.len() <= 2 && part.parse::<u8>().is_ok_and(|number| number < 60);
    let (first, rest) = parts.split_first()?;
    if !(1..=2).contains(&rest.len()) || !rest.iter().all(fits) {
        return None;
    }
    let units = [3600_i64, 60, 1];
    let first = first.parse::<i64>().ok()?.checked_mul(3600)?;
    rest.iter().zip(&units[1..]).try_fold(first, |sum, (part, unit)| sum.checked_add(part.parse::<i64>().ok()? * unit))
}
