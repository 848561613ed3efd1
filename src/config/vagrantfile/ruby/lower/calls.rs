//! Calls, their arguments and blocks.

use std::rc::Rc;

use ruby_prism::{ArgumentsNode, Node as Parsed};

use super::super::names::Name;
use super::super::tree::{Args, AssignOp, At, BlockArg, Call, Kind, Target};
use super::{Lower, name_of};

impl Lower {
    pub(super) fn call(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        Some(match parsed {
            Parsed::CallNode { .. } => self.method_call(parsed)?,
            Parsed::SuperNode { .. } => {
                let node = parsed.as_super_node()?;
                let args = Some(self.args(node.arguments().as_ref()));
                Kind::Super { args, block: self.block(node.block()).map(Box::new) }
            }
            Parsed::ForwardingSuperNode { .. } => {
                let block = parsed.as_forwarding_super_node()?.block();
                Kind::Super { args: None, block: self.block(block.map(|block| block.as_node())).map(Box::new) }
            }
            Parsed::YieldNode { .. } => Kind::Yield(self.args(parsed.as_yield_node()?.arguments().as_ref())),
            _ => return self.call_assignment(parsed),
        })
    }

    fn method_call(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        let node = parsed.as_call_node()?;
        Some(Kind::Call(Box::new(Call {
            receiver: node.receiver().map(|receiver| self.node(&receiver)),
            name: name_of(&node.name()),
            args: self.args(node.arguments().as_ref()),
            block: self.block(node.block()),
            safe: node.is_safe_navigation(),
            bare: node.is_variable_call(),
            assigns: node.is_attribute_write(),
        })))
    }

    pub(super) fn args(&mut self, arguments: Option<&ArgumentsNode<'_>>) -> Args {
        let mut args = Args::default();
        for argument in arguments.into_iter().flat_map(|arguments| arguments.arguments().iter()) {
            if let Some(keywords) = argument.as_keyword_hash_node() {
                args.keywords = self.pairs(&keywords.elements());
            } else if argument.as_forwarding_arguments_node().is_some() {
                args.forwards = true;
            } else {
                args.positional.push(self.node(&argument));
            }
        }
        args
    }

    pub(super) fn block(&mut self, block: Option<Parsed<'_>>) -> Option<BlockArg> {
        let block = block?;
        if let Some(pass) = block.as_block_argument_node() {
            return Some(BlockArg::Pass(pass.expression().map(|inner| self.node(&inner))));
        }
        let literal = block.as_block_node()?;
        let at = self.at(&literal.location());
        let function = self.function(Name::of(""), literal.parameters(), literal.body(), at);
        Some(BlockArg::Literal(Rc::new(function)))
    }

    /// `a.b += c`, `a[b] ||= c`.
    fn call_assignment(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        let at = self.at(&parsed.location());
        if let Some(node) = parsed.as_call_or_write_node() {
            let target = self.attribute(node.receiver(), name_of(&node.write_name()), node.is_safe_navigation(), at);
            return Some(Kind::OpAssign { target, op: AssignOp::Or, value: self.boxed(&node.value()) });
        }
        if let Some(node) = parsed.as_call_and_write_node() {
            let target = self.attribute(node.receiver(), name_of(&node.write_name()), node.is_safe_navigation(), at);
            return Some(Kind::OpAssign { target, op: AssignOp::And, value: self.boxed(&node.value()) });
        }
        if let Some(node) = parsed.as_call_operator_write_node() {
            let target = self.attribute(node.receiver(), name_of(&node.write_name()), node.is_safe_navigation(), at);
            let op = AssignOp::Call(name_of(&node.binary_operator()));
            return Some(Kind::OpAssign { target, op, value: self.boxed(&node.value()) });
        }
        if let Some(node) = parsed.as_index_or_write_node() {
            let target = self.index(node.receiver(), node.arguments().as_ref(), at);
            return Some(Kind::OpAssign { target, op: AssignOp::Or, value: self.boxed(&node.value()) });
        }
        if let Some(node) = parsed.as_index_and_write_node() {
            let target = self.index(node.receiver(), node.arguments().as_ref(), at);
            return Some(Kind::OpAssign { target, op: AssignOp::And, value: self.boxed(&node.value()) });
        }
        let node = parsed.as_index_operator_write_node()?;
        let target = self.index(node.receiver(), node.arguments().as_ref(), at);
        let op = AssignOp::Call(name_of(&node.binary_operator()));
        Some(Kind::OpAssign { target, op, value: self.boxed(&node.value()) })
    }

    pub(super) fn call_target(&mut self, parsed: &Parsed<'_>) -> Option<Target> {
        let at = self.at(&parsed.location());
        if let Some(node) = parsed.as_call_target_node() {
            let receiver = Some(node.receiver());
            return Some(self.attribute(receiver, name_of(&node.name()), node.is_safe_navigation(), at));
        }
        let node = parsed.as_index_target_node()?;
        Some(self.index(Some(node.receiver()), node.arguments().as_ref(), at))
    }

    /// `name` is the writing method's: `memory=`.
    fn attribute(&mut self, receiver: Option<Parsed<'_>>, name: Name, safe: bool, at: At) -> Target {
        let receiver = receiver.map_or(Self::node_at(Kind::SelfRef, at), |receiver| self.node(&receiver));
        Target::Attribute { receiver: Box::new(receiver), name, safe }
    }

    fn index(&mut self, receiver: Option<Parsed<'_>>, arguments: Option<&ArgumentsNode<'_>>, at: At) -> Target {
        let receiver = receiver.map_or(Self::node_at(Kind::SelfRef, at), |receiver| self.node(&receiver));
        Target::Index { receiver: Box::new(receiver), args: self.args(arguments) }
    }
}
