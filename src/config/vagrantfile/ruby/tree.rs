//! A program as a tree that owns itself: the parser's nodes borrow from the source and know a hundred and fifty kinds,
//! these are the ones that are evaluated.

use std::rc::Rc;

use super::names::Name;

/// A place in one of the files that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Number of the file.
    pub file: u16,
    /// First byte.
    pub start: u32,
    /// Byte behind the last.
    pub end: u32,
}

/// An expression and its place.
#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    pub at: At,
}

/// What an expression is.
#[derive(Debug)]
pub enum Kind {
    Nil,
    True,
    False,
    SelfRef,
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    Sym(Name),
    /// `"a#{b}c"`.
    Interpolated(Vec<Node>),
    InterpolatedSym(Vec<Node>),
    /// Backticks.
    Command(Vec<Node>),
    Regex {
        parts: Vec<Node>,
        flags: RegexFlags,
    },
    Array(Vec<Node>),
    Hash(Vec<Pair>),
    Range {
        low: Option<Box<Node>>,
        high: Option<Box<Node>>,
        exclusive: bool,
    },
    Splat(Box<Node>),
    Local {
        name: Name,
        depth: u32,
    },
    InstanceVar(Name),
    ClassVar(Name),
    GlobalVar(Name),
    /// `$1`, `$~`.
    Match(Group),
    Const {
        scope: ConstScope,
        name: Name,
    },
    File,
    Line,
    Assign {
        target: Target,
        value: Box<Node>,
    },
    OpAssign {
        target: Target,
        op: AssignOp,
        value: Box<Node>,
    },
    MultiAssign {
        targets: Rc<MultiTarget>,
        value: Box<Node>,
    },
    /// `/(?<name>…)/ =~ text` sets local variables.
    MatchAssign {
        call: Box<Node>,
        names: Vec<(Name, u32)>,
    },
    Call(Box<Call>),
    Super {
        args: Option<Args>,
        block: Option<Box<BlockArg>>,
    },
    Yield(Args),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Defined(Box<Node>),
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    Case {
        subject: Option<Box<Node>>,
        whens: Vec<When>,
        otherwise: Box<Node>,
    },
    /// `case … in …`.
    CaseIn {
        subject: Box<Node>,
        ins: Vec<In>,
        otherwise: Option<Box<Node>>,
    },
    /// `value in pattern`; with `=>` it must fit.
    MatchPattern {
        value: Box<Node>,
        pattern: Box<Pattern>,
        must: bool,
    },
    While {
        condition: Box<Node>,
        body: Box<Node>,
        until: bool,
        body_first: bool,
    },
    For {
        target: Rc<MultiTarget>,
        single: bool,
        iterable: Box<Node>,
        body: Box<Node>,
    },
    Sequence(Vec<Node>),
    Begin(Box<Begin>),
    Return(Box<Node>),
    Break(Box<Node>),
    Next(Box<Node>),
    Redo,
    Retry,
    Def {
        singleton: Option<Box<Node>>,
        method: Rc<Function>,
    },
    Class {
        path: ConstPath,
        superclass: Option<Box<Node>>,
        body: Rc<Node>,
    },
    Module {
        path: ConstPath,
        body: Rc<Node>,
    },
    SingletonClass {
        of: Box<Node>,
        body: Rc<Node>,
    },
    Lambda(Rc<Function>),
    Alias {
        new: Name,
        old: Name,
    },
    Undef(Vec<Name>),
    /// Understood by Ruby, not by us; only an error when it is reached.
    Unsupported(&'static str),
}

/// Flags of a regular expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegexFlags {
    pub ignore_case: bool,
    pub extended: bool,
    pub multi_line: bool,
}

/// A part of the last match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Number(u32),
    Whole,
    Before,
    After,
}

/// An element of a hash.
#[derive(Debug)]
pub enum Pair {
    Of(Node, Node),
    /// `**other`.
    Splat(Node),
}

/// Where a constant is looked for.
#[derive(Debug)]
pub enum ConstScope {
    /// `NAME`: from inside to outside.
    Lexical,
    /// `::NAME`.
    Top,
    /// `scope::NAME`.
    In(Box<Node>),
}

/// `class A::B`.
#[derive(Debug)]
pub struct ConstPath {
    pub scope: ConstScope,
    pub name: Name,
}

/// What is assigned to.
#[derive(Debug)]
pub enum Target {
    Local { name: Name, depth: u32 },
    InstanceVar(Name),
    ClassVar(Name),
    GlobalVar(Name),
    Const(ConstPath),
    Index { receiver: Box<Node>, args: Args },
    Attribute { receiver: Box<Node>, name: Name, safe: bool },
    Multi(Rc<MultiTarget>),
}

/// `a, (b, *c), d = …`, and the parameters of blocks that take arrays apart.
#[derive(Debug, Default)]
#[expect(clippy::option_option, reason = "a bare `*` has no name")]
pub struct MultiTarget {
    pub lefts: Vec<Target>,
    /// `*rest`; the inner `None` for a bare `*`.
    pub rest: Option<Option<Box<Target>>>,
    pub rights: Vec<Target>,
}

/// `+=`, `||=`, `&&=`.
#[derive(Clone, Copy, Debug)]
pub enum AssignOp {
    Or,
    And,
    Call(Name),
}

/// A method call.
#[derive(Debug)]
pub struct Call {
    pub receiver: Option<Node>,
    pub name: Name,
    pub args: Args,
    pub block: Option<BlockArg>,
    /// `&.`.
    pub safe: bool,
    /// A bare word, which may have been meant as a variable.
    pub bare: bool,
    /// `a.b = c` and `a[b] = c` are worth `c`.
    pub assigns: bool,
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub struct Args {
    pub positional: Vec<Node>,
    /// `a: 1, "b" => 2, **c`.
    pub keywords: Vec<Pair>,
    /// `...`.
    pub forwards: bool,
}

/// What stands for the block of a call.
#[derive(Debug)]
pub enum BlockArg {
    /// `{ … }` or `do … end`.
    Literal(Rc<Function>),
    /// `&expression`; the method's own block where left out.
    Pass(Option<Node>),
}

/// A method, block or lambda.
#[derive(Debug)]
pub struct Function {
    /// Empty for blocks.
    pub name: Name,
    pub params: Params,
    pub body: Node,
}

/// Parameters, in the order in which they are bound.
#[derive(Debug, Default)]
#[expect(clippy::option_option, reason = "a bare `*` has no name")]
pub struct Params {
    pub required: Vec<Target>,
    pub optional: Vec<(Name, Node)>,
    /// `*rest`; the inner `None` for a bare `*`.
    pub rest: Option<Option<Name>>,
    pub post: Vec<Target>,
    /// Name and default value.
    pub keywords: Vec<(Name, Option<Node>)>,
    pub keyword_rest: Option<Option<Name>>,
    pub block: Option<Name>,
    /// `...`.
    pub forwards: bool,
    /// `_1`, `it`: so many.
    pub numbered: u8,
    /// `|a,|` takes an array apart although it is one parameter.
    pub trailing_comma: bool,
}

/// `when a, *b then …`.
#[derive(Debug)]
pub struct When {
    pub conditions: Vec<Node>,
    pub body: Node,
}

/// `in pattern then …`.
#[derive(Debug)]
pub struct In {
    pub pattern: Pattern,
    pub body: Node,
}

/// What a value is compared with and taken apart by.
#[derive(Debug)]
#[expect(clippy::option_option, reason = "a bare `*` has no name")]
pub enum Pattern {
    /// By `===`.
    Value(Node),
    Bind(Target),
    Either(Box<Pattern>, Box<Pattern>),
    /// `pattern => name`.
    Capture(Box<Pattern>, Target),
    /// `pattern if condition`.
    Guarded {
        pattern: Box<Pattern>,
        condition: Node,
        wanted: bool,
    },
    /// `[a, *b, c]`, `Class(a, b)`.
    List {
        constant: Option<Node>,
        before: Vec<Pattern>,
        rest: Option<Option<Target>>,
        after: Vec<Pattern>,
    },
    /// `[*, a, *]`.
    Find {
        constant: Option<Node>,
        left: Option<Target>,
        middle: Vec<Pattern>,
        right: Option<Target>,
    },
    /// `{a:, b: Integer, **rest}`.
    Keys {
        constant: Option<Node>,
        pairs: Vec<(Name, Pattern)>,
        rest: Option<Target>,
        /// `**nil`: nothing else.
        only: bool,
    },
}

/// `begin … rescue … else … ensure … end`.
#[derive(Debug)]
pub struct Begin {
    pub body: Node,
    pub rescues: Vec<Rescue>,
    pub otherwise: Option<Node>,
    pub ensure: Option<Node>,
}

/// `rescue A, B => error`.
#[derive(Debug)]
pub struct Rescue {
    /// `StandardError` where empty.
    pub classes: Vec<Node>,
    pub target: Option<Target>,
    pub body: Node,
}
