//! `kill -9` of ourselves at any instant.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use vbox_rs::progress::Cx;
use vbox_rs::provider::VmState;
use vbox_rs::store::Dirs;

use crate::world::{TestVm, open, plan};

/// Not a test of its own: what the next one kills. Creates, starts, saves and restores until somebody ends it.
#[test]
#[ignore = "started by another test"]
fn child_lives_and_dies() {
    let root = std::env::var("VBOX_RS_TEST_VICTIM").unwrap();
    let root = Path::new(&root);
    let id = fs::read_to_string(root.join("id")).unwrap().parse().unwrap();
    let dirs = Dirs::below(root);
    let plan = plan(&root.join("image.raw"));
    let mut vm = open(&dirs, id);
    loop {
        vm.create(&Cx::silent(), &plan).unwrap();
        vm.start(&Cx::silent(), &plan, &[]).unwrap();
        vm.save(&Cx::silent()).unwrap();
        vm.restore(&Cx::silent(), &[], &[]).unwrap();
        vm.pause().unwrap();
        vm.unpause().unwrap();
        vm.destroy(&Cx::silent()).unwrap();
    }
}

#[test]
fn after_kill_9_at_any_instant_the_same_command_or_destroy_goes_on() {
    for round in 0_u64..20 {
        let mut test = TestVm::new();
        let root = test.image.parent().unwrap();
        fs::write(root.join("id"), test.id.to_string()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child_lives_and_dies", "--ignored"])
            .env("VBOX_RS_TEST_VICTIM", root)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let instant = Duration::from_millis(3 + round * 17);
        std::thread::sleep(instant);
        assert!(child.try_wait().unwrap().is_none(), "the victim failed by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let plan = test.plan();
        let found = settled(&mut test);
        match &found {
            VmState::Absent | VmState::Off => {
                test.vm.create(&Cx::silent(), &plan).unwrap();
                test.vm.start(&Cx::silent(), &plan, &[]).unwrap();
            }
            VmState::Saved => test.vm.restore(&Cx::silent(), &[], &[]).unwrap(),
            VmState::Running => {}
            VmState::Paused { .. } => test.vm.unpause().unwrap(),
            // Cut off within `destroy`, which is then repeated by the end of the test.
            VmState::Vanished { .. } | VmState::Broken { .. } => continue,
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(settled(&mut test), VmState::Running, "round {round}, found {found:?}");
    }
}

/// The state once a process that was just started or just restored has got over it.
fn settled(test: &mut TestVm) -> VmState {
    let mut state = test.state();
    for _ in 0..20 {
        if !matches!(state, VmState::Unresponsive { .. }) {
            break;
        }
        state = test.state();
    }
    state
}
