//! Enumerators: a method that wants a block, and waits for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::super::class::Object;
use super::super::flow::{Flow, Result};
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::{Code, Proc};
use super::super::value::Value;
use super::number::int;
use super::ok;

/// Elements of an endless one that are kept, at most, where all are asked for.
const MOST: usize = 1_000_000;

/// Whether a method without a block gives an enumerator.
pub fn waits(receiver: &Value, name: &str, call: &Call) -> bool {
    if call.block.is_some() {
        return false;
    }
    match (receiver, call.args.len()) {
        (Value::Int(_), 0) => name == "times",
        (Value::Int(_) | Value::Float(_), _) => matches!(name, "upto" | "downto" | "step"),
        (Value::Str(_), 0) => matches!(name, "each_char" | "each_line" | "each_byte"),
        (Value::Range(_), 1) if matches!(name, "step" | "%") => true,
        (Value::Array(_) | Value::Hash(_) | Value::Range(_) | Value::Object(_), 0) => matches!(
            name,
            "each"
                | "each_with_index"
                | "each_pair"
                | "each_key"
                | "each_value"
                | "each_index"
                | "each_entry"
                | "map"
                | "collect"
                | "flat_map"
                | "collect_concat"
                | "filter_map"
                | "select"
                | "filter"
                | "reject"
                | "partition"
                | "find"
                | "detect"
                | "find_index"
                | "find_all"
                | "take_while"
                | "drop_while"
                | "group_by"
                | "sort_by"
                | "min_by"
                | "max_by"
                | "reverse_each"
                | "delete_if"
                | "keep_if"
                | "map!"
                | "collect!"
                | "select!"
                | "reject!"
                | "cycle"
                | "transform_values"
                | "transform_keys"
                | "chunk_while"
                | "slice_when"
        ),
        (Value::Array(_) | Value::Hash(_) | Value::Range(_) | Value::Object(_), 1) => {
            matches!(name, "each_slice" | "each_cons" | "each_with_object")
        }
        _ => false,
    }
}

/// The enumerator of a method.
pub fn of(ruby: &Interp, receiver: &Value, name: &str, call: &Call) -> Value {
    let object = Object::new(&ruby.class_named("Enumerator"));
    object.set("@receiver", receiver.clone());
    object.set("@method", Value::sym(name));
    object.set("@args", Value::array(call.args.clone()));
    Value::Object(object)
}

/// `Enumerator.new { |out| … }`.
pub fn generated(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let Some(block) = call.block.clone() else {
        return Err(ruby.error("ArgumentError", "no block given"));
    };
    let class = ruby.class_named("Enumerator");
    ruby.autoload("Enumerator")?;
    let generator = ruby.const_in(&class, Name::of("Generator"))?;
    let generator = ruby.send(&generator, "new", vec![Value::Proc(block)])?;
    Ok(of(ruby, &generator, "each", &Call::default()))
}

/// What `lazy` gives.
pub fn lazy(ruby: &mut Interp, source: &Value) -> Result<Value> {
    ruby.autoload("Enumerator")?;
    let class = ruby.class_named("Enumerator");
    let lazy = ruby.const_in(&class, Name::of("Lazy"))?;
    ruby.send(&lazy, "of", vec![source.clone()])
}

/// Whether an object is an enumerator that this file made.
pub fn is(object: &Object) -> bool {
    object.get("@method").is_some() && &**object.class.name.borrow() == "Enumerator"
}

methods! { ruby, me: &Rc<Object>, name, call;
    "each" => match &call.block {
        Some(block) => each(ruby, me, block),
        None => Ok(Value::Object(Rc::clone(me))),
    },
    "with_index" | "each_with_index" | "with_object" | "each_with_object" => with(ruby, me, name, call),
    "size" => { let receiver = part(me, "@receiver"); if matches!(receiver, Value::Array(_) | Value::Hash(_) | Value::Range(_) | Value::Int(_)) { let items = ruby.items_of(&Value::Object(Rc::clone(me)))?; ok(items.len()) } else { Ok(Value::Nil) } },
    "next" | "peek" => {
        let at = me.get("@at").map_or(Ok(0), |at| int(ruby, &at))?;
        let wanted = usize::try_from(at).unwrap_or(0);
        let items = ruby.some_items(&Value::Object(Rc::clone(me)), wanted + 1)?;
        let Some(item) = items.get(wanted).cloned() else {
            return Err(ruby.error("StopIteration", "iteration reached an end"));
        };
        if name == "next" { me.set("@at", Value::Int(at + 1)); }
        Ok(item)
    },
    "rewind" => { me.set("@at", Value::Int(0)); Ok(Value::Object(Rc::clone(me))) },
    "inspect" | "to_s" => {
        let (receiver, method) = (part(me, "@receiver"), part(me, "@method"));
        let (receiver, method) = (ruby.inspect(&receiver)?, ruby.to_s(&method)?);
        let args = ruby.inspect(&part(me, "@args"))?;
        let args = args.trim_start_matches('[').trim_end_matches(']');
        let args = if args.is_empty() { String::new() } else { format!("({args})") };
        ok(if matches!(&*method, "step" | "%") { format!("(({receiver}).{method}{args})") } else { format!("#<Enumerator: {receiver}:{method}{args}>") })
    },
    "+" => { let mut items = ruby.items_of(&Value::Object(Rc::clone(me)))?; items.extend(ruby.items_of(&call.arg(0))?); ok(items) },
}

fn part(me: &Object, name: &str) -> Value {
    me.get(name).unwrap_or(Value::Nil)
}

/// Gives the block to the method that waits for it.
fn each(ruby: &mut Interp, me: &Object, block: &Rc<Proc>) -> Result<Value> {
    let args = match part(me, "@args") {
        Value::Array(args) => args.items.borrow().clone(),
        _ => Vec::new(),
    };
    let method = part(me, "@method");
    let method = ruby.name_from(&method)?;
    let call = Call { block: Some(Rc::clone(block)), own: true, ..Call::of(args) };
    ruby.call(&part(me, "@receiver"), method, call)
}

fn with(ruby: &mut Interp, me: &Rc<Object>, name: &str, call: &Call) -> Result<Value> {
    let Some(block) = &call.block else { return Ok(of(ruby, &Value::Object(Rc::clone(me)), name, call)) };
    let extra = if name.ends_with("object") {
        Extra::Object(call.arg(0))
    } else {
        let from = if call.arg(0).is_nil() { 0 } else { int(ruby, &call.arg(0))? };
        Extra::Number(Cell::new(from))
    };
    let result = match &extra {
        Extra::Object(object) => Some(object.clone()),
        Extra::Number(_) => None,
    };
    let code = Code::With { block: Rc::clone(block), extra };
    let value = each(ruby, me, &Rc::new(Proc { code, lambda: false }))?;
    Ok(result.unwrap_or(value))
}

/// What a block gets besides the element.
pub enum Extra {
    Number(Cell<i64>),
    Object(Value),
}

impl Extra {
    /// The value for the next element.
    pub fn next(&self) -> Value {
        match self {
            Self::Object(object) => object.clone(),
            Self::Number(number) => {
                let now = number.get();
                number.set(now.saturating_add(1));
                Value::Int(now)
            }
        }
    }
}

/// Where elements are put that something yields.
pub struct Basket {
    pub items: RefCell<Vec<Value>>,
    most: usize,
    full: u64,
}

impl Interp {
    /// The first elements of something: no more are computed.
    pub fn some_items(&mut self, value: &Value, most: usize) -> Result<Vec<Value>> {
        match value {
            Value::Array(_) | Value::Hash(_) => {
                let mut items = self.items_of(value)?;
                items.truncate(most);
                Ok(items)
            }
            _ => self.yielded(value, most),
        }
    }

    /// What an `each` yields.
    pub fn yielded(&mut self, value: &Value, most: usize) -> Result<Vec<Value>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let full = self.tag();
        let basket = Rc::new(Basket { items: RefCell::default(), most: most.min(MOST), full });
        let code = Code::Basket(Rc::clone(&basket));
        let block = Rc::new(Proc { code, lambda: false });
        match self.call(value, Name::of("each"), Call { block: Some(block), own: true, ..Call::default() }) {
            Err(Flow::Break(to, _)) if to == full => {}
            Err(other) => return Err(other),
            Ok(_) => {}
        }
        Ok(basket.items.take())
    }

    /// Puts what was yielded into a basket; several values are an array.
    pub fn collect(&mut self, basket: &Basket, call: &Call) -> Result<Value> {
        let mut args = call.flat();
        let item = match args.len() {
            1 => args.remove(0),
            0 => Value::Nil,
            _ => Value::array(args),
        };
        self.grow(size_of::<Value>())?;
        basket.items.borrow_mut().push(item);
        let length = basket.items.borrow().len();
        match length {
            MOST => Err(self.unsupported("an endless list")),
            length if length >= basket.most => Err(Flow::Break(basket.full, Value::Nil)),
            _ => Ok(Value::Nil),
        }
    }
}
