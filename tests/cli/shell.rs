//! What belongs to every command: help, completion, manual pages, flags, colours, exit codes.

use std::io::Write;
use std::process::Stdio;

use crate::assert_snapshot;
use crate::home::TestHome;

/// Every command with its subcommands: `["box", "add"]`.
fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, path: &[String], all: &mut Vec<Vec<String>>) {
        for sub in command.get_subcommands() {
            let path = [path, &[sub.get_name().to_owned()]].concat();
            collect(sub, &path, all);
            all.push(path);
        }
    }
    let mut all = Vec::new();
    collect(&vbox_rs::cli::command(), &[], &mut all);
    all
}

#[test]
fn every_help_is_as_it_was_reviewed() {
    let home = TestHome::new();
    for path in commands() {
        let help = [path.clone(), vec!["--help".into()]].concat();
        let (code, out, err) = home.run(&help);
        assert_eq!((code, err.as_str()), (0, ""), "{path:?}");
        assert_snapshot(&format!("help-{}.txt", path.join("-")), &out);
        let (code, same, _) = home.run([vec!["help".into()], path.clone()].concat());
        assert_eq!((code, same), (0, out), "help {path:?}");
    }
    let (code, out, _) = home.run(["--help"]);
    assert_eq!(code, 0);
    assert_snapshot("help.txt", &out);
}

#[test]
fn a_senseless_command_line_is_code_2() {
    let home = TestHome::new();
    let cases: [&[&str]; 8] = [
        &[],
        &["frobnicate"],
        &["up", "--provider", "hyperv"],
        &["exec", "web"],
        &["port", "--guest", "99999"],
        &["box"],
        &["completions", "tcsh"],
        &["help", "frobnicate"],
    ];
    for args in cases {
        let (code, out, err) = home.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(!err.is_empty(), "{args:?}");
    }
    assert!(!home.home().exists(), "nothing was made");
}

#[test]
fn a_misspelt_command_is_answered_with_the_nearest() {
    let (_, _, err) = TestHome::new().run(["statsu"]);
    assert!(err.contains("'status'"), "{err}");
}

#[test]
fn vagrants_flags_are_taken() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\n");
    let cases: &[&[&str]] = &[
        &["init", "-f", "-m", "--box-version", "1", "--output", "-", "a/b", "https://example.org/a.box"],
        &["up", "--no-provision", "--no-destroy-on-error", "--parallel", "--provider", "qemu", "--no-install-provider"],
        &["up", "--provision-with", "a,shell", "--destroy-on-error", "--no-parallel", "--install-provider"],
        &["halt", "-f"],
        &["reload", "-f", "--no-provision"],
        &["suspend", "-a"],
        &["resume", "--provision-with", "a"],
        &["destroy", "-f", "-g", "--no-parallel"],
        &["provision", "--provision-with", "a,b"],
        &["global-status", "--prune"],
        &["ssh", "-c", "true", "-t", "-p", "--no-tty", "--", "-v"],
        &["ssh-config", "--host", "x"],
        &["port", "--guest", "80"],
        &["package", "--output", "x.box", "--include", "a,b", "--info", "i.json", "--vagrantfile", "v.rb"],
        &["upload", "-t", "-c", "--compression-type", "tgz", "Vagrantfile"],
        &["validate", "-p"],
        &["box", "list", "-i"],
        &["box", "add", "-f", "-a", "amd64", "--provider", "libvirt", "--box-version", "1", "--name", "a", "none.box"],
        &["box", "remove", "-f", "--all", "--provider", "libvirt", "a"],
        &["box", "remove", "--box-version", "1", "--all-providers", "--all-architectures", "a"],
        &["box", "remove", "--architecture", "amd64", "--provider", "virtualbox", "a"],
        &["box", "outdated", "--global", "-f"],
        &["box", "update", "-f", "--box", "a", "--provider", "libvirt", "--architecture", "amd64"],
        &["box", "prune", "-n", "-f", "-k", "-p", "libvirt", "--name", "a"],
        &["box", "repackage", "a", "libvirt", "1"],
    ];
    for args in cases {
        let (_, _, err) = home.run(*args);
        assert!(!err.contains("unexpected argument") && !err.contains("Usage:"), "{args:?}: {err}");
    }
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    let home = TestHome::new();
    let colored = |command: snapbox::cmd::Command| command.output().unwrap().stderr.contains(&0x1b);
    assert!(!colored(home.cmd(["status"])));
    assert!(colored(home.cmd(["status", "--color"])));
    assert!(colored(home.cmd(["status"]).env("CLICOLOR_FORCE", "1")));
    assert!(!colored(home.cmd(["status"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(!colored(home.cmd(["status", "--no-color"]).env("CLICOLOR_FORCE", "1")));
}

#[test]
fn completion_scripts_parse() {
    let home = TestHome::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, err) = home.run(["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        assert!(script.contains("global-status") && script.lines().count() > 50, "{shell}");
        let Ok(mut child) = std::process::Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn() else {
            assert_ne!(shell, "bash", "bash is everywhere");
            continue;
        };
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{shell} -n");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let home = TestHome::new();
    let dir = home.project().join("man1");
    let (code, _, _) = home.run(["man", "--dir", dir.to_str().unwrap()]);
    assert_eq!(code, 0);
    for path in commands() {
        let name = format!("vbox-rs-{}", path.join("-"));
        let page = std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
        let (code, printed, _) = home.run([vec!["man".into()], path].concat());
        assert_eq!((code, printed), (0, page));
    }
    assert!(dir.join("vbox-rs.1").exists());
}

#[test]
fn the_table_of_exit_codes_is_as_it_was_reviewed() {
    let (code, out, _) = TestHome::new().run(["help", "exit-codes"]);
    assert_eq!(code, 0);
    assert_snapshot("exit-codes.txt", &out);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = TestHome::new();
    for args in [&["help", "exit-codes"][..], &["completions", "bash"], &["--help"], &["man"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = std::process::Command::new(snapbox::cmd::cargo_bin!("vbox-rs"))
            .args(args)
            .env("VBOX_RS_HOME", home.home())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn the_version_is_told_in_three_ways() {
    let home = TestHome::new();
    let version = env!("CARGO_PKG_VERSION");
    for flag in ["--version", "-v", "-V"] {
        assert_eq!(home.run([flag]).1, format!("vbox-rs {version}\n"));
    }
    assert!(home.run(["version"]).1.starts_with(&format!("vbox-rs {version}")));
    let object: serde_json::Value = serde_json::from_str(&home.run(["version", "--json"]).1).unwrap();
    assert_eq!(object["version"], version);
}

#[test]
fn doctor_reports_in_json_too() {
    let (_, out, _) = TestHome::new().run(["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["providers"][0]["provider"], "qemu");
    assert!(report["usable"].is_boolean());
    assert!(report["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
}
