//! What programs of strangers cannot do: crash us, hang us, or take all memory. Each runs in a thread, as it does in the
//! program: its stack is the smallest.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::budget::Clock;
use super::host::{Bounds, Host, Stream};
use super::{Flow, Interp};

/// A host of one folder.
struct Folder {
    path: PathBuf,
    printed: RefCell<String>,
}

impl Host for Folder {
    fn env(&self, _name: &str) -> Option<String> {
        None
    }
    fn envs(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn may_read(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }
    fn may_run(&self, _line: &str) -> Result<(), String> {
        Err("it would have to be run".into())
    }
    fn may_write(&self, path: &Path) -> Result<(), String> {
        Err(format!("{} is not written", path.display()))
    }
    fn print(&self, text: &str, _to: Stream) {
        self.printed.borrow_mut().push_str(text);
    }
    fn home(&self) -> PathBuf {
        self.path.clone()
    }
    fn current_dir(&self) -> PathBuf {
        self.path.clone()
    }
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a program prints in a folder, and how it ends.
fn printed_in(folder: &Path, program: &str, time: Option<Duration>) -> String {
    let (path, program) = (folder.to_owned(), program.to_owned());
    let run = move || {
        let host = Rc::new(Folder { path, printed: RefCell::default() });
        let mut ruby = Interp::new(Rc::clone(&host) as Rc<dyn Host>, Bounds::default());
        if let Some(time) = time {
            ruby.clock = Clock::of(time);
        }
        let end = match ruby.run("Vagrantfile".into(), &program) {
            Ok(_) => String::new(),
            Err(Flow::Raise(error)) => format!("{}\n", ruby.message_of(&error)),
            Err(Flow::Stop(stop)) => format!("{}\n", stop.message),
            Err(_) => "jumped out\n".into(),
        };
        let text = host.printed.borrow().clone();
        text + &end
    };
    std::thread::spawn(run).join().unwrap().trim_end().to_owned()
}

fn printed(program: &str) -> String {
    printed_in(Path::new("/nowhere"), program, None)
}

fn check(cases: &[(&str, &str)]) {
    for (program, expected) in cases {
        assert_eq!(printed(program), *expected, "{program}");
    }
}

#[test]
fn what_calls_itself_through_our_own_methods_ends_with_rubys_error() {
    let deep = "stack level too deep";
    check(&[
        ("f = ->(x) { x }; 20_000.times { f = f >> ->(x) { x } }; f.(1)", deep),
        ("f = ->(x) { x }; 20_000.times { f = f << ->(x) { x } }; f.(1)", deep),
        ("s = 'a'.each_char; 5000.times { s = s.each_slice(1) }; s.to_a", deep),
        ("e = [1].each; 10_000.times { e = e.with_index }; e.next", deep),
        ("f = ->(x) { x }; 20.times { f = f >> ->(x) { x + 1 } }; p f.(1)", "21"),
        ("e = [1].each.with_index.with_index; p e.next", "[[1, 0], 0]"),
    ]);
}

#[test]
fn what_nests_deeply_can_be_dropped() {
    check(&[
        ("f = ->(x) { x }; 50_000.times { f = f >> ->(x) { x } }; f = 1; p f", "1"),
        ("f = nil; 50_000.times { g = f; f = ->(x) { g } }; f = 1; p f", "1"),
        ("def m(x) = ->{ x }\nf = 1; 50_000.times { f = m(f) }; f = 1; p f", "1"),
        ("e = [1].each; 50_000.times { e = e.with_index }; e = 1; p e", "1"),
        ("h = {}; 50_000.times { n = Hash.new(h); h = n }; h = 1; p h", "1"),
        ("c = 1; 20_000.times { d = Class.new; d.instance_variable_set(:@a, c); c = d }; c = 1; p c", "1"),
        ("a = []; a << a; h = {a: a}; h[:h] = h; p 1", "1"),
    ]);
}

#[test]
fn a_hash_is_replaced_by_itself() {
    check(&[("h = {a: 1}; h.replace(h); p h", "{:a=>1}"), ("h = {a: 1}; h.replace({b: 2}); p h", "{:b=>2}")]);
}

#[test]
fn classes_with_too_many_above_them_are_refused() {
    let many = "a class with this many classes and modules above it";
    check(&[
        ("a = []; 20_000.times { a << Class.new(a.last || Object) }", many),
        ("m = Module.new; 20_000.times { n = Module.new; n.include(m); m = n }", many),
        ("a = Array.new(20_000) { Module.new }; 19_999.times { |i| a[i].include(a[i + 1]) }", many),
        (
            "m = Module.new; 60.times { x = Module.new; x.include(m); y = Module.new; y.include(m)\n\
             m = Module.new; m.include(x); m.include(y) }",
            many,
        ),
        (
            "class A; end\nclass B < A; end\nmodule M; def f = 1; end\nmodule N; include M; end\nB.include(N); p B.new.f",
            "1",
        ),
    ]);
}

#[test]
fn commands_with_strange_words_are_not_answered() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s"), "a".repeat(2000)).unwrap();
    for line in ["echo a | cut -", "echo a | cut -é", r"sed -E 's/(a+)+\\1c/x/' s"] {
        assert_eq!(printed_in(dir.path(), &format!("p `{line}`"), None), "it would have to be run", "{line}");
    }
    for (line, said) in [
        ("echo a:b | cut -d: -f2", r#""b\n""#),
        ("echo a:b | cut -d : -f 0-", r#""a:b\n""#),
        ("echo xaxbx | sed s/x/yz/g", r#""yzayzbyz\n""#),
        ("echo abc | sed 's/x*/-/g'", r#""-a-b-c-\n""#),
        ("echo abc | sed s/b/B/", r#""aBc\n""#),
        (r"echo foo123 | grep -o '[0-9]\\+'", r#""123\n""#),
    ] {
        assert_eq!(printed_in(dir.path(), &format!("p `{line}`"), None), said, "{line}");
    }
}

#[test]
fn commands_that_make_much_of_little_are_not_answered() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m"), "a".repeat(1 << 20)).unwrap();
    let growing = format!("echo a | sed {}", "-e s/a/aaaaaaaaaa/g ".repeat(40));
    let many = format!("cat {}| wc -c", "m ".repeat(900));
    let fields = format!("awk '{{print {}}}' m", "$0 ".repeat(50));
    for line in [&growing, &many, &fields, "cat m m m m m", "grep -P '(?=a*a*a*a*b)c' m"] {
        assert_eq!(printed_in(dir.path(), &format!("p `{line}`"), None), "it would have to be run", "{line}");
    }
    assert_eq!(printed_in(dir.path(), "p `cat m`.size", None), "1048576");
    let often = "1000.times { `cat m | wc -c` }";
    assert!(printed_in(dir.path(), often, None).starts_with("it takes too much: "));
}

#[cfg(unix)]
#[test]
fn git_is_asked_for_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let git = dir.path().join(".git");
    std::os::unix::fs::symlink("/dev/zero", &git).unwrap();
    assert_eq!(printed_in(dir.path(), "p `git rev-parse HEAD`", None), r#""""#);
    std::fs::remove_file(&git).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &git, rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(printed_in(dir.path(), "p `git rev-parse HEAD`", None), r#""""#);
}

#[test]
fn little_that_makes_much_is_stopped_before_it_is_made() {
    let memory = "it takes too much: memory";
    check(&[
        ("a = [1]; 60.times { a = [a, a] }; a.to_json", memory),
        ("require 'json'; a = [1]; 16.times { a = [a] * 8 }; a.to_json", memory),
        ("('a'..'z' * 20).to_a", memory),
        ("('a'..'zzzzzzzz').each {}", memory),
        ("'a'.tr('a', 'b' * 100_000_000)", memory),
        ("'a'.count('b' * 10_000_000)", memory),
        ("a = [1]; 60.times { a.push(*a) }", memory),
        ("a = [1]; 60.times { a = [*a, *a] }", memory),
        ("a = [1]; 60.times { a.concat(a, a) }", memory),
        ("s = 'x'; 60.times { s = \"#{s}#{s}\" }", memory),
        ("s = 'x'; 60.times { s << s }", memory),
        ("s = 'x'; 60.times { s += s }", memory),
        ("a = ['x' * 1000]; 60.times { a = [a.join, a.join] }", memory),
        ("'x' * 200_000_000", memory),
        ("h = {}; x = (1..100_000).to_a; 10_000.times { |i| h[[i, x]] = 1 }", memory),
        ("h = {}; x = ['y' * 100_000] * 100; 10_000.times { |i| h[[i, x]] = 1 }", memory),
        ("def m(*a) = m(*a, *a)\nm(1)", memory),
        ("('x' * 4_000_000).chars", memory),
        ("a = (1..1000).to_a; a.product(a, a)", memory),
        ("eval('1' * 1_000_000)", "a text this long that is evaluated"),
    ]);
}

#[test]
fn patterns_of_files_are_bounded() {
    check(&[
        ("Dir.glob('{a,b}' * 100_000)", "a pattern of files this long"),
        ("Dir.glob('{a,b}' * 800)", "a pattern of files that stands for more than 1000"),
        ("Dir.glob('{a}' * 1_000_000)", "a pattern of files this long"),
        ("p Dir.glob('{a}' * 1000)", "[]"),
        ("p Dir.glob('./' * 2000 + '{a,b}')", "[]"),
    ]);
}

#[test]
fn patterns_that_look_around_are_tried_on_little_text_only() {
    let around = "a pattern that looks around in more than 32 KiB of text";
    check(&[
        ("('a' * 2_000_000) =~ /(?=a*b)c/", around),
        ("('a' * 300_000).scan(/(?!a*b)x/)", around),
        ("('ab' * 100_000).gsub(/(?<=a)b(?=(ab)*$)/, 'x')", around),
        ("p ('a' * 20_000).gsub(/(?<=a)a/, 'b').count('b')", "19999"),
        ("p ('a b ' * 10_000).gsub(/a/, 'b').size", "40000"),
    ]);
}

#[test]
fn a_run_ends_when_its_time_is_over() {
    let programs = [
        "loop {}",
        "begin; raise; rescue; retry; end",
        "a = [1]; 60.times { a = [a, a] }; a.join",
        "a = [1]; 60.times { a = [a, a] }; a.flatten",
        "x = (1..100_000).to_a; loop { x.hash }",
        "x = [(1..100_000).to_a]; loop { x.inspect }",
        "S = Struct.new(:a, :b); a = 1; 60.times { a = S.new(a, a) }; a == a.dup",
        "('A' * 200_000).scan(/.*[^A-Z]|[A-Z]/)",
        "begin; loop {}; ensure; loop {}; end",
    ];
    for program in programs {
        let end = printed_in(Path::new("/nowhere"), program, Some(Duration::from_millis(100)));
        assert!(end.starts_with("it takes too much: "), "{program}: {end}");
    }
    assert_eq!(printed_in(Path::new("/nowhere"), "loop {}", Some(Duration::ZERO)), "it takes too much: time");
}

#[test]
fn a_template_asks_for_no_more_bytes_than_a_file_may_have() {
    let memory = "it takes too much: memory";
    check(&[
        ("['a'].pack('a99999999999')", memory),
        ("[].pack('x99999999999999999')", memory),
        ("['a'].pack('H99999999999')", memory),
        ("''.unpack('C99999999999')", memory),
        ("[].pack('x99999999999999999999999')", "pack length too big"),
    ]);
}
