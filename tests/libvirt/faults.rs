//! A daemon that dies while it is asked for something.

use std::time::{Duration, Instant};

use vbox_rs::error::{Exit, Explain};
use vbox_rs::provider::{Error, VmState};

use crate::world::TestVm;

/// Where libvirt 9.0 is killed in the middle of a start, it may remember a job that nobody has any more, also after another
/// restart.
fn is_locked_for_good(error: &Error) -> bool {
    error.to_string().contains("cannot acquire state change lock")
}

#[test]
fn a_daemon_killed_at_any_instant_of_an_up_fails_clearly_and_the_next_up_goes_on() {
    const ROUNDS: u32 = 8;
    let Some(mut test) = TestVm::new() else { return };
    let (mut plan, mut cx) = (test.plan(), test.cx());
    let began = Instant::now();
    test.up(&plan);
    let whole = began.elapsed();
    test.vm.destroy(&cx).unwrap();
    for round in 0..ROUNDS {
        test.reopen();
        let instant = whole * round / ROUNDS;
        let daemon = &mut test.daemon;
        let vm = &mut test.vm;
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(instant);
                daemon.kill();
            });
            vm.create(&cx, &plan).and_then(|()| vm.start(&cx, &plan, &[]))
        });
        if let Err(error) = &result {
            let said = error.to_string();
            let clear = ["went away while it should", "no libvirt daemon answers at"];
            assert!(clear.iter().any(|words| said.contains(words)), "round {round}: {said}");
            assert_eq!(error.exit(), Exit::Provider, "{said}");
            assert!(error.hint().is_some(), "{said}");
        }
        assert!(test.daemon.restart());
        // What it had begun may have come to its end or not; the daemon looks for that first, and answers when it has.
        test.reopen();
        let found = test.vm.awaited_state(&cx).unwrap();
        match found {
            VmState::Running => {}
            VmState::Absent | VmState::Off | VmState::Vanished { .. } => {
                test.vm.create(&cx, &plan).unwrap();
                test.vm.start(&cx, &plan, &[]).unwrap();
            }
            // Between its start and its first instruction: the daemon goes on from there, or gives it up a moment later.
            VmState::Paused { .. } => {
                if test.vm.unpause().is_err() {
                    let ended = if test.state().has_process() { test.vm.kill() } else { Ok(()) };
                    if ended.as_ref().is_err_and(is_locked_for_good) {
                        println!(
                            "round {round}: the daemon lost whoever was starting the domain, and lets nobody end it"
                        );
                        test.abandon();
                        test = TestVm::new().unwrap();
                        (plan, cx) = (test.plan(), test.cx());
                        continue;
                    }
                    ended.unwrap();
                    test.vm.start(&cx, &plan, &[]).unwrap();
                }
            }
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(test.state(), VmState::Running, "round {round}");
        test.vm.destroy(&cx).unwrap();
        assert_eq!(test.state(), VmState::Absent, "round {round}");
    }
}

#[test]
fn whoever_waits_for_an_end_notices_it_and_a_daemon_that_is_gone() {
    let Some(mut test) = TestVm::new() else { return };
    let (plan, cx) = (test.plan(), test.cx());
    test.up(&plan);
    let (uuid, daemon) = (test.uuid(), &test.daemon);
    let vm = &mut test.vm;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            daemon.virsh(&["destroy", &uuid]).unwrap();
        });
        assert!(vm.wait_until_ended(&cx, Duration::from_secs(20)).unwrap());
    });
    test.vm.start(&cx, &plan, &[]).unwrap();
    let (vm, daemon) = (&mut test.vm, &mut test.daemon);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            daemon.kill();
        });
        vm.wait_until_ended(&cx, Duration::from_secs(20)).unwrap_err()
    });
    assert_eq!(told.exit(), Exit::Provider, "{told}");
    assert!(test.daemon.restart());
    assert_eq!(test.state(), VmState::Running);
}
