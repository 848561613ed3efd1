//! Running VBoxManage: bounded in time and output, in one language, with a trace, and again where it will pass.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::Error;
use super::fault::Fault;
use super::find::{self, Host};
use crate::progress::Cx;
use crate::{sys, trace};

/// How long a call may take. Some stall for ten seconds and go on.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a call may take in whose place something else can be done.
const BRIEF_LIMIT: Duration = Duration::from_secs(15);

/// How long a call may take that only asks, with all its tries: they take 20 to 250 ms, and who looks at a state waits
/// for nothing else.
const QUERY_LIMIT: Duration = Duration::from_secs(5);

/// The same where the last one had to be given up: who looks at many machines does not wait as long for each of them.
const AFTER_SILENCE: Duration = Duration::from_secs(1);

/// Whether the last call of this process that only asked had to be given up.
static SILENT: AtomicBool = AtomicBool::new(false);

/// How long a call may take that starts a machine, or copies what belongs to it.
const LONG_LIMIT: Duration = Duration::from_secs(1800);

/// How often a running call looks whether it should stop.
const TICK: Duration = Duration::from_millis(5);

/// More than any answer has.
const OUTPUT_LIMIT: usize = 4 << 20;

/// How long output may come after the end of the program: its service may keep the pipe open.
const DRAIN: Duration = Duration::from_millis(500);

/// How long we try again what fails because somebody else is at it for a moment.
const PATIENCE: Duration = Duration::from_secs(8);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(150);

/// VBoxManage, where it is installed.
#[derive(Clone, Debug)]
pub struct Manage {
    program: PathBuf,
}

impl Manage {
    /// Looks for it; starts nothing.
    pub fn find() -> Result<Self, Error> {
        let variable = |name: &str| env::var_os(name);
        let runs = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        let host = Host { system: env::consts::OS, wsl: in_wsl(), variable: &variable, runs: &runs };
        let program = find::find(&host).ok_or_else(missing)?;
        Ok(Self { program })
    }

    /// One of Windows, seen from the Linux inside of it, would look for our files on its own drives.
    pub fn require_native(self) -> Result<Self, Error> {
        if !find::is_foreign(env::consts::OS, &self.program) {
            return Ok(self);
        }
        let hint = "use `provider = \"qemu\"`, or run vbox-rs on a Linux that has VirtualBox itself";
        Err(Error::Unable { provider: "VirtualBox for Windows", what: "read the files of a Linux inside of WSL", hint })
    }

    /// Where it lies.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs a call and returns what it printed on standard output.
    pub fn call(&self, cx: &Cx, args: &[OsString]) -> Result<String, Error> {
        self.patient(cx, args, LIMIT)
    }

    /// The same for a call that only asks.
    pub fn query(&self, cx: &Cx, args: &[OsString]) -> Result<String, Error> {
        self.ask(cx, args, QUERY_LIMIT, AFTER_SILENCE)
    }

    fn ask(&self, cx: &Cx, args: &[OsString], limit: Duration, after: Duration) -> Result<String, Error> {
        let answer = if SILENT.load(Ordering::Relaxed) {
            self.patient(cx, args, after)
        } else {
            // Some stall for ten seconds, mostly when the service was killed before: then a second one answers at once.
            let first = limit * 3 / 5;
            match self.patient(cx, args, first) {
                Err(Error::Stalled { .. }) => match self.patient(cx, args, limit.saturating_sub(first)) {
                    Err(Error::Stalled { program, .. }) => Err(Error::Stalled { program, limit }),
                    answer => answer,
                },
                answer => answer,
            }
        };
        SILENT.store(matches!(answer, Err(Error::Stalled { .. })), Ordering::Relaxed);
        answer
    }

    /// The same for a call whose work is done in another way where it stalls.
    pub fn brief_call(&self, cx: &Cx, args: &[OsString]) -> Result<String, Error> {
        self.patient(cx, args, BRIEF_LIMIT)
    }

    /// The same for a call that may take long.
    pub fn long_call(&self, cx: &Cx, args: &[OsString]) -> Result<String, Error> {
        self.patient(cx, args, LONG_LIMIT)
    }

    fn patient(&self, cx: &Cx, args: &[OsString], limit: Duration) -> Result<String, Error> {
        let began = Instant::now();
        let patience = PATIENCE.min(limit / 2);
        loop {
            match self.once(cx, args, limit.saturating_sub(began.elapsed())) {
                Err(Error::Virtualbox(fault))
                    if (fault.passes() || (only_asks(args) && fault.is_odd())) && began.elapsed() < patience =>
                {
                    trace::tell(|| format!("{fault}: trying again"));
                    cx.sleep(PAUSE)?;
                }
                Err(Error::Stalled { program, .. }) => return Err(Error::Stalled { program, limit }),
                result => return result,
            }
        }
    }

    /// Runs a call once, whatever comes of it.
    pub fn once(&self, cx: &Cx, args: &[OsString], limit: Duration) -> Result<String, Error> {
        cx.check()?;
        let verb = args.first().map(|verb| verb.to_string_lossy().into_owned()).unwrap_or_default();
        let began = Instant::now();
        let mut command = self.command(args);
        trace::command(&command);
        let failed = |source| Error::Run { program: self.program.display().to_string(), source };
        let running = Running(command.spawn().map_err(failed)?);
        let Some((status, stdout, stderr)) = running.watch(cx, limit)? else {
            return Err(Error::Stalled { program: format!("VBoxManage {verb}"), limit });
        };
        trace::tell(|| format!("VBoxManage {verb} ended after {:.1?}: {status}", began.elapsed()));
        match Fault::read(&verb, &stderr) {
            // Some calls print an error and end well (`discardstate`).
            Some(fault) => Err(fault.into()),
            None if !status.success() => Err(Fault::silent(&verb, &status.to_string(), &stderr).into()),
            None => Ok(stdout),
        }
    }

    fn command(&self, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        // Under `C` its runtime refuses every argument that is not ASCII; other locales translate what we read.
        command.env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE").args(args);
        // A group of its own: Ctrl-C is our part, and must not reach a service that it starts.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        sys::die_with_parent(&mut command);
        command
    }
}

/// Whether a call changes nothing, so that it may be made again whatever came of it.
fn only_asks(args: &[OsString]) -> bool {
    args.first().is_some_and(|verb| verb == "showvminfo" || verb == "list")
}

fn missing() -> Error {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Error::Missing { program: "VBoxManage".into(), fix: Some(install(&release)) }
}

/// What installs VirtualBox.
fn install(release: &str) -> String {
    let words = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let names = format!("{} {}", words("ID"), words("ID_LIKE"));
    let command = names.split(' ').find_map(|name| match name {
        "ubuntu" => Some("sudo apt-get install virtualbox"),
        "fedora" => Some("sudo dnf install VirtualBox (from RPM Fusion)"),
        "arch" => Some("sudo pacman -S virtualbox virtualbox-host-dkms"),
        "opensuse" | "suse" => Some("sudo zypper install virtualbox"),
        _ => None,
    });
    let command = command.unwrap_or("install VirtualBox from https://www.virtualbox.org/wiki/Downloads");
    format!("{command}; where it lies elsewhere, set VBOX_INSTALL_PATH to its folder")
}

fn in_wsl() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.to_ascii_lowercase().contains("microsoft")
}

/// A child that does not outlive us, whichever way we leave.
struct Running(Child);

impl Running {
    /// Waits for the end and what was printed; `None` when it takes longer than `limit`.
    fn watch(mut self, cx: &Cx, limit: Duration) -> Result<Option<(ExitStatus, String, String)>, Error> {
        let failed = |source| Error::Run { program: "VBoxManage".into(), source };
        let stdout = Pipe::read(self.0.stdout.take());
        let stderr = Pipe::read(self.0.stderr.take());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().map_err(failed)? {
                break status;
            }
            if began.elapsed() > limit {
                return Ok(None);
            }
            cx.sleep(TICK)?;
        };
        Ok(Some((status, stdout.text(), stderr.text())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Failures mean that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a pipe brings, read in a thread of its own, so that neither pipe stops the program.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Pipe {
    fn read(from: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (send, end) = channel();
        let into = Arc::clone(&bytes);
        std::thread::spawn(move || {
            if let Some(mut from) = from {
                let mut block = [0; 16 << 10];
                while let Ok(amount @ 1..) = from.read(&mut block) {
                    let mut bytes = into.lock().unwrap_or_else(PoisonError::into_inner);
                    // What comes beyond is read too, or the program would never end.
                    let room = OUTPUT_LIMIT.saturating_sub(bytes.len()).min(amount);
                    bytes.extend_from_slice(&block[..room]);
                }
            }
            let _ = send.send(());
        });
        Self { bytes, end }
    }

    /// What came, once it has ended; or until now, where a service of the program's keeps it open.
    fn text(self) -> String {
        let _ = self.end.recv_timeout(DRAIN);
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explain;
    use crate::progress::{Cancel, Silent};

    /// A VBoxManage that does what `script` says.
    fn fake(script: &str) -> (tempfile::TempDir, Manage) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("VBoxManage");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (dir, Manage { program })
    }

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn one_of_windows_is_refused_and_said_to_be_one() {
        let (_dir, manage) = fake("exit 0");
        let of_windows = Manage { program: "/mnt/c/Program Files/Oracle/VirtualBox/VBoxManage.exe".into() };
        let error = of_windows.require_native().unwrap_err();
        assert_eq!(error.to_string(), "VirtualBox for Windows cannot read the files of a Linux inside of WSL");
        assert!(error.hint().unwrap().contains("qemu"));
        assert!(manage.require_native().is_ok());
    }

    #[test]
    fn it_speaks_english_and_takes_any_name() {
        let (_dir, manage) = fake("echo \"$LC_ALL $1\"; echo 0%...100% >&2");
        assert_eq!(manage.call(&Cx::silent(), &args(&["ü"])).unwrap(), "C.UTF-8 ü\n");
    }

    #[test]
    fn an_error_with_exit_code_zero_is_an_error() {
        let (_dir, manage) = fake("echo 'VBoxManage: error: Cannot discard the saved state' >&2");
        let error = manage.call(&Cx::silent(), &args(&["discardstate", "x"])).unwrap_err();
        assert_eq!(error.to_string(), "`VBoxManage discardstate` failed: Cannot discard the saved state");
    }

    #[test]
    fn what_is_locked_for_a_moment_is_tried_again() {
        let script = "cd \"${0%/*}\"; n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) >n; [ $n -ge 2 ] && exit 0
echo \"VBoxManage: error: The machine 'b1' is already locked for a session (or being unlocked)\" >&2; exit 1";
        let (dir, manage) = fake(script);
        manage.call(&Cx::silent(), &args(&["modifyvm"])).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("n")).unwrap(), "3\n");
        fs::remove_file(dir.path().join("n")).unwrap();
        let error = manage.once(&Cx::silent(), &args(&["modifyvm"]), LIMIT).unwrap_err();
        assert!(error.hint().unwrap().contains("close the VirtualBox window"));
    }

    #[test]
    fn a_call_that_hangs_is_ended() {
        let (_dir, manage) = fake("exec sleep 60");
        let error = manage.once(&Cx::silent(), &args(&["startvm"]), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().starts_with("`VBoxManage startvm` did not end within"), "{error}");
        let cancel = Cancel::default();
        cancel.raise();
        let cx = Cx::new(std::sync::Arc::new(Silent), cancel);
        assert!(matches!(manage.call(&cx, &args(&["startvm"])), Err(Error::Interrupted(_))));
    }

    #[test]
    fn who_only_asks_asks_a_second_time_where_the_first_stalls() {
        let (_dir, manage) = fake("cd \"${0%/*}\"; [ -e asked ] || { >asked; exec sleep 60; }; echo answer");
        // Long enough for an answer on a busy host.
        let limit = Duration::from_secs(10);
        assert_eq!(manage.ask(&Cx::silent(), &args(&["list"]), limit / 2, limit).unwrap(), "answer\n");
    }

    #[test]
    fn who_only_asks_waits_for_seconds_and_then_for_less_until_there_is_an_answer() {
        let (dir, manage) = fake("[ -e \"${0%/*}/well\" ] || exec sleep 60; echo answer");
        let (first, after) = (Duration::from_millis(200), Duration::from_millis(50));
        let ask = || manage.ask(&Cx::silent(), &args(&["list"]), first, after);
        let waited = || match ask().unwrap_err() {
            Error::Stalled { limit, .. } => limit,
            other => panic!("{other}"),
        };
        assert_eq!([waited(), waited()], [first, after]);
        fs::write(dir.path().join("well"), "").unwrap();
        // On a busy host it takes longer than those.
        manage.ask(&Cx::silent(), &args(&["list"]), LIMIT, LIMIT).unwrap();
        fs::remove_file(dir.path().join("well")).unwrap();
        assert_eq!(waited(), first);
    }

    #[test]
    fn more_output_than_any_answer_has_does_no_harm() {
        let (_dir, manage) = fake("head -c 9000000 /dev/zero | tr '\\0' x");
        let length = manage.call(&Cx::silent(), &args(&["list"])).unwrap().len();
        assert_eq!(length, OUTPUT_LIMIT);
    }

    #[test]
    fn a_service_that_keeps_the_pipe_does_not_hold_us() {
        let (_dir, manage) = fake("echo answer; sleep 3 & exit 0");
        assert_eq!(manage.call(&Cx::silent(), &args(&["list"])).unwrap(), "answer\n");
    }

    #[test]
    fn each_distribution_is_told_what_installs_it() {
        for (release, words) in [
            ("ID=ubuntu\n", "apt-get install virtualbox"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install virtualbox"),
            ("ID=fedora\n", "dnf install VirtualBox"),
            ("ID=debian\n", "virtualbox.org"),
            ("", "VBOX_INSTALL_PATH"),
        ] {
            assert!(install(release).contains(words), "{release}");
        }
    }
}
