//! The serial console, which VirtualBox writes to a file or hands to one client of a socket.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::outer::Ran;
use crate::world::Lab;

/// Answers each byte on its first serial port with the next one in the alphabet.
const ANSWERING: &[u8] = &[
    // again: sti; hlt; mov dx,0x3fd; in al,dx; test al,1; jz again
    0xfb, 0xf4, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf6, //
    // mov dx,0x3f8; in al,dx; inc ax; out dx,al; jmp again
    0xba, 0xf8, 0x03, 0xec, 0x40, 0xee, 0xeb, 0xee,
];

/// `console` without a terminal: the end of its input leaves it.
struct Attached {
    child: Child,
    input: Option<ChildStdin>,
    shown: Arc<Mutex<String>>,
}

impl Attached {
    fn new(lab: &Lab) -> Self {
        let mut child = lab.command(&["console"]).stdin(Stdio::piped()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let shown = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, input, shown }
    }

    /// Types `word`, and waits for the guest's answer.
    #[track_caller]
    fn answers(&mut self, lab: &Lab, word: &str, answer: &str) {
        self.input.as_ref().unwrap().write_all(word.as_bytes()).unwrap();
        lab.eventually("the guest answers", || self.shown.lock().unwrap().contains(answer));
    }

    fn leave(mut self) -> Ran {
        drop(self.input.take());
        Ran::of(&self.child.wait_with_output().unwrap())
    }
}

fn answering() -> Option<Lab> {
    let lab = Lab::new()?;
    lab.world.add_boot_sector("answering", ANSWERING);
    lab.machine_file("box = \"answering\"\n");
    lab.up();
    Some(lab)
}

/// Whether VirtualBox writes the console to its file.
fn is_logged(lab: &Lab) -> bool {
    lab.info(&lab.machine(), "uartmode1").unwrap().starts_with("file,")
}

#[test]
fn what_is_typed_reaches_the_guest_and_its_answer_the_screen_and_the_log() {
    let Some(lab) = answering() else { return };
    for (word, answer) in [("abc", "bcd"), ("rst", "stu")] {
        let mut console = Attached::new(&lab);
        console.answers(&lab, word, answer);
        lab.run(&["logs"]).ok().says(&[answer]);
        // There is only one, and who comes second is told who has it.
        lab.run(&["console"]).fails(9, &["serial console", "vbox-rs console"]);
        console.leave().ok();
        assert!(is_logged(&lab));
    }
    lab.run(&["logs"]).ok().says(&["bcd", "stu"]);
    lab.run(&["halt", "-f"]).ok();
    lab.run(&["console"]).fails(7, &["off"]);
    lab.destroy();
}

#[test]
fn a_console_ends_with_the_machine_and_the_log_goes_on_after_a_resume() {
    let Some(lab) = answering() else { return };
    let mut console = Attached::new(&lab);
    console.answers(&lab, "abc", "bcd");
    lab.run(&["suspend"]).ok();
    console.leave().ok();
    lab.run(&["resume"]).fails(10, &[]);
    assert!(is_logged(&lab));
    let mut console = Attached::new(&lab);
    console.answers(&lab, "rst", "stu");
    console.leave().ok();
    lab.run(&["logs"]).ok().says(&["bcd", "stu"]);
    lab.destroy();
}

#[test]
fn after_a_console_that_was_killed_the_next_one_works() {
    let Some(lab) = answering() else { return };
    let mut console = Attached::new(&lab);
    console.answers(&lab, "abc", "bcd");
    console.child.kill().unwrap();
    console.child.wait().unwrap();
    let mut console = Attached::new(&lab);
    console.answers(&lab, "rst", "stu");
    console.leave().ok();
    assert!(is_logged(&lab));
    lab.run(&["logs"]).ok().says(&["bcd", "stu"]);
    lab.destroy();
}
