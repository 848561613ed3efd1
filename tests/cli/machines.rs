//! Machines that were never made.

use crate::home::TestHome;

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

#[test]
fn a_machine_that_is_not_made_yet_is_told_with_the_provider_that_it_will_have() {
    let home = TestHome::new();
    home.write("Vagrantfile", "box = \"acme/x\"\n[machines.web]\n[machines.db]\nprovider = \"libvirt\"\n");
    let providers = |default: &str| {
        let output = home.cmd(["status", "--json"]).env("VAGRANT_DEFAULT_PROVIDER", default).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let machines = status["machines"].as_array().unwrap().iter();
        let mut all: Vec<_> = machines
            .map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["provider"].as_str().unwrap()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(providers("virtualbox"), ["db libvirt", "web virtualbox"]);
    assert_eq!(providers("vmware_desktop"), ["db libvirt", "web qemu"]);
}
