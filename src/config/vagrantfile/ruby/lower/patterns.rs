//! Patterns: `case … in …`, `value => pattern`, `value in pattern`.

use ruby_prism::{Node as Parsed, NodeList};

use super::super::names::Name;
use super::super::tree::{At, In, Kind, Node, Pattern, Target};
use super::{Lower, name_of};

impl Lower {
    pub(super) fn matching(&mut self, parsed: &Parsed<'_>, at: At) -> Option<Kind> {
        if let Some(node) = parsed.as_match_predicate_node() {
            let (value, pattern) = (self.boxed(&node.value()), self.pattern(&node.pattern()));
            return Some(Kind::MatchPattern { value, pattern: Box::new(pattern), must: false });
        }
        if let Some(node) = parsed.as_match_required_node() {
            let (value, pattern) = (self.boxed(&node.value()), self.pattern(&node.pattern()));
            return Some(Kind::MatchPattern { value, pattern: Box::new(pattern), must: true });
        }
        let node = parsed.as_case_match_node()?;
        let subject = self.optional(node.predicate(), at);
        let mut ins = Vec::new();
        for one in node.conditions().iter().filter_map(|one| one.as_in_node()) {
            let pattern = self.pattern(&one.pattern());
            ins.push(In { pattern, body: self.block_of(one.statements(), at) });
        }
        let otherwise = node.else_clause().map(|clause| self.node(&clause.as_node()));
        Some(Kind::CaseIn { subject: Box::new(subject), ins, otherwise: otherwise.map(Box::new) })
    }

    fn pattern(&mut self, parsed: &Parsed<'_>) -> Pattern {
        if self.depth >= super::DEPTH {
            let at = self.at(&parsed.location());
            return Pattern::Value(Node { kind: Kind::Unsupported("nesting this deep"), at });
        }
        self.depth += 1;
        let pattern = self.guarded(parsed).or_else(|| self.composed(parsed));
        let pattern = pattern.unwrap_or_else(|| self.simple_pattern(parsed));
        self.depth -= 1;
        pattern
    }

    /// `in pattern if condition`: the parser has it the other way around.
    fn guarded(&mut self, parsed: &Parsed<'_>) -> Option<Pattern> {
        let (condition, statements, wanted) = match (parsed.as_if_node(), parsed.as_unless_node()) {
            (Some(node), _) => (node.predicate(), node.statements()?, true),
            (_, Some(node)) => (node.predicate(), node.statements()?, false),
            _ => return None,
        };
        let pattern = Box::new(self.pattern(&statements.body().iter().next()?));
        Some(Pattern::Guarded { pattern, condition: self.node(&condition), wanted })
    }

    fn composed(&mut self, parsed: &Parsed<'_>) -> Option<Pattern> {
        if let Some(node) = parsed.as_alternation_pattern_node() {
            let (left, right) = (self.pattern(&node.left()), self.pattern(&node.right()));
            return Some(Pattern::Either(Box::new(left), Box::new(right)));
        }
        if let Some(node) = parsed.as_capture_pattern_node() {
            let inner = Box::new(self.pattern(&node.value()));
            return Some(Pattern::Capture(inner, self.target(&node.target().as_node())));
        }
        if let Some(node) = parsed.as_array_pattern_node() {
            let constant = node.constant().map(|constant| self.node(&constant));
            let before = self.patterns(&node.requireds());
            let rest = node.rest().map(|rest| self.splat_target(&rest));
            return Some(Pattern::List { constant, before, rest, after: self.patterns(&node.posts()) });
        }
        if let Some(node) = parsed.as_find_pattern_node() {
            let constant = node.constant().map(|constant| self.node(&constant));
            let (left, right) = (self.splat_target(&node.left().as_node()), self.splat_target(&node.right().as_node()));
            return Some(Pattern::Find { constant, left, middle: self.patterns(&node.requireds()), right });
        }
        let node = parsed.as_hash_pattern_node()?;
        let constant = node.constant().map(|constant| self.node(&constant));
        let mut pairs = Vec::new();
        for pair in node.elements().iter().filter_map(|pair| pair.as_assoc_node()) {
            let key = Name::of(&super::literals::text(pair.key().as_symbol_node()?.unescaped()));
            let value = pair.value();
            let value = value.as_implicit_node().map_or(value, |implicit| implicit.value());
            pairs.push((key, self.pattern(&value)));
        }
        let rest = node.rest();
        let splat = rest.as_ref().and_then(ruby_prism::Node::as_assoc_splat_node).and_then(|splat| splat.value());
        let only = rest.as_ref().is_some_and(|rest| rest.as_no_keywords_parameter_node().is_some());
        Some(Pattern::Keys { constant, pairs, rest: splat.map(|splat| self.target(&splat)), only })
    }

    /// `*rest`; none for a bare `*`.
    fn splat_target(&mut self, rest: &Parsed<'_>) -> Option<Target> {
        let inner = rest.as_splat_node().and_then(|splat| splat.expression());
        inner.map(|inner| self.target(&inner))
    }

    fn patterns(&mut self, list: &NodeList<'_>) -> Vec<Pattern> {
        list.iter().map(|one| self.pattern(&one)).collect()
    }

    fn simple_pattern(&mut self, parsed: &Parsed<'_>) -> Pattern {
        if let Some(node) = parsed.as_local_variable_target_node() {
            return Pattern::Bind(Target::Local { name: name_of(&node.name()), depth: node.depth() });
        }
        if let Some(node) = parsed.as_pinned_variable_node() {
            return Pattern::Value(self.node(&node.variable()));
        }
        if let Some(node) = parsed.as_pinned_expression_node() {
            return Pattern::Value(self.node(&node.expression()));
        }
        if let Some(body) = parsed.as_parentheses_node().and_then(|node| node.body()) {
            let first = body.as_statements_node().and_then(|statements| statements.body().iter().next());
            return self.pattern(&first.unwrap_or(body));
        }
        Pattern::Value(self.node(parsed))
    }
}
