//! The resolved file as text: what `vbox-rs config` prints. It is a machine file itself, and reads back as the same
//! project.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::resolve::DEFAULT_FOLDER;
use super::size;
use super::spec::{MachineSpec, Project};

/// The project as a machine file in which every machine says everything.
pub fn to_toml(project: &Project) -> String {
    let mut text = format!("# {}, resolved\n", one_line(&project.file.display().to_string()));
    for machine in &project.machines {
        let path = format!("machines.{}", key(&machine.name));
        table(&mut text, &path, &file_keys(machine));
    }
    text
}

pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The machine as the keys and values of a file.
pub(super) fn file_keys(machine: &MachineSpec) -> Map<String, Value> {
    let Ok(Value::Object(mut keys)) = serde_json::to_value(machine) else { return Map::new() };
    keys.shift_remove("name");
    if let Some(memory) = machine.memory {
        keys.insert("memory".into(), size::show(memory).into());
    }
    if let Some(disk) = machine.disk {
        keys.insert("disk".into(), size::show(disk / size::MIB).into());
    }
    if let Some(Value::Array(disks)) = keys.get_mut("extra_disk") {
        for (shown, disk) in disks.iter_mut().zip(&machine.extra_disks) {
            shown["size"] = size::show(disk.size / size::MIB).into();
        }
    }
    if let Some(Value::Array(provisioners)) = keys.get_mut("provision") {
        provisioners.iter_mut().for_each(environment);
    }
    if let Some(Value::Array(triggers)) = keys.get_mut("trigger") {
        triggers.iter_mut().filter_map(|trigger| trigger.get_mut("run_remote")).for_each(environment);
    }
    if let Some(Value::Array(folders)) = keys.get_mut("synced_folder")
        && !machine.synced_folders.iter().any(|folder| folder.guest == DEFAULT_FOLDER)
    {
        folders.push(serde_json::json!({ "guest": DEFAULT_FOLDER, "disabled": true }));
    }
    keys
}

/// Pairs in order become a table.
fn environment(provisioner: &mut Value) {
    let Some(Value::Array(pairs)) = provisioner.get("env") else { return };
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.clone()));
    let variables: Map<String, Value> = pairs.iter().filter_map(pair).collect();
    provisioner["env"] = Value::Object(variables);
}

/// One table and all in it.
pub(super) fn table(text: &mut String, path: &str, keys: &Map<String, Value>) {
    let is_table = |value: &Value| match value {
        Value::Object(_) => true,
        Value::Array(items) => items.first().is_some_and(Value::is_object),
        _ => false,
    };
    // A table of tables needs no header of its own, the top of the file none at all.
    if !path.is_empty() && (!keys.values().all(is_table) || keys.is_empty()) {
        let _ = writeln!(text, "\n[{path}]");
    }
    values(text, keys.iter().filter(|(_, value)| !is_table(value)));
    for (name, value) in keys.iter().filter(|(_, value)| is_table(value)) {
        let path = if path.is_empty() { key(name) } else { format!("{path}.{}", key(name)) };
        match value {
            Value::Object(inner) => table(text, &path, inner),
            Value::Array(items) => {
                for item in items.iter().filter_map(Value::as_object) {
                    let _ = writeln!(text, "\n[[{path}]]");
                    values(text, item.iter());
                }
            }
            _ => {}
        }
    }
}

fn values<'v>(text: &mut String, keys: impl Iterator<Item = (&'v String, &'v Value)>) {
    for (name, value) in keys {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        // Empty `args` of a folder differ from none.
        if !value.is_null() && (!empty || name == "args") {
            let _ = writeln!(text, "{} = {}", key(name), inline(value));
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".into(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(string) => quoted(string),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<_> = map.iter().map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// A string as TOML writes it, whatever it contains.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
