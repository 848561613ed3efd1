//! Definitions of methods, classes and modules.

use std::rc::Rc;

use super::super::class::{Class, Method, MethodBody, Visibility};
use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::names::Name;
use super::super::scope::{Frame, Lexical, Scope};
use super::super::tree::{ConstPath, ConstScope, Function, Kind, Node};
use super::super::value::Value;

impl Interp {
    pub(super) fn eval_definition(&mut self, node: &Node, scope: &Rc<Scope>) -> Result<Value> {
        match &node.kind {
            Kind::Def { singleton, method } => self.define_method(singleton.as_deref(), method, scope),
            Kind::Class { path, superclass, body } => self.define_class_at(path, superclass.as_deref(), body, scope),
            Kind::Module { path, body } => {
                let module = self.open(path, None, true, scope)?;
                self.run_class_body(&module, body, scope)
            }
            Kind::SingletonClass { of, body } => self.open_singleton(of, body, scope),
            Kind::Alias { new, old } => {
                let class = Rc::clone(&scope.frame.lexical.class);
                self.alias(&class, *new, *old);
                Ok(Value::Nil)
            }
            Kind::Undef(names) => {
                let class = Rc::clone(&scope.frame.lexical.class);
                class.methods.borrow_mut().retain(|name, _| !names.contains(name));
                Ok(Value::Nil)
            }
            Kind::Super { args, block } => self.eval_super(args.as_ref(), block.as_deref(), scope),
            Kind::Yield(args) => self.eval_yield(args, scope),
            _ => Err(self.unsupported("this construct")),
        }
    }

    /// Gives a method another name.
    #[expect(clippy::unused_self, reason = "its siblings need the run")]
    pub fn alias(&self, class: &Rc<Class>, new: Name, old: Name) {
        let found = class.ancestors().into_iter().find_map(|class| class.own_method(old)).map(|(method, _)| method);
        let method = found.unwrap_or(Method { body: MethodBody::Native(old), visibility: Visibility::Public });
        class.methods.borrow_mut().insert(new, method);
    }

    fn define_method(&mut self, singleton: Option<&Node>, function: &Rc<Function>, scope: &Rc<Scope>) -> Result<Value> {
        let lexical = Rc::clone(&scope.frame.lexical);
        let class = Rc::clone(&lexical.class);
        let body = MethodBody::Function { function: Rc::clone(function), lexical };
        let name = function.name;
        if let Some(singleton) = singleton {
            let method = Method { body, visibility: Visibility::Public };
            match self.eval(singleton, scope)? {
                Value::Class(class) => class.singleton.borrow_mut().insert(name, method),
                Value::Object(object) => object.singleton.borrow_mut().insert(name, method),
                other => return Err(self.type_error(&other, "Class")),
            };
            return Ok(Value::Sym(name));
        }
        let visibility = class.default_visibility.get();
        let method = Method { body, visibility };
        if visibility == Visibility::ModuleFunction {
            class.singleton.borrow_mut().insert(name, Method { visibility: Visibility::Public, ..method.clone() });
        }
        class.methods.borrow_mut().insert(name, method);
        Ok(Value::Sym(name))
    }

    fn define_class_at(
        &mut self,
        path: &ConstPath,
        superclass: Option<&Node>,
        body: &Node,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let superclass = match superclass.map(|superclass| self.eval(superclass, scope)).transpose()? {
            Some(Value::Class(class)) => Some(class),
            Some(other) => return Err(self.type_error(&other, "Class")),
            None => None,
        };
        let class = self.open(path, superclass, false, scope)?;
        self.run_class_body(&class, body, scope)
    }

    /// The class or module of that name, made where there is none.
    fn open(
        &mut self,
        path: &ConstPath,
        superclass: Option<Rc<Class>>,
        is_module: bool,
        scope: &Rc<Scope>,
    ) -> Result<Rc<Class>> {
        let home = self.const_home(path, scope)?;
        // A program may add to a class of a library; libraries themselves are being read.
        if Rc::ptr_eq(&home, &self.object) && !self.in_library(self.at) {
            self.autoload(&path.name.text())?;
        }
        let there = match &path.scope {
            ConstScope::Lexical if Rc::ptr_eq(&home, &self.object) => self.lexical_const(path.name, scope),
            _ => home.constants.borrow().get(&path.name).cloned(),
        };
        match there {
            Some(Value::Class(class)) => return Ok(class),
            Some(other) => return Err(self.type_error(&other, "Class")),
            None => {}
        }
        let name = self.full_name(&home, path.name);
        if home.grows.borrow().is_some() {
            self.reopened.push((self.at, name.clone()));
        }
        let superclass = if is_module { None } else { Some(superclass.unwrap_or_else(|| Rc::clone(&self.object))) };
        let class = Class::new(&name, superclass.clone(), is_module);
        super::super::core::few_kin(self, &class)?;
        home.constants.borrow_mut().insert(path.name, Value::Class(Rc::clone(&class)));
        if let Some(parent) = superclass {
            self.inherited(&parent, &class)?;
        }
        Ok(class)
    }

    /// Tells a class that another one descends from it.
    pub fn inherited(&mut self, parent: &Rc<Class>, class: &Rc<Class>) -> Result<()> {
        let hook = Name::of("inherited");
        let wants = parent.ancestors().iter().any(|class| class.singleton.borrow().contains_key(&hook));
        if wants {
            let receiver = Value::Class(Rc::clone(parent));
            self.send(&receiver, "inherited", vec![Value::Class(Rc::clone(class))])?;
        }
        Ok(())
    }

    fn run_class_body(&mut self, class: &Rc<Class>, body: &Node, scope: &Rc<Scope>) -> Result<Value> {
        let lexical = Lexical { class: Rc::clone(class), parent: Some(Rc::clone(&scope.frame.lexical)) };
        let me = Value::Class(Rc::clone(class));
        let frame =
            Frame { me, method: None, args: Vec::new(), function: None, block: None, lexical: Rc::new(lexical) };
        let inner = Scope::new(Rc::new(frame), self.tag());
        // Methods of the top level are private; those of a class are not, `Object` included.
        let outer = class.default_visibility.replace(Visibility::Public);
        let result = self.deeper(|ruby| ruby.eval(body, &inner));
        class.default_visibility.set(if Rc::ptr_eq(class, &self.object) { outer } else { Visibility::Public });
        result
    }

    /// `class << self`: the methods in it go to the object itself.
    fn open_singleton(&mut self, of: &Node, body: &Node, scope: &Rc<Scope>) -> Result<Value> {
        let of = self.eval(of, scope)?;
        let name = match &of {
            Value::Class(class) => class.name.borrow().clone(),
            Value::Object(object) => object.class.name.borrow().clone(),
            _ => return Err(self.unsupported("`class <<` of this")),
        };
        let meta = Class::new(&name, None, true);
        let result = self.run_class_body(&meta, body, scope);
        let methods = meta.methods.take();
        match of {
            Value::Class(class) => class.singleton.borrow_mut().extend(methods),
            Value::Object(object) => object.singleton.borrow_mut().extend(methods),
            _ => {}
        }
        result
    }
}
