//! A guest for tests: a shell on this host, in a folder of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::Remote;
use crate::guest::{self, GuestCommand};
use crate::progress::{Cancel, Cx, Event, Sink, Stream};

/// Runs commands by `sh` with its own home, a `sudo` that does nothing, and `bin` first in `PATH`.
pub struct LocalGuest {
    dir: tempfile::TempDir,
    /// How many commands ran.
    pub runs: usize,
}

impl LocalGuest {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "home", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let guest = Self { dir, runs: 0 };
        guest.tool("sudo", "while case \"$1\" in -*) ;; *) false;; esac; do shift; done; exec \"$@\"");
        guest
    }

    /// A path in the guest.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Puts a script into `PATH`.
    pub fn tool(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Remote for LocalGuest {
    fn run(
        &mut self,
        _cx: &Cx,
        command: GuestCommand<'_>,
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, guest::Error> {
        self.runs += 1;
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display());
        let mut child = Command::new("sh")
            .args(["-c", &command.line])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.path("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut input = Vec::new();
        if let Some(from) = command.stdin {
            from.read_to_end(&mut input).unwrap();
        }
        // A command that does not read to the end is fine.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        for (stream, bytes) in [(Stream::Stdout, &output.stdout), (Stream::Stderr, &output.stderr)] {
            bytes.chunks(7).for_each(|chunk| on_output(stream, chunk));
        }
        Ok(output.status.code().unwrap_or(255))
    }
}

/// Remembers what was told.
#[derive(Default)]
pub struct Told(Mutex<Vec<Event>>);

impl Sink for Told {
    fn emit(&self, _: Option<&str>, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Told {
    pub fn cx() -> (Arc<Self>, Cx) {
        let told = Arc::new(Self::default());
        (told.clone(), Cx::new(told, Cancel::default()))
    }

    /// Notes and warnings.
    pub fn remarks(&self) -> Vec<String> {
        self.pick(|event| match event {
            Event::Note(text) | Event::Warning(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Lines of guest commands.
    pub fn output(&self) -> Vec<String> {
        self.pick(|event| match event {
            Event::Output { line, .. } => Some(line.clone()),
            _ => None,
        })
    }

    fn pick(&self, choose: impl Fn(&Event) -> Option<String>) -> Vec<String> {
        self.0.lock().unwrap().iter().filter_map(choose).collect()
    }
}
