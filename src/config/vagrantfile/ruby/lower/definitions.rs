//! Methods, classes, modules, lambdas, and parameters of all of them.

use std::rc::Rc;

use ruby_prism::{Node as Parsed, ParametersNode};

use super::super::names::Name;
use super::super::tree::{At, Function, Kind, Params, Target};
use super::{Lower, name_of};

impl Lower {
    pub(super) fn definition(&mut self, parsed: &Parsed<'_>, at: At) -> Option<Kind> {
        Some(match parsed {
            Parsed::DefNode { .. } => {
                let node = parsed.as_def_node()?;
                let params = node.parameters().map(|params| params.as_node());
                let method = Rc::new(self.function(name_of(&node.name()), params, node.body(), at));
                Kind::Def { singleton: node.receiver().map(|receiver| self.boxed(&receiver)), method }
            }
            Parsed::LambdaNode { .. } => {
                let node = parsed.as_lambda_node()?;
                Kind::Lambda(Rc::new(self.function(Name::of(""), node.parameters(), node.body(), at)))
            }
            Parsed::ClassNode { .. } => {
                let node = parsed.as_class_node()?;
                let superclass = node.superclass().map(|superclass| self.boxed(&superclass));
                let path = self.const_path(&node.constant_path())?;
                Kind::Class { path, superclass, body: Rc::new(self.optional(node.body(), at)) }
            }
            Parsed::ModuleNode { .. } => {
                let node = parsed.as_module_node()?;
                let path = self.const_path(&node.constant_path())?;
                Kind::Module { path, body: Rc::new(self.optional(node.body(), at)) }
            }
            Parsed::SingletonClassNode { .. } => {
                let node = parsed.as_singleton_class_node()?;
                let body = Rc::new(self.optional(node.body(), at));
                Kind::SingletonClass { of: self.boxed(&node.expression()), body }
            }
            Parsed::AliasMethodNode { .. } => {
                let node = parsed.as_alias_method_node()?;
                let name = |node: Parsed<'_>| {
                    node.as_symbol_node().map(|symbol| Name::of(&String::from_utf8_lossy(symbol.unescaped())))
                };
                Kind::Alias { new: name(node.new_name())?, old: name(node.old_name())? }
            }
            Parsed::UndefNode { .. } => {
                let names = parsed.as_undef_node()?.names();
                let names = names.iter().filter_map(|name| name.as_symbol_node());
                Kind::Undef(names.map(|name| Name::of(&String::from_utf8_lossy(name.unescaped()))).collect())
            }
            Parsed::PreExecutionNode { .. } => self.block_of(parsed.as_pre_execution_node()?.statements(), at).kind,
            // As `at_exit`: nobody is there any more when the program ends.
            Parsed::PostExecutionNode { .. } => Kind::Nil,
            Parsed::ShareableConstantNode { .. } => self.node(&parsed.as_shareable_constant_node()?.write()).kind,
            _ => return None,
        })
    }

    /// A method, block or lambda. Its body sees variables of its own at depth 0.
    pub(super) fn function(
        &mut self,
        name: Name,
        params: Option<Parsed<'_>>,
        body: Option<Parsed<'_>>,
        at: At,
    ) -> Function {
        let params = params.map(|params| self.any_params(&params)).unwrap_or_default();
        Function { name, params, body: self.optional(body, at) }
    }

    fn any_params(&mut self, parsed: &Parsed<'_>) -> Params {
        if let Some(block) = parsed.as_block_parameters_node() {
            return block.parameters().map(|params| self.params(&params)).unwrap_or_default();
        }
        if let Some(numbered) = parsed.as_numbered_parameters_node() {
            return Params { numbered: numbered.maximum(), ..Params::default() };
        }
        if parsed.as_it_parameters_node().is_some() {
            let it = Target::Local { name: Name::of("it"), depth: 0 };
            return Params { required: vec![it], ..Params::default() };
        }
        parsed.as_parameters_node().map(|params| self.params(&params)).unwrap_or_default()
    }

    fn params(&mut self, node: &ParametersNode<'_>) -> Params {
        let mut params = Params {
            required: node.requireds().iter().map(|target| self.target(&target)).collect(),
            post: node.posts().iter().map(|target| self.target(&target)).collect(),
            ..Params::default()
        };
        for optional in node.optionals().iter().filter_map(|optional| optional.as_optional_parameter_node()) {
            params.optional.push((name_of(&optional.name()), self.node(&optional.value())));
        }
        match node.rest() {
            Some(rest) if rest.as_implicit_rest_node().is_some() => params.trailing_comma = true,
            Some(rest) => {
                params.rest = Some(rest.as_rest_parameter_node().and_then(|rest| rest.name()).map(|id| name_of(&id)));
            }
            None => {}
        }
        for keyword in &node.keywords() {
            if let Some(required) = keyword.as_required_keyword_parameter_node() {
                params.keywords.push((name_of(&required.name()), None));
            } else if let Some(optional) = keyword.as_optional_keyword_parameter_node() {
                params.keywords.push((name_of(&optional.name()), Some(self.node(&optional.value()))));
            }
        }
        match node.keyword_rest() {
            Some(rest) if rest.as_forwarding_parameter_node().is_some() => params.forwards = true,
            Some(rest) => {
                params.keyword_rest =
                    rest.as_keyword_rest_parameter_node().map(|rest| rest.name().map(|id| name_of(&id)));
            }
            None => {}
        }
        params.block = node
            .block()
            .and_then(|block| block.as_block_parameter_node().map(|block| block.name()))
            .map(|name| name.map_or_else(|| Name::of("&"), |id| name_of(&id)));
        params
    }
}
