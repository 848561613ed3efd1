//! Values as text: `to_s` and `inspect` of what the interpreter itself knows.

use std::rc::Rc;

use super::value::Value;

/// Deeper nests are shown as `...`: a container may hold itself.
const DEPTH: usize = 16;

/// As `to_s` shows it; `None` for what a class of the program may show.
pub fn to_s(value: &Value) -> Option<String> {
    Some(match value {
        Value::Nil => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Sym(name) => name.to_string(),
        Value::Str(text) => text.text.borrow().clone(),
        Value::Array(_) | Value::Hash(_) | Value::Proc(_) => inspect(value),
        Value::Range(range) => {
            let dots = if range.exclusive { "..." } else { ".." };
            format!("{}{dots}{}", to_s(&range.low)?, to_s(&range.high)?)
        }
        Value::Regex(regex) => {
            let flag = |on, letter| if on { letter } else { "" };
            let (i, x, m) = (regex.flags.ignore_case, regex.flags.extended, regex.flags.multi_line);
            let on = [flag(m, "m"), flag(i, "i"), flag(x, "x")].concat();
            let off = [flag(!m, "m"), flag(!i, "i"), flag(!x, "x")].concat();
            let off = if off.is_empty() { off } else { format!("-{off}") };
            format!("(?{on}{off}:{})", regex.source)
        }
        Value::Class(class) => class.name.borrow().to_string(),
        Value::Object(_) | Value::Host(_) => return None,
    })
}

/// As `inspect` shows it.
pub fn inspect(value: &Value) -> String {
    nested(value, DEPTH)
}

fn nested(value: &Value, depth: usize) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Str(text) => quoted(&text.text.borrow()),
        Value::Sym(name) => symbol(&name.text()),
        Value::Array(_) | Value::Hash(_) if depth == 0 => "...".into(),
        Value::Array(array) => {
            let items: Vec<_> = array.items.borrow().iter().map(|item| nested(item, depth - 1)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Hash(hash) => {
            let pair =
                |(key, value): &(Value, Value)| format!("{}=>{}", nested(key, depth - 1), nested(value, depth - 1));
            let pairs: Vec<_> = hash.map.borrow().values().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Range(range) => {
            let end =
                |value: &Value| if value.is_nil() { String::new() } else { nested(value, depth.saturating_sub(1)) };
            format!("{}{}{}", end(&range.low), if range.exclusive { "..." } else { ".." }, end(&range.high))
        }
        Value::Regex(regex) => {
            let flag = |on, letter| if on { letter } else { "" };
            let flags = [
                flag(regex.flags.multi_line, "m"),
                flag(regex.flags.ignore_case, "i"),
                flag(regex.flags.extended, "x"),
            ];
            format!("/{}/{}", regex.source, flags.concat())
        }
        Value::Proc(proc) => if proc.lambda { "#<Proc (lambda)>" } else { "#<Proc>" }.into(),
        Value::Object(object) => {
            let name: Rc<str> = object.class.name.borrow().clone();
            if depth == 0 {
                return format!("#<{name} ...>");
            }
            let vars = object.instance_vars.borrow();
            let vars: Vec<_> =
                vars.iter().map(|(name, value)| format!("{name}={}", nested(value, depth - 1))).collect();
            if vars.is_empty() { format!("#<{name}>") } else { format!("#<{name} {}>", vars.join(", ")) }
        }
        Value::Host(object) => format!("#<{}>", object.class_name()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Class(_) => to_s(value).unwrap_or_default(),
    }
}

/// A floating-point number as Ruby writes it: always with a point, with an exponent where it is very large or small.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") };
        let (sign, number) = exponent.strip_prefix('-').map_or(('+', exponent), |number| ('-', number));
        return format!("{digits}e{sign}{number:0>2}");
    }
    let text = value.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// A string in double quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '#' if matches!(rest.peek(), Some('{' | '$' | '@')) => out.push_str("\\#"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() => out.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn symbol(text: &str) -> String {
    let word = text.trim_end_matches(['?', '!', '=']);
    let plain = word.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '@' | '$'))
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '@' | '$'));
    let operator = matches!(
        text,
        "+" | "-"
            | "*"
            | "/"
            | "%"
            | "**"
            | "=="
            | "!="
            | "<"
            | ">"
            | "<="
            | ">="
            | "<=>"
            | "<<"
            | ">>"
            | "!"
            | "=~"
            | "[]"
            | "[]="
            | "==="
            | "&"
            | "|"
            | "^"
            | "~"
    );
    if plain || operator { format!(":{text}") } else { format!(":{}", quoted(text)) }
}
