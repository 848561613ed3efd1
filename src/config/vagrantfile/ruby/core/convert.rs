//! `nil`, booleans and symbols.

/// `nil`.
pub mod nil {
    use super::super::super::value::Value;
    use super::super::ok;

    methods! { ruby, _me: &Value, name, call;
        "to_s" => { let _ = (&ruby, call); ok("") },
        "to_a" => ok(Vec::new()),
        "to_h" => Ok(Value::hash([])),
        "to_i" => ok(0),
        "to_f" => ok(0.0),
        "inspect" => ok("nil"),
        "&" => ok(false),
        "|" => ok(call.arg(0).truthy()),
    }
}

/// `true` and `false`.
pub mod boolean {
    use super::super::ok;

    methods! { ruby, me: bool, name, call;
        "to_s" | "inspect" => { let _ = &ruby; ok(me.to_string()) },
        "&" => ok(me && call.arg(0).truthy()),
        "|" => ok(me || call.arg(0).truthy()),
        "^" => ok(me != call.arg(0).truthy()),
    }
}

/// Symbols.
pub mod symbol {
    use std::rc::Rc;

    use super::super::super::names::Name;
    use super::super::super::scope::{Code, Proc};
    use super::super::super::value::{Str, Value};
    use super::super::{ok, string, string_change};

    methods! { ruby, me: Name, name, call;
        "to_s" | "id2name" | "name" => { ruby.grow(8)?; ok(&*me.text()) },
        "to_sym" | "intern" => Ok(Value::Sym(me)),
        "to_proc" => Ok(Value::Proc(Rc::new(Proc { code: Code::Symbol(me), lambda: true }))),
        "<=>" | "length" | "size" | "empty?" | "start_with?" | "end_with?" | "[]" => {
            let text = Rc::new(Str::from(&*me.text()));
            let mut call = call.clone();
            for arg in &mut call.args {
                if let Value::Sym(name) = arg {
                    *arg = Value::str(&*name.text());
                }
            }
            Ok(string::call(ruby, &text, name, &call)?.unwrap_or(Value::Nil))
        },
        "=~" | "match" | "match?" | "casecmp" | "casecmp?" | "slice" => {
            let mut call = call.clone();
            for arg in &mut call.args {
                if let Value::Sym(name) = arg {
                    *arg = Value::str(&*name.text());
                }
            }
            ruby.call(&Value::str(&*me.text()), Name::of(name), call)
        },
        "upcase" | "downcase" | "capitalize" | "swapcase" | "succ" | "next" => {
            let text = Rc::new(Str::from(&*me.text()));
            let changed = string_change::call(ruby, &text, name, call)?;
            Ok(changed.and_then(|text| text.text()).map_or(Value::Nil, |text| Value::sym(&text)))
        },
    }
}
