//! Really runs a command: only where the host allows it, and never without bounds of time and output.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::host::Output;
use crate::sys::GroupLeader;

/// A machine file that waits longer for a command hangs every command of ours.
const LONGEST: Duration = Duration::from_secs(30);

/// More than any setting.
const MOST: usize = 4 << 20;

/// How often it is looked whether the command has ended.
const POLL: Duration = Duration::from_millis(10);

/// Runs a line by the shell in a folder; what it writes on standard error goes where ours goes.
pub fn run(line: &str, folder: &Path, envs: &[(String, String)]) -> Result<Output, String> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(folder).env_clear().envs(envs.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let failed = |error: std::io::Error| format!("`{line}` could not be run: {error}");
    let mut running = GroupLeader::spawn(&mut command).map_err(failed)?;
    let text = read(&mut running.0, line)?;
    let began = Instant::now();
    loop {
        if let Some(status) = running.0.try_wait().map_err(failed)? {
            let status = status.code().unwrap_or(128);
            return Ok(Output { text: String::from_utf8_lossy(&text).into_owned(), status });
        }
        if began.elapsed() > LONGEST {
            return Err(too_long(line));
        }
        std::thread::sleep(POLL);
    }
}

fn too_long(line: &str) -> String {
    format!("`{line}` did not end within {} s", LONGEST.as_secs())
}

/// What it prints, until it closes its output.
fn read(child: &mut Child, line: &str) -> Result<Vec<u8>, String> {
    let Some(out) = child.stdout.take() else { return Ok(Vec::new()) };
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = out.take(MOST as u64 + 1).read_to_end(&mut bytes);
        // Nobody listens any more where it took too long.
        let _ = done.send(read.map(|_| bytes));
    });
    match result.recv_timeout(LONGEST) {
        Err(_) => Err(too_long(line)),
        Ok(Err(error)) => Err(format!("`{line}` could not be read: {error}")),
        Ok(Ok(bytes)) if bytes.len() > MOST => Err(format!("`{line}` prints more than {} MiB", MOST >> 20)),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}
