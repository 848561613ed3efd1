//! What every object has.

use std::rc::Rc;

use super::super::class::{Method, MethodBody, Object, Visibility};
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::{Code, Proc};
use super::super::show;
use super::super::value::{Str, Value};
use super::{class_arg, ok};

methods! { ruby, me: &Value, name, call;
    "equal?" => ok(me.same(&call.arg(0))),
    "==" | "eql?" => { let other = call.arg(0); ruby.equal(me, &other).map(Value::Bool) },
    "!=" => { let other = call.arg(0); Ok(Value::Bool(!ruby.equals(me, &other)?)) },
    "!" => ok(!me.truthy()),
    "===" => case_equal(ruby, me, &call.arg(0)),
    "=~" => Ok(Value::Nil),
    "!~" => { let found = ruby.send(me, "=~", call.args.clone())?; ok(!found.truthy()) },
    "<=>" => { let other = call.arg(0); Ok(if ruby.equals(me, &other)? { Value::Int(0) } else { Value::Nil }) },
    "nil?" => ok(me.is_nil()),
    "to_s" => ok(shown(ruby, me)),
    "inspect" => ruby.inspect(me).map(Value::str),
    "class" => Ok(Value::Class(ruby.class_of(me))),
    "singleton_class" => Ok(Value::Class(ruby.class_of(me))),
    "is_a?" | "kind_of?" => { let class = class_arg(ruby, &call.arg(0))?; ok(ruby.is_a(me, &class)) },
    "instance_of?" => { let class = class_arg(ruby, &call.arg(0))?; ok(Rc::ptr_eq(&ruby.class_of(me), &class)) },
    "respond_to?" => { let name = ruby.name_from(&call.arg(0))?; respond_to(ruby, me, name, call.arg(1).truthy()) },
    "send" | "__send__" | "public_send" => send(ruby, me, call),
    "method" => { let name = ruby.name_from(&call.arg(0))?; method_object(ruby, me, name) },
    "methods" | "public_methods" => ok(method_names(ruby, me)),
    "object_id" | "__id__" | "hash" => ok(identity(me)),
    "freeze" => { freeze(me); Ok(me.clone()) },
    "frozen?" => ok(is_frozen(me)),
    "dup" | "clone" => duplicate(ruby, me),
    "itself" => Ok(me.clone()),
    "tap" => { with_block(ruby, me, call)?; Ok(me.clone()) },
    "then" | "yield_self" => with_block(ruby, me, call),
    "instance_variable_get" => { let name = ruby.name_from(&call.arg(0))?; Ok(ruby.instance_var(me, name)) },
    "instance_variable_set" => {
        let name = ruby.name_from(&call.arg(0))?;
        ruby.set_instance_var(me, name, call.arg(1))?;
        Ok(call.arg(1))
    },
    "instance_variable_defined?" => { let name = ruby.name_from(&call.arg(0))?; ok(!ruby.instance_var(me, name).is_nil()) },
    "instance_variables" => ok(instance_variables(me)),
    "instance_eval" | "instance_exec" => instance_eval(ruby, me, call),
    "singleton_methods" => ok(match me {
        Value::Object(object) => object.singleton.borrow().keys().map(|name| Value::Sym(*name)).collect(),
        Value::Class(class) => class.singleton.borrow().keys().map(|name| Value::Sym(*name)).collect(),
        _ => Vec::new(),
    }),
    "extend" => extend(ruby, me, call),
    "define_singleton_method" => define_singleton_method(ruby, me, call),
    "display" => { let text = ruby.to_s(me)?; ruby.print(&text, super::super::host::Stream::Out)?; Ok(Value::Nil) },
    "to_json" => { let value = super::super::library::json_text(ruby, me)?; ok(value) },
    "to_yaml" => { let text = super::super::library::yaml_text(ruby, me)?; ok(text) },
    "enum_for" | "to_enum" => { let name = call.arg(0).text().unwrap_or_else(|| "each".into()); let rest = Call::of(call.args.iter().skip(1).cloned().collect()); Ok(super::enumerator::of(ruby, me, &name, &rest)) },
    "instance_variable_names" => ok(instance_variables(me)),
}

/// `#<Thing>`.
fn shown(ruby: &Interp, me: &Value) -> String {
    show::to_s(me).unwrap_or_else(|| {
        if me.same(&ruby.main) { "main".into() } else { format!("#<{}>", ruby.class_of(me).name.borrow()) }
    })
}

fn identity(me: &Value) -> i64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher};
    let mut hasher = DefaultHasher::new();
    me.key().hash(&mut hasher);
    // Ruby's are small and even; nobody relies on more than that equal things have equal ones.
    i64::try_from(hasher.finish() >> 8).unwrap_or_default()
}

fn case_equal(ruby: &mut Interp, me: &Value, other: &Value) -> Result<Value> {
    match me {
        Value::Class(class) => ok(ruby.is_a(other, class)),
        _ => ok(ruby.equals(me, other)?),
    }
}

fn respond_to(ruby: &mut Interp, me: &Value, name: Name, private: bool) -> Result<Value> {
    if ruby.responds(me, &name.text()) || (private && ruby.responds_any(me, name)) {
        return Ok(Value::Bool(true));
    }
    if let Value::Host(object) = me {
        return ok(object.responds(name));
    }
    if ruby.responds_any(me, Name::of("respond_to_missing?")) {
        let found = ruby.send(me, "respond_to_missing?", vec![Value::Sym(name), Value::Bool(private)])?;
        return ok(found.truthy());
    }
    Ok(Value::Bool(false))
}

fn send(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let mut call = call.clone();
    if call.args.is_empty() {
        return Err(ruby.error("ArgumentError", "no method name given"));
    }
    let name = ruby.name_from(&call.args.remove(0))?;
    call.own = true;
    ruby.call(me, name, call)
}

fn method_object(ruby: &mut Interp, me: &Value, name: Name) -> Result<Value> {
    if !ruby.responds_any(me, name) {
        let shown = ruby.describe(me);
        return Err(ruby.error("NameError", format!("undefined method `{name}' for {shown}")));
    }
    Ok(Value::Proc(Rc::new(Proc { code: Code::Method { receiver: me.clone(), name }, lambda: true })))
}

fn method_names(ruby: &Interp, me: &Value) -> Vec<Value> {
    let mut names: Vec<Value> = Vec::new();
    for class in ruby.class_of(me).ancestors() {
        names.extend(class.methods.borrow().keys().map(|name| Value::Sym(*name)));
    }
    names
}

/// Freezes what can be changed in place.
pub fn freeze(me: &Value) {
    match me {
        Value::Str(text) => text.frozen.set(true),
        Value::Array(array) => array.frozen.set(true),
        Value::Hash(hash) => hash.frozen.set(true),
        Value::Object(object) => object.frozen.set(true),
        _ => {}
    }
}

fn is_frozen(me: &Value) -> bool {
    match me {
        Value::Str(text) => text.frozen.get(),
        Value::Array(array) => array.frozen.get(),
        Value::Hash(hash) => hash.frozen.get(),
        Value::Object(object) => object.frozen.get(),
        Value::Class(_) | Value::Host(_) => false,
        _ => true,
    }
}

fn duplicate(ruby: &mut Interp, me: &Value) -> Result<Value> {
    Ok(match me {
        Value::Str(text) => {
            let copy = Str { text: text.text.clone(), ..Str::default() };
            ruby.grow(copy.text.borrow().len())?;
            Value::Str(Rc::new(copy))
        }
        Value::Array(array) => Value::array(array.items.borrow().clone()),
        Value::Hash(hash) => Value::Hash(Rc::new(hash.copy())),
        Value::Object(object) => {
            let copy = Object::new(&object.class);
            copy.instance_vars.borrow_mut().clone_from(&object.instance_vars.borrow());
            copy.singleton.borrow_mut().clone_from(&object.singleton.borrow());
            let copy = Value::Object(copy);
            if ruby.responds_any(&copy, Name::of("initialize_copy")) {
                ruby.send(&copy, "initialize_copy", vec![me.clone()])?;
            }
            copy
        }
        other => other.clone(),
    })
}

fn with_block(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    match &call.block {
        Some(block) => ruby.yield_to(block, vec![me.clone()]),
        None => Ok(me.clone()),
    }
}

fn instance_variables(me: &Value) -> Vec<Value> {
    match me {
        Value::Object(object) => object.instance_vars.borrow().keys().map(|name| Value::Sym(*name)).collect(),
        Value::Class(class) => class.instance_vars.borrow().keys().map(|name| Value::Sym(*name)).collect(),
        _ => Vec::new(),
    }
}

fn instance_eval(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let Some(block) = call.block.clone() else {
        return Err(ruby.unsupported("`instance_eval` of a string"));
    };
    let args = if call.args.is_empty() { vec![me.clone()] } else { call.args.clone() };
    ruby.call_with_self(&block, me.clone(), Call::of(args), false)
}

fn extend(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    for module in &call.args {
        let class = class_arg(ruby, module)?;
        match me {
            Value::Object(object) => object.extended.borrow_mut().insert(0, class),
            Value::Class(me) => me.extended.borrow_mut().insert(0, class),
            _ => return Err(ruby.unsupported("`extend` of this")),
        }
        if ruby.responds(module, "extended") {
            ruby.send(module, "extended", vec![me.clone()])?;
        }
    }
    Ok(me.clone())
}

fn define_singleton_method(ruby: &mut Interp, me: &Value, call: &Call) -> Result<Value> {
    let name = ruby.name_from(&call.arg(0))?;
    let proc = match (call.arg(1), &call.block) {
        (Value::Proc(proc), _) => proc,
        (_, Some(block)) => Rc::clone(block),
        _ => return Err(ruby.error("ArgumentError", "tried to create Proc object without a block")),
    };
    let method = Method { body: MethodBody::Proc(proc), visibility: Visibility::Public };
    match me {
        Value::Object(object) => object.singleton.borrow_mut().insert(name, method),
        Value::Class(class) => class.singleton.borrow_mut().insert(name, method),
        _ => return Err(ruby.unsupported("a method of this alone")),
    };
    Ok(Value::Sym(name))
}

impl Interp {
    /// `a == b`, the program's own methods included.
    pub fn equals(&mut self, a: &Value, b: &Value) -> Result<bool> {
        match (a, b) {
            (Value::Object(_) | Value::Host(_), _) => {
                Ok(self.call(a, Name::of("=="), Call { own: true, ..Call::of(vec![b.clone()]) })?.truthy())
            }
            _ => self.equal(a, b),
        }
    }

    /// Equality by content.
    #[expect(clippy::float_cmp, reason = "as Ruby compares")]
    pub fn equal(&mut self, a: &Value, b: &Value) -> Result<bool> {
        self.step()?;
        Ok(match (a, b) {
            #[expect(clippy::cast_precision_loss, reason = "as Ruby compares")]
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Array(a), Value::Array(b)) if !Rc::ptr_eq(a, b) => {
                let (a, b) = (a.items.borrow().clone(), b.items.borrow().clone());
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(&b) {
                    if !self.deeper(|ruby| ruby.equals(a, b))? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Hash(a), Value::Hash(b)) if !Rc::ptr_eq(a, b) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, value) in a.pairs() {
                    let Some(other) = b.get(&key) else { return Ok(false) };
                    if !self.deeper(|ruby| ruby.equals(&value, &other))? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => a.key() == b.key(),
        })
    }

    /// As `inspect` shows it, the program's own methods included at the outermost level.
    pub fn inspect(&mut self, value: &Value) -> Result<String> {
        let text = show::inspect(value);
        self.grow(text.len())?;
        Ok(text)
    }
}
