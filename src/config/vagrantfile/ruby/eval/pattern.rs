//! Pattern matching.

use std::rc::Rc;

use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::names::Name;
use super::super::scope::Scope;
use super::super::tree::{In, Node, Pattern, Target};
use super::super::value::{Hash, Value};

impl Interp {
    pub(super) fn eval_case_in(
        &mut self,
        subject: &Node,
        ins: &[In],
        otherwise: Option<&Node>,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let subject = self.eval(subject, scope)?;
        for one in ins {
            if self.fits(&one.pattern, &subject, scope)? {
                return self.eval(&one.body, scope);
            }
        }
        match otherwise {
            Some(otherwise) => self.eval(otherwise, scope),
            None => Err(self.no_pattern(&subject)),
        }
    }

    /// `value in pattern`, and `value => pattern`, which must fit.
    pub(super) fn eval_match(
        &mut self,
        value: &Node,
        pattern: &Pattern,
        must: bool,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let value = self.eval(value, scope)?;
        let fits = self.fits(pattern, &value, scope)?;
        match (must, fits) {
            (true, false) => Err(self.no_pattern(&value)),
            (true, true) => Ok(Value::Nil),
            (false, fits) => Ok(fits.into()),
        }
    }

    fn no_pattern(&mut self, value: &Value) -> super::super::flow::Flow {
        let shown = super::super::show::inspect(value);
        self.error("NoMatchingPatternError", shown)
    }

    fn fits(&mut self, pattern: &Pattern, value: &Value, scope: &Rc<Scope>) -> Result<bool> {
        self.step()?;
        self.check_stack()?;
        match pattern {
            Pattern::Value(node) => {
                let wanted = self.eval(node, scope)?;
                self.case_equal(&wanted, value)
            }
            Pattern::Bind(target) => {
                self.assign(target, value.clone(), scope)?;
                Ok(true)
            }
            Pattern::Either(left, right) => Ok(self.fits(left, value, scope)? || self.fits(right, value, scope)?),
            Pattern::Capture(inner, target) => {
                let fits = self.fits(inner, value, scope)?;
                if fits {
                    self.assign(target, value.clone(), scope)?;
                }
                Ok(fits)
            }
            Pattern::Guarded { pattern, condition, wanted } => {
                Ok(self.fits(pattern, value, scope)? && self.eval(condition, scope)?.truthy() == *wanted)
            }
            Pattern::List { constant, before, rest, after } => {
                let Some(items) = self.items_for(constant.as_ref(), value, scope)? else { return Ok(false) };
                self.list_fits(before, rest.as_ref(), after, &items, scope)
            }
            Pattern::Find { constant, left, middle, right } => {
                let Some(items) = self.items_for(constant.as_ref(), value, scope)? else { return Ok(false) };
                self.find_fits(left.as_ref(), middle, right.as_ref(), &items, scope)
            }
            Pattern::Keys { constant, pairs, rest, only } => {
                if !self.is_of(constant.as_ref(), value, scope)? {
                    return Ok(false);
                }
                self.keys_fit(pairs, rest.as_ref(), *only, value, scope)
            }
        }
    }

    fn is_of(&mut self, constant: Option<&Node>, value: &Value, scope: &Rc<Scope>) -> Result<bool> {
        let Some(constant) = constant else { return Ok(true) };
        let class = self.eval(constant, scope)?;
        self.case_equal(&class, value)
    }

    /// What a value is taken apart into; none where it cannot be.
    fn items_for(&mut self, constant: Option<&Node>, value: &Value, scope: &Rc<Scope>) -> Result<Option<Vec<Value>>> {
        if !self.is_of(constant, value, scope)? {
            return Ok(None);
        }
        let list = match value {
            Value::Array(_) => value.clone(),
            Value::Object(_) if self.responds(value, "deconstruct") => self.send(value, "deconstruct", Vec::new())?,
            _ => return Ok(None),
        };
        Ok(match list {
            Value::Array(array) => Some(array.items.borrow().clone()),
            _ => None,
        })
    }

    fn list_fits(
        &mut self,
        before: &[Pattern],
        rest: Option<&Option<Target>>,
        after: &[Pattern],
        items: &[Value],
        scope: &Rc<Scope>,
    ) -> Result<bool> {
        let needed = before.len() + after.len();
        if items.len() < needed || (rest.is_none() && items.len() > needed) {
            return Ok(false);
        }
        let (first, others) = items.split_at(before.len());
        let (middle, last) = others.split_at(others.len() - after.len());
        if !self.all_fit(before, first, scope)? {
            return Ok(false);
        }
        if let Some(Some(target)) = rest {
            self.assign(target, Value::array(middle.to_vec()), scope)?;
        }
        self.all_fit(after, last, scope)
    }

    fn all_fit(&mut self, patterns: &[Pattern], items: &[Value], scope: &Rc<Scope>) -> Result<bool> {
        for (pattern, item) in patterns.iter().zip(items) {
            if !self.fits(pattern, item, scope)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `[*, wanted, *]`: the first place where it fits.
    fn find_fits(
        &mut self,
        left: Option<&Target>,
        middle: &[Pattern],
        right: Option<&Target>,
        items: &[Value],
        scope: &Rc<Scope>,
    ) -> Result<bool> {
        for (start, window) in items.windows(middle.len().max(1)).enumerate() {
            if !self.all_fit(middle, window, scope)? {
                continue;
            }
            let ends = [(left, items.get(..start)), (right, items.get(start + window.len()..))];
            for (target, part) in ends.into_iter().filter_map(|(target, part)| Some((target?, part?))) {
                self.assign(target, Value::array(part.to_vec()), scope)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn keys_fit(
        &mut self,
        pairs: &[(Name, Pattern)],
        rest: Option<&Target>,
        only: bool,
        value: &Value,
        scope: &Rc<Scope>,
    ) -> Result<bool> {
        let hash = match value {
            Value::Hash(hash) => Rc::clone(hash),
            Value::Object(_) if self.responds(value, "deconstruct_keys") => {
                let names = pairs.iter().map(|(name, _)| Value::Sym(*name)).collect();
                let wanted = if rest.is_some() { Value::Nil } else { Value::array(names) };
                match self.send(value, "deconstruct_keys", vec![wanted])? {
                    Value::Hash(hash) => hash,
                    _ => return Ok(false),
                }
            }
            _ => return Ok(false),
        };
        // `in {}` means an empty one, other patterns leave what they do not name.
        if pairs.is_empty() && rest.is_none() {
            return Ok(hash.len() == 0);
        }
        let others = Hash::default();
        for (key, value) in hash.pairs() {
            others.insert(key, value);
        }
        for (name, pattern) in pairs {
            let Some(found) = others.remove(&Value::Sym(*name)) else { return Ok(false) };
            if !self.fits(pattern, &found, scope)? {
                return Ok(false);
            }
        }
        if only && others.len() > 0 {
            return Ok(false);
        }
        if let Some(target) = rest {
            self.assign(target, Value::Hash(Rc::new(others)), scope)?;
        }
        Ok(true)
    }
}
