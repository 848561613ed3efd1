//! A machine file in Ruby as one in TOML: what `vbox-rs import` writes.
//!
//! Only what differs from the defaults is written, what all machines share stands at the top, and what could not be carried
//! over is named in comments. The text is read again before anybody gets it: it means the same, or there is none.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::problem::{LeftOut, Problem};
use super::resolved::{file_keys, key, one_line, table};
use super::spec::{MachineSpec, Project};
use super::{DEFAULT, Error};

/// Keys that machines inherit and override: these may stand at the top.
const SHARED: &[&str] = &[
    "box",
    "box_version",
    "box_url",
    "box_checksum",
    "box_architecture",
    "cpus",
    "memory",
    "disk",
    "firmware",
    "disk_bus",
    "nic",
    "boot_timeout",
    "graceful_halt_timeout",
    "post_up_message",
    "usable_port_range",
];

/// What an entry of a list is without being told.
const ENTRIES: &[(&str, &str, &str)] = &[
    ("forwarded_port", "host_ip", "\"127.0.0.1\""),
    ("forwarded_port", "protocol", "\"tcp\""),
    ("forwarded_port", "auto_correct", "false"),
    ("synced_folder", "create", "false"),
    ("provision", "run", "\"once\""),
    ("provision", "privileged", "true"),
    ("provision", "reboot", "false"),
    ("provision", "sensitive", "false"),
    ("trigger", "exit_codes", "[0]"),
    ("trigger", "on_error", "\"halt\""),
    // An empty list of arguments of a folder is another thing, of a script not.
    ("provision", "args", "[]"),
];

/// The project as a machine file in TOML. `beside`: it will lie in the project's folder, so that paths can be relative.
pub fn import(project: &Project, problems: &[Problem], beside: bool) -> Result<String, Error> {
    let text = written(project, problems, beside);
    let file = project.root.join("Vagrantfile.toml");
    let (again, _) = super::parse(&text, &file, &project.root)?;
    let meaning = |machine: &MachineSpec| serde_json::to_value(machine).ok();
    let differs = again.machines.iter().zip(&project.machines).find(|(one, other)| meaning(one) != meaning(other));
    if again.machines.len() != project.machines.len() || differs.is_some() {
        let machine = differs.map_or_else(String::new, |(_, other)| other.name.clone());
        return Err(Error::Import { file: project.file.clone(), machine });
    }
    Ok(text)
}

fn written(project: &Project, problems: &[Problem], beside: bool) -> String {
    let name = project.file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("# Written by `vbox-rs import` from {}.\n", one_line(&name));
    comments(&mut text, problems);
    let mut machines: Vec<_> = project.machines.iter().map(|machine| keys(project, machine, beside)).collect();
    if let ([only], [keys]) = (&project.machines[..], &machines[..])
        && only.name == DEFAULT
    {
        text.push('\n');
        table(&mut text, "", keys);
        return text;
    }
    let mut shared = Map::new();
    for name in SHARED {
        let first = machines.first().and_then(|keys| keys.get(*name)).cloned();
        if let Some(value) = first.filter(|value| machines.iter().all(|keys| keys.get(*name) == Some(value))) {
            shared.insert((*name).to_owned(), value);
            for keys in &mut machines {
                keys.shift_remove(*name);
            }
        }
    }
    text.push('\n');
    table(&mut text, "", &shared);
    for (machine, keys) in project.machines.iter().zip(&machines) {
        let path = format!("machines.{}", key(&machine.name));
        // A table of tables alone would not name a machine that says nothing.
        table(&mut text, &path, keys);
    }
    text
}

/// What could not be carried over.
fn comments(text: &mut String, problems: &[Problem]) {
    // What takes trust is carried over, and takes it there too.
    let left = problems.iter().filter(|problem| !problem.refused);
    let left: Vec<&LeftOut> = left.filter_map(|problem| problem.left_out.as_ref()).collect();
    let groups = [
        (true, "Not carried over; machines come out otherwise than that file says:"),
        (false, "Left away, because it makes no difference here:"),
    ];
    for (changes, heading) in groups {
        let group = LeftOut::grouped(left.iter().copied().filter(|one| one.changes == changes));
        if !group.is_empty() {
            // Writing into a string does not fail.
            let _ = writeln!(text, "#\n# {heading}");
        }
        for (places, one) in group {
            let _ = writeln!(text, "#   {}", one_line(&format!("{places} {}: {}", one.what, one.why)));
        }
    }
}

/// The machine's keys without what is so anyway.
fn keys(project: &Project, machine: &MachineSpec, beside: bool) -> Map<String, Value> {
    let mut keys = file_keys(machine);
    let plain = super::parse("box = \"-\"", &project.file, &project.root).ok();
    let plain = plain.and_then(|(plain, _)| plain.machines.into_iter().next());
    let plain = plain.map(|plain| file_keys(&plain)).unwrap_or_default();
    if let (Some(Value::Array(folders)), Some(Value::Array(usual))) =
        (keys.get_mut("synced_folder"), plain.get("synced_folder"))
    {
        folders.retain(|folder| !usual.contains(folder));
    }
    let mut keys = without(&keys, &plain);
    for (list, items) in &mut keys {
        for item in items.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            item.retain(|name, value| !value.is_null() && !is_usual(list, name, value));
        }
    }
    if beside {
        keys.iter_mut().for_each(|(name, value)| relative(name, value, &project.root));
    }
    keys
}

fn is_usual(list: &str, name: &str, value: &Value) -> bool {
    let text = value.to_string();
    ENTRIES.contains(&(list, name, text.as_str()))
}

/// What of `keys` is not the same in `usual`; tables are compared key by key.
fn without(keys: &Map<String, Value>, usual: &Map<String, Value>) -> Map<String, Value> {
    let mut left = Map::new();
    for (name, value) in keys.iter().filter(|(name, value)| usual.get(*name) != Some(value)) {
        let value = match (value, usual.get(name)) {
            (Value::Object(inner), Some(Value::Object(usual))) => Value::Object(without(inner, usual)),
            _ => value.clone(),
        };
        left.insert(name.clone(), value);
    }
    left
}

/// Paths below the project's folder start there.
fn relative(name: &str, value: &mut Value, root: &Path) {
    const PATHS: &[&str] = &["host", "path", "source", "private_key_path", "box", "box_url"];
    match value {
        Value::String(text) if PATHS.contains(&name) => {
            if let Ok(inside) = Path::new(text.as_str()).strip_prefix(root) {
                let inside = inside.display().to_string();
                *text = if inside.is_empty() { ".".into() } else { format!("./{inside}") };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relative(name, item, root)),
        Value::Object(table) => table.iter_mut().for_each(|(name, value)| relative(name, value, root)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> String {
        let (project, problems) = super::super::parse(text, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap();
        import(&project, &problems, true).unwrap()
    }

    #[test]
    fn only_what_differs_from_the_defaults_is_written() {
        let text =
            "box = 'a/b'\nmemory = 2048\n[[provision]]\ntype = 'shell'\npath = 'x.sh'\n[ssh]\nforward_agent = true\n";
        assert_eq!(
            imported(text),
            "# Written by `vbox-rs import` from Vagrantfile.\n\nbox = \"a/b\"\nmemory = \"2 GiB\"\n\n[[provision]]\nname = \
             \"shell-1\"\ntype = \"shell\"\npath = \"./x.sh\"\n\n[ssh]\nforward_agent = true\n"
        );
    }

    #[test]
    fn several_addresses_of_a_box_stay_a_list_and_one_is_written_without() {
        let one = imported("box = 'a/b'\nbox_url = ['http://x/1.box']\n");
        assert!(one.contains("box_url = \"http://x/1.box\"\n"), "{one}");
        let two = imported("box = 'a/b'\nbox_url = ['http://x/1.box', 'y.box']\n");
        assert!(two.contains("box_url = [\"http://x/1.box\", \"./y.box\"]\n"), "{two}");
    }

    #[test]
    fn what_all_machines_share_stands_at_the_top() {
        let text =
            imported("box = 'a/b'\ncpus = 2\n[machines.web]\nprimary = true\n[machines.db]\n[machines.x]\ncpus = 2");
        assert_eq!(
            text,
            "# Written by `vbox-rs import` from Vagrantfile.\n\nbox = \"a/b\"\ncpus = 2\n\n[machines.web]\nprimary = \
             true\n\n[machines.db]\n\n[machines.x]\n"
        );
    }
}
