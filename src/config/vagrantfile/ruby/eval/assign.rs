//! Assignments of every kind.

use std::rc::Rc;

use super::super::class::Class;
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::names::Name;
use super::super::scope::Scope;
use super::super::tree::{Args, AssignOp, ConstPath, ConstScope, MultiTarget, Node, Target};
use super::super::value::Value;

impl Interp {
    /// `target = value`.
    pub(super) fn eval_assign(&mut self, target: &Target, value: &Node, scope: &Rc<Scope>) -> Result<Value> {
        let value = self.eval(value, scope)?;
        self.assign(target, value.clone(), scope)?;
        Ok(value)
    }

    /// Puts a value into a target.
    pub(super) fn assign(&mut self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        match target {
            Target::Local { name, depth } => scope.set(*name, *depth, value),
            Target::InstanceVar(name) => self.set_instance_var(&scope.frame.me.clone(), *name, value)?,
            Target::ClassVar(name) => {
                let class = Rc::clone(&scope.frame.lexical.class);
                let home = class.ancestors().into_iter().find(|class| class.class_vars.borrow().contains_key(name));
                home.unwrap_or(class).class_vars.borrow_mut().insert(*name, value);
            }
            Target::GlobalVar(name) => {
                self.globals.insert(*name, value);
            }
            Target::Const(path) => self.assign_const(path, value, scope)?,
            Target::Index { receiver, args } => {
                let (receiver, mut args) = self.index_parts(receiver, args, scope)?;
                args.push(value);
                self.call(&receiver, Name::of("[]="), Call { own: true, ..Call::of(args) })?;
            }
            Target::Attribute { receiver, name, safe } => {
                let receiver = self.eval(receiver, scope)?;
                if !(*safe && receiver.is_nil()) {
                    self.call(&receiver, *name, Call { own: true, ..Call::of(vec![value]) })?;
                }
            }
            Target::Multi(targets) => self.take_apart(targets, &value, scope)?,
        }
        Ok(())
    }

    fn assign_const(&mut self, path: &ConstPath, value: Value, scope: &Rc<Scope>) -> Result<()> {
        let home = self.const_home(path, scope)?;
        // A class that was made without a name is called by the constant it is put into.
        if let Value::Class(class) = &value
            && class.name.borrow().is_empty()
        {
            *class.name.borrow_mut() = self.full_name(&home, path.name).into();
        }
        home.constants.borrow_mut().insert(path.name, value);
        Ok(())
    }

    /// The class or module that a constant is put into.
    pub(super) fn const_home(&mut self, path: &ConstPath, scope: &Rc<Scope>) -> Result<Rc<Class>> {
        match &path.scope {
            ConstScope::Lexical => Ok(Rc::clone(&scope.frame.lexical.class)),
            ConstScope::Top => Ok(Rc::clone(&self.object)),
            ConstScope::In(outer) => match self.eval(outer, scope)? {
                Value::Class(class) => Ok(class),
                other => Err(self.type_error(&other, "Module")),
            },
        }
    }

    pub(super) fn full_name(&self, home: &Rc<Class>, name: Name) -> String {
        if Rc::ptr_eq(home, &self.object) { name.to_string() } else { format!("{}::{name}", home.name.borrow()) }
    }

    fn index_parts(&mut self, receiver: &Node, args: &Args, scope: &Rc<Scope>) -> Result<(Value, Vec<Value>)> {
        Ok((self.eval(receiver, scope)?, self.eval_list(&args.positional, scope)?))
    }

    pub fn set_instance_var(&mut self, me: &Value, name: Name, value: Value) -> Result<()> {
        match me {
            Value::Object(object) if object.frozen.get() => {
                let class = object.class.name.borrow().clone();
                return Err(self.error("FrozenError", format!("can't modify frozen {class}")));
            }
            Value::Object(object) => {
                object.instance_vars.borrow_mut().insert(name, value);
            }
            Value::Class(class) => {
                class.instance_vars.borrow_mut().insert(name, value);
            }
            // What the embedding program gave us has no room for variables of the program.
            _ => return Err(self.unsupported(format!("the instance variable {name} in this place"))),
        }
        Ok(())
    }

    /// `a, b = value`.
    pub(super) fn take_apart(&mut self, targets: &MultiTarget, value: &Value, scope: &Rc<Scope>) -> Result<()> {
        let values = match value {
            Value::Array(array) => array.items.borrow().clone(),
            other => vec![other.clone()],
        };
        let (before, after) = (targets.lefts.len(), targets.rights.len());
        for (index, target) in targets.lefts.iter().enumerate() {
            self.assign(target, values.get(index).cloned().unwrap_or(Value::Nil), scope)?;
        }
        let end = values.len().saturating_sub(after).max(before);
        if let Some(Some(rest)) = &targets.rest {
            let middle = values.get(before..end).unwrap_or_default().to_vec();
            self.assign(rest, Value::array(middle), scope)?;
        }
        for (index, target) in targets.rights.iter().enumerate() {
            self.assign(target, values.get(end + index).cloned().unwrap_or(Value::Nil), scope)?;
        }
        Ok(())
    }

    /// `target op= value`: receiver and index are evaluated once.
    pub(super) fn eval_op_assign(
        &mut self,
        target: &Target,
        op: AssignOp,
        value: &Node,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        match target {
            Target::Index { receiver, args } => {
                let (receiver, args) = self.index_parts(receiver, args, scope)?;
                let old = self.call(&receiver, Name::of("[]"), Call { own: true, ..Call::of(args.clone()) })?;
                let Some(new) = self.combined(&old, op, value, scope)? else { return Ok(old) };
                let args = args.into_iter().chain([new.clone()]).collect();
                self.call(&receiver, Name::of("[]="), Call { own: true, ..Call::of(args) })?;
                Ok(new)
            }
            Target::Attribute { receiver, name, safe } => {
                let receiver = self.eval(receiver, scope)?;
                if *safe && receiver.is_nil() {
                    return Ok(Value::Nil);
                }
                let reader = Name::of(name.text().trim_end_matches('='));
                let old = self.call(&receiver, reader, Call { own: true, ..Call::default() })?;
                let Some(new) = self.combined(&old, op, value, scope)? else { return Ok(old) };
                self.call(&receiver, *name, Call { own: true, ..Call::of(vec![new.clone()]) })?;
                Ok(new)
            }
            _ => {
                let old = self.current(target, matches!(op, AssignOp::Or), scope)?;
                let Some(new) = self.combined(&old, op, value, scope)? else { return Ok(old) };
                self.assign(target, new.clone(), scope)?;
                Ok(new)
            }
        }
    }

    /// What a variable holds; `||=` takes one that does not exist as `nil`.
    fn current(&mut self, target: &Target, may_miss: bool, scope: &Rc<Scope>) -> Result<Value> {
        Ok(match target {
            Target::Local { name, depth } => scope.get(*name, *depth),
            Target::InstanceVar(name) => self.instance_var(&scope.frame.me, *name),
            Target::GlobalVar(name) => self.global(*name),
            Target::ClassVar(name) => match self.class_var(scope, *name) {
                Err(_) if may_miss => Value::Nil,
                other => other?,
            },
            Target::Const(path) if !matches!(path.scope, ConstScope::Lexical) => {
                let home = self.const_home(path, scope)?;
                home.constants.borrow().get(&path.name).cloned().unwrap_or(Value::Nil)
            }
            Target::Const(path) => match self.lexical_const(path.name, scope) {
                None if !may_miss => self.eval_const(&path.scope, path.name, scope)?,
                found => found.unwrap_or(Value::Nil),
            },
            Target::Index { .. } | Target::Attribute { .. } | Target::Multi(_) => Value::Nil,
        })
    }

    /// The new value; `None` where the old one stays.
    fn combined(&mut self, old: &Value, op: AssignOp, value: &Node, scope: &Rc<Scope>) -> Result<Option<Value>> {
        match op {
            AssignOp::Or if old.truthy() => Ok(None),
            AssignOp::And if !old.truthy() => Ok(None),
            AssignOp::Or | AssignOp::And => self.eval(value, scope).map(Some),
            AssignOp::Call(name) => {
                let value = self.eval(value, scope)?;
                self.call(old, name, Call { own: true, ..Call::of(vec![value]) }).map(Some)
            }
        }
    }
}
