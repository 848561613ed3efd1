//! What a machine file may see of the computer: the environment, the files of its project and of the user's home, and the
//! answers to common harmless commands. Running others and changing files takes the user's trust.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ruby::{Host, Output, Stream};
use super::vagrant::Installed;

/// Files of the system that tell what kind of computer it is.
const SYSTEM: &[&str] =
    &["/proc/cpuinfo", "/proc/meminfo", "/proc/version", "/etc/os-release", "/etc/hostname", "/etc/timezone"];

/// Variables that hold what only we need.
const OUR_SECRETS: &[&str] = &["VBOX_RS_TOKEN", "VAGRANT_CLOUD_TOKEN", "ATLAS_TOKEN", "VBOX_RS_OCI_PASSWORD"];

/// Where people keep what lets one in elsewhere, below their home: it is for no guest unless they say so. Public halves of
/// keys and the ssh client's settings are not among it.
const SECRETS: &[&str] = &[
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".local/share/vbox-rs",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pypirc",
    ".ssh",
    ".vagrant.d/data",
];

/// What of `.ssh` anybody may know.
const PUBLIC_OF_SSH: &[&str] = &["authorized_keys", "config", "known_hosts"];

/// Whether a file below the home is one of these.
fn is_secret(home: &Path, path: &Path) -> bool {
    let real_home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let Some(inside) = [home, &real_home].into_iter().find_map(|home| path.strip_prefix(home).ok()) else {
        return false;
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_public_half = path.extension().is_some_and(|ending| ending == "pub");
    let public = inside.starts_with(".ssh") && (is_public_half || PUBLIC_OF_SSH.contains(&name) || path.is_dir());
    SECRETS.iter().any(|place| inside.starts_with(place)) && !public
}

/// The policy for a project's own machine file.
pub struct Policy {
    root: PathBuf,
    home: PathBuf,
    /// Whether the user trusts the file with the computer.
    trusted: bool,
    /// Files and folders that it looked at, also those that are not there: what it does may depend on each.
    pub looked_at: RefCell<BTreeSet<PathBuf>>,
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
            looked_at: RefCell::default(),
            printed: RefCell::default(),
            installed: Installed::default(),
            again: RefCell::default(),
        }
    }
}

impl Host for Policy {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|_| self.trusted || !OUR_SECRETS.contains(&name))
    }

    fn envs(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| self.trusted || !OUR_SECRETS.contains(&name.as_str()))
            .collect()
    }

    fn looked_at(&self, path: &Path) {
        self.looked_at.borrow_mut().insert(path.to_owned());
    }

    fn is_trusted(&self) -> bool {
        self.trusted
    }

    fn may_read(&self, path: &Path) -> bool {
        self.looked_at(path);
        if self.trusted {
            return true;
        }
        // Links count as what they lead to.
        let Ok(real) = path.canonicalize() else { return false };
        let below = |folder: &Path| {
            folder != Path::new("/") && folder.canonicalize().is_ok_and(|folder| real.starts_with(folder))
        };
        let secret = || is_secret(&self.home, path) || is_secret(&self.home, &real);
        below(&self.root) || (below(&self.home) && !secret()) || SYSTEM.contains(&path.to_str().unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_not_trusted_reads_the_project_and_the_home_but_no_secrets_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (home, root) = (dir.path().join("home"), dir.path().join("project"));
        fs::create_dir_all(home.join(".ssh")).unwrap();
        fs::create_dir_all(&root).unwrap();
        let file = |path: PathBuf| {
            fs::write(&path, "x").unwrap();
            path
        };
        let policy = |trusted| Policy::new(&root, Some(home.clone()), trusted);
        let (key, outside) = (file(home.join(".ssh/id_rsa")), file(dir.path().join("outside")));
        std::os::unix::fs::symlink(&key, root.join("link")).unwrap();
        for (path, may) in [
            (file(root.join("a.yml")), true),
            (file(home.join(".vagrant.yml")), true),
            (file(home.join(".ssh/id_rsa.pub")), true),
            (file(home.join(".ssh/config")), true),
            (home.join(".ssh"), true),
            (key, false),
            (root.join("link"), false),
            (file(home.join(".netrc")), false),
            (outside, false),
        ] {
            assert_eq!(policy(false).may_read(&path), may, "{}", path.display());
            assert!(policy(true).may_read(&path));
        }
    }
}
