//! Classes and modules as objects.

use std::rc::Rc;

use super::super::class::{Class, KIN, Method, MethodBody, Object, Visibility};
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::show;
use super::super::value::{Hash, Value};
use super::{class_arg, ok, structs};

methods! { ruby, me: &Rc<Class>, name, call;
    "new" => new(ruby, me, call),
    "allocate" => Ok(Value::Object(Object::new(me))),
    "name" | "to_s" | "inspect" => ok(&**me.name.borrow()),
    "superclass" => Ok(me.superclass.clone().map_or(Value::Nil, Value::Class)),
    "ancestors" => ok(me.ancestors().into_iter().map(Value::Class).collect::<Vec<_>>()),
    "===" => ok(ruby.is_a(&call.arg(0), me)),
    "==" | "eql?" | "equal?" => ok(matches!(call.arg(0), Value::Class(other) if Rc::ptr_eq(&other, me))),
    "<" | "<=" => { let other = class_arg(ruby, &call.arg(0))?; ok(me.descends_from(&other) && (name == "<=" || !Rc::ptr_eq(me, &other))) },
    ">" | ">=" => { let other = class_arg(ruby, &call.arg(0))?; ok(other.descends_from(me) && (name == ">=" || !Rc::ptr_eq(me, &other))) },
    "attr_accessor" | "attr_reader" | "attr_writer" | "attr" => attributes(ruby, me, name, call),
    "include" | "prepend" => include(ruby, me, name, call),
    "include?" => { let other = class_arg(ruby, &call.arg(0))?; ok(me.descends_from(&other)) },
    "included_modules" => ok(me.ancestors().into_iter().filter(|class| class.is_module).map(Value::Class).collect::<Vec<_>>()),
    "private" | "public" | "protected" | "module_function" | "private_class_method" | "private_constant" | "public_class_method" => visibility(ruby, me, name, call),
    "define_method" => define_method(ruby, me, call),
    "alias_method" => { let (new, old) = (ruby.name_from(&call.arg(0))?, ruby.name_from(&call.arg(1))?); ruby.alias(me, new, old); Ok(Value::Sym(new)) },
    "remove_method" | "undef_method" => { let name = ruby.name_from(&call.arg(0))?; me.methods.borrow_mut().remove(&name); Ok(Value::Class(Rc::clone(me))) },
    "instance_methods" | "public_instance_methods" => ok(me.methods.borrow().keys().map(|name| Value::Sym(*name)).collect::<Vec<_>>()),
    "method_defined?" | "instance_method?" | "public_method_defined?" => { let name = ruby.name_from(&call.arg(0))?; ok(me.ancestors().iter().any(|class| class.methods.borrow().contains_key(&name))) },
    "const_get" => const_get(ruby, me, call),
    "const_set" => { let name = ruby.name_from(&call.arg(0))?; me.constants.borrow_mut().insert(name, call.arg(1)); Ok(call.arg(1)) },
    "const_defined?" => { let name = ruby.name_from(&call.arg(0))?; ok(ruby.const_in(me, name).is_ok() || ruby.object.constants.borrow().contains_key(&name)) },
    "constants" => ok(me.constants.borrow().keys().map(|name| Value::Sym(*name)).collect::<Vec<_>>()),
    "class_variable_get" => { let name = ruby.name_from(&call.arg(0))?; Ok(me.class_vars.borrow().get(&name).cloned().unwrap_or(Value::Nil)) },
    "class_variable_set" => { let name = ruby.name_from(&call.arg(0))?; me.class_vars.borrow_mut().insert(name, call.arg(1)); Ok(call.arg(1)) },
    "class_variables" => ok(me.class_vars.borrow().keys().map(|name| Value::Sym(*name)).collect::<Vec<_>>()),
    "class_variable_defined?" => { let name = ruby.name_from(&call.arg(0))?; ok(me.class_vars.borrow().contains_key(&name)) },
    "remove_const" => { let name = ruby.name_from(&call.arg(0))?; let held = me.constants.borrow_mut().shift_remove(&name); ok(held) },
    "class_eval" | "module_eval" | "class_exec" | "module_exec" => match &call.block {
        Some(block) => {
            let args = if call.args.is_empty() { vec![Value::Class(Rc::clone(me))] } else { call.args.clone() };
            ruby.call_with_self(&block.clone(), Value::Class(Rc::clone(me)), Call::of(args), false)
        }
        None => Err(ruby.unsupported("`class_eval` of a string")),
    },
    "members" => ok(me.struct_members().unwrap_or_default().into_iter().map(Value::Sym).collect::<Vec<_>>()),
    "refine" | "autoload" => Err(ruby.unsupported(format!("`{name}`"))),
    "exception" => new(ruby, me, call),
}

fn new(ruby: &mut Interp, me: &Rc<Class>, call: &Call) -> Result<Value> {
    let name = me.name.borrow().clone();
    match &*name {
        "Class" | "Module" => return new_class(ruby, &name, call),
        "Struct" => return structs::new_class(ruby, call),
        "String" => return ok(&*call.arg(0).text().unwrap_or_default()),
        "Array" => return new_array(ruby, call),
        "Hash" => return Ok(new_hash(call)),
        "Object" | "BasicObject" => return Ok(Value::Object(Object::new(me))),
        "Proc" => return Ok(call.block.clone().map_or(Value::Nil, Value::Proc)),
        "Regexp" => return super::super::library::regexp(ruby, call),
        "Range" => {
            let range =
                super::super::value::Range { low: call.arg(0), high: call.arg(1), exclusive: call.arg(2).truthy() };
            return Ok(Value::Range(Rc::new(range)));
        }
        _ => {}
    }
    if me.is_module {
        return Err(ruby.no_method(&Value::Class(Rc::clone(me)), Name::of("new")));
    }
    ruby.grow(size_of::<Object>())?;
    let object = Value::Object(Object::new(me));
    let wants = ruby.responds_any(&object, Name::of("initialize"));
    if wants {
        ruby.call(&object, Name::of("initialize"), Call { own: true, ..call.clone() })?;
    } else if !call.args.is_empty() && me.grows.borrow().is_none() {
        return Err(ruby.argument_error(call.args.len(), "0"));
    }
    Ok(object)
}

fn new_class(ruby: &mut Interp, kind: &str, call: &Call) -> Result<Value> {
    let is_module = kind == "Module";
    let superclass = match call.args.first() {
        Some(above) => Some(class_arg(ruby, above)?),
        None if is_module => None,
        None => Some(Rc::clone(&ruby.object)),
    };
    let class = Class::new("", superclass.clone(), is_module);
    few_kin(ruby, &class)?;
    ruby.grow(size_of::<Class>())?;
    if let Some(above) = &superclass {
        ruby.inherited(above, &class)?;
    }
    let value = Value::Class(class);
    if let Some(block) = &call.block {
        ruby.call_with_self(&block.clone(), value.clone(), Call::of(vec![value.clone()]), false)?;
    }
    Ok(value)
}

/// What is said of a class that descends from too many.
const MANY_KIN: &str = "a class with this many classes and modules above it";

/// Refuses a class that descends from too many.
pub fn few_kin(ruby: &mut Interp, class: &Rc<Class>) -> Result<()> {
    if class.kin() > KIN { Err(ruby.unsupported(MANY_KIN)) } else { Ok(()) }
}

fn new_array(ruby: &mut Interp, call: &Call) -> Result<Value> {
    match call.arg(0) {
        Value::Int(count) => {
            let count = usize::try_from(count).unwrap_or(0);
            ruby.grow(count.saturating_mul(size_of::<Value>()))?;
            let Some(block) = &call.block else { return ok(vec![call.arg(1); count]) };
            let mut items = Vec::new();
            for at in 0..count {
                items.push(ruby.yield_to(block, vec![at.into()])?);
            }
            ok(items)
        }
        Value::Array(array) => ok(array.items.borrow().clone()),
        _ => ok(Vec::new()),
    }
}

fn new_hash(call: &Call) -> Value {
    let hash = Hash::default();
    *hash.default.borrow_mut() = call.args.first().cloned();
    hash.default_proc.borrow_mut().clone_from(&call.block);
    Value::Hash(Rc::new(hash))
}

fn attributes(ruby: &mut Interp, me: &Rc<Class>, kind: &str, call: &Call) -> Result<Value> {
    for arg in &call.args {
        let name = ruby.name_from(arg)?;
        let variable = Name::of(&format!("@{name}"));
        let visibility = me.default_visibility.get();
        if kind != "attr_writer" {
            me.methods.borrow_mut().insert(name, Method { body: MethodBody::Get(variable), visibility });
        }
        if matches!(kind, "attr_accessor" | "attr_writer") {
            let writer = Name::of(&format!("{name}="));
            me.methods.borrow_mut().insert(writer, Method { body: MethodBody::Set(variable), visibility });
        }
    }
    Ok(Value::Nil)
}

fn include(ruby: &mut Interp, me: &Rc<Class>, name: &str, call: &Call) -> Result<Value> {
    for module in call.args.iter().rev() {
        let class = class_arg(ruby, module)?;
        if class.descends_from(me) {
            return Err(ruby.error("ArgumentError", "cyclic include detected"));
        }
        let (place, hook) = match name {
            "prepend" => (&me.prepended, "prepended"),
            _ => (&me.included, "included"),
        };
        if !me.can_take(class.kin()) {
            return Err(ruby.unsupported(MANY_KIN));
        }
        class.includers.borrow_mut().push(Rc::downgrade(me));
        place.borrow_mut().insert(0, class);
        if ruby.responds(module, hook) {
            ruby.send(module, hook, vec![Value::Class(Rc::clone(me))])?;
        }
    }
    Ok(Value::Class(Rc::clone(me)))
}

fn visibility(ruby: &mut Interp, me: &Rc<Class>, kind: &str, call: &Call) -> Result<Value> {
    let wanted = match kind {
        "private" => Visibility::Private,
        "protected" => Visibility::Protected,
        "module_function" => Visibility::ModuleFunction,
        "public" => Visibility::Public,
        // Constants and class methods stay as they are: nobody calls what is private to somebody else's class.
        _ => return Ok(Value::Nil),
    };
    if call.args.is_empty() {
        me.default_visibility.set(wanted);
        return Ok(Value::Nil);
    }
    for arg in &call.args {
        for name in ruby.splat(arg)? {
            let name = ruby.name_from(&name)?;
            let Some(mut method) = me.methods.borrow().get(&name).cloned() else {
                let shown = me.name.borrow().clone();
                return Err(ruby.error("NameError", format!("undefined method `{name}' for class `{shown}'")));
            };
            method.visibility = wanted;
            if wanted == Visibility::ModuleFunction {
                let public = Method { visibility: Visibility::Public, ..method.clone() };
                me.singleton.borrow_mut().insert(name, public);
            }
            me.methods.borrow_mut().insert(name, method);
        }
    }
    Ok(call.arg(0))
}

fn define_method(ruby: &mut Interp, me: &Rc<Class>, call: &Call) -> Result<Value> {
    let name = ruby.name_from(&call.arg(0))?;
    let proc = match (call.arg(1), &call.block) {
        (Value::Proc(proc), _) => proc,
        (_, Some(block)) => Rc::clone(block),
        _ => return Err(ruby.error("ArgumentError", "tried to create Proc object without a block")),
    };
    let method = Method { body: MethodBody::Proc(proc), visibility: me.default_visibility.get() };
    me.methods.borrow_mut().insert(name, method);
    Ok(Value::Sym(name))
}

fn const_get(ruby: &mut Interp, me: &Rc<Class>, call: &Call) -> Result<Value> {
    let Some(path) = call.arg(0).text() else {
        let shown = show::inspect(&call.arg(0));
        return Err(ruby.error("TypeError", format!("{shown} is not a symbol nor a string")));
    };
    let mut here = Value::Class(Rc::clone(me));
    for part in path.split("::").filter(|part| !part.is_empty()) {
        let Value::Class(class) = &here else { return Err(ruby.type_error(&here, "Module")) };
        here = ruby.const_in(&Rc::clone(class), Name::of(part))?;
    }
    Ok(here)
}
