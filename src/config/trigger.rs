//! `[[trigger]]`, and which triggers may run commands on this computer.

use std::ops::Range;
use std::path::PathBuf;

use regex_lite::Regex;
use toml::Spanned;
use toml::de::DeValue;

use super::layer::{Paths, plain};
use super::nearest::nearest;
use super::problem::LeftOut;
use super::read::{Complaint, Reader, Table};
use super::resolve::Machine;
use super::spec::{Action, HostCommand, OnError, Script, Trigger, When};
use super::{check, sections};

/// What stands for every command.
const ALL: &str = "all";

/// A trigger, before it is known whose.
#[derive(Clone, Debug)]
pub struct WrittenTrigger {
    pub spec: Trigger,
    /// Machines by name or `/regex/`; all where left out.
    pub only_on: Vec<String>,
    pub span: Range<usize>,
}

/// The command that a word means.
pub fn action(word: &str) -> Option<Action> {
    Action::ALL.iter().copied().find(|action| action.name() == word)
}

/// One `[[trigger]]`.
pub fn read(mut table: Table<'_, '_>, paths: &Paths<'_>) -> Option<WrittenTrigger> {
    let name = plain(table.parsed("name", check::line));
    let ignore = actions(&mut table, "ignore").unwrap_or_default();
    let (before, after) = (actions(&mut table, "before"), actions(&mut table, "after"));
    let only_on = table.strings("only_on").unwrap_or_default();
    let (info, warn) = (plain(table.string("info")), plain(table.string("warn")));
    let abort = plain(table.integer("abort", 0..=255));
    let run = table.table("run").and_then(|table| host_command(table, paths));
    let run_remote = table.table("run_remote").and_then(|mut table| {
        let script = sections::shell(&mut table, paths);
        table.finish();
        script
    });
    let exit_codes = exit_codes(&mut table);
    let on_error = table.choice("on_error", &[("halt", OnError::Halt), ("continue", OnError::Continue)]);
    for machine in &only_on {
        if let Some(pattern) = pattern(machine.get_ref())
            && let Err(error) = Regex::new(pattern)
        {
            table.refuse("only_on", machine.span(), format!("not a regular expression: {error}"));
        }
    }
    let without_ignored = |actions: Vec<Action>| actions.into_iter().filter(|one| !ignore.contains(one)).collect();
    let when = match (before, after) {
        (Some(actions), None) => Some(When::Before(without_ignored(actions))),
        (None, Some(actions)) => Some(When::After(without_ignored(actions))),
        _ => None,
    };
    if table.has("before") == table.has("after") && !table.reader().is_incomplete() {
        let note = table.reader().error("a trigger must have either `before` or `after`").at(table.span(), "");
        note.help("for instance `before = [\"up\"]`").push();
    }
    let span = table.span();
    table.finish();
    let mut spec = Trigger::new(when?);
    (spec.name, spec.info, spec.warn, spec.abort) = (name, info, warn, abort);
    (spec.run, spec.run_remote) = (run, run_remote);
    spec.exit_codes = exit_codes.unwrap_or(spec.exit_codes);
    spec.on_error = plain(on_error).unwrap_or_default();
    let only_on = only_on.into_iter().map(Spanned::into_inner).collect();
    Some(WrittenTrigger { spec, only_on, span })
}

/// `before = ["up", "reload"]`.
fn actions(table: &mut Table<'_, '_>, key: &'static str) -> Option<Vec<Action>> {
    let mut actions = Vec::new();
    for word in table.strings(key)? {
        match (word.get_ref().as_str(), action(word.get_ref())) {
            (ALL, _) => actions.extend(Action::ALL),
            (_, Some(action)) => actions.push(action),
            (other, None) => {
                let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).chain([ALL]).collect();
                let complaint = Complaint::from("no command that triggers go with");
                let near = nearest(other, names.iter().copied());
                let help =
                    near.map_or(format!("there are: {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
                table.refuse(key, word.span(), complaint.help(help));
            }
        }
    }
    actions.dedup();
    Some(actions)
}

/// `run = { inline = "…" }`, or `path` and `args`.
fn host_command(mut table: Table<'_, '_>, paths: &Paths<'_>) -> Option<HostCommand> {
    let not_empty = |text: &str| if text.trim().is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) };
    let inline = table.parsed("inline", not_empty);
    let path = table.parsed("path", |text| paths.resolve(text));
    let args = table.strings("args").unwrap_or_default().into_iter().map(Spanned::into_inner).collect();
    if table.has("inline") == table.has("path") {
        let note = table.reader().error("a command must have either `inline` or `path`").at(table.span(), "");
        note.help("`inline` is the command itself, `path` a script on this computer").push();
    }
    table.finish();
    let script = plain(inline).map(Script::Inline).or_else(|| plain(path).map(Script::Path))?;
    Some(HostCommand { script, args })
}

fn exit_codes(table: &mut Table<'_, '_>) -> Option<Vec<i32>> {
    let value = table.value("exit_codes")?;
    let code = |item: &Spanned<DeValue<'_>>| {
        super::read::integer(item.get_ref()).and_then(|code| i32::try_from(code).ok()).filter(|code| *code < 256)
    };
    let codes = match value.get_ref() {
        DeValue::Array(items) => items.iter().map(code).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    if codes.is_none() {
        table.wrong_type("exit_codes", value, "a list of exit codes, such as `[0, 2]`");
    }
    codes
}

/// The pattern of `/pattern/`.
fn pattern(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/')
}

/// Those of a machine.
pub fn of_machine(written: &[WrittenTrigger], machine: &str) -> Vec<Trigger> {
    let means = |wanted: &String| match pattern(wanted) {
        Some(pattern) => Regex::new(pattern).is_ok_and(|regex| regex.is_match(machine)),
        None => wanted == machine,
    };
    let ours = written.iter().filter(|one| one.only_on.is_empty() || one.only_on.iter().any(means));
    ours.filter(|one| !one.spec.when.actions().is_empty()).map(|one| one.spec.clone()).collect()
}

/// Marks what a file that is trusted may run on this computer, and lists what another one may not. Returns the scripts
/// that it may run.
pub fn settle(machines: &mut [Machine], reader: &Reader, trusted: Option<bool>) -> Vec<PathBuf> {
    let mut scripts = Vec::new();
    let layers = machines.iter_mut().flat_map(|machine| {
        std::iter::once(&mut machine.layer).chain(machine.others.iter_mut().map(|(_, layer)| layer))
    });
    for one in layers.flat_map(|layer| &mut layer.triggers) {
        if one.spec.place.is_empty() {
            one.spec.place = place(reader, &one.span);
        }
        let Some(command) = &one.spec.run else { continue };
        one.spec.trusted = trusted.unwrap_or_default();
        if let (Script::Path(path), true) = (&command.script, one.spec.trusted)
            && !scripts.contains(path)
        {
            scripts.push(path.clone());
        }
        if trusted == Some(false) {
            let what = format!("`{}` of the trigger {}", in_short(&command.line()), one.spec.title());
            let why = "it would run on this computer; `--trust` lets it";
            let place = one.spec.place.clone();
            let left = LeftOut { what: what.clone(), why: why.into(), changes: true, place };
            reader.warning(format!("{what} is left out")).at(one.span.clone(), why).left_out(left).refused().push();
        }
    }
    scripts
}

/// A command in one line.
fn in_short(line: &str) -> String {
    const MOST: usize = 60;
    let one_line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &one_line[..at]),
        None => one_line,
    }
}

fn place(reader: &Reader, span: &Range<usize>) -> String {
    let source = reader.source();
    let before = source.text.get(..span.start).unwrap_or_default();
    format!("{}:{}", source.name, before.matches('\n').count() + 1)
}
