//! How deeply a program's text nests, before anything walks over it: the parser and every walk need stack for each level, and
//! a file that somebody else wrote must not make the program fall over.

use std::thread;

use ruby_prism::{Node, Visit};

/// Levels of the parser's tree, more than any machine file has.
const LEVELS: u32 = 1000;

/// Open brackets at one place. The parser bounds expressions by itself, patterns it does not.
const BRACKETS: usize = 5000;

/// More text than any machine file has; an operator and its operand, two bytes of it, may be a level of their own.
const TEXT: usize = 1 << 20;

/// For the parser's own bound on expressions, and for letting go of a tree of [`TEXT`].
const STACK: usize = 256 << 20;

/// Whether the text may be parsed where stack is short.
pub fn is_modest(source: &[u8]) -> bool {
    if source.len() > TEXT || brackets(source) > BRACKETS {
        return false;
    }
    let walk = || {
        let parsed = ruby_prism::parse(source);
        let mut deepest = Deepest { level: 0, over: false };
        deepest.visit(&parsed.node());
        let broken = parsed.errors().any(|error| error.message().starts_with(b"nesting too deep"));
        !deepest.over && !broken
    };
    thread::scope(|scope| {
        let walk = thread::Builder::new().name("nesting".into()).stack_size(STACK).spawn_scoped(scope, walk);
        walk.is_ok_and(|walk| walk.join().unwrap_or(false))
    })
}

/// The most brackets that are open at once, those in strings and comments among them.
fn brackets(source: &[u8]) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in source {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

struct Deepest {
    level: u32,
    over: bool,
}

impl Deepest {
    fn may_go_on(&mut self) -> bool {
        self.over |= self.level >= LEVELS;
        !self.over
    }
}

/// The nodes that others nest in, or that nest in themselves beyond what the parser bounds: those are gone into as far as
/// the bound only.
macro_rules! bounded {
    ($($function:ident($node:ident)),* $(,)?) => {
        impl<'pr> Visit<'pr> for Deepest {
            fn visit_branch_node_enter(&mut self, _: Node<'pr>) {
                self.level += 1;
            }

            fn visit_branch_node_leave(&mut self) {
                self.level -= 1;
            }

            $(
                fn $function(&mut self, node: &ruby_prism::$node<'pr>) {
                    if self.may_go_on() {
                        ruby_prism::$function(self, node);
                    }
                }
            )*
        }
    };
}

bounded! {
    visit_alternation_pattern_node(AlternationPatternNode),
    visit_and_node(AndNode),
    visit_arguments_node(ArgumentsNode),
    visit_array_node(ArrayNode),
    visit_array_pattern_node(ArrayPatternNode),
    visit_assoc_node(AssocNode),
    visit_call_node(CallNode),
    visit_capture_pattern_node(CapturePatternNode),
    visit_constant_path_node(ConstantPathNode),
    visit_defined_node(DefinedNode),
    visit_find_pattern_node(FindPatternNode),
    visit_hash_pattern_node(HashPatternNode),
    visit_if_node(IfNode),
    visit_local_variable_write_node(LocalVariableWriteNode),
    visit_multi_target_node(MultiTargetNode),
    visit_or_node(OrNode),
    visit_parentheses_node(ParenthesesNode),
    visit_rescue_modifier_node(RescueModifierNode),
    visit_rescue_node(RescueNode),
    visit_statements_node(StatementsNode),
    visit_unless_node(UnlessNode),
    visit_until_node(UntilNode),
    visit_while_node(WhileNode),
}
