//! The house stands: arrows run down only (`ARCHITECTURE.md`).

#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the ground up. A module may use its own floor's foundations and everything below, never a neighbour of
/// the same floor unless it is listed in `NEIGHBOURS`, never anything above.
const FLOORS: &[&[&str]] = &[
    &["error", "progress", "sys", "trace"],
    &["store"],
    &["config"],
    &["provider", "boxes", "guest", "network"],
    &["provision", "folders"],
    &["machine"],
    &["ui"],
    &["cli"],
];

/// Who may know a neighbour, and why.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("progress", "error"),
    ("progress", "trace"),
    // Ports are planned as the hypervisor's forwards.
    ("network", "provider"),
    // A file provisioner copies folders.
    ("provision", "folders"),
];

/// Who else may know `config`: only its model.
const MODEL_ONLY: &[&str] = &["provider", "guest", "network", "provision", "folders"];

fn floor(module: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&module)).unwrap_or_else(|| panic!("`{module}` has no floor"))
}

/// Every source file: where it lies in `src`, and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push((path.strip_prefix(&root).unwrap().into(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The modules that `text` names as `crate::…`, with the rest of the path.
fn used(text: &str) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let list = &list[..list.find(';').unwrap_or(list.len())];
            all.extend(list.split(',').map(|item| split(item.trim_start())));
        } else {
            all.insert(split(rest));
        }
    }
    all
}

fn split(path: &str) -> (String, String) {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let module = word(path);
    let rest = path[module.len()..].strip_prefix("::").map(word).unwrap_or_default();
    (module, rest)
}

#[test]
fn arrows_run_down_only() {
    let mut wrong = Vec::new();
    for (inside, text) in sources() {
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "main" | "lib") {
            continue;
        }
        for (target, rest) in used(&text) {
            if target == module || !FLOORS.iter().any(|floor| floor.contains(&target.as_str())) {
                continue;
            }
            let down = floor(&target) < floor(module) || NEIGHBOURS.contains(&(module, &target));
            let model = target != "config" || !MODEL_ONLY.contains(&module) || rest == "spec";
            if !down || !model {
                wrong.push(format!("{} uses crate::{target}::{rest}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_below_ui_and_cli_prints_or_exits() {
    let mut wrong = Vec::new();
    for (inside, text) in sources() {
        if inside.starts_with("ui") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["println!", "print!(", "eprintln!", "eprint!(", "process::exit", "dbg!"] {
            if code.contains(word) && !(inside == Path::new("main.rs") && word == "process::exit") {
                wrong.push(format!("{} has {word}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
