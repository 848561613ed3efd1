//! What a machine file may see of the computer: the environment, the files of its project and of the user's home, and the
//! answers to common harmless commands. Running others and changing files takes the user's trust.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::ruby::{Host, Output, Stream};
use super::vagrant::Installed;

/// Files of the system that tell what kind of computer it is.
const SYSTEM: &[&str] =
    &["/proc/cpuinfo", "/proc/meminfo", "/proc/version", "/etc/os-release", "/etc/hostname", "/etc/timezone"];

/// The policy for a project's own machine file.
pub struct Policy {
    root: PathBuf,
    home: PathBuf,
    /// Whether the user trusts the file with the computer.
    trusted: bool,
    /// What the file prints.
    pub printed: RefCell<String>,
    /// Plugins of Vagrant that the file believes to have installed.
    pub installed: Installed,
    /// It wants to start Vagrant anew, now that they are.
    pub again: RefCell<bool>,
}

impl Policy {
    pub fn new(root: &Path, home: Option<PathBuf>, trusted: bool) -> Self {
        Self {
            root: root.to_owned(),
            home: home.unwrap_or_else(|| "/".into()),
            trusted,
            printed: RefCell::default(),
            installed: Installed::default(),
            again: RefCell::default(),
        }
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
        if self.trusted {
            return true;
        }
        // Links count as what they lead to.
        let Ok(real) = path.canonicalize() else { return false };
        let below = |folder: &Path| {
            folder != Path::new("/") && folder.canonicalize().is_ok_and(|folder| real.starts_with(folder))
        };
        below(&self.root) || below(&self.home) || SYSTEM.contains(&path.to_str().unwrap_or_default())
    }

    /// Many files install plugins by themselves and then start Vagrant anew. Both is only noted: no plugin runs here.
    fn answer(&self, line: &str) -> Option<Output> {
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        match words[..] {
            ["vagrant", "plugin", verb, ref names @ ..] => {
                if matches!(verb, "install" | "update") {
                    let names = names.iter().take_while(|name| !name.starts_with('-') && **name != "&&");
                    self.installed.borrow_mut().extend(names.map(|name| (*name).to_owned()));
                }
                Some(Output::default())
            }
            ["vagrant", "--version" | "-v"] => {
                Some(Output { text: format!("Vagrant {}\n", super::vagrant::VERSION), status: 0 })
            }
            // Files ask whether it is too old for them; machines run on another hypervisor anyway.
            [program, "--version" | "-v"] if program.eq_ignore_ascii_case("VBoxManage") => {
                Some(Output { text: "7.1.12r169651\n".into(), status: 0 })
            }
            [program, "list" | "showvminfo" | "showhdinfo" | "showmediuminfo", ..]
                if program.eq_ignore_ascii_case("VBoxManage") && !line.contains(['|', '>', ';', '&']) =>
            {
                // Where machines would lie, which files put their disks next to; nothing else is known.
                let folder = self.home.join("VirtualBox VMs");
                let folder = format!("Default machine folder:          {}\n", folder.display());
                let text = if line.ends_with("systemproperties") { folder } else { String::new() };
                (!self.trusted).then_some(Output { text, status: 0 })
            }
            _ => None,
        }
    }

    /// Vagrant's own files, and its plugins: what they bring is here, or is listed as left out.
    fn provides(&self, library: &str) -> bool {
        library.starts_with("vagrant/") || library.starts_with("vagrant-")
    }

    fn may_run(&self, line: &str) -> Result<(), String> {
        if line.split_whitespace().next() == Some("vagrant") {
            *self.again.borrow_mut() = true;
            return Err(format!("it wants to start Vagrant itself: `{line}`"));
        }
        if self.trusted { Ok(()) } else { Err(format!("it wants to run a command on this computer: `{line}`")) }
    }

    fn may_write(&self, path: &Path) -> Result<(), String> {
        if self.trusted { Ok(()) } else { Err(format!("it wants to change {}", path.display())) }
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

/// For what is not even the project's own: it sees nothing, and what it prints is kept.
#[derive(Default)]
pub struct Sealed {
    pub printed: RefCell<String>,
}

impl Host for Sealed {
    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn envs(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn may_see(&self) -> bool {
        false
    }

    fn may_read(&self, _path: &Path) -> bool {
        false
    }

    fn may_look(&self) -> bool {
        false
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
        "/".into()
    }

    fn current_dir(&self) -> PathBuf {
        "/".into()
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}
