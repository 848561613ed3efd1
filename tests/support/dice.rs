//! Commands that are killed at some instant of the time that they take.

use std::fs::File;
use std::io::Read;
use std::process::Child;
use std::thread;
use std::time::Duration;

/// Instants are drawn from the time that the command takes undisturbed; a printed seed repeats a run.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let seed = std::env::var("VBOX_RS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let mut bytes = [0; 8];
            File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("VBOX_RS_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// An instant in `0..span`. Marsaglia's xorshift64, 2003.
    pub fn instant(&mut self, span: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let micros = u64::try_from(span.as_micros()).unwrap().max(1);
        Duration::from_micros(self.0 % micros)
    }
}

pub fn kill_after(mut child: Child, time: Duration) {
    thread::sleep(time);
    drop(child.kill());
    child.wait().unwrap();
}
