//! The small programs that stand in pipes: `grep`, `cut`, `head` and the like, with the options that machine files use.

use super::super::regex::{self, HARD_TEXT};
use super::allowance::Allowance;
use super::answer::Answer;

/// Steps back that a match may take.
const BACKTRACKS: usize = 100_000;

/// Reads the files that are named, or the pipe where none is.
pub type Read<'a> = &'a dyn Fn(&[&str]) -> Option<String>;

pub fn answer(name: &str, args: &[&str], allowance: &Allowance, read: Read<'_>) -> Option<Answer> {
    let text = match name {
        "cat" => Some(read(args)?).filter(|_| !args.iter().any(|arg| arg.starts_with('-')))?,
        "grep" | "egrep" => return grep(name, args, allowance, read),
        "sed" => sed(args, allowance, read)?,
        "head" | "tail" => ends(name, args, read)?,
        "cut" => cut(args, read)?,
        "tr" => tr(args, allowance, read)?,
        "wc" => match args {
            ["-l", files @ ..] => read(files)?.matches('\n').count().to_string() + "\n",
            ["-w", files @ ..] => read(files)?.split_whitespace().count().to_string() + "\n",
            ["-c", files @ ..] => read(files)?.len().to_string() + "\n",
            _ => return None,
        },
        "sort" => sorted(args, read)?,
        _ => {
            let text = Some(read(args)?).filter(|_| args.is_empty())?;
            let mut lines: Vec<&str> = text.lines().collect();
            lines.dedup();
            joined(lines)
        }
    };
    Some((text, 0))
}

/// Lines, each with its end.
fn joined<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// Whether a pattern fits would take too much to say.
pub struct TooMuch;

/// A pattern of `grep`, `sed` or `awk`.
pub struct Pattern {
    regex: fancy_regex::Regex,
    hard: bool,
}

impl Pattern {
    /// In basic ones, `+?|(){}` stand for themselves unless escaped.
    pub fn new(text: &str, extended: bool, ignore_case: bool) -> Option<Self> {
        let mut out = String::from(if ignore_case { "(?i)" } else { "" });
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next()? {
                    special @ ('+' | '?' | '|' | '(' | ')' | '{' | '}') if !extended => out.push(special),
                    other => out.extend(['\\', other]),
                },
                '+' | '?' | '|' | '(' | ')' | '{' | '}' if !extended => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
        let regex = fancy_regex::RegexBuilder::new(&out).backtrack_limit(BACKTRACKS).build().ok()?;
        Some(Self { regex, hard: regex::is_hard(&out) })
    }

    /// The place of the first match from an offset on.
    pub fn find(&self, allowance: &Allowance, text: &str, from: usize) -> Result<Option<(usize, usize)>, TooMuch> {
        let left = text.len().saturating_sub(from);
        if self.hard && left > HARD_TEXT {
            return Err(TooMuch);
        }
        allowance.take(left >> 2).ok_or(TooMuch)?;
        let found = self.regex.find_from_pos(text, from).map_err(|_| TooMuch)?;
        Ok(found.map(|found| (found.start(), found.end())))
    }
}

fn grep(name: &str, args: &[&str], allowance: &Allowance, read: Read<'_>) -> Option<Answer> {
    let (mut extended, mut ignore, mut invert, mut quiet, mut count, mut only) =
        (name == "egrep", false, false, false, false, false);
    let mut rest = args;
    while let [flags, more @ ..] = rest
        && flags.starts_with('-')
        && flags.len() > 1
    {
        for flag in flags.chars().skip(1) {
            match flag {
                'E' | 'P' => extended = true,
                'i' => ignore = true,
                'v' => invert = true,
                'q' => quiet = true,
                'c' => count = true,
                'o' => only = true,
                'e' | 'h' | 's' => {}
                _ => return None,
            }
        }
        rest = more;
    }
    let (wanted, files) = rest.split_first()?;
    let pattern = Pattern::new(wanted, extended, ignore)?;
    let text = read(files).filter(|_| files.len() < 2)?;
    let mut lines = Vec::new();
    for line in text.lines() {
        let found = pattern.find(allowance, line, 0).ok()?;
        if found.is_some() != invert {
            lines.push(found.filter(|_| only).map_or(line, |(start, end)| &line[start..end]));
        }
    }
    let status = i32::from(lines.is_empty());
    let text = match (quiet, count) {
        (true, _) => String::new(),
        (_, true) => format!("{}\n", lines.len()),
        _ => joined(lines),
    };
    Some((text, status))
}

/// `sed -e 's/a/b/g'`, several of them, and nothing else.
fn sed(args: &[&str], allowance: &Allowance, read: Read<'_>) -> Option<String> {
    let (extended, args) = match args {
        ["-E" | "-r", args @ ..] => (true, args),
        args => (false, args),
    };
    let (mut scripts, mut rest) = (Vec::new(), args);
    while let ["-e", script, more @ ..] = rest {
        scripts.push(*script);
        rest = more;
    }
    if scripts.is_empty() {
        let (script, more) = rest.split_first()?;
        scripts.push(script);
        rest = more;
    }
    let changes: Vec<_> = scripts.into_iter().map(|script| Change::parse(script, extended)).collect::<Option<_>>()?;
    let text = read(rest)?;
    let mut out = String::new();
    for line in text.lines() {
        let change = |line: String, change: &Change<'_>| change.of(allowance, &line);
        let line = changes.iter().try_fold(line.to_owned(), change)?;
        allowance.fits(out.len() + line.len())?;
        out.push_str(&line);
        out.push('\n');
    }
    Some(out)
}

/// `s/from/to/g`.
struct Change<'a> {
    from: Pattern,
    to: &'a str,
    every: bool,
}

impl<'a> Change<'a> {
    fn parse(script: &'a str, extended: bool) -> Option<Self> {
        let mut chars = script.strip_prefix('s')?.chars();
        let by = chars.next()?;
        let parts: Vec<&str> = chars.as_str().split(by).collect();
        let [from, to, flags] = parts.as_slice() else { return None };
        // What stands for a part of the match is a real `sed`'s business.
        if from.ends_with('\\') || to.contains(['\\', '&', '$']) || !matches!(*flags, "" | "g") {
            return None;
        }
        Some(Self { from: Pattern::new(from, extended, false)?, to, every: *flags == "g" })
    }

    fn of(&self, allowance: &Allowance, line: &str) -> Option<String> {
        let mut out = String::new();
        let (mut done, mut from) = (0, 0);
        while let Some((start, end)) =
            if from <= line.len() { self.from.find(allowance, line, from).ok()? } else { None }
        {
            // What is empty does not stand right behind a match.
            if start != end || start > done || start == 0 {
                allowance.fits(out.len() + start - done + self.to.len())?;
                out.push_str(&line[done..start]);
                out.push_str(self.to);
                done = end;
                if !self.every {
                    break;
                }
            }
            from = if start == end { end + line[end..].chars().next().map_or(1, char::len_utf8) } else { end };
        }
        allowance.take(out.len() + line.len() - done)?;
        Some(out + &line[done..])
    }
}

fn ends(name: &str, args: &[&str], read: Read<'_>) -> Option<String> {
    let (count, files) = match args {
        ["-n", count, files @ ..] => (*count, files),
        [count, files @ ..] if count.starts_with('-') => {
            (count.trim_start_matches("-n").trim_start_matches('-'), files)
        }
        files => ("10", files),
    };
    let count: usize = count.parse().ok()?;
    let text = read(files)?;
    let lines: Vec<&str> = text.lines().collect();
    let from = if name == "head" { 0 } else { lines.len().saturating_sub(count) };
    Some(joined(lines.into_iter().skip(from).take(count)))
}

fn cut(args: &[&str], read: Read<'_>) -> Option<String> {
    let (mut by, mut fields) = ("\t".to_owned(), None);
    let mut rest = args;
    while let [flag, more @ ..] = rest
        && flag.starts_with('-')
    {
        let (letter, value) = (flag.get(1..2)?, flag.get(2..)?);
        let (value, more) = match (value, more) {
            ("", [value, more @ ..]) => (*value, more),
            (value, more) => (value, more),
        };
        match letter {
            "d" => value.clone_into(&mut by),
            "f" => fields = Some(value),
            _ => return None,
        }
        rest = more;
    }
    let (from, to) = match fields?.split_once('-') {
        None => (fields?.parse::<usize>().ok()?, fields?.parse::<usize>().ok()?),
        Some(("", to)) => (1, to.parse().ok()?),
        Some((from, "")) => (from.parse().ok()?, usize::MAX),
        Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
    };
    let text = read(rest)?;
    let line = |line: &str| {
        if !line.contains(&by) {
            return line.to_owned();
        }
        let fields: Vec<&str> =
            line.split(&by).skip(from.saturating_sub(1)).take(to.saturating_sub(from).saturating_add(1)).collect();
        fields.join(&by)
    };
    Some(text.lines().map(|one| line(one) + "\n").collect())
}

fn tr(args: &[&str], allowance: &Allowance, read: Read<'_>) -> Option<String> {
    let set = |text: &str| {
        text.replace("\\n", "\n").replace("\\t", "\t").replace("[:upper:]", "A-Z").replace("[:lower:]", "a-z")
    };
    let text = read(&[])?;
    // Each character is compared with each of the sets'.
    let compared = args.iter().map(|set| set.len()).sum::<usize>();
    allowance.take(text.len().saturating_mul(compared) >> 4)?;
    match args {
        ["-d", from] => {
            let from = super::super::core::CharSet::parse(&set(from));
            Some(text.chars().filter(|c| !from.contains(*c)).collect())
        }
        [from, to] if !from.starts_with('-') => {
            let (from, to) =
                (super::super::core::CharSet::parse(&set(from)), super::super::core::CharSet::parse(&set(to)));
            Some(text.chars().filter_map(|c| from.exchanged(c, &to)).collect())
        }
        _ => None,
    }
}

fn sorted(args: &[&str], read: Read<'_>) -> Option<String> {
    let (flag, files) = match args {
        [flag, files @ ..] if flag.starts_with('-') => (*flag, files),
        files => ("", files),
    };
    let text = read(files)?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    match flag {
        "" => {}
        "-u" => lines.dedup(),
        "-r" => lines.reverse(),
        "-n" => lines.sort_by_key(|line| line.trim().parse::<i64>().unwrap_or(0)),
        _ => return None,
    }
    Some(joined(lines))
}
