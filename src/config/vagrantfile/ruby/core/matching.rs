//! Strings and patterns: found, taken out, replaced, split.

use std::rc::Rc;

use super::super::budget::OBJECT;
use super::super::class::Object;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::regex::{self as pattern, Found};
use super::super::value::{Regex, Str, Value};
use super::number::int;
use super::string::text_arg;
use super::{ok, string_change};

/// Methods of strings that take patterns.
pub mod string {
    use super::super::super::value::Str;
    use super::{Rc, Value, index, ok, pattern, position, put, regex_arg, replaced, scan, slice, split, string_change};

    methods! { ruby, me: &Rc<Str>, name, call;
        "=~" => match call.arg(0) {
            Value::Regex(regex) => position(ruby, &regex, &me.get()),
            _ => Ok(Value::Nil),
        },
        "match" => { let regex = regex_arg(ruby, &call.arg(0))?; pattern::match_from(ruby, &regex, &me.get(), 0) },
        "match?" => { let regex = regex_arg(ruby, &call.arg(0))?; ok(pattern::find(ruby, &regex, &me.get(), 0)?.is_some()) },
        "sub" | "gsub" => { let text = replaced(ruby, &me.get(), name == "gsub", call)?; ok(text) },
        "sub!" | "gsub!" => {
            let text = replaced(ruby, &me.get(), name == "gsub!", call)?;
            if text == me.get() { Ok(Value::Nil) } else { string_change::set(ruby, me, text) }
        },
        "scan" => scan(ruby, me, call),
        "split" => split(ruby, &me.get(), call),
        "[]" | "slice" => slice(ruby, &me.get(), call),
        "[]=" => put(ruby, me, call),
        "slice!" => {
            let part = slice(ruby, &me.get(), call)?;
            if let Some(text) = part.text() {
                string_change::set(ruby, me, me.get().replacen(&*text, "", 1))?;
            }
            Ok(part)
        },
        "index" | "rindex" => index(ruby, &me.get(), name, call),
        "each_with_index" | "each_byte" => Err(ruby.unsupported(format!("`{name}` of a string"))),
    }
}

/// Methods of regular expressions.
pub mod regexp {
    use super::{Rc, Regex, Value, ok, pattern, position};

    methods! { ruby, me: &Rc<Regex>, name, call;
        "=~" => if let Some(text) = call.arg(0).text() { position(ruby, me, &text) } else { ruby.last_match = None; Ok(Value::Nil) },
        "match" => if let Some(text) = call.arg(0).text() { pattern::match_from(ruby, me, &text, 0) } else { ruby.last_match = None; Ok(Value::Nil) },
        "match?" => match call.arg(0).text() {
            Some(text) => ok(pattern::find(ruby, me, &text, 0)?.is_some()),
            None => ok(false),
        },
        "===" => match call.arg(0).text() {
            Some(text) => { let found = pattern::match_from(ruby, me, &text, 0)?; ok(found.truthy()) },
            None => ok(false),
        },
        "source" => ok(&*me.source),
        "options" => ok(i64::from(me.flags.ignore_case) | i64::from(me.flags.extended) << 1 | i64::from(me.flags.multi_line) << 2),
        "names" => ok(me.compiled.capture_names().flatten().map(Value::str).collect::<Vec<_>>()),
        "==" | "eql?" => ok(matches!(call.arg(0), Value::Regex(other) if other.source == me.source && other.flags == me.flags)),
    }
}

/// Methods of a match.
mod matched {
    use super::{Value, ok, pattern};

    methods! { ruby, me: &Value, name, call;
        "[]" => match call.arg(0) {
            Value::Int(number) => ok(usize::try_from(number).ok().map(|number| pattern::group(me, number))),
            name => Ok(name.text().map_or(Value::Nil, |name| pattern::named_group(me, &name))),
        },
        "to_s" => Ok(pattern::group(me, 0)),
        "to_a" => ok(pattern::groups(me)),
        "captures" => ok(pattern::groups(me).split_off(1)),
        "named_captures" => ok(named(me)),
        "names" => ok(pattern::names(me).into_iter().filter(Value::truthy).collect::<Vec<_>>()),
        "pre_match" => { let name = super::super::super::names::Name::of("@before"); Ok(ruby.instance_var(me, name)) },
        "post_match" => { let name = super::super::super::names::Name::of("@after"); Ok(ruby.instance_var(me, name)) },
        "begin" => { let name = super::super::super::names::Name::of("@begin"); Ok(ruby.instance_var(me, name)) },
        "values_at" => ok(call.args.iter().filter_map(|at| match at {
            Value::Int(at) => usize::try_from(*at).ok().map(|at| pattern::group(me, at)),
            _ => None,
        }).collect::<Vec<_>>()),
        "size" | "length" => ok(pattern::groups(me).len()),
    }

    fn named(me: &Value) -> Value {
        let names = pattern::names(me);
        Value::hash(
            names
                .into_iter()
                .enumerate()
                .filter(|(_, name)| name.truthy())
                .map(|(at, name)| (name, pattern::group(me, at))),
        )
    }
}

/// Answers for a match.
pub fn answer(ruby: &mut Interp, object: &Rc<Object>, name: &str, call: &Call) -> Result<Option<Value>> {
    if &**object.class.name.borrow() != "MatchData" {
        return Ok(None);
    }
    matched::call(ruby, &Value::Object(Rc::clone(object)), name, call)
}

/// Whether a match has a method.
pub fn has(object: &Object, name: &str) -> bool {
    &**object.class.name.borrow() == "MatchData" && matched::knows(name)
}

/// A pattern, or text that stands for itself.
fn regex_arg(ruby: &mut Interp, value: &Value) -> Result<Rc<Regex>> {
    let source = match value {
        Value::Regex(regex) => return Ok(Rc::clone(regex)),
        other => pattern::escape(&text_arg(ruby, other)?),
    };
    match pattern::compile(ruby, &source, super::super::tree::RegexFlags::default())? {
        Value::Regex(regex) => Ok(regex),
        other => Err(ruby.type_error(&other, "Regexp")),
    }
}

/// `text =~ pattern`: where it begins, in characters.
fn position(ruby: &mut Interp, regex: &Regex, text: &str) -> Result<Value> {
    let found = pattern::match_from(ruby, regex, text, 0)?;
    Ok(match &found {
        Value::Object(object) => object.get("@begin").unwrap_or(Value::Nil),
        _ => Value::Nil,
    })
}

/// All matches that do not overlap.
fn all(ruby: &mut Interp, regex: &Regex, text: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut from = 0;
    while from <= text.len() {
        ruby.step()?;
        let Some(one) = pattern::find(ruby, regex, text, from)? else { break };
        let (start, end) = one.groups.first().copied().flatten().unwrap_or((from, from));
        from = end;
        if start == end {
            from += text[end..].chars().next().map_or(1, char::len_utf8);
        }
        ruby.grow(OBJECT + one.groups.len() * size_of::<Option<(usize, usize)>>())?;
        found.push(one);
    }
    Ok(found)
}

fn replaced(ruby: &mut Interp, text: &str, every: bool, call: &Call) -> Result<String> {
    let literal = !matches!(call.arg(0), Value::Regex(_));
    let regex = regex_arg(ruby, &call.arg(0))?;
    let mut found =
        if every { all(ruby, &regex, text)? } else { pattern::find(ruby, &regex, text, 0)?.into_iter().collect() };
    if found.is_empty() {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    let mut at = 0;
    for one in found.drain(..) {
        let Some((start, end)) = one.groups.first().copied().flatten() else { continue };
        out.push_str(&text[at..start]);
        let matched = Value::str(&text[start..end]);
        let with = match (call.args.get(1), &call.block) {
            (Some(Value::Hash(hash)), _) => {
                let value = hash.get(&matched).unwrap_or(Value::Nil);
                ruby.to_s(&value)?
            }
            (Some(with), _) => expanded(&text_arg(ruby, with)?, text, &one, &regex, literal),
            (None, Some(block)) => {
                ruby.last_match = Some(pattern::match_data(ruby, &regex, text, &one));
                let value = ruby.yield_to(block, vec![matched])?;
                ruby.to_s(&value)?
            }
            (None, None) => return Err(ruby.argument_error(1, "2")),
        };
        ruby.grow(with.len() + start - at)?;
        out.push_str(&with);
        at = end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// `\1`, `\0`, `\k<name>` in what is put in.
fn expanded(with: &str, text: &str, found: &Found, regex: &Regex, _literal: bool) -> String {
    let group =
        |number: usize| found.groups.get(number).copied().flatten().map_or("", |(start, end)| &text[start..end]);
    let mut out = String::new();
    let mut rest = with.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some(digit) if digit.is_ascii_digit() => out.push_str(group(digit.to_digit(10).unwrap_or(0) as usize)),
            Some('&') => out.push_str(group(0)),
            Some('k') => {
                let name: String = rest.by_ref().skip(1).take_while(|c| *c != '>').collect();
                let number = regex.compiled.capture_names().position(|other| other == Some(&name));
                out.push_str(number.map_or("", group));
            }
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}

fn scan(ruby: &mut Interp, me: &Rc<Str>, call: &Call) -> Result<Value> {
    let regex = regex_arg(ruby, &call.arg(0))?;
    let text = me.get();
    let part = |range: Option<(usize, usize)>| range.map_or(Value::Nil, |(start, end)| Value::str(&text[start..end]));
    let mut items = Vec::new();
    for found in all(ruby, &regex, &text)? {
        let item = match found.groups.len() {
            1 => part(found.groups[0]),
            _ => Value::array(found.groups[1..].iter().map(|range| part(*range)).collect()),
        };
        match &call.block {
            Some(block) => {
                ruby.last_match = Some(pattern::match_data(ruby, &regex, &text, &found));
                ruby.yield_to(block, vec![item])?;
            }
            None => items.push(item),
        }
    }
    Ok(if call.block.is_some() { Value::Str(Rc::clone(me)) } else { Value::array(items) })
}

fn split(ruby: &mut Interp, text: &str, call: &Call) -> Result<Value> {
    let limit = match call.arg(1) {
        Value::Nil => 0,
        limit => int(ruby, &limit)?,
    };
    let most = usize::try_from(limit).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
    let mut parts: Vec<String> = match call.arg(0) {
        Value::Nil => words(text, most),
        Value::Str(by) if by.get() == " " => words(text, most),
        Value::Str(by) if by.get().is_empty() => text.chars().map(String::from).collect(),
        Value::Str(by) => text.splitn(most, by.get().as_str()).map(String::from).collect(),
        other => {
            let regex = regex_arg(ruby, &other)?;
            split_by(ruby, text, &regex, most)?
        }
    };
    if text.is_empty() {
        parts.clear();
    }
    if limit == 0 {
        while parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
    }
    ruby.grow(text.len() + parts.len() * size_of::<Value>())?;
    ok(parts.into_iter().map(Value::str).collect::<Vec<_>>())
}

fn words(text: &str, most: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && parts.len() + 1 < most {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        parts.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest.to_owned());
    }
    parts
}

fn split_by(ruby: &mut Interp, text: &str, regex: &Regex, most: usize) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    let mut at = 0;
    for found in all(ruby, regex, text)? {
        let Some((start, end)) = found.groups.first().copied().flatten() else { continue };
        if parts.len() + 1 >= most || (start == end && (start == 0 || start >= text.len())) {
            continue;
        }
        parts.push(text[at..start].to_owned());
        parts.extend(found.groups[1..].iter().flatten().map(|(start, end)| text[*start..*end].to_owned()));
        at = end;
    }
    parts.push(text[at..].to_owned());
    Ok(parts)
}

/// `text.partition(pattern)`.
pub fn partition(ruby: &mut Interp, me: &Rc<Str>, name: &str, call: &Call) -> Result<Value> {
    let text = me.get();
    let regex = regex_arg(ruby, &call.arg(0))?;
    let mut found = all(ruby, &regex, &text)?;
    let one = if name == "partition" { found.drain(..).next() } else { found.pop() };
    let range = one.and_then(|found| found.groups.first().copied().flatten());
    let (a, b, c) = match range {
        Some((start, end)) => (&text[..start], &text[start..end], &text[end..]),
        None if name == "partition" => (text.as_str(), "", ""),
        None => ("", "", text.as_str()),
    };
    ok(vec![Value::str(a), Value::str(b), Value::str(c)])
}

/// Start and length of what `[…]` means in something of `length` elements; `None` for `nil`.
pub fn window(ruby: &mut Interp, call: &Call, length: usize) -> Result<Option<(usize, usize)>> {
    let total = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at + total } else { at };
    let (start, count) = match (call.arg(0), call.args.get(1)) {
        (Value::Range(range), _) => {
            let start = if range.low.is_nil() { 0 } else { place(int(ruby, &range.low)?) };
            let end = match &range.high {
                Value::Nil => total,
                high => {
                    let end = place(int(ruby, high)?);
                    if range.exclusive { end } else { end + 1 }
                }
            };
            (start, end - start)
        }
        (at, Some(count)) => (place(int(ruby, &at)?), int(ruby, count)?),
        (at, None) => (place(int(ruby, &at)?), 1),
    };
    if start < 0 || start > total || (count < 0 && call.args.len() > 1) {
        return Ok(None);
    }
    let count = count.clamp(0, total - start);
    Ok(usize::try_from(start).ok().zip(usize::try_from(count).ok()))
}

fn slice(ruby: &mut Interp, text: &str, call: &Call) -> Result<Value> {
    match call.arg(0) {
        Value::Regex(regex) => {
            let found = pattern::match_from(ruby, &regex, text, 0)?;
            Ok(match call.arg(1) {
                Value::Int(number) => {
                    usize::try_from(number).map_or(Value::Nil, |number| pattern::group(&found, number))
                }
                Value::Nil => pattern::group(&found, 0),
                name => name.text().map_or(Value::Nil, |name| pattern::named_group(&found, &name)),
            })
        }
        Value::Str(part) => Ok(if text.contains(part.get().as_str()) { Value::str(part.get()) } else { Value::Nil }),
        _ => {
            let chars: Vec<char> = text.chars().collect();
            let single = call.args.len() == 1 && !matches!(call.arg(0), Value::Range(_));
            let found = window(ruby, call, chars.len())?;
            Ok(match found {
                Some((start, _)) if single && start >= chars.len() => Value::Nil,
                Some((start, count)) => Value::str(chars[start..start + count].iter().collect::<String>()),
                None => Value::Nil,
            })
        }
    }
}

/// `text[…] = part`.
fn put(ruby: &mut Interp, me: &Rc<Str>, call: &Call) -> Result<Value> {
    let Some((value, place)) = call.args.split_last() else { return Ok(Value::Nil) };
    let part = text_arg(ruby, value)?;
    let text = me.get();
    let changed = match place.first() {
        Some(Value::Str(old)) => text.replacen(&old.get(), &part, 1),
        Some(Value::Regex(regex)) => {
            let found = pattern::find(ruby, regex, &text, 0)?;
            match found.and_then(|found| found.groups.first().copied().flatten()) {
                Some((start, end)) => [&text[..start], &part, &text[end..]].concat(),
                None => return Err(ruby.error("IndexError", "regexp not matched")),
            }
        }
        _ => {
            let mut chars: Vec<char> = text.chars().collect();
            let Some((start, count)) = window(ruby, &Call::of(place.to_vec()), chars.len())? else {
                return Err(ruby.error("IndexError", "index out of string"));
            };
            chars.splice(start..start + count, part.chars());
            chars.into_iter().collect()
        }
    };
    string_change::set(ruby, me, changed)?;
    Ok(value.clone())
}

fn index(ruby: &mut Interp, text: &str, name: &str, call: &Call) -> Result<Value> {
    let regex = regex_arg(ruby, &call.arg(0))?;
    let from = match call.arg(1) {
        Value::Int(from) => usize::try_from(from).unwrap_or(0),
        _ => 0,
    };
    let from = text.char_indices().nth(from).map_or(text.len(), |(at, _)| at);
    let found = all(ruby, &regex, text)?;
    let mut starts = found.iter().filter_map(|found| found.groups.first().copied().flatten().map(|(start, _)| start));
    let start = if name == "index" { starts.find(|start| *start >= from) } else { starts.next_back() };
    ok(start.map(|start| text[..start].chars().count()))
}
