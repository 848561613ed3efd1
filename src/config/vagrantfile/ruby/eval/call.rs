//! Calls as they are written: arguments and blocks are evaluated here.

use std::rc::Rc;

use super::super::flow::{Flow, Result};
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::{Code, Proc, Scope};
use super::super::show;
use super::super::tree::{Args, At, BlockArg, Call as Written, Target};
use super::super::value::{Hash, Value};

impl Interp {
    pub(super) fn eval_call(&mut self, written: &Written, scope: &Rc<Scope>, at: At) -> Result<Value> {
        let (receiver, own) = match &written.receiver {
            None => (scope.frame.me.clone(), true),
            Some(node) => {
                let own = matches!(node.kind, super::super::tree::Kind::SelfRef);
                (self.eval(node, scope)?, own)
            }
        };
        if written.safe && receiver.is_nil() {
            return Ok(Value::Nil);
        }
        let mut call = self.eval_args(&written.args, scope)?;
        call.own = own;
        let assigned = if written.assigns { call.args.last().cloned() } else { None };
        let mut breaks_to = 0;
        if let Some(block) = &written.block {
            breaks_to = self.tag();
            call.block = self.eval_block(block, scope, breaks_to)?;
        }
        self.at = at;
        let result = if written.receiver.is_none() {
            self.call_own(written, call, scope)
        } else {
            self.call(&receiver, written.name, call)
        };
        match result {
            Err(Flow::Break(to, value)) if to == breaks_to && to != 0 => Ok(value),
            Ok(value) => Ok(assigned.unwrap_or(value)),
            other => other,
        }
    }

    /// A call without receiver: functions that need the caller's variables are answered here.
    fn call_own(&mut self, written: &Written, call: Call, scope: &Rc<Scope>) -> Result<Value> {
        match &*written.name.text() {
            "block_given?" => return Ok(scope.frame.block.is_some().into()),
            "binding" => return Ok(super::super::core::binding(self, scope)),
            "lambda" => {
                if let Some(block) = &call.block {
                    return Ok(lambda_of(block));
                }
            }
            "proc" => {
                if let Some(block) = call.block {
                    return Ok(Value::Proc(block));
                }
                return Err(self.error("ArgumentError", "tried to create Proc object without a block"));
            }
            "__method__" => {
                return Ok(scope.frame.method.as_ref().map_or(Value::Nil, |(name, _)| Value::Sym(*name)));
            }
            "__dir__" => {
                let file = self.file_path(self.at.file);
                let folder = std::path::Path::new(&file).parent().map(|folder| folder.display().to_string());
                return Ok(folder.into());
            }
            "eval" => return super::super::library::eval(self, &call, scope),
            "local_variables" => return Ok(super::super::library::local_variables(scope)),
            _ => {}
        }
        // A template's text was parsed by itself: what looks like a call may be a variable of its surroundings.
        if written.bare
            && let Some(value) = scope.find(written.name)
        {
            return Ok(value);
        }
        let receiver = scope.frame.me.clone();
        self.call_or_name_error(&receiver, written, call)
    }

    fn call_or_name_error(&mut self, receiver: &Value, written: &Written, call: Call) -> Result<Value> {
        if written.bare && !self.responds_any(receiver, written.name) {
            let shown = self.describe(receiver);
            let message = format!("undefined local variable or method `{}' for {shown}", written.name);
            return Err(self.error("NameError", message));
        }
        self.call(receiver, written.name, call)
    }

    /// How an error message names a receiver.
    pub fn describe(&self, value: &Value) -> String {
        match value {
            Value::Nil => "nil:NilClass".into(),
            Value::Bool(value) => format!("{value}:{}", self.class_of(&Value::Bool(*value)).name.borrow()),
            other if other.same(&self.main) => "main:Object".into(),
            Value::Class(class) => {
                format!("{}:{}", class.name.borrow(), if class.is_module { "Module" } else { "Class" })
            }
            Value::Host(object) => object.class_name().to_string(),
            Value::Object(object) => format!("an instance of {}", object.class.name.borrow()),
            other => {
                let (class, shown) = (self.class_of(other).name.borrow().clone(), show::inspect(other));
                // As Ruby does: what is long is only named.
                if shown.len() > 65 { format!("an instance of {class}") } else { format!("{shown}:{class}") }
            }
        }
    }

    pub(super) fn eval_args(&mut self, args: &Args, scope: &Rc<Scope>) -> Result<Call> {
        let mut values = self.eval_list(&args.positional, scope)?;
        let mut keywords = if args.keywords.is_empty() { None } else { Some(self.eval_pairs(&args.keywords, scope)?) };
        // `**{}` passes nothing.
        keywords = keywords.filter(|keywords| keywords.len() > 0);
        let mut block = None;
        if args.forwards {
            values.extend(scope.frame.args.iter().cloned());
            block.clone_from(&scope.frame.block);
        }
        Ok(Call { args: values, keywords, block, own: false })
    }

    pub(super) fn eval_block(
        &mut self,
        block: &BlockArg,
        scope: &Rc<Scope>,
        breaks_to: u64,
    ) -> Result<Option<Rc<Proc>>> {
        let pass = match block {
            BlockArg::Literal(function) => {
                let code = Code::Block { function: Rc::clone(function), scope: Rc::clone(scope), breaks_to };
                return Ok(Some(Rc::new(Proc { code, lambda: false })));
            }
            BlockArg::Pass(None) => return Ok(scope.frame.block.clone()),
            BlockArg::Pass(Some(node)) => self.eval(node, scope)?,
        };
        match pass {
            Value::Nil => Ok(None),
            Value::Proc(proc) => Ok(Some(proc)),
            Value::Sym(name) => Ok(Some(Rc::new(Proc { code: Code::Symbol(name), lambda: true }))),
            other if self.responds(&other, "to_proc") => match self.send(&other, "to_proc", Vec::new())? {
                Value::Proc(proc) => Ok(Some(proc)),
                other => Err(self.type_error(&other, "Proc")),
            },
            other => {
                let shown = self.class_of(&other).name.borrow().clone();
                Err(self.error("TypeError", format!("wrong argument type {shown} (expected Proc)")))
            }
        }
    }

    pub(super) fn eval_yield(&mut self, args: &Args, scope: &Rc<Scope>) -> Result<Value> {
        let call = self.eval_args(args, scope)?;
        let Some(block) = scope.frame.block.clone() else {
            return Err(self.error("LocalJumpError", "no block given (yield)"));
        };
        self.call_proc(&block, call)
    }

    pub(super) fn eval_super(
        &mut self,
        args: Option<&Args>,
        block: Option<&BlockArg>,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let mut call = match args {
            Some(args) => self.eval_args(args, scope)?,
            None => self.passed_on(scope),
        };
        let breaks_to = self.tag();
        call.block = match block {
            Some(block) => self.eval_block(block, scope, breaks_to)?,
            None => scope.frame.block.clone(),
        };
        call.own = true;
        let Some((name, owner)) = scope.frame.method.clone() else {
            return Err(self.error("RuntimeError", "super called outside of method"));
        };
        let me = scope.frame.me.clone();
        match self.call_above(&me, &owner, name, call) {
            Err(Flow::Break(to, value)) if to == breaks_to => Ok(value),
            other => other,
        }
    }

    /// What a bare `super` passes on: the parameters as they are now.
    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    fn passed_on(&self, scope: &Rc<Scope>) -> Call {
        let Some(function) = scope.frame.function.clone() else { return Call::of(scope.frame.args.clone()) };
        let (params, vars) = (&function.params, scope.outermost());
        let named = |target: &Target| match target {
            Target::Local { name, .. } => vars.get(*name, 0),
            _ => Value::Nil,
        };
        let mut args: Vec<_> = params.required.iter().map(named).collect();
        args.extend(params.optional.iter().map(|(name, _)| vars.get(*name, 0)));
        if let Some(name) = params.rest
            && let Value::Array(rest) = vars.get(name.unwrap_or_else(|| Name::of("*")), 0)
        {
            args.extend(rest.items.borrow().iter().cloned());
        }
        args.extend(params.post.iter().map(named));
        let keywords = Hash::default();
        for (name, _) in &params.keywords {
            keywords.insert(Value::Sym(*name), vars.get(*name, 0));
        }
        if let Some(Some(name)) = params.keyword_rest
            && let Value::Hash(rest) = vars.get(name, 0)
        {
            for (key, value) in rest.pairs() {
                keywords.insert(key, value);
            }
        }
        Call { keywords: Some(Rc::new(keywords)).filter(|keywords| keywords.len() > 0), ..Call::of(args) }
    }

    /// The error for a method that does not exist.
    pub fn no_method(&mut self, receiver: &Value, name: Name) -> Flow {
        let shown = self.describe(receiver);
        self.error("NoMethodError", format!("undefined method `{name}' for {shown}"))
    }

    /// A value as the name of a method or variable.
    pub fn name_from(&mut self, value: &Value) -> Result<Name> {
        if let Some(text) = value.text() {
            Ok(Name::of(&text))
        } else {
            let shown = show::inspect(value);
            Err(self.error("TypeError", format!("{shown} is not a symbol nor a string")))
        }
    }
}

/// The same code as a lambda: `return` leaves it alone, and its arguments are counted.
fn lambda_of(block: &Rc<Proc>) -> Value {
    match &block.code {
        Code::Block { function, scope, .. } => {
            let code = Code::Block { function: Rc::clone(function), scope: Rc::clone(scope), breaks_to: 0 };
            Value::Proc(Rc::new(Proc { code, lambda: true }))
        }
        _ => Value::Proc(Rc::clone(block)),
    }
}
