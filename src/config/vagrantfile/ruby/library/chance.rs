//! Chance: bounded, and a new one in every run, as in Ruby.

use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::value::Value;

/// The next number (SplitMix64).
pub fn number(ruby: &mut Interp) -> u64 {
    ruby.chance = ruby.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = ruby.chance;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where a run begins.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_le_bytes(bytes),
        Err(_) => u64::from(super::clock::now().1),
    }
}

/// A number below another.
pub fn below(ruby: &mut Interp, limit: u64) -> u64 {
    if limit == 0 { 0 } else { number(ruby) % limit }
}

/// `rand(limit)`: an integer below an integer or in a range, else a fraction.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub fn random(ruby: &mut Interp, limit: &Value) -> Result<Value> {
    let fraction = |ruby: &mut Interp| (number(ruby) >> 11) as f64 / (1u64 << 53) as f64;
    Ok(match limit {
        Value::Int(limit) if *limit != 0 => {
            Value::Int(i64::try_from(below(ruby, limit.unsigned_abs())).unwrap_or_default())
        }
        Value::Float(limit) => Value::Float(fraction(ruby) * limit),
        Value::Range(range) => match (&range.low, &range.high) {
            (Value::Int(low), Value::Int(high)) => {
                let high = if range.exclusive { high.saturating_sub(1) } else { *high };
                let Some(width) = high.checked_sub(*low).filter(|width| *width >= 0) else { return Ok(Value::Nil) };
                let step = i64::try_from(below(ruby, width.unsigned_abs().saturating_add(1))).unwrap_or_default();
                Value::Int(low.saturating_add(step))
            }
            (low, high) => {
                let (low, high) = (super::super::core::float(low), super::super::core::float(high));
                Value::Float(low + fraction(ruby) * (high - low))
            }
        },
        _ => Value::Float(fraction(ruby)),
    })
}
