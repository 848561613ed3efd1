//! The program under measurement.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

/// A world with the demo box, in which commands are timed.
pub struct Subject {
    pub world: World,
}

impl Subject {
    pub fn new() -> Self {
        Self { world: World::with_demo() }
    }

    pub fn machine_file(&self, text: &str) {
        let folders = "[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n";
        self.world.machine_file(&format!("box = \"demo\"\n{text}{folders}"));
    }

    /// Runs the program; it must end well.
    pub fn run(&self, args: &[&str]) -> Duration {
        timed(&mut self.world.command(args))
    }

    /// Peak resident memory in KiB, as GNU time tells.
    pub fn rss(&self, args: &[&str]) -> Option<u64> {
        let measured = self.world.command(args);
        let mut command = Command::new("/usr/bin/time");
        command.args(["-f", "%M"]).arg(measured.get_program()).args(measured.get_args());
        command.env("VBOX_RS_HOME", self.world.home()).current_dir(&self.world.project).stdout(Stdio::null());
        let said = String::from_utf8_lossy(&command.output().ok()?.stderr).into_owned();
        said.lines().last()?.trim().parse().ok()
    }

    /// The only machine's folder.
    pub fn machine(&self) -> PathBuf {
        self.world.home().join("machines").join(self.world.id("default"))
    }
}

/// How long a command takes; it must end well.
pub fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    took
}
