//! Calls as they are answered: by the program's methods, then by what the interpreter knows.

use std::rc::Rc;

use super::super::budget;
use super::super::class::{Class, Method, MethodBody, Visibility};
use super::super::core;
use super::super::flow::{Flow, Result};
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::{Code, Frame, Lexical, Proc, Scope};
use super::super::tree::{Function, Params, Target};
use super::super::value::{Hash, Value};

impl Interp {
    /// Calls a method of a value.
    pub fn call(&mut self, receiver: &Value, name: Name, call: Call) -> Result<Value> {
        self.step()?;
        // Methods of the interpreter's own call others, too, without any expression between them.
        self.check_stack()?;
        if let Some((method, owner)) = self.find_method(receiver, name, false) {
            return self.call_method(receiver, &method, &owner, name, call);
        }
        if let Some(value) = core::answer(self, receiver, name, &call)? {
            return Ok(value);
        }
        let general = self.find_method(receiver, name, true);
        // Functions of the top level are private methods of every object.
        if let Some((method, owner)) = general.filter(|(method, _)| call.own || method.visibility == Visibility::Public)
        {
            return self.call_method(receiver, &method, &owner, name, call);
        }
        if let Some(value) = core::kernel(self, receiver, name, &call)? {
            return Ok(value);
        }
        self.method_missing(receiver, name, call)
    }

    fn method_missing(&mut self, receiver: &Value, name: Name, mut call: Call) -> Result<Value> {
        let missing = Name::of("method_missing");
        match self.find_method(receiver, missing, false).or_else(|| self.find_method(receiver, missing, true)) {
            Some((method, owner)) => {
                call.args.insert(0, Value::Sym(name));
                self.call_method(receiver, &method, &owner, missing, call)
            }
            None => Err(self.no_method(receiver, name)),
        }
    }

    /// A method that the program defined. Those of `Object` come last: the interpreter's own methods of more special
    /// classes go before them.
    fn find_method(&self, receiver: &Value, name: Name, of_object: bool) -> Option<(Method, Rc<Class>)> {
        if of_object {
            return self.object.own_method(name);
        }
        match receiver {
            Value::Class(class) => return self.find_class_method(class, name),
            Value::Object(object) => {
                if let Some(method) = object.singleton.borrow().get(&name) {
                    // Above a method of one object is everything that its class has.
                    return Some((method.clone(), Class::new("", None, false)));
                }
                let found = object.extended.borrow().iter().find_map(|module| module.own_method(name));
                if found.is_some() {
                    return found;
                }
            }
            Value::Host(_) => return None,
            _ => {}
        }
        let mut class = Some(self.class_of(receiver));
        while let Some(here) = class {
            if Rc::ptr_eq(&here, &self.object) {
                break;
            }
            if let Some(found) = here.own_method(name) {
                return Some(found);
            }
            class = here.superclass.as_ref().map(Rc::clone);
        }
        None
    }

    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    fn find_class_method(&self, class: &Rc<Class>, name: Name) -> Option<(Method, Rc<Class>)> {
        let mut here = Some(Rc::clone(class));
        while let Some(class) = here {
            if let Some(method) = class.singleton.borrow().get(&name) {
                return Some((method.clone(), Rc::clone(&class)));
            }
            let extended = class.extended.borrow();
            if let Some((method, _)) = extended.iter().find_map(|module| module.own_method(name)) {
                return Some((method, Rc::clone(&class)));
            }
            drop(extended);
            here = class.superclass.as_ref().map(Rc::clone);
        }
        None
    }

    fn call_method(
        &mut self,
        receiver: &Value,
        method: &Method,
        owner: &Rc<Class>,
        name: Name,
        call: Call,
    ) -> Result<Value> {
        if matches!(method.visibility, Visibility::Private | Visibility::ModuleFunction) && !call.own {
            let shown = self.describe(receiver);
            return Err(self.error("NoMethodError", format!("private method `{name}' called for {shown}")));
        }
        match &method.body {
            MethodBody::Function { function, lexical } => self.call_function(receiver, function, lexical, owner, call),
            MethodBody::Get(variable) => Ok(self.instance_var(receiver, *variable)),
            MethodBody::Set(variable) => {
                let value = call.arg(0);
                self.set_instance_var(receiver, *variable, value.clone())?;
                Ok(value)
            }
            MethodBody::Proc(proc) => self.call_with_self(proc, receiver.clone(), call, true),
            MethodBody::Native(old) => {
                if let Some(value) = core::answer(self, receiver, *old, &call)? {
                    return Ok(value);
                }
                match core::kernel(self, receiver, *old, &call)? {
                    Some(value) => Ok(value),
                    None => Err(self.no_method(receiver, *old)),
                }
            }
        }
    }

    fn call_function(
        &mut self,
        receiver: &Value,
        function: &Rc<Function>,
        lexical: &Rc<Lexical>,
        owner: &Rc<Class>,
        call: Call,
    ) -> Result<Value> {
        let tag = self.tag();
        let frame = Frame {
            me: receiver.clone(),
            method: Some((function.name, Rc::clone(owner))),
            args: call.flat(),
            function: Some(Rc::clone(function)),
            block: call.block.clone(),
            lexical: Rc::clone(lexical),
        };
        let scope = Scope::new(Rc::new(frame), tag);
        let result = self.deeper(|ruby| {
            ruby.bind(function, &scope, call, true)?;
            ruby.eval(&function.body, &scope)
        });
        match result {
            Err(Flow::Return(to, value)) if to == tag => Ok(value),
            Err(Flow::Break(0, _)) => Err(self.error("LocalJumpError", "break from proc-closure")),
            other => other,
        }
    }

    /// The method of the same name above the class that a method was found in.
    pub(super) fn call_above(&mut self, me: &Value, owner: &Rc<Class>, name: Name, call: Call) -> Result<Value> {
        let missing = call.arg(0);
        if let Value::Class(_) = me {
            let above = owner.superclass.clone();
            if let Some((method, owner)) = above.and_then(|above| self.find_class_method(&above, name)) {
                return self.call_method(me, &method, &owner, name, call);
            }
        } else {
            let all = self.class_of(me).ancestors();
            let from = all.iter().position(|class| Rc::ptr_eq(class, owner)).map_or(0, |at| at + 1);
            let found = all.iter().skip(from).find_map(|class| {
                let method = class.methods.borrow().get(&name).cloned()?;
                Some((method, Rc::clone(class)))
            });
            if let Some((method, owner)) = found {
                return self.call_method(me, &method, &owner, name, call);
            }
        }
        if let Some(value) = core::answer(self, me, name, &call)? {
            return Ok(value);
        }
        match core::kernel(self, me, name, &call)? {
            Some(value) => Ok(value),
            None if matches!(&*name.text(), "initialize" | "inherited" | "included" | "extended") => Ok(Value::Nil),
            None if &*name.text() == "respond_to_missing?" => Ok(Value::Bool(false)),
            None if &*name.text() == "method_missing" => {
                let missing = self.name_from(&missing)?;
                Err(self.no_method(me, missing))
            }
            None => {
                let shown = self.describe(me);
                Err(self.error("NoMethodError", format!("super: no superclass method `{name}' for {shown}")))
            }
        }
    }

    /// Calls a block, lambda or method object.
    pub fn call_proc(&mut self, proc: &Rc<Proc>, call: Call) -> Result<Value> {
        self.check_stack()?;
        match &proc.code {
            Code::Block { scope, .. } => {
                let frame = Rc::clone(&scope.frame);
                self.run_block(proc, frame, call, proc.lambda)
            }
            Code::Symbol(name) => {
                let mut args = call.args;
                if args.is_empty() {
                    return Err(self.error("ArgumentError", "no receiver given"));
                }
                let receiver = args.remove(0);
                self.call(&receiver, *name, Call { block: call.block, own: true, ..Call::of(args) })
            }
            Code::Method { receiver, name } => self.call(&receiver.clone(), *name, Call { own: true, ..call }),
            Code::With { block, extra } => {
                let mut args = call.flat();
                if args.len() > 1 {
                    args = vec![Value::array(args)];
                }
                args.push(extra.next());
                self.call_proc(block, Call::of(args))
            }
            Code::Basket(basket) => self.collect(basket, &call),
            Code::Chain(first, second) => {
                let value = self.call(first, Name::of("call"), call)?;
                self.call(second, Name::of("call"), Call::of(vec![value]))
            }
        }
    }

    /// Calls a block with these values.
    pub fn yield_to(&mut self, block: &Rc<Proc>, args: Vec<Value>) -> Result<Value> {
        self.call_proc(block, Call::of(args))
    }

    /// Calls a block with another `self`: `instance_eval`, `define_method`.
    pub fn call_with_self(&mut self, proc: &Rc<Proc>, me: Value, call: Call, lambda: bool) -> Result<Value> {
        let Code::Block { scope, .. } = &proc.code else { return self.call_proc(proc, call) };
        let lexical = match &me {
            // Methods that are defined in it belong to the class.
            Value::Class(class) if !lambda => {
                let parent = Some(Rc::clone(&scope.frame.lexical));
                Rc::new(Lexical { class: Rc::clone(class), parent })
            }
            _ => Rc::clone(&scope.frame.lexical),
        };
        let frame = Frame {
            me,
            method: scope.frame.method.clone(),
            args: call.flat(),
            function: scope.frame.function.clone(),
            block: if lambda { call.block.clone() } else { scope.frame.block.clone() },
            lexical,
        };
        self.run_block(proc, Rc::new(frame), call, lambda || proc.lambda)
    }

    fn run_block(&mut self, proc: &Proc, frame: Rc<Frame>, call: Call, lambda: bool) -> Result<Value> {
        let Code::Block { function, scope, breaks_to } = &proc.code else { return Ok(Value::Nil) };
        let returns_to = if lambda { self.tag() } else { scope.returns_to };
        let inner = Scope::inside(scope, frame, returns_to);
        let result = self.deeper(|ruby| {
            ruby.bind(function, &inner, call, lambda)?;
            ruby.eval(&function.body, &inner)
        });
        match result {
            Err(Flow::Next(value)) => Ok(value),
            Err(Flow::Break(0, value)) if lambda => Ok(value),
            Err(Flow::Break(0, value)) => Err(Flow::Break(*breaks_to, value)),
            Err(Flow::Return(to, value)) if lambda && to == returns_to => Ok(value),
            other => other,
        }
    }

    /// Puts arguments into the parameters' variables.
    fn bind(&mut self, function: &Function, scope: &Rc<Scope>, call: Call, strict: bool) -> Result<()> {
        let params = &function.params;
        if params.numbered > 0 {
            return self.bind_numbered(params.numbered, scope, &call);
        }
        let takes_keywords = !params.keywords.is_empty() || params.keyword_rest.is_some();
        let mut keywords = call.keywords.clone();
        let mut args = call.args;
        if !takes_keywords || params.forwards {
            args.extend(keywords.take().map(Value::Hash));
        }
        let wanted = params.required.len() + params.post.len();
        let many = wanted + params.optional.len() > 1
            || params.trailing_comma
            || (params.rest.is_some() && wanted + params.optional.len() > 0);
        if let (false, true, [Value::Array(array)]) = (strict, many, args.as_slice()) {
            self.room(array.items.borrow().len() * size_of::<Value>())?;
            let spread = array.items.borrow().clone();
            args = spread;
        }
        if strict {
            // A hash written without braces may stand for the last parameter that is missing.
            if args.len() < wanted
                && let Some(hash) = keywords.take()
            {
                args.push(Value::Hash(hash));
            }
            self.count(params, args.len())?;
        }
        self.bind_positional(params, &args, scope)?;
        if takes_keywords {
            self.bind_keywords(params, keywords, scope, strict)?;
        }
        if let Some(name) = params.block {
            scope.set(name, 0, call.block.map_or(Value::Nil, Value::Proc));
        }
        Ok(())
    }

    fn bind_numbered(&mut self, count: u8, scope: &Rc<Scope>, call: &Call) -> Result<()> {
        let mut args = call.flat();
        if count > 1 && args.len() == 1 {
            args = self.splat(&args.remove(0))?;
        }
        for number in 1..=count {
            let value = args.get(usize::from(number) - 1).cloned().unwrap_or(Value::Nil);
            scope.set(Name::of(&format!("_{number}")), 0, value);
        }
        Ok(())
    }

    fn count(&mut self, params: &Params, given: usize) -> Result<()> {
        let least = params.required.len() + params.post.len();
        let most = least + params.optional.len();
        let open = params.rest.is_some() || params.forwards;
        if given >= least && (open || given <= most) {
            return Ok(());
        }
        let expected = match (open, least == most) {
            (true, _) => format!("{least}+"),
            (false, true) => least.to_string(),
            (false, false) => format!("{least}..{most}"),
        };
        let required: Vec<_> =
            params.keywords.iter().filter(|(_, default)| default.is_none()).map(|(name, _)| name.to_string()).collect();
        let expected = match required.len() {
            0 => expected,
            1 => format!("{expected}; required keyword: {}", required[0]),
            _ => format!("{expected}; required keywords: {}", required.join(", ")),
        };
        Err(self.argument_error(given, &expected))
    }

    fn bind_positional(&mut self, params: &Params, args: &[Value], scope: &Rc<Scope>) -> Result<()> {
        let (before, after) = (params.required.len(), params.post.len());
        let spare = args.len().saturating_sub(before + after);
        let optional = spare.min(params.optional.len());
        for (index, target) in params.required.iter().enumerate() {
            self.bind_target(target, args.get(index).cloned().unwrap_or(Value::Nil), scope)?;
        }
        for (index, (name, default)) in params.optional.iter().enumerate() {
            let value = match args.get(before + index).filter(|_| index < optional) {
                Some(value) => value.clone(),
                None => self.eval(default, scope)?,
            };
            scope.set(*name, 0, value);
        }
        let rest = before + optional;
        let end = args.len().saturating_sub(after).max(rest);
        if let Some(name) = params.rest {
            self.grow(budget::OBJECT + (end - rest) * size_of::<Value>())?;
            // One without a name can still be passed on: `g(*)`.
            scope.set(
                name.unwrap_or_else(|| Name::of("*")),
                0,
                Value::array(args.get(rest..end).unwrap_or_default().to_vec()),
            );
        }
        let after_from = if params.rest.is_some() { end } else { rest };
        for (index, target) in params.post.iter().enumerate() {
            self.bind_target(target, args.get(after_from + index).cloned().unwrap_or(Value::Nil), scope)?;
        }
        Ok(())
    }

    fn bind_target(&mut self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        self.assign(target, value, scope)
    }

    fn bind_keywords(
        &mut self,
        params: &Params,
        given: Option<Rc<Hash>>,
        scope: &Rc<Scope>,
        strict: bool,
    ) -> Result<()> {
        let rest = Hash::default();
        for (key, value) in given.map(|given| given.pairs()).unwrap_or_default() {
            rest.insert(key, value);
        }
        for (name, default) in &params.keywords {
            let value = match (rest.remove(&Value::Sym(*name)), default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.eval(default, scope)?,
                (None, None) if strict => {
                    return Err(self.error("ArgumentError", format!("missing keyword: :{name}")));
                }
                (None, None) => Value::Nil,
            };
            scope.set(*name, 0, value);
        }
        match params.keyword_rest {
            Some(Some(name)) => scope.set(name, 0, Value::Hash(Rc::new(rest))),
            None if strict && rest.len() > 0 => {
                let names: Vec<_> = rest.pairs().iter().map(|(key, _)| format!("{key:?}")).collect();
                return Err(self.error("ArgumentError", format!("unknown keyword: {}", names.join(", "))));
            }
            Some(None) | None => {}
        }
        Ok(())
    }

    /// Whether a value answers a method that is not private.
    pub fn responds(&self, receiver: &Value, name: &str) -> bool {
        let name = Name::of(name);
        match self.find_method(receiver, name, false) {
            Some((method, _)) => method.visibility == Visibility::Public,
            None => core::knows(self, receiver, name),
        }
    }

    /// Whether a call without receiver is answered, functions of the top level included.
    pub fn responds_any(&self, receiver: &Value, name: Name) -> bool {
        self.find_method(receiver, name, false).is_some()
            || self.find_method(receiver, name, true).is_some()
            || core::knows(self, receiver, name)
            || core::knows_function(name)
    }
}
