//! `kill -9` at any instant leaves a state from which the same command, or `destroy`, goes on.

use std::time::{Duration, Instant};

use crate::dice::{Dice, kill_after};
use crate::world::Lab;

/// Two minutes of kills: not for every `make test`.
fn lab() -> Option<Lab> {
    if std::env::var_os("VBOX_RS_TEST_VIRTUALBOX_GUEST").is_none_or(|name| name.is_empty()) {
        println!("skipped: `make test-virtualbox` (which sets VBOX_RS_TEST_VIRTUALBOX_GUEST) does the kills");
        return None;
    }
    Lab::with_sleeper()
}

fn killed(lab: &Lab, args: &[&str], time: Duration) {
    kill_after(lab.command(args).spawn().unwrap(), time);
}

fn measured(lab: &Lab, args: &[&str]) -> Duration {
    let began = Instant::now();
    lab.run(args);
    began.elapsed()
}

#[test]
fn up_killed_at_any_instant_is_taken_up_again() {
    let Some(lab) = lab() else { return };
    let mut dice = Dice::new();
    // The wait for the guest writes nothing.
    let span = measured(&lab, &["up"]).saturating_sub(Duration::from_millis(800));
    lab.destroy();
    for round in 0..20 {
        let instant = dice.instant(span);
        println!("round {round}: after {instant:?}");
        killed(&lab, &["up"], instant);
        lab.run(&["status"]).ok();
        if round % 2 == 0 {
            lab.up();
            assert_eq!(lab.machines("runningvms").len(), 1);
        }
        lab.destroy();
    }
}

#[test]
fn halt_suspend_and_destroy_killed_at_any_instant_are_taken_up_again() {
    let Some(lab) = lab() else { return };
    let mut dice = Dice::new();
    let commands: [&[&str]; 3] = [&["halt", "-f"], &["suspend"], &["destroy", "-f"]];
    let spans = commands.map(|args| {
        lab.run(&["up"]);
        measured(&lab, args)
    });
    for round in 0..21 {
        lab.run(&["up"]);
        assert_eq!(lab.state(), "running");
        let (args, span) = (commands[round % 3], spans[round % 3]);
        let instant = dice.instant(span);
        println!("round {round}: {args:?} after {instant:?}");
        killed(&lab, args, instant);
        lab.run(&["global-status"]).ok();
        lab.run(args).ok();
        assert!(lab.machines("runningvms").is_empty());
        lab.destroy();
    }
}

/// The machine's disk shall be larger than it is.
#[test]
fn a_growth_killed_at_any_instant_is_taken_up_again() {
    let Some(lab) = lab() else { return };
    let mut dice = Dice::new();
    let grown = || {
        lab.machine_file("box = \"empty\"\n");
        lab.up();
        lab.run(&["halt", "-f"]).ok();
        lab.machine_file("box = \"empty\"\ndisk = \"8 MiB\"\n");
    };
    grown();
    let span = measured(&lab, &["up"]).saturating_sub(Duration::from_millis(800));
    lab.destroy();
    for round in 0..20 {
        grown();
        let instant = dice.instant(span);
        println!("round {round}: after {instant:?}");
        killed(&lab, &["up"], instant);
        lab.run(&["status"]).ok();
        if round % 4 != 0 {
            lab.up();
            lab.run(&["halt", "-f"]).ok();
            assert!(lab.media().iter().any(|medium| medium.capacity == "8 MBytes"), "{:?}", lab.media());
        }
        lab.destroy();
    }
}

/// Each call of VBoxManage in turn dies before it did its work, and then after: what was done in between is known to nobody.
#[test]
fn each_call_that_dies_is_told_and_taken_up_again() {
    let Some(lab) = lab() else { return };
    lab.up();
    lab.destroy();
    lab.calls();
    lab.up();
    let calls = lab.calls();
    println!("{calls:#?}");
    lab.destroy();
    for done in [false, true] {
        for (number, call) in calls.iter().enumerate() {
            println!("call {number} ({call}) dies, {}", if done { "done" } else { "undone" });
            lab.calls();
            // Which call it is, counted by the lines that stand there.
            let work = if done { "\"$REAL\" \"$@\" >/dev/null 2>&1;" } else { "" };
            lab.behave(&format!("[ \"$(wc -l <\"$CALLS\")\" -ne {} ] || {{ {work} kill -9 $$; }}", number + 1));
            let ran = lab.run(&["up"]);
            assert!([8, 10].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
            lab.behave("");
            lab.run(&["status"]).ok();
            if number % 2 == 0 {
                lab.up();
            }
            lab.destroy();
        }
    }
}
