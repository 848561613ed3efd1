//! Hashes.

use std::rc::Rc;

use super::super::budget::PAIR;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::show;
use super::super::value::{Hash, Value};
use super::array::dig;
use super::ok;

methods! { ruby, me: &Rc<Hash>, name, call;
    "[]" => element(ruby, me, &call.arg(0)),
    "[]=" | "store" => { unfrozen(ruby, me)?; ruby.grow(PAIR)?; me.insert(call.arg(0), call.arg(1)); Ok(call.arg(1)) },
    "fetch" => fetch(ruby, me, call),
    "dig" => dig(ruby, &Value::Hash(Rc::clone(me)), &call.args),
    "values_at" => { let mut values = Vec::new(); for key in &call.args { values.push(element(ruby, me, key)?); } ok(values) },
    "fetch_values" => { let mut values = Vec::new(); for key in &call.args { values.push(fetch(ruby, me, &Call::of(vec![key.clone()]))?); } ok(values) },
    "key?" | "has_key?" | "include?" | "member?" => ok(me.get(&call.arg(0)).is_some()),
    "value?" | "has_value?" => { let values: Vec<_> = me.pairs().into_iter().map(|(_, value)| value).collect(); ok(super::enumerable::contains(ruby, &values, &call.arg(0))?) },
    "key" => { for (key, value) in me.pairs() { if ruby.equals(&value, &call.arg(0))? { return Ok(Some(key)); } } Ok(Value::Nil) },
    "keys" => ok(me.pairs().into_iter().map(|(key, _)| key).collect::<Vec<_>>()),
    "values" => ok(me.pairs().into_iter().map(|(_, value)| value).collect::<Vec<_>>()),
    "length" | "size" => ok(me.len()),
    "empty?" => ok(me.len() == 0),
    "each" | "each_pair" => each(ruby, me, call, |key, value| vec![Value::array(vec![key, value])]),
    "each_key" => each(ruby, me, call, |key, _| vec![key]),
    "each_value" => each(ruby, me, call, |_, value| vec![value]),
    "delete" => {
        unfrozen(ruby, me)?;
        match (me.remove(&call.arg(0)), &call.block) {
            (Some(value), _) => Ok(value),
            (None, Some(block)) => ruby.yield_to(block, vec![call.arg(0)]),
            (None, None) => Ok(Value::Nil),
        }
    },
    "merge" => { let copy = copied(ruby, me)?; merge(ruby, &copy, call)?; Ok(Value::Hash(copy)) },
    "merge!" | "update" => { unfrozen(ruby, me)?; merge(ruby, me, call)?; Ok(Value::Hash(Rc::clone(me))) },
    "deep_merge" => { let copy = copied(ruby, me)?; deep_merge(ruby, &copy, call)?; Ok(Value::Hash(copy)) },
    "select" | "filter" | "reject" | "select!" | "reject!" | "keep_if" | "delete_if" | "filter!" => chosen(ruby, me, name, call),
    "find_all" => { let found = super::enumerable::call(ruby, &Value::Hash(Rc::clone(me)), "select", call)?; Ok(found.unwrap_or(Value::Nil)) },
    "any?" => if call.block.is_none() && call.args.is_empty() { ok(me.len() > 0) } else { let found = super::enumerable::call(ruby, &Value::Hash(Rc::clone(me)), "any?", call)?; Ok(found.unwrap_or(Value::Nil)) },
    "transform_values" | "transform_keys" | "transform_values!" | "transform_keys!" => transformed(ruby, me, name, call),
    "slice" => { let pairs: Vec<_> = call.args.iter().filter_map(|key| Some((key.clone(), me.get(key)?))).collect(); Ok(Value::hash(pairs)) },
    "except" => { let keys: Vec<_> = call.args.iter().map(Value::key).collect(); Ok(Value::hash(me.pairs().into_iter().filter(|(key, _)| !keys.contains(&key.key())))) },
    "invert" => Ok(Value::hash(me.pairs().into_iter().map(|(key, value)| (value, key)))),
    "compact!" => { unfrozen(ruby, me)?; me.map.borrow_mut().retain(|_, (_, value)| !value.is_nil()); Ok(Value::Hash(Rc::clone(me))) },
    "assoc" => ok(me.get(&call.arg(0)).map(|value| Value::array(vec![call.arg(0), value]))),
    "flatten" => { let items = ruby.items_of(&Value::Hash(Rc::clone(me)))?; let depth = if call.args.is_empty() { Value::Int(1) } else { call.arg(0) }; ruby.send(&Value::array(items), "flatten", vec![depth]) },
    "default_proc" => ok(me.default_proc.borrow().clone().map(Value::Proc)),
    "compact" => Ok(Value::hash(me.pairs().into_iter().filter(|(_, value)| !value.is_nil()))),
    "sort_by" | "min_by" | "max_by" | "sum" | "flat_map" | "partition" => { let found = super::enumerable::call(ruby, &Value::Hash(Rc::clone(me)), name, call)?; Ok(found.unwrap_or(Value::Nil)) },
    "to_h" => if call.block.is_some() { let found = super::enumerable::call(ruby, &Value::Hash(Rc::clone(me)), "to_h", call)?; Ok(found.unwrap_or(Value::Nil)) } else { Ok(Value::Hash(Rc::clone(me))) },
    "to_hash" | "compare_by_identity" | "with_indifferent_access" => Ok(Value::Hash(Rc::clone(me))),
    "to_s" | "inspect" => ok(show::inspect(&Value::Hash(Rc::clone(me)))),
    "clear" => { unfrozen(ruby, me)?; me.map.borrow_mut().clear(); Ok(Value::Hash(Rc::clone(me))) },
    "replace" => { unfrozen(ruby, me)?; let Value::Hash(other) = call.arg(0) else { return Err(ruby.type_error(&call.arg(0), "Hash")) }; let map = other.map.borrow().clone(); ruby.grow(map.len() * PAIR)?; *me.map.borrow_mut() = map; Ok(Value::Hash(Rc::clone(me))) },
    "shift" => { unfrozen(ruby, me)?; let first = me.map.borrow_mut().shift_remove_index(0); ok(first.map(|(_, (key, value))| Value::array(vec![key, value]))) },
    "default" => Ok(me.default.borrow().clone().unwrap_or(Value::Nil)),
    "default=" => { *me.default.borrow_mut() = Some(call.arg(0)); Ok(call.arg(0)) },
    "==" | "eql?" => { let other = call.arg(0); ruby.equal(&Value::Hash(Rc::clone(me)), &other).map(Value::Bool) },
    "<=" => { let Value::Hash(other) = call.arg(0) else { return Ok(Some(Value::Bool(false))) }; ok(me.pairs().iter().all(|(key, value)| other.get(key).is_some_and(|found| found.key() == value.key()))) },
    "filter_map" => { let found = super::enumerable::call(ruby, &Value::Hash(Rc::clone(me)), "filter_map", call)?; Ok(found.unwrap_or(Value::Nil)) },
}

fn unfrozen(ruby: &mut Interp, me: &Rc<Hash>) -> Result<()> {
    if me.frozen.get() {
        let shown = show::inspect(&Value::Hash(Rc::clone(me)));
        return Err(ruby.error("FrozenError", format!("can't modify frozen Hash: {shown}")));
    }
    Ok(())
}

fn copied(ruby: &mut Interp, me: &Hash) -> Result<Rc<Hash>> {
    ruby.grow(me.len() * PAIR)?;
    Ok(Rc::new(me.copy()))
}

/// A value, or what the hash answers for keys it does not have.
fn element(ruby: &mut Interp, me: &Rc<Hash>, key: &Value) -> Result<Value> {
    if let Some(value) = me.get(key) {
        return Ok(value);
    }
    let default = me.default_proc.borrow().clone();
    match default {
        Some(block) => ruby.yield_to(&block, vec![Value::Hash(Rc::clone(me)), key.clone()]),
        None => Ok(me.default.borrow().clone().unwrap_or(Value::Nil)),
    }
}

fn fetch(ruby: &mut Interp, me: &Hash, call: &Call) -> Result<Value> {
    if let Some(value) = me.get(&call.arg(0)) {
        return Ok(value);
    }
    match (&call.block, call.args.get(1)) {
        (Some(block), _) => ruby.yield_to(block, vec![call.arg(0)]),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(ruby.error("KeyError", format!("key not found: {}", show::inspect(&call.arg(0))))),
    }
}

fn each(ruby: &mut Interp, me: &Rc<Hash>, call: &Call, args: fn(Value, Value) -> Vec<Value>) -> Result<Value> {
    let Some(block) = &call.block else { return Ok(Value::Hash(Rc::clone(me))) };
    for (key, value) in me.pairs() {
        ruby.yield_to(block, args(key, value))?;
    }
    Ok(Value::Hash(Rc::clone(me)))
}

fn merge(ruby: &mut Interp, into: &Rc<Hash>, call: &Call) -> Result<()> {
    for other in call.flat() {
        let Value::Hash(other) = other else { return Err(ruby.type_error(&other, "Hash")) };
        for (key, value) in other.pairs() {
            let value = match (&call.block, into.get(&key)) {
                (Some(block), Some(old)) => ruby.yield_to(block, vec![key.clone(), old, value])?,
                _ => value,
            };
            ruby.grow(PAIR)?;
            into.insert(key, value);
        }
    }
    Ok(())
}

fn deep_merge(ruby: &mut Interp, into: &Rc<Hash>, call: &Call) -> Result<()> {
    for other in call.flat() {
        let Value::Hash(other) = other else { return Err(ruby.type_error(&other, "Hash")) };
        for (key, value) in other.pairs() {
            let value = match (into.get(&key), value) {
                (Some(Value::Hash(old)), new @ Value::Hash(_)) => {
                    let copy = copied(ruby, &old)?;
                    ruby.deeper(|ruby| deep_merge(ruby, &copy, &Call::of(vec![new])))?;
                    Value::Hash(copy)
                }
                (_, value) => value,
            };
            ruby.step()?;
            ruby.grow(PAIR)?;
            into.insert(key, value);
        }
    }
    Ok(())
}

fn chosen(ruby: &mut Interp, me: &Rc<Hash>, name: &str, call: &Call) -> Result<Value> {
    let Some(block) = &call.block else { return Ok(Value::Hash(Rc::clone(me))) };
    let keeps = !matches!(name, "reject" | "reject!" | "delete_if");
    let mut kept = Vec::new();
    for (key, value) in me.pairs() {
        if ruby.yield_to(block, vec![key.clone(), value.clone()])?.truthy() == keeps {
            kept.push((key, value));
        }
    }
    if matches!(name, "select" | "filter" | "reject") {
        return Ok(Value::hash(kept));
    }
    unfrozen(ruby, me)?;
    let changed = kept.len() != me.len();
    me.map.borrow_mut().clear();
    for (key, value) in kept {
        me.insert(key, value);
    }
    Ok(if name.ends_with('!') && !changed { Value::Nil } else { Value::Hash(Rc::clone(me)) })
}

fn transformed(ruby: &mut Interp, me: &Rc<Hash>, name: &str, call: &Call) -> Result<Value> {
    let mut pairs = Vec::new();
    for (key, value) in me.pairs() {
        let pair = match (&call.block, name.starts_with("transform_keys")) {
            (Some(block), true) => (ruby.yield_to(block, vec![key])?, value),
            (Some(block), false) => {
                let new = ruby.yield_to(block, vec![value])?;
                (key, new)
            }
            (None, true) => match call.arg(0) {
                Value::Hash(names) => (names.get(&key).unwrap_or(key), value),
                _ => (key, value),
            },
            (None, false) => (key, value),
        };
        pairs.push(pair);
    }
    if !name.ends_with('!') {
        return Ok(Value::hash(pairs));
    }
    unfrozen(ruby, me)?;
    me.map.borrow_mut().clear();
    for (key, value) in pairs {
        me.insert(key, value);
    }
    Ok(Value::Hash(Rc::clone(me)))
}
