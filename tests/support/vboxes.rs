//! The processes of one VirtualBox among others: each test has its own, with its own settings.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Those whose settings are in `home`, of the kind `name` (`VBoxHeadless`, `VBoxSVC`, or any of them for `VBox`).
pub fn processes(home: &Path, name: &str) -> Vec<u32> {
    let mine = format!("VBOX_USER_HOME={}", home.display());
    let is_mine = |pid: &u32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        comm.starts_with(name) && environ.split(|byte| *byte == 0).any(|variable| variable == mine.as_bytes())
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_mine).collect()
}

/// Sends them the signal that nobody survives.
pub fn kill(home: &Path, name: &str) {
    for pid in processes(home, name) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
