//! What is left out: patterns as rsync's `--exclude` reads them ("FILTER RULES" of `rsync(1)`), for where rsync itself is
//! not at work.

/// Never synced: histories, and our own and Vagrant's state.
const ALWAYS: &[&str] = &[".git/", ".vbox-rs/", ".vagrant/"];

/// Patterns in order; the first that matches decides.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    patterns: Vec<String>,
}

impl Rules {
    /// Those that always hold, then `exclude`. As for rsync, `+ x` keeps what a later pattern would leave out, `- x` is
    /// `x`, and `!` forgets the patterns before it (but not ours).
    pub fn new(exclude: &[String]) -> Self {
        let begin = exclude.iter().rposition(|pattern| pattern == "!").map_or(0, |at| at + 1);
        let given = exclude[begin..].iter().map(String::as_str).filter(|pattern| !pattern.is_empty());
        let patterns: Vec<String> = ALWAYS.iter().copied().chain(given).map(Into::into).collect();
        Self { rules: patterns.iter().map(|pattern| Rule::parse(pattern)).collect(), patterns }
    }

    /// Nothing is left out.
    pub fn none() -> Self {
        Self { rules: Vec::new(), patterns: Vec::new() }
    }

    /// For rsync's command line.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether `path` (relative to the folder, without `./`) itself is left out. Its parents are not looked at.
    pub fn excludes(&self, path: &[u8], is_dir: bool) -> bool {
        self.rules.iter().find(|rule| rule.matches(path, is_dir)).is_some_and(|rule| !rule.include)
    }

    /// Whether `path` or one of its parents is left out.
    pub fn excludes_within(&self, path: &[u8], is_dir: bool) -> bool {
        let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        parents.into_iter().any(|parent| self.excludes(parent, true)) || self.excludes(path, is_dir)
    }
}

#[derive(Clone, Debug)]
struct Rule {
    include: bool,
    only_dirs: bool,
    /// Look at the last component only.
    name_only: bool,
    /// May begin after any slash, not just at the folder's top.
    floating: bool,
    /// `a/***` matches the folder `a` too.
    with_dir: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`: anything but a slash.
    One,
    /// `*`: any number of anything but slashes.
    Star,
    /// `**`: anything.
    StarStar,
    /// `[…]`: never a slash.
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Rule {
    fn parse(pattern: &str) -> Self {
        let (include, pattern) = match pattern.split_at_checked(2) {
            Some(("+ ", rest)) => (true, rest),
            Some(("- ", rest)) => (false, rest),
            _ => (false, pattern),
        };
        let stripped = pattern.strip_suffix('/').filter(|rest| !rest.is_empty());
        let (only_dirs, pattern) = (stripped.is_some(), stripped.unwrap_or(pattern));
        let wild = pattern.contains(['*', '?', '[']);
        let wild2 = pattern.contains("**");
        let anchored = pattern.starts_with('/');
        let body = pattern.strip_prefix('/').unwrap_or(pattern);
        Self {
            include,
            only_dirs,
            name_only: !pattern.contains('/') && !wild2,
            floating: !anchored,
            with_dir: pattern.ends_with("***"),
            tokens: if wild { tokens(body.as_bytes()) } else { body.bytes().map(Token::Byte).collect() },
        }
    }

    fn matches(&self, path: &[u8], is_dir: bool) -> bool {
        if self.only_dirs && !is_dir {
            return false;
        }
        let name = || path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if self.name_only {
            return self.matches_whole(name());
        }
        // rsync lets a leading `**/` match nothing, and `/***` match the folder itself.
        let mut text = Vec::with_capacity(path.len() + 2);
        text.push(b'/');
        text.extend_from_slice(path);
        if is_dir && self.with_dir {
            text.push(b'/');
        }
        if self.tokens.first() == Some(&Token::StarStar) && self.floating {
            return self.matches_whole(&text);
        }
        let text = &text[1..];
        self.matches_whole(text)
            || self.floating && (0..text.len()).any(|at| text[at] == b'/' && self.matches_whole(&text[at + 1..]))
    }

    /// Runs all ways through the pattern side by side, so no pattern takes more than its length for each byte.
    fn matches_whole(&self, text: &[u8]) -> bool {
        let mut at = vec![false; self.tokens.len() + 1];
        at[0] = true;
        self.skip_stars(&mut at);
        for &byte in text {
            let mut next = vec![false; at.len()];
            for (i, token) in self.tokens.iter().enumerate().filter(|(i, _)| at[*i]) {
                match token {
                    Token::Byte(b) => next[i + 1] |= *b == byte,
                    Token::One => next[i + 1] |= byte != b'/',
                    Token::Star => next[i] |= byte != b'/',
                    Token::StarStar => next[i] = true,
                    Token::Class { negated, ranges } => {
                        let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte));
                        next[i + 1] |= byte != b'/' && within != *negated;
                    }
                }
            }
            self.skip_stars(&mut next);
            at = next;
        }
        at[self.tokens.len()]
    }

    fn skip_stars(&self, at: &mut [bool]) {
        for (i, token) in self.tokens.iter().enumerate() {
            at[i + 1] |= at[i] && matches!(token, Token::Star | Token::StarStar);
        }
    }
}

fn tokens(mut pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((&byte, rest)) = pattern.split_first() {
        pattern = rest;
        tokens.push(match byte {
            b'?' => Token::One,
            b'*' => {
                let more = rest.iter().take_while(|b| **b == b'*').count();
                pattern = &rest[more..];
                if more == 0 { Token::Star } else { Token::StarStar }
            }
            b'[' => match class(rest) {
                Some((token, rest)) => {
                    pattern = rest;
                    token
                }
                // An open bracket matches nothing at all.
                None => Token::Class { negated: false, ranges: Vec::new() },
            },
            b'\\' => match rest.split_first() {
                Some((&escaped, rest)) => {
                    pattern = rest;
                    Token::Byte(escaped)
                }
                None => Token::Byte(b'\\'),
            },
            _ => Token::Byte(byte),
        });
    }
    tokens
}

/// The inside of `[…]` and what follows it.
fn class(pattern: &[u8]) -> Option<(Token, &[u8])> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let mut rest = &pattern[usize::from(negated)..];
    let mut ranges = Vec::new();
    loop {
        let (&first, after) = rest.split_first()?;
        rest = after;
        if first == b']' && !ranges.is_empty() {
            return Some((Token::Class { negated, ranges }, rest));
        }
        let mut take = |byte: u8| {
            if byte != b'\\' {
                return Some(byte);
            }
            let (&escaped, after) = rest.split_first()?;
            rest = after;
            Some(escaped)
        };
        let low = take(first)?;
        match rest {
            [b'-', high, ..] if *high != b']' => {
                let high = *high;
                rest = &rest[2..];
                ranges.push((low, high));
            }
            _ => ranges.push((low, low)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn rules(patterns: &[&str]) -> Rules {
        Rules::new(&patterns.iter().map(|&p| p.into()).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_mean_what_they_mean_to_rsync() {
        for (pattern, path, is_dir, excluded) in [
            ("*.o", "a/b.o", false, true),
            ("*.o", "a/b.c", false, false),
            ("target/", "x/target", true, true),
            ("target/", "x/target", false, false),
            ("/target", "target", true, true),
            ("/target", "x/target", true, false),
            ("a/b", "x/a/b", false, true),
            ("a/b", "xa/b", false, false),
            ("a/*", "a/b", false, true),
            ("a/*", "x/a/b", false, true),
            ("/a/*", "x/a/b", false, false),
            ("**/b", "b", false, true),
            ("**/b", "x/y/b", false, true),
            ("a/**", "a/x/y", false, true),
            ("a/**", "a", true, false),
            ("a/***", "a", true, true),
            ("a/***", "a/x", false, true),
            ("f?o", "fxo", false, true),
            ("f?o", "f/o", false, false),
            ("[a-c]x", "bx", false, true),
            ("[!a-c]x", "bx", false, false),
            ("\\*", "*", false, true),
            ("\\**", "*a", false, true),
            ("é*", "éa", false, true),
        ] {
            assert_eq!(rules(&[pattern]).excludes(path.as_bytes(), is_dir), excluded, "{pattern} {path}");
        }
    }

    #[test]
    fn state_and_history_are_always_left_out() {
        let rules = rules(&["x", "!", "+ .git/"]);
        assert!(rules.excludes_within(b"sub/.git/config", false));
        assert!(rules.excludes_within(b".vbox-rs", true));
        assert!(rules.excludes_within(b".vagrant/machines", true));
        assert!(!rules.excludes_within(b".git", false), "the file of a worktree");
        assert!(!rules.excludes_within(b"x", false), "forgotten");
    }

    #[test]
    fn the_first_match_decides() {
        let rules = rules(&["+ keep.log", "*.log"]);
        assert!(!rules.excludes(b"keep.log", false));
        assert!(rules.excludes(b"other.log", false));
    }

    /// What rsync would copy of `root`.
    fn rsync_copies(root: &Path, rules: &Rules) -> BTreeSet<Vec<u8>> {
        let out = Command::new("rsync")
            .args(["-a", "--dry-run", "--out-format=%n", "--no-human-readable"])
            .args(rules.patterns().iter().map(|pattern| format!("--exclude={pattern}")))
            .arg(format!("{}/", root.display()))
            .arg(root.with_extension("empty"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let lines = out.stdout.split(|b| *b == b'\n');
        lines
            .map(|line| line.strip_suffix(b"/").unwrap_or(line).to_vec())
            .filter(|l| !l.is_empty() && l != b".")
            .collect()
    }

    const PATHS: &[&str] =
        &["a", "b/a", "b/c/a", "b/c/ab", "b/x.o", "c/b/c/d/a", "c.o", "ab/ba/abc", "b/[a]", "d*/a", "a b"];

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "b", "c", "*", "**", "?", "/", "/", "[ab]", "[!a]", ".o", "***", "\\*", "d",
        ]);
        prop::collection::vec(piece, 1..6)
            .prop_map(|pieces| pieces.concat())
            .prop_filter("one slash at a time", |p| !p.contains("//") && p != "/" && !p.contains("****"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn rsync_and_we_leave_out_the_same(patterns in prop::collection::vec(pattern(), 1..4)) {
            if Command::new("rsync").arg("--version").output().is_err() {
                return Ok(());
            }
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root");
            for path in PATHS {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                if !path.is_dir() {
                    std::fs::write(path, "").unwrap();
                }
            }
            let rules = Rules::new(&patterns);
            let ours = crate::folders::walk(&crate::progress::Cx::silent(), &root, &rules).unwrap();
            let ours: BTreeSet<Vec<u8>> = ours.entries.iter().map(|e| e.path_bytes().to_vec()).filter(|p| !p.is_empty()).collect();
            prop_assert_eq!(ours, rsync_copies(&root, &rules), "{:?}", patterns);
        }

        #[test]
        fn no_pattern_makes_us_panic(pattern in "\\PC{0,30}", path in "[ab/*\\[\\]]{1,30}") {
            let _ = Rules::new(&[pattern]).excludes_within(path.as_bytes(), true);
        }
    }
}
