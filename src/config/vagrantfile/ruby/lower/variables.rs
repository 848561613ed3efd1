//! Variables and constants: read, written, taken apart.

use std::rc::Rc;

use ruby_prism::{ConstantId, Node as Parsed, NodeList};

use super::super::names::Name;
use super::super::tree::{AssignOp, At, ConstPath, ConstScope, Group, Kind, MultiTarget, Node, Target};
use super::{Lower, name_of};

impl Lower {
    pub(super) fn variable(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        Some(match parsed {
            Parsed::LocalVariableReadNode { .. } => {
                let node = parsed.as_local_variable_read_node()?;
                Kind::Local { name: name_of(&node.name()), depth: node.depth() }
            }
            Parsed::ItLocalVariableReadNode { .. } => Kind::Local { name: Name::of("it"), depth: 0 },
            Parsed::InstanceVariableReadNode { .. } => {
                Kind::InstanceVar(name_of(&parsed.as_instance_variable_read_node()?.name()))
            }
            Parsed::ClassVariableReadNode { .. } => {
                Kind::ClassVar(name_of(&parsed.as_class_variable_read_node()?.name()))
            }
            Parsed::GlobalVariableReadNode { .. } => {
                Kind::GlobalVar(name_of(&parsed.as_global_variable_read_node()?.name()))
            }
            Parsed::NumberedReferenceReadNode { .. } => {
                Kind::Match(Group::Number(parsed.as_numbered_reference_read_node()?.number()))
            }
            Parsed::BackReferenceReadNode { .. } => {
                Kind::Match(match parsed.as_back_reference_read_node()?.name().as_slice() {
                    b"$`" => Group::Before,
                    b"$'" => Group::After,
                    _ => Group::Whole,
                })
            }
            Parsed::ConstantReadNode { .. } => {
                Kind::Const { scope: ConstScope::Lexical, name: name_of(&parsed.as_constant_read_node()?.name()) }
            }
            Parsed::ConstantPathNode { .. } => {
                let path = self.const_path(parsed)?;
                Kind::Const { scope: path.scope, name: path.name }
            }
            _ => return None,
        })
    }

    /// `A`, `::A`, `b::A`, read or written.
    pub(super) fn const_path(&mut self, parsed: &Parsed<'_>) -> Option<ConstPath> {
        if let Some(read) = parsed.as_constant_read_node() {
            return Some(ConstPath { scope: ConstScope::Lexical, name: name_of(&read.name()) });
        }
        let (parent, name) = match (parsed.as_constant_path_node(), parsed.as_constant_path_target_node()) {
            (Some(path), _) => (path.parent(), path.name()?),
            (_, Some(path)) => (path.parent(), path.name()?),
            _ => return None,
        };
        let scope = parent.map_or(ConstScope::Top, |parent| ConstScope::In(self.boxed(&parent)));
        Some(ConstPath { scope, name: name_of(&name) })
    }

    pub(super) fn assignment(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        self.plain_assignment(parsed).or_else(|| self.operator_assignment(parsed))
    }

    fn plain_assignment(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        let (target, value) = match parsed {
            Parsed::LocalVariableWriteNode { .. } => {
                let node = parsed.as_local_variable_write_node()?;
                (Target::Local { name: name_of(&node.name()), depth: node.depth() }, node.value())
            }
            Parsed::InstanceVariableWriteNode { .. } => {
                let node = parsed.as_instance_variable_write_node()?;
                (Target::InstanceVar(name_of(&node.name())), node.value())
            }
            Parsed::ClassVariableWriteNode { .. } => {
                let node = parsed.as_class_variable_write_node()?;
                (Target::ClassVar(name_of(&node.name())), node.value())
            }
            Parsed::GlobalVariableWriteNode { .. } => {
                let node = parsed.as_global_variable_write_node()?;
                (Target::GlobalVar(name_of(&node.name())), node.value())
            }
            Parsed::ConstantWriteNode { .. } => {
                let node = parsed.as_constant_write_node()?;
                (constant(&node.name()), node.value())
            }
            Parsed::ConstantPathWriteNode { .. } => {
                let node = parsed.as_constant_path_write_node()?;
                (Target::Const(self.const_path(&node.target().as_node())?), node.value())
            }
            Parsed::MultiWriteNode { .. } => {
                let node = parsed.as_multi_write_node()?;
                let targets = Rc::new(self.multi(&node.lefts(), node.rest(), &node.rights()));
                return Some(Kind::MultiAssign { targets, value: self.boxed(&node.value()) });
            }
            Parsed::MatchWriteNode { .. } => {
                let node = parsed.as_match_write_node()?;
                let names = node.targets().iter().filter_map(|target| {
                    target.as_local_variable_target_node().map(|local| (name_of(&local.name()), local.depth()))
                });
                let names = names.collect();
                return Some(Kind::MatchAssign { call: self.boxed(&node.call().as_node()), names });
            }
            _ => return None,
        };
        Some(Kind::Assign { target, value: self.boxed(&value) })
    }

    fn operator_assignment(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        // One parser's node for each kind of variable and operator; all have the same shape.
        macro_rules! forms {
            ($(($or:ident, $and:ident, $op:ident, $target:expr)),+ $(,)?) => {
                $(
                    if let Some(node) = parsed.$or() {
                        return Some(Kind::OpAssign { target: ($target)(&node.name(), node_depth!($or, node)), op: AssignOp::Or, value: self.boxed(&node.value()) });
                    }
                    if let Some(node) = parsed.$and() {
                        return Some(Kind::OpAssign { target: ($target)(&node.name(), node_depth!($or, node)), op: AssignOp::And, value: self.boxed(&node.value()) });
                    }
                    if let Some(node) = parsed.$op() {
                        let op = AssignOp::Call(name_of(&node.binary_operator()));
                        return Some(Kind::OpAssign { target: ($target)(&node.name(), node_depth!($or, node)), op, value: self.boxed(&node.value()) });
                    }
                )+
            };
        }
        macro_rules! node_depth {
            (as_local_variable_or_write_node, $node:ident) => {
                $node.depth()
            };
            ($other:ident, $node:ident) => {
                0
            };
        }
        forms!(
            (
                as_local_variable_or_write_node,
                as_local_variable_and_write_node,
                as_local_variable_operator_write_node,
                |name: &ConstantId<'_>, depth| Target::Local { name: name_of(name), depth }
            ),
            (
                as_instance_variable_or_write_node,
                as_instance_variable_and_write_node,
                as_instance_variable_operator_write_node,
                |name: &ConstantId<'_>, _: u32| Target::InstanceVar(name_of(name))
            ),
            (
                as_class_variable_or_write_node,
                as_class_variable_and_write_node,
                as_class_variable_operator_write_node,
                |name: &ConstantId<'_>, _: u32| Target::ClassVar(name_of(name))
            ),
            (
                as_global_variable_or_write_node,
                as_global_variable_and_write_node,
                as_global_variable_operator_write_node,
                |name: &ConstantId<'_>, _: u32| Target::GlobalVar(name_of(name))
            ),
            (
                as_constant_or_write_node,
                as_constant_and_write_node,
                as_constant_operator_write_node,
                |name: &ConstantId<'_>, _: u32| constant(name)
            ),
        );
        if let Some(node) = parsed.as_constant_path_or_write_node() {
            let target = Target::Const(self.const_path(&node.target().as_node())?);
            return Some(Kind::OpAssign { target, op: AssignOp::Or, value: self.boxed(&node.value()) });
        }
        None
    }

    pub(super) fn multi(
        &mut self,
        lefts: &NodeList<'_>,
        rest: Option<Parsed<'_>>,
        rights: &NodeList<'_>,
    ) -> MultiTarget {
        let rest = rest.map(|rest| {
            let inner = rest.as_splat_node().and_then(|splat| splat.expression());
            inner.map(|inner| Box::new(self.target(&inner)))
        });
        MultiTarget {
            lefts: lefts.iter().map(|target| self.target(&target)).collect(),
            rest,
            rights: rights.iter().map(|target| self.target(&target)).collect(),
        }
    }

    /// Something that is assigned to without a value of its own: in `a, b = …`, `rescue => a`, `for a in`, `|(a, b)|`.
    pub(super) fn target(&mut self, parsed: &Parsed<'_>) -> Target {
        self.simple_target(parsed).or_else(|| self.call_target(parsed)).unwrap_or(Target::GlobalVar(Name::of("$_")))
    }

    fn simple_target(&mut self, parsed: &Parsed<'_>) -> Option<Target> {
        Some(match parsed {
            Parsed::LocalVariableTargetNode { .. } => {
                let node = parsed.as_local_variable_target_node()?;
                Target::Local { name: name_of(&node.name()), depth: node.depth() }
            }
            Parsed::RequiredParameterNode { .. } => {
                Target::Local { name: name_of(&parsed.as_required_parameter_node()?.name()), depth: 0 }
            }
            Parsed::InstanceVariableTargetNode { .. } => {
                Target::InstanceVar(name_of(&parsed.as_instance_variable_target_node()?.name()))
            }
            Parsed::ClassVariableTargetNode { .. } => {
                Target::ClassVar(name_of(&parsed.as_class_variable_target_node()?.name()))
            }
            Parsed::GlobalVariableTargetNode { .. } => {
                Target::GlobalVar(name_of(&parsed.as_global_variable_target_node()?.name()))
            }
            Parsed::ConstantTargetNode { .. } => constant(&parsed.as_constant_target_node()?.name()),
            Parsed::ConstantPathTargetNode { .. } => Target::Const(self.const_path(parsed)?),
            Parsed::MultiTargetNode { .. } => {
                let node = parsed.as_multi_target_node()?;
                Target::Multi(Rc::new(self.multi(&node.lefts(), node.rest(), &node.rights())))
            }
            _ => return None,
        })
    }

    pub(super) fn node_at(kind: Kind, at: At) -> Node {
        Node { kind, at }
    }
}

fn constant(name: &ConstantId<'_>) -> Target {
    Target::Const(ConstPath { scope: ConstScope::Lexical, name: name_of(name) })
}
