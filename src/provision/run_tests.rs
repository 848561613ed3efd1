use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::config::spec::RunPolicy;
use crate::error::{Exit, Explain};
use crate::folders::testing::{LocalGuest, Told};
use crate::store;

/// Delivers one script and counts reboots.
#[derive(Default)]
struct Fake {
    reboots: usize,
}

impl Helper<LocalGuest> for Fake {
    fn fetch(&mut self, _: &Cx, url: &str, _: u64) -> Result<Vec<u8>, Failure> {
        if url.ends_with("missing") { Err(store::Error::NoHome.into()) } else { Ok(b"echo fetched".into()) }
    }

    fn reboot(&mut self, _: &Cx, _: &mut LocalGuest) -> Result<(), Failure> {
        self.reboots += 1;
        Ok(())
    }
}

fn shell(script: Script) -> ShellProvisioner {
    ShellProvisioner { script, args: vec![], env: vec![], privileged: false, reboot: false, sensitive: false }
}

fn inline(text: &str) -> ShellProvisioner {
    shell(Script::Inline(text.into()))
}

fn go(guest: &mut LocalGuest, kind: ProvisionerKind) -> (Result<(), Error>, Vec<String>, Vec<String>) {
    let (told, cx) = Told::cx();
    let provisioner = Provisioner { name: "p".into(), run: RunPolicy::Once, kind };
    let result = run(&cx, guest, &[&provisioner], &mut Fake::default());
    (result, told.output(), told.remarks())
}

fn output(shell: ShellProvisioner) -> Vec<String> {
    let mut guest = LocalGuest::new();
    let (result, output, _) = go(&mut guest, ProvisionerKind::Shell(shell));
    result.unwrap();
    assert_eq!(fs::read_dir(guest.path("tmp")).unwrap().count(), 0, "the script is removed");
    assert_eq!(guest.runs, 1);
    output
}

#[test]
fn arguments_and_environment_arrive_as_they_are() {
    let mut provisioner = inline("printf '<%s>\\n' \"$@\"; echo \"$A\"; echo \"$B\"");
    provisioner.args = vec!["a b".into(), "it's $HOME".into(), String::new(), "-n".into()];
    provisioner.env = vec![("A".into(), "1\n#vbox-rs-script\n2".into()), ("B".into(), "`id`'\"\\".into())];
    let expected = ["<a b>", "<it's $HOME>", "<>", "<-n>", "1", "#vbox-rs-script", "2", "`id`'\"\\"];
    assert_eq!(output(provisioner), expected);
}

#[test]
fn the_interpreter_of_the_first_line_runs_the_script() {
    assert_eq!(output(inline("#!/usr/bin/env perl\nprint \"perl @ARGV\\n\";")), ["perl "]);
    assert_eq!(output(inline("#!/bin/sh -e\nfalse || echo on; echo $0 | grep -c script")), ["on", "1"]);
    assert_eq!(output(inline("[[ a == a ]] && echo bash")), ["bash"]);
}

#[test]
fn a_script_reads_nothing_and_nobody_else_may_read_it() {
    assert_eq!(output(inline("cat; stat -c %a \"$0\" \"$(dirname \"$0\")\"")), ["700", "700"]);
}

#[test]
fn secrets_are_in_no_process_list() {
    let mut provisioner = inline("cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'tops[e]cret' || true");
    provisioner.env = vec![("TOKEN".into(), "topsecret".into())];
    assert_eq!(output(provisioner), ["0"]);
}

#[test]
fn a_privileged_script_runs_by_sudo_with_its_environment() {
    let mut guest = LocalGuest::new();
    guest.tool("id", "echo 1000");
    let log = guest.path("log");
    guest.tool("sudo", &format!("echo \"$1 $2 $3 $4\" >{}; shift 3; exec \"$@\"", log.display()));
    let mut provisioner = inline("echo $X");
    provisioner.privileged = true;
    provisioner.env = vec![("X".into(), "kept".into())];
    let (result, output, _) = go(&mut guest, ProvisionerKind::Shell(provisioner));
    result.unwrap();
    assert_eq!(output, ["kept"]);
    assert_eq!(fs::read_to_string(log).unwrap(), "-n -E -H bash\n");
}

#[test]
fn a_failure_has_the_exit_code_and_the_last_lines() {
    let mut guest = LocalGuest::new();
    let script = "for i in $(seq 30); do echo line $i; done; echo broken >&2; exit 3";
    let (result, ..) = go(&mut guest, ProvisionerKind::Shell(inline(script)));
    let failed = result.unwrap_err();
    assert_eq!(failed.exit(), Exit::Provision);
    let text = failed.to_string();
    assert!(text.starts_with("provisioner `p` failed with exit code 3; it printed last:\n    line 12\n"), "{text}");
    assert!(text.ends_with("\n    broken"), "{text}");
    assert!(failed.hint().unwrap().contains("--provision-with p"));
}

#[test]
fn a_sensitive_failure_shows_nothing() {
    let mut guest = LocalGuest::new();
    let mut provisioner = inline("echo password; exit 1");
    provisioner.sensitive = true;
    let (result, output, _) = go(&mut guest, ProvisionerKind::Shell(provisioner));
    assert_eq!(result.unwrap_err().to_string(), "provisioner `p` failed with exit code 1");
    assert!(output.is_empty());
}

#[test]
fn windows_line_ends_are_converted_with_a_warning() {
    let mut guest = LocalGuest::new();
    let path = guest.path("script.sh");
    fs::write(&path, "#!/bin/sh\r\necho a\r\n").unwrap();
    let (result, output, remarks) = go(&mut guest, ProvisionerKind::Shell(shell(Script::Path(path))));
    result.unwrap();
    assert_eq!(output, ["a"]);
    assert_eq!(remarks, ["the script of provisioner `p` has Windows line ends; they were converted"]);
}

#[test]
fn a_script_comes_from_a_file_or_a_url() {
    assert_eq!(output(shell(Script::Url("https://example.org/x".into()))), ["fetched"]);
    let mut guest = LocalGuest::new();
    let missing = shell(Script::Url("https://example.org/missing".into()));
    let failed = go(&mut guest, ProvisionerKind::Shell(missing)).0.unwrap_err();
    assert!(failed.to_string().starts_with("provisioner `p`: cannot fetch the script from https://"), "{failed}");
    let failed = go(&mut guest, ProvisionerKind::Shell(shell(Script::Path("/no/such".into())))).0.unwrap_err();
    assert_eq!(failed.to_string(), "provisioner `p`: cannot read /no/such");
    assert_eq!(failed.exit(), Exit::Io);
    assert_eq!(guest.runs, 0);
}

#[test]
fn a_reboot_follows_the_script_that_asks_for_it() {
    let mut provisioner = inline("true");
    provisioner.reboot = true;
    let list = [provisioner.clone(), ShellProvisioner { reboot: false, ..provisioner }].map(|shell| Provisioner {
        name: "p".into(),
        run: RunPolicy::Once,
        kind: ProvisionerKind::Shell(shell),
    });
    let mut fake = Fake::default();
    run(&Cx::silent(), &mut LocalGuest::new(), &list.iter().collect::<Vec<_>>(), &mut fake).unwrap();
    assert_eq!(fake.reboots, 1);
}

#[test]
fn a_bad_variable_is_refused_before_anything_runs() {
    let mut guest = LocalGuest::new();
    let mut provisioner = inline("true");
    provisioner.env = vec![("A B".into(), String::new())];
    let refused = go(&mut guest, ProvisionerKind::Shell(provisioner)).0.unwrap_err();
    assert_eq!(refused.exit(), Exit::MachineFile);
    assert_eq!(guest.runs, 0);
}

#[test]
fn a_file_lands_where_vagrant_would_put_it() {
    for (destination, lands) in [
        ("~/x/new.txt", "x/new.txt"),
        ("x/", "x/source.txt"),
        ("existing", "existing/source.txt"),
        ("~", "source.txt"),
        ("new name", "new name"),
    ] {
        let mut guest = LocalGuest::new();
        fs::create_dir(guest.path("home/existing")).unwrap();
        let source = guest.path("source.txt");
        fs::write(&source, "content").unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).unwrap();
        go(&mut guest, ProvisionerKind::File { source, destination: destination.into() }).0.unwrap();
        let there = guest.path("home").join(lands);
        assert_eq!(fs::read_to_string(&there).unwrap(), "content", "{destination}");
        assert_eq!(fs::metadata(&there).unwrap().mode() & 0o777, 0o640);
        assert_eq!(
            fs::read_dir(there.parent().unwrap())
                .unwrap()
                .filter(|e| { e.as_ref().unwrap().file_name().to_str().unwrap().contains(".txt.") })
                .count(),
            0,
            "no temporary file is left"
        );
    }
}

#[test]
fn a_folder_lands_where_vagrant_would_put_it() {
    for (end, destination, lands) in [("", "~/d", "d"), ("", "~/d/", "d/conf"), ("/.", "d/", "d"), ("", "e", "e")] {
        let mut guest = LocalGuest::new();
        fs::create_dir_all(guest.path("conf/sub/.git")).unwrap();
        fs::write(guest.path("conf/sub/.git/file"), "content").unwrap();
        fs::create_dir(guest.path("home/e")).unwrap();
        fs::write(guest.path("home/e/kept"), "").unwrap();
        let source = format!("{}{end}", guest.path("conf").display()).into();
        go(&mut guest, ProvisionerKind::File { source, destination: destination.into() }).0.unwrap();
        let there = guest.path("home").join(lands);
        assert_eq!(fs::read_to_string(there.join("sub/.git/file")).unwrap(), "content", "{destination}");
        assert!(guest.path("home/e/kept").exists(), "nothing is removed");
    }
}

#[test]
fn what_was_cut_off_is_neither_run_nor_put_into_place() {
    let mut guest = LocalGuest::new();
    let line = shell::command(false, 100);
    let cut = shell::input(&inline(""), b"echo half");
    let status =
        guest.run(&Cx::silent(), GuestCommand { line, stdin: Some(&mut &cut[..]), pty: false }, &mut |_, _| {});
    assert_eq!(status.unwrap(), 1);
    let line = file::file_command(Path::new("a"), "a", 0o644, 100);
    let status =
        guest.run(&Cx::silent(), GuestCommand { line, stdin: Some(&mut &b"half"[..]), pty: false }, &mut |_, _| {});
    assert_eq!(status.unwrap(), 1);
    assert_eq!(fs::read_dir(guest.path("home")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(guest.path("tmp")).unwrap().count(), 0);
}
