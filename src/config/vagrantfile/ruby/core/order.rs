//! `<=>` and what follows from it.

use std::cmp::Ordering;

use super::super::flow::{Flow, Result};
use super::super::interp::{Call, Interp};
use super::super::show;
use super::super::value::Value;
use super::{number, ok};

methods! { ruby, me: &Value, name, call;
    "<" => { let order = compared(ruby, me, call)?; ok(order.is_lt()) },
    ">" => { let order = compared(ruby, me, call)?; ok(order.is_gt()) },
    "<=" => { let order = compared(ruby, me, call)?; ok(order.is_le()) },
    ">=" => { let order = compared(ruby, me, call)?; ok(order.is_ge()) },
    "between?" => {
        let (low, high) = (call.arg(0), call.arg(1));
        ok(ruby.order_of(me, &low)?.is_ge() && ruby.order_of(me, &high)?.is_le())
    },
    "clamp" => {
        let (low, high) = match call.arg(0) {
            Value::Range(range) => (range.low.clone(), range.high.clone()),
            low => (low, call.arg(1)),
        };
        Ok(if ruby.order_of(me, &low)?.is_lt() { low } else if ruby.order_of(me, &high)?.is_gt() { high } else { me.clone() })
    },
}

fn compared(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Ordering> {
    let other = call.arg(0);
    ruby.order_of(me, &other)
}

impl Interp {
    /// `a <=> b`; `None` where they cannot be compared.
    pub fn order(&mut self, a: &Value, b: &Value) -> Result<Option<Ordering>> {
        self.step()?;
        Ok(match (a, b) {
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => number::order(a, b),
            (Value::Str(a), Value::Str(b)) => Some(a.get().cmp(&b.get())),
            (Value::Sym(a), Value::Sym(b)) => Some(a.text().cmp(&b.text())),
            (Value::Array(a), Value::Array(b)) => {
                let (a, b) = (a.items.borrow().clone(), b.items.borrow().clone());
                for (a, b) in a.iter().zip(&b) {
                    match self.deeper(|ruby| ruby.order(a, b))? {
                        Some(Ordering::Equal) => {}
                        other => return Ok(other),
                    }
                }
                Some(a.len().cmp(&b.len()))
            }
            (Value::Object(_), _) => match self.send(a, "<=>", vec![b.clone()])? {
                Value::Int(order) => Some(order.cmp(&0)),
                _ => None,
            },
            (Value::Nil, Value::Nil) => Some(Ordering::Equal),
            (Value::Bool(a), Value::Bool(b)) if a == b => Some(Ordering::Equal),
            _ => None,
        })
    }

    /// The order of two values that must have one.
    pub fn order_of(&mut self, a: &Value, b: &Value) -> Result<Ordering> {
        if let Some(order) = self.order(a, b)? {
            Ok(order)
        } else {
            let mine = self.class_of(a).name.borrow().to_string();
            let other = match b {
                Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) => show::inspect(b),
                other => self.class_of(other).name.borrow().to_string(),
            };
            Err(self.error("ArgumentError", format!("comparison of {mine} with {other} failed")))
        }
    }

    /// Sorts by a comparison that may fail.
    pub fn sort_with(
        &mut self,
        items: &mut [Value],
        compare: &mut dyn FnMut(&mut Self, &Value, &Value) -> Result<Ordering>,
    ) -> Result<()> {
        let mut failed: Option<Flow> = None;
        items.sort_by(|a, b| {
            if failed.is_some() {
                return Ordering::Equal;
            }
            compare(self, a, b).unwrap_or_else(|flow| {
                failed = Some(flow);
                Ordering::Equal
            })
        });
        failed.map_or(Ok(()), Err)
    }
}
