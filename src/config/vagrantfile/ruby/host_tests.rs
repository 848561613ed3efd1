//! What programs see and do of the computer, by what their host allows.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::host::{Bounds, Host, Stream};
use super::{Flow, Interp};

/// A host with one folder.
struct Folder {
    root: PathBuf,
    looks: bool,
    trusts: bool,
    printed: RefCell<String>,
}

impl Folder {
    fn leave(&self, what: &str) -> Result<(), String> {
        if self.trusts { Ok(()) } else { Err(format!("{what}: no")) }
    }
}

impl Host for Folder {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
    fn envs(&self) -> Vec<(String, String)> {
        vec![("PATH".into(), std::env::var("PATH").unwrap_or_default()), ("GIVEN".into(), "yes".into())]
    }
    fn may_read(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }
    fn may_look(&self) -> bool {
        self.looks
    }
    fn may_run(&self, line: &str) -> Result<(), String> {
        self.leave(line)
    }
    fn may_write(&self, _path: &Path) -> Result<(), String> {
        self.leave("writing")
    }
    fn print(&self, text: &str, _to: Stream) {
        self.printed.borrow_mut().push_str(text);
    }
    fn home(&self) -> PathBuf {
        self.root.clone()
    }
    fn current_dir(&self) -> PathBuf {
        self.root.clone()
    }
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Desk {
    dir: tempfile::TempDir,
    looks: bool,
    trusts: bool,
}

impl Desk {
    fn new(looks: bool, trusts: bool) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), looks, trusts }
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What a program prints; an error becomes the end.
    fn printed(&self, text: &str) -> String {
        let (looks, trusts) = (self.looks, self.trusts);
        let root = self.dir.path().canonicalize().unwrap();
        let host = Rc::new(Folder { root: root.clone(), looks, trusts, printed: RefCell::default() });
        let mut ruby = Interp::new(Rc::clone(&host) as Rc<dyn Host>, Bounds::default());
        let end = match ruby.run(root.join("Vagrantfile"), text) {
            Ok(_) => String::new(),
            Err(Flow::Raise(error)) => ruby.message_of(&error),
            Err(Flow::Stop(stop)) => format!("{:?}: {}", stop.kind, stop.message),
            Err(_) => "jumped out".into(),
        };
        let printed = host.printed.borrow().clone();
        printed + &end
    }
}

#[test]
fn a_command_that_is_not_known_is_refused_and_never_run() {
    let desk = Desk::new(true, false);
    for line in
        ["touch made", "hostname; touch made", "echo x > made", "$(touch made)", "cat made | sh", "false || touch made"]
    {
        let said = desk.printed(&format!("`{line}`"));
        assert_eq!(said, format!("Refused: {line}: no"));
    }
    assert_eq!(desk.printed("system('touch', 'made')"), "Refused: touch made: no");
    assert!(!desk.dir.path().join("made").exists());
}

#[test]
fn a_host_that_may_not_be_looked_at_tells_nothing() {
    let desk = Desk::new(false, false);
    assert_eq!(desk.printed("`hostname`"), "Refused: hostname: no");
    assert_eq!(desk.printed("p Etc.getlogin, Process.uid, Socket.ip_address_list"), "nil\n1000\n[]\n");
}

#[test]
fn a_trusted_program_runs_commands_in_its_folder_with_its_own_environment() {
    let desk = Desk::new(true, true);
    let root = desk.dir.path().canonicalize().unwrap();
    assert_eq!(
        desk.printed("puts `pwd -P; echo $GIVEN; exit 3`, $?.exitstatus"),
        format!("{}\nyes\n3\n", root.display())
    );
    assert_eq!(
        desk.printed("p system('test -e nothing-here && touch x'), Open3.capture2('echo a | rev')[0]"),
        "false\n\"a\\n\"\n"
    );
}

#[test]
fn a_trusted_command_is_bounded_in_what_it_prints() {
    let said = Desk::new(true, true).printed("`yes | head -c 6000000; :`");
    assert!(said.contains("prints more than 4 MiB"), "{said}");
}

#[test]
fn files_are_written_only_by_leave() {
    let desk = Desk::new(true, false);
    for program in [
        "File.write('a', 'x')",
        "File.open('a', 'w') { |f| f << 'x' }",
        "FileUtils.mkdir_p('a')",
        "Dir.mkdir('a')",
        "FileUtils.touch('a')",
    ] {
        assert_eq!(desk.printed(program), "Refused: writing: no", "{program}");
    }
    assert!(!desk.dir.path().join("a").exists());
    let desk = Desk::new(true, true);
    let program = "File.write('a', 'x'); File.open('a', 'a') { |f| f.puts 'y' }; FileUtils.mkdir_p('b/c'); FileUtils.cp('a', 'b/c')\np File.read('b/c/a')";
    assert_eq!(desk.printed(program), "\"xy\\n\"\n");
    assert_eq!(desk.printed("FileUtils.rm_rf('b'); File.delete('a'); p Dir.children('.')"), "[]\n");
}

#[test]
fn what_is_already_as_it_should_be_needs_no_leave() {
    let desk = Desk::new(true, false);
    desk.file("there/x", "same");
    assert_eq!(
        desk.printed("FileUtils.mkdir_p 'there'; File.write('there/x', 'same'); FileUtils.touch 'there/x'; puts 1"),
        "1\n"
    );
}

#[test]
fn files_outside_of_what_may_be_read_are_refused() {
    let desk = Desk::new(true, false);
    assert!(desk.printed("File.read('/etc/passwd')").contains("outside of the project"));
    assert_eq!(desk.printed("`cat /etc/passwd`"), "Refused: cat /etc/passwd: no");
}

#[test]
fn git_is_answered_from_its_folder() {
    let desk = Desk::new(true, false);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(desk.printed("p `git rev-parse HEAD 2>/dev/null`, $?.success?"), "\"\"\nfalse\n");
    desk.file(".git/HEAD", "ref: refs/heads/main\n");
    desk.file(".git/refs/heads/main", &format!("{commit}\n"));
    desk.file(".git/packed-refs", &format!("# pack-refs\n{commit} refs/tags/v1.2\n"));
    let program = "puts `git rev-parse HEAD`, `git rev-parse --short HEAD`, `git rev-parse --abbrev-ref HEAD`, `git describe --tags`, `git branch --show-current`";
    assert_eq!(desk.printed(program), format!("{commit}\n0123456\nmain\nv1.2\nmain\n"));
    assert_eq!(desk.printed("`git log`"), "Refused: git log: no");
}

#[test]
fn a_command_may_be_a_list_of_words() {
    let desk = Desk::new(true, false);
    assert_eq!(desk.printed("p IO.popen(['echo', 'a  b']).read"), "\"a  b\\n\"\n");
}

#[test]
fn the_network_is_refused() {
    let desk = Desk::new(true, true);
    for program in [
        "require 'open-uri'\nURI.open('http://example.org/')",
        "require 'net/http'\nNet::HTTP.get(URI('http://example.org/'))",
        "TCPSocket.new('example.org', 80)",
    ] {
        assert!(desk.printed(program).starts_with("Never: it wants to reach the network: "), "{program}");
    }
}

#[test]
fn an_error_in_a_library_is_shown_where_the_program_called_it() {
    let desk = Desk::new(true, false);
    let host =
        Rc::new(Folder { root: desk.dir.path().into(), looks: true, trusts: false, printed: RefCell::default() });
    let mut ruby = Interp::new(host as Rc<dyn Host>, Bounds::default());
    let result = ruby.run("/p/Vagrantfile".into(), "require 'ipaddr'\n\nx = IPAddr.new('nonsense')\n");
    assert!(result.is_err());
    assert_eq!((ruby.at.file, ruby.line_of(ruby.at)), (0, 3));
}
