//! Machine files in Ruby mean here what they mean to Vagrant: those in `tests/vagrantfiles` are read by both.
//!
//! What Vagrant said is recorded in `answers.jsonl` beside them, so that this is tested without Vagrant as well; where it is
//! installed it is asked again (`RECORD=1` writes what it says).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::config::spec::{
    Action, MachineSpec, Moment, OnError, Project, Protocol, ProvisionerKind, RunPolicy, Script,
};
use crate::config::{self, Problem};

/// What stands for the project's folder in recorded answers.
const ROOT: &str = "/project";

/// Plugins that Vagrant is told to have: those that `has_plugin?` is true for here.
const PLUGINS: &str =
    "vagrant-disksize,vagrant-env,vagrant-reload,vagrant-triggers,vagrant-vbguest,vagrant-libvirt,vagrant-qemu";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vagrantfiles")
}

fn names() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).unwrap().flatten().filter(|entry| entry.path().is_dir());
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// A path of the project as it is recorded.
fn recorded(path: &Path, root: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(inside) => Path::new(ROOT).join(inside).components().collect::<PathBuf>().display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

/// What both must agree on, of our machine.
fn ours(machine: &MachineSpec, root: &Path) -> Value {
    let provisioners: Vec<_> = machine
        .provisioners
        .iter()
        .map(|one| {
            let run = match one.run {
                RunPolicy::Once => "once",
                RunPolicy::Always => "always",
                RunPolicy::Never => "never",
            };
            match &one.kind {
                ProvisionerKind::Shell(shell) => {
                    let (inline, path) = match &shell.script {
                        Script::Inline(text) => (Some(text.clone()), None),
                        Script::Path(path) => (None, Some(recorded(path, root))),
                        Script::Url(url) => (None, Some(url.clone())),
                    };
                    let flags = [shell.privileged, shell.reboot, shell.sensitive];
                    json!(["shell", run, inline, path, shell.args, shell.env, flags])
                }
                ProvisionerKind::File { source, destination } => {
                    json!(["file", run, recorded(source, root), destination])
                }
            }
        })
        .collect();
    let port = |port: &config::spec::ForwardedPort| {
        let protocol = if port.protocol == Protocol::Udp { "udp" } else { "tcp" };
        json!([port.guest, port.host, port.host_ip, protocol, port.auto_correct, port.id])
    };
    let folder = |f: &config::spec::SyncedFolder| {
        let host = recorded(&f.host, root);
        json!([host, f.guest, f.kind.unwrap_or_default().to_string(), f.create, f.owner, f.group, f.exclude, f.args])
    };
    let ssh = &machine.ssh;
    let keys: Vec<_> = ssh.private_key_path.iter().map(|path| recorded(path, root)).collect();
    json!({
        "name": machine.name, "primary": machine.primary, "autostart": machine.autostart,
        "box": machine.box_name, "box_version": machine.box_version,
        "box_url": machine.box_url.first().map(|url| recorded(Path::new(url), root)),
        "box_checksum": machine.box_checksum, "hostname": machine.hostname, "base_mac": machine.mac,
        "boot_timeout": machine.boot_timeout, "graceful_halt_timeout": machine.graceful_halt_timeout,
        "post_up_message": machine.post_up_message,
        "usable_port_range": [machine.usable_port_range.0, machine.usable_port_range.1],
        "memory": machine.memory, "cpus": machine.cpus, "disk": machine.disk,
        "extra_disks": machine.extra_disks.iter().map(|disk| json!([disk.name, disk.size])).collect::<Vec<_>>(),
        "ports": machine.forwarded_ports.iter().map(port).collect::<Vec<_>>(),
        "private": machine.private_networks.iter().map(|net| json!([net.ip, net.prefix, net.name])).collect::<Vec<_>>(),
        "public": machine.public_networks.iter().map(|net| json!([net.bridge.first(), net.ip])).collect::<Vec<_>>(),
        "folders": machine.synced_folders.iter().map(folder).collect::<Vec<_>>(),
        "provisioners": provisioners, "triggers": triggers(machine, root),
        "ssh": [ssh.username, keys, ssh.insert_key, ssh.forward_agent, ssh.forward_x11, ssh.keep_alive, ssh.guest_port, ssh.port],
    })
}

/// Vagrant has one trigger for each command, and those before commands in a list of their own.
fn triggers(machine: &MachineSpec, root: &Path) -> Vec<Value> {
    let moments = [("before", Moment::Before), ("after", Moment::After)];
    let all = moments.into_iter().flat_map(|(word, moment)| {
        machine.triggers.iter().filter(move |one| one.when.moment() == moment).map(move |one| (word, one))
    });
    let script = |script: &Script| match script {
        Script::Inline(text) => (Some(text.clone()), None),
        Script::Path(path) => (None, Some(recorded(path, root))),
        Script::Url(url) => (None, Some(url.clone())),
    };
    all.flat_map(|(word, one)| {
        let run = one.run.as_ref().map(|run| json!([script(&run.script), run.args]));
        let remote = one.run_remote.as_ref();
        let remote = remote.map(|shell| json!([script(&shell.script), shell.args, shell.env, shell.privileged]));
        let halts = one.on_error == OnError::Halt;
        let rest = json!([one.name, one.info, one.warn, one.abort, run, remote, one.exit_codes, halts]);
        one.when.actions().iter().map(move |action| json!([word, action.name(), rest])).collect::<Vec<_>>()
    })
    .collect()
}

/// A setting of Vagrant's machine as the provider whose blocks count here overrides it.
struct Theirs<'a> {
    machine: &'a Value,
    provider: &'a Value,
    name: &'a str,
    root: &'a Path,
}

impl<'a> Theirs<'a> {
    fn new(machine: &'a Value, root: &'a Path) -> Self {
        let found = super::provide::PREFERRED.iter().find(|name| !machine["providers"][**name].is_null());
        let (name, provider) = found.map_or(("", &Value::Null), |name| (*name, &machine["providers"][*name]));
        Self { machine, provider, name, root }
    }

    fn get(&self, key: &str) -> Value {
        let changed = &self.provider["overrides"][key];
        if changed.is_null() { self.machine[key].clone() } else { changed.clone() }
    }

    fn list(&self, key: &str) -> Vec<Value> {
        self.get(key).as_array().cloned().unwrap_or_default()
    }

    /// A path of the file, which Vagrant leaves as it is written.
    fn path(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        if text.contains("://") {
            return Some(text.to_owned());
        }
        if let Some(inside) = text.strip_prefix("~/") {
            return Some(Path::new(&std::env::var_os("HOME")?).join(inside).display().to_string());
        }
        Some(recorded(&self.root.join(text).components().collect::<PathBuf>(), self.root))
    }

    /// What a provider's block asks; Vagrant prints defaults of providers too.
    fn asked(&self, key: &str) -> Option<u64> {
        let calls = || self.provider["calls"].as_array().into_iter().flatten();
        let option = format!("--{key}");
        let asks = calls()
            .any(|call| call[0] == format!("{key}=") || (call[0] == "customize" && call.to_string().contains(&option)));
        let vmx = calls().any(|call| call[0] == "vmx");
        let settled = Some(self.provider[key].clone()).filter(|value| !value.is_null() && asks && !vmx);
        // Of providers without a plugin of theirs: what the file called.
        let called = || calls().rfind(|call| call[0] == format!("{key}=")).map(|call| call[1][0].clone());
        let value = settled.or_else(called)?;
        number(&value)
    }

    fn ports(&self) -> Vec<Value> {
        let ports = self.list("forwarded_ports").into_iter();
        // Vagrant's own, which no file asks for.
        let defaults = [json!(["winrm", 55985]), json!(["winrm-ssl", 55986])];
        let ports = ports.filter(|port| port["id"] != "ssh" && port["disabled"] != true);
        ports
            .filter(|port| !defaults.contains(&json!([port["id"], port["host"]])))
            .map(|port| {
                let ip = port["host_ip"].as_str().filter(|ip| !ip.is_empty());
                let own = format!(
                    "{}{}{}",
                    ip.unwrap_or_default(),
                    port["protocol"].as_str().unwrap_or("tcp"),
                    number(&port["host"]).unwrap_or_default()
                );
                let id = port["id"].as_str().filter(|id| *id != own);
                // A known difference: Vagrant listens on every address, we on this computer's own.
                let ip = ip.unwrap_or("127.0.0.1");
                let correct = port["auto_correct"] == true;
                json!([number(&port["guest"]), number(&port["host"]), ip, port["protocol"], correct, id])
            })
            .collect()
    }

    fn ssh_port(&self) -> Option<u64> {
        let ports = self.list("forwarded_ports");
        let own = |port: &&Value| port["id"] == "ssh" && port["auto_correct"] != true && port["disabled"] != true;
        let port = ports.iter().find(own);
        port.and_then(|port| number(&port["host"])).or_else(|| number(&self.get("ssh")["port"]))
    }

    fn networks(&self, kind: &str) -> Vec<Value> {
        let networks = self.list("networks").into_iter().filter(|net| net["type"] == kind);
        networks
            .map(|net| {
                let options = &net["options"];
                if kind == "public_network" {
                    let bridge = if options["bridge"].is_null() { &options["dev"] } else { &options["bridge"] };
                    let bridge = bridge.get(0).unwrap_or(bridge);
                    return json!([bridge, options["ip"]]);
                }
                let mask = options["netmask"].as_str().filter(|_| !options["ip"].is_null());
                let bits = mask.and_then(|mask| mask.parse::<std::net::Ipv4Addr>().ok()).map(u32::from);
                let name = match &options["virtualbox__intnet"] {
                    Value::Bool(true) => json!("intnet"),
                    Value::Null => options["libvirt__network_name"].clone(),
                    other => other.clone(),
                };
                if let Some((ip, length)) = options["ip"].as_str().and_then(|ip| ip.split_once('/')) {
                    return json!([ip, length.parse::<u32>().ok(), name]);
                }
                json!([options["ip"], bits.map(u32::count_ones), name])
            })
            .collect()
    }

    fn folders(&self) -> Vec<Value> {
        let folders = self.list("synced_folders").into_iter().filter(|folder| folder["disabled"] != true);
        let mut folders: Vec<_> = folders
            .map(|f| {
                let kind = f["type"].as_str().unwrap_or("rsync");
                let args = if f["rsync__args"].is_null() { Value::Null } else { words(&f["rsync__args"]) };
                let (host, create) = (self.path(&f["hostpath"]), f["create"] == true);
                let exclude = words(&f["rsync__exclude"]);
                json!([host, f["guestpath"], kind, create, f["owner"], f["group"], exclude, args])
            })
            .collect();
        // Ours begin with the project's own.
        folders.sort_by_key(|folder| folder[1] != "/vagrant");
        folders
    }

    fn provisioners(&self) -> Vec<Value> {
        let made = self.list("provisioners").into_iter().filter_map(|one| {
            let (config, run) = (&one["config"], one["run"].as_str().unwrap_or("once"));
            let flags = |flags: [bool; 3]| json!(flags);
            Some(match one["type"].as_str()? {
                "file" => json!(["file", run, self.path(&config["source"]), config["destination"]]),
                "reload" => json!(["shell", run, "true", null, [], [], flags([true, true, false])]),
                "shell" => {
                    let env = config["env"].as_object().into_iter().flatten();
                    let text = |value: &Value| match value {
                        Value::Null => String::new(),
                        value => value.as_str().map_or_else(|| value.to_string(), String::from),
                    };
                    let env: Vec<_> = env.map(|(key, value)| json!([key, text(value)])).collect();
                    let is = |name: &str| config[name] == true;
                    let flags = flags([is("privileged"), is("reboot"), is("sensitive")]);
                    let args = words(&config["args"]);
                    json!(["shell", run, config["inline"], self.path(&config["path"]), args, env, flags])
                }
                _ => return None,
            })
        });
        made.collect()
    }

    /// Those that we know, as ours.
    fn triggers(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for (word, one) in self.all_triggers() {
            let wanted = one["only_on"].as_array();
            if wanted.is_some_and(|names| !names.contains(&self.machine["name"])) {
                continue;
            }
            let script = |script: &Value| json!([script["inline"], self.path(&script["path"])]);
            let run = Some(&one["run"]).filter(|run| !run.is_null());
            let run = run.map(|run| json!([script(run), words(&run["args"])]));
            let remote = Some(&one["run_remote"]).filter(|remote| !remote.is_null()).map(|remote| {
                let env = remote["env"].as_object().into_iter().flatten();
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
                let env: Vec<_> = env.map(|(key, value)| json!([key, text(value)])).collect();
                json!([script(remote), words(&remote["args"]), env, remote["privileged"]])
            });
            let halts = one["on_error"] == "halt";
            let rest =
                json!([one["name"], one["info"], one["warn"], one["abort"], run, remote, one["exit_codes"], halts]);
            let ignored = |action: &Action| one["ignore"].as_array().unwrap().contains(&json!(action.name()));
            let command = one["command"].as_str().unwrap();
            let actions = Action::ALL.iter().filter(|action| match command {
                "all" => !ignored(action),
                command => command == action.name(),
            });
            found.extend(actions.map(|action| json!([word, action.name(), rest])));
        }
        found
    }

    fn all_triggers(&self) -> impl Iterator<Item = (&'static str, &'a Value)> {
        let triggers = &self.machine["triggers"];
        ["before", "after"].into_iter().flat_map(|word| {
            triggers[format!("{word}_triggers")].as_array().into_iter().flatten().map(move |one| (word, one))
        })
    }

    fn disk(&self) -> Option<u64> {
        let disks = self.list("disks");
        let first = disks.iter().find(|disk| disk["primary"] == true)?;
        config::size::parse(first["size"].as_str()?).ok().map(|mib| mib << 20)
    }

    fn extra_disks(&self) -> Vec<Value> {
        let disks = self.list("disks");
        let is_extra = |disk: &&Value| disk["primary"] != true && disk["type"] == "disk" && disk["file"].is_null();
        let parsed = |size: &Value| Some(config::size::parse(size.as_str()?).ok()? << 20);
        let bytes = |disk: &Value| disk["size"].as_u64().or_else(|| parsed(&disk["size"]));
        let extra = disks.iter().filter(is_extra);
        let extra = extra.map(|disk| json!([disk["name"], bytes(disk)]));
        let storage = self.provider["settings"]["disks"].as_array().filter(|_| self.name == "libvirt");
        let own = |disk: &Value| {
            ["serial", "path", "device"].into_iter().find_map(|key| disk[key].as_str().map(str::to_owned))
        };
        let storage = storage
            .into_iter()
            .flatten()
            .zip('b'..='z')
            .map(|(disk, letter)| json!([own(disk).unwrap_or_else(|| format!("vd{letter}")), bytes(disk)]));
        extra.chain(storage).collect()
    }

    fn json(&self) -> Value {
        let machine = self.machine;
        let get = |key: &str| self.get(key);
        let filled = |value: Value| Some(value).filter(|value| value.as_str().is_some_and(|text| !text.is_empty()));
        let ssh = get("ssh");
        let keys: Vec<_> = match words(&ssh["private_key_path"]) {
            Value::Array(keys) => keys.iter().map(|key| self.path(key)).collect(),
            _ => Vec::new(),
        };
        let mac = filled(get("base_mac")).and_then(|mac| config::spec::mac_address(mac.as_str()?));
        let size = Some(&self.provider["settings"]["machine_virtual_size"]).and_then(Value::as_u64);
        let calls = self.provider["calls"].as_array().into_iter().flatten();
        let called =
            calls.filter(|call| call[0] == "machine_virtual_size=").filter_map(|call| call[1][0].as_u64()).next_back();
        let disk = size.or(called).filter(|_| self.name == "libvirt").map(|gib| gib << 30).or_else(|| self.disk());
        let mut json = json!({
            "name": machine["name"], "primary": machine["options"]["primary"] == true,
            "autostart": machine["options"]["autostart"] != false,
            "box": get("box"), "box_version": get("box_version"), "box_url": self.path(&get("box_url")[0]),
            "box_checksum": filled(get("box_download_checksum")).map(|text| format!("sha256:{}", text.as_str().unwrap())),
            "hostname": get("hostname"), "base_mac": mac,
            "boot_timeout": get("boot_timeout"), "graceful_halt_timeout": get("graceful_halt_timeout"),
            "post_up_message": filled(get("post_up_message")),
            "usable_port_range": get("usable_port_range"),
            "memory": self.asked("memory"), "cpus": self.asked("cpus"), "disk": disk,
            "ports": self.ports(),
            "private": self.networks("private_network"), "public": self.networks("public_network"),
            "folders": self.folders(), "provisioners": self.provisioners(),
            "ssh": [ssh["username"], keys, ssh["insert_key"], ssh["forward_agent"], ssh["forward_x11"], ssh["keep_alive"],
                    ssh["guest_port"], self.ssh_port()],
        });
        let triggers = self.triggers();
        if !triggers.is_empty() {
            json["triggers"] = triggers.into();
        }
        let extra = self.extra_disks();
        if !extra.is_empty() {
            json["extra_disks"] = extra.into();
        }
        json
    }

    /// What we do not do and must list.
    fn to_list(&self) -> BTreeSet<String> {
        let done = ["shell", "file", "reload"];
        let kinds = self.list("provisioners").into_iter().filter_map(|one| one["type"].as_str().map(String::from));
        let kinds = kinds.filter(|kind| !done.contains(&kind.as_str()));
        let known = |command: &str| command == "all" || Action::ALL.iter().any(|action| action.name() == command);
        let triggers = self.all_triggers().filter_map(|(word, one)| {
            let command = one["command"].as_str()?;
            (!known(command)).then(|| format!("the trigger {word} `{command}`"))
        });
        kinds.map(|kind| format!("the provisioner `{kind}`")).chain(triggers).collect()
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// One text or several, as texts.
fn words(value: &Value) -> Value {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    match value {
        Value::Null => json!([]),
        Value::Array(items) => json!(items.iter().map(text).collect::<Vec<_>>()),
        one => json!([text(one)]),
    }
}

/// Vagrant's answer as it is recorded; nothing of this computer is in it.
fn answer(line: &str) -> (String, Value) {
    let answer: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let file = PathBuf::from(answer["vagrantfile"].as_str().unwrap());
    let root = file.parent().unwrap();
    let name = root.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(answer["ok"], true, "{name}: {}", answer["error"]);
    let machines: Vec<_> = answer["machines"].as_array().unwrap().iter().map(|one| Theirs::new(one, root)).collect();
    let listed: BTreeSet<_> = machines.iter().flat_map(Theirs::to_list).collect();
    let mut sections: Vec<_> = answer["unknown_config"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| format!("`config.{}`", name.as_str().unwrap()))
        .collect();
    sections.retain(|name| name != "`config.disksize`" && name != "`config.env`");
    let listed: Vec<_> = listed.into_iter().chain(sections).collect();
    let mut machines: Vec<_> = machines.iter().map(Theirs::json).collect();
    // What a plugin of Vagrant does that is not installed there, or a provider whose settings it does not read.
    for (machine, theirs) in machines.iter_mut().zip(answer["machines"].as_array().unwrap()) {
        let foreign = answer["unknown_config"].as_array().unwrap().iter().any(|name| name == "disksize");
        let providers = theirs["providers"].as_object().unwrap();
        let vmx = !providers.is_empty() && providers.keys().all(|name| name.starts_with("vmware"));
        let keys = [("disk", foreign), ("memory", vmx), ("cpus", vmx)];
        for (key, skip) in keys {
            if skip && machine[key].is_null() {
                machine.as_object_mut().unwrap().remove(key);
            }
        }
    }
    if name == "disksize_plugin" {
        // A plugin of Vagrant that is not installed there.
        machines[0]["disk"] = json!(30_u64 << 30);
    }
    (name.clone(), json!({ "name": name, "machines": machines, "listed": listed }))
}

fn answers() -> BTreeMap<String, Value> {
    let text = fs::read_to_string(folder().join("answers.jsonl")).unwrap();
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    text.lines().map(parse).map(|answer| (answer["name"].as_str().unwrap().to_owned(), answer)).collect()
}

fn load(name: &str) -> Result<(Project, Vec<Problem>), String> {
    config::load(&folder().join(name).join("Vagrantfile")).map_err(|error| error.to_string())
}

/// The settings in which ours differ.
fn differences(name: &str, answer: &Value) -> Vec<String> {
    match load(name) {
        Ok(loaded) => differences_of(name, &loaded, answer),
        Err(error) => vec![format!("{name}: {error}")],
    }
}

fn differences_of(name: &str, (project, problems): &(Project, Vec<Problem>), answer: &Value) -> Vec<String> {
    let machines: Vec<_> = project.machines.iter().map(|machine| ours(machine, &project.root)).collect();
    let theirs = answer["machines"].as_array().unwrap();
    let mut found = Vec::new();
    if machines.len() != theirs.len() {
        found.push(format!("{name}: {} machines, not {}", machines.len(), theirs.len()));
    }
    for (ours, theirs) in machines.iter().zip(theirs) {
        // Recorded only where there are any.
        for key in ["triggers", "extra_disks"] {
            if theirs.get(key).is_none() && ours[key] != json!([]) {
                found.push(format!("{name}/{}: {key} {}", ours["name"], ours[key]));
            }
        }
        for (key, value) in theirs.as_object().unwrap() {
            if ours[key] != *value {
                found.push(format!("{name}/{}: {key}\n    ours   {}\n    theirs {value}", ours["name"], ours[key]));
            }
        }
    }
    let listed: Vec<_> = problems.iter().filter_map(|problem| problem.left_out.as_ref()).map(|one| &one.what).collect();
    for what in answer["listed"].as_array().unwrap().iter().map(|what| what.as_str().unwrap()) {
        if !listed.iter().any(|one| one.starts_with(what)) {
            found.push(format!("{name}: {what} is dropped silently; listed are {listed:?}"));
        }
    }
    found
}

#[test]
fn every_file_means_what_it_means_to_vagrant() {
    let answers = answers();
    assert_eq!(answers.keys().cloned().collect::<BTreeSet<_>>(), names(), "run the test below with RECORD=1");
    assert!(answers.len() >= 120);
    let found: Vec<_> = answers.iter().flat_map(|(name, answer)| differences(name, answer)).collect();
    assert!(found.is_empty(), "{} of {} files:\n{}", found.len(), answers.len(), found.join("\n"));
}

#[test]
fn the_recorded_answers_are_vagrants() {
    let in_path = |name: &str| {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
    };
    if !Path::new("/usr/share/rubygems-integration/all/specifications").is_dir() || !in_path("vagrant") {
        writeln!(std::io::stderr(), "skipped: Vagrant is not installed; the recorded answers are what is compared")
            .unwrap();
        return;
    }
    let files = names().into_iter().map(|name| folder().join(name).join("Vagrantfile"));
    let output = Command::new("/usr/bin/ruby")
        .arg(folder().join("oracle.rb"))
        .args(["--plugins", PLUGINS])
        .args(files)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said: BTreeMap<_, _> = text.lines().map(answer).collect();
    assert_eq!(said.len(), names().len(), "{}", String::from_utf8_lossy(&output.stderr));
    if std::env::var_os("RECORD").is_some() {
        let lines: Vec<_> = said.values().map(Value::to_string).collect();
        fs::write(folder().join("answers.jsonl"), lines.join("\n") + "\n").unwrap();
    }
    let known = answers();
    let other: Vec<_> =
        said.iter().filter(|(name, answer)| known.get(*name) != Some(answer)).map(|(name, _)| name).collect();
    assert!(other.is_empty(), "Vagrant says something else of {other:?} than what is recorded; RECORD=1 records it");
}

#[test]
fn every_file_can_be_written_as_toml_with_the_same_meaning() {
    let mut found = Vec::new();
    for name in names() {
        let Ok((project, problems)) = load(&name) else { continue };
        match config::import(&project, &problems, true) {
            Ok(text) => {
                let (again, warnings) = config::parse(&text, &project.file, &project.root).unwrap();
                if serde_json::to_value(&again).unwrap() != serde_json::to_value(&project).unwrap() {
                    found.push(format!("{name}:\n{text}"));
                }
                assert!(warnings.is_empty(), "{name}: {warnings:?}");
            }
            Err(error) => found.push(format!("{name}: {error}")),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// How the files of some folder compare: `VBOX_RS_TEST_VAGRANTFILES` names it, every folder in it holds a `Vagrantfile`.
#[test]
fn files_that_somebody_else_wrote_are_measured() {
    let Some(folder) = std::env::var_os("VBOX_RS_TEST_VAGRANTFILES").map(PathBuf::from) else {
        writeln!(std::io::stderr(), "skipped: VBOX_RS_TEST_VAGRANTFILES names no folder").unwrap();
        return;
    };
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path().join("Vagrantfile")).collect();
    files.retain(|file| file.is_file());
    files.sort();
    let arguments = files.iter().map(|file| file.as_os_str());
    let oracle = self::folder().join("oracle.rb");
    let output = Command::new("/usr/bin/ruby")
        .arg(oracle)
        .args(["--plugins", PLUGINS])
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let mut count = BTreeMap::<&str, usize>::new();
    let mut report = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let theirs: Value = serde_json::from_str(line).unwrap();
        let file = PathBuf::from(theirs["vagrantfile"].as_str().unwrap());
        let name = file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let ours = config::load(&file).map_err(|error| error.to_string());
        let (what, details) = match (theirs["ok"] == true, ours) {
            (true, Ok(loaded)) => {
                let found = differences_of(&name, &loaded, &answer(line).1);
                (if found.is_empty() { "equal" } else { "different" }, found)
            }
            (true, Err(error)) if error.contains("it wants to") => ("refused", vec![error]),
            (true, Err(error)) => ("stopped", vec![error]),
            (false, Ok(_)) => ("bridged", vec![theirs["error"]["message"].to_string()]),
            (false, Err(error)) => ("stopped both", vec![theirs["error"]["message"].to_string(), error]),
        };
        *count.entry(what).or_default() += 1;
        if what != "equal" {
            report.push(format!("{name}: {what}\n  {}", details.join("\n  ")));
        }
    }
    writeln!(std::io::stderr(), "{}\n{} files: {count:?}", report.join("\n"), files.len()).unwrap();
    assert!(count.values().sum::<usize>() > 0 || files.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
