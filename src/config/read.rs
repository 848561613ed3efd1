//! Readers of a TOML table that never give up: each takes one key, checks it, and notes what is wrong, so that one run
//! tells all problems of a file.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::problem::{Label, LeftOut, Level, Problem, Source};

/// More problems of one level than anybody reads; a hostile file must not cost more.
const MOST: usize = 100;

/// Collects the problems of one file.
pub struct Reader {
    source: Arc<Source>,
    problems: RefCell<Vec<Problem>>,
    /// Lines with syntax errors: what the parser made of them is guesswork that nobody should be blamed for.
    broken: Vec<Range<usize>>,
}

/// A problem that is being told; [`Note::push`] files it.
#[must_use]
pub struct Note<'r> {
    reader: &'r Reader,
    problem: Problem,
}

/// What is wrong with a value, and what to write instead.
pub struct Complaint {
    /// Shown at the value.
    pub text: String,
    /// What to do.
    pub help: Option<String>,
}

impl<T: Into<String>> From<T> for Complaint {
    fn from(text: T) -> Self {
        Self { text: text.into(), help: None }
    }
}

impl Complaint {
    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Bytes of a message: nobody reads more, and showing it would take long.
const MESSAGE: usize = 4000;

/// The beginning of a message that holds something long of the file's.
fn shortened(mut text: String) -> String {
    if text.len() > MESSAGE {
        let end = (0..=MESSAGE).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

impl Reader {
    pub fn new(source: Arc<Source>) -> Self {
        Self { source, problems: RefCell::default(), broken: Vec::new() }
    }

    /// One of the same file whose problems nobody hears.
    pub fn quiet(&self) -> Self {
        Self::new(Arc::clone(&self.source))
    }

    pub fn error(&self, message: impl Into<String>) -> Note<'_> {
        Note { reader: self, problem: Problem::new(&self.source, Level::Error, shortened(message.into())) }
    }

    pub fn warning(&self, message: impl Into<String>) -> Note<'_> {
        Note { reader: self, problem: Problem::new(&self.source, Level::Warning, message.into()) }
    }

    pub fn note(&self, message: impl Into<String>) -> Note<'_> {
        Note { reader: self, problem: Problem::new(&self.source, Level::Note, message.into()) }
    }

    /// Line and column show where; the file's name as shown.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Files what the parser of TOML says, without the errors that only follow from others.
    pub fn syntax(&mut self, mut errors: Vec<toml::de::Error>) {
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut in_array = false;
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let line = self.line(&span);
            if self.broken.last() == Some(&line) {
                continue;
            }
            self.broken.push(line);
            // After an open `[` every line of the rest of the file is wrong.
            let array = error.message().contains("array");
            if array && std::mem::replace(&mut in_array, true) {
                continue;
            }
            let message = syntax_message(error.message(), self.source.text.get(span.clone()).unwrap_or_default());
            let problem = self.error(message).at(span, "").problem;
            self.file(problem);
        }
    }

    /// Whether a part of the file could not be read, so that what seems to be missing may stand there.
    pub fn is_incomplete(&self) -> bool {
        !self.broken.is_empty()
    }

    /// The problems, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.labels.first().map_or(0, |label| label.span.start), problem.level));
        problems
    }

    fn line(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.source.text.as_bytes();
        let start = span.start.min(text.len());
        let from = text[..start].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let to = text[start..].iter().position(|&b| b == b'\n').map_or(text.len(), |at| start + at);
        from..to + 1
    }

    fn file(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        let same_level = problems.iter().filter(|other| other.level == problem.level).count();
        // Machines inherit the top level, so the same place can be complained about more than once.
        if same_level < MOST && !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

impl Note<'_> {
    /// Marks a place: the first is the problem's own.
    pub fn at(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.problem.labels.push(Label { span, text: text.into() });
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.problem.help = Some(help.into());
        self
    }

    /// It is one of the list of what is not done.
    pub fn left_out(mut self, left_out: LeftOut) -> Self {
        self.problem.left_out = Some(left_out);
        self
    }

    /// It is something that `--trust` allows.
    pub fn refused(mut self) -> Self {
        self.problem.refused = true;
        self
    }

    /// Files the problem, unless the syntax of its line is broken.
    pub fn push(self) {
        let Self { reader, problem } = self;
        let broken =
            |span: &Range<usize>| reader.broken.iter().any(|line| span.start < line.end && span.end > line.start);
        if !problem.labels.first().is_some_and(|label| broken(&label.span)) {
            reader.file(problem);
        }
    }
}

/// The parser's words where they are good, better ones for the two most frequent slips.
fn syntax_message(message: &str, text: &str) -> String {
    match message {
        "duplicate key" => format!("`{text}` is written twice"),
        m if m.starts_with("string values must be quoted") && text.is_empty() => "the value is missing".into(),
        m if m.starts_with("string values must be quoted") => format!("`{text}` is not a value: strings need quotes"),
        m => m.trim().into(),
    }
}

/// One table of the file. Every key that is asked for is known; [`Table::finish`] complains about the others.
pub struct Table<'r, 'i> {
    reader: &'r Reader,
    values: &'r DeTable<'i>,
    span: Range<usize>,
    /// `machines.web`; empty for the file itself.
    path: String,
    /// How messages speak of it: `[machines.web]`.
    name: String,
    known: Vec<&'static str>,
}

impl<'r, 'i> Table<'r, 'i> {
    /// The file itself.
    pub fn new(reader: &'r Reader, file: &'r DeTable<'i>) -> Self {
        Self { reader, values: file, span: 0..0, path: String::new(), name: "the file".into(), known: Vec::new() }
    }

    pub fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// The table's header.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of `key`, which is known from now on.
    pub fn value(&mut self, key: &'static str) -> Option<&'r Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.values.get(key)
    }

    /// Whether `key` is written, without knowing it.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Where `key` is written, without knowing it.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.values.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Any string.
    pub fn string(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    /// A string that `parse` understands. No key takes a NUL: no path, host name or argument could carry it on.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        let text = self.text(key, value)?;
        match parse(text) {
            Ok(parsed) => Some(Spanned::new(value.span(), parsed)),
            Err(complaint) => {
                self.refuse(key, value.span(), complaint);
                None
            }
        }
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<Spanned<bool>> {
        let value = self.value(key)?;
        if let DeValue::Boolean(boolean) = value.get_ref() {
            return Some(Spanned::new(value.span(), *boolean));
        }
        self.wrong_type(key, value, "`true` or `false`");
        None
    }

    /// A whole number within `range`.
    pub fn integer<T: TryFrom<u64>>(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        self.number(key, value, range)
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<Spanned<T>> {
        self.parsed(key, |text| {
            if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
                return Ok(*choice);
            }
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            let complaint = Complaint::from(format!("expected {}", listed(&names, "or")));
            Err(match nearest(text, choices.iter().map(|(name, _)| *name)) {
                Some(name) => complaint.help(format!("did you mean `{name}`?")),
                None => complaint,
            })
        })
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Spanned<String>>> {
        let value = self.value(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings");
            return None;
        };
        let strings = array.iter().filter_map(|item| Some(Spanned::new(item.span(), self.text(key, item)?.to_owned())));
        Some(strings.collect())
    }

    /// A string, or a list of them.
    pub fn one_or_more(&mut self, key: &'static str) -> Option<Vec<Spanned<String>>> {
        if matches!(self.value(key)?.get_ref(), DeValue::Array(_)) {
            return self.strings(key);
        }
        self.string(key).map(|one| vec![one])
    }

    /// Two whole numbers.
    pub fn pair(&mut self, key: &'static str, range: &RangeInclusive<u64>) -> Option<Spanned<(u16, u16)>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Array(array) if array.len() == 2 => {
                let first = self.number(key, array.first()?, range.clone());
                let last = self.number(key, array.last()?, range.clone());
                Some(Spanned::new(value.span(), (first?.into_inner(), last?.into_inner())))
            }
            _ => {
                self.wrong_type(key, value, "two ports, as in `[2200, 2250]`");
                None
            }
        }
    }

    /// The table `[key]`.
    pub fn table(&mut self, key: &'static str) -> Option<Self> {
        let value = self.value(key)?;
        self.inner(key, value, false)
    }

    /// The tables `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value, &format!("a list of tables, written `[[{}]]`", self.below(key)));
            return Vec::new();
        };
        array.iter().filter_map(|item| self.inner(key, item, true)).collect()
    }

    /// The tables below `[key]` by their own names, with the place of the name, in the order of the file.
    pub fn named_tables(&mut self, key: &'static str) -> Vec<(Spanned<String>, Self)> {
        let Some(all) = self.table(key) else { return Vec::new() };
        let entries = all.entries().into_iter();
        entries
            .filter_map(|(name, value)| {
                let table = all.inner(name.get_ref(), value, false)?;
                Some((name, table))
            })
            .collect()
    }

    /// All keys and values, in the order of the file.
    pub fn entries(&self) -> Vec<(Spanned<String>, &'r Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> = self
            .values
            .iter()
            .map(|(key, value)| (Spanned::new(key.span(), key.get_ref().clone().into_owned()), value))
            .collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// Complains that `key` must be written, unless it is or may be.
    pub fn require(&self, key: &str, help: &str) {
        if !self.has(key) && !self.reader.is_incomplete() {
            self.reader.error(format!("{} needs `{key}`", self.name)).at(self.span(), "").help(help).push();
        }
    }

    /// Complains about the value of `key`.
    pub fn refuse(&self, key: &str, span: Range<usize>, complaint: impl Into<Complaint>) {
        let Complaint { text, help } = complaint.into();
        let note = self.reader.error(format!("bad value of `{key}`")).at(span, text);
        match help {
            Some(help) => note.help(help).push(),
            None => note.push(),
        }
    }

    /// Complains about a value of another type than `expected`.
    pub fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let note = self.reader.error(format!("wrong type of `{key}`"));
        note.at(value.span(), format!("expected {expected}, found {found}")).push();
    }

    /// Complains about every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.entries() {
            let name = key.get_ref().as_str();
            if self.known.contains(&name) {
                continue;
            }
            let help = match elsewhere(name) {
                Some(key) if self.known.contains(&key) => format!("it is called `{key}` here"),
                _ => match nearest(name, self.known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known keys: {}", self.known.join(", ")),
                },
            };
            self.reader.error(format!("unknown key `{name}` in {}", self.name)).at(key.span(), "").help(help).push();
        }
    }

    fn text(&self, key: &str, value: &'r Spanned<DeValue<'i>>) -> Option<&'r str> {
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                self.refuse(key, value.span(), "contains a NUL character");
                None
            }
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong_type(key, value, "a string");
                None
            }
        }
    }

    fn number<T: TryFrom<u64>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: RangeInclusive<u64>,
    ) -> Option<Spanned<T>> {
        let DeValue::Integer(_) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let number = integer(value.get_ref()).filter(|number| range.contains(number));
        let Some(number) = number.and_then(|number| T::try_from(number).ok()) else {
            self.refuse(key, value.span(), format!("expected a number from {} to {}", range.start(), range.end()));
            return None;
        };
        Some(Spanned::new(value.span(), number))
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The table that `value` of `key` should be; `listed` where it stands in a list.
    fn inner(&self, key: &str, value: &'r Spanned<DeValue<'i>>, listed: bool) -> Option<Self> {
        let path = self.below(key);
        let name = if listed { format!("[[{path}]]") } else { format!("[{path}]") };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, &format!("a table, written `{name}`"));
            return None;
        };
        Some(Self { reader: self.reader, values: table, span: value.span(), path, name, known: Vec::new() })
    }
}

/// A whole number that is not negative.
pub fn integer(value: &DeValue<'_>) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// `a`, `b` and `c`.
pub fn listed(names: &[String], and: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}

/// What Vagrant's users call a key that has another name here.
fn elsewhere(key: &str) -> Option<&'static str> {
    Some(match key {
        "ram" | "mem" => "memory",
        "cpu_count" | "cores" | "vcpus" => "cpus",
        "disk_size" | "size" => "disk",
        "box_download_checksum" => "box_checksum",
        "netmask" => "prefix",
        "rsync__exclude" => "exclude",
        "rsync__args" => "args",
        "network" => "private_network",
        "insecure_key" => "insert_key",
        "host_port" | "host_path" => "host",
        "guest_port" | "guest_path" => "guest",
        "after" | "needs" => "depends_on",
        _ => return None,
    })
}
