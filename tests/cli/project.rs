//! The machine file: made, found, wrong.

use crate::assert_snapshot;
use crate::home::TestHome;

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
