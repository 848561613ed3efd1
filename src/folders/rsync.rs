//! The system's rsync over our SSH.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::guest_side::Prepared;
use super::{Error, Rules, SshFiles};
use crate::progress::{Cx, Interrupted};
use crate::trace;

/// What rsync says when files vanished while it read them.
const VANISHED: i32 = 24;

/// How soon a cancelled rsync is noticed.
const POLL: Duration = Duration::from_millis(50);

/// How long a cancelled rsync has to remove its temporary files.
const GRACE: Duration = Duration::from_secs(2);

/// How many lines of its complaints are kept.
const TAIL: usize = 5;

/// Copies as `scp -a` would, and removes what is gone.
const DEFAULT_ARGS: [&str; 2] = ["-a", "--delete"];

/// Whether this host has what it takes.
pub fn installed() -> bool {
    find("rsync").is_some() && find("ssh").is_some()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// rsync's arguments.
pub fn args(from: &Path, place: &Prepared, ssh: &SshFiles<'_>, rules: &Rules, own: Option<&[String]>) -> Vec<OsString> {
    let mut args: Vec<OsString> = match own {
        Some(own) => own.iter().map(Into::into).collect(),
        None => DEFAULT_ARGS.map(Into::into).into(),
    };
    args.extend(rules.patterns().iter().map(|pattern| format!("--exclude={pattern}").into()));
    args.push(format!("--chown={}:{}", place.uid, place.gid).into());
    if place.sudo {
        args.push("--rsync-path=sudo -n rsync".into());
    }
    // `-s`: no shell of the guest takes the folder's name apart.
    args.extend(["-s", "--stats", "--info=progress2", "--no-human-readable", "-e"].map(Into::into));
    // rsync divides this at spaces, and knows quotes of which a doubled one stands for itself.
    let config = ssh.config.as_os_str();
    let mut shell = OsString::from("ssh -o BatchMode=yes -F '");
    match config.to_str() {
        Some(text) => shell.push(text.replace('\'', "''")),
        None => shell.push(config),
    }
    shell.push("'");
    args.push(shell);
    args.push("--".into());
    let mut source = from.as_os_str().to_owned();
    source.push("/");
    args.push(source);
    args.push(format!("{}:{}/", ssh.host, place.path).into());
    args
}

/// What rsync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Files that were not yet there or not the same.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

impl Stats {
    /// Learns from a line of `--stats`.
    fn read(&mut self, line: &str) {
        let number = |prefix: &str| -> Option<u64> {
            let digits: String = line.strip_prefix(prefix)?.chars().filter(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        if let Some(files) = number("Number of regular files transferred: ") {
            self.files = files;
        }
        if let Some(bytes) = number("Total transferred file size: ") {
            self.bytes = bytes;
        }
    }
}

/// The bytes in a line of `--info=progress2`.
fn progress(line: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let bytes = words.next()?.replace(',', "").parse().ok()?;
    words.next()?.ends_with('%').then_some(bytes)
}

/// Runs rsync until it ends or the user cancels.
pub fn run(cx: &Cx, args: &[OsString], label: &str, guest: &str) -> Result<Stats, Error> {
    let mut command = Command::new("rsync");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RSYNC_")) {
        command.env_remove(name);
    }
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    trace::command(&command);
    let mut child = command.spawn().map_err(Error::Spawn)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let moved = AtomicU64::new(0);
    let (tell, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let numbers = scope.spawn(|| {
            let _end = tell;
            let mut stats = Stats::default();
            each_line(stdout, &mut |line| {
                stats.read(line);
                if let Some(bytes) = progress(line) {
                    moved.store(bytes, Ordering::Relaxed);
                }
            });
            stats
        });
        let complaints = scope.spawn(|| {
            let mut tail = VecDeque::with_capacity(TAIL);
            each_line(stderr, &mut |line| {
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(line.to_owned());
            });
            tail
        });
        let waited = wait(cx, &mut child, label, &moved, &ended);
        // Both threads end with the pipes, which end with the process.
        let stats = numbers.join().unwrap_or_default();
        let tail = complaints.join().unwrap_or_default();
        match waited? {
            0 => Ok(stats),
            VANISHED => {
                cx.note("some files vanished while they were copied");
                Ok(stats)
            }
            code => Err(Error::Rsync { guest: guest.into(), status: code, said: Vec::from(tail).join("; ") }),
        }
    })
}

fn wait(cx: &Cx, child: &mut Child, label: &str, moved: &AtomicU64, ended: &mpsc::Receiver<()>) -> Result<i32, Error> {
    let mut transfer = cx.transfer(label, None);
    while ended.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
        transfer.update(moved.load(Ordering::Relaxed));
        if let Err(interrupted) = cx.check() {
            return Err(stop(child, ended, interrupted));
        }
    }
    let status = child.wait().map_err(Error::Spawn)?;
    Ok(status.code().unwrap_or(-1))
}

fn stop(child: &mut Child, ended: &mpsc::Receiver<()>, interrupted: Interrupted) -> Error {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, Signal::TERM);
    }
    if ended.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
        let _ = child.kill();
    }
    let _ = child.wait();
    interrupted.into()
}

/// Calls `each` with every line, of which progress bars end theirs by a carriage return; the rest of a line that is too
/// long is dropped.
fn each_line(from: Option<impl Read>, each: &mut dyn FnMut(&str)) {
    const LIMIT: usize = 1000;
    let mut line = Vec::new();
    for byte in from.map(BufReader::new).into_iter().flat_map(BufReader::bytes).map_while(io::Result::ok) {
        if matches!(byte, b'\n' | b'\r') {
            each(String::from_utf8_lossy(&line).trim());
            line.clear();
        } else if line.len() < LIMIT {
            line.push(byte);
        }
    }
    if !line.is_empty() {
        each(String::from_utf8_lossy(&line).trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Prepared {
        let path = "/srv/my app".into();
        Prepared { path, uid: 1000, gid: 1001, rsync: true, empty: false, sudo: true, content: None }
    }

    #[test]
    fn the_command_line_holds_the_excludes_the_owner_and_our_ssh() {
        let ssh = SshFiles { config: Path::new("/home/o'neil/vm 1/config"), host: "web" };
        let rules = Rules::new(&["*.o".into()]);
        let ours: Vec<_> = args(Path::new("/src"), &place(), &ssh, &rules, None);
        let expected = [
            "-a",
            "--delete",
            "--exclude=.git/",
            "--exclude=.vbox-rs/",
            "--exclude=.vagrant/",
            "--exclude=*.o",
            "--chown=1000:1001",
            "--rsync-path=sudo -n rsync",
            "-s",
            "--stats",
            "--info=progress2",
            "--no-human-readable",
            "-e",
            "ssh -o BatchMode=yes -F '/home/o''neil/vm 1/config'",
            "--",
            "/src/",
            "web:/srv/my app/",
        ];
        assert_eq!(ours, expected);
        let theirs = args(Path::new("/src"), &place(), &ssh, &rules, Some(&["-rltz".into()]));
        assert_eq!(theirs[..2], ["-rltz", "--exclude=.git/"]);
    }

    #[test]
    fn its_numbers_are_read() {
        let mut stats = Stats::default();
        let text = "Number of files: 5 (reg: 3, dir: 2)\nNumber of regular files transferred: 1,203\n\
                    Total file size: 99 bytes\nTotal transferred file size: 1,234,567 bytes\n";
        text.lines().for_each(|line| stats.read(line));
        assert_eq!(stats, Stats { files: 1203, bytes: 1_234_567 });
        assert_eq!(progress("     1,032,768  45%   12.50MB/s    0:00:01 (xfr#1, to-chk=3/5)"), Some(1_032_768));
        assert_eq!(progress("Number of files: 5"), None);
    }

    #[test]
    fn lines_are_bounded_and_a_progress_bar_has_many() {
        let mut lines = Vec::new();
        let long = format!("a\rb\r\n{}\nend", "x".repeat(5000));
        each_line(Some(long.as_bytes()), &mut |line| lines.push(line.len()));
        assert_eq!(lines, [1, 1, 0, 1000, 3]);
    }
}
