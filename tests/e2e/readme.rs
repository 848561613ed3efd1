//! The README promises only what works: its tour is replayed. `UPDATE=1` writes what came out into it.

use std::fs;
use std::path::Path;
use std::process::Command;

use vbox_rs::error::Exit;

use crate::world::{World, demo_box};

fn readme() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// The text between `before` and the first `after` behind it.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let start = text.find(before).unwrap() + before.len();
    &text[start..start + text[start..].find(after).unwrap()]
}

fn replace(old: &str, new: &str) {
    let path = readme();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replacen(old, new, 1)).unwrap();
}

/// What differs from run to run and machine to machine: numbers, ids, units of time, lines that are told only of what
/// takes long, whether there is hardware virtualisation.
fn normal(text: &str) -> String {
    let varies = |line: &str| ["waiting:", " took ", " B in ", "TCG"].iter().any(|word| line.contains(word));
    let lines = text.lines().filter(|line| !varies(line)).map(|line| {
        let words = line.split_whitespace().map(|word| {
            let is_id = word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
            let digits = word.trim_matches(|c: char| !c.is_ascii_digit());
            if is_id || matches!(word, "ms" | "s" | "min") || word.starts_with('/') {
                "#".to_owned()
            } else if digits.is_empty() {
                word.to_owned()
            } else {
                word.replace(|c: char| c.is_ascii_digit() || c == '.', "#")
                    .split('#')
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("#")
            }
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_tour_of_the_readme_is_real_output() {
    let demo = demo_box();
    let world = World::empty();
    world.run(&["box", "add", "--name", "debian/bookworm64", demo.to_str().unwrap()]).ok();
    let text = fs::read_to_string(readme()).unwrap();
    let tour = between(&text, "<!-- tour -->\n```console\n", "```");
    let bin = Path::new(env!("CARGO_BIN_EXE_vbox-rs")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut replayed = Vec::new();
    for line in tour.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{line} 2>&1")]).current_dir(&world.project).env("PATH", &path);
        command.env("VBOX_RS_HOME", world.home()).env("NO_COLOR", "1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}:\n{said}");
        replayed.push(format!("$ {line}\n{said}"));
    }
    let replayed = format!("{}\n", replayed.join("\n").trim_end());
    if std::env::var_os("UPDATE").is_some() {
        replace(tour, &replayed);
        return;
    }
    assert_eq!(normal(tour), normal(&replayed), "run with UPDATE=1 after a change that is meant");
    world.assert_nothing_left();
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_program() {
    let rows: Vec<_> = Exit::ALL.iter().map(|exit| format!("| {} | {} |\n", exit.code(), exit.meaning())).collect();
    let table = format!("| code | meaning |\n|---|---|\n{}", rows.concat());
    let text = fs::read_to_string(readme()).unwrap();
    let found = between(&text, "<!-- exit-codes -->\n", "\n`ssh -c`");
    if std::env::var_os("UPDATE").is_some() {
        replace(&format!("<!-- exit-codes -->\n{found}\n`ssh -c`"), &format!("<!-- exit-codes -->\n{table}\n`ssh -c`"));
        return;
    }
    assert_eq!(found, table, "run with UPDATE=1 after a change that is meant");
}

#[test]
fn the_machine_file_of_the_readme_is_valid() {
    let text = fs::read_to_string(readme()).unwrap();
    let world = World::empty();
    world.machine_file(between(&text, "```toml\n", "```"));
    world.run(&["validate"]).ok();
}
