//! `ENV`: what the program sees of the environment. What it sets is seen by itself only.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;

use super::super::flow::Result;
use super::super::host::HostObject;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::value::Value;

/// `ENV`.
pub struct Env {
    vars: RefCell<IndexMap<String, String>>,
}

impl Env {
    pub fn new(vars: Vec<(String, String)>) -> Self {
        Self { vars: RefCell::new(vars.into_iter().collect()) }
    }

    fn as_hash(&self) -> Value {
        Value::hash(self.vars.borrow().iter().map(|(name, value)| (Value::str(name), Value::str(value))))
    }

    fn get(&self, name: &Value) -> Option<String> {
        self.vars.borrow().get(&*name.text()?).cloned()
    }

    fn set(&self, ruby: &mut Interp, name: &Value, value: &Value) -> Result<Value> {
        let Some(text) = name.text() else { return Err(ruby.type_error(name, "String")) };
        match value {
            Value::Nil => {
                self.vars.borrow_mut().shift_remove(&*text);
            }
            Value::Str(_) => {
                let value = value.text().unwrap_or_default();
                ruby.grow(value.len())?;
                self.vars.borrow_mut().insert(text.to_string(), value.to_string());
            }
            other => return Err(ruby.type_error(other, "String")),
        }
        Ok(value.clone())
    }
}

impl HostObject for Env {
    fn class_name(&self) -> Rc<str> {
        "ENV".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        let found = match &*name.text() {
            "[]" => self.get(&call.arg(0)).into(),
            "[]=" | "store" => self.set(ruby, &call.arg(0), &call.arg(1))?,
            "delete" => {
                let old = self.get(&call.arg(0));
                self.set(ruby, &call.arg(0), &Value::Nil)?;
                old.into()
            }
            "update" | "merge!" => {
                if let Value::Hash(other) = call.flat().first().cloned().unwrap_or(Value::Nil) {
                    for (name, value) in other.pairs() {
                        self.set(ruby, &name, &value)?;
                    }
                }
                Value::Host(self)
            }
            // Of an object, not of a hash.
            "nil?" | "class" | "is_a?" | "respond_to?" | "object_id" => return Ok(None),
            _ => return ruby.call(&self.as_hash(), name, call.clone()).map(Some),
        };
        Ok(Some(found))
    }

    fn responds(&self, _name: Name) -> bool {
        true
    }
}
