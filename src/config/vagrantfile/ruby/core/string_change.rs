//! Strings: made into others, and changed in place.

use std::rc::Rc;

use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::{Str, Value};
use super::number::int;
use super::ok;
use super::string::text_arg;

methods! { ruby, me: &Rc<Str>, name, call;
    "upcase" => ok(me.get().to_uppercase()),
    "downcase" => ok(me.get().to_lowercase()),
    "capitalize" => ok(capitalized(&me.get())),
    "swapcase" => ok(swapped(&me.get())),
    "reverse" => ok(me.get().chars().rev().collect::<String>()),
    "strip" => ok(me.get().trim_matches(is_blank)),
    "lstrip" => ok(me.get().trim_start_matches(is_blank)),
    "rstrip" => ok(me.get().trim_end_matches(is_blank)),
    "chomp" => chomped(ruby, me, call),
    "chop" => { let mut text = me.get(); text.pop(); ok(text) },
    "chr" => ok(me.get().chars().next().map(String::from).unwrap_or_default()),
    "succ" | "next" => ok(successor(&me.get())),
    "squeeze" => {
        let set = match call.args.first() { Some(set) => Some(set_arg(ruby, me, set)?), None => None };
        ok(squeezed(&me.get(), set.as_ref()))
    },
    "tr" | "tr_s" => translated(ruby, me, call),
    "delete" => { let set = set_arg(ruby, me, &call.arg(0))?; ok(me.get().chars().filter(|c| !set.contains(*c)).collect::<String>()) },
    "delete_prefix" => { let part = text_arg(ruby, &call.arg(0))?; let text = me.get(); ok(text.strip_prefix(part.as_str()).unwrap_or(&text)) },
    "delete_suffix" => { let part = text_arg(ruby, &call.arg(0))?; let text = me.get(); ok(text.strip_suffix(part.as_str()).unwrap_or(&text)) },
    "ljust" | "rjust" | "center" => padded(ruby, me, name, call),
    "<<" | "concat" => append(ruby, me, call),
    "replace" => { let text = text_arg(ruby, &call.arg(0))?; set(ruby, me, text) },
    "insert" => insert(ruby, me, call),
    "prepend" => { let text = text_arg(ruby, &call.arg(0))?; let whole = text + &me.get(); set(ruby, me, whole) },
    "clear" => set(ruby, me, String::new()),
    "upcase!" | "downcase!" | "capitalize!" | "swapcase!" | "reverse!" | "strip!" | "lstrip!" | "rstrip!" | "chomp!"
    | "chop!" | "squeeze!" | "tr!" | "delete!" | "delete_prefix!" | "delete_suffix!" | "succ!" | "next!" => in_place(ruby, me, name, call),
    "partition" | "rpartition" => super::matching::partition(ruby, me, name, call),
    "crypt" => Err(ruby.unsupported("`crypt`")),
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\0' || c == '\u{b}'
}

fn unfrozen(ruby: &mut Interp, me: &Str) -> Result<()> {
    if me.frozen.get() {
        let shown = super::super::show::quoted(&me.get());
        return Err(ruby.error("FrozenError", format!("can't modify frozen String: {shown}")));
    }
    Ok(())
}

/// Puts another text into a string, unless it is frozen.
pub fn set(ruby: &mut Interp, me: &Rc<Str>, text: String) -> Result<Value> {
    unfrozen(ruby, me)?;
    ruby.grow(text.len())?;
    *me.text.borrow_mut() = text;
    Ok(Value::Str(Rc::clone(me)))
}

/// `text.strip!`: the string, or `nil` where nothing changed.
fn in_place(ruby: &mut Interp, me: &Rc<Str>, name: &str, call: &Call) -> Result<Value> {
    let changed = self::call(ruby, me, name.trim_end_matches('!'), call)?;
    let text = changed.and_then(|changed| changed.text()).unwrap_or_default();
    if *text == *me.get() {
        return Ok(Value::Nil);
    }
    set(ruby, me, text.to_string())
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect())
}

fn swapped(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() })
        .collect()
}

fn chomped(ruby: &mut Interp, me: &Str, call: &Call) -> Result<Value> {
    let text = me.get();
    if let Some(end) = call.args.first() {
        let end = text_arg(ruby, end)?;
        return ok(text.strip_suffix(end.as_str()).unwrap_or(&text));
    }
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).or_else(|| text.strip_suffix('\r'));
    ok(line.unwrap_or(&text))
}

/// `"az".succ` is `"ba"`: the rightmost letters and digits count up and carry.
pub fn successor(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let counts: Vec<usize> = (0..chars.len()).filter(|at| chars[*at].is_ascii_alphanumeric()).collect();
    let Some(first) = counts.first().copied() else {
        if let Some(next) = chars.pop().and_then(|last| char::from_u32(u32::from(last) + 1)) {
            chars.push(next);
        }
        return chars.into_iter().collect();
    };
    for at in counts.iter().rev() {
        let (next, carry) = match chars[*at] {
            'z' => ('a', true),
            'Z' => ('A', true),
            '9' => ('0', true),
            c => (char::from_u32(u32::from(c) + 1).unwrap_or(c), false),
        };
        chars[*at] = next;
        if !carry {
            return chars.into_iter().collect();
        }
    }
    let grown = match chars[first] {
        '0' => '1',
        c => c,
    };
    chars.insert(first, grown);
    chars.into_iter().collect()
}

fn squeezed(text: &str, set: Option<&CharSet>) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !out.ends_with(c) || set.is_some_and(|set| !set.contains(c)) {
            out.push(c);
        }
    }
    out
}

/// A set of characters as `tr`, `delete` and `count` write it: `a-z`, `^0-9`.
pub struct CharSet {
    negated: bool,
    /// First and last of each run.
    runs: Vec<(char, char)>,
}

impl CharSet {
    pub fn parse(text: &str) -> Self {
        let negated = text.len() > 1 && text.starts_with('^');
        let source: Vec<char> = text.chars().skip(usize::from(negated)).collect();
        let mut runs = Vec::new();
        let mut at = 0;
        while at < source.len() {
            match (source[at], source.get(at + 1), source.get(at + 2)) {
                ('\\', Some(next), _) => {
                    runs.push((*next, *next));
                    at += 2;
                }
                (from, Some('-'), Some(to)) => {
                    runs.push((from, *to));
                    at += 3;
                }
                (c, _, _) => {
                    runs.push((c, c));
                    at += 1;
                }
            }
        }
        Self { negated, runs }
    }

    pub fn contains(&self, c: char) -> bool {
        self.runs.iter().any(|(from, to)| (*from..=*to).contains(&c)) != self.negated
    }

    /// How many characters of the set come before this one.
    fn place(&self, c: char) -> Option<u32> {
        let mut before = 0;
        for (from, to) in &self.runs {
            if (*from..=*to).contains(&c) {
                return Some(before + (u32::from(c) - u32::from(*from)));
            }
            before += (u32::from(*to) + 1).saturating_sub(u32::from(*from));
        }
        None
    }

    fn at(&self, mut place: u32) -> Option<char> {
        for (from, to) in &self.runs {
            let length = (u32::from(*to) + 1).saturating_sub(u32::from(*from));
            if place < length {
                return char::from_u32(u32::from(*from) + place);
            }
            place -= length;
        }
        None
    }

    /// The character of another set that stands for one of this; `None` where none does.
    pub fn exchanged(&self, c: char, to: &Self) -> Option<char> {
        if !self.contains(c) {
            return Some(c);
        }
        let place = if self.negated { u32::MAX } else { self.place(c)? };
        to.at(place).or(to.runs.last().map(|(_, last)| *last))
    }
}

/// A set of characters as an argument; each character of the text will be compared with each part of it.
pub fn set_arg(ruby: &mut Interp, me: &Str, value: &Value) -> Result<CharSet> {
    let set = text_arg(ruby, value)?;
    ruby.room(set.len().saturating_mul(size_of::<char>() + size_of::<(char, char)>()))?;
    ruby.charge(me.text.borrow().len().saturating_mul(set.len()) >> 6)?;
    Ok(CharSet::parse(&set))
}

fn translated(ruby: &mut Interp, me: &Str, call: &Call) -> Result<Value> {
    let (from, to) = (set_arg(ruby, me, &call.arg(0))?, set_arg(ruby, me, &call.arg(1))?);
    ok(me.get().chars().filter_map(|c| from.exchanged(c, &to)).collect::<String>())
}

fn padded(ruby: &mut Interp, me: &Str, side: &str, call: &Call) -> Result<Value> {
    let width = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(0);
    let fill = match call.args.get(1) {
        Some(fill) => text_arg(ruby, fill)?,
        None => " ".into(),
    };
    let text = me.get();
    let missing = width.saturating_sub(text.chars().count());
    ruby.grow(missing.saturating_mul(fill.chars().next().map_or(1, char::len_utf8)))?;
    let (left, right) = match side {
        "ljust" => (0, missing),
        "rjust" => (missing, 0),
        _ => (missing / 2, missing - missing / 2),
    };
    let filling = |length: usize| fill.chars().cycle().take(length).collect::<String>();
    ok(filling(left) + &text + &filling(right))
}

fn append(ruby: &mut Interp, me: &Rc<Str>, call: &Call) -> Result<Value> {
    let mut more = String::new();
    for part in &call.args {
        match part {
            Value::Int(code) => more.extend(u32::try_from(*code).ok().and_then(char::from_u32)),
            part => more.push_str(&text_arg(ruby, part)?),
        }
    }
    unfrozen(ruby, me)?;
    ruby.grow(more.len())?;
    ruby.room(me.text.borrow().len())?;
    me.text.borrow_mut().push_str(&more);
    Ok(Value::Str(Rc::clone(me)))
}

fn insert(ruby: &mut Interp, me: &Rc<Str>, call: &Call) -> Result<Value> {
    let (at, part) = (int(ruby, &call.arg(0))?, text_arg(ruby, &call.arg(1))?);
    let mut chars: Vec<char> = me.get().chars().collect();
    let length = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let place = if at < 0 { length + at + 1 } else { at };
    let Some(place) = usize::try_from(place).ok().filter(|place| *place <= chars.len()) else {
        return Err(ruby.error("IndexError", format!("index {at} out of string")));
    };
    chars.splice(place..place, part.chars());
    set(ruby, me, chars.into_iter().collect())
}
