//! What a user sees of the command line without any hypervisor.

#![expect(clippy::unwrap_used, clippy::similar_names, reason = "in a test a panic is the message")]

#[path = "support/home.rs"]
mod home;

use std::io::Write;
use std::process::Stdio;

use home::TestHome;
use snapbox::{Assert, Data};

/// Compares with a file of `tests/snapshots/`; `SNAPSHOTS=overwrite` writes it anew.
fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/tests/snapshots/{name}", env!("CARGO_MANIFEST_DIR"));
    Assert::new().action_env("SNAPSHOTS").eq(text.to_owned(), Data::read_from(path.as_ref(), None));
}

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
fn without_a_machine_file_commands_say_how_to_get_one() {
    let home = TestHome::new();
    for command in ["up", "status", "halt", "ssh", "ssh-config", "port", "validate", "config", "reload", "timings"] {
        let (code, out, err) = home.run([command]);
        assert_eq!((code, out.as_str()), (3, ""), "{command}");
        assert!(
            err.starts_with("error: no machine file in [ROOT]/project or any directory above it\n  hint: "),
            "{err}"
        );
        assert!(err.contains("`vbox-rs init`"), "{err}");
    }
}

#[test]
fn an_error_is_a_json_object_with_json() {
    let (code, out, err) = TestHome::new().run(["status", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, object["type"].as_str(), object["exit"].as_u64()), (3, Some("error"), Some(3)));
    assert_eq!(object["message"], "no machine file in [ROOT]/project or any directory above it");
    assert!(object["hint"].is_string());
    assert!(err.starts_with("error: "), "people are told too");
}

#[test]
fn what_init_writes_is_valid() {
    for template in ["default", "web", "docker", "multi"] {
        for minimal in [false, true] {
            let home = TestHome::new();
            let flags = if minimal { vec!["-m"] } else { vec![] };
            let (code, _, err) = home.run([vec!["init", "me/box", "--template", template], flags].concat());
            assert_eq!(code, 0, "{err}");
            assert_eq!(err, "Vagrantfile is written; `vbox-rs up` makes the machine\n");
            let (code, out, err) = home.run(["validate", "--ignore-provider"]);
            assert_eq!((code, err.as_str()), (0, ""), "{template}");
            assert!(out.starts_with("[ROOT]/project/Vagrantfile is valid: "), "{out}");
            let (code, out, _) = home.run(["config", "--json"]);
            let project: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!((code, &project["machines"][0]["box"]), (0, &"me/box".into()));
        }
    }
}

#[test]
fn init_never_overwrites_without_force() {
    let home = TestHome::new();
    let file = home.write("Vagrantfile", "mine\n");
    let (code, _, err) = home.run(["init"]);
    assert_eq!(code, 2);
    assert_eq!(
        err,
        "error: [ROOT]/project/Vagrantfile exists\n  hint: use --force to overwrite it, or --output to write another file\n"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine\n");
    assert_eq!(home.run(["init", "--force", "-q"]), (0, String::new(), String::new()));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), "mine\n");
    let names: Vec<_> = std::fs::read_dir(home.project()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["Vagrantfile"], "no temporary file is left");
}

#[test]
fn init_writes_to_standard_output() {
    let home = TestHome::new();
    let (code, out, _) = home.run(["init", "--output", "-", "-m"]);
    assert_eq!(code, 0);
    assert!(out.contains("box = \"debian/bookworm64\""), "{out}");
    assert!(!home.project().join("Vagrantfile").exists());
}

#[test]
fn init_offers_the_nearest_template() {
    let (code, _, err) = TestHome::new().run(["init", "--template", "wbe"]);
    assert_eq!((code, err.as_str()), (2, "error: no template named `wbe`\n  hint: did you mean `web`?\n"));
}

#[test]
fn problems_of_the_machine_file_are_shown_with_carets_and_all_at_once() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"debian/bookworm64\"\ncpu = 2\nmemory = true\n");
    for command in ["validate", "up", "status", "config"] {
        let (code, out, err) = home.run([command]);
        assert_eq!((code, out.as_str()), (3, ""), "{command}");
        assert_snapshot("broken-machine-file.txt", &err);
    }
    let (code, out, _) = home.run(["validate", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 3);
    assert_eq!(object["message"], "[ROOT]/project/Vagrantfile has 2 errors");
    let lines: Vec<_> = object["problems"].as_array().unwrap().iter().map(|problem| problem["line"].as_u64()).collect();
    assert_eq!(lines, [Some(2), Some(3)]);
}

#[test]
fn what_the_machine_file_names_must_be_there_before_anything_starts() {
    let home = TestHome::new();
    home.write(
        "Vagrantfile",
        "box = \"x/y\"\n[[provision]]\ntype = \"shell\"\npath = \"setup.sh\"\n[[synced_folder]]\nhost = \
         \"data\"\nguest = \"/data\"\n",
    );
    let (code, _, err) = home.run(["up"]);
    assert_eq!(code, 3, "{err}");
    let message = "error: the machine file names what is not there: script [ROOT]/project/setup.sh of provisioner \
                   `shell-1`; folder [ROOT]/project/data for /data\n  hint: nothing was started";
    assert!(err.contains(message) && err.contains("--> Vagrantfile:4:8"), "{err}");
    assert_eq!(home.run(["status"]).2, "", "whoever only looks is not told");
    assert_eq!(home.run(["up", "--no-provision"]).0, 3, "the folder is missing still");
    std::fs::create_dir(home.project().join("data")).unwrap();
    assert_eq!(home.run(["up", "--no-provision"]).0, 4, "now it is the box");
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
fn the_machine_file_is_found_from_below_by_flag_and_by_variable() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\n");
    let below = home.project().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let found = |command: snapbox::cmd::Command| command.output().unwrap().status.code() == Some(0);
    assert!(found(home.cmd(["config"]).current_dir(&below)));
    assert!(!found(home.cmd(["config"]).current_dir(elsewhere.path())));
    assert!(found(home.cmd(["config"]).current_dir(elsewhere.path()).env("VBOX_RS_CWD", &below)));
    assert!(found(home.cmd(["config", "-C"]).arg(&below).current_dir(elsewhere.path())));
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
fn an_empty_library_says_how_to_fill_it() {
    let home = TestHome::new();
    let said = "there are no boxes; `vbox-rs box add` or `vbox-rs up` fetches one\n";
    assert_eq!(home.run(["box", "list"]), (0, String::new(), said.into()));
    assert_eq!(home.run(["box", "list", "--json"]).0, 0);
    let expected = "error: no box named `x/y`\n  hint: `vbox-rs box list` lists the boxes on this computer, \
                    `vbox-rs box search WORD` what can be had\n";
    assert_eq!(home.run(["box", "info", "x/y"]), (4, String::new(), expected.into()));
    assert_eq!(home.run(["box", "remove", "x/y"]), (4, String::new(), expected.into()));
}

#[test]
fn the_catalogue_is_searched_without_a_network() {
    let home = TestHome::new();
    let (code, out, err) = home.run(["box", "search", "ubuntu", "16.04"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_snapshot("box-search.txt", &out);
    let (code, out, err) = home.run(["box", "search", "debian/bookworm64"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("`box build`") && out.contains("until 2028-06"), "{out}");
    let (code, out, _) = home.run(["box", "search", "alma", "arm64", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["catalogue"][0]["name"]), (0, &"almalinux/8".into()));
    assert_eq!(found["library"], serde_json::json!([]));
    let nothing = "nothing holds zx and spectrum; a URL or a file can be added too\n";
    assert_eq!(home.run(["box", "search", "zx", "spectrum"]), (0, String::new(), nothing.into()));
    assert!(!home.home().exists(), "nothing was made");
}

#[test]
fn a_box_that_is_not_here_is_told_of_from_the_catalogue() {
    let home = TestHome::new();
    let (code, out, err) = home.run(["box", "info", "generic/ubuntu1604"]);
    assert_eq!((code, err.as_str()), (0, "`generic/ubuntu1604` is not on this computer yet\n"));
    assert_snapshot("box-info-catalogue.txt", &out);
    let (code, out, _) = home.run(["box", "info", "fedora/40-cloud-base", "--json"]);
    let known: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &known["catalogue"]["ended"]), (0, &true.into()));
    assert_eq!(known["offers"][0]["architecture"], "amd64");
    assert_eq!(home.run(["box", "info", "generic/ubuntu1604", "--box-version", "4.3.12"]).0, 4);

    let catalogue = home.home().join("config/catalogue");
    std::fs::create_dir_all(&catalogue).unwrap();
    std::fs::write(catalogue.join("mine.toml"), "name = \"me/mine\"\ntitel = 1\n").unwrap();
    let (code, _, err) = home.run(["box", "info", "me/mine"]);
    assert_eq!(code, 1);
    assert!(err.contains("config/catalogue/mine.toml is broken: line 2: unknown field `titel`"), "{err}");
}

#[test]
fn doctor_reports_in_json_too() {
    let (_, out, _) = TestHome::new().run(["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["providers"][0]["provider"], "qemu");
    assert!(report["usable"].is_boolean());
    assert!(report["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
}

#[test]
fn validate_names_a_provider_that_is_not_there_yet() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\nprovider = \"libvirt\"\n");
    let (code, out, err) = home.run(["validate"]);
    assert_eq!(code, 8);
    assert!(out.starts_with("default: problem: this vbox-rs cannot drive libvirt yet\n"), "{out}");
    assert_eq!(err, "error: the machine file asks for what its provider cannot do\n");
    let (code, out, _) = home.run(["validate", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["valid"].as_bool()), (8, Some(false)));
}

#[test]
fn a_box_is_added_and_listed() {
    let home = TestHome::new();
    let mut image = vec![0; 1 << 20];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(home.project().join("disk.img"), image).unwrap();
    let (code, out, err) = home.run(["box", "add", "--name", "me/raw", "--json", "disk.img"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["box"]["name"]), (&"result".into(), &"me/raw".into()));
    let (code, out, _) = home.run(["box", "list"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("NAME    VERSION  PROVIDER  ARCH  SIZE      SHARED\nme/raw  0        "), "{out}");
    let (code, out, err) = home.run(["box", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str(), &list["boxes"][0]["name"]), (0, "", &"me/raw".into()));
    assert_eq!(home.run(["box", "add", "--name", "me/raw", "disk.img"]).0, 1, "it is there");
}

/// Adds a raw image; its content differs with `seed`.
fn add_box(home: &TestHome, name: &str, version: &str, seed: u8) {
    let mut image = vec![seed; 8192];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(home.project().join("disk.img"), image).unwrap();
    let (code, _, err) = home.run(["box", "add", "--name", name, "--box-version", version, "disk.img"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn old_boxes_are_pruned_only_after_a_question_or_by_force() {
    let home = TestHome::new();
    assert_eq!(home.run(["box", "prune"]), (0, String::new(), "there are no old boxes to remove\n".into()));
    for (version, seed) in [("1.2", 1), ("1.10", 2), ("2.0", 3)] {
        add_box(&home, "me/box", version, seed);
    }
    let table = "NAME    VERSION  PROVIDER  ARCH\nme/box  1.2      qemu      -\nme/box  1.10     qemu      -\n";
    let said = "2 boxes would be removed\n";
    assert_eq!(home.run(["box", "prune", "--dry-run"]), (0, table.into(), said.into()));
    let (code, out, err) = home.run(["box", "prune"]);
    assert_eq!((code, out.as_str()), (2, table), "nobody can answer");
    assert!(err.contains("cannot ask whether to remove 2 old boxes") && err.contains("--force"), "{err}");
    let (code, out, _) = home.run(["box", "prune", "--force", "--json"]);
    let pruned: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((code, pruned["pruned"]["removed"].as_array().unwrap().len()), (0, 2));
    assert!(pruned["pruned"]["freed"].as_u64().unwrap() > 0);
    let (_, out, _) = home.run(["box", "list"]);
    assert!(out.contains("2.0") && !out.contains("1.10"), "{out}");
}

#[test]
fn removing_one_of_several_boxes_asks_which() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    add_box(&home, "me/box", "2", 2);
    let (code, _, err) = home.run(["box", "remove", "me/box"]);
    assert_eq!(code, 2);
    assert!(err.contains("several boxes named `me/box`: 1 for qemu and 2 for qemu"), "{err}");
    let (code, _, err) = home.run(["box", "remove", "me/box", "--box-version", "1"]);
    assert_eq!((code, err.as_str()), (0, "box `me/box` 1 is removed\n8.0 KiB are free again\n"));
    assert_eq!(home.run(["box", "remove", "me/box", "--architecture", "arm64"]).0, 4);
    assert_eq!(home.run(["box", "remove", "me/box", "--all"]).0, 0);
}

#[test]
fn a_damaged_box_is_told_with_the_code_of_checksums() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    let (code, out, err) = home.run(["box", "verify"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "1 file of 1 box read (8.0 KiB): all is well\n"));
    assert_eq!(home.run(["box", "verify", "no/such"]).0, 4);
    let disk = std::fs::read_dir(home.home().join("boxes/disks")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&disk).unwrap();
    let (code, out, err) = home.run(["box", "verify", "me/box"]);
    assert_eq!((code, err.as_str()), (5, "1 file of 1 box read (0 B): 1 problem\n"));
    assert!(out.starts_with("missing [ROOT]/home/boxes/disks/") && out.contains("\n  boxes     me/box 1\n"), "{out}");
    assert!(out.contains("  mend      vbox-rs box add --force --name me/box --box-version 1 [ROOT]/"), "{out}");
    let (code, out, _) = home.run(["box", "verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((code, &report["verified"]["findings"][0]["trouble"]), (5, &"missing".into()));
}

#[test]
fn what_boxes_share_is_shown() {
    let home = TestHome::new();
    add_box(&home, "me/one", "1", 1);
    add_box(&home, "me/two", "1", 1);
    add_box(&home, "you/three", "1", 3);
    let (_, out, _) = home.run(["box", "list", "me/"]);
    let row = |name: &str| format!("{name}  1        qemu      -     8.0 KiB  8.0 KiB\n");
    let heading = "NAME    VERSION  PROVIDER  ARCH  SIZE     SHARED\n";
    assert_eq!(out, format!("{heading}{}{}", row("me/one"), row("me/two")));
    let (_, out, _) = home.run(["box", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&list["total_size"], &list["boxes"][0]["shared_size"]), (&16384.into(), &8192.into()));
    assert_eq!(
        home.run(["box", "list", "--provider", "libvirt"]).2,
        "no box is like that; `vbox-rs box list` lists all\n"
    );
    let (_, out, _) = home.run(["box", "info", "me/one"]);
    assert!(out.contains("on this disk    8.0 KiB, 8.0 KiB of it shared\nshares with     me/two 1\n"), "{out}");
    let said = "box `me/one` 1 is removed\nits files stay: other boxes or machines need them\n";
    assert_eq!(home.run(["box", "remove", "me/one"]), (0, String::new(), said.into()));
}

#[test]
fn garbage_is_listed_before_it_goes() {
    let home = TestHome::new();
    assert_eq!(home.run(["box", "gc"]), (0, String::new(), "there is nothing to remove\n".into()));
    let disks = home.home().join("boxes/disks");
    std::fs::create_dir_all(&disks).unwrap();
    let orphan = disks.join(format!("{}.qcow2", "a".repeat(64)));
    std::fs::write(&orphan, [1; 100]).unwrap();
    let (code, out, err) = home.run(["box", "gc", "-n"]);
    assert_eq!((code, err.as_str()), (0, "1 thing would be removed, and 4.0 KiB free again\n"));
    assert!(out.contains("unneeded disk  4.0 KiB  [ROOT]/home/boxes/disks/aaa"), "{out}");
    assert!(orphan.exists());
    std::fs::create_dir_all(home.home().join("machines").join("1".repeat(32))).unwrap();
    let record = home.home().join("machines").join("1".repeat(32)).join("machine.json");
    std::fs::write(&record, "{").unwrap();
    let (code, _, err) = home.run(["box", "gc"]);
    assert!(
        code == 0 && orphan.exists() && err.contains("no disk is removed: the record of machine 11111111"),
        "{err}"
    );
    std::fs::remove_file(&record).unwrap();
    assert_eq!(home.run(["box", "gc"]).2, "1 thing removed; 4.0 KiB are free again\n");
    assert!(!orphan.exists());
}

#[test]
fn boxes_without_a_publisher_have_no_newer_version() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    let (code, out, err) = home.run(["box", "outdated", "--global"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("me/box  1        qemu      -     (its source publishes no versions)"), "{out}");
    assert_eq!(home.run(["box", "outdated"]).0, 3, "without --global it is about the project");
    home.write("Vagrantfile", "box = \"me/box\"\n[machines.web]\n[machines.db]\nbox = \"no/such\"\n");
    let (code, out, err) = home.run(["box", "outdated"]);
    assert_eq!((code, out.lines().count()), (0, 2));
    assert_eq!(err, "machine `db`: box `no/such` is not on this computer; `vbox-rs up` fetches it\n");
    let (code, _, err) = home.run(["box", "update", "--box", "me/box"]);
    assert!(code == 0 && err.ends_with("disk.img, which publishes no versions\n"), "{err}");
    assert_eq!(home.run(["box", "update", "--box", "no/such"]).0, 4);
}

#[test]
fn a_box_is_written_again_only_over_nothing() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    assert_eq!(home.run(["box", "repackage", "me/box", "libvirt", "1"]).0, 4, "it is for qemu");
    std::fs::write(home.project().join("package.box"), "mine").unwrap();
    let (code, _, err) = home.run(["box", "repackage", "me/box", "qemu", "1"]);
    assert_eq!((code, err.lines().next()), (2, Some("error: package.box exists")));
    let (code, _, err) = home.run(["box", "repackage", "me/box", "qemu", "1", "--output", "x.box"]);
    assert!(code == 0 && err.starts_with("x.box is written"), "{err}");
    assert!(home.project().join("x.box").exists());
}

#[test]
fn a_machine_that_the_file_does_not_name_is_code_7() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\n[machines.web]\n[machines.db]\n");
    for command in ["status", "halt", "ssh", "port", "logs"] {
        let (code, out, err) = home.run([command, "wbe"]);
        assert_eq!((code, out.as_str()), (7, ""), "{command}: {err}");
        assert!(err.starts_with("error: no machine is called `wbe`\n  hint: "), "{err}");
    }
}

#[test]
fn machines_that_were_never_made_are_listed_and_cost_nothing() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"x/y\"\n[machines.web]\n[machines.db]\n");
    let (code, out, err) = home.run(["status"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out.lines().map(|line| line.split_whitespace().next()).collect::<Vec<_>>(),
        [Some("NAME"), Some("web"), Some("db")]
    );
    assert!(out.contains("not created"), "{out}");
    let (code, out, _) = home.run(["status", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["machines"][1]["state"]), (0, &"not created".into()));
    assert_eq!(home.run(["destroy"]).0, 0, "no question when there is nothing to lose");
    assert_eq!(home.run(["global-status"]).1, "");
    assert!(!home.home().join("machines").exists(), "nothing was made");
}

#[test]
fn programs_that_know_vagrants_lines_are_served() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"acme/x\"\n[machines.web]\n[machines.db]\n");
    let lines = |args: &[&str]| {
        let (code, out, err) = home.run([args, &["--machine-readable"]].concat());
        let lines = out.lines().map(|line| {
            let (time, rest) = line.split_once(',').unwrap();
            assert!(time.parse::<u64>().is_ok(), "{line}");
            rest.to_owned()
        });
        (code, lines.collect::<Vec<_>>(), err)
    };
    let (code, out, err) = lines(&["status"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = ["state,not_created", "state-human-short,not created", "state-human-long,not created"];
    let expected: Vec<_> =
        ["web", "db"].iter().flat_map(|name| expected.map(|rest| format!("{name},{rest}"))).collect();
    let mut out: Vec<_> = out.into_iter().filter(|line| line.contains(",state")).collect();
    out.sort();
    let mut expected = expected;
    expected.sort();
    assert_eq!(out, expected);
    assert_eq!(lines(&["global-status"]).1, [",metadata,machine-count,0"]);
    assert_eq!(lines(&["version"]).1, [format!(",version-installed,{}", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(lines(&["box", "list"]).1, [""; 0]);
    let (code, out, err) = lines(&["ssh-config", "nobody"]);
    assert_ne!(code, 0);
    assert!(out[0].starts_with(",error-exit,") && out[0].contains("nobody"), "{out:?}");
    assert!(err.contains("nobody"), "{err}");
    assert_eq!(home.run(["status", "--json", "--machine-readable"]).0, 2);
}
