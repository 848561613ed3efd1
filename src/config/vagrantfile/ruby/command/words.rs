//! A command line as a shell reads it, as far as harmless commands need it: words, quotes, pipes, `&&`, `||`, `;`, and
//! redirections that only throw something away. Everything else is for a real shell.

use super::super::host::Host;

/// When a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    IfGood,
    IfBad,
}

/// Commands that are joined by `|`.
#[derive(Debug, PartialEq, Eq)]
pub struct Pipeline {
    pub when: When,
    pub commands: Vec<Simple>,
}

/// One command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Simple {
    pub words: Vec<String>,
    /// `>/dev/null`.
    pub silent: bool,
}

enum Token {
    Word(String),
    Operator(&'static str),
    Silent,
}

/// Longer lines are scripts.
const LONGEST: usize = 2000;

/// The pipelines of a line; `None` where it needs a real shell.
pub fn parse(host: &dyn Host, line: &str) -> Option<Vec<Pipeline>> {
    if line.len() > LONGEST {
        return None;
    }
    let mut all = Vec::new();
    let mut pipeline = Pipeline { when: When::Always, commands: Vec::new() };
    let mut command = Simple::default();
    for token in tokens(host, line.trim())? {
        let when = match token {
            Token::Word(word) => {
                command.words.push(word);
                continue;
            }
            Token::Silent => {
                command.silent = true;
                continue;
            }
            Token::Operator("|") => None,
            Token::Operator("&&") => Some(When::IfGood),
            Token::Operator("||") => Some(When::IfBad),
            Token::Operator(_) => Some(When::Always),
        };
        let done = std::mem::take(&mut command);
        pipeline.commands.push(Some(done).filter(|done| !done.words.is_empty())?);
        if let Some(when) = when {
            all.push(std::mem::replace(&mut pipeline, Pipeline { when, commands: Vec::new() }));
        }
    }
    // Only `;` may stand at the end.
    match (command.words.is_empty(), pipeline.commands.is_empty()) {
        (false, _) => {
            pipeline.commands.push(command);
            all.push(pipeline);
        }
        (true, true) if pipeline.when == When::Always => {}
        _ => return None,
    }
    Some(all).filter(|all| !all.is_empty())
}

fn tokens(host: &dyn Host, line: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if word.is_none()
            && let Some(after) = discarded(rest)
        {
            tokens.extend(after.1.then_some(Token::Silent));
            rest = after.0;
            continue;
        }
        let mut after = &rest[c.len_utf8()..];
        match c {
            ' ' | '\t' => tokens.extend(word.take().map(Token::Word)),
            '\'' => {
                let end = after.find('\'')?;
                word.get_or_insert_default().push_str(&after[..end]);
                after = &after[end + 1..];
            }
            '"' => after = quoted(host, after, word.get_or_insert_default())?,
            '\\' => {
                let next = after.chars().next().filter(|next| *next != '\n')?;
                word.get_or_insert_default().push(next);
                after = &after[next.len_utf8()..];
            }
            '$' => after = variable(host, after, word.get_or_insert_default())?,
            '~' if word.is_none() && (after.is_empty() || after.starts_with(['/', ' '])) => {
                word = Some(host.home().display().to_string());
            }
            '|' | '&' | ';' | '\n' => {
                tokens.extend(word.take().map(Token::Word));
                let operator = match (c, after.starts_with(c)) {
                    ('|', true) => "||",
                    ('&', true) => "&&",
                    ('|', false) => "|",
                    (';' | '\n', false) => ";",
                    _ => return None,
                };
                after = &after[operator.len() - 1..];
                tokens.push(Token::Operator(operator));
            }
            '[' | ']' if word.is_none() && (after.is_empty() || after.starts_with(' ')) => word = Some(c.into()),
            '`' | '(' | ')' | '{' | '}' | '<' | '>' | '*' | '?' | '[' | '#' => return None,
            c => word.get_or_insert_default().push(c),
        }
        rest = after;
    }
    tokens.extend(word.map(Token::Word));
    Some(tokens)
}

/// What follows a redirection to nowhere, and whether it was the output's.
fn discarded(rest: &str) -> Option<(&str, bool)> {
    if let Some(after) = rest.strip_prefix("2>&1") {
        return Some((after, false));
    }
    let (after, output) = [("2>", false), ("&>", true), ("1>", true), (">", true)]
        .iter()
        .find_map(|(prefix, output)| Some((rest.strip_prefix(prefix)?, *output)))?;
    Some((after.trim_start().strip_prefix("/dev/null")?, output))
}

/// Text in double quotes; what is behind them.
fn quoted<'a>(host: &dyn Host, mut rest: &'a str, word: &mut String) -> Option<&'a str> {
    loop {
        let c = rest.chars().next()?;
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '"' => return Some(after),
            '`' => return None,
            '$' => variable(host, after, word)?,
            '\\' if after.starts_with(['"', '\\', '$', '`']) => {
                word.push_str(&after[..1]);
                &after[1..]
            }
            c => {
                word.push(c);
                after
            }
        };
    }
}

/// A variable's value; what is behind its name.
fn variable<'a>(host: &dyn Host, rest: &'a str, word: &mut String) -> Option<&'a str> {
    let (name, after) = match rest.strip_prefix('{') {
        Some(inside) => inside.split_once('}')?,
        None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())),
    };
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // `$1`, `$(…)` and the like are a real shell's business.
    plain.then(|| word.push_str(&host.env(name).unwrap_or_default()))?;
    Some(after)
}
