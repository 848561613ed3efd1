//! Strings: asked.

use std::rc::Rc;

use super::super::budget::OBJECT;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::show;
use super::super::value::{Range, Str, Value};
use super::number::int;
use super::{ok, order, pack};

methods! { ruby, me: &Rc<Str>, name, call;
    "to_s" | "to_str" | "dump_text" => Ok(Value::Str(Rc::clone(me))),
    "inspect" | "dump" => ok(show::quoted(&me.get())),
    "to_sym" | "intern" => ok(Name::of(&me.get())),
    "to_i" => to_i(ruby, me, call),
    "to_f" => ok(leading_float(&me.get())),
    "to_c" | "to_r" => Err(ruby.unsupported("rational and complex numbers")),
    "length" | "size" => ok(me.get().chars().count()),
    "bytesize" => ok(me.get().len()),
    "bytes" => { ruby.grow(me.text.borrow().len() * size_of::<Value>())?; ok(me.get().bytes().map(|b| Value::Int(b.into())).collect::<Vec<_>>()) },
    "chars" => { parts(ruby, me.text.borrow().len())?; ok(me.get().chars().map(Value::str).collect::<Vec<_>>()) },
    "lines" => { let text = me.get(); parts(ruby, text.matches('\n').count())?; ok(text.split_inclusive('\n').map(Value::str).collect::<Vec<_>>()) },
    "each_line" | "each_char" => each(ruby, me, name, call),
    "empty?" => ok(me.get().is_empty()),
    "==" | "===" | "eql?" => ok(matches!(call.arg(0), Value::Str(other) if other.get() == me.get())),
    "equal?" => ok(matches!(call.arg(0), Value::Str(other) if Rc::ptr_eq(&other, me))),
    "<=>" => ok(call.arg(0).text().filter(|_| matches!(call.arg(0), Value::Str(_))).map(|other| me.get().as_str().cmp(&other) as i64)),
    "casecmp" => { let other = text_arg(ruby, &call.arg(0))?; ok(me.get().to_lowercase().cmp(&other.to_lowercase()) as i64) },
    "casecmp?" => { let other = text_arg(ruby, &call.arg(0))?; ok(me.get().to_lowercase() == other.to_lowercase()) },
    "<" | ">" | "<=" | ">=" | "between?" | "clamp" => Ok(order::call(ruby, &Value::Str(Rc::clone(me)), name, call)?.unwrap_or(Value::Nil)),
    "+" => { let other = text_arg(ruby, &call.arg(0))?; joined(ruby, &me.get(), &other) },
    "*" => repeated(ruby, me, call),
    "%" => {
        let mut args = vec![Value::Str(Rc::clone(me))];
        match call.arg(0) {
            Value::Array(array) => args.extend(array.items.borrow().iter().cloned()),
            other => args.push(other),
        }
        super::format(ruby, &args).map(Value::str)
    },
    "start_with?" => starts(ruby, me, call),
    "end_with?" => { let text = me.get(); ok(call.args.iter().filter_map(Value::text).any(|end| text.ends_with(&*end))) },
    "include?" => { let other = text_arg(ruby, &call.arg(0))?; ok(me.get().contains(&other)) },
    "ord" => ok(me.get().chars().next().map(|c| i64::from(u32::from(c)))),
    "sum" => ok(me.get().bytes().map(i64::from).sum::<i64>()),
    "hex" => leading_integer(ruby, &me.get(), 16),
    "oct" => octal(ruby, &me.get()),
    "encoding" => ok("UTF-8"),
    "force_encoding" | "encode" | "unicode_normalize" | "scrub" | "b" => Ok(Value::Str(Rc::clone(me))),
    "valid_encoding?" | "ascii_only?" => ok(name == "valid_encoding?" || me.get().is_ascii()),
    "unpack" => { let text = me.get(); pack::unpack(ruby, text.as_bytes(), call).map(Value::array) },
    "unpack1" => { let text = me.get(); pack::unpack(ruby, text.as_bytes(), call).map(|found| found.into_iter().next().unwrap_or(Value::Nil)) },
    "hash" => ok(me.get().len()),
    "count" => counted(ruby, me, call),
    "upto" => upto(ruby, me, call),
    "+@" | "-@" => Ok(if name == "+@" && me.frozen.get() { Value::str(me.get()) } else { Value::Str(Rc::clone(me)) }),
}

/// Counts the strings that one is taken apart into.
fn parts(ruby: &mut Interp, count: usize) -> Result<()> {
    ruby.charge(count >> 2)?;
    ruby.grow(count.saturating_mul(OBJECT + size_of::<Value>()))
}

impl Str {
    /// The text as it is now.
    pub fn get(&self) -> String {
        self.text.borrow().clone()
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self { text: std::cell::RefCell::new(text.into()), ..Self::default() }
    }
}

impl From<Name> for Value {
    fn from(name: Name) -> Self {
        Self::Sym(name)
    }
}

/// The text of a string argument.
pub fn text_arg(ruby: &mut Interp, value: &Value) -> Result<String> {
    match value {
        Value::Str(text) => Ok(text.get()),
        Value::Object(_) | Value::Host(_) if ruby.responds(value, "to_str") => converted(ruby, value, "to_str"),
        Value::Object(_) | Value::Host(_) if ruby.responds(value, "to_path") => converted(ruby, value, "to_path"),
        other => Err(ruby.type_error(other, "String")),
    }
}

fn converted(ruby: &mut Interp, value: &Value, how: &str) -> Result<String> {
    match ruby.send(value, how, Vec::new())? {
        Value::Str(text) => Ok(text.get()),
        other => Err(ruby.type_error(&other, "String")),
    }
}

fn joined(ruby: &mut Interp, a: &str, b: &str) -> Result<Value> {
    ruby.grow(a.len() + b.len())?;
    ok([a, b].concat())
}

fn repeated(ruby: &mut Interp, me: &Str, call: &Call) -> Result<Value> {
    let count = int(ruby, &call.arg(0))?;
    let Ok(count) = usize::try_from(count) else {
        return Err(ruby.error("ArgumentError", "negative argument"));
    };
    let text = me.get();
    ruby.grow(OBJECT + text.len().saturating_mul(count))?;
    ok(text.repeat(count))
}

/// The number that a text begins with; 0 where there is none.
fn to_i(ruby: &mut Interp, me: &Str, call: &Call) -> Result<Value> {
    let base = match call.arg(0) {
        Value::Int(base) => u32::try_from(base).unwrap_or(10).clamp(2, 36),
        _ => 10,
    };
    leading_integer(ruby, &me.get(), base)
}

/// As `to_i`, with the base that the text begins with; eight where it says none.
fn octal(ruby: &mut Interp, text: &str) -> Result<Value> {
    let digits = text.trim_start().trim_start_matches(['-', '+']);
    let base = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => 16,
        Some("0b") => 2,
        _ => 8,
    };
    leading_integer(ruby, text, base)
}

fn leading_integer(ruby: &mut Interp, text: &str, base: u32) -> Result<Value> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let own = digits.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix));
    let digits = own.map_or(digits, |own| &digits[own.len()..]);
    let mut value = 0i64;
    for c in digits.chars().filter(|c| *c != '_').map_while(|c| c.to_digit(base)) {
        match value.checked_mul(base.into()).and_then(|value| value.checked_add(c.into())) {
            Some(next) => value = next,
            None => return Err(ruby.unsupported("a number this large")),
        }
    }
    ok(if negative { -value } else { value })
}

fn leading_float(text: &str) -> f64 {
    let text = text.trim_start();
    let end = text
        .char_indices()
        .take_while(|(at, c)| {
            c.is_ascii_digit() || matches!(c, '.' | '_' | 'e' | 'E') || (*at == 0 && matches!(c, '-' | '+'))
        })
        .map(|(at, c)| at + c.len_utf8())
        .last()
        .unwrap_or(0);
    let digits = text[..end].replace('_', "");
    (0..=digits.len()).rev().find_map(|end| digits.get(..end)?.parse().ok()).unwrap_or(0.0)
}

fn each(ruby: &mut Interp, me: &Rc<Str>, name: &str, call: &Call) -> Result<Value> {
    let text = me.get();
    let parts: Vec<Value> = match name {
        "each_line" => text.split_inclusive('\n').map(Value::str).collect(),
        _ => text.chars().map(Value::str).collect(),
    };
    let Some(block) = &call.block else { return ok(parts) };
    for part in parts {
        ruby.yield_to(block, vec![part])?;
    }
    Ok(Value::Str(Rc::clone(me)))
}

fn starts(ruby: &mut Interp, me: &Str, call: &Call) -> Result<Value> {
    let text = me.get();
    for start in &call.args {
        let fits = match start {
            Value::Regex(regex) => {
                let found = super::super::regex::find(ruby, regex, &text, 0)?;
                found.and_then(|found| found.groups.first().copied().flatten()).is_some_and(|(start, _)| start == 0)
            }
            other => other.text().is_some_and(|start| text.starts_with(&*start)),
        };
        if fits {
            return ok(true);
        }
    }
    ok(false)
}

/// `"hello".count("a-l")`.
fn counted(ruby: &mut Interp, me: &Str, call: &Call) -> Result<Value> {
    let set = super::string_change::set_arg(ruby, me, &call.arg(0))?;
    ok(me.get().chars().filter(|c| set.contains(*c)).count())
}

fn upto(ruby: &mut Interp, me: &Rc<Str>, call: &Call) -> Result<Value> {
    let range = Range { low: Value::Str(Rc::clone(me)), high: call.arg(0), exclusive: call.arg(1).truthy() };
    let items = super::range::items(ruby, &range)?;
    let Some(block) = &call.block else { return ok(items) };
    for item in items {
        ruby.yield_to(block, vec![item])?;
    }
    Ok(Value::Str(Rc::clone(me)))
}
