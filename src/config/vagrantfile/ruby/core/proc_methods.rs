//! Blocks as objects.

use std::rc::Rc;

use super::super::scope::{Code, Proc};
use super::super::value::Value;
use super::ok;

methods! { ruby, me: &Rc<Proc>, name, call;
    "call" | "()" | "yield" | "===" | "[]" => ruby.call_proc(me, call.clone()),
    "to_proc" | "unbind" => Ok(Value::Proc(Rc::clone(me))),
    "lambda?" => ok(me.lambda),
    "arity" => ok(arity(me)),
    "curry" => Err(ruby.unsupported("`curry`")),
    "name" => Ok(match &me.code { Code::Method { name, .. } => Value::Sym(*name), _ => Value::Nil }),
    "parameters" => Err(ruby.unsupported("`parameters` of a proc")),
    "source_location" => Ok(Value::Nil),
    "owner" | "receiver" => Ok(match &me.code { Code::Method { receiver, .. } => receiver.clone(), _ => Value::Nil }),
    ">>" => Ok(chained(Value::Proc(Rc::clone(me)), call.arg(0))),
    "<<" => Ok(chained(call.arg(0), Value::Proc(Rc::clone(me)))),
}

fn chained(first: Value, second: Value) -> Value {
    Value::Proc(Rc::new(Proc { code: Code::Chain(first, second), lambda: true }))
}

fn arity(me: &Proc) -> i64 {
    let Code::Block { function, .. } = &me.code else { return -1 };
    let params = &function.params;
    let required = i64::try_from(params.required.len() + params.post.len()).unwrap_or(0);
    let open = params.rest.is_some() || (me.lambda && !params.optional.is_empty());
    if open { -required - 1 } else { required }
}
