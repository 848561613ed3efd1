//! `awk` as machine files use it: one or more `PATTERN { print … }` with fields and arithmetic.

use super::allowance::Allowance;
use super::answer::Answer;
use super::filter::{Pattern, Read};

/// Bytes of a program.
const LONGEST: usize = 300;

/// Runs a program over the lines of files.
pub fn answer(args: &[&str], allowance: &Allowance, read: Read<'_>) -> Option<Answer> {
    let (by, args) = match args {
        ["-F", by, args @ ..] => (Some(*by), args),
        [first, args @ ..] if first.starts_with("-F") => (Some(&first[2..]), args),
        args => (None, args),
    };
    let (program, files) = args.split_first()?;
    // Longer ones are scripts; and the parser calls itself for each parenthesis.
    if program.len() > LONGEST {
        return None;
    }
    let rules = Parser { rest: program }.rules()?;
    let text = read(files)?;
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        let fields: Vec<&str> = match by {
            None | Some(" ") => line.split_whitespace().collect(),
            Some(by) => line.split(by).collect(),
        };
        let record = Record { line, fields, number: number + 1, allowance };
        allowance.take(line.len())?;
        for rule in &rules {
            if rule.fits(&record)? {
                rule.run(&record, &mut out)?;
                allowance.fits(out.len())?;
            }
            if rule.exits && rule.fits(&record)? {
                return Some((out, 0));
            }
        }
    }
    Some((out, 0))
}

struct Record<'a> {
    line: &'a str,
    fields: Vec<&'a str>,
    number: usize,
    allowance: &'a Allowance,
}

struct Rule {
    pattern: Option<Expr>,
    /// `None`: the whole line. The flag: without a line's end (`printf`).
    prints: Option<(Vec<Expr>, bool)>,
    exits: bool,
}

enum Expr {
    Number(f64),
    Text(String),
    Field(Box<Expr>),
    Regex(Pattern),
    /// `NR`, `NF`.
    Lines,
    Fields,
    Whole(Box<Expr>),
    Binary(Box<Expr>, &'static str, Box<Expr>),
}

impl Rule {
    fn fits(&self, record: &Record<'_>) -> Option<bool> {
        match &self.pattern {
            None => Some(true),
            Some(pattern) => Some(truthy(&pattern.value(record)?)),
        }
    }

    fn run(&self, record: &Record<'_>, out: &mut String) -> Option<()> {
        match &self.prints {
            None if self.exits => {}
            None => out.extend([record.line, "\n"]),
            Some((expressions, bare)) => {
                let value = |expr: &Expr| {
                    let value = expr.value(record)?;
                    record.allowance.take(value.len()).map(|()| value)
                };
                let values: Vec<String> = expressions.iter().map(value).collect::<Option<_>>()?;
                if *bare {
                    let [only] = values.as_slice() else { return None };
                    out.push_str(only);
                } else {
                    out.push_str(&values.join(" "));
                    out.push('\n');
                }
            }
        }
        Some(())
    }
}

fn truthy(value: &str) -> bool {
    !value.is_empty() && value != "0"
}

/// The number that a text begins with.
fn number(text: &str) -> f64 {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0.0)
}

/// Whole numbers without a point, others with six digits, as awk prints them.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e16 {
        return format!("{value:.0}");
    }
    let digits = value.abs().log10().floor();
    let after = (5.0 - digits).clamp(0.0, 15.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 15")]
    let text = format!("{value:.*}", after as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

impl Expr {
    fn value(&self, record: &Record<'_>) -> Option<String> {
        Some(match self {
            Self::Number(value) => shown(*value),
            Self::Text(text) => text.clone(),
            Self::Lines => record.number.to_string(),
            Self::Fields => record.fields.len().to_string(),
            Self::Whole(inner) => shown(number(&inner.value(record)?).trunc()),
            Self::Regex(regex) => u8::from(regex.find(record.allowance, record.line, 0).ok()?.is_some()).to_string(),
            Self::Field(inner) => match inner.value(record)?.parse::<usize>().ok()? {
                0 => record.line.to_owned(),
                at => record.fields.get(at - 1).map(|field| (*field).to_owned()).unwrap_or_default(),
            },
            Self::Binary(left, operator, right) => {
                let a = left.value(record)?;
                if let ("~" | "!~", Self::Regex(regex)) = (*operator, &**right) {
                    return Some(
                        u8::from(regex.find(record.allowance, &a, 0).ok()?.is_some() == (*operator == "~")).to_string(),
                    );
                }
                let b = right.value(record)?;
                record.allowance.take(a.len() + b.len())?;
                record.allowance.fits(a.len() + b.len())?;
                binary(&a, operator, &b)?
            }
        })
    }
}

fn binary(a: &str, operator: &str, b: &str) -> Option<String> {
    let numeric = a.trim().parse::<f64>().is_ok() && b.trim().parse::<f64>().is_ok();
    let (x, y) = (number(a), number(b));
    let truth = |value: bool| u8::from(value).to_string();
    Some(match operator {
        "+" => shown(x + y),
        "-" => shown(x - y),
        "*" => shown(x * y),
        "/" | "%" if y == 0.0 => return None,
        "/" => shown_exact(x / y),
        "%" => shown(x % y),
        "==" => truth(if numeric { x.total_cmp(&y).is_eq() } else { a == b }),
        "!=" => truth(if numeric { x.total_cmp(&y).is_ne() } else { a != b }),
        ">" => truth(x > y),
        "<" => truth(x < y),
        ">=" => truth(x >= y),
        "<=" => truth(x <= y),
        "&&" => truth(truthy(a) && truthy(b)),
        "||" => truth(truthy(a) || truthy(b)),
        _ => format!("{a}{b}"),
    })
}

/// Between two operations nothing is rounded.
fn shown_exact(value: f64) -> String {
    value.to_string()
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn rules(&mut self) -> Option<Vec<Rule>> {
        let mut rules = Vec::new();
        loop {
            self.blank();
            if self.rest.is_empty() {
                return Some(rules).filter(|rules| !rules.is_empty());
            }
            let pattern = if self.rest.starts_with('{') { None } else { Some(self.expression(0)?) };
            let (prints, exits) = if self.take("{") { self.action()? } else { (None, false) };
            rules.push(Rule { pattern, prints, exits });
            while self.take(";") {}
        }
    }

    #[expect(clippy::type_complexity, reason = "it is read in one place")]
    fn action(&mut self) -> Option<(Option<(Vec<Expr>, bool)>, bool)> {
        let (mut prints, mut exits) = (None, false);
        loop {
            if self.take("}") {
                return Some((prints, exits));
            }
            if self.take("exit") {
                exits = true;
            } else if self.take("printf") {
                // A template alone, or `"%d"` and one value.
                let mut all = self.list()?;
                let template = match all.first()? {
                    Expr::Text(text) => text.trim_end_matches("\\n").to_owned(),
                    _ => return None,
                };
                let value = match (template.as_str(), all.len()) {
                    ("%d" | "%i", 2) => Expr::Whole(Box::new(all.remove(1))),
                    ("%s" | "%.0f", 2) => all.remove(1),
                    (plain, 1) if !plain.contains(['%', '\\']) => all.remove(0),
                    _ => return None,
                };
                prints = Some((vec![value], true));
            } else if self.take("print") {
                prints = Some((self.list()?, false));
            } else {
                return None;
            }
            while self.take(";") {}
        }
    }

    fn list(&mut self) -> Option<Vec<Expr>> {
        let mut all = Vec::new();
        self.blank();
        if self.rest.starts_with(['}', ';']) {
            return Some(vec![Expr::Field(Box::new(Expr::Number(0.0)))]);
        }
        loop {
            all.push(self.expression(0)?);
            if !self.take(",") {
                return Some(all);
            }
        }
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, word: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Operators by how tightly they bind.
    fn expression(&mut self, level: usize) -> Option<Expr> {
        const LEVELS: &[&[&str]] =
            &[&["||"], &["&&"], &["!~", "~", "==", "!=", ">=", "<=", ">", "<"], &["+", "-"], &["*", "/", "%"]];
        let Some(operators) = LEVELS.get(level) else { return self.atom() };
        let mut left = self.expression(level + 1)?;
        while let Some(operator) = {
            self.blank();
            operators.iter().find(|operator| self.rest.starts_with(**operator))
        } {
            self.rest = &self.rest[operator.len()..];
            left = Expr::Binary(Box::new(left), operator, Box::new(self.expression(level + 1)?));
        }
        // Values beside each other are put together.
        self.blank();
        if level == 2 && self.rest.starts_with(['"', '$']) {
            left = Expr::Binary(Box::new(left), "", Box::new(self.expression(level)?));
        }
        Some(left)
    }

    fn atom(&mut self) -> Option<Expr> {
        self.blank();
        if self.take("(") {
            let inner = self.expression(0)?;
            return self.take(")").then_some(inner);
        }
        if self.take("$") {
            return Some(Expr::Field(Box::new(self.atom()?)));
        }
        if self.take("int(") {
            let inner = self.expression(0)?;
            return self.take(")").then(|| Expr::Whole(Box::new(inner)));
        }
        for (word, expr) in [("NR", Expr::Lines), ("NF", Expr::Fields)] {
            if self.take(word) {
                return Some(expr);
            }
        }
        if self.take("/") {
            let end = self.rest.find('/')?;
            let regex = Pattern::new(&self.rest[..end], true, false)?;
            self.rest = &self.rest[end + 1..];
            return Some(Expr::Regex(regex));
        }
        if self.take("\"") {
            let end = self.rest.find('"')?;
            let text = self.rest[..end].to_owned();
            self.rest = &self.rest[end + 1..];
            return Some(Expr::Text(text));
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let value = self.rest[..end].parse().ok()?;
        self.rest = &self.rest[end..];
        Some(Expr::Number(value))
    }
}
