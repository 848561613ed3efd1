//! What a user sees for a whole file.

use std::path::Path;

use proptest::prelude::*;

use super::spec::{Action, MachineSpec, Moment, ProvisionerKind, RunPolicy, Script};
use super::*;
use crate::error::{Exit, Explain};

fn read(text: &str) -> Result<(Project, Vec<Problem>), Error> {
    parse(text, Path::new("/p/Vagrantfile"), Path::new("/p"))
}

fn project(text: &str) -> Project {
    match read(text) {
        Ok((project, warnings)) => {
            assert_eq!(warnings, [], "{text}");
            project
        }
        Err(error) => panic!("{error}"),
    }
}

fn machine(text: &str) -> MachineSpec {
    project(text).machines.remove(0)
}

/// What a project means, without where it is written and what it leaves to defaults.
fn meaning(project: &Project) -> serde_json::Value {
    serde_json::to_value(project).unwrap()
}

/// `line: message` of every problem.
fn told(text: &str) -> Vec<String> {
    let problems = match read(text) {
        Ok((_, warnings)) => warnings,
        Err(Error::Invalid { problems, .. }) => problems,
        Err(error) => panic!("{error}"),
    };
    problems.iter().map(|p| format!("{}: {}", p.position().map_or(0, |(line, _)| line), p.message)).collect()
}

fn help_of(text: &str) -> String {
    match read(text) {
        Err(Error::Invalid { problems, .. }) => problems[0].help.clone().unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_file_is_a_box() {
    let machine = machine("box = 'debian/bookworm64'");
    assert_eq!(machine.name, "default");
    assert_eq!(machine.box_name.as_deref(), Some("debian/bookworm64"));
    assert_eq!((machine.boot_timeout, machine.graceful_halt_timeout), (300, 60));
    assert_eq!(machine.usable_port_range, (2200, 2250));
    assert!(machine.autostart && machine.ssh.insert_key);
    let folder = &machine.synced_folders[0];
    assert_eq!((folder.host.to_str(), folder.guest.as_str(), folder.kind), (Some("/p"), "/vagrant", None));
}

#[test]
fn a_box_has_one_address_or_several_and_each_must_be_one() {
    let urls = |value: &str| machine(&format!("box = 'a'\nbox_url = {value}")).box_url;
    assert_eq!(urls("'https://a/x.box'"), ["https://a/x.box"]);
    assert_eq!(urls("['https://a/x.box', 'x.box']"), ["https://a/x.box", "/p/x.box"]);
    assert!(urls("[]").is_empty());
    let wrong = told("box = 'a'\nbox_url = ['https://a/x.box',\n'ftp://a/x.box', 'http://b']");
    assert_eq!(wrong, ["3: bad value of `box_url`"]);
    assert_eq!(told("box = 'a'\nbox_url = 3").len(), 1);
    let inherited =
        project("box = 'a'\nbox_url = ['http://a', 'http://b']\n[machines.x]\n[machines.y]\nbox = 'other'\n");
    assert_eq!((inherited.machines[0].box_url.len(), inherited.machines[1].box_url.len()), (2, 0));
}

#[test]
fn sizes_are_mib_for_memory_and_bytes_for_the_disk() {
    for (text, memory, disk) in [
        ("memory = 2048\ndisk = 20480", 2048, 20 << 30),
        ("memory = '2 GiB'\ndisk = '20GB'", 2048, 20 << 30),
        ("memory = '2048M'\ndisk = '1.5T'", 2048, 3 << 39),
        ("memory = 0x800\ndisk = 1_024", 2048, 1 << 30),
    ] {
        let machine = machine(&format!("box = 'a'\n{text}"));
        assert_eq!((machine.memory, machine.disk), (Some(memory), Some(disk)), "{text}");
    }
    assert_eq!(told("box = 'a'\nmemory = 2\ndisk = 20"), ["2: `memory` is only 2 MiB", "3: `disk` is only 20 MiB"]);
}

#[test]
fn machines_inherit_lists_and_override_values() {
    let project = project(
        "box = 'a'\ncpus = 1\nbox_version = '1'\n[ssh]\nforward_agent = true\nusername = 'me'\n[[provision]]\ntype = 'shell'\ninline = 'x'\n\
         [provider_options.qemu]\nextra_args = ['-a']\n\
         [machines.web]\ncpus = 2\n[machines.web.ssh]\nusername = 'you'\n[[machines.web.provision]]\ntype = 'file'\nsource = 'f'\n\
         destination = 'g'\n[machines.web.provider_options.qemu]\naccel = 'tcg'\nextra_args = ['-b']\n\
         [machines.db]\nbox = 'b'\ndepends_on = ['web', 'web']\nprimary = true\nautostart = false\n",
    );
    let (web, db) = (project.machine("web").unwrap(), project.machine("db").unwrap());
    assert_eq!((web.cpus, db.cpus), (Some(2), Some(1)));
    assert_eq!(
        (web.box_version.as_deref(), db.box_version.as_deref()),
        (Some("1"), None),
        "the version is another box's"
    );
    assert_eq!((web.ssh.username.as_deref(), db.ssh.username.as_deref()), (Some("you"), Some("me")));
    assert!(web.ssh.forward_agent && web.autostart && !db.autostart);
    let names: Vec<_> = web.provisioners.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["shell-1", "file-2"]);
    assert_eq!(db.provisioners.len(), 1);
    assert_eq!(web.provider_options.qemu.extra_args, ["-a", "-b"]);
    assert_eq!(db.depends_on, ["web"]);
    assert_eq!(project.primary().unwrap().name, "db");
}

#[test]
fn a_folder_at_the_same_place_replaces_the_inherited_one() {
    let project = project(
        "box = 'a'\n[[synced_folder]]\nhost = 'src'\nguest = '/src/'\n\
         [machines.a]\n[[machines.a.synced_folder]]\nguest = '/vagrant'\ndisabled = true\n\
         [machines.b]\n[[machines.b.synced_folder]]\nhost = '/other'\nguest = '/src'\ntype = '9p'\n\
         [machines.c]\n[[machines.c.synced_folder]]\nhost = '..'\nguest = '/vagrant'\n",
    );
    let folders = |name: &str| -> Vec<String> {
        let folders = &project.machine(name).unwrap().synced_folders;
        folders.iter().map(|f| format!("{} {} {}", f.host.display(), f.guest, f.kind.unwrap_or_default())).collect()
    };
    assert_eq!(folders("a"), ["/p/src /src rsync"]);
    assert_eq!(folders("b"), ["/p /vagrant rsync", "/other /src 9p"]);
    assert_eq!(folders("c"), ["/p/.. /vagrant rsync", "/p/src /src rsync"]);
}

#[test]
fn a_shell_provisioner_keeps_everything() {
    let machine = machine(
        "box = 'a'\n[[provision]]\nname = 'p'\ntype = 'shell'\nrun = 'always'\npath = 'x.sh'\nargs = ['1', '']\n\
         env = { Z = 'z', A = 1, B = true }\nprivileged = false\nreboot = true\nsensitive = true\n",
    );
    let provisioner = &machine.provisioners[0];
    assert_eq!((provisioner.name.as_str(), provisioner.run), ("p", RunPolicy::Always));
    let ProvisionerKind::Shell(shell) = &provisioner.kind else { panic!("{provisioner:?}") };
    assert_eq!(shell.script, Script::Path("/p/x.sh".into()));
    assert_eq!(shell.args, ["1", ""]);
    let env: Vec<_> = shell.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["Z=z", "A=1", "B=true"]);
    assert!(!shell.privileged && shell.reboot && shell.sensitive);
}

#[test]
fn one_run_tells_all_problems_in_the_order_of_the_file() {
    let text = "box = 1\ncpu = 2\nmemory = '2 gigs'\nhostname = 'my_web'\nprovider = 'quemu'\nboot_timeout = 0\n\
                [[forwarded_port]]\nguest = 70000\nhost_ip = 'localhost'\n[[provision]]\ntype = 'shel'\n\
                [[synced_folder]]\nhost = '.'\nguest = 'app'\n[sssh]\nx = 1\n";
    assert_eq!(
        told(text),
        [
            "1: wrong type of `box`",
            "2: unknown key `cpu` in the file",
            "3: bad value of `memory`",
            "4: bad value of `hostname`",
            "5: bad value of `provider`",
            "6: bad value of `boot_timeout`",
            "8: bad value of `guest`",
            "9: bad value of `host_ip`",
            "11: bad value of `type`",
            "14: bad value of `guest`",
            "15: unknown key `sssh` in the file",
        ]
    );
}

#[test]
fn single_mistakes_are_told_at_their_line() {
    for (text, expected) in [
        ("", vec!["0: there is no `box`"]),
        ("[machines.web]\ncpus = 1", vec!["1: machine `web` has no box"]),
        ("box = 'a'\nbox_version = 'latest'", vec!["2: bad value of `box_version`"]),
        ("box = 'a'\nbox_checksum = 'sha256:1'", vec!["2: bad value of `box_checksum`"]),
        ("box = 'a'\ncpus = 0", vec!["2: bad value of `cpus`"]),
        ("box = 'a'\ncpus = 99999999999999999999", vec!["2: bad value of `cpus`"]),
        ("box = 'a'\ncpus = '2'", vec!["2: wrong type of `cpus`"]),
        ("box = 'a'\nmemory = -1", vec!["2: bad value of `memory`"]),
        ("box = 'a'\nmemory = 1.5", vec!["2: wrong type of `memory`"]),
        ("box = 'a'\nusable_port_range = [3, 2]", vec!["2: bad value of `usable_port_range`"]),
        ("box = 'a'\nusable_port_range = 3", vec!["2: wrong type of `usable_port_range`"]),
        ("box = 'a'\nhostname = \"a\\u0000\"", vec!["2: bad value of `hostname`"]),
        ("box = 'a'\n[forwarded_port]\nguest = 80", vec!["2: wrong type of `forwarded_port`"]),
        ("box = 'a'\n[[forwarded_port]]\nhost = 80", vec!["2: [[forwarded_port]] needs `guest`"]),
        ("box = 'a'\n[[private_network]]\nip = '1.2.3.4/24'", vec!["3: bad value of `ip`"]),
        ("box = 'a'\n[[private_network]]\nprefix = 24", vec!["3: bad value of `prefix`"]),
        ("box = 'a'\n[[private_network]]\nnat = 'x'", vec!["3: wrong type of `nat`"]),
        ("box = 'a'\n[[synced_folder]]\nguest = '/a'", vec!["2: [[synced_folder]] needs `host`"]),
        (
            "box = 'a'\n[[synced_folder]]\nguest = '/a'\nhost = 'b'\n[[synced_folder]]\nguest = '/a/'\nhost = 'c'",
            vec!["5: two synced folders for `/a`"],
        ),
        ("box = 'a'\n[[provision]]\ninline = 'x'", vec!["2: [[provision]] needs `type`"]),
        ("box = 'a'\n[[provision]]\ntype = 'shell'", vec!["2: a shell provisioner without a script"]),
        (
            "box = 'a'\n[[provision]]\ntype = 'shell'\ninline = 'x'\nurl = 'https://a/b'",
            vec!["4: a shell provisioner with two scripts: `inline` and `url`"],
        ),
        ("box = 'a'\n[[provision]]\ntype = 'shell'\nurl = 'x.sh'", vec!["4: bad value of `url`"]),
        (
            "box = 'a'\n[[provision]]\ntype = 'shell'\ninline = 'x'\nenv = { 'A B' = 'x', C = [] }",
            vec!["5: `A B` cannot be the name of a variable", "5: wrong type of `C`"],
        ),
        (
            "box = 'a'\n[[provision]]\ntype = 'file'\npath = 'x'",
            vec![
                "2: [[provision]] needs `source`",
                "2: [[provision]] needs `destination`",
                "4: unknown key `path` in [[provision]]",
            ],
        ),
        (
            "box = 'a'\n[[provision]]\nname = 'x'\ntype = 'shell'\ninline = 'x'\n[[provision]]\nname = 'x'\ntype = 'shell'\ninline = 'y'",
            vec!["7: two provisioners are named `x`"],
        ),
        ("box = 'a'\n[[trigger]]\ninfo = 'x'", vec!["2: a trigger must have either `before` or `after`"]),
        (
            "box = 'a'\n[[trigger]]\nbefore = ['pu']\nonly_on = ['/(/']\nexit_codes = [0, 'x']\non_error = 'stop'",
            vec![
                "3: bad value of `before`",
                "4: bad value of `only_on`",
                "5: wrong type of `exit_codes`",
                "6: bad value of `on_error`",
            ],
        ),
        (
            "box = 'a'\n[[trigger]]\nbefore = ['up']\nrun = { inline = 'x', path = 'y' }\nrun_remote = { args = [] }",
            vec!["4: a command must have either `inline` or `path`", "5: a shell provisioner without a script"],
        ),
        ("box = 'a'\nprimary = true", vec!["2: `primary` belongs to one machine"]),
        ("box = 'a'\n[machines.'a b']", vec!["2: bad name of a machine: `a b`"]),
        ("box = 'a'\n[machines]\nweb = 1", vec!["3: wrong type of `web`"]),
        (
            "box = 'a'\n[machines.a]\nprimary = true\n[machines.b]\nprimary = true",
            vec!["5: two machines are primary: `a` and `b`"],
        ),
        (
            "box = 'a'\n[machines.a]\ndepends_on = ['dc']\n[machines.db]",
            vec!["3: `a` depends on `dc`, which is no machine"],
        ),
        ("box = 'a'\n[provider_options.vmware]", vec!["2: unknown key `vmware` in [provider_options]"]),
        (
            "box = 'a'\n[provider_options.virtualbox]\nguy = true\nvram = 0\nos_type = 'a b'\ncustomize = ['x', ['startvm', ':id'], \
             ['modifivm']]",
            vec![
                "3: unknown key `guy` in [provider_options.virtualbox]",
                "4: bad value of `vram`",
                "5: bad value of `os_type`",
                "6: wrong type of `customize`",
                "6: bad value of `customize`",
                "6: bad value of `customize`",
            ],
        ),
        ("box = 'a'\n[provider_options.qemu]\nacel = 'kvm'", vec!["3: unknown key `acel` in [provider_options.qemu]"]),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn a_cycle_is_shown_as_one() {
    let text = "box = 'a'\n[machines.x]\ndepends_on = ['web']\n[machines.web]\ndepends_on = ['db']\n[machines.db]\ndepends_on = ['web']\n\
                [machines.me]\ndepends_on = ['me']";
    assert_eq!(
        told(text),
        ["5: machines wait for each other: web -> db -> web", "9: machines wait for each other: me -> me"]
    );
}

#[test]
fn a_host_port_used_twice_shows_both_lines() {
    let two = |first: &str, second: &str| {
        told(&format!("box = 'a'\n[[forwarded_port]]\nguest = 1\n{first}\n[[forwarded_port]]\nguest = 2\n{second}"))
    };
    assert_eq!(two("host = 80", "host = 80"), ["7: tcp port 80 of the host is used twice by machine `default`"]);
    assert_eq!(two("host = 80", "host = 80\nhost_ip = '0.0.0.0'").len(), 1);
    for fine in [
        "host = 81",
        "host = 80\nprotocol = 'udp'",
        "host = 80\nhost_ip = '127.0.0.2'",
        "host = 80\nauto_correct = true",
        "",
    ] {
        assert_eq!(two("host = 80", fine).len(), 0, "{fine}");
    }
    let text = "box = 'a'\n[machines.web]\n[[machines.web.forwarded_port]]\nguest = 80\nhost = 8080\n\
                [machines.db]\n[[machines.db.forwarded_port]]\nguest = 80\nhost = 8080\n";
    let Err(Error::Invalid { rendered, problems, .. }) = read(text) else { panic!() };
    assert_eq!(problems[0].message, "tcp port 8080 of the host is used by the machines `web` and `db`");
    assert!(rendered.contains("5 | host = 8080") && rendered.contains("9 | host = 8080"), "{rendered}");
    assert!(rendered.contains("---- for `web`") && rendered.contains("^^^^ for `db`"), "{rendered}");
    let inherited = "box = 'a'\n[ssh]\nport = 2222\n[machines.a]\n[machines.b]\n[machines.c]\n";
    assert_eq!(told(inherited), ["3: tcp port 2222 of the host is used by several machines"]);
}

#[test]
fn the_nearest_key_or_the_known_ones_are_offered() {
    for (text, help) in [
        ("box = 'a'\ncpu = 1", "did you mean `cpus`?"),
        ("box = 'a'\nram = 1", "it is called `memory` here"),
        ("box = 'a'\n[[forwarded_ports]]\nguest = 1", "did you mean `forwarded_port`?"),
        ("box = 'a'\n[machine.web]", "did you mean `machines`?"),
        ("box = 'a'\n[[private_network]]\nnetmask = 'x'", "it is called `prefix` here"),
        (
            "box = 'a'\n[[public_network]]\nzzzz = 'x'",
            "known keys: bridge, ip, prefix, use_dhcp_assigned_default_route, mac, nic, adapter, auto_config",
        ),
        ("box = 'a'\nprovider = 'qemuu'", "did you mean `qemu`?"),
        ("box = 'a'\nhostname = 'my_web'", "use `my-web`"),
    ] {
        assert_eq!(help_of(text), help, "{text}");
    }
}

#[test]
fn syntax_errors_are_told_together_and_blame_nothing_else() {
    let text = "cpus = \nmemory = \"2\nx_y = 1\nhostname = 'a'\nhostname = 'b'\n[ssh\nport = 1\n";
    let told = told(text);
    assert_eq!(told[0], "1: the value is missing");
    assert!(told[1].starts_with("2: invalid basic string"), "{told:?}");
    assert!(told.contains(&"3: unknown key `x_y` in the file".to_owned()), "{told:?}");
    assert!(told.contains(&"5: `hostname` is written twice".to_owned()), "{told:?}");
    assert!(!told.iter().any(|problem| problem.contains("box")), "{told:?}");
    let open = "box = 'a'\nx = [1, 2\nhostname = 'a'\ncpus = 3\n";
    let Err(Error::Invalid { problems, .. }) = read(open) else { panic!() };
    assert!(problems.len() <= 2, "{problems:?}");
    assert_eq!(
        super::tests::told("box = debian/bookworm64"),
        ["1: `debian/bookworm64` is not a value: strings need quotes"]
    );
}

#[test]
fn problems_look_like_those_of_rustc() {
    let Err(error) = read("box = 'a'\ncpu = 2\n") else { panic!() };
    assert_eq!(
        error.to_string(),
        "/p/Vagrantfile has 1 error\n\nerror: unknown key `cpu` in the file\n --> /p/Vagrantfile:2:1\n  |\n2 | cpu = 2\n  | ^^^\n  \
         |\n  = help: did you mean `cpus`?"
    );
    assert_eq!(error.exit(), Exit::MachineFile);
}

#[test]
fn what_a_file_contains_cannot_steer_the_terminal() {
    for text in [
        "box = \"\u{1b}[31m\"",
        "\"\\u001b[31m\\u202e\" = 1",
        "[machines.\"\\u001b[2J\"]",
        "box = '\u{202e}'\ncpus = '\u{9b}1'",
    ] {
        let Err(Error::Invalid { rendered, .. }) = read(text) else { panic!("{text:?}") };
        assert!(!rendered.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{rendered:?}");
    }
}

#[test]
fn a_byte_order_mark_moves_no_place() {
    let Err(Error::Invalid { rendered, .. }) = read("\u{feff}box = 'a'\ncpu = 1") else { panic!() };
    assert!(rendered.contains("2 | cpu = 1\n  | ^^^"), "{rendered}");
}

#[test]
fn a_ruby_file_is_named_as_such_and_toml_that_speaks_of_ruby_is_not() {
    let ruby =
        "# -*- mode: ruby -*-\n\nVagrant.configure(\"2\") do |config|\n  config.vm.box = \"debian/bookworm64\"\nend\n";
    let Err(error @ Error::Ruby { .. }) = read(ruby) else { panic!() };
    assert_eq!(error.to_string(), "/p/Vagrantfile is written in Ruby, which is read from its own file only");
    assert!(error.hint().unwrap().contains("Vagrantfile.toml"));
    project(
        "# Vagrant.configure was the old one (mode: ruby)\nbox = 'a'\npost_up_message = '''\nVagrant.configure\n'''",
    );
    assert!(matches!(read("Vagrant = 1\nbox ="), Err(Error::Invalid { .. })));
}

#[test]
fn missing_files_are_warnings_so_that_a_machine_can_still_be_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Vagrantfile");
    std::fs::write(dir.path().join("there.sh"), "").unwrap();
    let text = "box = 'a'\n[[provision]]\ntype = 'shell'\npath = 'there.sh'\n[[provision]]\ntype = 'shell'\npath = 'gone.sh'\n\
                [[synced_folder]]\nhost = 'gone'\nguest = '/g'\n[[synced_folder]]\nhost = 'made'\nguest = '/m'\ncreate = true\n";
    std::fs::write(&file, text).unwrap();
    let (project, warnings) = load(&file).unwrap();
    assert_eq!(project.root, dir.path());
    assert!(warnings.iter().all(|warning| warning.level == Level::Warning));
    let lines: Vec<_> = warnings.iter().map(|warning| warning.position().unwrap().0).collect();
    assert_eq!(lines, [7, 9]);
    assert!(warnings[0].message.ends_with("gone.sh` does not exist"), "{warnings:?}");
}

#[test]
fn the_file_is_found_by_climbing_and_toml_by_name_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(deep.join("Vagrantfile")).unwrap();
    let file = dir.path().join("a/Vagrantfile");
    std::fs::write(&file, "").unwrap();
    assert_eq!(find(&deep).unwrap(), file);
    let toml = file.with_extension("toml");
    std::fs::write(&toml, "").unwrap();
    assert_eq!(find(&deep).unwrap(), toml);
    assert!(matches!(find(Path::new("/proc/self")), Err(Error::NotFound { .. })));
}

#[test]
fn what_is_no_machine_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Vagrantfile");
    assert!(matches!(load(&file), Err(Error::Unreadable { .. })));
    std::fs::write(&file, b"box = 'a'\n\xff\xfe").unwrap();
    let error = load(&file).unwrap_err();
    assert!(error.to_string().ends_with("is not UTF-8: line 2 has a byte that cannot be"), "{error}");
    std::fs::write(&file, "#".repeat(1 + (1 << 20))).unwrap();
    assert!(matches!(load(&file), Err(Error::TooLarge { .. })));
    assert!(matches!(load(Path::new("/dev/zero")), Err(Error::Unreadable { .. })));
    std::fs::write(&file, "\u{feff}box = 'a'\r\ncpus = 2\r\n").unwrap();
    assert_eq!(load(&file).unwrap().0.machines[0].cpus, Some(2));
}

#[test]
fn machines_start_after_those_that_they_depend_on() {
    let project = project(
        "box = 'a'\n[machines.web]\ndepends_on = ['db', 'cache']\n[machines.db]\n[machines.lb]\ndepends_on = ['web']\n[machines.cache]\n[machines.x]\ndepends_on = ['db']\n",
    );
    let order = project.start_order();
    let names: Vec<Vec<_>> = order.iter().map(|group| group.iter().map(|m| m.name.as_str()).collect()).collect();
    assert_eq!(names, [vec!["db", "cache"], vec!["web", "x"], vec!["lb"]]);
    assert_eq!(project.primary(), None);
}

#[test]
fn a_hostile_file_costs_a_bounded_number_of_problems() {
    let text = (0..20_000).fold(String::new(), |text, n| format!("{text}k{n}=1\n"));
    let Err(Error::Invalid { problems, .. }) = read(&text) else { panic!() };
    assert_eq!(problems.len(), 100);
    let text =
        (0..1000).fold(String::new(), |text, n| format!("{text}[machines.m{n}]\ndepends_on=['m{}']\n", (n + 1) % 1000));
    assert_eq!(told(&format!("box='a'\n{text}")).len(), 1);
    assert_eq!(told(&format!("box='a'\n{text}[machines.z]\n"))[1..], ["2002: more than 1000 machines"]);
}

#[test]
fn the_resolved_file_reads_back_as_the_same_project() {
    for text in [
        "box = 'a'",
        "box = 'a'\nmemory = 1500\ndisk = '20 GiB'\npost_up_message = \"a\\\"b\\n\\u001b\"\n[[synced_folder]]\nguest = '/vagrant'\ndisabled = true\n\
         [[synced_folder]]\nhost = 'a'\nguest = '/b'\nargs = []\nexclude = ['x']\n[[forwarded_port]]\nguest = 1\nhost_ip = '::1'\n\
         [[extra_disk]]\nname = 'data'\nsize = 1500\n[[private_network]]\nip = '10.0.0.1'\nprefix = 24\n[[private_network]]\nmac = '52:54:00:00:00:01'\nnic = 'e1000'\nadapter = 4\n\
         auto_config = false\n[[private_network]]\nnat = true\nname = 'x'\n[[public_network]]\nbridge = 'br0'\n[[public_network]]\nbridge = ['en0: Wi-Fi', 'eth0']\n\
         ip = '10.0.0.2'\nprefix = 16\nuse_dhcp_assigned_default_route = true\n\
         [[provision]]\ntype = 'shell'\ninline = 'a'\nenv = { B = '1', A = '2' }\n[[provision]]\ntype = 'file'\nsource = '~/a'\ndestination = 'b'\n\
         [machines.'a.b']\n[machines.c]\ndepends_on = ['a.b']\nprimary = true\n[machines.c.ssh]\nport = 2222\n",
    ] {
        let project = project(text);
        let resolved = to_toml(&project);
        let again = read(&resolved).unwrap_or_else(|e| panic!("{e}")).0;
        assert_eq!(meaning(&again), meaning(&project), "{resolved}");
    }
}

/// Pieces from which random files are made that get further than random bytes.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "(box|cpus|memory|disk|hostname|machines|primary|depends_on|ssh|port|guest|host|type|inline|env|provision)",
        "[\\[\\]{}=.,\n\n'\"# ]",
        "(\\[machines\\.[a-c]\\]\n|\\[\\[forwarded_port\\]\\]\n|\\[\\[synced_folder\\]\\]\n|\\[\\[provision\\]\\]\n|\\[ssh\\]\n)",
        "(= '[a-z/.]{0,6}'\n|= [0-9]{1,6}\n|= true\n|= \\['a', 'b'\\]\n)",
        "\\PC",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

#[test]
fn extra_disks_are_inherited_and_replaced_by_name() {
    let text = "box = 'a'\n[[extra_disk]]\nname = 'data'\nsize = '1 GiB'\n[[extra_disk]]\nname = 'logs'\nsize = 512\n\
                [machines.web]\n[[machines.web.extra_disk]]\nname = 'data'\nsize = '2 GiB'\n[machines.db]\n";
    let project = project(text);
    let disks = |name: &str| {
        let disks = project.machine(name).unwrap().extra_disks.iter();
        disks.map(|disk| format!("{} {}", disk.name, disk.size >> 20)).collect::<Vec<_>>()
    };
    assert_eq!(
        (disks("web"), disks("db")),
        (vec!["data 2048".into(), "logs 512".into()], vec!["data 1024".into(), "logs 512".into()])
    );
}

#[test]
fn what_is_no_extra_disk_is_told() {
    let disk = |keys: &str| told(&format!("box = 'a'\n[[extra_disk]]\n{keys}"));
    assert_eq!(disk("size = '1 GiB'"), ["2: [[extra_disk]] needs `name`"]);
    assert_eq!(disk("name = 'data'"), ["2: [[extra_disk]] needs `size`"]);
    for name in ["", "a b", "-a", "a,b", "a/b", "ü"] {
        assert_eq!(disk(&format!("name = '{name}'\nsize = '1 GiB'")), ["3: bad value of `name`"], "{name}");
    }
    for size in ["'0'", "'1 PB'", "-1"] {
        assert_eq!(disk(&format!("name = 'a'\nsize = {size}")), ["4: bad value of `size`"], "{size}");
    }
    let twice = "name = 'a'\nsize = 1024\n[[extra_disk]]\nname = 'a'\nsize = 2048";
    assert_eq!(disk(twice), ["6: bad value of `name`"]);
    let many: Vec<_> = (0..13).map(|i| format!("[[extra_disk]]\nname = 'd{i}'\nsize = 1024\n")).collect();
    assert_eq!(told(&format!("box = 'a'\n{}", many.concat())), ["1: a machine has at most 12 extra disks"]);
}

#[test]
fn calls_of_vboxmanage_are_inherited_and_written_as_they_were() {
    let text = "box = 'a'\n[provider_options.virtualbox]\ngui = true\ncustomize = [['modifyvm', ':id', '--vram', 64]]\n\
                [machines.web.provider_options.virtualbox]\nlinked_clone = false\n\
                customize = [['post-boot', 'controlvm', ':id', 'pause']]\n";
    let (project, _) = parse(text, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap();
    let options = &project.machines[0].provider_options.virtualbox;
    assert!(options.gui && !options.linked_clone);
    let written = serde_json::to_value(&options.customize).unwrap();
    let expected = serde_json::json!([["modifyvm", ":id", "--vram", "64"], ["post-boot", "controlvm", ":id", "pause"]]);
    assert_eq!(written, expected);
    let again: Vec<spec::Customization> = serde_json::from_value(written).unwrap();
    assert_eq!(again, options.customize);
    let resolved = to_toml(&project);
    let (again, _) = parse(&resolved, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap();
    assert_eq!(&again.machines[0].provider_options.virtualbox, options, "{resolved}");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s).{0,200}", pieces in pieces()) {
        let _ = read(&text);
        let _ = read(&pieces);
    }

    #[test]
    fn what_is_accepted_reads_back(pieces in pieces()) {
        if let Ok((project, _)) = read(&format!("box = 'a'\n{pieces}")) {
            let resolved = to_toml(&project);
            let again = read(&resolved).map(|(again, _)| meaning(&again)).map_err(|e| e.to_string());
            prop_assert_eq!(again, Ok(meaning(&project)));
        }
    }
}

#[test]
fn triggers_mean_commands_and_machines() {
    let text = "box = 'a'\n[[trigger]]\nbefore = ['all']\nignore = ['destroy']\nonly_on = ['web', '/^db[0-9]$/']\ninfo = 'x'\n\
        [machines.web]\n[machines.db1]\n[machines.dbx]\n[[machines.dbx.trigger]]\nafter = ['up']\nrun = { path = 's.sh', args = ['a'] }\n";
    let project = project(text);
    let count = |name: &str| project.machine(name).unwrap().triggers.len();
    assert_eq!((count("web"), count("db1"), count("dbx")), (1, 1, 1));
    let web = &project.machine("web").unwrap().triggers[0];
    assert!(web.fires(Moment::Before, Action::Halt) && !web.fires(Moment::Before, Action::Destroy));
    assert!(!web.fires(Moment::After, Action::Halt));
    let dbx = &project.machine("dbx").unwrap().triggers[0];
    assert_eq!(dbx.run.as_ref().unwrap().line(), "/p/s.sh a");
    assert_eq!(dbx.title(), "after `up`");
    let again = parse(&to_toml(&project), Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap().0;
    assert_eq!(meaning(&again), meaning(&project));
}
