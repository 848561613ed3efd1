//! JSON.

use super::super::budget::{OBJECT, PAIR};
use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::show;
use super::super::value::Value;

/// `JSON.parse`.
pub fn parse(ruby: &mut Interp, text: &str, symbols: bool) -> Result<Value> {
    let parts = text.bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    ruby.grow(text.len() + parts * PAIR)?;
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => Ok(from(value, symbols)),
        Err(error) => Err(ruby.error("JSON::ParserError", error.to_string())),
    }
}

fn from(value: serde_json::Value, symbols: bool) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::str(text),
        serde_json::Value::Array(items) => Value::array(items.into_iter().map(|item| from(item, symbols)).collect()),
        serde_json::Value::Object(map) => Value::hash(map.into_iter().map(|(key, value)| {
            let key = if symbols { Value::sym(&key) } else { Value::str(key) };
            (key, from(value, symbols))
        })),
    }
}

/// `JSON.generate`, `to_json`.
pub fn generate(ruby: &mut Interp, value: &Value) -> Result<serde_json::Value> {
    ruby.step()?;
    // Twice: as a tree, then as its text.
    ruby.grow(2 * OBJECT)?;
    ruby.deeper(|ruby| {
        Ok(match value {
            Value::Nil => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Array(array) => {
                let items = array.items.borrow().clone();
                serde_json::Value::Array(items.iter().map(|item| generate(ruby, item)).collect::<Result<_>>()?)
            }
            Value::Hash(hash) => {
                let mut map = serde_json::Map::new();
                for (key, value) in hash.pairs() {
                    let key = ruby.to_s(&key)?;
                    ruby.grow(PAIR + 2 * key.len())?;
                    map.insert(key, generate(ruby, &value)?);
                }
                serde_json::Value::Object(map)
            }
            other => {
                let text = show::to_s(other).map_or_else(|| ruby.to_s(other), Ok)?;
                ruby.grow(2 * text.len())?;
                text.into()
            }
        })
    })
}
