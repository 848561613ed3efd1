//! What a user sees of machine files in Ruby, without any hypervisor.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

#[path = "support/home.rs"]
mod home;

use std::fs;

use home::TestHome;
use serde_json::Value;

const PLAIN: &str = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.box_check_update = false\n  \
    config.vm.provision :ansible, playbook: 'x.yml'\n  config.hostmanager.enabled = true\nend\n";

const COMMAND: &str = "name = `sh -c 'echo from-a-command'`.strip\nVagrant.configure('2') do |config|\n  \
    config.vm.box = 'a/b'\n  config.vm.hostname = name\nend\n";

fn config(home: &TestHome) -> Value {
    let (code, out, err) = home.run(["config", "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn what_is_left_out_is_one_list_that_begins_with_what_matters() {
    let home = TestHome::new();
    home.write("Vagrantfile", PLAIN);
    let (code, out, err) = home.run(["validate", "--ignore-provider"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is valid: 1 machine"), "{out}");
    let expected = "\
warning: the machine file asks for what is not done here
  it changes the result:
    Vagrantfile:4  the provisioner `ansible`: not supported yet
    Vagrantfile:5  `config.hostmanager`: nobody writes the machines' names to /etc/hosts
  it makes no difference:
    Vagrantfile:3  `config.vm.box_check_update`: boxes are looked up only when somebody asks for it
";
    assert_eq!(err, expected);
    let (_, out, _) = home.run(["validate", "--ignore-provider", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let places: Vec<_> = report["problems"].as_array().unwrap().iter().map(|one| &one["left_out"]["place"]).collect();
    assert_eq!(places, ["Vagrantfile:3", "Vagrantfile:4", "Vagrantfile:5"]);
}

#[test]
fn a_command_takes_the_users_trust_and_the_file_keeps_it_until_it_changes() {
    let home = TestHome::new();
    home.write("Vagrantfile", COMMAND);
    let (code, _, err) = home.run(["config"]);
    assert_eq!(code, 3);
    for word in
        ["wants to run a command on this computer: `sh -c 'echo from-a-command'`", "Vagrantfile:1:8", "`--trust`"]
    {
        assert!(err.contains(word), "{word}: {err}");
    }
    assert!(!home.home().join("trusted").exists());
    let (code, out, err) = home.run(["config", "--trust", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("\"hostname\":\"from-a-command\"") || out.contains("\"hostname\": \"from-a-command\""),
        "{out}"
    );
    assert_eq!(config(&home)["machines"][0]["hostname"], "from-a-command", "it is remembered");
    home.write("Vagrantfile", &COMMAND.replace("from-a", "another"));
    assert_eq!(home.run(["config"]).0, 3, "another file, another question");
}

#[test]
fn changes_of_this_computer_take_trust_too() {
    let home = TestHome::new();
    home.write("Vagrantfile", &format!("File.write('made-by-the-file', 'x')\n{PLAIN}"));
    let (code, _, err) = home.run(["validate"]);
    assert_eq!(code, 3);
    assert!(err.contains("wants to change") && err.contains("--trust"), "{err}");
    assert!(!home.project().join("made-by-the-file").exists());
}

#[test]
fn the_users_own_file_is_what_projects_start_from() {
    let home = TestHome::new();
    home.write(
        "Vagrantfile",
        "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.hostname = 'project'\n  \
        config.vm.network 'forwarded_port', guest: 1, host: 1001\nend\n",
    );
    let folder = home.home().join("config");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("Vagrantfile"),
        "Vagrant.configure('2') do |config|\n  config.vm.hostname = 'user'\n  config.vm.boot_timeout = 77\n  \
         config.vm.network 'forwarded_port', guest: 2, host: 1002\nend\n",
    )
    .unwrap();
    let machine = config(&home)["machines"][0].clone();
    assert_eq!((&machine["hostname"], &machine["boot_timeout"]), (&"project".into(), &77.into()));
    let hosts: Vec<_> =
        machine["forwarded_port"].as_array().unwrap().iter().map(|port| port["host"].as_u64()).collect();
    assert_eq!(hosts, [Some(1002), Some(1001)]);
    fs::write(folder.join("Vagrantfile"), "Vagrant.configure('2') { |config| config.vm.hostnam = 'x' }\n").unwrap();
    let (code, _, err) = home.run(["validate"]);
    assert_eq!(code, 3);
    assert!(err.contains("home/config/Vagrantfile:1: `config.vm.hostnam` is not known"), "{err}");
}

#[test]
fn import_writes_a_file_that_means_the_same() {
    let home = TestHome::new();
    home.write("Vagrantfile", PLAIN);
    let (_, before, _) = home.run(["config", "--json"]);
    let (code, out, _) = home.run(["import"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("# Written by `vbox-rs import` from Vagrantfile.\n"), "{out}");
    assert!(out.contains("#   Vagrantfile:4 the provisioner `ansible`: not supported yet\n"), "{out}");
    let (code, out, err) = home.run(["import", "--output", "Vagrantfile.toml"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("Vagrantfile.toml is written"), "{err}");
    let (code, _, err) = home.run(["import", "-o", "Vagrantfile.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("--force"), "{err}");
    // From now on the one in TOML is read.
    let (_, after, err) = home.run(["config", "--json"]);
    assert_eq!(err, "");
    assert_eq!(after.replace("Vagrantfile.toml", "Vagrantfile"), before);
}
