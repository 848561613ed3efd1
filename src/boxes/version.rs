//! Versions and requirements, compared as RubyGems does, because that is what machine files were written for.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longer than any version in use; versions come from boxes, so they are bounded.
const LIMIT: usize = 100;

/// A version: numbers and words between dots (`12.20260101.0`, `1.0.rc1`). A word makes it a prerelease.
///
/// Equality is that of RubyGems: `1.0` equals `1`.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    segments: Vec<Segment>,
}

/// Digits are kept as text: a version may hold more of them than any integer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Decimal digits without leading zeros; empty for zero.
    Number(String),
    Word(String),
}

impl Segment {
    const ZERO: Self = Self::Number(String::new());

    fn is_word(&self) -> bool {
        matches!(self, Self::Word(_))
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Self::Word(a), Self::Word(b)) => a.cmp(b),
            (Self::Word(_), Self::Number(_)) => Ordering::Less,
            (Self::Number(_), Self::Word(_)) => Ordering::Greater,
        }
    }

    fn next(&self) -> Self {
        let Self::Number(digits) = self else { return self.clone() };
        let mut digits: Vec<u8> = digits.bytes().collect();
        for digit in digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return Self::Number(digits.iter().map(|&b| char::from(b)).collect());
            }
            *digit = b'0';
        }
        digits.insert(0, b'1');
        Self::Number(digits.iter().map(|&b| char::from(b)).collect())
    }
}

impl Version {
    /// What a box gets that names no version, as in Vagrant.
    pub fn zero() -> Self {
        Self { text: "0".into(), segments: vec![Segment::ZERO] }
    }

    /// Whether it holds a word (`1.0.rc1`).
    pub fn is_prerelease(&self) -> bool {
        self.segments.iter().any(Segment::is_word)
    }

    /// Without the first word and all behind it.
    fn release(&self) -> Vec<Segment> {
        self.segments.iter().take_while(|segment| !segment.is_word()).cloned().collect()
    }

    /// The bound of `~>`: the last number but one, plus one.
    fn bump(&self) -> Vec<Segment> {
        let mut segments = self.release();
        if segments.len() > 1 {
            segments.pop();
        }
        if let Some(last) = segments.last_mut() {
            *last = last.next();
        }
        segments
    }
}

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion { text: text.chars().take(LIMIT).collect() };
        let text = text.trim();
        if text.len() > LIMIT || !is_well_formed(text) {
            return Err(bad());
        }
        Ok(Self { text: text.into(), segments: split(text) })
    }
}

/// `[0-9]+(\.[0-9a-zA-Z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?`
fn is_well_formed(text: &str) -> bool {
    let (main, pre) = text.split_once('-').map_or((text, None), |(main, pre)| (main, Some(pre)));
    let mut parts = main.split('.');
    let first = parts.next().unwrap_or_default();
    !first.is_empty()
        && first.bytes().all(|b| b.is_ascii_digit())
        && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        && pre.is_none_or(|pre| {
            pre.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        })
}

/// Runs of digits and runs of letters; a hyphen stands for `.pre.`.
fn split(text: &str) -> Vec<Segment> {
    let text = text.replace('-', ".pre.");
    let mut segments = Vec::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_alphanumeric() {
            rest = &rest[1..];
            continue;
        }
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() || c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        segments.push(if digits {
            Segment::Number(run.trim_start_matches('0').into())
        } else {
            Segment::Word(run.into())
        });
        rest = behind;
    }
    segments
}

/// Without the zeros at the end of the numbers and at the end of the words: `1.0.a.0` is `1.a`.
fn canonical(segments: &[Segment]) -> Vec<Segment> {
    let words = segments.iter().position(Segment::is_word).unwrap_or(segments.len());
    let (numbers, words) = segments.split_at(words);
    let trim = |part: &[Segment]| {
        let end = part.iter().rposition(|segment| *segment != Segment::ZERO).map_or(0, |last| last + 1);
        part[..end].to_vec()
    };
    [trim(numbers), trim(words)].concat()
}

fn compare(left: &[Segment], right: &[Segment]) -> Ordering {
    let (left, right) = (canonical(left), canonical(right));
    (0..left.len().max(right.len()))
        .map(|i| left.get(i).unwrap_or(&Segment::ZERO).order(right.get(i).unwrap_or(&Segment::ZERO)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.segments, &other.segments)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is no version.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a version (numbers and words between dots, such as 12.0.1)")]
pub struct BadVersion {
    text: String,
}

/// Constraints that a version must meet, all of them: `>= 1.2, < 2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    bounds: Vec<(Op, Version)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    NotEqual,
    Greater,
    Less,
    AtLeast,
    AtMost,
    Pessimistic,
}

/// Longest operators first, so that `>=` is not read as `>`.
const OPERATORS: &[(&str, Op)] = &[
    ("!=", Op::NotEqual),
    (">=", Op::AtLeast),
    ("<=", Op::AtMost),
    ("~>", Op::Pessimistic),
    ("=", Op::Equal),
    (">", Op::Greater),
    ("<", Op::Less),
];

impl Requirement {
    /// Whether `version` meets every constraint.
    pub fn matches(&self, version: &Version) -> bool {
        self.bounds.iter().all(|(op, bound)| match op {
            Op::Equal => version == bound,
            Op::NotEqual => version != bound,
            Op::Greater => version > bound,
            Op::Less => version < bound,
            Op::AtLeast => version >= bound,
            Op::AtMost => version <= bound,
            Op::Pessimistic => version >= bound && compare(&version.release(), &bound.bump()).is_lt(),
        })
    }
}

impl FromStr for Requirement {
    type Err = BadRequirement;

    fn from_str(text: &str) -> Result<Self, BadRequirement> {
        let bad = || BadRequirement { text: text.chars().take(LIMIT).collect() };
        let bound = |part: &str| {
            let part = part.trim();
            let (op, rest) = OPERATORS
                .iter()
                .find_map(|(sign, op)| part.strip_prefix(sign).map(|rest| (*op, rest)))
                .unwrap_or((Op::Equal, part));
            rest.parse().map(|version| (op, version)).map_err(|_| bad())
        };
        let bounds = text.split(',').map(bound).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().into(), bounds })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The text is no list of constraints.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a version constraint (such as `~> 12.0` or `>= 1.2, < 2`)")]
pub struct BadRequirement {
    text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_ordered_as_rubygems_does() {
        let ascending =
            ["0.9", "1.0.a", "1.0.a.2", "1.0.b1", "1.0-rc1", "1.0.pre", "1.0", "1.0.1", "1.2", "1.10", "12.20260101.0"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1"), version("1.0.0"));
        assert_eq!(version("1.0.a"), version("1.a"));
        assert_eq!(version("01.2"), version("1.2"));
        assert!(version("99999999999999999999999999999999999999999999") > version("2"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "a", "1..2", "1.", ".1", "1/2", "1 2", "../1", "-1", "1-", "v1.0", "1\n2", &"1".repeat(101)] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn requirements_match_as_rubygems_does() {
        for (requirement, yes, no) in [
            ("~> 12.0", &["12.0", "12.20260101.0", "12.9.a"][..], &["11.9", "13", "13.0.a", "12.0.a"][..]),
            ("~> 1.1.5", &["1.1.5", "1.1.99"], &["1.2", "1.1.4"]),
            ("~> 1", &["1", "1.9"], &["2", "2.0.a", "0.9"]),
            ("1.0", &["1", "1.0.0"], &["1.0.1"]),
            ("= 1.0", &["1.0"], &["1.1"]),
            ("!= 1.0", &["1.1"], &["1.0"]),
            (">= 1.2, < 2", &["1.2", "1.9.9", "2.a"], &["2", "1.1"]),
            ("> 1,<= 3", &["3", "1.0.1"], &["1", "3.0.1"]),
            ("~> 9.9", &["9.10"], &["10"]),
        ] {
            let parsed: Requirement = requirement.parse().unwrap();
            for text in yes {
                assert!(parsed.matches(&version(text)), "{requirement} {text}");
            }
            for text in no {
                assert!(!parsed.matches(&version(text)), "{requirement} {text}");
            }
        }
        for text in ["", "~>", ">> 1", "1,,2", "latest", "~> x"] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }

    /// RubyGems' rules told a second time, as its documentation has them and without a look at the code above.
    mod model {
        use std::cmp::Ordering;

        #[derive(Clone, PartialEq)]
        enum Part {
            Number(u128),
            Text(String),
        }

        fn parts(version: &str) -> Vec<Part> {
            let spaced: String = version.trim().replace('-', ".pre.");
            let mut parts: Vec<String> = Vec::new();
            let mut former = '.';
            for c in spaced.chars() {
                match parts.last_mut() {
                    Some(last) if c != '.' && former != '.' && c.is_ascii_digit() == former.is_ascii_digit() => {
                        last.push(c);
                    }
                    _ if c != '.' => parts.push(c.into()),
                    _ => {}
                }
                former = c;
            }
            parts.into_iter().map(|part| part.parse().map_or_else(|_| Part::Text(part), Part::Number)).collect()
        }

        /// Numbers in front, and from the first word on all the rest: each without zeros at its end.
        fn without_zeros(parts: &[Part]) -> Vec<Part> {
            let word = parts.iter().position(|part| matches!(part, Part::Text(_))).unwrap_or(parts.len());
            let (numbers, words) = parts.split_at(word);
            let mut all = Vec::new();
            for side in [numbers, words] {
                let mut side = side.to_vec();
                while side.last() == Some(&Part::Number(0)) {
                    side.pop();
                }
                all.extend(side);
            }
            all
        }

        fn order(a: &[Part], b: &[Part]) -> Ordering {
            let (a, b) = (without_zeros(a), without_zeros(b));
            let zero = Part::Number(0);
            for at in 0..a.len().max(b.len()) {
                let found = match (a.get(at).unwrap_or(&zero), b.get(at).unwrap_or(&zero)) {
                    (Part::Number(a), Part::Number(b)) => a.cmp(b),
                    (Part::Text(a), Part::Text(b)) => a.cmp(b),
                    (Part::Text(_), Part::Number(_)) => Ordering::Less,
                    (Part::Number(_), Part::Text(_)) => Ordering::Greater,
                };
                if found.is_ne() {
                    return found;
                }
            }
            Ordering::Equal
        }

        pub fn compare(a: &str, b: &str) -> Ordering {
            order(&parts(a), &parts(b))
        }

        fn numbers(version: &str) -> Vec<Part> {
            parts(version).into_iter().take_while(|part| matches!(part, Part::Number(_))).collect()
        }

        pub fn meets(version: &str, op: &str, bound: &str) -> bool {
            let found = compare(version, bound);
            match op {
                "=" | "" => found.is_eq(),
                "!=" => found.is_ne(),
                ">" => found.is_gt(),
                "<" => found.is_lt(),
                ">=" => found.is_ge(),
                "<=" => found.is_le(),
                _ => {
                    let mut end = numbers(bound);
                    if end.len() > 1 {
                        end.pop();
                    }
                    if let Some(Part::Number(last)) = end.last_mut() {
                        *last += 1;
                    }
                    found.is_ge() && order(&numbers(version), &end).is_lt()
                }
            }
        }
    }

    const VERSION: &str =
        "[0-9]{1,3}(\\.([0-9]{1,2}|[a-c]{1,2}|[ab][0-9]|0|rc[0-9]|202[0-9]{5})){0,4}(-[a-c0-9]{1,2}(\\.[0-9])?)?";

    fn any_version() -> impl Strategy<Value = Version> {
        VERSION.prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Version>();
            let _ = text.parse::<Requirement>();
        }

        #[test]
        fn the_order_is_antisymmetric(a in any_version(), b in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&a), Ordering::Equal);
        }

        #[test]
        fn a_version_satisfies_the_bounds_that_name_it(v in any_version()) {
            for op in ["=", ">=", "<="] {
                let requirement: Requirement = format!("{op} {v}").parse().unwrap();
                prop_assert!(requirement.matches(&v));
            }
            let requirement: Requirement = format!("!= {v}").parse().unwrap();
            prop_assert!(!requirement.matches(&v));
        }

        #[test]
        fn order_and_constraints_are_those_of_rubygems(
            a in VERSION,
            b in VERSION,
            op in "(=|!=|>|<|>=|<=|~>)?",
            gap in "[ ]{0,2}",
            other in VERSION,
        ) {
            // Also close together, where the rules differ.
            for a in [a.clone(), format!("{b}.0"), format!("{b}.1"), format!("{b}.a"), format!("{b}-1"), b.clone()] {
                prop_assert_eq!(version(&a).cmp(&version(&b)), model::compare(&a, &b), "{} {}", a, b);
                let one: Requirement = format!("{gap}{op}{gap}{b}").parse().unwrap();
                prop_assert_eq!(one.matches(&version(&a)), model::meets(&a, &op, &b), "{} {} {}", a, op, b);
                let both: Requirement = format!("{op} {b},{gap}!= {other}").parse().unwrap();
                let expected = model::meets(&a, &op, &b) && model::meets(&a, "!=", &other);
                prop_assert_eq!(both.matches(&version(&a)), expected);
            }
        }

        #[test]
        fn zeros_at_the_end_do_not_matter(v in "[0-9]{1,3}(\\.[0-9]{1,2}){0,3}") {
            prop_assert_eq!(version(&v), version(&format!("{v}.0")));
        }
    }
}
