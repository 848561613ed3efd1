//! Patterns of file names (`Dir.glob`).

use std::path::{Path, PathBuf};

use super::super::budget::OBJECT;
use super::super::flow::Result;
use super::super::interp::Interp;

/// Folders below folders that `**` follows.
const DEPTH: usize = 12;

/// Entries that one program looks at: more than any project has, less than takes a second.
const MOST: usize = 50_000;

/// What was found, and how much may still be looked at.
#[derive(Default)]
pub struct Found {
    pub paths: Vec<String>,
    looked: usize,
}

/// Bytes of a pattern.
const LONGEST: usize = 4096;

/// Patterns that braces make of one.
const ALTERNATIVES: usize = 1000;

/// A pattern without braces for each alternative.
pub fn alternatives(ruby: &mut Interp, pattern: &str) -> Result<Vec<String>> {
    if pattern.len() > LONGEST {
        return Err(ruby.unsupported("a pattern of files this long"));
    }
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        ruby.charge(1 + (pattern.len() >> 4))?;
        if done.len() + open.len() > ALTERNATIVES {
            return Err(ruby.unsupported(format!("a pattern of files that stands for more than {ALTERNATIVES}")));
        }
        let brace = pattern.find('{').and_then(|from| Some((from, from + pattern[from..].find('}')?)));
        match brace {
            Some((from, to)) => {
                let (before, after) = (&pattern[..from], &pattern[to + 1..]);
                let parts = pattern[from + 1..to].split(',').take(ALTERNATIVES + 1);
                let parts: Vec<_> = parts.map(|part| format!("{before}{part}{after}")).collect();
                open.extend(parts.into_iter().rev());
            }
            None => done.push(pattern),
        }
    }
    Ok(done)
}

/// Adds the files below `start` that match, sorted, as the pattern writes their paths.
pub fn walk(ruby: &mut Interp, start: &Path, pattern: &str, found: &mut Found) -> Result<()> {
    let (start, pattern) = match pattern.strip_prefix('/') {
        Some(rest) => (PathBuf::from("/"), rest),
        None => (start.to_owned(), pattern),
    };
    let parts: Vec<_> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    step(ruby, &start, &parts, found, DEPTH)
}

fn step(ruby: &mut Interp, folder: &Path, parts: &[&str], found: &mut Found, left: usize) -> Result<()> {
    ruby.step()?;
    ruby.check_stack()?;
    let Some((first, rest)) = parts.split_first() else {
        ruby.grow(OBJECT + folder.as_os_str().len())?;
        found.paths.push(folder.display().to_string());
        return Ok(());
    };
    let real = ruby.current_dir().join(folder);
    if !first.contains(['*', '?', '[']) {
        let next = folder.join(first);
        ruby.host.looked_at(&real.join(first));
        return if real.join(first).exists() { step(ruby, &next, rest, found, left) } else { Ok(()) };
    }
    ruby.host.looked_at(&real);
    let Ok(entries) = std::fs::read_dir(&real) else { return Ok(()) };
    if !ruby.host.may_read(&real) {
        return Err(ruby.refused(format!("it wants to list {}, outside of the project", real.display())));
    }
    let mut names: Vec<_> =
        entries.flatten().take(MOST).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    found.looked += names.len() + 1;
    if found.looked > MOST {
        return Err(ruby.unsupported(format!("a pattern of files that looks at more than {MOST} of them")));
    }
    names.sort();
    if *first == "**" {
        step(ruby, folder, rest, found, left)?;
        for name in names.iter().filter(|name| left > 0 && !name.starts_with('.')) {
            if real.join(name).is_dir() && !real.join(name).is_symlink() {
                step(ruby, &folder.join(name), parts, found, left - 1)?;
            }
        }
        return Ok(());
    }
    for name in names.iter().filter(|name| !name.starts_with('.') || first.starts_with('.')) {
        if matches(first.as_bytes(), name.as_bytes()) {
            step(ruby, &folder.join(name), rest, found, left)?;
        }
    }
    Ok(())
}

/// Whether a name fits a pattern of `*`, `?` and `[…]`; goes back to the last `*` only, so it takes no more than the
/// product of both lengths.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        let fits = match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
                continue;
            }
            Some(b'?') => Some(at + 1),
            Some(b'[') => class(pattern, at, name[here]),
            Some(byte) if *byte == name[here] => Some(at + 1),
            _ => None,
        };
        match (fits, star) {
            (Some(next), _) => {
                at = next;
                here += 1;
            }
            (None, Some((back, from))) => {
                star = Some((back, from + 1));
                at = back + 1;
                here = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The place behind `[a-z]` where the byte is one of those.
fn class(pattern: &[u8], open: usize, byte: u8) -> Option<usize> {
    let close = open + 1 + pattern[open + 1..].iter().position(|b| *b == b']')?;
    let mut inside = &pattern[open + 1..close];
    let negated = inside.first().is_some_and(|first| matches!(first, b'^' | b'!'));
    inside = &inside[usize::from(negated)..];
    let mut found = false;
    while let Some(low) = inside.first() {
        if inside.len() > 2 && inside[1] == b'-' {
            found |= (*low..=inside[2]).contains(&byte);
            inside = &inside[3..];
        } else {
            found |= *low == byte;
            inside = &inside[1..];
        }
    }
    (found != negated).then_some(close + 1)
}
