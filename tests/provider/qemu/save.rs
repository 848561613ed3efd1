//! Memory in our file: one that cannot be read, and one that was half written.

use std::fs;
use std::path::Path;

use vbox_rs::progress::Cx;
use vbox_rs::provider::{Error, Pause, VmState};

use crate::host::Qemu;
use crate::world::{TestVm, eventually, names};

#[test]
fn a_saved_state_is_gone_once_the_machine_runs_and_kept_while_it_cannot_be_loaded() {
    let mut test = TestVm::new(&Qemu);
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    let path = test.dir().join("saved-state");
    let good = fs::read(&path).unwrap();
    fs::write(&path, b"nonsense").unwrap();
    let error = test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err();
    assert!(matches!(error, Error::Migration { action: "restore", .. }), "{error:?}");
    assert_eq!(test.state(), VmState::Saved);
    assert_eq!(test.processes(), [0; 0]);
    fs::write(&path, good).unwrap();
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    assert!(!names(&test.dir()).iter().any(|name| name.starts_with("saved-state")));
}

#[test]
fn a_save_that_was_cut_off_can_be_repeated_or_undone() {
    let mut test = TestVm::new(&Qemu);
    test.up();
    for undo in [true, false] {
        // As `kill -9` leaves it between QEMU's last word and our rename.
        let path = test.dir().join("saved-state.part");
        let uri = format!("{{\"uri\":\"file:{}\"}}", path.display());
        monitor(&test.dir(), &[("stop", "{}"), ("migrate", &uri)]);
        eventually("memory is written", || test.state() == VmState::Paused { why: Pause::Other("postmigrate".into()) });
        if undo {
            test.vm.unpause().unwrap();
            assert_eq!(test.state(), VmState::Running);
            assert!(!path.exists());
        } else {
            test.vm.save(&Cx::silent()).unwrap();
            assert_eq!(test.state(), VmState::Saved);
        }
    }
}

/// Talks to the monitor as somebody else would.
fn monitor(dir: &Path, commands: &[(&str, &str)]) {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(dir.join("qmp.sock")).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for (command, arguments) in [("qmp_capabilities", "{}")].iter().chain(commands) {
        writeln!(stream, "{{\"execute\":\"{command}\",\"arguments\":{arguments}}}").unwrap();
        let answer = lines.find(|line| line.as_ref().unwrap().contains("\"return\""));
        assert!(answer.is_some());
    }
}
