//! Memory on disk and back.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Silent};
use vbox_rs::provider::{Error, VmState};

use crate::world::{TestVm, eventually, forward, free_port, names, processes};

#[test]
fn memory_is_saved_and_restored_with_other_forwards() {
    let mut test = TestVm::new();
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert!(processes(test.id).is_empty());
    let plan = test.plan();
    assert_eq!(test.vm.start(&Cx::silent(), &plan, &[]).unwrap_err().exit(), Exit::MachineState);
    let port = free_port();
    test.vm.restore(&Cx::silent(), &[forward(port)], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(!names(&test.dir()).iter().any(|name| name.starts_with("saved-state")));
    assert_eq!(test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err().exit(), Exit::MachineState);
    // And once more, from a paused machine, to be thrown away.
    test.vm.pause().unwrap();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.discard_saved().unwrap();
    assert_eq!(test.state(), VmState::Off);
}

#[test]
fn a_saved_state_that_cannot_be_loaded_is_kept() {
    let mut test = TestVm::new();
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    let path = test.dir().join("saved-state");
    let good = fs::read(&path).unwrap();
    fs::write(&path, b"nonsense").unwrap();
    let error = test.vm.restore(&Cx::silent(), &[], &[]).unwrap_err();
    assert!(matches!(error, Error::Migration { action: "restore", .. }), "{error:?}");
    assert_eq!(test.state(), VmState::Saved);
    assert!(processes(test.id).is_empty());
    fs::write(&path, good).unwrap();
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_save_that_is_cancelled_leaves_a_running_machine() {
    let mut test = TestVm::new();
    test.up();
    let cancel = Cancel::default();
    cancel.raise();
    let cx = Cx::new(Arc::new(Silent), cancel);
    assert_eq!(test.vm.save(&cx).unwrap_err().exit(), Exit::Interrupted);
    assert_eq!(test.state(), VmState::Running);
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    assert_eq!(test.vm.restore(&cx, &[], &[]).unwrap_err().exit(), Exit::Interrupted);
    assert_eq!(test.state(), VmState::Saved);
}

#[test]
fn a_path_that_qemu_cannot_write_to_is_written_through_a_descriptor() {
    let mut test = TestVm::below("with, comma");
    test.up();
    test.vm.save(&Cx::silent()).unwrap();
    assert_eq!(test.state(), VmState::Saved);
    test.vm.restore(&Cx::silent(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
}

#[test]
fn a_save_that_was_cut_off_can_be_repeated_or_undone() {
    let mut test = TestVm::new();
    test.up();
    for undo in [true, false] {
        // As `kill -9` leaves it between QEMU's last word and our rename.
        let path = test.dir().join("saved-state.part");
        let uri = format!("{{\"uri\":\"file:{}\"}}", path.display());
        monitor(&test.dir(), &[("stop", "{}"), ("migrate", &uri)]);
        eventually("memory is written", || test.state() == VmState::Paused { why: "postmigrate".into() });
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
