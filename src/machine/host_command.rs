//! Runs a command on this computer for a trigger, and tells what it prints.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::config;
use crate::config::spec::{HostCommand, Script};
use crate::progress::{Cx, Interrupted, Stream};
use crate::provision::Lines;
use crate::sys::GroupLeader;

/// How often it is looked whether the user wants to stop.
const TICK: Duration = Duration::from_millis(50);

/// How long the last output of a command is awaited that has ended: what it left in the background may go on printing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Pieces of output that wait to be told.
const PIECES: usize = 64;

/// Why a command has no exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It could not be started or watched.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What is run: no shell looks at it. `vagrant` in a file that was written for it means the program that runs the file.
fn words(command: &HostCommand) -> Vec<String> {
    match &command.script {
        Script::Path(path) => std::iter::once(path.display().to_string()).chain(command.args.iter().cloned()).collect(),
        Script::Inline(text) | Script::Url(text) => {
            let mut words = config::words(text);
            if let Some(first) = words.first_mut().filter(|word| *word == "vagrant")
                && let Some(ours) =
                    std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok())
            {
                *first = ours;
            }
            words
        }
    }
}

/// Runs it in the project's folder until it ends, and returns its exit code (128 and the signal's number for one that was
/// killed). It ends with us.
pub(super) fn run(cx: &Cx, command: &HostCommand, folder: &Path) -> Result<i32, Error> {
    let words = words(command);
    let Some((program, args)) = words.split_first() else { return Ok(0) };
    let mut call = Command::new(program);
    call.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = GroupLeader::spawn(&mut call)?;
    let (tell, told) = mpsc::sync_channel(PIECES);
    if let Some(out) = running.0.stdout.take() {
        listen(out, Stream::Stdout, tell.clone());
    }
    if let Some(err) = running.0.stderr.take() {
        listen(err, Stream::Stderr, tell.clone());
    }
    drop(tell);
    let mut lines = Lines::new(cx, false);
    let mut open = true;
    loop {
        cx.check()?;
        match told.recv_timeout(TICK) {
            Ok((stream, bytes)) => lines.push(stream, &bytes),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                open = false;
                cx.sleep(TICK / 10)?;
            }
        }
        let Some(status) = running.0.try_wait()? else { continue };
        let ended = Instant::now();
        while open
            && ended.elapsed() < LAST_WORDS
            && let Ok((stream, bytes)) = told.recv_timeout(TICK)
        {
            lines.push(stream, &bytes);
        }
        lines.finish();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        return Ok(status.code().unwrap_or(128 + signal.unwrap_or_default()));
    }
}

/// Passes on what a stream says, until it ends or nobody wants to know.
fn listen(mut from: impl Read + Send + 'static, stream: Stream, tell: SyncSender<(Stream, Vec<u8>)>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 8 << 10];
        while let Ok(got @ 1..) = from.read(&mut buffer) {
            let Some(bytes) = buffer.get(..got) else { return };
            if tell.send((stream, bytes.to_vec())).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::folders::testing::Told;
    use crate::progress::{Cancel, Silent};

    fn inline(text: &str) -> HostCommand {
        HostCommand { script: Script::Inline(text.into()), args: Vec::new() }
    }

    #[test]
    fn a_commands_words_lines_and_exit_code_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (told, cx) = Told::cx();
        assert_eq!(run(&cx, &inline("echo one > two"), dir.path()).unwrap(), 0);
        assert_eq!(run(&cx, &inline("sh -c 'pwd >&2; exit 3'"), dir.path()).unwrap(), 3);
        assert_eq!(run(&cx, &inline("sh -c 'kill -9 $$'"), dir.path()).unwrap(), 137);
        let folder = dir.path().canonicalize().unwrap().display().to_string();
        assert_eq!(told.output(), ["one > two".to_owned(), folder]);
        assert!(run(&cx, &inline("no-such-program-anywhere"), dir.path()).is_err());
        let script = dir.path().join("s.sh");
        std::fs::write(&script, "#!/bin/sh\necho \"$# $1\"\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let command = HostCommand { script: Script::Path(script), args: vec!["a b".into()] };
        assert_eq!(run(&cx, &command, dir.path()).unwrap(), 0);
        assert_eq!(told.output().last().unwrap(), "1 a b");
    }

    #[test]
    fn vagrant_is_this_program() {
        assert_ne!(words(&inline("vagrant ssh -c true"))[0], "vagrant");
        assert_eq!(words(&inline("vagrants"))[0], "vagrants");
    }

    #[test]
    fn what_stays_in_the_background_is_not_waited_for() {
        let began = Instant::now();
        let (_, cx) = Told::cx();
        assert_eq!(run(&cx, &inline("sh -c 'sleep 60 & exit 0'"), Path::new("/")).unwrap(), 0);
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_cancelled_command_ends_with_its_children() {
        let cancel = Cancel::default();
        let cx = Cx::new(std::sync::Arc::new(Silent), cancel.clone());
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            cancel.raise();
        });
        let result = run(&cx, &inline("sh -c 'sleep 60; true'"), Path::new("/"));
        assert!(matches!(result, Err(Error::Interrupted(_))));
        stopper.join().unwrap();
    }
}
