//! `kill -9` at any instant leaves a state from which the same command, or `destroy`, goes on.

use std::fs::File;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use crate::world::Lab;

/// Instants are drawn from the time that the command takes undisturbed; a printed seed repeats a run.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("VBOX_RS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let mut bytes = [0; 8];
            File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("VBOX_RS_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// An instant in `0..span`. Marsaglia's xorshift64, 2003.
    fn instant(&mut self, span: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let micros = u64::try_from(span.as_micros()).unwrap().max(1);
        Duration::from_micros(self.0 % micros)
    }
}

fn killed(lab: &Lab, args: &[&str], time: Duration) {
    let mut child = lab.command(args).spawn().unwrap();
    thread::sleep(time);
    drop(child.kill());
    child.wait().unwrap();
}

fn measured(lab: &Lab, args: &[&str]) -> Duration {
    let began = Instant::now();
    lab.run(args);
    began.elapsed()
}

#[test]
fn up_killed_at_any_instant_is_taken_up_again() {
    let Some(lab) = Lab::with_sleeper() else { return };
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
    let Some(lab) = Lab::with_sleeper() else { return };
    let mut dice = Dice::new();
    let commands: [&[&str]; 3] = [&["halt", "-f"], &["suspend"], &["destroy", "-f"]];
    let spans = commands.map(|args| {
        lab.run(&["up"]);
        measured(&lab, args)
    });
    for round in 0..12 {
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

/// Each call of VBoxManage in turn dies before it did its work, and then after: what was done in between is known to nobody.
#[test]
fn each_call_that_dies_is_told_and_taken_up_again() {
    let Some(lab) = Lab::with_sleeper() else { return };
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
