//! Values as text: `to_s` and `inspect` of what the interpreter itself knows.

use super::budget;
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
            let end = |value: &Value| match value {
                // Ranges of ranges may nest without end.
                Value::Range(_) => Some(inspect(value)),
                value => to_s(value),
            };
            format!("{}{dots}{}", end(&range.low)?, end(&range.high)?)
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

/// More is shown of nothing: what refers to itself in many ways would have no end.
const LONGEST: usize = 4 << 20;

/// As `inspect` shows it.
pub fn inspect(value: &Value) -> String {
    let mut out = String::new();
    nested(value, DEPTH, &mut out);
    budget::owe(out.len());
    out
}

fn nested(value: &Value, depth: usize, out: &mut String) {
    if out.len() > LONGEST {
        return;
    }
    match value {
        Value::Nil => out.push_str("nil"),
        Value::Str(text) => out.push_str(&quoted(&text.text.borrow())),
        Value::Sym(name) => out.push_str(&symbol(&name.text())),
        Value::Array(_) | Value::Hash(_) | Value::Range(_) if depth == 0 => out.push_str("..."),
        Value::Array(array) => {
            out.push('[');
            separated(array.items.borrow().iter(), out, |item, out| nested(item, depth - 1, out));
            out.push(']');
        }
        Value::Hash(hash) => {
            out.push('{');
            separated(hash.map.borrow().values(), out, |(key, value), out| {
                nested(key, depth - 1, out);
                out.push_str("=>");
                nested(value, depth - 1, out);
            });
            out.push('}');
        }
        Value::Range(range) => {
            let end = |value: &Value, out: &mut String| {
                if !value.is_nil() {
                    nested(value, depth - 1, out);
                }
            };
            end(&range.low, out);
            out.push_str(if range.exclusive { "..." } else { ".." });
            end(&range.high, out);
        }
        Value::Regex(regex) => {
            let flags = [(regex.flags.multi_line, "m"), (regex.flags.ignore_case, "i"), (regex.flags.extended, "x")];
            out.extend(["/", &regex.source, "/"]);
            out.extend(flags.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter));
        }
        Value::Proc(proc) => out.push_str(if proc.lambda { "#<Proc (lambda)>" } else { "#<Proc>" }),
        Value::Object(object) => {
            out.push_str("#<");
            out.push_str(&object.class.name.borrow());
            let vars = object.instance_vars.borrow();
            if depth == 0 {
                out.push_str(" ...");
            } else if !vars.is_empty() {
                out.push(' ');
                separated(vars.iter(), out, |(name, value), out| {
                    out.push_str(&name.text());
                    out.push('=');
                    nested(value, depth - 1, out);
                });
            }
            out.push('>');
        }
        Value::Host(object) => out.extend(["#<", &object.class_name(), ">"]),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Class(_) => {
            out.push_str(&to_s(value).unwrap_or_default());
        }
    }
}

fn separated<T>(items: impl Iterator<Item = T>, out: &mut String, mut show: impl FnMut(T, &mut String)) {
    for (at, item) in items.enumerate() {
        if out.len() > LONGEST {
            return;
        }
        if at > 0 {
            out.push_str(", ");
        }
        show(item, out);
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
