//! What everything with elements has: arrays, hashes (pairs), ranges, and classes that include `Enumerable`.

use std::rc::Rc;

use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::Proc;
use super::super::value::{Hash, Value};
use super::number::int;
use super::ok;

methods! { ruby, me: &Value, name, call;
    "to_a" | "entries" | "force" => { let items = ruby.items_of(me)?; ok(items) },
    "cycle" => cycled(ruby, me, call),
    "to_set" => { let items = ruby.items_of(me)?; let set = ruby.top_constant("Set")?; ruby.send(&set, "new", vec![Value::array(items)]) },
    "lazy" => super::enumerator::lazy(ruby, me),
    "map" | "collect" | "flat_map" | "collect_concat" | "filter_map" => mapped(ruby, me, name, call),
    "each_with_index" | "each_with_object" | "each_slice" | "each_cons" | "reverse_each" | "each_entry" => walked(ruby, me, name, call),
    "select" | "filter" | "reject" | "partition" | "find" | "detect" | "find_index" | "find_all" | "take_while" | "drop_while" => chosen(ruby, me, name, call),
    "all?" | "any?" | "none?" | "one?" | "count" => counted(ruby, me, name, call),
    "inject" | "reduce" => folded(ruby, me, call),
    "sum" => summed(ruby, me, call),
    "sort" | "sort_by" | "min" | "max" | "min_by" | "max_by" | "minmax" | "minmax_by" => sorted(ruby, me, name, call),
    "group_by" | "tally" | "to_h" | "each_entry_hash" | "uniq" | "chunk_while" | "slice_when" => grouped(ruby, me, name, call),
    "grep" | "grep_v" => grepped(ruby, me, name == "grep", call),
    "chunk" | "slice_before" | "slice_after" => cut(ruby, me, name, call),
    "compact" => { let items = ruby.items_of(me)?; ok(items.into_iter().filter(|item| !item.is_nil()).collect::<Vec<_>>()) },
    "chain" => { let mut items = ruby.items_of(me)?; for other in &call.args { items.extend(ruby.items_of(other)?); } ok(items) },
    "first" => first(ruby, me, call),
    "take" | "drop" => taken(ruby, me, name, call),
    "include?" | "member?" => { let items = ruby.items_of(me)?; ok(contains(ruby, &items, &call.arg(0))?) },
    "zip" => zipped(ruby, me, call),
    "reverse" => { let mut items = ruby.items_of(me)?; items.reverse(); ok(items) },
}

impl Interp {
    /// The elements of something that has some: pairs of a hash as arrays of two.
    pub fn items_of(&mut self, value: &Value) -> Result<Vec<Value>> {
        match value {
            Value::Array(array) => Ok(array.items.borrow().clone()),
            Value::Hash(hash) => {
                let pairs = hash.pairs();
                self.grow(pairs.len() * 2 * size_of::<Value>())?;
                Ok(pairs.into_iter().map(|(key, value)| Value::array(vec![key, value])).collect())
            }
            Value::Range(range) => super::range::items(self, range),
            Value::Nil => Err(self.no_method(value, Name::of("each"))),
            other => self.yielded(other, usize::MAX),
        }
    }
}

/// The block of a call; without one Ruby gives an enumerator, for which the elements themselves do.
fn block(call: &Call) -> Option<&Rc<Proc>> {
    call.block.as_ref()
}

fn mapped(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let items = ruby.items_of(me)?;
    let Some(block) = block(call) else { return ok(items) };
    let mut out = Vec::with_capacity(items.len());
    ruby.grow(items.len() * size_of::<Value>())?;
    for item in items {
        let value = ruby.yield_to(block, vec![item])?;
        match (name, value) {
            ("flat_map" | "collect_concat", Value::Array(array)) => out.extend(array.items.borrow().iter().cloned()),
            ("filter_map", value) if !value.truthy() => {}
            (_, value) => out.push(value),
        }
    }
    ok(out)
}

fn walked(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let mut items = ruby.items_of(me)?;
    let argument = call.arg(0);
    match name {
        "reverse_each" => items.reverse(),
        "each_slice" | "each_cons" => {
            let size = usize::try_from(int(ruby, &argument)?).unwrap_or(0).max(1);
            let parts: Vec<Value> = match name {
                "each_slice" => items.chunks(size).map(|part| Value::array(part.to_vec())).collect(),
                _ => items.windows(size).map(|part| Value::array(part.to_vec())).collect(),
            };
            items = parts;
        }
        _ => {}
    }
    let Some(block) = block(call) else {
        let numbered = items.into_iter().enumerate().map(|(at, item)| Value::array(vec![item, at.into()]));
        return if name == "each_with_index" {
            ok(numbered.collect::<Vec<_>>())
        } else {
            walked_items(me, name, ruby, call)
        };
    };
    for (at, item) in items.into_iter().enumerate() {
        let args = match name {
            "each_with_index" => vec![item, at.into()],
            "each_with_object" => vec![item, argument.clone()],
            _ => vec![item],
        };
        ruby.yield_to(block, args)?;
    }
    Ok(if name == "each_with_object" { argument } else { me.clone() })
}

/// `each_slice(2)` without a block, and its like.
fn walked_items(me: &Value, name: &str, ruby: &mut Interp, call: &Call) -> Result<Value> {
    let mut items = ruby.items_of(me)?;
    match name {
        "reverse_each" => items.reverse(),
        "each_slice" | "each_cons" => {
            let size = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(0).max(1);
            let part = |part: &[Value]| Value::array(part.to_vec());
            items = if name == "each_slice" {
                items.chunks(size).map(part).collect()
            } else {
                items.windows(size).map(part).collect()
            };
        }
        _ => {}
    }
    ok(items)
}

/// More elements than these of a range without end are not looked at.
const LOOKED: usize = 100_000;

fn chosen(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let items = match me {
        Value::Range(range)
            if !matches!(range.high, Value::Int(_) | Value::Str(_))
                && matches!(name, "find" | "detect" | "take_while") =>
        {
            ruby.some_items(me, LOOKED)?
        }
        _ => ruby.items_of(me)?,
    };
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for (at, item) in items.iter().enumerate() {
        let fits = match block(call) {
            Some(block) => ruby.yield_to(block, vec![item.clone()])?.truthy(),
            None if name == "find_index" => ruby.equals(item, &call.arg(0))?,
            None => return ok(items),
        };
        match (name, fits) {
            ("find" | "detect", true) => return Ok(item.clone()),
            ("find_index", true) => return ok(at),
            ("take_while", false) => break,
            ("drop_while", false) => return ok(items[at..].to_vec()),
            (_, true) => yes.push(item.clone()),
            (_, false) => no.push(item.clone()),
        }
    }
    Ok(match name {
        "find" | "detect" | "find_index" => Value::Nil,
        "reject" => Value::array(no),
        "drop_while" => Value::array(Vec::new()),
        "partition" => Value::array(vec![Value::array(yes), Value::array(no)]),
        _ => Value::array(yes),
    })
}

fn counted(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let items = ruby.items_of(me)?;
    let total = items.len();
    let mut fitting = 0usize;
    for item in items {
        let fits = match (block(call), call.args.first()) {
            (_, Some(wanted)) if name == "count" => ruby.equals(&item, wanted)?,
            (_, Some(pattern)) => ruby.case_equal(pattern, &item)?,
            (Some(block), None) => ruby.yield_to(block, vec![item])?.truthy(),
            (None, None) => name == "count" || item.truthy(),
        };
        fitting += usize::from(fits);
        match (name, fits) {
            ("any?", true) => return ok(true),
            ("all?", false) | ("none?", true) => return ok(false),
            _ => {}
        }
    }
    Ok(match name {
        "count" => fitting.into(),
        "any?" => (fitting > 0).into(),
        "all?" => (fitting == total).into(),
        "none?" => (fitting == 0).into(),
        _ => (fitting == 1).into(),
    })
}

fn folded(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let mut items = ruby.items_of(me)?.into_iter();
    let (start, operation) = match (call.args.len(), call.block.is_some()) {
        (0, _) => (items.next(), None),
        (1, true) => (Some(call.arg(0)), None),
        (1, false) => (items.next(), Some(call.arg(0))),
        _ => (Some(call.arg(0)), Some(call.arg(1))),
    };
    let Some(mut sum) = start else { return Ok(Value::Nil) };
    for item in items {
        sum = match (&operation, block(call)) {
            (Some(name), _) => {
                let name = ruby.name_from(name)?;
                ruby.call(&sum, name, Call::of(vec![item]))?
            }
            (None, Some(block)) => ruby.yield_to(block, vec![sum, item])?,
            (None, None) => return Err(ruby.error("LocalJumpError", "no block given")),
        };
    }
    Ok(sum)
}

fn summed(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let mut sum = call.args.first().cloned().unwrap_or(Value::Int(0));
    for item in ruby.items_of(me)? {
        let item = match block(call) {
            Some(block) => ruby.yield_to(block, vec![item])?,
            None => item,
        };
        sum = ruby.call(&sum, Name::of("+"), Call::of(vec![item]))?;
    }
    Ok(sum)
}

fn sorted(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let mut items = ruby.items_of(me)?;
    if name.ends_with("_by") {
        let Some(block) = call.block.clone() else { return ok(items) };
        let mut keyed = Vec::new();
        for item in items {
            let key = ruby.yield_to(&block, vec![item.clone()])?;
            keyed.push(Value::array(vec![key, item]));
        }
        let part = |pair: &Value, at: usize| match pair {
            Value::Array(array) => array.items.borrow().get(at).cloned().unwrap_or(Value::Nil),
            _ => Value::Nil,
        };
        ruby.sort_with(&mut keyed, &mut |ruby, a, b| ruby.order_of(&part(a, 0), &part(b, 0)))?;
        items = keyed.iter().map(|pair| part(pair, 1)).collect();
    } else {
        match call.block.clone() {
            Some(block) => ruby.sort_with(&mut items, &mut |ruby, a, b| {
                let order = ruby.yield_to(&block, vec![a.clone(), b.clone()])?;
                int(ruby, &order).map(|order| order.cmp(&0))
            })?,
            None => ruby.sort_with(&mut items, &mut |ruby, a, b| ruby.order_of(a, b))?,
        }
    }
    let count = match call.arg(0) {
        Value::Int(count) => usize::try_from(count).ok(),
        _ => None,
    };
    Ok(match name {
        "minmax" | "minmax_by" => Value::array(vec![
            items.first().cloned().unwrap_or(Value::Nil),
            items.last().cloned().unwrap_or(Value::Nil),
        ]),
        "min" | "min_by" => match count {
            Some(count) => Value::array(items.into_iter().take(count).collect()),
            None => items.into_iter().next().unwrap_or(Value::Nil),
        },
        "max" | "max_by" => match count {
            Some(count) => Value::array(items.into_iter().rev().take(count).collect()),
            None => items.pop().unwrap_or(Value::Nil),
        },
        _ => Value::array(items),
    })
}

fn grouped(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let items = ruby.items_of(me)?;
    let hash = Hash::default();
    if matches!(name, "chunk_while" | "slice_when") {
        return chunked(ruby, &items, name == "chunk_while", call);
    }
    for item in items {
        let key = match block(call) {
            Some(block) => ruby.yield_to(block, vec![item.clone()])?,
            None => item.clone(),
        };
        match name {
            "to_h" => {
                let pair = ruby.splat(&key)?;
                let [key, value] = pair.as_slice() else {
                    return Err(ruby.error("TypeError", "wrong element type (expected array of 2)"));
                };
                hash.insert(key.clone(), value.clone());
            }
            "tally" => {
                let count = match hash.get(&item) {
                    Some(Value::Int(count)) => count,
                    _ => 0,
                };
                hash.insert(item, Value::Int(count + 1));
            }
            "uniq" => {
                if hash.get(&key).is_none() {
                    hash.insert(key, item);
                }
            }
            _ => match hash.get(&key) {
                Some(Value::Array(group)) => group.items.borrow_mut().push(item),
                _ => hash.insert(key, Value::array(vec![item])),
            },
        }
    }
    if name == "uniq" {
        return ok(hash.pairs().into_iter().map(|(_, item)| item).collect::<Vec<_>>());
    }
    Ok(Value::Hash(Rc::new(hash)))
}

/// Neighbours that belong together.
fn chunked(ruby: &mut Interp, items: &[Value], together: bool, call: &Call) -> Result<Value> {
    let Some(block) = block(call) else {
        return Err(ruby.error("ArgumentError", "tried to create Proc object without a block"));
    };
    let mut groups: Vec<Vec<Value>> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let joins = at > 0 && ruby.yield_to(block, vec![items[at - 1].clone(), item.clone()])?.truthy() == together;
        match groups.last_mut() {
            Some(group) if joins => group.push(item.clone()),
            _ => groups.push(vec![item.clone()]),
        }
    }
    ok(groups.into_iter().map(Value::array).collect::<Vec<_>>())
}

/// `grep(pattern) { … }`.
fn grepped(ruby: &mut Interp, me: &Value, wanted: bool, call: &Call) -> Result<Value> {
    let mut out = Vec::new();
    for item in ruby.items_of(me)? {
        if ruby.case_equal(&call.arg(0), &item)? != wanted {
            continue;
        }
        out.push(match block(call) {
            Some(block) => ruby.yield_to(block, vec![item])?,
            None => item,
        });
    }
    ok(out)
}

/// Parts of a list: of elements with the same answer, or those that begin or end with one that fits.
fn cut(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let mut parts: Vec<(Value, Vec<Value>)> = Vec::new();
    let mut ended = false;
    for item in ruby.items_of(me)? {
        let answer = match (block(call), call.args.first()) {
            (Some(block), _) => ruby.yield_to(block, vec![item.clone()])?,
            (None, Some(pattern)) => ruby.case_equal(pattern, &item)?.into(),
            (None, None) => return Err(ruby.error("ArgumentError", "wrong number of arguments (given 0, expected 1)")),
        };
        let joins = match (name, parts.last()) {
            (_, None) => false,
            ("chunk", Some((last, _))) => ruby.equals(last, &answer)?,
            ("slice_before", _) => !answer.truthy(),
            _ => !ended,
        };
        ended = answer.truthy();
        match parts.last_mut() {
            Some((_, part)) if joins => part.push(item),
            _ => parts.push((answer, vec![item])),
        }
    }
    let shown = |(answer, part): (Value, Vec<Value>)| match name {
        "chunk" => Value::array(vec![answer, Value::array(part)]),
        _ => Value::array(part),
    };
    ok(parts.into_iter().map(shown).collect::<Vec<_>>())
}

fn cycled(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let items = ruby.items_of(me)?;
    let Some(block) = block(call) else { return Ok(super::enumerator::of(ruby, me, "cycle", call)) };
    let mut left = if call.arg(0).is_nil() { i64::MAX } else { int(ruby, &call.arg(0))? };
    while left > 0 && !items.is_empty() {
        left -= 1;
        for item in &items {
            ruby.yield_to(block, vec![item.clone()])?;
        }
    }
    Ok(Value::Nil)
}

fn first(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    if let (Value::Range(range), true) = (me, call.args.is_empty()) {
        return Ok(range.low.clone());
    }
    match call.args.first() {
        None => Ok(ruby.some_items(me, 1)?.pop().unwrap_or(Value::Nil)),
        Some(count) => {
            let Ok(count) = usize::try_from(int(ruby, count)?) else {
                return Err(ruby.error("ArgumentError", "attempt to take negative size"));
            };
            ok(ruby.some_items(me, count)?)
        }
    }
}

fn taken(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    if name == "take" {
        return first(ruby, me, call);
    }
    let items = ruby.items_of(me)?;
    let count = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(0).min(items.len());
    ok(items[count..].to_vec())
}

/// Whether an element equals a value.
pub fn contains(ruby: &mut Interp, items: &[Value], wanted: &Value) -> Result<bool> {
    for item in items {
        if ruby.equals(item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn zipped(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let items = ruby.items_of(me)?;
    let mut others = Vec::new();
    for other in &call.args {
        others.push(ruby.items_of(other)?);
    }
    let row = |(at, item): (usize, Value)| {
        let rest = others.iter().map(|other| other.get(at).cloned().unwrap_or(Value::Nil));
        Value::array([item].into_iter().chain(rest).collect())
    };
    let rows: Vec<Value> = items.into_iter().enumerate().map(row).collect();
    let Some(block) = block(call) else { return ok(rows) };
    for row in rows {
        ruby.yield_to(block, vec![row])?;
    }
    Ok(Value::Nil)
}
