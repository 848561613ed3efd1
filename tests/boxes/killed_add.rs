//! `kill -9` in each stage of `box add` (download, unpack, convert, register), at random instants: the library verifies
//! clean, and the same command goes on to the end.
//!
//! The stage is told by the files that there are at that moment. The process is stopped first and looked at then, so what
//! is killed was in that stage for sure.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vbox_rs::boxes::Needs;
use vbox_rs::error::Exit;

use crate::archives::{content, image};
use crate::fault_server::{Reply, Server};
use crate::images::{plain_box, qcow2};
use crate::world::{Home, sha256};

/// How often each stage is killed.
const HITS: u32 = 20;

/// Where a stage is short, some kills come too late.
const ATTEMPTS: u32 = 600;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Download,
    Unpack,
    Convert,
    Register,
}

impl Stage {
    /// How many bytes it has written, while it is going on.
    fn progress(self, home: &Home) -> Option<u64> {
        let files = |folder: &Path, ending: &str| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending))).collect()
        };
        let incoming = || files(&home.dirs.boxes().join("incoming"), "");
        let of_incoming = |name: &str| incoming().iter().find_map(|dir| fs::metadata(dir.join(name)).ok());
        let is_registered = || home.dirs.boxes().join("manifests/x").exists();
        match self {
            // What came stays until the box is registered.
            Self::Download if of_incoming("intent").is_some() || is_registered() => None,
            Self::Download => {
                let part = files(&home.dirs.downloads(), ".part").pop()?;
                Some(fs::metadata(part).ok()?.len()).filter(|length| *length > 0)
            }
            _ if self != Self::Register && of_incoming("intent").is_some() => None,
            Self::Unpack => of_incoming("file0").map(|about| about.len()),
            Self::Convert => of_incoming("disk").map(|about| about.blocks() * 512),
            Self::Register => of_incoming("intent").map(|_| 0),
        }
    }
}

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below.max(1)
}

fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(snapbox::cmd::cargo_bin!("vbox-rs"));
    let below = |folder: &str| home.dir.path().join(folder);
    command.env("VBOX_RS_HOME", below("home")).env("VBOX_RS_CACHE", below("cache"));
    command.env("VBOX_RS_CONFIG", below("config")).current_dir(home.dir.path()).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

fn stop(child: &Child) {
    signal(child, Signal::STOP);
    let state = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // `PID (NAME) STATE …`: stopped, or ended.
    while !state().rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['T', 'Z'])) {
        thread::yield_now();
    }
}

/// Starts the command and kills it when the stage has written so much, and a little later. Whether it was still in it.
fn kill_within(stage: Stage, home: &Home, args: &[&str], bytes: u64, later: Duration) -> bool {
    let mut child = command(home, args).spawn().unwrap();
    while stage.progress(home).is_none_or(|progress| progress < bytes) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
    let reached = Instant::now();
    while reached.elapsed() < later {
        std::hint::spin_loop();
    }
    stop(&child);
    let is_hit = stage.progress(home).is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    is_hit
}

/// Kills the command in the stage again and again, each time in a home of its own; `bytes` is what the stage writes.
fn kill_in_stage(stage: Stage, args: &[&str], bytes: u64, home: impl Fn() -> Home, check: impl Fn(&Home, bool)) {
    let (mut hits, mut latest) = (0, Duration::from_millis(4));
    for _ in 0..ATTEMPTS {
        let home = home();
        let later = Duration::from_nanos(random(u64::try_from(latest.as_nanos()).unwrap()));
        let is_hit = kill_within(stage, &home, args, random(bytes), later);
        hits += u32::from(is_hit);
        // As late as the stage allows, however long it takes here.
        latest = latest.mul_f64(if is_hit { 1.2 } else { 0.7 });
        let verdict = home.verify(&Needs::default());
        assert_eq!(verdict.exit(), Exit::Ok, "{stage:?}, hit {hits}: {verdict:#?}");
        let status = command(&home, args).status().unwrap();
        // What was added before the kill is there.
        assert!(status.success() || !is_hit || stage == Stage::Register, "{stage:?}: {status}");

        // A half written record waits for it.
        home.gc(&Needs::default(), false);
        let verdict = home.verify(&Needs::default());
        assert_eq!(verdict.findings, [], "{stage:?}, hit {hits}");
        check(&home, is_hit);
        if hits == HITS {
            return;
        }
    }
    panic!("{stage:?}: only {hits} of {ATTEMPTS} kills came in time");
}

/// The box is there, with its disk and nothing else.
fn is_whole(home: &Home, expected: &str) {
    let boxes = home.library.list().unwrap().boxes;
    assert_eq!(home.names(), ["x 0"]);
    assert_eq!(sha256(&fs::read(&boxes[0].disk_paths()[0]).unwrap()), expected);
    // The empty lock of a download that was killed in its last line goes when it is old.
    let files: Vec<_> =
        home.files().into_iter().filter(|file| file.extension().is_none_or(|it| it != "lock")).collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[test]
fn a_download_that_is_killed_goes_on_where_it_ended() {
    let bytes = plain_box(3 << 20);
    let (expected, size) = (sha256(&qcow2(3 << 20)), bytes.len() as u64);
    let server = Server::start(move |request, _| Reply::file(request, &bytes, "\"a\"").slow(Duration::from_millis(1)));
    let url = server.url("/x.box");
    kill_in_stage(Stage::Download, &["box", "add", "--name", "x", &url], size, Home::new, |home, is_hit| {
        let last = server.requests().pop().unwrap();
        assert!(!is_hit || last.range().is_some_and(|from| from > 0), "{last:?}");
        is_whole(home, &expected);
    });
}

#[test]
fn a_box_whose_unpacking_is_killed_is_unpacked_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.box");
    fs::write(&file, plain_box(6 << 20)).unwrap();
    let expected = sha256(&qcow2(6 << 20));
    let args = ["box", "add", "--name", "x", file.to_str().unwrap()];
    kill_in_stage(Stage::Unpack, &args, 6 << 20, Home::new, |home, _| is_whole(home, &expected));
}

#[test]
fn a_box_whose_registering_is_killed_is_there_or_not_and_then_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.box");
    fs::write(&file, plain_box(100_000)).unwrap();
    let expected = sha256(&qcow2(100_000));
    let args = ["box", "add", "--name", "x", file.to_str().unwrap()];
    kill_in_stage(Stage::Register, &args, 1, Home::new, |home, _| is_whole(home, &expected));
}

#[test]
fn a_disk_whose_conversion_is_killed_is_converted_anew() {
    let template = Home::new();
    let Some(bytes) = image(&content(12 << 20), "vmdk", "subformat=streamOptimized") else { return };
    let file = template.write("x.vmdk", &bytes);
    assert!(command(&template, &["box", "add", "--name", "x", file.to_str().unwrap()]).status().unwrap().success());
    let args = ["box", "repackage", "x", "qemu", "0", "--output", "out.box", "--force"];
    let copy = || template.copy();
    kill_in_stage(Stage::Convert, &args, 4 << 20, copy, |home, _| {
        assert!(home.dir.path().join("out.box").is_file());
        assert_eq!(home.names(), ["x 0"]);
        assert_eq!(home.files().len(), 3, "image, record, conversion: {:?}", home.files());
    });
}
