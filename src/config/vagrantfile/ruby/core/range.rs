//! Ranges.

use std::rc::Rc;

use super::super::budget::OBJECT;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::{Range, Value};
use super::number::{self, int};
use super::{ok, string_change};

methods! { ruby, me: &Rc<Range>, name, call;
    "begin" => Ok(me.low.clone()),
    "end" => Ok(me.high.clone()),
    "exclude_end?" => ok(me.exclusive),
    "each" => each(ruby, me, call),
    "to_a" | "to_ary" | "entries" => items(ruby, me).map(Value::array),
    "include?" | "member?" | "cover?" | "===" => covers(ruby, me, &call.arg(0)),
    "size" => { let items = items(ruby, me)?; ok(items.len()) },
    "last" => {
        if call.args.is_empty() {
            return Ok(Some(me.high.clone()));
        }
        let mut items = items(ruby, me)?;
        let count = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(0);
        let from = items.len().saturating_sub(count);
        ok(items.split_off(from))
    },
    "step" | "%" => step(ruby, me, call),
    "==" | "eql?" => ok(Value::Range(Rc::clone(me)).key() == call.arg(0).key()),
}

/// More elements than any machine file counts.
const LONGEST: i64 = 10_000_000;

/// The integers from one to another.
pub fn list(ruby: &mut Interp, low: i64, high: i64) -> Result<Vec<Value>> {
    let length = high.saturating_sub(low).saturating_add(1).max(0);
    if length > LONGEST {
        return Err(ruby.error("RangeError", "the range is too long"));
    }
    ruby.grow(usize::try_from(length).unwrap_or(0) * size_of::<Value>())?;
    Ok((low..=high).map(Value::Int).collect())
}

/// All elements.
pub fn items(ruby: &mut Interp, me: &Range) -> Result<Vec<Value>> {
    match (&me.low, &me.high) {
        (Value::Int(low), high @ (Value::Int(_) | Value::Float(_))) => {
            let high = int(ruby, high)?;
            list(ruby, *low, if me.exclusive { high - 1 } else { high })
        }
        (Value::Str(low), Value::Str(high)) => texts(ruby, &low.get(), &high.get(), me.exclusive),
        (Value::Sym(low), Value::Sym(high)) => {
            let texts = texts(ruby, &low.text(), &high.text(), me.exclusive)?;
            Ok(texts.iter().filter_map(Value::text).map(|text| Value::sym(&text)).collect())
        }
        (Value::Object(_), high) if ruby.responds(&me.low, "succ") => successors(ruby, &me.low, high, me.exclusive),
        (Value::Int(_), Value::Nil) => Err(ruby.error("RangeError", "cannot convert endless range to an array")),
        (low, _) => {
            let shown = ruby.class_of(low).name.borrow().to_string();
            Err(ruby.error("TypeError", format!("can't iterate from {shown}")))
        }
    }
}

/// Objects that know what follows them.
fn successors(ruby: &mut Interp, low: &Value, high: &Value, exclusive: bool) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut at = low.clone();
    while let Some(order) = ruby.order(&at, high)? {
        if order.is_gt() || (exclusive && order.is_eq()) {
            break;
        }
        ruby.grow(size_of::<Value>())?;
        items.push(at.clone());
        if order.is_eq() {
            break;
        }
        at = ruby.send(&at, "succ", Vec::new())?;
    }
    Ok(items)
}

/// `"a".."zz"`: as `succ` counts.
fn texts(ruby: &mut Interp, low: &str, high: &str, exclusive: bool) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut at = low.to_owned();
    while at.len() <= high.len() {
        ruby.charge(1 + (at.len() >> 3))?;
        ruby.grow(OBJECT + at.len() + size_of::<Value>())?;
        let last = at == high;
        if !(last && exclusive) {
            items.push(Value::str(&*at));
        }
        if last {
            break;
        }
        at = string_change::successor(&at);
    }
    Ok(items)
}

fn each(ruby: &mut Interp, me: &Rc<Range>, call: &Call) -> Result<Value> {
    let Some(block) = &call.block else { return items(ruby, me).map(Value::array) };
    if let (Value::Int(low), high @ (Value::Nil | Value::Float(_))) = (&me.low, &me.high) {
        let mut number = *low;
        while high.is_nil() || number::order(&Value::Int(number), high).is_some_and(std::cmp::Ordering::is_le) {
            ruby.yield_to(block, vec![Value::Int(number)])?;
            let Some(next) = number.checked_add(1) else { break };
            number = next;
        }
        return Ok(Value::Range(Rc::clone(me)));
    }
    for item in items(ruby, me)? {
        ruby.yield_to(block, vec![item])?;
    }
    Ok(Value::Range(Rc::clone(me)))
}

fn covers(ruby: &mut Interp, me: &Range, value: &Value) -> Result<Value> {
    if let Value::Range(inner) = value {
        let both = covers(ruby, me, &inner.low)?.truthy() && covers(ruby, me, &inner.high)?.truthy();
        return ok(both);
    }
    let above = match &me.low {
        Value::Nil => true,
        low => ruby.order(low, value)?.is_some_and(std::cmp::Ordering::is_le),
    };
    let below = match &me.high {
        Value::Nil => true,
        high => ruby.order(value, high)?.is_some_and(|order| if me.exclusive { order.is_lt() } else { order.is_le() }),
    };
    ok(above && below)
}

fn step(ruby: &mut Interp, me: &Rc<Range>, call: &Call) -> Result<Value> {
    if !matches!(me.low, Value::Int(_) | Value::Float(_)) {
        let by = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(0).max(1);
        let items: Vec<_> = items(ruby, me)?.into_iter().step_by(by).collect();
        let Some(block) = &call.block else { return ok(items) };
        for item in items {
            ruby.yield_to(block, vec![item])?;
        }
        return Ok(Value::Range(Rc::clone(me)));
    }
    let mut stepped = Call::of(vec![me.high.clone(), call.arg(0)]);
    let exclusive = me.exclusive;
    stepped.block = None;
    let all = number::call(ruby, &me.low, "step", &stepped)?.unwrap_or(Value::Nil);
    let Value::Array(array) = &all else { return Ok(all) };
    if exclusive {
        array.items.borrow_mut().retain(|item| item.key() != me.high.key());
    }
    let Some(block) = &call.block else { return Ok(all) };
    let items = array.items.borrow().clone();
    for item in items {
        ruby.yield_to(block, vec![item])?;
    }
    Ok(Value::Range(Rc::clone(me)))
}
