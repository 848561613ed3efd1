//! Numbers, strings, symbols, arrays, hashes, ranges.

use ruby_prism::{Node as Parsed, NodeList};

use super::super::names::Name;
use super::super::tree::{Kind, Node, Pair, RegexFlags};
use super::Lower;

impl Lower {
    pub(super) fn literal(&mut self, parsed: &Parsed<'_>) -> Option<Kind> {
        Some(match parsed {
            Parsed::NilNode { .. } | Parsed::ImplicitRestNode { .. } => Kind::Nil,
            Parsed::TrueNode { .. } => Kind::True,
            Parsed::FalseNode { .. } => Kind::False,
            Parsed::SelfNode { .. } => Kind::SelfRef,
            Parsed::SourceFileNode { .. } => Kind::File,
            Parsed::SourceLineNode { .. } => Kind::Line,
            Parsed::IntegerNode { .. } => integer(parsed),
            Parsed::FloatNode { .. } => Kind::Float(parsed.as_float_node()?.value()),
            Parsed::StringNode { .. } => Kind::Str(text(parsed.as_string_node()?.unescaped()).into()),
            Parsed::SymbolNode { .. } => Kind::Sym(Name::of(&text(parsed.as_symbol_node()?.unescaped()))),
            Parsed::XStringNode { .. } => {
                let node = parsed.as_x_string_node()?;
                let at = self.at(&node.location());
                Kind::Command(vec![Node { kind: Kind::Str(text(node.unescaped()).into()), at }])
            }
            Parsed::InterpolatedStringNode { .. } => {
                Kind::Interpolated(self.parts(&parsed.as_interpolated_string_node()?.parts()))
            }
            Parsed::InterpolatedSymbolNode { .. } => {
                Kind::InterpolatedSym(self.parts(&parsed.as_interpolated_symbol_node()?.parts()))
            }
            Parsed::InterpolatedXStringNode { .. } => {
                Kind::Command(self.parts(&parsed.as_interpolated_x_string_node()?.parts()))
            }
            Parsed::RegularExpressionNode { .. } => {
                let node = parsed.as_regular_expression_node()?;
                let flags = RegexFlags {
                    ignore_case: node.is_ignore_case(),
                    extended: node.is_extended(),
                    multi_line: node.is_multi_line(),
                };
                // What stands between the slashes: escapes are the regular expression's own business.
                let content = node.content_loc();
                let part = Node { kind: Kind::Str(text(content.as_slice()).into()), at: self.at(&content) };
                Kind::Regex { parts: vec![part], flags }
            }
            Parsed::InterpolatedRegularExpressionNode { .. } => {
                let node = parsed.as_interpolated_regular_expression_node()?;
                let flags = RegexFlags {
                    ignore_case: node.is_ignore_case(),
                    extended: node.is_extended(),
                    multi_line: node.is_multi_line(),
                };
                Kind::Regex { parts: self.regex_parts(&node.parts()), flags }
            }
            Parsed::ArrayNode { .. } => Kind::Array(self.elements(&parsed.as_array_node()?.elements())),
            Parsed::HashNode { .. } => Kind::Hash(self.pairs(&parsed.as_hash_node()?.elements())),
            Parsed::RangeNode { .. } => {
                let node = parsed.as_range_node()?;
                Kind::Range {
                    low: node.left().map(|low| self.boxed(&low)),
                    high: node.right().map(|high| self.boxed(&high)),
                    exclusive: node.is_exclude_end(),
                }
            }
            Parsed::SplatNode { .. } => {
                let node = parsed.as_splat_node()?;
                let at = self.at(&node.location());
                let anonymous = || Box::new(Node { kind: Kind::Local { name: Name::of("*"), depth: 0 }, at });
                Kind::Splat(node.expression().map_or_else(anonymous, |inner| self.boxed(&inner)))
            }
            Parsed::ImplicitNode { .. } => self.node(&parsed.as_implicit_node()?.value()).kind,
            _ => return None,
        })
    }

    /// Elements of an array; keywords among them are a hash at its end.
    pub(super) fn elements(&mut self, list: &NodeList<'_>) -> Vec<Node> {
        list.iter()
            .map(|element| match element.as_keyword_hash_node() {
                None => self.node(&element),
                Some(hash) => {
                    let at = self.at(&hash.location());
                    Node { kind: Kind::Hash(self.pairs(&hash.elements())), at }
                }
            })
            .collect()
    }

    pub(super) fn pairs(&mut self, list: &NodeList<'_>) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for element in list {
            if let Some(pair) = element.as_assoc_node() {
                pairs.push(Pair::Of(self.node(&pair.key()), self.node(&pair.value())));
            } else if let Some(splat) = element.as_assoc_splat_node() {
                let at = self.at(&splat.location());
                pairs.push(Pair::Splat(self.optional(splat.value(), at)));
            }
        }
        pairs
    }

    /// What a string with `#{…}` consists of.
    fn parts(&mut self, list: &NodeList<'_>) -> Vec<Node> {
        list.iter().map(|part| self.part(&part)).collect()
    }

    fn part(&mut self, part: &Parsed<'_>) -> Node {
        if let Some(statements) = part.as_embedded_statements_node() {
            let at = self.at(&statements.location());
            self.block_of(statements.statements(), at)
        } else if let Some(variable) = part.as_embedded_variable_node() {
            self.node(&variable.variable())
        } else {
            self.node(part)
        }
    }

    fn regex_parts(&mut self, list: &NodeList<'_>) -> Vec<Node> {
        let mut parts = Vec::new();
        for part in list {
            parts.push(match part.as_string_node() {
                Some(string) => {
                    let content = string.content_loc();
                    Node { kind: Kind::Str(text(content.as_slice()).into()), at: self.at(&content) }
                }
                None => self.part(&part),
            });
        }
        parts
    }
}

/// Text of the program; what is not UTF-8 in it is shown as such.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn integer(parsed: &Parsed<'_>) -> Kind {
    let Some(node) = parsed.as_integer_node() else { return Kind::Nil };
    let value = node.value();
    let (negative, digits) = value.to_u32_digits();
    let magnitude =
        digits.iter().rev().try_fold(0i64, |sum, digit| sum.checked_mul(1 << 32)?.checked_add((*digit).into()));
    match magnitude {
        Some(magnitude) => Kind::Int(if negative { -magnitude } else { magnitude }),
        None => Kind::Unsupported("a number this large"),
    }
}
