//! What a machine file may see of the computer: the environment, the files of its project and of the user's home, and the
//! answers to common harmless commands. Nothing is run and nothing is written.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::ruby::{Host, Stream};

/// Files of the system that tell what kind of computer it is.
const SYSTEM: &[&str] =
    &["/proc/cpuinfo", "/proc/meminfo", "/proc/version", "/etc/os-release", "/etc/hostname", "/etc/timezone"];

/// The policy for a project's own machine file.
pub struct Policy {
    root: PathBuf,
    home: PathBuf,
    /// What the file prints.
    pub printed: RefCell<String>,
}

impl Policy {
    pub fn new(root: &Path, home: Option<PathBuf>) -> Self {
        Self { root: root.to_owned(), home: home.unwrap_or_else(|| "/".into()), printed: RefCell::default() }
    }
}

impl Host for Policy {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn envs(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn may_read(&self, path: &Path) -> bool {
        // Links count as what they lead to.
        let Ok(real) = path.canonicalize() else { return false };
        let below = |folder: &Path| {
            folder != Path::new("/") && folder.canonicalize().is_ok_and(|folder| real.starts_with(folder))
        };
        below(&self.root) || below(&self.home) || SYSTEM.contains(&path.to_str().unwrap_or_default())
    }

    fn may_run(&self, line: &str) -> Result<(), String> {
        Err(format!("it wants to run a command on this computer: `{line}`"))
    }

    fn may_write(&self, path: &Path) -> Result<(), String> {
        Err(format!("it wants to change {}", path.display()))
    }

    fn print(&self, text: &str, _to: Stream) {
        self.printed.borrow_mut().push_str(text);
    }

    fn home(&self) -> PathBuf {
        self.home.clone()
    }

    fn current_dir(&self) -> PathBuf {
        self.root.clone()
    }

    fn arguments(&self) -> Vec<String> {
        vec!["up".into()]
    }
}
