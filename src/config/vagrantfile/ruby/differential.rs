//! What programs print, against what real Ruby printed for them: `scripts/ruby-answers.sh` records the answers.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::host::{Bounds, Host, Stream};
use super::{Flow, Interp, StopKind};

/// A host as the recorder's: its folder, its variables, and all of the computer that may be looked at.
struct Recorder {
    printed: RefCell<String>,
}

impl Host for Recorder {
    fn env(&self, name: &str) -> Option<String> {
        self.envs().into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }
    fn envs(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        [("HOME", "/home/me".to_owned()), ("PATH", path), ("TZ", "UTC".to_owned())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
    fn may_read(&self, _path: &Path) -> bool {
        true
    }
    fn may_run(&self, line: &str) -> Result<(), String> {
        Err(format!("`{line}` is not run"))
    }
    fn may_write(&self, path: &Path) -> Result<(), String> {
        Err(format!("{} is not written", path.display()))
    }
    fn print(&self, text: &str, _to: Stream) {
        self.printed.borrow_mut().push_str(text);
    }
    fn home(&self) -> PathBuf {
        "/home/me".into()
    }
    fn current_dir(&self) -> PathBuf {
        folder().join("project")
    }
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ruby")
}

/// What a snippet prints, with the error that ended it as its last line.
fn printed(snippet: &str) -> String {
    let host = Rc::new(Recorder { printed: RefCell::default() });
    let bounds = Bounds { steps: 1_000_000, memory: 64 << 20, ..Bounds::default() };
    let mut ruby = Interp::new(Rc::clone(&host) as Rc<dyn Host>, bounds);
    let end = match ruby.run(folder().join("project/snippet.rb"), snippet) {
        Ok(_) => String::new(),
        Err(Flow::Raise(error)) => {
            let class = ruby.class_of(&error).name.borrow().to_string();
            format!("{class}: {}\n", ruby.message_of(&error).lines().next().unwrap_or_default())
        }
        Err(Flow::Stop(stop)) => match stop.kind {
            StopKind::Exit(status) if stop.message.starts_with("the file ended itself") => format!("exit {status}\n"),
            StopKind::Exit(status) => format!("{}\nexit {status}\n", stop.message),
            kind => format!("{kind:?}: {} (line {})\n", stop.message, ruby.line_of(ruby.at)),
        },
        Err(_) => "jumped out\n".into(),
    };
    let text = host.printed.borrow().clone();
    text + &end
}

#[test]
fn programs_print_what_real_ruby_prints() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let (snippets, answers) = (read("snippets.rb"), read("answers.txt"));
    let (snippets, answers): (Vec<_>, Vec<_>) =
        (snippets.split("\n%%\n").collect(), format!("\n{answers}").split("\n%%\n").map(String::from).collect());
    assert_eq!(snippets.len(), answers.len(), "scripts/ruby-answers.sh records the answers");
    let mut wrong = Vec::new();
    for (snippet, answer) in snippets.iter().zip(&answers) {
        let ours = printed(snippet);
        if ours.trim() != answer.trim() {
            let mut lines = answer.trim().lines().zip(ours.trim().lines());
            let first =
                lines.find(|(a, b)| a != b).unwrap_or(("(fewer or more lines)", ours.lines().last().unwrap_or("")));
            wrong.push(format!("{snippet}\n  ruby: {}\n  ours: {}", first.0, first.1));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n\n{}", wrong.len(), snippets.len(), wrong.join("\n\n"));
}
