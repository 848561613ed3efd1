//! What each reader of a seed gets, word for word.

use snapbox::IntoData as _;

use super::*;
use crate::guest::seed::{Flavour, files};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vbox-rs: \"web\"";

fn seed(flavour: Flavour) -> Seed<'static> {
    Seed {
        instance_id: "0123",
        hostname: Some("web.example.com"),
        user: "vagrant",
        authorized_key: KEY,
        host_key: None,
        flavour,
        mac: "52:54:00:01:02:03",
    }
}

fn host_key() -> (String, String) {
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn/+Nz==\n-----END OPENSSH PRIVATE KEY-----\n".into(), KEY.into())
}

fn shown(files: &[(&str, String)]) -> String {
    files.iter().map(|(name, text)| format!("== {name}\n{text}")).collect::<Vec<_>>().concat()
}

/// Without the scripts, which have tests of their own.
fn without_scripts(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.retain(|line| !line.trim_start().starts_with("\"k=") && !line.trim_start().starts_with("\"for u in"));
    lines.join("\n") + "\n"
}

#[test]
fn modern_cloud_init_gets_users_keys_and_network() {
    snapbox::assert_data_eq!(
        without_scripts(&shown(&modern(&seed(Flavour::Modern), Some(&host_key())))),
        snapbox::str![[r#"
== meta-data
{
  "instance-id": "0123",
  "local-hostname": "web.example.com"
}
== user-data
#cloud-config
{
  "users": [
    "default",
    {
      "name": "vagrant",
      "sudo": "ALL=(ALL) NOPASSWD:ALL",
      "lock_passwd": false,
      "passwd": "*",
      "ssh_authorized_keys": [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vbox-rs: \"web\""
      ]
    }
  ],
  "growpart": {
    "mode": "auto",
    "devices": [
      "/"
    ]
  },
  "resize_rootfs": true,
  "hostname": "web",
  "preserve_hostname": false,
  "manage_etc_hosts": "localhost",
  "fqdn": "web.example.com",
  "prefer_fqdn_over_hostname": true,
  "ssh_deletekeys": true,
  "ssh_keys": {
    "ed25519_private": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn/+Nz==\n-----END OPENSSH PRIVATE KEY-----\n",
    "ed25519_public": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vbox-rs: \"web\""
  },
  "runcmd": [
    [
      "sh",
      "-c",
    ]
  ]
}
== network-config
{
  "version": 1,
  "config": [
    {
      "type": "physical",
      "name": "eth0",
      "mac_address": "52:54:00:01:02:03",
      "subnets": [
        {
          "type": "dhcp"
        }
      ]
    }
  ]
}

"#]].raw()
    );
}

#[test]
fn old_cloud_init_gets_its_network_in_meta_data_and_no_host_key() {
    let files = old(&seed(Flavour::Old));
    snapbox::assert_data_eq!(
        shown(&files[..1]),
        snapbox::str![[r#"
== meta-data
{
  "instance-id": "0123",
  "local-hostname": "web.example.com",
  "network-interfaces": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"
}

"#]]
        .raw()
    );
    let mut rest = settings(&modern(&seed(Flavour::Modern), Some(&host_key())));
    for of_host_keys in ["ssh_deletekeys", "ssh_keys"] {
        rest.remove(of_host_keys).unwrap();
    }
    assert_eq!(settings(&files), rest);
}

/// What `user-data` says, but for the scripts.
fn settings(files: &[(&str, String)]) -> serde_json::Map<String, Value> {
    let (name, text) = &files[1];
    assert_eq!(*name, "user-data");
    let mut said: serde_json::Map<String, Value> =
        serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
    let scripts = said.remove("runcmd").unwrap();
    assert!(scripts[0][0] == "sh" && scripts[0][1] == "-c", "{scripts}");
    said
}

#[test]
fn nuageinit_gets_blocks_without_any_escape() {
    let files = nuageinit(&seed(Flavour::Nuageinit), Some(&host_key()));
    snapbox::assert_data_eq!(
        shown(&files),
        snapbox::str![[r#"
== meta-data
instance-id: "0123"
local-hostname: "web.example.com"
== user-data
#cloud-config
fqdn: "web.example.com"
users:
  - default
  - name: "vagrant"
    groups: "wheel"
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    ssh_authorized_keys:
      - "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y"
ssh_keys:
  ed25519_private: |
    -----BEGIN OPENSSH PRIVATE KEY-----
    b3Blbn/+Nz==
    -----END OPENSSH PRIVATE KEY-----
  ed25519_public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y"
packages:
  - "sudo"

"#]]
        .raw()
    );
    assert!(!shown(&files).contains('\\'));
}

#[test]
fn the_user_of_the_machine_file_comes_beside_vagrants() {
    let seed = Seed { user: "root", hostname: None, ..seed(Flavour::Modern) };
    let data = user_data(&seed);
    let names: Vec<_> = data["users"].as_array().unwrap().iter().map(|user| user["name"].as_str()).collect();
    assert_eq!(names, [None, Some("vagrant"), Some("root")]);
    assert_eq!(data["users"][0], "default");
    assert_eq!(data["disable_root"], false);
    assert!(data.get("hostname").is_none());
    assert!(nuageinit(&seed, None).iter().all(|(_, text)| !text.contains("ssh_keys") && !text.contains("fqdn")));
}

#[test]
fn only_what_a_reader_knows_lies_on_its_seed() {
    for (flavour, names) in [
        (Flavour::Modern, &["meta-data", "user-data", "network-config"][..]),
        (Flavour::Old, &["meta-data", "user-data"]),
        (Flavour::Nuageinit, &["meta-data", "user-data"]),
    ] {
        let files = files(&seed(flavour)).unwrap();
        assert_eq!(files.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    }
}

/// cloud-init reads with PyYAML; where that is installed, it must find what we meant.
#[test]
fn python_reads_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    for (flavour, files) in [
        ("modern", modern(&seed(Flavour::Modern), Some(&host_key()))),
        ("old", old(&seed(Flavour::Old))),
        ("nuageinit", nuageinit(&seed(Flavour::Nuageinit), Some(&host_key()))),
    ] {
        for (name, text) in files {
            std::fs::write(dir.path().join(format!("{flavour}-{name}")), text).unwrap();
        }
    }
    let program = "import yaml, sys, json, os\n\
                   print(json.dumps({f: yaml.safe_load(open(f)) for f in sorted(os.listdir('.'))}))";
    let output = std::process::Command::new("python3").args(["-c", program]).current_dir(&dir).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else { return };
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (private, _) = host_key();
    assert_eq!(read["modern-user-data"]["users"][1]["ssh_authorized_keys"][0], KEY);
    assert_eq!(read["modern-user-data"]["ssh_keys"]["ed25519_private"], private);
    assert_eq!(read["modern-network-config"]["config"][0]["mac_address"], "52:54:00:01:02:03");
    assert_eq!(read["modern-user-data"]["runcmd"][0][0], "sh");
    assert!(read["old-meta-data"]["network-interfaces"].as_str().unwrap().contains("\nauto eth0\n"));
    // Its own reader keeps words; the key's text must be the same either way.
    assert_eq!(read["nuageinit-user-data"]["ssh_keys"]["ed25519_private"], private);
    assert_eq!(read["nuageinit-meta-data"]["instance-id"], "0123");
    assert_eq!(read["nuageinit-user-data"]["users"][1]["name"], "vagrant");
}

#[test]
fn the_scripts_are_shell_and_make_what_users_would_have_made() {
    let strange = Seed { user: "deploy", authorized_key: "ssh-ed25519 AAAA it's \"mine\" $HOME", ..seed(Flavour::Old) };
    for script in [shells(&strange), HOST_KEYS.to_owned(), make_users(&strange)] {
        assert!(std::process::Command::new("sh").args(["-n", "-c", &script]).status().unwrap().success(), "{script}");
    }
    // With the programs that change the system replaced, on a home of our own.
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let fakes = format!(
        "id() {{ false; }}; useradd() {{ echo \"useradd $*\" >>{at}/calls; }}; chown() {{ :; }}; \
         getent() {{ echo \"$2:x:1:1::{at}/home/$2:/bin/sh\"; }}; mkdir -p {at}/etc/sudoers.d\n"
    );
    let script = make_users(&strange).replace("/etc/sudoers.d", &format!("{at}/etc/sudoers.d"));
    for _ in 0..2 {
        let line = format!("{fakes}{script}");
        assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }
    let read = |path: &str| std::fs::read_to_string(dir.path().join(path)).unwrap();
    assert_eq!(read("home/deploy/.ssh/authorized_keys"), "ssh-ed25519 AAAA it's \"mine\" $HOME\n");
    assert_eq!(read("etc/sudoers.d/vbox-rs-vagrant"), "vagrant ALL=(ALL) NOPASSWD:ALL\n");
    assert!(read("calls").starts_with("useradd -m -s /bin/bash vagrant\nuseradd -m -s /bin/bash deploy\n"));
}
