//! What is wrong with a machine file, with the lines that show it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Title, Origin, Renderer, Snippet};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// The text of a machine file and the name that problems are shown under.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As shown: the path of the file.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what was meant.
    Warning,
    /// Good to know, and nothing to mend.
    Note,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A place in the file and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Shown behind the carets; may be empty.
    pub text: String,
}

/// Something wrong in a machine file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// One line, with the names of keys and values in back quotes.
    pub message: String,
    /// The place itself first, then others that explain it. Empty for what concerns the whole file.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// What the file asks for here and is not done; such problems are shown as one list.
    pub left_out: Option<LeftOut>,
    /// Whether it is a command or a change of the computer that was refused: `--trust` allows those.
    pub refused: bool,
    source: Arc<Source>,
}

/// Something that a machine file asks for and that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What it is, as the file has it.
    pub what: String,
    /// Why it is not done.
    pub why: String,
    /// Whether machines come out otherwise than the file says.
    pub changes: bool,
    /// File and line.
    pub place: String,
}

impl Problem {
    pub(super) fn new(source: &Arc<Source>, level: Level, message: String) -> Self {
        let source = Arc::clone(source);
        Self { level, message, labels: Vec::new(), help: None, left_out: None, refused: false, source }
    }

    /// The file, as shown.
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// Line and column (in characters) of the place, both from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        let start = self.labels.first()?.span.start;
        let before = self.source.text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }

    /// The problem as rustc would show it, with colours where `colour`; without a newline at the end.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
            Level::Note => Title::NOTE,
        };
        let name: String = self.source.name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let mut group = Group::with_title(level.primary_title(harmless(&self.message)));
        if self.labels.is_empty() {
            group = group.element(Origin::path(name));
        } else {
            let (window, line) = self.window();
            let shown = harmless(self.source.text.get(window.clone()).unwrap_or_default());
            let snippet = Snippet::source(shown).path(name).line_start(line);
            group = group.element(snippet.annotations(self.labels.iter().enumerate().map(|(index, label)| {
                let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                let text = Some(harmless(&label.text)).filter(|text| !text.is_empty());
                let span = whole_characters(&self.source.text, &label.span);
                kind.span(span.start - window.start..span.end - window.start).label(text)
            })));
        }
        if let Some(help) = &self.help {
            group = group.element(Title::HELP.message(harmless(help)));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The lines from the first label to the last, and the number of the first: all that the renderer needs to look at.
    fn window(&self) -> (Range<usize>, usize) {
        let text = &self.source.text;
        let spans = self.labels.iter().map(|label| whole_characters(text, &label.span));
        let (start, end) = spans.fold((text.len(), 0), |(start, end), span| (start.min(span.start), end.max(span.end)));
        let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[end..].find('\n').map_or(text.len(), |at| end + at);
        (from..to, text[..from].matches('\n').count() + 1)
    }
}

/// For `validate --json`.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let position = self.position();
        let mut map = serializer.serialize_struct("Problem", 7)?;
        map.serialize_field("level", &self.level.to_string())?;
        map.serialize_field("message", &self.message)?;
        map.serialize_field("file", self.file())?;
        map.serialize_field("line", &position.map(|(line, _)| line))?;
        map.serialize_field("column", &position.map(|(_, column)| column))?;
        map.serialize_field("help", &self.help)?;
        map.serialize_field("left_out", &self.left_out)?;
        map.end()
    }
}

/// All problems, one under the other with an empty line between them; what is left out comes last, as one list.
pub fn render(problems: &[Problem], colour: bool) -> String {
    let alone = problems.iter().filter(|problem| problem.left_out.is_none());
    let mut blocks: Vec<_> = alone.map(|problem| problem.render(colour)).collect();
    let left: Vec<_> = problems.iter().filter_map(|problem| problem.left_out.as_ref()).collect();
    blocks.extend((!left.is_empty()).then(|| list(&left, colour)));
    blocks.join("\n\n")
}

/// What changes the result first; each group in the order of the file, and what is said of several lines once.
fn list(left: &[&LeftOut], colour: bool) -> String {
    let changes = left.iter().any(|one| one.changes);
    let level = if changes { Title::WARNING } else { Title::NOTE };
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let title = Group::with_title(level.primary_title("the machine file asks for what is not done here"));
    let mut text = renderer.render(&[title]);
    for (changes, heading) in [(true, "it changes the result:"), (false, "it makes no difference:")] {
        let group = LeftOut::grouped(left.iter().copied().filter(|one| one.changes == changes));
        if group.is_empty() {
            continue;
        }
        let width = group.iter().map(|(places, _)| places.chars().count()).max().unwrap_or_default();
        // Writing into a string does not fail.
        let _ = write!(text, "\n  {heading}");
        for (places, one) in group {
            let line = format!("{places:width$}  {}: {}", one.what, one.why);
            let line: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let _ = write!(text, "\n    {}", harmless(&line));
        }
    }
    text
}

impl LeftOut {
    /// Each with the places where the file asks for it: `Vagrantfile:8, 9, 13`.
    pub(super) fn grouped<'a>(all: impl Iterator<Item = &'a Self>) -> Vec<(String, &'a Self)> {
        /// More lines than anybody looks at.
        const MOST: usize = 4;
        let mut groups: Vec<Vec<&Self>> = Vec::new();
        for one in all {
            match groups.iter_mut().find(|group| group[0].what == one.what && group[0].why == one.why) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        let places = |group: &Vec<&'a Self>| {
            let first = group[0];
            let (file, _) = first.place.rsplit_once(':').unwrap_or_default();
            let others = group.iter().skip(1).map(|one| match one.place.rsplit_once(':') {
                Some((other, line)) if other == file => line,
                _ => &one.place,
            });
            let mut places: Vec<&str> = std::iter::once(first.place.as_str()).chain(others).collect();
            places.dedup();
            if places.len() > MOST {
                places.truncate(MOST - 1);
                places.push("…");
            }
            (places.join(", "), first)
        };
        groups.iter().map(places).collect()
    }
}

/// The renderer shows ESC and its like as symbols, but lets the control characters U+0080 to U+009F through, and some
/// terminals obey those. The substitute is as long in UTF-8, so that places stay.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| matches!(c, '\u{80}'..='\u{9f}');
    if text.contains(steers) { text.replace(steers, "\u{bf}").into() } else { text.into() }
}

/// The renderer wants spans within the text and at the edges of characters; a parser's span is a claim.
fn whole_characters(text: &str, span: &Range<usize>) -> Range<usize> {
    let edge = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = edge(span.start);
    start..edge(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, spans: &[Range<usize>]) -> Problem {
        let source = Arc::new(Source { name: "Vagrantfile".into(), text: text.into() });
        let mut problem = Problem::new(&source, Level::Error, "unknown key `cpu`".into());
        problem.labels = spans.iter().map(|span| Label { span: span.clone(), text: "here".into() }).collect();
        problem.help = Some("did you mean `cpus`?".into());
        problem
    }

    #[test]
    fn a_problem_looks_like_one_of_rustc() {
        let problem = problem("box = \"a\"\ncpu = 2\n", std::slice::from_ref(&(10..13)));
        assert_eq!(
            problem.render(false),
            "error: unknown key `cpu`\n --> Vagrantfile:2:1\n  |\n2 | cpu = 2\n  | ^^^ here\n  |\n  = help: did you mean `cpus`?"
        );
        assert!(problem.render(true).contains("\u{1b}["));
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({"level": "error", "message": "unknown key `cpu`", "file": "Vagrantfile", "line": 2,
                               "column": 1, "help": "did you mean `cpus`?", "left_out": null})
        );
    }

    #[test]
    fn what_is_left_out_is_one_list_with_what_matters_first() {
        let left = |what: &str, changes, place: &str| {
            let mut problem = problem("x", &[]);
            let (what, why, place) = (what.to_owned(), "not yet".to_owned(), place.to_owned());
            problem.left_out = Some(LeftOut { what, why, changes, place });
            problem
        };
        let all = [
            left("a", false, "Vagrantfile:1"),
            problem("", &[]),
            left("b\u{1b}", true, "x.rb:12"),
            left("c", false, "Vagrantfile:3"),
            left("a", false, "Vagrantfile:5"),
            left("a", false, "y.rb:5"),
        ];
        let text = render(&all, false);
        let (alone, list) = text.split_once("\n\n").unwrap();
        assert!(alone.starts_with("error: unknown key"), "{alone}");
        assert_eq!(
            list,
            "warning: the machine file asks for what is not done here\n  it changes the result:\n    x.rb:12  b?: not \
             yet\n  it makes no difference:\n    Vagrantfile:1, 5, y.rb:5  a: not yet\n    Vagrantfile:3             c: not yet"
        );
    }

    #[test]
    fn a_problem_of_the_whole_file_names_the_file_only() {
        let text = problem("", &[]).render(false);
        assert!(text.contains("--> Vagrantfile") && !text.contains('|'), "{text}");
    }

    #[test]
    fn spans_outside_of_the_text_or_inside_of_a_character_do_no_harm() {
        for span in [0..99, 1..2, 99..100] {
            assert!(problem("äöü", &[span]).render(false).starts_with("error: unknown key"));
        }
    }
}
