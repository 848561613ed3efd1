//! Another user of this computer at the host's daemon.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;
use vbox_rs::provider::VmState;
use vbox_rs::store::MachineId;

use crate::again::{self, USER, User};
use crate::daemon::is_root;
use crate::world::{TestVm, names, open, plan};

#[test]
fn two_users_share_a_daemon_and_whom_it_does_not_let_in_is_told() {
    if !is_root() {
        println!("skipped: it takes root to be somebody else too");
        return;
    }
    let Some(mut test) = TestVm::new() else { return };
    test.up(&test.plan());
    let uri = test.daemon.uri();
    let user = User::new();
    let as_another = |name| {
        let mut program = user.program();
        program.env("VBOX_RS_TEST_URI", &uri);
        again::run(program, name);
    };
    let socket = uri.split_once("socket=").unwrap().1.to_owned();
    // As `unix_sock_rw_perms = "0770"` of the daemon's configuration leaves it.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o770)).unwrap();
    as_another("users::child_is_not_let_in");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    as_another("users::child_has_a_machine_of_its_own");
    assert_eq!(test.state(), VmState::Running, "the other user's `destroy` was for the other user's machine");
}

#[test]
#[ignore = "started by another test"]
fn child_is_not_let_in() {
    let root = tempfile::tempdir().unwrap();
    let plan = plan(root.path(), env::var("VBOX_RS_TEST_URI").unwrap());
    let mut vm = open(root.path(), MachineId::random().unwrap());
    vm.create(&Cx::silent(), &plan).unwrap();
    let error = vm.start(&Cx::silent(), &plan, &[]).unwrap_err();
    assert!(error.to_string().contains("does not let this user in"), "{error}");
    assert!(error.hint().unwrap().contains("usermod -aG libvirt"), "{error:?}");
    assert_eq!(error.exit(), Exit::Provider);
    vm.destroy(&Cx::silent()).unwrap();
}

#[test]
#[ignore = "started by another test"]
fn child_has_a_machine_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let (plan, cx, id) =
        (plan(root.path(), env::var("VBOX_RS_TEST_URI").unwrap()), Cx::silent(), MachineId::random().unwrap());
    let mut vm = open(root.path(), id);
    vm.create(&cx, &plan).unwrap();
    vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(vm.state().unwrap(), VmState::Running);
    let process = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|entry| fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(&id.uuid())));
    assert_eq!(process.unwrap().metadata().unwrap().uid(), USER, "it runs as the user whose machine it is");
    let dir = vbox_rs::store::Dirs::below(root.path()).machine(id);
    // Without a log daemon, as here, libvirtd takes the console's log for itself.
    for name in names(&dir).into_iter().filter(|name| name != "console.log") {
        assert_eq!(fs::metadata(dir.join(&name)).unwrap().uid(), USER, "{name} has another owner");
    }
    vm.save(&cx).unwrap();
    vm.restore(&cx, &[], &[]).unwrap();
    assert_eq!(vm.state().unwrap(), VmState::Running);
    // Nor is a log that libvirt keeps for itself in the way of the next start.
    vm.kill().unwrap();
    vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(vm.state().unwrap(), VmState::Running);
    vm.destroy(&cx).unwrap();
    assert_eq!(names(&dir), [""; 0]);
}
