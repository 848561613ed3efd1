//! Conditions, loops, exceptions, jumps.

use std::rc::Rc;

use ruby_prism::{ArgumentsNode, BeginNode, Node as Parsed, NodeList, RescueNode};

use super::super::tree::{At, Begin, Kind, MultiTarget, Node, Rescue, When};
use super::Lower;

impl Lower {
    pub(super) fn flow(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        let at = self.at(&parsed.location());
        Some(match parsed {
            Parsed::AndNode { .. } => {
                let node = parsed.as_and_node()?;
                Kind::And(self.boxed(&node.left()), self.boxed(&node.right()))
            }
            Parsed::OrNode { .. } => {
                let node = parsed.as_or_node()?;
                Kind::Or(self.boxed(&node.left()), self.boxed(&node.right()))
            }
            Parsed::DefinedNode { .. } => Kind::Defined(self.boxed(&parsed.as_defined_node()?.value())),
            Parsed::IfNode { .. } | Parsed::UnlessNode { .. } => self.condition(parsed, at)?,
            Parsed::ElseNode { .. } => self.block_of(parsed.as_else_node()?.statements(), at).kind,
            Parsed::CaseNode { .. } => self.case(parsed, at)?,
            Parsed::WhileNode { .. } | Parsed::UntilNode { .. } | Parsed::ForNode { .. } => self.repeat(parsed, at)?,
            Parsed::StatementsNode { .. } => self.sequence(&parsed.as_statements_node()?),
            Parsed::ParenthesesNode { .. } => self.optional(parsed.as_parentheses_node()?.body(), at).kind,
            Parsed::BeginNode { .. } => self.begin(&parsed.as_begin_node()?, at),
            Parsed::RescueModifierNode { .. } => {
                let node = parsed.as_rescue_modifier_node()?;
                let body = self.node(&node.rescue_expression());
                let rescues = vec![Rescue { classes: Vec::new(), target: None, body }];
                let body = self.node(&node.expression());
                Kind::Begin(Box::new(Begin { body, rescues, otherwise: None, ensure: None }))
            }
            Parsed::ReturnNode { .. } => Kind::Return(self.jump(parsed.as_return_node()?.arguments().as_ref(), at)),
            Parsed::BreakNode { .. } => Kind::Break(self.jump(parsed.as_break_node()?.arguments().as_ref(), at)),
            Parsed::NextNode { .. } => Kind::Next(self.jump(parsed.as_next_node()?.arguments().as_ref(), at)),
            Parsed::RedoNode { .. } => Kind::Redo,
            Parsed::RetryNode { .. } => Kind::Retry,
            Parsed::CaseMatchNode { .. } | Parsed::MatchPredicateNode { .. } | Parsed::MatchRequiredNode { .. } => {
                self.matching(parsed, at)?
            }
            Parsed::FlipFlopNode { .. } => Kind::Unsupported("a flip-flop"),
            _ => return None,
        })
    }

    fn condition(&mut self, parsed: &Parsed<'_>, at: At) -> Option<Kind> {
        if let Some(node) = parsed.as_if_node() {
            let then = Box::new(self.block_of(node.statements(), at));
            let otherwise = Box::new(self.optional(node.subsequent(), at));
            return Some(Kind::If { condition: self.boxed(&node.predicate()), then, otherwise });
        }
        let node = parsed.as_unless_node()?;
        let otherwise = Box::new(self.block_of(node.statements(), at));
        let then = Box::new(self.optional(node.else_clause().map(|clause| clause.as_node()), at));
        Some(Kind::If { condition: self.boxed(&node.predicate()), then, otherwise })
    }

    fn case(&mut self, parsed: &Parsed<'_>, at: At) -> Option<Kind> {
        let node = parsed.as_case_node()?;
        let mut whens = Vec::new();
        for when in node.conditions().iter().filter_map(|when| when.as_when_node()) {
            let conditions = self.list(&when.conditions());
            whens.push(When { conditions, body: self.block_of(when.statements(), at) });
        }
        let otherwise = Box::new(self.optional(node.else_clause().map(|clause| clause.as_node()), at));
        Some(Kind::Case { subject: node.predicate().map(|subject| self.boxed(&subject)), whens, otherwise })
    }

    fn repeat(&mut self, parsed: &Parsed<'_>, at: At) -> Option<Kind> {
        if let Some(node) = parsed.as_for_node() {
            let index = node.index();
            let multi = index.as_multi_target_node();
            let target = match &multi {
                Some(multi) => self.multi(&multi.lefts(), multi.rest(), &multi.rights()),
                None => MultiTarget { lefts: vec![self.target(&index)], ..MultiTarget::default() },
            };
            let iterable = self.boxed(&node.collection());
            let body = Box::new(self.block_of(node.statements(), at));
            return Some(Kind::For { target: Rc::new(target), single: multi.is_none(), iterable, body });
        }
        let (condition, statements, until, body_first) = match (parsed.as_while_node(), parsed.as_until_node()) {
            (Some(node), _) => (node.predicate(), node.statements(), false, node.is_begin_modifier()),
            (_, Some(node)) => (node.predicate(), node.statements(), true, node.is_begin_modifier()),
            _ => return None,
        };
        let body = Box::new(self.block_of(statements, at));
        Some(Kind::While { condition: self.boxed(&condition), body, until, body_first })
    }

    fn begin(&mut self, node: &BeginNode<'_>, at: At) -> Kind {
        let body = self.block_of(node.statements(), at);
        let mut rescues = Vec::new();
        let mut clause = node.rescue_clause();
        while let Some(rescue) = clause {
            rescues.push(self.rescue(&rescue, at));
            clause = rescue.subsequent();
        }
        let otherwise = node.else_clause().map(|clause| self.block_of(clause.statements(), at));
        let ensure = node.ensure_clause().map(|clause| self.block_of(clause.statements(), at));
        if rescues.is_empty() && otherwise.is_none() && ensure.is_none() {
            return body.kind;
        }
        Kind::Begin(Box::new(Begin { body, rescues, otherwise, ensure }))
    }

    fn rescue(&mut self, rescue: &RescueNode<'_>, at: At) -> Rescue {
        Rescue {
            classes: self.list(&rescue.exceptions()),
            target: rescue.reference().map(|target| self.target(&target)),
            body: self.block_of(rescue.statements(), at),
        }
    }

    /// The value of a jump: several are an array.
    #[expect(clippy::unnecessary_box_returns, reason = "jumps hold it boxed")]
    fn jump(&mut self, arguments: Option<&ArgumentsNode<'_>>, at: At) -> Box<Node> {
        let written = arguments.map(ArgumentsNode::arguments);
        let mut nodes = written.as_ref().map(|list: &NodeList<'_>| self.elements(list)).unwrap_or_default();
        Box::new(match nodes.pop() {
            None => Node { kind: Kind::Nil, at },
            Some(only) if nodes.is_empty() && !matches!(only.kind, Kind::Splat(_)) => only,
            Some(last) => {
                nodes.push(last);
                Node { kind: Kind::Array(nodes), at }
            }
        })
    }
}
