//! Conditions, loops, exceptions, jumps.

use std::rc::Rc;

use super::super::class::Class;
use super::super::flow::{Flow, Result};
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::Scope;
use super::super::tree::{Begin, Kind, MultiTarget, Node, Rescue, When};
use super::super::value::Value;
use super::super::{regex, show};

impl Interp {
    pub(super) fn eval_statement(&mut self, node: &Node, scope: &Rc<Scope>) -> Result<Value> {
        match &node.kind {
            Kind::And(left, right) => {
                let left = self.eval(left, scope)?;
                if left.truthy() { self.eval(right, scope) } else { Ok(left) }
            }
            Kind::Or(left, right) => {
                let left = self.eval(left, scope)?;
                if left.truthy() { Ok(left) } else { self.eval(right, scope) }
            }
            Kind::If { condition, then, otherwise } => {
                let chosen = if self.eval(condition, scope)?.truthy() { then } else { otherwise };
                self.eval(chosen, scope)
            }
            Kind::Case { subject, whens, otherwise } => self.eval_case(subject.as_deref(), whens, otherwise, scope),
            Kind::CaseIn { subject, ins, otherwise } => self.eval_case_in(subject, ins, otherwise.as_deref(), scope),
            Kind::MatchPattern { value, pattern, must } => self.eval_match(value, pattern, *must, scope),
            Kind::While { condition, body, until, body_first } => {
                self.eval_while(condition, body, *until, *body_first, scope)
            }
            Kind::For { target, single, iterable, body } => self.eval_for(target, *single, iterable, body, scope),
            Kind::Begin(begin) => self.eval_begin(begin, scope),
            Kind::Defined(inner) => Ok(self.eval_defined(inner, scope).into()),
            Kind::Return(value) => {
                let value = self.eval(value, scope)?;
                Err(Flow::Return(scope.returns_to, value))
            }
            Kind::Break(value) => {
                let value = self.eval(value, scope)?;
                // Whoever called the block knows where it breaks to.
                Err(Flow::Break(0, value))
            }
            Kind::Next(value) => Err(Flow::Next(self.eval(value, scope)?)),
            Kind::Redo => Err(Flow::Redo),
            Kind::Retry => Err(Flow::Retry),
            Kind::Assign { target, value } => self.eval_assign(target, value, scope),
            Kind::OpAssign { target, op, value } => self.eval_op_assign(target, *op, value, scope),
            Kind::MultiAssign { targets, value } => {
                let value = self.eval(value, scope)?;
                let list = Value::array(self.splat(&value)?);
                self.take_apart(targets, &list, scope)?;
                Ok(value)
            }
            Kind::MatchAssign { call, names } => {
                let result = self.eval(call, scope)?;
                for (name, depth) in names {
                    let found = self.last_match.clone();
                    let value = found.map_or(Value::Nil, |found| regex::named_group(&found, &name.text()));
                    scope.set(*name, *depth, value);
                }
                Ok(result)
            }
            _ => self.eval_definition(node, scope),
        }
    }

    fn eval_case(
        &mut self,
        subject: Option<&Node>,
        whens: &[When],
        otherwise: &Node,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let subject = subject.map(|subject| self.eval(subject, scope)).transpose()?;
        for when in whens {
            for condition in self.eval_list(&when.conditions, scope)? {
                let fits = match &subject {
                    None => condition.truthy(),
                    Some(subject) => self.case_equal(&condition, subject)?,
                };
                if fits {
                    return self.eval(&when.body, scope);
                }
            }
        }
        self.eval(otherwise, scope)
    }

    /// `pattern === value`.
    pub fn case_equal(&mut self, pattern: &Value, value: &Value) -> Result<bool> {
        let call = Call { own: true, ..Call::of(vec![value.clone()]) };
        Ok(self.call(pattern, Name::of("==="), call)?.truthy())
    }

    fn eval_while(
        &mut self,
        condition: &Node,
        body: &Node,
        until: bool,
        body_first: bool,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let mut first = body_first;
        while first || self.eval(condition, scope)?.truthy() != until {
            first = false;
            self.step()?;
            match self.eval(body, scope) {
                Ok(_) | Err(Flow::Next(_)) => {}
                Err(Flow::Break(0, value)) => return Ok(value),
                Err(other) => return Err(other),
            }
        }
        Ok(Value::Nil)
    }

    fn eval_for(
        &mut self,
        target: &MultiTarget,
        single: bool,
        iterable: &Node,
        body: &Node,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let list = self.eval(iterable, scope)?;
        for item in self.items_of(&list)? {
            self.step()?;
            match target.lefts.first() {
                Some(only) if single => self.assign(only, item, scope)?,
                _ => self.take_apart(target, &item, scope)?,
            }
            match self.eval(body, scope) {
                Ok(_) | Err(Flow::Next(_)) => {}
                Err(Flow::Break(0, value)) => return Ok(value),
                Err(other) => return Err(other),
            }
        }
        Ok(list)
    }

    fn eval_begin(&mut self, begin: &Begin, scope: &Rc<Scope>) -> Result<Value> {
        let result = loop {
            let (calls, at) = (self.stack.len(), self.at);
            let result = match self.eval(&begin.body, scope) {
                Ok(value) => match &begin.otherwise {
                    Some(otherwise) => self.eval(otherwise, scope),
                    None => Ok(value),
                },
                Err(Flow::Raise(exception)) => {
                    self.note_place(&exception);
                    self.stack.truncate(calls);
                    self.at = at;
                    self.eval_rescue(&begin.rescues, exception, scope)
                }
                other => other,
            };
            match result {
                Err(Flow::Retry) => self.step()?,
                other => break other,
            }
        };
        if let Some(ensure) = &begin.ensure {
            let at = self.at;
            self.eval(ensure, scope)?;
            self.at = at;
        }
        result
    }

    fn eval_rescue(&mut self, rescues: &[Rescue], exception: Value, scope: &Rc<Scope>) -> Result<Value> {
        for rescue in rescues {
            let fits = if rescue.classes.is_empty() {
                self.is_a(&exception, &self.class_named("StandardError"))
            } else {
                let mut fits = false;
                for class in self.eval_list(&rescue.classes, scope)? {
                    fits = fits || self.case_equal(&class, &exception)?;
                }
                fits
            };
            if fits {
                if let Some(target) = &rescue.target {
                    self.assign(target, exception.clone(), scope)?;
                }
                let former = self.globals.insert(Name::of("$!"), exception);
                let result = self.eval(&rescue.body, scope);
                self.globals.insert(Name::of("$!"), former.unwrap_or(Value::Nil));
                return result;
            }
        }
        Err(Flow::Raise(exception))
    }

    /// Remembers where an exception was raised, once.
    pub fn note_place(&mut self, exception: &Value) {
        let Value::Object(object) = exception else { return };
        if object.get("@backtrace").is_some() {
            return;
        }
        let places = [self.at].into_iter().chain(self.stack.iter().rev().copied());
        let places: Vec<_> = places.filter(|at| !self.in_library(*at)).take(20).collect();
        let lines =
            places.into_iter().map(|at| Value::str(format!("{}:{}", self.file_path(at.file), self.line_of(at))));
        object.set("@backtrace", Value::array(lines.collect()));
    }

    /// Whether a value is of a class or below it.
    pub fn is_a(&self, value: &Value, class: &Rc<Class>) -> bool {
        if let Value::Object(object) = value
            && object.extended.borrow().iter().any(|module| module.descends_from(class))
        {
            return true;
        }
        Rc::ptr_eq(class, &self.object) || self.class_of(value).descends_from(class)
    }

    fn eval_defined(&mut self, node: &Node, scope: &Rc<Scope>) -> Option<&'static str> {
        match &node.kind {
            Kind::Local { .. } => Some("local-variable"),
            Kind::GlobalVar(name) => self.globals.contains_key(name).then_some("global-variable"),
            Kind::InstanceVar(name) => {
                let held = match &scope.frame.me {
                    Value::Object(object) => object.instance_vars.borrow().contains_key(name),
                    Value::Class(class) => class.instance_vars.borrow().contains_key(name),
                    _ => false,
                };
                held.then_some("instance-variable")
            }
            Kind::ClassVar(name) => self.class_var(scope, *name).is_ok().then_some("class variable"),
            Kind::Const { scope: place, name } => self.eval_const(place, *name, scope).is_ok().then_some("constant"),
            Kind::Call(call) => {
                let receiver = match &call.receiver {
                    None => scope.frame.me.clone(),
                    Some(receiver) => {
                        self.eval_defined(receiver, scope)?;
                        self.eval(receiver, scope).ok()?
                    }
                };
                self.responds_any(&receiver, call.name).then_some("method")
            }
            Kind::Yield(_) => scope.frame.block.is_some().then_some("yield"),
            Kind::SelfRef => Some("self"),
            Kind::Nil => Some("nil"),
            Kind::True => Some("true"),
            Kind::False => Some("false"),
            Kind::Assign { .. } | Kind::OpAssign { .. } | Kind::MultiAssign { .. } => Some("assignment"),
            Kind::Super { .. } => None,
            _ => Some("expression"),
        }
    }

    /// The message of an exception.
    pub fn message_of(&mut self, exception: &Value) -> String {
        let text = self.send(exception, "message", Vec::new());
        text.ok().and_then(|text| show::to_s(&text)).unwrap_or_else(|| show::inspect(exception))
    }
}
