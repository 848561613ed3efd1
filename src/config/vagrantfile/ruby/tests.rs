//! What programs print, as Ruby prints it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::host::{Bounds, Host, Stream};
use super::{Flow, Interp};

/// A host that knows nothing and keeps what is printed.
#[derive(Default)]
struct Quiet {
    printed: RefCell<String>,
}

impl Host for Quiet {
    fn env(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".into())
    }
    fn envs(&self) -> Vec<(String, String)> {
        vec![("HOME".into(), "/home/me".into())]
    }
    fn may_read(&self, _path: &Path) -> bool {
        false
    }
    fn may_look(&self) -> bool {
        false
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
        "/project".into()
    }
    fn arguments(&self) -> Vec<String> {
        vec!["up".into()]
    }
}

/// What a program prints; an error becomes its last line.
fn printed(text: &str) -> String {
    let host = Rc::new(Quiet::default());
    let bounds = Bounds { steps: 1_000_000, memory: 64 << 20, ..Bounds::default() };
    let mut ruby = Interp::new(Rc::clone(&host) as Rc<dyn Host>, bounds);
    let end = match ruby.run("/project/Vagrantfile".into(), text) {
        Ok(_) => String::new(),
        Err(Flow::Raise(error)) => {
            let class = ruby.class_of(&error).name.borrow().to_string();
            let line = ruby.line_of(ruby.at);
            format!("{class}: {} (line {line})\n", ruby.message_of(&error))
        }
        Err(Flow::Stop(stop)) => format!("{:?}: {}\n", stop.kind, stop.message),
        Err(_) => "jumped out\n".into(),
    };
    let text = host.printed.borrow().clone();
    text + &end
}

fn check(cases: &[(&str, &str)]) {
    for (program, expected) in cases {
        assert_eq!(printed(program), format!("{expected}\n"), "{program}");
    }
}

#[test]
fn literals_are_worth_what_ruby_says() {
    check(&[
        ("p 1, -2, 0x1f, 1_000, 1.5, 1e20, 1.0e-5", "1\n-2\n31\n1000\n1.5\n1.0e+20\n1.0e-05"),
        ("p nil, true, :a, :\"b c\", 'x', \"y\\n\"", "nil\ntrue\n:a\n:\"b c\"\n\"x\"\n\"y\\n\""),
        ("p [1, [2]], {a: 1, 'b' => 2}, 1..3, 1...3", "[1, [2]]\n{:a=>1, \"b\"=>2}\n1..3\n1...3"),
        ("p %w[a b], %i[a b], \"#{1 + 1}x\" 'y'", "[\"a\", \"b\"]\n[:a, :b]\n\"2xy\""),
        ("puts <<-A\n  one\n    two\n  A\n", "  one\n    two"),
        ("puts <<~A\n  one\n    two #{3}\nA\n", "one\n  two 3"),
        ("x = 5; puts <<'A'\nno #{x}\nA\n", "no #{x}"),
        ("p __FILE__, __LINE__, __dir__", "\"/project/Vagrantfile\"\n1\n\"/project\""),
    ]);
}

#[test]
fn variables_and_assignments_follow_their_scopes() {
    check(&[
        ("a = b = 2; a += 1; p a, b", "3\n2"),
        ("a, (b, *c), d = 1, [2, 3, 4], 5; p a, b, c, d", "1\n2\n[3, 4]\n5"),
        ("a, b = b, a; p a", "nil"),
        ("h = {}; h[:a] ||= 1; h[:a] ||= 2; h[:b] = 3; p h", "{:a=>1, :b=>3}"),
        ("x = 1; [2].each { |i| x += i; y = 1 }; p x, defined?(y)", "3\nnil"),
        ("x = 10; [1].each { |i; x| x = i }; p x", "10"),
        ("$g = 1; def f; $g += 1; end; f; p $g", "2"),
        ("A = 1; module M; B = A + 1; end; p M::B", "2"),
        ("def f; x; end; f", "NameError: undefined local variable or method `x' for main:Object (line 1)"),
        ("Foo", "NameError: uninitialized constant Foo (line 1)"),
    ]);
}

#[test]
fn control_flow_goes_where_ruby_goes() {
    check(&[
        ("puts 'a' if 1 == 1 && !nil\nputs 'b' unless true", "a"),
        ("x = 7; puts(x > 5 ? 'big' : 'small')", "big"),
        ("case 'abc' when /^a/ then puts 1 else puts 2 end", "1"),
        ("case 5 when 1..3, 4 then p 1 when Integer then p 2 end", "2"),
        ("i = 0; while true; i += 1; next if i == 2; break if i > 3; print i; end; puts", "13"),
        ("for a, b in {x: 1, y: 2} do print a, b end; puts", "x1y2"),
        ("r = [1, 2, 3].each { |x| break x * 10 if x == 2 }; p r", "20"),
        (
            "begin; raise ArgumentError, 'bad'; rescue => e; puts e.message, e.class; ensure; puts 'end'; end",
            "bad\nArgumentError\nend",
        ),
        ("x = Integer('z') rescue 5; p x", "5"),
        ("def f; [1, 2].each { |x| return x }; 9; end; p f", "1"),
        ("n = 0; begin; n += 1; raise 'x' if n < 3; p n; rescue; retry; end", "3"),
        ("p catch(:done) { 10.times { |i| throw :done, i if i == 4 }; nil }", "4"),
        ("raise 'boom'", "RuntimeError: boom (line 1)"),
        ("abort 'no way'", "Exit(1): no way"),
    ]);
}

#[test]
fn methods_blocks_and_lambdas_take_their_arguments() {
    check(&[
        (
            "def f(a, b = a * 2, *c, d, e: 1, **f, &g); p a, b, c, d, e, f; end; f 1, 2, 3, e: 5, z: 6",
            "1\n2\n[]\n3\n5\n{:z=>6}",
        ),
        ("def f(opts = {}); p opts; end; f a: 1, 'b' => 2", "{:a=>1, \"b\"=>2}"),
        ("def f(name, opts); p name, opts; end; f 'x', a: 1", "\"x\"\n{:a=>1}"),
        ("{a: 1}.each_with_index { |(k, v), i| p [k, v, i] }", "[:a, 1, 0]"),
        ("[[1, 2], [3, 4]].each { |a, b| print a + b, ' ' }; puts", "3 7 "),
        ("l = ->(x, y = 2) { x + y }; p l.call(1), l.(1, 1), l[5]", "3\n2\n7"),
        ("p [1, 2].map(&:to_s), %w[a b].each_with_index.map { |x, i| x * (i + 1) }", "[\"1\", \"2\"]\n[\"a\", \"bb\"]"),
        ("def f; yield 1, 2; end; f { |a, b| p a + b }; p block_given?", "3\nfalse"),
        ("def f(*) = g(*); def g(*a) = p(a); f 1, 2", "[1, 2]"),
        ("def f(a); end; f", "ArgumentError: wrong number of arguments (given 0, expected 1) (line 1)"),
        ("p [3, 1, 2].sort { |a, b| b <=> a }, [1, 2].inject(:+), (1..4).reduce { |a, b| a * b }", "[3, 2, 1]\n3\n24"),
        ("p [1, 2].map { _1 * 2 }, [1].map { it + 1 }", "[2, 4]\n[2]"),
    ]);
}

#[test]
fn classes_and_modules_work_as_far_as_files_use_them() {
    check(&[
        (
            "class A; attr_accessor :x; def initialize(x); @x = x; end; def to_s; \"A#{@x}\"; end; end; a = A.new(1); a.x += 1; puts a, \"#{a}\"",
            "A2\nA2",
        ),
        ("class A; def f; 'a'; end; end; class B < A; def f; super + 'b'; end; end; puts B.new.f", "ab"),
        ("module M; def self.f(x) x * 2 end; K = 3; end; p M.f(M::K)", "6"),
        (
            "module M; def hi; 'hi'; end; end; class A; include M; end; puts A.new.hi; p A.ancestors.first(2)",
            "hi\n[A, M]",
        ),
        ("class << self; def z; 1; end; end; p z", "1"),
        ("class A; class << self; def z; 1; end; end; end; p A.z", "1"),
        (
            "class A; def method_missing(n, *a); \"#{n}#{a}\"; end; def respond_to_missing?(*) true end; end; puts A.new.foo(1)",
            "foo[1]",
        ),
        (
            "S = Struct.new(:a, :b) do; def sum; a + b; end; end; s = S.new(1, 2); s.b = 5; p s, s.sum, s.to_a",
            "#<struct S a=1, b=5>\n6\n[1, 5]",
        ),
        ("class String; def shout; upcase + '!'; end; end; puts 'a'.shout", "A!"),
        (
            "class E < StandardError; def initialize(m = 'mine'); super; end; end; begin; raise E; rescue E => e; puts e.message; end",
            "mine",
        ),
        ("class A; @@n = 0; def self.up; @@n += 1; end; end; A.up; p A.up", "2"),
        (
            "class A; private; def f; 1; end; end; A.new.f",
            "NoMethodError: private method `f' called for an instance of A (line 1)",
        ),
    ]);
}

#[test]
fn strings_have_the_methods_that_files_use() {
    check(&[
        (
            "p 'a,b,,c,,'.split(','), ' a  b '.split, 'abc'.split(''), 'a1b2'.split(/\\d/)",
            "[\"a\", \"b\", \"\", \"c\"]\n[\"a\", \"b\"]\n[\"a\", \"b\", \"c\"]\n[\"a\", \"b\"]",
        ),
        (
            "p 'hello'[1], 'hello'[1..3], 'hello'[-3..-1], 'hello'[1, 2], 'hello'[/l+/], 'hello'[9]",
            "\"e\"\n\"ell\"\n\"llo\"\n\"el\"\n\"ll\"\nnil",
        ),
        (
            "p 'a-b-c'.gsub('-', '_'), 'abc'.sub(/(b)/, '[\\1]'), 'abc'.gsub(/[ac]/) { |m| m.upcase }, 'x'.gsub(/x/, 'x' => 'y')",
            "\"a_b_c\"\n\"a[b]c\"\n\"AbC\"\n\"y\"",
        ),
        ("p '%02d-%s-%.2f %x' % [5, 'a', 1.5, 255], format('%-5s|%+d', 'ab', 3)", "\"05-a-1.50 ff\"\n\"ab   |+3\""),
        (
            "p ' x '.strip, \"a\\n\".chomp, 'abc'.start_with?('ab'), 'abc'.include?('z'), 'abc'.reverse, 'ab' * 2",
            "\"x\"\n\"a\"\ntrue\nfalse\n\"cba\"\n\"abab\"",
        ),
        (
            "p '12abc'.to_i, '1.5x'.to_f, 'ff'.to_i(16), 'abc'.to_sym, 'abc'.length, 'a'.ord, 'az'.succ",
            "12\n1.5\n255\n:abc\n3\n97\n\"ba\"",
        ),
        (
            "s = 'a'; s << 'b'; s += 'c'; p s; s.freeze; s << 'd'",
            "\"abc\"\nFrozenError: can't modify frozen String: \"abc\" (line 1)",
        ),
        (
            "p 'foo bar'.scan(/\\w+/), 'k=v'.scan(/(\\w)=(\\w)/), 'a=1' =~ /=/, $~[0], $`, $1",
            "[\"foo\", \"bar\"]\n[[\"k\", \"v\"]]\n1\n\"=\"\n\"a\"\nnil",
        ),
        ("if 'v1.2' =~ /v(\\d)\\.(\\d)/ then p $1, $2 end", "\"1\"\n\"2\""),
        ("/(?<y>\\d+)-(?<m>\\d+)/ =~ '2024-05'; p y, m", "\"2024\"\n\"05\""),
        (
            "p 'hello world'.capitalize, 'Ab'.swapcase, 'x'.center(5, '*'), 'abc'.tr('a-b', 'x'), 'aab'.squeeze",
            "\"Hello world\"\n\"aB\"\n\"**x**\"\n\"xxc\"\n\"ab\"",
        ),
        ("p \"a\\tb\\u00e9\\e\"", "\"a\\tbé\\e\""),
    ]);
}

#[test]
fn collections_have_the_methods_that_files_use() {
    check(&[
        (
            "a = [3, 1, 2]; p a.sort, a.max, a.first, a.last(2), a.include?(1), a.index(2), a.reverse, a.sum",
            "[1, 2, 3]\n3\n3\n[1, 2]\ntrue\n2\n[2, 1, 3]\n6",
        ),
        (
            "p [1, nil, [2, [3]]].compact.flatten, [1, 1, 2].uniq, [1, 2, 3].each_slice(2).to_a, [1, 2].zip([3, 4])",
            "[1, 2, 3]\n[1, 2]\n[[1, 2], [3]]\n[[1, 3], [2, 4]]",
        ),
        (
            "p (1..5).select(&:even?), (1..3).map { |i| \"n#{i}\" }, ('a'..'e').to_a, (1..10).step(3).to_a",
            "[2, 4]\n[\"n1\", \"n2\", \"n3\"]\n[\"a\", \"b\", \"c\", \"d\", \"e\"]\n[1, 4, 7, 10]",
        ),
        (
            "h = {b: 1, a: 2}; p h.sort_by { |k, v| v }, h.map { |k, v| [k, v] }, h.min_by { |_, v| v }, h.to_a, h.key(2)",
            "[[:b, 1], [:a, 2]]\n[[:b, 1], [:a, 2]]\n[:b, 1]\n[[:b, 1], [:a, 2]]\n:a",
        ),
        (
            "h = {a: 1}.merge({b: 2}) { |k, o, n| o }; h.each { |k, v| print k, v }; puts; p h.fetch(:z, 9), h.key?(:a), h.select { |k, v| v > 1 }",
            "a1b2\n9\ntrue\n{:b=>2}",
        ),
        (
            "h = Hash.new { |hash, k| hash[k] = [] }; h[:a] << 1; p h, Hash.new(0)[:x], {a: {b: [1, 2]}}.dig(:a, :b, 1)",
            "{:a=>[1]}\n0\n2",
        ),
        ("{}.fetch(:a)", "KeyError: key not found: :a (line 1)"),
        (
            "p [1, 2, 3].partition(&:odd?), %w[a bb].group_by(&:size), [[1, 2]].to_h, %w[a b].each_with_object({}) { |x, h| h[x] = 1 }",
            "[[1, 3], [2]]\n{1=>[\"a\"], 2=>[\"bb\"]}\n{1=>2}\n{\"a\"=>1, \"b\"=>1}",
        ),
        (
            "a = [1, 2, 3, 4]; a.delete_if { |x| x.even? }; a.push(9).unshift(0); a.delete(9); p a, a.pop, a.shift, a",
            "[1]\n3\n0\n[1]",
        ),
        (
            "p [1, 2] + [3] - [1], [1, 2] & [2], [1] | [2], [1, 2] * ',', [0] * 3, [[1, 2], [3]].sum([])",
            "[2, 3]\n[2]\n[1, 2]\n\"1,2\"\n[0, 0, 0]\n[1, 2, 3]",
        ),
        (
            "p 7 / 2, -7 / 2, 7 % 3, 2 ** 10, 7.0 / 2, 10.to_s(2), 3.7.round, 3.2.ceil, 1024.fdiv(3).round(2), 5.clamp(1, 3)",
            "3\n-4\n1\n1024\n3.5\n\"1010\"\n4\n4\n341.33\n3",
        ),
        ("3.times { |i| print i }; 1.upto(3) { |i| print i }; 3.downto(1) { |i| print i }; puts", "012123321"),
    ]);
}

#[test]
fn text_that_nests_without_end_is_refused_and_nothing_falls_over() {
    let brackets =
        [("(", ")"), ("[", "]"), ("{a: ", "}"), ("-> { ", " }"), ("->(x = ", ") {}"), ("A[", "]"), ("^(", ")")];
    let words = [("if 1 then ", " end"), ("begin; ", " end;"), ("!", ""), ("a b ", ""), ("\"#{", "}\""), ("b = ", "")];
    let chains =
        [("1 + ", ""), ("1 | ", ""), ("a.", ""), ("a::", ""), ("1 => a | ", ""), ("", " if 1"), ("", " rescue 1")];
    for (open, close) in brackets.into_iter().chain(words).chain(chains) {
        for many in [900, 20_000] {
            let nested = format!("{}a{}", open.repeat(many), close.repeat(many));
            for program in [format!("x = {nested}"), format!("case 1\nin {nested} then 2\nend"), open.repeat(many)] {
                let said = printed(&program);
                let refused = ["Error", "Unsupported", "Bound"].iter().any(|word| said.contains(word));
                assert!(refused || said.is_empty(), "{many} {open}: {said}");
            }
        }
    }
    let said = printed(&format!("x = {}1", "1 + ".repeat(300_000)));
    assert!(said.contains("nests too deep"), "{said}");
}

#[test]
fn a_run_is_bounded() {
    check(&[
        ("loop { }", "Bound: it takes too much: steps"),
        ("def f; f; end; f", "SystemStackError: stack level too deep (line 1)"),
        ("a = []; loop { a << 'x' * 100000 }", "Bound: it takes too much: memory"),
        ("begin; loop { }; rescue Exception; end", "Bound: it takes too much: steps"),
        ("p 2 ** 70", "Unsupported: a number this large"),
        ("`ls`", "Refused: `ls` is not run"),
        ("a = []; 100000.times { a = [a] }; a = nil; h = nil; 20000.times { h = { h => (h..1) } }; h = nil; p 1", "1"),
        ("a = [1]; a << a << a; p({ a => 1 }.size, a.inspect.size > 9)", "1\ntrue"),
        ("a = []; a << a << a; a.flatten", "SystemStackError: stack level too deep (line 1)"),
        (
            "def f; [[[[[[[[[[[[[[[[[[[[[[[[f]]]]]]]]]]]]]]]]]]]]]]]]; end; f",
            "SystemStackError: stack level too deep (line 1)",
        ),
        ("a = []; a << a << 1; case a; in [[[[b, *], *], *], *] then p b[1]; end", "1"),
        (
            "def f(x); case x; in [y] then f(y); in y then f([y]); end; end; f(1)",
            "SystemStackError: stack level too deep (line 1)",
        ),
        ("Thread.new { loop { } }.join", "Bound: it takes too much: steps"),
        ("require 'csv'; CSV.parse('a,b' * 1000)[0].grep(/a/) { |x| loop { } }", "Bound: it takes too much: steps"),
        ("x = 1 +", "SyntaxError: unexpected end-of-input; expected an expression after the operator (line 1)"),
    ]);
}

/// A wrong number would be worse than none.
#[test]
fn what_our_numbers_and_bytes_cannot_hold_is_told() {
    let large = "Unsupported: a number this large";
    check(&[
        ("2**64", large),
        ("1 << 70", large),
        ("1 >> -70", large),
        ("Integer('99999999999999999999')", large),
        ("'ffffffffffffffffff'.hex", large),
        ("'99999999999999999999'.to_i", large),
        ("[255, 255, 255, 255, 255, 255, 255, 255].pack('C*').unpack1('Q')", large),
        ("[1.5].pack('g')", "Unsupported: `g` in a template of `pack` or `unpack`"),
        ("'abc'.unpack('C', offset: 1)", "Unsupported: `unpack` from a place in the middle, or with a block"),
        ("puts [200].pack('C')", "Unsupported: a string of bytes that are no text"),
        ("[195, 169].pack('C2').then { |bytes| puts bytes, bytes.size }", "é\n2"),
        ("srand(1)", "Unsupported: chance that begins at a number of the file's"),
        ("Random.srand(1)", "Unsupported: chance that begins at a number of the file's (`Random.new(NUMBER)` does)"),
        (
            "[1, 2].sample(1, random: Random.new(1))",
            "Unsupported: a sample of several by chance that begins at a number of the file's",
        ),
        ("Random.new(1).rand(0)", "ArgumentError: invalid argument - 0 (line 1)"),
    ]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn any_template_is_packed_and_unpacked_without_harm(
        template in "[aAZBbHhCcnNvVsSlLqQUmx<>*0-9 ]{0,12}", number: i64, text in "\\PC{0,8}",
    ) {
        let text = text.replace(['\'', '\\', '#'], "");
        printed(&format!("p '{text}'.unpack('{template}') rescue p $!"));
        printed(&format!("p [{number}, 1, 2].pack('{template}') rescue p $!"));
        printed(&format!("p ['{text}', '1'].pack('{template}').unpack('{template}') rescue p $!"));
    }
}
