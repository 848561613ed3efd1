//! Programs of the host: which ones the build needs, and how they are run.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Error, mirror};
use crate::progress::Cx;
use crate::trace;

/// A program or file of the host, and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tool {
    /// Name for people: the program's.
    pub name: &'static str,
    /// What to install.
    pub package: &'static str,
}

const PROGRAMS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("tar", "tar"),
    ("setpriv", "util-linux"),
    ("mke2fs", "e2fsprogs"),
    ("grub-mkimage", "grub-common"),
    ("qemu-img", "qemu-utils"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];
/// What an ordinary user needs beside them.
const PROGRAMS_OF_USERS: &[(&str, &str)] = &[("unshare", "util-linux"), ("newuidmap", "uidmap")];
const FILES: &[(&str, &str)] = &[(GRUB_BOOT, "grub-pc-bin"), (mirror::KEYRING, "debian-archive-keyring")];

/// What GRUB for UEFI is made of.
const EFI_FILES: &[(&str, &str)] = &[("/usr/lib/grub/x86_64-efi/moddep.lst", "grub-efi-amd64-bin")];

/// GRUB's first sector.
pub(super) const GRUB_BOOT: &str = "/usr/lib/grub/i386-pc/boot.img";

/// A program that was asked to stop gets this long to remove what it made.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// How much of the log an error shows.
const TAIL_LINES: usize = 12;

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where programs are looked for: `mke2fs` lies where ordinary users do not look.
fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

/// Everything that is missing, at once; `efi`: for a box that starts by UEFI too.
pub(super) fn check(efi: bool) -> Result<(), Error> {
    let path = search_path();
    let found = |name: &str| env::split_paths(&path).any(|dir| !dir.as_os_str().is_empty() && dir.join(name).is_file());
    let mut missing = Vec::new();
    let users = if is_root() { &[] } else { PROGRAMS_OF_USERS };
    for &(name, package) in PROGRAMS.iter().chain(users) {
        if !found(name) {
            missing.push(Tool { name, package });
        }
    }
    for &(name, package) in FILES.iter().chain(if efi { EFI_FILES } else { &[] }) {
        if !Path::new(name).is_file() {
            missing.push(Tool { name, package });
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingTools { missing }) }
}

/// Where programs run: their directory, and the log that takes what they say.
#[derive(Debug)]
pub(super) struct Workshop {
    pub dir: PathBuf,
    pub log: PathBuf,
}

impl Workshop {
    /// A command that runs here, in a process group of its own, so that it and its children can be stopped together.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        // Whatever happens to us, even `kill -9`: it is told to stop, and nobody goes on building for nobody.
        command.args(["--pdeathsig", "TERM", "--", program]);
        command.current_dir(&self.dir).env("PATH", search_path()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// The same as root: of a user namespace, where we are not root ourselves. There our own user is root, so that
    /// directories which only we may enter stay open.
    pub fn command_as_root(&self, program: &str) -> Command {
        if is_root() {
            return self.command(program);
        }
        let mut command = self.command("unshare");
        command.args(["--map-auto", "--map-root-user", "--kill-child", "--", program]);
        command
    }

    /// Runs a command of ours to its end. Its output goes to the log; with `output`, its standard output goes there
    /// instead. `program` is its name in messages.
    pub fn run(&self, cx: &Cx, program: &str, mut command: Command, output: Option<&Path>) -> Result<(), Error> {
        cx.check()?;
        let program = program.to_owned();
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let log = || options.open(&self.log).map_err(|e| Error::io("write", &self.log, e));
        let stdout = match output {
            Some(path) => File::create(path).map_err(|e| Error::io("write", path, e))?,
            None => log()?,
        };
        command.stdout(stdout).stderr(log()?);
        trace::command(&command);
        let child = command.spawn().map_err(|source| Error::NotStarted { program: program.clone(), source })?;
        let status = Running(Some(child)).wait(cx).map_err(|stop| match stop {
            Stop::Interrupted(interrupted) => Error::Interrupted(interrupted),
            Stop::Io(e) => Error::io("wait for", &program, e),
        })?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed { program, status, tail: tail(&self.log), log: self.log.clone() })
    }
}

/// What `program arguments` prints, or nothing: for questions whose answer is welcome, not needed.
pub(super) fn ask(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", search_path()).stdin(Stdio::null());
    command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// A child that does not outlive us, whichever way we leave.
struct Running(Option<Child>);

enum Stop {
    Interrupted(crate::progress::Interrupted),
    Io(std::io::Error),
}

impl Running {
    fn wait(mut self, cx: &Cx) -> Result<ExitStatus, Stop> {
        loop {
            let Some(child) = &mut self.0 else { return Err(Stop::Io(std::io::ErrorKind::NotFound.into())) };
            if let Some(status) = child.try_wait().map_err(Stop::Io)? {
                self.0 = None;
                return Ok(status);
            }
            cx.sleep(POLL).map_err(Stop::Interrupted)?;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
        // Failures mean that it has ended by itself.
        let _ = kill_process_group(group, Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
    }
}

/// The log's last lines.
fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(16 << 10);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Removes a directory in which files may belong to users of a user namespace.
pub(super) fn clear(dir: &Path) -> Result<(), Error> {
    if !dir.exists() {
        return Ok(());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(mount) =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|at| Path::new(at).starts_with(dir))
    {
        let problem = format!("{mount} is mounted in it; unmount it first");
        return Err(Error::Unexpected { what: "what a former build left", problem });
    }
    if fs::remove_dir_all(dir).is_err() && !is_root() {
        let parent = dir.parent().unwrap_or(dir);
        let workshop = Workshop { dir: parent.into(), log: PathBuf::from("/dev/null") };
        let mut command = workshop.command_as_root("rm");
        command.arg("-rf").arg("--").arg(dir);
        workshop.run(&Cx::silent(), "rm", command, None)?;
    }
    Ok(crate::store::remove_dir(dir)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancel, Silent};
    use std::sync::Arc;

    fn workshop(dir: &Path) -> Workshop {
        Workshop { dir: dir.into(), log: dir.join("log") }
    }

    fn shell(workshop: &Workshop, script: &str) -> Command {
        let mut command = workshop.command("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_shows_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = workshop(dir.path());
        let script = "seq 1 30; echo 'no space' >&2; exit 3";
        let error = workshop.run(&Cx::silent(), "sh", shell(&workshop, script), None).unwrap_err().to_string();
        assert!(error.starts_with("sh failed (exit status: 3); its last lines:\n20\n"), "{error}");
        assert!(error.ends_with("30\nno space"), "{error}");
    }

    #[test]
    fn cancelling_ends_the_children_too() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = workshop(dir.path());
        let cancel = Cancel::default();
        let cx = Cx::new(Arc::new(Silent), cancel.clone());
        let pid_file = dir.path().join("pid");
        let waiter = std::thread::spawn({
            let pid_file = pid_file.clone();
            move || {
                while fs::read_to_string(&pid_file).unwrap_or_default().is_empty() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                cancel.raise();
            }
        });
        let result = workshop.run(&cx, "sh", shell(&workshop, "sleep 600 & echo $! >pid; wait"), None);
        assert!(matches!(result, Err(Error::Interrupted(_))));
        waiter.join().unwrap();
        let pid = fs::read_to_string(&pid_file).unwrap();
        // It was killed, and is gone once the kernel gets to it.
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z") {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        use crate::error::Explain;
        let tool = |name, package| Tool { name, package };
        let one = Error::MissingTools { missing: vec![tool("mmdebstrap", "mmdebstrap")] };
        assert_eq!(one.to_string(), "building a box needs mmdebstrap, which is not installed here");
        let two = Error::MissingTools { missing: vec![tool("mke2fs", "e2fsprogs"), tool(GRUB_BOOT, "grub-pc-bin")] };
        assert_eq!(two.hint().unwrap(), "sudo apt-get install e2fsprogs grub-pc-bin");
    }
}
