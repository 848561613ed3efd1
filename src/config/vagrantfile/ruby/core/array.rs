//! Arrays.

use std::rc::Rc;

use super::super::budget::OBJECT;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::show;
use super::super::value::{Array, Value};
use super::matching::window;
use super::number::int;
use super::{enumerable, ok, pack};

methods! { ruby, me: &Rc<Array>, name, call;
    "[]" | "slice" => element(ruby, me, call),
    "[]=" => put(ruby, me, call),
    "at" => element(ruby, me, &Call::of(vec![call.arg(0)])),
    "dig" => dig(ruby, &Value::Array(Rc::clone(me)), &call.args),
    "fetch" => fetch(ruby, me, call),
    "values_at" => {
        let mut values = Vec::new();
        for at in &call.args { values.push(element(ruby, me, &Call::of(vec![at.clone()]))?); }
        ok(values)
    },
    "last" => last(ruby, me, call),
    "length" | "size" => ok(me.items.borrow().len()),
    "empty?" => ok(me.items.borrow().is_empty()),
    "each" => each(ruby, me, call),
    "each_index" => { let length = me.items.borrow().len(); let Some(block) = &call.block else { return Ok(None) }; for at in 0..length { ruby.yield_to(block, vec![at.into()])?; } Ok(Value::Array(Rc::clone(me))) },
    "to_a" | "to_ary" => Ok(Value::Array(Rc::clone(me))),
    "to_s" | "inspect" => { let text = show::inspect(&Value::Array(Rc::clone(me))); ok(text) },
    "join" => joined(ruby, me, call),
    "<<" | "push" | "append" | "add" => change(ruby, me, |items| items.extend(call.flat())),
    "unshift" | "prepend" => change(ruby, me, |items| { items.splice(0..0, call.flat()); }),
    "insert" => insert(ruby, me, call),
    "concat" => {
        let mut more = Vec::new();
        for other in &call.args { let other = ruby.splat(other)?; ruby.room((more.len() + other.len()) * size_of::<Value>())?; more.extend(other); }
        change(ruby, me, |items| items.extend(more))
    },
    "pop" | "shift" => removed_end(ruby, me, name, call),
    "delete" => delete(ruby, me, &call.arg(0)),
    "delete_at" => { let at = place(ruby, me, &call.arg(0))?; unfrozen(ruby, me)?; ok(at.filter(|at| *at < me.items.borrow().len()).map(|at| me.items.borrow_mut().remove(at))) },
    "clear" => change(ruby, me, Vec::clear),
    "replace" => { let items = ruby.items_of(&call.arg(0))?; change(ruby, me, |place| *place = items) },
    "fill" => { let value = call.arg(0); change(ruby, me, |items| items.fill(value)) },
    "delete_if" | "reject!" | "select!" | "keep_if" | "filter!" | "map!" | "collect!" | "sort!" | "sort_by!" | "uniq!" | "reverse!"
    | "compact!" | "flatten!" | "shuffle!" | "rotate!" => in_place(ruby, me, name, call),
    "+" => { let other = list_arg(ruby, &call.arg(0))?; let length = me.items.borrow().len() + other.len(); ruby.grow(OBJECT + length * size_of::<Value>())?; let mut items = me.items.borrow().clone(); items.extend(other); ok(items) },
    "-" | "difference" | "&" | "intersection" | "|" | "union" => combined(ruby, me, name, call),
    "*" => match call.arg(0) {
        Value::Str(_) => joined(ruby, me, call),
        count => {
            let count = usize::try_from(int(ruby, &count)?).unwrap_or(0);
            let items = me.items.borrow().clone();
            ruby.grow(items.len().saturating_mul(count).saturating_mul(size_of::<Value>()))?;
            ok(std::iter::repeat_n(items, count).flatten().collect::<Vec<_>>())
        }
    },
    "==" | "eql?" => { let other = call.arg(0); ruby.equal(&Value::Array(Rc::clone(me)), &other).map(Value::Bool) },
    "<=>" => { let other = call.arg(0); ok(ruby.order(&Value::Array(Rc::clone(me)), &other)?.map(|order| order as i64)) },
    "index" => { let found = enumerable::call(ruby, &Value::Array(Rc::clone(me)), "find_index", call)?; Ok(found.unwrap_or(Value::Nil)) },
    "rindex" => {
        let items = me.items.borrow().clone();
        let mut found = None;
        for (at, item) in items.iter().enumerate() { if ruby.equals(item, &call.arg(0))? { found = Some(at); } }
        ok(found)
    },
    "compact" => ok(me.items.borrow().iter().filter(|item| !item.is_nil()).cloned().collect::<Vec<_>>()),
    "flatten" => flattened(ruby, me, call),
    "rotate" => rotated(ruby, me, call),
    "shuffle" | "sample" => shuffled(ruby, me, name, call),
    "transpose" => transposed(ruby, me),
    "product" => product(ruby, me, call),
    "combination" => combinations(ruby, me, call),
    "pack" => pack::pack(ruby, me, call),
    "bsearch" | "permutation" => Err(ruby.unsupported(format!("`{name}`"))),
    "assoc" => { let items = me.items.borrow().clone(); for item in items { if let Value::Array(pair) = &item { let key = pair.items.borrow().first().cloned(); if key.is_some_and(|key| key.key() == call.arg(0).key()) { return Ok(Some(item)); } } } Ok(Value::Nil) },
    "slice!" => { let part = element(ruby, me, call)?; if let Some((start, count)) = { let length = me.items.borrow().len(); window(ruby, call, length)? } { change(ruby, me, |items| { items.drain(start..start + count); })?; } Ok(part) },
}

/// The elements of an argument that must be an array.
fn list_arg(ruby: &mut Interp, value: &Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(array) => Ok(array.items.borrow().clone()),
        other if ruby.responds(other, "to_ary") => ruby.items_of(other),
        other => Err(ruby.type_error(other, "Array")),
    }
}

fn unfrozen(ruby: &mut Interp, me: &Array) -> Result<()> {
    if me.frozen.get() {
        let shown = show::inspect(&Value::array(me.items.borrow().clone()));
        return Err(ruby.error("FrozenError", format!("can't modify frozen Array: {shown}")));
    }
    Ok(())
}

fn change(ruby: &mut Interp, me: &Rc<Array>, work: impl FnOnce(&mut Vec<Value>)) -> Result<Value> {
    unfrozen(ruby, me)?;
    let before = me.items.borrow().len();
    work(&mut me.items.borrow_mut());
    let after = me.items.borrow().len();
    ruby.grow(after.saturating_sub(before) * size_of::<Value>())?;
    Ok(Value::Array(Rc::clone(me)))
}

/// An index from the front, counted from the end where negative.
fn place(ruby: &mut Interp, me: &Array, at: &Value) -> Result<Option<usize>> {
    let at = int(ruby, at)?;
    let length = i64::try_from(me.items.borrow().len()).unwrap_or(i64::MAX);
    Ok(usize::try_from(if at < 0 { at + length } else { at }).ok())
}

fn element(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    if call.args.len() == 1 && !matches!(call.arg(0), Value::Range(_)) {
        let at = place(ruby, me, &call.arg(0))?;
        return Ok(at.and_then(|at| me.items.borrow().get(at).cloned()).unwrap_or(Value::Nil));
    }
    let length = me.items.borrow().len();
    let found = window(ruby, call, length)?;
    Ok(found.map_or(Value::Nil, |(start, count)| Value::array(me.items.borrow()[start..start + count].to_vec())))
}

fn put(ruby: &mut Interp, me: &Rc<Array>, call: &Call) -> Result<Value> {
    unfrozen(ruby, me)?;
    let Some((value, index)) = call.args.split_last() else { return Ok(Value::Nil) };
    let length = me.items.borrow().len();
    if index.len() == 1 && !matches!(index[0], Value::Range(_)) {
        let Some(at) = place(ruby, me, &index[0])? else {
            return Err(ruby.error("IndexError", "index too small for array"));
        };
        ruby.grow((at + 1).saturating_sub(length).saturating_mul(size_of::<Value>()))?;
        let mut items = me.items.borrow_mut();
        if at >= items.len() {
            items.resize(at + 1, Value::Nil);
        }
        items[at] = value.clone();
        return Ok(value.clone());
    }
    let Some((start, count)) = window(ruby, &Call::of(index.to_vec()), length)? else {
        return Err(ruby.error("IndexError", "index out of array"));
    };
    let new = ruby.splat(value)?;
    change(ruby, me, |items| {
        items.splice(start..start + count, new);
    })?;
    Ok(value.clone())
}

/// `value.dig(a, b)`.
pub fn dig(ruby: &mut Interp, value: &Value, path: &[Value]) -> Result<Value> {
    let mut here = value.clone();
    for key in path {
        if here.is_nil() {
            break;
        }
        here = ruby.call(&here, Name::of("[]"), Call::of(vec![key.clone()]))?;
    }
    Ok(here)
}

fn fetch(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let at = place(ruby, me, &call.arg(0))?;
    if let Some(found) = at.and_then(|at| me.items.borrow().get(at).cloned()) {
        return Ok(found);
    }
    match (&call.block, call.args.get(1)) {
        (Some(block), _) => ruby.yield_to(block, vec![call.arg(0)]),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => {
            let (at, length) = (show::inspect(&call.arg(0)), me.items.borrow().len());
            Err(ruby.error("IndexError", format!("index {at} outside of array bounds: -{length}...{length}")))
        }
    }
}

fn last(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let items = me.items.borrow().clone();
    match call.args.first() {
        None => Ok(items.last().cloned().unwrap_or(Value::Nil)),
        Some(count) => {
            let count = usize::try_from(int(ruby, count)?).unwrap_or(0);
            ok(items[items.len().saturating_sub(count)..].to_vec())
        }
    }
}

fn each(ruby: &mut Interp, me: &Rc<Array>, call: &Call) -> Result<Value> {
    let Some(block) = &call.block else { return Ok(Value::Array(Rc::clone(me))) };
    let mut at = 0;
    // The block may change the array.
    while let Some(item) = { me.items.borrow().get(at).cloned() } {
        ruby.yield_to(block, vec![item])?;
        at += 1;
    }
    Ok(Value::Array(Rc::clone(me)))
}

fn joined(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let by = match call.arg(0) {
        Value::Nil => String::new(),
        by => super::string::text_arg(ruby, &by)?,
    };
    let mut out = String::new();
    let items = me.items.borrow().clone();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(&by);
        }
        let text = match item {
            Value::Array(inner) => {
                let text = ruby.deeper(|ruby| joined(ruby, inner, call))?;
                ruby.to_s(&text)?
            }
            item => ruby.to_s(item)?,
        };
        ruby.step()?;
        ruby.grow(by.len() + text.len())?;
        ruby.room(out.len())?;
        out.push_str(&text);
    }
    ok(out)
}

fn insert(ruby: &mut Interp, me: &Rc<Array>, call: &Call) -> Result<Value> {
    let length = me.items.borrow().len();
    let at = int(ruby, &call.arg(0))?;
    let at = if at < 0 { at + i64::try_from(length).unwrap_or(0) + 1 } else { at };
    let at = usize::try_from(at).unwrap_or(0).min(length);
    let values = call.args.get(1..).unwrap_or_default().to_vec();
    change(ruby, me, |items| {
        items.splice(at..at, values);
    })
}

fn removed_end(ruby: &mut Interp, me: &Rc<Array>, name: &str, call: &Call) -> Result<Value> {
    unfrozen(ruby, me)?;
    let mut items = me.items.borrow_mut();
    if let Value::Int(count) = call.arg(0) {
        let count = usize::try_from(count).unwrap_or(0).min(items.len());
        let length = items.len();
        let part: Vec<_> =
            if name == "pop" { items.drain(length - count..).collect() } else { items.drain(..count).collect() };
        return ok(part);
    }
    Ok(match name {
        "pop" => items.pop().unwrap_or(Value::Nil),
        _ if items.is_empty() => Value::Nil,
        _ => items.remove(0),
    })
}

fn delete(ruby: &mut Interp, me: &Rc<Array>, value: &Value) -> Result<Value> {
    let items = me.items.borrow().clone();
    let mut kept = Vec::new();
    let mut found = Value::Nil;
    for item in items {
        if ruby.equals(&item, value)? { found = item } else { kept.push(item) }
    }
    change(ruby, me, |items| *items = kept)?;
    Ok(found)
}

fn in_place(ruby: &mut Interp, me: &Rc<Array>, name: &str, call: &Call) -> Result<Value> {
    let plain = match name {
        "delete_if" => "reject",
        "keep_if" => "select",
        other => other.trim_end_matches('!'),
    };
    let value = Value::Array(Rc::clone(me));
    let changed = ruby.call(&value, Name::of(plain), call.clone())?;
    let new = ruby.items_of(&changed)?;
    let same = new.len() == me.items.borrow().len();
    change(ruby, me, |items| *items = new)?;
    let tells = matches!(name, "reject!" | "select!" | "filter!" | "uniq!" | "compact!" | "flatten!");
    Ok(if tells && same { Value::Nil } else { value })
}

fn combined(ruby: &mut Interp, me: &Array, name: &str, call: &Call) -> Result<Value> {
    let mut others = Vec::new();
    for other in &call.args {
        others.extend(list_arg(ruby, other)?);
    }
    let keys: std::collections::HashSet<_> = others.iter().map(Value::key).collect();
    let mine = me.items.borrow().clone();
    let mut seen = std::collections::HashSet::new();
    Ok(Value::array(match name {
        "-" | "difference" => mine.into_iter().filter(|item| !keys.contains(&item.key())).collect(),
        "&" | "intersection" => {
            mine.into_iter().filter(|item| keys.contains(&item.key()) && seen.insert(item.key())).collect()
        }
        _ => mine.into_iter().chain(others).filter(|item| seen.insert(item.key())).collect(),
    }))
}

fn flattened(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let depth = match call.arg(0) {
        Value::Int(depth) => depth,
        _ => -1,
    };
    let mut out = Vec::new();
    for item in me.items.borrow().clone() {
        ruby.step()?;
        ruby.grow(size_of::<Value>())?;
        match &item {
            Value::Array(inner) if depth != 0 => {
                let inner = ruby.deeper(|ruby| flattened(ruby, inner, &Call::of(vec![Value::Int(depth - 1)])))?;
                out.extend(ruby.items_of(&inner)?);
            }
            _ => out.push(item),
        }
    }
    ok(out)
}

fn rotated(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let mut items = me.items.borrow().clone();
    let by = match call.arg(0) {
        Value::Nil => 1,
        by => int(ruby, &by)?,
    };
    if let Some(length) = i64::try_from(items.len()).ok().filter(|length| *length > 0) {
        items.rotate_left(usize::try_from(by.rem_euclid(length)).unwrap_or(0));
    }
    ok(items)
}

/// A place below `limit`, by a chance of the program's own.
fn chosen(ruby: &mut Interp, random: &Value, limit: usize) -> Result<usize> {
    let place = ruby.send(random, "rand", vec![limit.into()])?;
    let place = usize::try_from(int(ruby, &place)?).ok().filter(|place| *place < limit);
    place.ok_or_else(|| ruby.error("RangeError", "random number too big"))
}

/// `shuffle`, `sample`, `sample(2)`.
fn shuffled(ruby: &mut Interp, me: &Array, name: &str, call: &Call) -> Result<Value> {
    let mut items = me.items.borrow().clone();
    let random = call.keyword("random");
    if let ("sample", Some(random)) = (name, &random) {
        if matches!(call.arg(0), Value::Int(_)) {
            return Err(ruby.unsupported("a sample of several by chance that begins at a number of the file's"));
        }
        let at = if items.len() < 2 { 0 } else { chosen(ruby, random, items.len())? };
        return Ok(items.get(at).cloned().unwrap_or(Value::Nil));
    }
    for at in (1..items.len()).rev() {
        let other = match &random {
            Some(random) => chosen(ruby, random, at + 1)?,
            None => usize::try_from(super::super::library::below(ruby, at as u64 + 1)).unwrap_or(0),
        };
        items.swap(at, other);
    }
    Ok(match (name, call.arg(0)) {
        ("sample", Value::Int(count)) => {
            items.truncate(usize::try_from(count).unwrap_or(0));
            Value::array(items)
        }
        ("sample", _) => items.pop().unwrap_or(Value::Nil),
        _ => Value::array(items),
    })
}

fn combinations(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let size = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(usize::MAX);
    let items = me.items.borrow().clone();
    let mut found = Vec::new();
    let mut chosen: Vec<usize> = (0..size.min(items.len())).collect();
    if size <= items.len() {
        loop {
            ruby.charge(1 + (size >> 4))?;
            ruby.grow(OBJECT + size * size_of::<Value>())?;
            found.push(Value::array(chosen.iter().map(|at| items[*at].clone()).collect()));
            // The last place that can still move on, and those behind it.
            let Some(at) = (0..size).rev().find(|at| chosen[*at] + size - at < items.len()) else { break };
            chosen[at] += 1;
            for next in at + 1..size {
                chosen[next] = chosen[next - 1] + 1;
            }
        }
    }
    let Some(block) = &call.block else { return ok(found) };
    for one in found {
        ruby.yield_to(block, vec![one])?;
    }
    Ok(Value::Nil)
}

fn transposed(ruby: &mut Interp, me: &Array) -> Result<Value> {
    let mut rows = Vec::new();
    for row in me.items.borrow().clone() {
        let row = ruby.items_of(&row)?;
        ruby.grow(row.len() * size_of::<Value>())?;
        rows.push(row);
    }
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        return Err(ruby.error("IndexError", "element size differs"));
    }
    ok((0..width).map(|at| Value::array(rows.iter().map(|row| row[at].clone()).collect())).collect::<Vec<_>>())
}

fn product(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let mut rows: Vec<Vec<Value>> = me.items.borrow().iter().map(|item| vec![item.clone()]).collect();
    for other in &call.args {
        let other = ruby.items_of(other)?;
        let width = rows.first().map_or(0, Vec::len) + 1;
        let each = OBJECT + width * size_of::<Value>();
        ruby.grow(rows.len().saturating_mul(other.len()).saturating_mul(each))?;
        rows = rows
            .iter()
            .flat_map(|row| other.iter().map(|item| [row.as_slice(), std::slice::from_ref(item)].concat()))
            .collect();
    }
    ok(rows.into_iter().map(Value::array).collect::<Vec<_>>())
}
