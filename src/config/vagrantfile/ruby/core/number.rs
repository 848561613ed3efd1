//! Integers and floating-point numbers.

use std::cmp::Ordering;
use std::num::IntErrorKind;

use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::show;
use super::super::value::Value;
use super::ok;

methods! { ruby, me: &Value, name, call;
    "pow" => if call.arg(1).is_nil() { arithmetic(ruby, me, name, &call.arg(0)) } else { power(ruby, me, call) },
    "+" | "-" | "*" | "/" | "%" | "modulo" | "**" | "div" | "fdiv" => arithmetic(ruby, me, name, &call.arg(0)),
    "divmod" => {
        let div = arithmetic(ruby, me, "div", &call.arg(0))?;
        ok(vec![div, arithmetic(ruby, me, "%", &call.arg(0))?])
    },
    "&" | "|" | "^" | "<<" | ">>" => bits(ruby, me, name, call),
    "-@" => arithmetic(ruby, &Value::Int(0), "-", me),
    "+@" => Ok(me.clone()),
    "~" => { let value = int(ruby, me)?; ok(!value) },
    "[]" => { let (value, bit) = (int(ruby, me)?, int(ruby, &call.arg(0))?); ok(if bit < 0 { 0 } else { (value >> bit.min(63)) & 1 }) },
    "==" | "===" => { let other = call.arg(0); ruby.equal(me, &other).map(Value::Bool) },
    "equal?" | "eql?" => ok(me.key() == call.arg(0).key()),
    "<" | ">" | "<=" | ">=" => compare(ruby, me, name, &call.arg(0)),
    "<=>" => ok(order(me, &call.arg(0)).map(|order| order as i64)),
    "to_i" | "to_int" | "truncate" => whole(ruby, me, f64::trunc),
    "floor" => rounded(ruby, me, call, f64::floor),
    "ceil" => rounded(ruby, me, call, f64::ceil),
    "round" => rounded(ruby, me, call, f64::round),
    "to_f" => ok(float(me)),
    "to_s" | "inspect" => in_base(ruby, me, call),
    "chr" => character(ruby, me),
    "ord" => Ok(me.clone()),
    "times" => times(ruby, me, call),
    "upto" | "downto" | "step" => count(ruby, me, name, call),
    "succ" | "next" => arithmetic(ruby, me, "+", &Value::Int(1)),
    "pred" => arithmetic(ruby, me, "-", &Value::Int(1)),
    "abs" | "magnitude" => if float(me) < 0.0 { arithmetic(ruby, &Value::Int(0), "-", me) } else { Ok(me.clone()) },
    "zero?" => ok(float(me) == 0.0),
    "positive?" => ok(float(me) > 0.0),
    "negative?" => ok(float(me) < 0.0),
    "nonzero?" => Ok(if float(me) == 0.0 { Value::Nil } else { me.clone() }),
    "even?" => { let value = int(ruby, me)?; ok(value % 2 == 0) },
    "odd?" => { let value = int(ruby, me)?; ok(value % 2 != 0) },
    "integer?" => ok(matches!(me, Value::Int(_))),
    "finite?" => ok(float(me).is_finite()),
    "infinite?" => Ok(if float(me).is_infinite() { Value::Int(1) } else { Value::Nil }),
    "nan?" => ok(float(me).is_nan()),
    "gcd" | "lcm" => divisors(ruby, me, name, call),
    "digits" => { let value = int(ruby, me)?; if value < 0 { return Err(ruby.error("Math::DomainError", "out of domain")); } ok(value.to_string().bytes().rev().map(|b| Value::Int((b - b'0').into())).collect::<Vec<_>>()) },
    "bit_length" => { let value = int(ruby, me)?; ok(i64::from(64 - (if value < 0 { !value } else { value }).leading_zeros())) },
    "size" => ok(8),
    "coerce" => ok(vec![Value::Float(float(&call.arg(0))), Value::Float(float(me))]),
}

/// As a floating-point number; large integers lose digits, as in Ruby.
#[expect(clippy::cast_precision_loss, reason = "as Ruby converts")]
pub fn float(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        _ => f64::NAN,
    }
}

/// An integer argument.
pub fn int(ruby: &mut Interp, value: &Value) -> Result<i64> {
    match value {
        Value::Int(value) => Ok(*value),
        Value::Float(value) => from_float(ruby, *value),
        other => Err(ruby.type_error(other, "Integer")),
    }
}

fn from_float(ruby: &mut Interp, value: f64) -> Result<i64> {
    if !value.is_finite() {
        return Err(ruby.error("FloatDomainError", show::float(value)));
    }
    // 2^63, exactly.
    if value.abs() >= 9_223_372_036_854_775_808.0 {
        return Err(ruby.unsupported("a number this large"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounds were checked")]
    Ok(value as i64)
}

fn arithmetic(ruby: &mut Interp, me: &Value, name: &str, other: &Value) -> Result<Value> {
    match (me, other) {
        (Value::Int(a), Value::Int(b)) if name != "fdiv" => integers(ruby, *a, name, *b),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            let (a, b) = (float(me), float(other));
            Ok(match name {
                "+" => Value::Float(a + b),
                "-" => Value::Float(a - b),
                "*" => Value::Float(a * b),
                "/" | "fdiv" => Value::Float(a / b),
                "%" | "modulo" => Value::Float(a - b * (a / b).floor()),
                "div" => return from_float(ruby, (a / b).floor()).map(Value::Int),
                _ => Value::Float(a.powf(b)),
            })
        }
        _ => {
            let shown = match other {
                Value::Nil | Value::Bool(_) => show::inspect(other),
                other => ruby.class_of(other).name.borrow().to_string(),
            };
            let mine = ruby.class_of(me).name.borrow().to_string();
            Err(ruby.error("TypeError", format!("{shown} can't be coerced into {mine}")))
        }
    }
}

fn integers(ruby: &mut Interp, a: i64, name: &str, b: i64) -> Result<Value> {
    if b == 0 && matches!(name, "/" | "%" | "modulo" | "div") {
        return Err(ruby.error("ZeroDivisionError", "divided by 0"));
    }
    let floor = || {
        let quotient = a.checked_div(b)?;
        Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
    };
    let value = match name {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "/" | "div" => floor(),
        "%" | "modulo" => floor().and_then(|quotient| a.checked_sub(quotient.checked_mul(b)?)),
        _ if b < 0 => return Err(ruby.unsupported("rational numbers")),
        _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
    };
    value.map(Value::Int).ok_or_else(|| ruby.unsupported("a number this large"))
}

/// `3.pow(20, 7)`: what is left of a power.
fn power(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let (base, exponent, modulus) = (int(ruby, me)?, int(ruby, &call.arg(0))?, int(ruby, &call.arg(1))?);
    let (Ok(mut exponent), true) = (u64::try_from(exponent), modulus > 0) else {
        return Err(ruby.unsupported("what is left of such a power"));
    };
    let modulus = i128::from(modulus);
    let (mut base, mut left) = (i128::from(base).rem_euclid(modulus), 1 % modulus);
    while exponent > 0 {
        if exponent % 2 == 1 {
            left = left * base % modulus;
        }
        base = base * base % modulus;
        exponent /= 2;
    }
    ok(i64::try_from(left).unwrap_or_default())
}

fn bits(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let (a, mut b) = (int(ruby, me)?, int(ruby, &call.arg(0))?);
    // The other way.
    let name = match name {
        "<<" if b < 0 => ">>",
        ">>" if b < 0 => "<<",
        name => name,
    };
    if matches!(name, "<<" | ">>") {
        b = b.saturating_abs();
    }
    let shift = |by: i64| u32::try_from(by).ok().filter(|by| *by < 63);
    let value = match name {
        "&" => Some(a & b),
        "|" => Some(a | b),
        "^" => Some(a ^ b),
        "<<" if a == 0 => Some(0),
        "<<" => shift(b).and_then(|by| a.checked_mul(1 << by)),
        _ => Some(a >> shift(b).unwrap_or(63)),
    };
    value.map(Value::Int).ok_or_else(|| ruby.unsupported("a number this large"))
}

/// How two numbers compare; `None` where one is none.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        _ => float(a).partial_cmp(&float(b)),
    }
}

fn compare(ruby: &mut Interp, me: &Value, name: &str, other: &Value) -> Result<Value> {
    let Some(order) = order(me, other) else {
        let (mine, shown) = (ruby.class_of(me).name.borrow().to_string(), show::inspect(other));
        return Err(ruby.error("ArgumentError", format!("comparison of {mine} with {shown} failed")));
    };
    ok(match name {
        "<" => order.is_lt(),
        ">" => order.is_gt(),
        "<=" => order.is_le(),
        _ => order.is_ge(),
    })
}

fn whole(ruby: &mut Interp, me: &Value, round: fn(f64) -> f64) -> Result<Value> {
    match me {
        Value::Float(value) => from_float(ruby, round(*value)).map(Value::Int),
        other => Ok(other.clone()),
    }
}

fn rounded(ruby: &mut Interp, me: &Value, call: &Call, round: fn(f64) -> f64) -> Result<Value> {
    match (me, call.arg(0)) {
        (Value::Float(value), Value::Int(digits)) if digits > 0 => {
            let scale = 10f64.powf(float(&Value::Int(digits.min(15))));
            ok(round(value * scale) / scale)
        }
        (_, Value::Int(digits)) if digits < 0 => {
            let scale = 10f64.powf(float(&Value::Int(-digits.max(-18))));
            from_float(ruby, round(float(me) / scale) * scale).map(Value::Int)
        }
        _ => whole(ruby, me, round),
    }
}

fn in_base(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let (Value::Int(value), Value::Int(base)) = (me, call.arg(0)) else {
        return ok(show::to_s(me).unwrap_or_default());
    };
    let Some(base) = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)) else {
        return Err(ruby.error("ArgumentError", format!("invalid radix {base}")));
    };
    let mut digits = Vec::new();
    let mut rest = value.unsigned_abs();
    while rest > 0 || digits.is_empty() {
        let digit = u32::try_from(rest % u64::from(base)).unwrap_or_default();
        digits.extend(char::from_digit(digit, base));
        rest /= u64::from(base);
    }
    if *value < 0 {
        digits.push('-');
    }
    ok(digits.into_iter().rev().collect::<String>())
}

fn character(ruby: &mut Interp, me: &Value) -> Result<Value> {
    let value = int(ruby, me)?;
    match u32::try_from(value).ok().and_then(char::from_u32) {
        Some(c) => ok(c.to_string()),
        None => Err(ruby.error("RangeError", format!("{value} out of char range"))),
    }
}

fn times(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let count = int(ruby, me)?;
    let Some(block) = &call.block else { return super::range::list(ruby, 0, count - 1).map(Value::array) };
    for number in 0..count {
        ruby.yield_to(block, vec![Value::Int(number)])?;
    }
    Ok(me.clone())
}

/// `1.upto(3)`, `3.downto(1)`, `1.step(10, 3)`.
fn count(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let limit = call.keyword("to").unwrap_or_else(|| call.arg(0));
    let step = match name {
        "upto" => Value::Int(1),
        "downto" => Value::Int(-1),
        _ => call.keyword("by").or_else(|| call.args.get(1).cloned()).unwrap_or(Value::Int(1)),
    };
    if float(&step) == 0.0 {
        return Err(ruby.error("ArgumentError", "step can't be 0"));
    }
    let mut values = Vec::new();
    let mut at = me.clone();
    let down = float(&step) < 0.0;
    while limit.is_nil() || order(&at, &limit).is_some_and(|order| if down { order.is_ge() } else { order.is_le() }) {
        ruby.step()?;
        if let Some(block) = &call.block {
            ruby.yield_to(block, vec![at.clone()])?;
        } else {
            ruby.grow(size_of::<Value>())?;
            values.push(at.clone());
        }
        at = arithmetic(ruby, &at, "+", &step)?;
    }
    Ok(if call.block.is_some() { me.clone() } else { Value::array(values) })
}

fn divisors(ruby: &mut Interp, me: &Value, name: &str, call: &Call) -> Result<Value> {
    let (first, second) = (int(ruby, me)?, int(ruby, &call.arg(0))?);
    let (mut a, mut b) = (first.unsigned_abs(), second.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let value = match name {
        "gcd" => Some(a),
        _ if a == 0 => Some(0),
        _ => (first.unsigned_abs() / a).checked_mul(second.unsigned_abs()),
    };
    value
        .and_then(|value| i64::try_from(value).ok())
        .map(Value::Int)
        .ok_or_else(|| ruby.unsupported("a number this large"))
}

/// `Integer("0x1f")`.
pub fn integer_from(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let value = call.arg(0);
    let text = match &value {
        Value::Int(_) => return Ok(value),
        Value::Float(number) => return from_float(ruby, number.trunc()).map(Value::Int),
        Value::Str(text) => text.text.borrow().clone(),
        Value::Nil => return Err(ruby.error("TypeError", "can't convert nil into Integer")),
        other => return ruby.call(other, Name::of("to_i"), Call::default()),
    };
    let clean = text.trim().replace('_', "");
    let (negative, digits) = clean.strip_prefix('-').map_or((false, clean.as_str()), |digits| (true, digits));
    let (base, digits) = match (call.arg(1), digits.get(..2).map(str::to_ascii_lowercase).as_deref()) {
        (Value::Int(base), prefix) => {
            let base = u32::try_from(base).unwrap_or(10).clamp(2, 36);
            let own = matches!((base, prefix), (16, Some("0x")) | (2, Some("0b")) | (8, Some("0o")));
            (base, if own { &digits[2..] } else { digits })
        }
        (_, Some("0x")) => (16, &digits[2..]),
        (_, Some("0b")) => (2, &digits[2..]),
        (_, Some("0o")) => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    match i64::from_str_radix(digits, base) {
        Ok(value) => ok(if negative { -value } else { value }),
        Err(wrong) if matches!(wrong.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
            Err(ruby.unsupported("a number this large"))
        }
        Err(_) if call.keyword("exception").is_some_and(|wanted| !wanted.truthy()) => Ok(Value::Nil),
        Err(_) => Err(ruby.error("ArgumentError", format!("invalid value for Integer(): {}", show::quoted(&text)))),
    }
}

/// `Float("1.5")`.
pub fn float_from(ruby: &mut Interp, call: &Call) -> Result<Value> {
    match call.arg(0) {
        Value::Str(text) => {
            let text = text.text.borrow().clone();
            match text.trim().replace('_', "").parse::<f64>() {
                Ok(value) => ok(value),
                Err(_) => {
                    Err(ruby.error("ArgumentError", format!("invalid value for Float(): {}", show::quoted(&text))))
                }
            }
        }
        value @ (Value::Int(_) | Value::Float(_)) => ok(float(&value)),
        other => Err(ruby.type_error(&other, "Float")),
    }
}
