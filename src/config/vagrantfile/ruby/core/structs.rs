//! `Struct` and objects made by it.

use std::rc::Rc;

use super::super::class::{Class, Object};
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::show;
use super::super::value::Value;
use super::ok;

methods! { ruby, me: &Rc<Object>, name, call;
    "initialize" => initialize(ruby, me, call),
    "to_a" | "deconstruct" | "values" => ok(values(me)),
    "members" => ok(members(me).into_iter().map(Value::Sym).collect::<Vec<_>>()),
    "size" | "length" => ok(members(me).len()),
    "each_pair" => { if let Some(block) = &call.block { for (name, value) in members(me).into_iter().zip(values(me)) { ruby.yield_to(block, vec![Value::Sym(name), value])?; } } Ok(Value::Object(Rc::clone(me))) },
    "values_at" => { let list = Value::array(values(me)); ruby.send(&list, "values_at", call.args.clone()) },
    "to_h" | "deconstruct_keys" => Ok(Value::hash(members(me).into_iter().map(Value::Sym).zip(values(me)))),
    "each" => { if let Some(block) = &call.block { for value in values(me) { ruby.yield_to(block, vec![value])?; } } Ok(Value::Object(Rc::clone(me))) },
    "==" | "eql?" => { let other = call.arg(0); let same = matches!(&other, Value::Object(other) if Rc::ptr_eq(&other.class, &me.class)); ok(same && equal(ruby, me, &other)?) },
    "[]" => { let name = member(ruby, me, &call.arg(0))?; Ok(me.instance_vars.borrow().get(&variable(name)).cloned().unwrap_or(Value::Nil)) },
    "[]=" => { let name = member(ruby, me, &call.arg(0))?; me.instance_vars.borrow_mut().insert(variable(name), call.arg(1)); Ok(call.arg(1)) },
    "to_s" | "inspect" => ok(shown(me)),
    "dig" => super::array::dig(ruby, &Value::Object(Rc::clone(me)), &call.args),
}

fn variable(name: Name) -> Name {
    Name::of(&format!("@{name}"))
}

fn members(me: &Object) -> Vec<Name> {
    me.class.struct_members().unwrap_or_default()
}

fn values(me: &Object) -> Vec<Value> {
    let vars = me.instance_vars.borrow();
    members(me).into_iter().map(|name| vars.get(&variable(name)).cloned().unwrap_or(Value::Nil)).collect()
}

fn equal(ruby: &mut Interp, me: &Object, other: &Value) -> Result<bool> {
    let Value::Object(other) = other else { return Ok(false) };
    ruby.equal(&Value::array(values(me)), &Value::array(values(other)))
}

fn member(ruby: &mut Interp, me: &Object, key: &Value) -> Result<Name> {
    let members = members(me);
    let found = match key {
        Value::Int(at) => usize::try_from(*at).ok().and_then(|at| members.get(at).copied()),
        other => other.text().map(|text| Name::of(&text)).filter(|name| members.contains(name)),
    };
    found.ok_or_else(|| ruby.error("NameError", format!("no member '{}' in struct", key.text().unwrap_or_default())))
}

fn shown(me: &Object) -> String {
    let pairs = members(me).into_iter().zip(values(me));
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", show::inspect(&value))).collect();
    format!("#<struct {} {}>", me.class.name.borrow(), pairs.join(", "))
}

fn initialize(ruby: &mut Interp, me: &Rc<Object>, call: &Call) -> Result<Value> {
    let members = members(me);
    if call.args.len() > members.len() {
        return Err(ruby.error("ArgumentError", "struct size differs"));
    }
    for (at, name) in members.into_iter().enumerate() {
        let named = call.keywords.as_ref().and_then(|keywords| keywords.get(&Value::Sym(name)));
        let value = if call.args.is_empty() { named.unwrap_or(Value::Nil) } else { call.arg(at) };
        me.instance_vars.borrow_mut().insert(variable(name), value);
    }
    Ok(Value::Nil)
}

/// `Struct.new(:a, :b)`.
pub fn new_class(ruby: &mut Interp, call: &Call) -> Result<Value> {
    let mut names = Vec::new();
    for arg in call.args.iter().filter(|arg| matches!(arg, Value::Sym(_) | Value::Str(_))) {
        names.push(ruby.name_from(arg)?);
    }
    let class = Class::new("", Some(ruby.class_named("Struct")), false);
    *class.members.borrow_mut() = Some(names);
    let value = Value::Class(class);
    if let Some(block) = &call.block {
        ruby.call_with_self(block, value.clone(), Call::default(), false)?;
    }
    Ok(value)
}

/// Answers for an object of a struct: its members, and the methods above.
pub fn answer(ruby: &mut Interp, object: &Rc<Object>, name: Name, call: &Call) -> Result<Option<Value>> {
    let Some(members) = object.class.struct_members() else { return Ok(None) };
    let text = name.text();
    if members.contains(&name) {
        return Ok(Some(object.instance_vars.borrow().get(&variable(name)).cloned().unwrap_or(Value::Nil)));
    }
    if let Some(setter) = text.strip_suffix('=').map(Name::of).filter(|setter| members.contains(setter)) {
        object.instance_vars.borrow_mut().insert(variable(setter), call.arg(0));
        return Ok(Some(call.arg(0)));
    }
    self::call(ruby, object, &text, call)
}

/// Whether an object of a struct has a method.
pub fn has(object: &Object, name: Name) -> bool {
    object.class.struct_members().is_some_and(|members| {
        members.contains(&name)
            || members.iter().any(|member| *name.text() == format!("{member}="))
            || knows(&name.text())
    })
}
