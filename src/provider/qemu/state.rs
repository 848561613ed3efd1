//! What a machine is doing. Queries only: nothing here changes a file or a process, and nothing starts one.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::process::{self, Mark};
use super::super::{Error, Pause, VmState};
use super::disk::Overlay;
use super::files::{Files, tail};
use super::qmp::{self, Qmp};
use super::record::{self, Start};
use super::socket;
use crate::error::Failure;
use crate::progress::Cx;
use crate::store::Lock;

/// How long the monitor may take for an answer before its machine is called unresponsive. Its thread wants a processor and
/// the lock of the guest's processors; on a host with many times more to do than it has processors that is half a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same for what must be quick.
const GLANCE: Duration = Duration::from_millis(250);

/// As much of QEMU's log as may hold its last words.
const LOG_TAIL: u64 = 8 << 10;

/// The state, from the record, the lock that the process holds, the monitor, and the disks.
pub fn state(files: &Files, mark: &Mark<'_>) -> Result<VmState, Error> {
    match alive(files, mark, PATIENCE) {
        Some(state) => Ok(state.unwrap_or_else(unresponsive)),
        None => without_process(files),
    }
}

/// The same, quickly: a process that could answer, and only has not yet, runs.
pub fn glance(files: &Files, mark: &Mark<'_>) -> Result<VmState, Error> {
    match alive(files, mark, GLANCE) {
        Some(Err(qmp::Error::Timeout { .. })) => Ok(VmState::Running),
        Some(state) => Ok(state.unwrap_or_else(unresponsive)),
        None => without_process(files),
    }
}

fn unresponsive(error: qmp::Error) -> VmState {
    VmState::Unresponsive { why: Failure::from(Error::Monitor(error)).chain() }
}

fn without_process(files: &Files) -> Result<VmState, Error> {
    let Some(record) = record::read(files)? else {
        return Ok(if files.disk(0).exists() {
            VmState::Broken { why: format!("its record {} is missing", files.record().display()) }
        } else {
            VmState::Absent
        });
    };
    if !record.created {
        return Ok(VmState::Absent);
    }
    if let Some(why) = lost(files, record.plan.disks.len())? {
        return Ok(VmState::Broken { why });
    }
    if record.saved.is_some() && files.saved().exists() {
        return Ok(VmState::Saved);
    }
    Ok(death(files, record.start.as_ref()).map_or(VmState::Off, |why| VmState::Vanished { why }))
}

/// The state of a process that lives; `None` when there is none.
fn alive(files: &Files, mark: &Mark<'_>, patience: Duration) -> Option<Result<VmState, qmp::Error>> {
    let began = Instant::now();
    while Lock::is_held(&files.lock()) {
        // Nobody need wait for one that cannot answer.
        if let Some(pid) = files.process().filter(|pid| process::is_stopped(mark, *pid)) {
            let why = format!("its process {pid} is stopped; `kill -CONT {pid}` lets it go on");
            return Some(Ok(VmState::Unresponsive { why }));
        }
        match query(files, patience) {
            Ok(status) => return Some(Ok(word(status, files.saved().exists()))),
            // A process that is ending closes its monitor some milliseconds before it lets go of its lock.
            Err(error) if error.is_closed() && began.elapsed() < GLANCE => std::thread::sleep(GLANCE / 50),
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

fn query(files: &Files, patience: Duration) -> Result<String, qmp::Error> {
    let stream = socket::connect(&files.status())?;
    Qmp::open(stream, &Cx::silent(), patience)?.status()
}

/// Whether no driver has set a card's receive filter yet; Linux does when it brings the card up (`ndo_set_rx_mode`). Only
/// `virtio-net` tells.
pub fn network_is_down(files: &Files) -> bool {
    let ask = || -> Result<Value, qmp::Error> {
        let stream = socket::connect(&files.status())?;
        Qmp::open(stream, &Cx::silent(), GLANCE)?.execute("query-rx-filter", Value::Null)
    };
    ask().is_ok_and(|filters| filters_untouched(&filters))
}

/// Reads the answer of `query-rx-filter` (QEMU's QMP reference, "RxFilterInfo"): a card that was reset takes everything
/// and knows no address.
fn filters_untouched(answer: &Value) -> bool {
    let untouched = |filter: &Value| {
        let none = |table: &str| filter[table].as_array().is_some_and(Vec::is_empty);
        filter["promiscuous"] == true && none("multicast-table") && none("unicast-table")
    };
    answer.as_array().is_some_and(|filters| !filters.is_empty() && filters.iter().all(untouched))
}

fn word(status: String, saved: bool) -> VmState {
    match status.as_str() {
        "running" => VmState::Running,
        // A save was cut off after its last step, or a restore before it: the machine has not run since the save, so
        // what is on disk counts and the process is a left-over.
        _ if saved => VmState::Saved,
        "paused" => VmState::Paused { why: Pause::Asked },
        "io-error" => VmState::Paused { why: Pause::DiskError },
        _ => VmState::Paused { why: Pause::Other(status) },
    }
}

/// What is wrong with the disks, of which there should be `count`.
pub fn lost(files: &Files, count: usize) -> Result<Option<String>, Error> {
    for index in 0..count {
        let path = files.disk(index);
        let backing = match Overlay::read(&path) {
            Ok(Some(overlay)) => overlay.backing,
            Ok(None) => return Ok(Some(format!("its disk {} is missing", path.display()))),
            Err(error @ Error::DiskDamaged { .. }) => return Ok(Some(error.to_string())),
            Err(error) => return Err(error),
        };
        if let Some(backing) = backing.filter(|backing| !backing.exists()) {
            return Ok(Some(format!("the box's image {} is missing", backing.display())));
        }
    }
    Ok(None)
}

/// How the process ended, when it did not end in order. It removes its pid file when it does.
fn death(files: &Files, start: Option<&Start>) -> Option<String> {
    let start = start?;
    let log = tail(&files.log(), start.log_from, LOG_TAIL);
    let last = log.lines().rev().find(|line| !line.trim().is_empty()).map(strip_prefix);
    if !files.pid().exists() {
        // A signal ends QEMU in order, but nobody asked the guest.
        return last.filter(|line| line.contains("terminating on signal")).map(|line| format!("QEMU: {line}"));
    }
    let how = if start.boot_id == record::boot_id() { "its process was killed" } else { "the host rebooted" };
    Some(last.map_or_else(|| how.into(), |line| format!("{how}; QEMU's last words: {line}")))
}

/// A line of QEMU without time and program (`2026-11-22T19:38:55.656828Z qemu-system-x86_64: `).
pub fn strip_prefix(line: &str) -> String {
    let words = match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => line,
    };
    let text = match words.split_once(": ") {
        Some((program, rest)) if program.contains("qemu") && !program.contains(' ') => rest,
        _ => words,
    };
    text.trim().chars().filter(|c| !c.is_control()).take(500).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::provider::qemu::accel::Engine;

    #[test]
    fn lines_of_qemu_lose_time_and_program() {
        for (line, text) in [
            ("2026-11-22T19:38:55.656828Z qemu-system-x86_64: terminating on signal 15", "terminating on signal 15"),
            ("qemu-system-x86_64: -netdev user: Could not", "-netdev user: Could not"),
            ("KVM internal error. Suberror: 1", "KVM internal error. Suberror: 1"),
            ("", ""),
        ] {
            assert_eq!(strip_prefix(line), text);
        }
    }

    #[test]
    fn an_end_in_order_a_signal_a_kill_and_a_reboot_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let start = |boot_id: &str| Start { boot_id: boot_id.into(), log_from: 4, engine: Engine::Tcg };
        let here = start(&record::boot_id());
        fs::write(files.log(), "old\n").unwrap();
        assert_eq!(death(&files, None), None);
        assert_eq!(death(&files, Some(&here)), None);
        fs::write(files.log(), "old\nqemu-system-x86_64: terminating on signal 15 from pid 1 (init)\n").unwrap();
        let signal = death(&files, Some(&here)).unwrap();
        assert_eq!(signal, "QEMU: terminating on signal 15 from pid 1 (init)");
        fs::write(files.log(), "old\n").unwrap();
        fs::write(files.pid(), "1").unwrap();
        assert_eq!(death(&files, Some(&here)).unwrap(), "its process was killed");
        assert_eq!(death(&files, Some(&start("another"))).unwrap(), "the host rebooted");
    }

    #[test]
    fn a_card_whose_filter_nobody_set_is_down() {
        let filter = |promiscuous, multicast: &[&str]| serde_json::json!({"name": "net0", "promiscuous": promiscuous, "multicast-table": multicast, "unicast-table": []});
        let (fresh, up) = (filter(true, &[]), filter(false, &["01:00:5e:00:00:01"]));
        // A card of a bridge takes everything too.
        let bridged = filter(true, &["01:00:5e:00:00:01"]);
        for (answer, down) in [
            (serde_json::json!([fresh]), true),
            (serde_json::json!([fresh, up]), false),
            (serde_json::json!([bridged]), false),
            (serde_json::json!([]), false),
            (serde_json::json!([{"promiscuous": true}]), false),
            (serde_json::json!("?"), false),
        ] {
            assert_eq!(filters_untouched(&answer), down, "{answer}");
        }
    }

    #[test]
    fn the_monitors_words_become_states() {
        assert_eq!(word("running".into(), true), VmState::Running);
        assert_eq!(word("io-error".into(), false), VmState::Paused { why: Pause::DiskError });
        assert_eq!(word("postmigrate".into(), false), VmState::Paused { why: Pause::Other("postmigrate".into()) });
        assert_eq!(word("postmigrate".into(), true), VmState::Saved);
        assert_eq!(word("inmigrate".into(), true), VmState::Saved);
    }

    #[test]
    fn a_machine_that_was_never_created_is_absent_and_nothing_appears_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(&dir.path().join("m"));
        assert_eq!(state(&files, &MARK).unwrap(), VmState::Absent);
        assert!(!files.dir().exists());
    }

    const MARK: Mark<'static> = Mark { option: "-uuid", uuid: "5cb1bc8f-2c1a-4b9b-8c43-3a0d2f6d8e11", own: true };

    /// A process that holds its lock, and whose monitor takes `pause` for its first word.
    fn slow_monitor(dir: &Path, pause: Duration) -> (Files, Lock) {
        let files = Files::new(dir);
        let lock = Lock::try_exclusive(&files.lock(), "test").unwrap().unwrap();
        let listener = socket::listen(&files.status()).unwrap();
        let answers = [
            r#"{"QMP":{"version":{"qemu":{"major":9,"minor":1,"micro":2},"package":""},"capabilities":[]}}"#,
            r#"{"return":{},"id":1}"#,
            r#"{"return":{"status":"running","running":true},"id":2}"#,
        ];
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
                std::thread::sleep(pause);
                for answer in answers {
                    // Who gave up does not listen any more.
                    if writeln!(stream, "{answer}").is_err() {
                        break;
                    }
                    asked.next();
                }
            }
        });
        (files, lock)
    }

    #[test]
    fn a_monitor_that_is_slow_answers_all_the_same_and_one_that_is_silent_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let (files, _lock) = slow_monitor(dir.path(), GLANCE * 2);
        assert_eq!(state(&files, &MARK).unwrap(), VmState::Running);
        let dir = tempfile::tempdir().unwrap();
        let (files, _lock) = slow_monitor(dir.path(), PATIENCE * 30);
        assert_eq!(glance(&files, &MARK).unwrap(), VmState::Running, "nothing says that it does not");
        let VmState::Unresponsive { why } = state(&files, &MARK).unwrap() else { panic!() };
        assert!(why.contains("no answer to `greeting` within 2000 ms"), "{why}");
    }

    #[test]
    fn a_process_that_is_stopped_is_told_of_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (files, _lock) = slow_monitor(dir.path(), PATIENCE * 30);
        let mut child = Command::new("sh")
            .args(["-c", "kill -STOP $$; read line", MARK.option, MARK.uuid])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        fs::write(files.pid(), format!("{pid}\n")).unwrap();
        let other = Mark { uuid: "another", ..MARK };
        while !process::is_stopped(&MARK, pid) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let VmState::Unresponsive { why } = glance(&files, &MARK).unwrap() else { panic!() };
        assert_eq!(why, format!("its process {pid} is stopped; `kill -CONT {pid}` lets it go on"));
        assert_eq!(glance(&files, &other).unwrap(), VmState::Running, "it is somebody else's");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
