//! Regular expressions: Ruby's (Onigmo) in terms of `fancy_regex`, which knows look-around and back references.

use std::rc::Rc;

use super::budget::{self, OBJECT};
use super::class::Object;
use super::flow::Result;
use super::interp::Interp;
use super::tree::RegexFlags;
use super::value::{Regex, Value};

/// Longer ones are no patterns of a machine file.
const LIMIT: usize = 10_000;

/// Steps back that a match may take: a pattern of a stranger must not hang us.
const BACKTRACKS: usize = 100_000;

/// Bytes of a text that a pattern with look-around is tried on: it may look at all of them from each place.
pub const HARD_TEXT: usize = 32 << 10;

/// What compiling one counts as, in steps.
const COMPILING: usize = 1000;

/// Compiled ones that are kept.
const KEPT: usize = 200;

/// A regular expression from its source.
pub fn compile(ruby: &mut Interp, source: &str, flags: RegexFlags) -> Result<Value> {
    if source.len() > LIMIT {
        return Err(ruby.error("RegexpError", "too big regular expression"));
    }
    let known = (Rc::from(source), flags);
    if let Some(pattern) = ruby.patterns.get(&known) {
        return Ok(pattern.clone());
    }
    ruby.charge(COMPILING + source.len())?;
    // `^` and `$` always mean lines in Ruby, and its `m` is what others call `s`.
    let letters = [("m", true), ("i", flags.ignore_case), ("x", flags.extended), ("s", flags.multi_line)];
    let on: String = letters.iter().filter(|(_, on)| *on).map(|(letter, _)| *letter).collect();
    let pattern = format!("(?{on}){}", translated(source));
    match fancy_regex::RegexBuilder::new(&pattern).backtrack_limit(BACKTRACKS).build() {
        Ok(compiled) => {
            let pattern = Value::Regex(Rc::new(Regex { source: source.into(), flags, compiled }));
            if ruby.patterns.len() >= KEPT {
                ruby.patterns.clear();
            }
            ruby.patterns.insert(known, pattern.clone());
            Ok(pattern)
        }
        Err(error) => Err(ruby.error("RegexpError", format!("{error}: /{source}/"))),
    }
}

/// `(?mix:…)` and `(?-mix:…)` come from regular expressions within others; their `m` is our `s`.
fn translated(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("(?") {
        let (before, group) = rest.split_at(at);
        out.push_str(before);
        let flags_end =
            group[2..].find(|c: char| !matches!(c, 'm' | 'i' | 'x' | '-')).map_or(group.len(), |end| end + 2);
        let is_flags = flags_end > 2 && group[flags_end..].starts_with([':', ')']);
        let escaped = before.len() - before.trim_end_matches('\\').len();
        if is_flags && escaped % 2 == 0 {
            out.push_str(&group[..flags_end].replace('m', "s"));
            rest = &group[flags_end..];
        } else {
            out.push_str("(?");
            rest = &group[2..];
        }
    }
    out + rest
}

/// Text so that it matches itself.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            ' ' => out.push_str("\\ "),
            '.' | '*' | '?' | '+' | '^' | '$' | '|' | '\\' | '(' | ')' | '[' | ']' | '{' | '}' | '-' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// One match: the ranges of its groups.
pub struct Found {
    pub groups: Vec<Option<(usize, usize)>>,
}

/// The first match from a byte offset on.
pub fn find(ruby: &mut Interp, regex: &Regex, text: &str, from: usize) -> Result<Option<Found>> {
    let left = text.len().saturating_sub(from);
    ruby.charge(left >> 6)?;
    if left > HARD_TEXT && is_hard(&regex.source) {
        let most = HARD_TEXT >> 10;
        return Err(ruby.unsupported(format!("a pattern that looks around in more than {most} KiB of text")));
    }
    match regex.compiled.captures_from_pos(text, from) {
        Ok(None) => Ok(None),
        Ok(Some(captures)) => {
            let groups = captures.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect();
            Ok(Some(Found { groups }))
        }
        Err(error) => {
            // It went back and forth until it was stopped.
            ruby.charge(BACKTRACKS)?;
            Err(ruby.error("RegexpError", format!("{error}: /{}/", regex.source)))
        }
    }
}

/// Whether a pattern needs more than one way over the text: look-around, references to groups, groups that give nothing
/// back. Some that do not are taken for such.
pub fn is_hard(source: &str) -> bool {
    let escapes = source.split('\\').skip(1).filter_map(|rest| rest.chars().next());
    ["(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "(?~", "*+", "++", "?+", "}+"].iter().any(|mark| source.contains(mark))
        || escapes.into_iter().any(|c| matches!(c, '1'..='9' | 'k' | 'g' | 'G' | 'K' | 'Z' | 'R' | 'X'))
}

/// The first match from an offset on, remembered for `$~` and its like; `nil` where there is none.
pub fn match_from(ruby: &mut Interp, regex: &Regex, text: &str, from: usize) -> Result<Value> {
    let found = find(ruby, regex, text, from)?;
    let value = found.as_ref().map_or(Value::Nil, |found| match_data(ruby, regex, text, found));
    ruby.last_match = found.map(|_| value.clone());
    Ok(value)
}

/// The object that holds a match.
pub fn match_data(ruby: &Interp, regex: &Regex, text: &str, found: &Found) -> Value {
    // Its texts are copied, and soon gone.
    budget::owe((text.len() >> 3) + found.groups.len() * OBJECT);
    let object = Object::new(&ruby.class_named("MatchData"));
    let part = |range: &Option<(usize, usize)>| match range {
        Some((start, end)) => text.get(*start..*end).map_or(Value::Nil, Value::str),
        None => Value::Nil,
    };
    let (start, end) = found.groups.first().copied().flatten().unwrap_or_default();
    object.set("@groups", Value::array(found.groups.iter().map(part).collect()));
    let names = regex.compiled.capture_names().map(|name| name.map_or(Value::Nil, Value::str));
    object.set("@names", Value::array(names.collect()));
    object.set("@before", Value::str(text.get(..start).unwrap_or_default()));
    object.set("@after", Value::str(text.get(end..).unwrap_or_default()));
    object.set("@begin", Value::from(text.get(..start).unwrap_or_default().chars().count()));
    Value::Object(object)
}

/// A group of a match by number.
pub fn group(found: &Value, number: usize) -> Value {
    groups(found).get(number).cloned().unwrap_or(Value::Nil)
}

/// All groups of a match; the first is the whole.
pub fn groups(found: &Value) -> Vec<Value> {
    list(found, "@groups")
}

/// The names of a match's groups; `nil` for those without.
pub fn names(found: &Value) -> Vec<Value> {
    list(found, "@names")
}

fn list(found: &Value, name: &str) -> Vec<Value> {
    match found {
        Value::Object(object) => match object.get(name) {
            Some(Value::Array(array)) => array.items.borrow().clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A group of a match by name.
pub fn named_group(found: &Value, name: &str) -> Value {
    let at = names(found).iter().position(|other| other.text().is_some_and(|other| &*other == name));
    at.map_or(Value::Nil, |at| group(found, at))
}
