//! The files that go with the machine file: its JSON Schema, the example with every key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vbox_rs::config::{self, Error, Level};

/// The keys that may stand in a section; a section's name is the last part of its header.
type Keys = BTreeMap<String, BTreeSet<String>>;

fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The part of the schema that `$ref`, `anyOf` with null, and `allOf` around one schema stand for.
fn target<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(path) = schema["$ref"].as_str() {
        return target(root, root.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("no {path}")));
    }
    let choices = schema["anyOf"].as_array().or_else(|| schema["allOf"].as_array());
    match choices.and_then(|choices| choices.iter().find(|choice| choice["type"] != "null")) {
        Some(choice) => target(root, choice),
        None => schema,
    }
}

fn collect(root: &Value, name: &str, schema: &Value, keys: &mut Keys) {
    let schema = target(root, schema);
    if let Some(variants) = schema["oneOf"].as_array() {
        for variant in variants.iter().filter(|variant| variant["properties"].is_object()) {
            let kind = variant["properties"]["type"]["const"].as_str().unwrap_or_else(|| panic!("no tag: {variant}"));
            collect(root, &format!("{name} of type {kind}"), variant, keys);
        }
        return;
    }
    if schema["type"].as_str() == Some("array") {
        return collect(root, name, &schema["items"], keys);
    }
    // `machines` and `env` have names of the user's own.
    if schema["additionalProperties"].is_object() {
        return collect(root, &format!("one of {name}"), &schema["additionalProperties"], keys);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    keys.entry(name.into()).or_default().extend(properties.keys().cloned());
    for (key, value) in properties {
        collect(root, key, value, keys);
    }
}

fn schema_keys() -> Keys {
    let schema = config::schema();
    let mut keys = Keys::new();
    collect(&schema, "the file", &schema, &mut keys);
    keys
}

/// What the reader says it knows where it finds a key that it does not.
fn reader_keys(text: &str) -> BTreeSet<String> {
    let Err(Error::Invalid { problems, .. }) = config::parse(text, Path::new("/p/Vagrantfile"), Path::new("/p")) else {
        panic!("accepted: {text}")
    };
    let problem = problems.iter().find(|problem| problem.message.starts_with("unknown key `zzzzzz`"));
    let Some(known) = problem.and_then(|problem| problem.help.as_deref()?.strip_prefix("known keys: ")) else {
        panic!("no list of keys for {text}: {problem:?}")
    };
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_in_the_repository_is_current() {
    let file = repository("vagrantfile.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&config::schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &current).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), current, "run the test with UPDATE=1");
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema = schema_keys();
    let sections = [
        ("the file", "zzzzzz = 1"),
        ("one of machines", "[machines.a]\nzzzzzz = 1"),
        ("extra_disk", "[[extra_disk]]\nzzzzzz = 1"),
        ("forwarded_port", "[[forwarded_port]]\nzzzzzz = 1"),
        ("private_network", "[[private_network]]\nzzzzzz = 1"),
        ("public_network", "[[public_network]]\nzzzzzz = 1"),
        ("synced_folder", "[[synced_folder]]\nzzzzzz = 1"),
        ("provision of type shell", "[[provision]]\ntype = 'shell'\nzzzzzz = 1"),
        ("provision of type file", "[[provision]]\ntype = 'file'\nzzzzzz = 1"),
        ("trigger", "[[trigger]]\nzzzzzz = 1"),
        ("run", "[[trigger]]\nrun = { zzzzzz = 1 }"),
        ("run_remote", "[[trigger]]\nrun_remote = { zzzzzz = 1 }"),
        ("ssh", "[ssh]\nzzzzzz = 1"),
        ("provider_options", "[provider_options]\nzzzzzz = 1"),
        ("qemu", "[provider_options.qemu]\nzzzzzz = 1"),
        ("libvirt", "[provider_options.libvirt]\nzzzzzz = 1"),
        ("virtualbox", "[provider_options.virtualbox]\nzzzzzz = 1"),
    ];
    for (section, text) in sections {
        assert_eq!(reader_keys(text), schema[section], "{section}");
    }
    assert_eq!(schema.len(), sections.len(), "every section is compared: {:?}", schema.keys());
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    fn check(schema: &Value, path: &str) {
        if let Some(properties) = schema["properties"].as_object() {
            for (key, value) in properties {
                // The tag of a provisioner is described by its variant.
                assert!(value["description"].is_string() || value["const"].is_string(), "{path}.{key}: {value}");
            }
        }
        if let Some(parts) = schema.as_object() {
            parts.iter().for_each(|(key, part)| check(part, &format!("{path}.{key}")));
        }
        for (index, part) in schema.as_array().into_iter().flatten().enumerate() {
            check(part, &format!("{path}.{index}"));
        }
    }
    check(&config::schema(), "");
}

/// The example with every commented-out value in use: lines that start with `#` and neither space nor `:`.
fn whole_example() -> String {
    let text = fs::read_to_string(repository("Vagrantfile.example")).unwrap_or_else(|e| panic!("{e}"));
    let used = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(used).collect()
}

#[test]
fn the_example_loads_as_it_is_and_with_every_value_in_use() {
    let file = repository("Vagrantfile.example");
    let (project, warnings) = config::load(&file).unwrap();
    assert_eq!((project.machines.len(), warnings), (1, vec![]));
    let (project, warnings) = config::parse(&whole_example(), &file, Path::new("/p")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((project.machines.len(), warnings), (2, vec![]));
    assert_eq!(project.machine("db").unwrap().memory, Some(4096));
}

#[test]
fn the_example_shows_every_key() {
    fn walk(name: &str, table: &toml::Table, keys: &mut Keys) {
        let name = match (name, table.get("type").and_then(toml::Value::as_str)) {
            ("provision", Some(kind)) => format!("provision of type {kind}"),
            _ => name.to_owned(),
        };
        for (key, value) in table {
            keys.entry(name.clone()).or_default().insert(key.clone());
            let inner = if name == "machines" { "one of machines" } else { key };
            match value {
                toml::Value::Table(table) => walk(inner, table, keys),
                toml::Value::Array(items) => {
                    items.iter().filter_map(toml::Value::as_table).for_each(|table| walk(inner, table, keys));
                }
                _ => {}
            }
        }
    }
    let mut shown = Keys::new();
    walk("the file", &whole_example().parse().unwrap(), &mut shown);
    for (section, keys) in schema_keys() {
        let mut known = shown.get(&section).cloned().unwrap_or_default();
        if section == "one of machines" {
            known.extend(shown["the file"].iter().cloned());
        }
        let missing: Vec<_> = keys.difference(&known).collect();
        assert!(missing.is_empty(), "{section}: {missing:?}");
    }
}

#[test]
fn problems_of_a_file_on_disk_carry_its_path_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Vagrantfile");
    fs::write(&file, "box = 'a'\n  cpus = 'two'\n").unwrap();
    let Err(Error::Invalid { problems, rendered, .. }) = config::load(&file) else { panic!("accepted") };
    assert_eq!((problems[0].level, problems[0].position()), (Level::Error, Some((2, 10))));
    assert!(rendered.contains(&format!("--> {}:2:10", file.display())), "{rendered}");
}
