//! Machine files in Ruby mean here what they mean to Vagrant: those in `tests/vagrantfiles` are read by both.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::config::spec::{MachineSpec, Project, Protocol, ProvisionerKind, RunPolicy, Script};
use crate::config::{self, Error, Level};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vagrantfiles")
}

/// What both must agree on, of our machine.
fn ours(machine: &MachineSpec) -> Value {
    let root = |path: &Path| path.display().to_string();
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
                        Script::Path(path) => (None, Some(root(path))),
                        Script::Url(url) => (None, Some(url.clone())),
                    };
                    json!(["shell", run, inline, path, shell.args, shell.privileged, shell.env])
                }
                ProvisionerKind::File { source, destination } => json!(["file", run, root(source), destination]),
            }
        })
        .collect();
    let ports: Vec<_> = machine
        .forwarded_ports
        .iter()
        .map(|port| {
            json!([
                port.guest,
                port.host,
                if port.protocol == Protocol::Udp { "udp" } else { "tcp" },
                port.auto_correct
            ])
        })
        .collect();
    json!({
        "name": machine.name, "primary": machine.primary, "autostart": machine.autostart,
        "box": machine.box_name, "box_version": machine.box_version, "hostname": machine.hostname,
        "boot_timeout": machine.boot_timeout, "post_up_message": machine.post_up_message,
        "usable_port_range": [machine.usable_port_range.0, machine.usable_port_range.1],
        "memory": machine.memory, "cpus": machine.cpus, "ports": ports,
        "private": machine.private_networks.iter().map(|net| net.ip).collect::<Vec<_>>(),
        "folders": machine.synced_folders.iter().map(|f| json!([root(&f.host), f.guest, f.exclude])).collect::<Vec<_>>(),
        "provisioners": provisioners,
        "insert_key": machine.ssh.insert_key, "forward_agent": machine.ssh.forward_agent,
    })
}

/// The same of Vagrant's machine, with the overrides of the provider whose blocks count here.
fn theirs(machine: &Value, root: &Path) -> Value {
    let chosen = super::provide::PREFERRED.iter().map(|name| &machine["providers"][name]).find(|one| !one.is_null());
    let none = Value::Null;
    let provider = chosen.unwrap_or(&none);
    let get = |key: &str| {
        let changed = &provider["overrides"][key];
        if changed.is_null() { machine[key].clone() } else { changed.clone() }
    };
    // Providers without a plugin of theirs: what the file called.
    let called = |key: &str| {
        let mut calls = provider["calls"].as_array().into_iter().flatten();
        calls.rfind(|call| call[0] == format!("{key}=")).map(|call| call[1][0].clone())
    };
    let asked = |key: &str| {
        let known = Some(provider[key].clone()).filter(|value| !value.is_null() && asks(provider, key));
        known.or_else(|| called(key)).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    };
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let words = |value: &Value| match value {
        Value::Null => json!([]),
        Value::String(text) => json!([text]),
        other => other.clone(),
    };
    let here = |value: &Value| value.as_str().map(|text| root.join(text).components().collect::<PathBuf>());
    let ports: Vec<_> = get("forwarded_ports")
        .as_array()
        .unwrap()
        .iter()
        .filter(|port| port["id"] != "ssh")
        .map(|port| {
            json!([number(&port["guest"]), number(&port["host"]), port["protocol"], port["auto_correct"] == true])
        })
        .collect();
    let private: Vec<_> = get("networks")
        .as_array()
        .unwrap()
        .iter()
        .filter(|net| net["type"] == "private_network")
        .map(|net| net["options"]["ip"].clone())
        .collect();
    let mut folders: Vec<_> = get("synced_folders")
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["disabled"] != true)
        .map(|f| json!([here(&f["hostpath"]), f["guestpath"], words(&f["rsync__exclude"])]))
        .collect();
    folders.sort_by_key(|folder| folder[1] != "/vagrant");
    let provisioners: Vec<_> = get("provisioners")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let (config, run) = (&one["config"], one["run"].as_str().unwrap_or("once"));
            if one["type"] == "file" {
                return json!(["file", run, here(&config["source"]), config["destination"]]);
            }
            let env = config["env"].as_object().into_iter().flatten();
            let env: Vec<_> =
                env.map(|(key, value)| json!([key, value.as_str().map_or(value.to_string(), String::from)])).collect();
            json!([
                "shell",
                run,
                config["inline"],
                here(&config["path"]),
                words(&config["args"]),
                config["privileged"],
                env
            ])
        })
        .collect();
    json!({
        "name": machine["name"], "primary": machine["options"]["primary"] == true,
        "autostart": machine["options"]["autostart"] != false,
        "box": get("box"), "box_version": get("box_version"), "hostname": get("hostname"),
        "boot_timeout": get("boot_timeout"), "post_up_message": get("post_up_message").as_str().filter(|text| !text.is_empty()),
        "usable_port_range": get("usable_port_range"),
        "memory": asked("memory"),
        "cpus": asked("cpus"),
        "ports": ports, "private": private, "folders": folders, "provisioners": provisioners,
        "insert_key": get("ssh")["insert_key"], "forward_agent": get("ssh")["forward_agent"],
    })
}

/// Whether the file itself says it: Vagrant prints defaults of providers too.
fn asks(provider: &Value, key: &str) -> bool {
    provider["calls"].as_array().into_iter().flatten().any(|call| {
        call[0] == format!("{key}=") || (call[0] == "customize" && call.to_string().contains(&format!("--{key}")))
    })
}

fn agrees(name: &str) {
    let dir = folder().join(name);
    let (project, _) = config::load(&dir.join("Vagrantfile")).unwrap_or_else(|error| panic!("{error}"));
    if !Path::new("/usr/share/rubygems-integration/all/specifications").is_dir() || !in_path("vagrant") {
        writeln!(std::io::stderr(), "skipped: Vagrant is not installed").unwrap();
        return;
    }
    let output = Command::new("/usr/bin/ruby")
        .arg(folder().join("oracle.rb"))
        .arg("--compact")
        .arg(dir.join("Vagrantfile"))
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(answer["ok"], true, "{}", answer["error"]);
    let theirs: Vec<_> = answer["machines"].as_array().unwrap().iter().map(|machine| theirs(machine, &dir)).collect();
    let ours: Vec<_> = project.machines.iter().map(ours).collect();
    let pretty = |all: &[Value]| serde_json::to_string_pretty(all).unwrap();
    assert_eq!(
        serde_json::to_value(&ours).unwrap(),
        serde_json::to_value(&theirs).unwrap(),
        "\nours {}\ntheirs {}",
        pretty(&ours),
        pretty(&theirs)
    );
}

fn in_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// One test for each file, so that they run beside each other.
macro_rules! same_as_vagrant {
    ($($name:ident),+ $(,)?) => {
        mod same_as_vagrant {
            $(#[test] fn $name() { super::agrees(stringify!($name).trim_start_matches("r#")); })+
        }
    };
}

same_as_vagrant!(
    plain,
    r#loop,
    yaml,
    env,
    customize,
    r#override,
    methods,
    provisioners,
    outer,
    later,
    structures,
    ports,
    json,
    relative,
    glob,
    rescue,
    lambdas,
    twoproviders,
    merged,
    tabs,
);

#[test]
fn every_file_of_the_folder_is_compared() {
    let listed = include_str!("tests.rs");
    for entry in fs::read_dir(folder()).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(listed.contains(&format!("{name},")), "{name}");
    }
}

/// What a file means, with the messages of its warnings.
fn read(text: &str) -> Result<(Project, Vec<String>), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Vagrantfile");
    fs::write(&file, text).unwrap();
    match config::load(&file) {
        Ok((project, problems)) => {
            assert!(problems.iter().all(|problem| problem.level == Level::Warning));
            Ok((project, problems.into_iter().map(|problem| problem.message).collect()))
        }
        Err(Error::Invalid { rendered, .. }) => Err(rendered),
        Err(other) => panic!("{other}"),
    }
}

fn wrong(body: &str) -> String {
    read(&format!("Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  {body}\nend\n")).unwrap_err()
}

#[test]
fn a_command_of_the_host_is_refused_with_its_line() {
    let text = wrong("x = `rm -rf /tmp/nothing`");
    assert!(text.contains("wants to run a command on this computer: `rm -rf /tmp/nothing`"), "{text}");
    assert!(text.contains("Vagrantfile:3"), "{text}");
    assert!(text.contains("nothing allows it yet"), "{text}");
    for body in
        ["system('touch x')", "exec 'x'", "File.write('x', 'y')", "FileUtils.mkdir_p 'x'", "File.open('x', 'w')"]
    {
        assert!(wrong(body).contains("it wants to"), "{body}: {}", wrong(body));
    }
}

#[test]
fn files_outside_of_the_project_are_not_read() {
    assert!(wrong("File.read('/etc/passwd')").contains("/etc/passwd, outside of the project"));
}

#[test]
fn what_is_left_out_is_told() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.provision :ansible, playbook: 'x.yml'\n  \
        config.hostmanager.enabled = true\n  config.vm.box_check_update = false\n  puts 'hello'\nend\n";
    let (project, warnings) = read(text).unwrap();
    assert_eq!(project.machines.len(), 1);
    for wanted in [
        "the provisioner `ansible` is left out",
        "`config.hostmanager` is left out",
        "`config.vm.box_check_update` is not needed",
        "the file says: hello",
    ] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
}

#[test]
fn a_slip_is_shown_with_its_place() {
    let text = wrong("config.vm.hostnam = 'x'");
    assert!(text.contains("`config.vm.hostnam` is not known") && text.contains("did you mean `hostname`?"), "{text}");
    let text = wrong("config.vm.hostname = undefined_thing");
    assert!(
        text.contains("undefined local variable or method `undefined_thing'") && text.contains("Vagrantfile:3"),
        "{text}"
    );
    assert!(
        read("Vagrant.configure('2') do |config|\n  config.vm.box = \nend end").unwrap_err().contains("Vagrantfile:")
    );
    assert!(wrong("loop { }").contains("it takes too much"));
}

#[test]
fn what_we_do_not_have_is_named() {
    assert!(wrong("x = CSV.read('a')").contains("not understood: `CSV.read` of Ruby's library"));
    assert!(read("Vagrant::Config.run do |config|\nend\n").unwrap_err().contains("configuration version 1"));
    assert!(wrong("require 'no-such-thing'").contains("cannot load such file -- no-such-thing"));
    assert!(
        read("Vagrant.require_version '< 2.0'\nVagrant.configure('2') { }\n").unwrap_err().contains("Vagrant < 2.0")
    );
}

#[test]
fn words_of_yaml_are_worth_what_psych_says() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "[yes, 0x10, 010, 1_000, 1.5, 22:30, ~, ':a', \"1\", 1.2.3, 2020-01-01x]";
    fs::write(dir.path().join("x.yml"), yaml).unwrap();
    let text =
        "require 'yaml'\nVagrant.configure('2') { |c| c.vm.box = 'a/b' }\nputs YAML.load_file('x.yml').inspect\n";
    fs::write(dir.path().join("Vagrantfile"), text).unwrap();
    let (_, problems) = config::load(&dir.path().join("Vagrantfile")).unwrap();
    let expected = "[true, 16, 8, 1000, 1.5, 81000, nil, \":a\", \"1\", \"1.2.3\", \"2020-01-01x\"]";
    assert_eq!(problems[0].message, format!("the file says: {expected}"));
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_hang_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    fs::write(dir.path().join("Vagrantfile"), "# mode: ruby\nVagrant.configure('2') { |c| File.read('pipe') }\n")
        .unwrap();
    let error = config::load(&dir.path().join("Vagrantfile")).unwrap_err();
    assert!(error.to_string().contains("is no regular file"), "{error}");
}
