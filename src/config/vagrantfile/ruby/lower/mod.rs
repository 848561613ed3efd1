//! From the parser's nodes to our tree. What Ruby knows and we do not becomes [`Kind::Unsupported`], which is an error only
//! where it is reached: files hold much that no machine of ours ever comes to.

mod calls;
mod definitions;
mod depth;
mod flow;
mod literals;
mod patterns;
mod variables;

use ruby_prism::{ConstantId, Location, Node as Parsed, NodeList, StatementsNode};

use super::names::Name;
use super::tree::{At, Kind, Node};

/// A mistake in the program's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The parser's words.
    pub message: String,
    /// Where.
    pub at: At,
}

/// More than any machine file nests; [`depth`] bounds what the parser takes, this our own recursion.
const DEPTH: u32 = 200;

/// Parses a file.
pub fn parse(source: &[u8], file: u16) -> Result<Node, Vec<SyntaxError>> {
    if !depth::is_modest(source) {
        let message = "the text nests too deep, or there is too much of it".into();
        return Err(vec![SyntaxError { message, at: At { file, start: 0, end: 0 } }]);
    }
    let parsed = ruby_prism::parse(source);
    let errors: Vec<_> = parsed
        .errors()
        .map(|error| {
            let message = String::from_utf8_lossy(error.message()).into_owned();
            let at = error.location();
            SyntaxError { message, at: At { file, start: at.start(), end: at.end() } }
        })
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut lower = Lower { file, depth: 0 };
    let program = parsed.node();
    let at = lower.at(&program.location());
    let kind = program.as_program_node().map_or(Kind::Nil, |program| lower.sequence(&program.statements()));
    Ok(Node { kind, at })
}

/// The walk from one tree to the other.
pub(super) struct Lower {
    file: u16,
    depth: u32,
}

impl Lower {
    fn at(&self, location: &Location<'_>) -> At {
        At { file: self.file, start: location.start(), end: location.end() }
    }

    /// One expression.
    fn node(&mut self, parsed: &Parsed<'_>) -> Node {
        let at = self.at(&parsed.location());
        if self.depth >= DEPTH {
            return Node { kind: Kind::Unsupported("nesting this deep"), at };
        }
        self.depth += 1;
        let kind = self.kind(parsed, at);
        self.depth -= 1;
        Node { kind, at }
    }

    fn kind(&mut self, parsed: &Parsed<'_>, at: At) -> Kind {
        self.literal(parsed)
            .or_else(|| self.variable(parsed))
            .or_else(|| self.call(parsed))
            .or_else(|| self.assignment(parsed))
            .or_else(|| self.flow(parsed))
            .or_else(|| self.definition(parsed, at))
            .unwrap_or(Kind::Unsupported("this construct"))
    }

    fn boxed(&mut self, parsed: &Parsed<'_>) -> Box<Node> {
        Box::new(self.node(parsed))
    }

    /// An expression that may be left out: `nil` then.
    fn optional(&mut self, parsed: Option<Parsed<'_>>, at: At) -> Node {
        parsed.map_or(Node { kind: Kind::Nil, at }, |parsed| self.node(&parsed))
    }

    fn list(&mut self, list: &NodeList<'_>) -> Vec<Node> {
        list.iter().map(|node| self.node(&node)).collect()
    }

    fn sequence(&mut self, statements: &StatementsNode<'_>) -> Kind {
        let mut nodes = self.list(&statements.body());
        match nodes.pop() {
            None => Kind::Nil,
            Some(only) if nodes.is_empty() => only.kind,
            Some(last) => {
                nodes.push(last);
                Kind::Sequence(nodes)
            }
        }
    }

    /// Statements that may be left out.
    fn block_of(&mut self, statements: Option<StatementsNode<'_>>, at: At) -> Node {
        match statements {
            None => Node { kind: Kind::Nil, at },
            Some(statements) => {
                let at = self.at(&statements.location());
                Node { kind: self.sequence(&statements), at }
            }
        }
    }
}

/// An identifier's name.
fn name_of(id: &ConstantId<'_>) -> Name {
    Name::of(&String::from_utf8_lossy(id.as_slice()))
}
