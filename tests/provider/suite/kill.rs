//! `kill -9` of ourselves at any instant.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vbox_rs::config::spec::ProviderKind;
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Vm, VmPlan, VmState};
use vbox_rs::store::Dirs;

use crate::host::Host;
use crate::world::{TestVm, open};

fn cycle(vm: &mut dyn Vm, plan: &VmPlan) {
    vm.create(&Cx::silent(), plan).unwrap();
    vm.start(&Cx::silent(), plan, &[]).unwrap();
    vm.save(&Cx::silent()).unwrap();
    vm.restore(&Cx::silent(), &[], &[]).unwrap();
    vm.pause().unwrap();
    vm.unpause().unwrap();
    vm.destroy(&Cx::silent()).unwrap();
}

/// Not a test of its own: what the next one kills. Creates, starts, saves and restores until somebody ends it.
#[test]
#[ignore = "started by another test"]
fn child_lives_and_dies() {
    let root = std::env::var("VBOX_RS_TEST_VICTIM").unwrap();
    let root = Path::new(&root);
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let kind: ProviderKind = serde_json::from_str(&read("kind")).unwrap();
    let plan = serde_json::from_str(&read("plan")).unwrap();
    let mut vm = open(kind, &Dirs::below(root), read("id").parse().unwrap());
    loop {
        cycle(vm.as_mut(), &plan);
    }
}

pub fn after_kill_9_at_any_instant_the_same_command_or_destroy_goes_on(host: &dyn Host) {
    let mut undisturbed = TestVm::new(host);
    let plan = undisturbed.plan();
    let began = Instant::now();
    cycle(undisturbed.vm.as_mut(), &plan);
    let whole = began.elapsed();
    let rounds = host.kills();
    for round in 0..rounds {
        let mut test = TestVm::new(host);
        // A process needs some milliseconds until it is a victim.
        killed_after(&test, host.kind(), Duration::from_millis(3) + whole * round / rounds);
        let plan = test.plan();
        let found = test.settled();
        match &found {
            VmState::Absent | VmState::Off => {
                test.create(&plan);
                test.start(&plan);
            }
            VmState::Saved => test.vm.restore(&Cx::silent(), &[], &[]).unwrap(),
            VmState::Running => {}
            VmState::Paused { .. } => {
                if let Err(error) = test.vm.unpause() {
                    // It was being ended.
                    let now = test.settled();
                    assert!(host.acts_later() && !now.has_process(), "round {round}, now {now:?}: {error}");
                    continue;
                }
            }
            // Cut off within `destroy`, which is then repeated by the end of the test.
            VmState::Vanished { .. } | VmState::Broken { .. } => continue,
            other => panic!("round {round}: {other:?}"),
        }
        let now = test.settled();
        // A `destroy` that a daemon had heard of, and had not come to the end of when we first looked; off, where that we asked
        // for it is recorded.
        if host.acts_later() && found.has_process() && matches!(now, VmState::Vanished { .. } | VmState::Off) {
            continue;
        }
        assert_eq!(now, VmState::Running, "round {round}, found {found:?}");
    }
}

fn killed_after(test: &TestVm<'_>, kind: ProviderKind, time: Duration) {
    let root = test.folder();
    fs::write(root.join("id"), test.id.to_string()).unwrap();
    fs::write(root.join("kind"), serde_json::to_string(&kind).unwrap()).unwrap();
    fs::write(root.join("plan"), serde_json::to_string(&test.plan()).unwrap()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "suite::kill::child_lives_and_dies", "--ignored", "--nocapture"])
        .env("VBOX_RS_TEST_VICTIM", root)
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("said")).unwrap())
        .spawn()
        .unwrap();
    std::thread::sleep(time);
    let said = || fs::read_to_string(root.join("said")).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "the victim failed by itself: {}", said());
    child.kill().unwrap();
    child.wait().unwrap();
}
