//! `eval` and `binding`: text of the program that is run where it is called, by this interpreter and within its bounds.

use std::path::PathBuf;
use std::rc::Rc;

use super::super::class::Object;
use super::super::core::text_arg;
use super::super::flow::Result;
use super::super::interp::{Call, Interp, SourceFile};
use super::super::names::Name;
use super::super::scope::{Code, Frame, Lexical, Scope};
use super::super::value::Value;
use super::super::{core, lower};

/// Texts that one run may evaluate: each is kept.
const MOST: usize = 2000;

/// Bytes of one text: nothing stops the parser, and some texts take it long.
const LONGEST: usize = 64 << 10;

/// `eval(text)`, `eval(text, binding, file)`.
pub fn eval(ruby: &mut Interp, call: &Call, scope: &Rc<Scope>) -> Result<Value> {
    let text = text_arg(ruby, &call.arg(0))?;
    let scope = scope_of(&call.arg(1)).unwrap_or_else(|| Rc::clone(scope));
    let name = match call.arg(2) {
        Value::Str(name) => name.get(),
        _ => "(eval)".into(),
    };
    run(ruby, &text, name, &scope)
}

fn run(ruby: &mut Interp, text: &str, name: String, scope: &Rc<Scope>) -> Result<Value> {
    let file = match u16::try_from(ruby.files.len()) {
        Ok(file) if ruby.files.len() < MOST => file,
        _ => return Err(ruby.unsupported("this many texts that are evaluated")),
    };
    if text.len() > LONGEST {
        return Err(ruby.unsupported("a text this long that is evaluated"));
    }
    ruby.grow(text.len() * 10)?;
    ruby.files.push(SourceFile { path: PathBuf::from(name), text: text.into(), tree: None });
    let tree = match lower::parse(text.as_bytes(), file) {
        Ok(tree) => Rc::new(tree),
        Err(errors) => {
            let message = errors.into_iter().next().map(|error| error.message).unwrap_or_default();
            return Err(ruby.error("SyntaxError", message));
        }
    };
    if let Some(file) = ruby.files.last_mut() {
        file.tree = Some(Rc::clone(&tree));
    }
    ruby.deeper(|ruby| ruby.eval(&tree, scope))
}

fn scope_of(binding: &Value) -> Option<Rc<Scope>> {
    let Value::Object(object) = binding else { return None };
    match object.get("@proc") {
        Some(Value::Proc(proc)) => match &proc.code {
            Code::Block { scope, .. } => Some(Rc::clone(scope)),
            _ => None,
        },
        _ => None,
    }
}

/// A binding without variables, at the top level.
pub fn empty(ruby: &Interp) -> Value {
    let lexical = Rc::new(Lexical { class: Rc::clone(&ruby.object), parent: None });
    let frame = Frame { me: ruby.main.clone(), method: None, args: Vec::new(), function: None, block: None, lexical };
    core::binding(ruby, &Scope::new(Rc::new(frame), ruby.tag()))
}

/// Methods of a binding.
pub fn binding(ruby: &mut Interp, object: &Rc<Object>, name: &str, call: &Call) -> Result<Option<Value>> {
    let Some(scope) = scope_of(&Value::Object(Rc::clone(object))) else { return Ok(None) };
    Ok(Some(match name {
        "local_variable_get" => {
            let name = ruby.name_from(&call.arg(0))?;
            match scope.find(name) {
                Some(value) => value,
                None => return Err(ruby.error("NameError", format!("local variable `{name}' is not defined"))),
            }
        }
        "local_variable_set" => {
            let name = ruby.name_from(&call.arg(0))?;
            scope.set(name, 0, call.arg(1));
            call.arg(1)
        }
        "local_variable_defined?" => {
            let name = ruby.name_from(&call.arg(0))?;
            scope.find(name).is_some().into()
        }
        "local_variables" => Value::array(scope.names().into_iter().map(Value::Sym).collect()),
        "receiver" => scope.frame.me.clone(),
        "eval" => {
            let text = text_arg(ruby, &call.arg(0))?;
            run(ruby, &text, "(eval)".into(), &scope)?
        }
        "irb" | "pry" => return Err(ruby.never("it asks for input, which nobody gives while a machine file is read")),
        _ => return Ok(None),
    }))
}

/// `local_variables`.
pub fn local_variables(scope: &Scope) -> Value {
    Value::array(scope.names().into_iter().map(Value::Sym).collect())
}

/// The name of the constant that holds the variables of the top level.
pub fn define_top(ruby: &mut Interp, scope: &Rc<Scope>) {
    let binding = core::binding(ruby, scope);
    ruby.object.constants.borrow_mut().insert(Name::of("TOPLEVEL_BINDING"), binding);
}
