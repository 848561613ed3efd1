p 1_000, 0xff, 0b101, 0o17, 1e3, 1.0e-7, 12345678901.5, -0.0
%%
p "a\tb\n", 'a\tb', %q(x "y"), %Q(#{1 + 1}), ?a, :"a b", %s(sym)
%%
x = 3
puts <<~EOS
  one #{x}
    two

  three
EOS
%%
puts <<-'EOS'
    raw \#{x} \n
    EOS
%%
puts <<A + <<B
a
A
b
B
%%
puts [<<~X, <<~Y].map(&:strip).join("|")
  first
X
  second
Y
%%
puts <<~SCRIPT.gsub(/^\s+/, "").lines.map(&:chomp).join(",")
  a
   b
SCRIPT
%%
puts "con" "cat" 'enated'
%%
puts "abc" \
  "def"
%%
p "héllo".length, "héllo".bytes.length, "héllo".upcase, "ß".upcase, "héllo".reverse
%%
p "%05.1f|%-6s|%+d|%x|%o|%b|%e|%%" % [3.14159, "ab", 5, 255, 8, 5, 12345.678]
%%
p format("%<a>d-%{b}", a: 1, b: "x"), format("%3d|%-3d|%03d", 5, 5, 5), "%s and %p" % ["a", "a"]
%%
p format("%g %g %g", 1.5, 100000.0, 1e20), format("%.3s", "abcdef"), format("%c", 65), format("%5s%%", 10)
%%
p "a-b_c d".split(/[-_ ]/), "a,b,c".split(",", 2), "abc".split(""), "a b  c".split(" "), "1,2,,".split(","), "1,2,,".split(",", -1)
%%
p "hello world".sub("o", "0"), "hello".gsub(/l/, "L"), "hello".gsub(/(l)(l)/, '\2-\1'), "path/to".gsub("/", "::")
%%
p "hello".gsub(/[el]/, "e" => "3", "l" => "1"), "hello".gsub(/l/) { |m| m.upcase + $~.begin(0).to_s }, "john".sub(/(?<first>j)/, '[\k<first>]')
%%
p "a1b22".scan(/\d+/), "a1b22".scan(/([a-z])(\d+)/), "test".scan(/t/) { |x| print x }
%%
p "foo.bar" =~ /\./, $~[0], $`, $', "foo" =~ /x/, $~
%%
m = "2024-05-06".match(/(?<y>\d+)-(?<m>\d+)-(\d+)/)
p m[:y], m["m"], m.pre_match, m.names, m.named_captures
%%
m = /(\d+)\.(\d+)/.match("v1.22b")
p m.to_a, m.captures, m.begin(0), m.post_match, m[1].to_i
%%
p "abc"[0], "abc"[-1], "abc"[1..], "abc"[..1], "abc"[5], "abc"[0, 2], "abc"["b"], "abc"[/b./]
%%
a = "abc"
a[1] = "X"
p a
a[0..1] = "__"
p a
a["c"] = "!"
p a
%%
p "Hello".swapcase, "hello world".capitalize, "HELLO".downcase, "hello"*2, "a".ord, 97.chr, "az".succ, "Zz".succ, "a9".next
%%
p " x ".strip, " x ".lstrip, " x ".rstrip, "xxhixx".delete("x"), "aaabbb".squeeze, "aaabbb".squeeze("a"), "hello".tr("el", "ip"), "hello".tr("a-y", "b-z")
%%
p "hello".count("l"), "hello".index("l"), "hello".rindex("l"), "hello".index("l", 3), "hello".insert(2, "XX"), "hello".start_with?("he", "x"), "hello".end_with?("lo")
%%
p "abc".each_char.to_a, "ab\ncd\n".lines, "ab\ncd".each_line.map(&:chomp), "abc".chars.each_slice(2).map(&:join)
%%
p "title".center(11, "*"), "x".ljust(3, ".") + "|", "x".rjust(3) + "|", "12".rjust(5, "0")
%%
p "abc".hash == "abc".hash, "abc".eql?("abc"), "abc".equal?("abc"), "a" <=> "b", "a".casecmp("A"), "a".casecmp?("A")
%%
p "1.5abc".to_f, "12abc".to_i, "abc".to_i, "0x1A".hex, "777".oct, "z".to_i(36), "1e3".to_f, " 42 ".to_i, "1_000".to_i
%%
p Integer("42"), Integer("0x1f", 16), Float("1.5"), Integer("12", exception: false), Integer("x", exception: false), String(5), Array(nil), Array([1]), Array(1..3), Array("a")
%%
Integer("4x")
%%
Float("abc")
%%
p "abc".partition("b"), "a.b.c".rpartition("."), "abc".partition("x"), "key=value=x".partition("=")
%%
p "snake_case_word".split("_").map(&:capitalize).join, "CamelCase".gsub(/([A-Z])/) { "_" + $1.downcase }.sub(/^_/, "")
%%

p "a".encoding.to_s, "abc".force_encoding("UTF-8").valid_encoding?
%%
s = +"x"
s << "y" << "z"
s.concat("!", "?")
p s, s.frozen?, s.dup.upcase!, "abc".upcase!, "ABC".upcase!
%%
p "line one\nline two"[/two/], "x=1;y=2".split(";").map { |kv| kv.split("=") }.to_h
%%
p "abc" "def".chars.last(2), "hello world foo".split.map(&:length), "a".."e", ("a".."e").include?("c"), ("a".."e").to_a.join
%%
p "ab12".match?(/\d/), "ab" !~ /\d/, "AB" =~ /ab/i, "a\nb" =~ /a.b/m, "x" * 0, "tEST".capitalize
%%
p "Hello World".delete_prefix("Hello ").delete_suffix("ld"), "hello"[1..-2], "hello"[1...-1], "x".empty?, "".empty?, "hello".slice(0, 3)
%%
puts "a\\b", 'a\\b', "tab\there", "\e[0m".inspect, "\u00e9", "\x41", "nul\0".inspect, "#{nil}|#{true}|#{:a}|#{1.0}|#{[1, nil]}|#{{a: 1}}"
%%
p "3 apples".to_i, "abc".sum, "ab".bytes, "%d" % 3.99, "%s" % nil, "%s %s" % %w[a b], "%-10s|" % "hi", "%08b" % 37, "%+.1e" % 0.00012
%%
p "ünïcödé".unicode_normalize(:nfc).length, "a,b;c".split(/[,;]/), "aXbXc".split("X", 2), "abc".between?("abb", "abd"), "abc".clamp("b", "c")
%%
p 7 / 2, -7 / 2, 7 % 3, -7 % 3, 7.fdiv(2), 7.divmod(2), -7.divmod(2), 2**10, 2**0.5, 10.pow(3)
%%
p 3.7.to_i, 3.7.round, 3.2.ceil, 3.7.floor, -3.7.truncate, 3.14159.round(2), 1234.round(-2), 2.5.round, 3.5.round, -2.5.round, 1e3.to_i
%%
p 10.clamp(1, 5), 3.between?(1, 5), 5.zero?, 0.zero?, 5.positive?, -5.abs, 10.gcd(4), 10.lcm(4), 255.to_s(16), 255.to_s(2), 10.digits
%%
p 1.0 / 3, 1e100, 1.23e-5, 100.0, 1e15, 1e16, 123456789.123456789, 0.1 + 0.2, 1/3.0, 1.0.to_s, 3.0 * 2
%%
p 5.0 == 5, 5.eql?(5.0), 1 <=> 2, 1 == 1.0, 3.14.to_s, 3.to_f, 5.succ, 5.pred, 65.chr, 5.even?, 5.odd?, 1.0.nan?, (0.0/0).nan?, 1.0/0
%%
p (1..10).sum, (1..10).reduce(:*), (1...10).size, (1..10).step(3).to_a, 1.step(10, 4).to_a, 10.downto(7).to_a, 1.upto(3).map { |x| x * x }
%%
1 / 0
%%
p 1024 * 0.25, (1024 * 0.25).to_i, 2048 / 4, [512, 1024].min, [1.5, 2].max, 7.5 % 2, -7.5 % 2, 7.5.divmod(2)
%%
p Integer.sqrt(17), Math.sqrt(16), Math.log2(8), Math::PI.round(3), 10.0.floor, 1_000_000.to_s.reverse.scan(/\d{1,3}/).join(",").reverse
%%
p 5 & 3, 5 | 3, 5 ^ 3, ~5, 1 << 4, 256 >> 2, 5[0], 5[1], 5.bit_length
%%
p 3.times.to_a, 5.times.select(&:even?), 3.times.map { |i| "n#{i}" }, 4.downto(1).each_slice(2).to_a
%%
x = 5
x += 1
x -= 2
x *= 3
x **= 2
x /= 4
x %= 7
p x
x ||= 9
x &&= x + 1
p x
y ||= 2
p y
%%
a = [5, 3, 1]
p a.sort, a.sort { |x, y| y <=> x }, a.sort_by { |x| -x }, a.max, a.min, a.sum, a.minmax, a.reverse, a.first, a.last(2), a.take(2), a.drop(1)
%%
a = [1, 2, 3, 4, 5, 6]
p a[1..3], a[1...3], a[-2..], a[10], a[2, 2], a.values_at(0, 2, -1, 9), a.each_slice(4).to_a, a.each_cons(5).to_a, a.partition(&:even?)
%%
a = [1, 2, 3]
a << 4
a.push(5, 6)
a.unshift(0)
a.insert(2, :x)
a.delete(:x)
a.delete_at(0)
p a, a.pop, a.shift, a, a.pop(2), a
%%
p [1, [2, [3, [4]]]].flatten, [1, [2, [3]]].flatten(1), [nil, 1, false].compact, [1, 1, 2].uniq, [3, 1].sort.reverse, [1, 2] + [3], [1, 2, 2] - [2], [1, 2] & [2, 3], [1, 2] | [2, 3]
%%
p [1, 2, 3].inject { |a, b| a + b }, [1, 2, 3].inject(10) { |a, b| a + b }, [1, 2, 3].reduce(:+), [1, 2, 3].sum { |x| x * 2 }, [[1, 2], [3, 4]].sum { |a, b| a * b }, ["a", "b"].sum("")
%%
p [1, 2, 3].each_with_index.map { |x, i| x * i }, [1, 2, 3].map.with_index(1) { |x, i| [i, x] }, %w[a b].each_with_index.to_a, %w[a b].each.with_index(1).to_a
%%
p %w[a b c].each_with_object([]) { |x, acc| acc << x.upcase }, %w[x y].each_with_index.to_h { |x, i| [x.to_sym, i] }, [3, 1, 2].max_by { |x| -x }, [3, 1, 2].min_by { |x| -x }
%%
p [1, 2, 3, 4].select.with_index { |x, i| i.even? }, [1, 2, 3].reject.with_index { |x, i| i == 1 }, [4, 5].each_with_index.select { |x, i| i > 0 }
%%
p [1, 2, 3].zip([4, 5, 6], [7, 8, 9]), [1, 2].product([3, 4]), [[1, 2], [3, 4]].transpose, [1, 2, 3].rotate, [1, 2, 3].each_entry.to_a, [1, 2, 3, 4].combination(2).to_a.length
%%
p [1, 2, 3].include?(2), [1, 2].any? { |x| x > 1 }, [1, 2].all?(Integer), [].none?, [nil, 1].one?, [1, 2, 2].count(2), [1, 2].find { |x| x > 1 }, [1, 2].index(2), [5].empty?, [1, 2, 3].find_index { |x| x == 3 }
%%
p [1, 2, 3, 4, 5].take_while { |x| x < 3 }, [1, 2, 3].drop_while { |x| x < 2 }, [1, 2, 4, 5, 7].chunk_while { |a, b| b == a + 1 }.to_a, [1, 2, 3].group_by(&:odd?), %w[a b a].tally
%%
p [1, [2, 3]].dig(1, 0), [1, 2, 3].fetch(1), [1].fetch(5, :d), [1].fetch(5) { |i| i * 2 }, Array.new(3, 0), Array.new(3) { |i| i * i }, [0] * 3, [1, 2, 3].first(2), [3, 4].join("-")
%%
[1].fetch(9)
%%
a = [1, 2, 3, 4]
a.map! { |x| x * 2 }
a.select! { |x| x > 2 }
a.reject! { |x| x == 8 }
p a, a.delete_if { |x| x == 4 }, a.concat([1], [2]), a.sort!, a.reverse!, a.uniq!, a.clear
%%
a = [3, 1]
b = a
b << 2
p a, a.equal?(b), a.dup.equal?(a), a == [3, 1, 2], a <=> [3, 1, 3], a.frozen?, a.hash == [3, 1, 2].hash, a.to_s, a.inspect
%%
first, *rest = [1, 2, 3]
p first, rest
*init, last = [1, 2, 3]
p init, last
a, (b, c), d = 1, [2, 3], 4
p a, b, c, d
h, = [9, 8]
p h
%%
def f(*args, **opts, &blk) = [args, opts, blk&.call]
p f(1, 2, a: 3) { 4 }, f(*[1, 2], **{b: 1}), f, f({a: 1})
%%
a = [1, 2, 3]
a[5] = 6
p a
a[1..2] = [9]
p a
a[0, 2] = []
p a, [1, 2, 3].slice(1, 2), [3, 5, 2].sort.first, [[2, "b"], [1, "a"]].sort, %w[bb a ccc].sort_by(&:length), %w[b a].sort_by { |x| x }
%%
p [1, 2, 3].cycle.first(7), (1..Float::INFINITY).lazy.map { |x| x * 2 }.select { |x| x % 3 == 0 }.first(3), (1..).first(3), [4, 5].each_slice(1).map(&:first), [1, 2, 3].lazy.map { |x| x + 1 }.to_a
%%
e = [1, 2, 3].each
p e.next, e.next, e.next
begin
  e.next
rescue StopIteration => x
  puts x.message
end
p [1, 2].each_with_index, (1..3).each_slice(2), 5.times
%%
fib = Enumerator.new do |y|
  a, b = 0, 1
  loop { y << a; a, b = b, a + b }
end
p fib.first(10), fib.lazy.select(&:even?).first(4), fib.take(3)
%%
p [1, 2, 3, 4, 5].each_slice(2).with_index.map { |a, i| [i, a.sum] }, [3, 1, 2].sort.each_cons(2).to_a, (1..6).each_slice(2).to_h { |a, b| [a, b] }
%%
p ["a", "b"].each_with_index.map { |n, i| "#{n}#{i}" }, [[1, [2, 3]]].map { |a, (b, c)| a + b + c }, [[1, 2], [3, 4]].each_with_index.map { |(a, b), i| a * b + i }
%%
p [1, nil, 2].compact.sum, [1, 2, 3].sum.fdiv(3).round(2), ["x"].cycle(2).to_a, [1, 2, 3].each_cons(2).map { |a, b| b - a }, [3, 3].uniq.size == 1, [[1, :a], [2, :b]].to_h, [1, 2].to_a, [1, 2, 3].min(2), [1, 2, 3].max(2)
%%
p [3, 1, 2].sort!.first, %w[a b c].values_at(0, 2), [1, 2, 3, 4].find_all(&:even?), [1, 2, 3].filter_map { |x| x * 2 if x.odd? }, [[1], [2]].flat_map { |x| x + x }, %w[apple pie].map(&:length).zip(%w[a p])
%%
nested = {"a" => [{"b" => 1}, {"b" => 2}]}
p nested["a"].map { |x| x["b"] }, nested.dig("a", 1, "b"), nested["a"].sum { |x| x["b"] }, nested["a"].first.fetch("b"), nested["x"]&.first, nested.dig("x", "y")
%%
h = {a: 1, "b" => 2, 3 => [4], nil => nil, 1.5 => :x}
p h, h[:a], h["b"], h[3], h[:zz], h.key?(:a), h.value?(2), h.length, h.keys, h.values
%%
h = {b: 2, a: 1}
p h.sort.to_h, h.sort_by { |k, v| v }, h.min_by { |k, v| v }, h.sum { |k, v| v }, h.map { |k, v| [k, v * 2] }.to_h, h.to_a, h.invert, h.key(2), h.max_by { |_, v| v }
%%
h = {a: 1, b: 2, c: 3}
p h.select { |k, v| v > 1 }, h.reject { |k, v| v > 1 }, h.filter_map { |k, v| k if v > 1 }, h.partition { |k, v| v > 1 }, h.find { |k, v| v == 2 }, h.any? { |k, v| v > 2 }, h.all? { |k, v| v > 0 }, h.count { |k, v| v.odd? }, h.each_with_index.map { |(k, v), i| [k, v, i] }
%%
h = {a: 1}
h[:b] = 2
h.store(:c, 3)
h.delete(:a)
h.merge!(d: 4) { |k, o, n| o + n }
h.update(b: 5)
p h, h.merge({b: 9}, {z: 0}), h.merge({b: 1}) { |_, o, n| o + n }, h.slice(:b, :d), h.except(:b), h.compact, h.empty?, h.first
%%
h = {a: {b: {c: 1}}}
p h.dig(:a, :b, :c), h.dig(:a, :x, :c), h[:a][:b], h.fetch(:a).keys, h.transform_values { |v| v.size }, h.transform_keys(&:to_s), {a: 1}.transform_keys({a: :z}), {"x" => 1}.transform_keys(&:to_sym), h.to_a.flatten(1)
%%
{a: 1}.fetch(:b)
%%
{"a" => 1}.fetch("zzz")
%%
h = Hash.new(0)
"hello".each_char { |c| h[c] += 1 }
p h, h["q"], h.fetch("q", 7), h.default
g = Hash.new { |hash, k| hash[k] = k * 2 }
p g[2], g, Hash[[[1, 2]]], Hash[:a, 1]
%%
h = {b: 1, a: 2}
h.each { |k, v| print k, v }
h.each_pair { |k, v| print k }
h.each_with_index { |(k, v), i| print k, i }
h.each_key { |k| print k }
h.each_value { |v| print v }
puts
p h.group_by { |k, v| v.odd? }, h.reduce(0) { |s, (k, v)| s + v }, h.each_with_object({}) { |(k, v), o| o[v] = k }, h.sort { |a, b| a[1] <=> b[1] }
%%
h = {a: 1}.freeze
begin
  h[:b] = 2
rescue => e
  puts e.class, e.message
end
p h.frozen?, h.dup.frozen?, {a: nil}.compact, {a: 1} == {a: 1.0}, {a: 1, b: 2} == {b: 2, a: 1}, {a: 1}.eql?({a: 1}), {a: 1}.any?, {}.none?, {a: 1}.sum { |k, v| v }, {a: 1}.inspect
%%
x = 1
y = 2
h = {x:, y:}
p h, {"a b": 1}, {"a": 1}, {:"c-d" => 2}, {"x": {"y": [1]}}, {if: 1, class: 2}, {a?: 1} rescue p $!
p({1 => 2}.map { |k, v| k + v })
%%
h = {"b" => {"c" => 1}}
def sym(x) = x.is_a?(Hash) ? x.to_h { |k, v| [k.to_sym, sym(v)] } : x
p sym(h), h.to_a, h.delete("zz"), h.delete("zz") { 5 }, h.key?("b"), h.has_key?("b"), h.member?("b"), h.include?("b"), h.shift, h
%%
h = {a: 1, b: 2}
h.delete_if { |k, v| v == 1 }
p h
h.keep_if { |k, v| v == 3 }
p h, h.min_by { |k, v| v }, h.sum { 1 }, {a: 2}.reduce { |a| a }, {a: [1, 2]}.flat_map { |k, v| v }, {a: 1}.zip([1]), {a: 3, b: 1}.sort_by(&:last).first, {a: 3}.each_slice(1).to_a, {a: 1}.to_s, {b: 1}.values_at(:b, :c), {a: 1}.filter { |k| k == :a }
%%
x = 5
r = if x > 3 then "big" elsif x > 1 then "mid" else "small" end
puts r, (x == 5 ? :y : :n), (x if x > 9).inspect
unless x == 5
  puts 1
else
  puts 2
end
puts "m" unless x == 4
%%
def k(x)
  case x
  when Integer, Float then "num"
  when /^a/ then "a-word"
  when "x".."z" then "xyz"
  when nil then "nil"
  when ->(v) { v.respond_to?(:each) } then "list"
  when :a, :b then "sym"
  else "other"
  end
end
p k(1), k(1.5), k("abc"), k("y"), k(nil), k([]), k(:b), k("q")
%%
i = 0
while i < 10
  i += 1
  next if i.odd?
  break if i > 6
  print i
end
until i == 0 do i -= 1 end
p i
begin i += 1 end while i < 3
p i
for a, b in [[1, 2], [3, 4]] do print a + b end
puts
loop do i += 1; break if i > 5 end
p i
%%
def f
  yield 1
  yield 2, 3
end
f { |a, b| p [a, b] }
def g
  return :none unless block_given?
  yield
end
p g, g { :blk }
def h(&b) = b
p h.nil?, h { |x| x * 2 }.call(4), [1, 2].each_with_index { |x, i| break x * 10 + i if i == 1 }
%%
r = [1, 2, 3].each do |x|
  next if x == 1
  break x if x == 2
end
p r, [1, 2, 3].map { |x| next 0 if x == 2; x }, (1..3).each_with_object([]) { |i, a| a.unshift(i) }, [1, 2, 3].each { |x| }
%%
def a(x, y = x + 1, *z, k: 1, **o) = [x, y, z, k, o]
p a(1), a(1, 2), a(1, 2, 3, k: 4), a(1, q: 2), a(*[1, 2, 3], **{k: 9})
begin
  a
rescue ArgumentError => e
  puts e.message
end
%%
def kw(a:, b: 2) = [a, b]
p kw(a: 1), kw(b: 1, a: 0)
[-> { kw }, -> { kw(a: 1, c: 2) }, -> { kw(1, a: 2) }].each { |l| begin; l.call; rescue ArgumentError => e; puts e.message; end }
%%
begin
  raise "a"
rescue => e
  puts e.message, e.class
ensure
  puts "ens"
end
x = begin Integer("z") rescue -1 end
p x
def m
  yield
rescue ZeroDivisionError, TypeError => e
  "r #{e.class}"
else
  "else"
ensure
  print "e "
end
puts m { 1 / 0 }, m { 1 + nil }, m { 1 }
%%
class MyErr < StandardError
  def initialize(msg = "default") = super
end
begin
  raise MyErr
rescue MyErr => e
  p e.message, e.is_a?(StandardError), e.full_message.nil?
end
begin
  raise MyErr, "custom"
rescue => e
  p e
end
begin
  raise MyErr.new("obj")
rescue => e
  p e.message
end
%%
n = 0
begin
  n += 1
  raise "x" if n < 3
  puts n
rescue
  retry
end
p catch(:done) { 10.times { |i| throw :done, i if i == 3 }; :never }
p (begin; raise IOError; rescue IOError; $!.message; end)
%%
raise ArgumentError
%%
raise "boom"
%%
undefined_thing
%%
nil.upcase
%%
"abc".frobnicate
%%
5.upcase
%%
[1, 2].frob(3)
%%
Object.new.instance_variable_get(:@x).foo
%%
raise KeyError, "k"
%%
"a" + 1
%%
1 + "a"
%%
[1] + nil
%%
"x" * -1
%%
Foo::Bar
%%
throw :nope
%%
exit 3
%%
abort "no way"
%%
def f(a); end
f(1, 2)
%%
->(x) { x }.call
%%
"abc".freeze << "d"
%%
CONST = [1].freeze
CONST << 2
%%
:sym.unknown_method
%%
Struct.new(:a).new(1, 2)
%%
p defined?(x), defined?(p), defined?(String), defined?(@a), defined?($zz), defined?(3 + 3), defined?(yield), defined?(nil), defined?(self)
x = 1
p defined?(x), (defined?(Foo) ? 1 : 2)
%%
$g = 1
@i = 2
C = 3
def f = [$g, defined?(@i), C]
p f, @i, self.to_s, self.class
[1].each { |x; y| y = x }
p defined?(y), __method__.inspect
x = 10
[1].each { x += 1 }
p x, binding.local_variable_get(:x), binding.local_variables.include?(:x)
%%
p __FILE__.class, __LINE__, __dir__.class, __method__.inspect
def mm = __method__
p mm
%%
p eval("1 + 2"), eval("x = 5; x * 2")
y = 7
p eval("y + 1"), binding.eval("y * 2")
eval "def ev; :ev; end"
p ev
%%
x = nil
p x&.length, x.to_a, x.to_s, x.inspect, (x || 5), (x or 6), !x, (not x), x.nil?, nil & true, nil.to_i, [nil, 1].compact, x == nil, nil =~ /a/
%%
a = b = 3
a, b = b, a + 1
p a, b
c, d = [1, 2], 3
p c, d
e = *1..3
p e
f, *g = *"a".."c"
p f, g
(h, i), j = [1, 2], 3
p h, i, j
k = 1, 2
p k
%%
p [1, 2, 3].then { |a| a.sum }, 5.tap { |x| puts x }.succ, Object.new.respond_to?(:foo), 5.respond_to?(:+), "a".is_a?(Comparable), 5.instance_of?(Integer), Integer === 5, (1..3) === 2, /a/ === "cat", :a.to_proc.call("x") rescue p $!.class
%%
class Point
  attr_accessor :x, :y
  def initialize(x, y) = (@x, @y = x, y)
  def +(o) = Point.new(x + o.x, y + o.y)
  def ==(o) = o.is_a?(Point) && x == o.x && y == o.y
  def to_s = "(#{x}, #{y})"
  def <=>(o) = x <=> o.x
  include Comparable
end
a = Point.new(1, 2)
b = Point.new(3, 4)
puts a + b, a == Point.new(1, 2), a < b, [b, a].min, a.clamp(a, b), a.between?(a, b)
%%
class Base
  def self.create(*a) = new(*a)
  def hi(n = "x") = "hi #{n}"
  protected def prot = 1
  private
  def priv = 2
end
class Kid < Base
  def hi(n = "kid") = super + "!"
  def call = priv + prot
end
k = Kid.create
puts k.hi, k.hi("z"), k.call, Kid.superclass, Kid.ancestors.take(2).inspect, Kid.instance_methods(false).sort.inspect
begin
  k.priv
rescue NoMethodError => e
  puts e.class
end
%%
module Greet
  DEFAULT = "yo"
  def greet = "#{DEFAULT} #{name}"
  def self.included(b) = b.extend(ClassMethods)
  module ClassMethods
    def build(n) = new.tap { |o| o.name = n }
  end
end
class P
  include Greet
  attr_accessor :name
end
puts P.build("me").greet, Greet::DEFAULT, P.include?(Greet), P.new.is_a?(Greet)
%%
module Util
  module_function
  def twice(x) = x * 2
  PI2 = 6.28
end
module Util
  def self.thrice(x) = x * 3
  class << self
    def quad(x) = twice(twice(x))
    attr_accessor :conf
  end
end
Util.conf = 5
p Util.twice(2), Util.thrice(2), Util.quad(2), Util.conf, Util::PI2, Util.name, Util.class
%%
S = Struct.new(:a, :b) do
  def sum = a + b
end
s = S.new(1, 2)
p s, s.sum, s.to_a, s == S.new(1, 2), s[0], s[:b], s["a"], s.to_h, s.members, S.members
s.a = 9
p s.a, s.each.to_a
a, b = *s
p a, b
%%
K = Struct.new(:host, :port, keyword_init: true)
k = K.new(host: "h", port: 80)
p k.host, k.to_h, k.port + 1
P3 = Struct.new(:x, :y)
p P3.new(1).y, P3.new(1, 2).eql?(P3.new(1, 2)), P3.new(3, 4).sum, P3.new(2, 1).sort
%%
class Meta
  def method_missing(n, *a, &b)
    return "got #{n} #{a}" if n.to_s.start_with?("get_")
    super
  end
  def respond_to_missing?(n, p = false) = n.to_s.start_with?("get_") || super
end
m = Meta.new
puts m.get_x(1), m.respond_to?(:get_y), m.respond_to?(:other)
begin
  m.other
rescue NoMethodError => e
  puts e.class
end
%%
class A
  [:x, :y].each { |n| define_method("#{n}?") { |v = 1| "#{n}#{v}" } }
  CONST = 5
  @@count = 0
  @inst = :ci
  class << self; attr_reader :inst; end
  def self.inc = @@count += 1
  def inspect = "#<A!>"
end
p A.new.x?, A.new.y?(3), A::CONST, A.inc, A.inc, A.inst, A.new, A.new.instance_variables, A.instance_methods(false).sort, A.const_get(:CONST)
%%
o = Object.new
def o.hi = "singleton"
class << o
  def there = "meta"
end
p o.hi, (o.there rescue 1), o.singleton_methods.sort
o.instance_variable_set(:@z, 3)
p o.instance_variable_get(:@z), o.instance_variables
o.define_singleton_method(:dyn) { |x| x + 1 }
p o.dyn(2), o.frozen?, o.send(:dyn, 5), o.public_send(:hi), o.method(:dyn).call(7)
%%
add = ->(a, b = 2) { a + b }
p add.(1), add[1, 3], add.call(5, 5), add.lambda?, add.arity, proc { |x, y| [x, y] }.call([1, 2]), proc { |x| x }.call(1, 2), (add >> ->(x) { x * 10 }).call(1), %w[1 2].map(&method(:Integer)), [1, 2].map(&2.method(:+))
def ret = [1, 2].each { |x| return x }
p ret
%%
class String
  def shout = upcase + "!"
end
class Integer
  def minutes = self * 60
end
class Array
  def second = self[1]
end
class Hash
  def deep_get(*k) = k.reduce(self) { |h, x| h && h[x] }
end
class NilClass
  def blank? = true
end
p "a".shout, 5.minutes, [1, 2].second, {a: {b: 1}}.deep_get(:a, :b), nil.blank?
%%
class Config
  def initialize(&b)
    @d = {}
    instance_eval(&b) if b
  end
  def set(k, v) = @d[k] = v
  attr_reader :d
end
p Config.new { set :a, 1; set :b, 2 }.d, Class.new { def x = 1 }.new.x, Class.new(StandardError).new("m").message, Comparable.instance_of?(Module)
%%
class Stack
  include Enumerable
  def initialize(*a) = @a = a
  def each(&b)
    return enum_for(:each) unless b
    @a.each(&b)
    self
  end
end
s = Stack.new(3, 1, 2)
p s.sort, s.map { |x| x + 1 }, s.include?(2), s.first, s.first(2), s.min, s.reduce(:+), s.each_with_index.to_a, s.sort_by { |x| -x }, s.to_a, s.each_slice(2).to_a, s.select(&:odd?), s.each.next, s.inject { |a, b| a * b }, s.entries, s.count, s.zip(s), s.each_with_object([]) { |x, a| a << x }, s.lazy.map { |x| x }.first(1)
%%
class V
  attr_reader :n
  def initialize(n) = @n = n
  def coerce(o) = [V.new(o), self]
  def hash = n.hash
  def eql?(o) = n == o.n
  def to_str = "v#{n}"
  def to_proc = ->(x) { x * n }
  def to_ary = [n, n]
  def ===(o) = o == n
  def call(x) = n + x
  def [](i) = n * i
  def []=(i, v)
    @n = i * v
  end
  def -@ = V.new(-n)
  def ! = "not"
  def =~(o) = o
end
v = V.new(3)
p "x" + v, [1, 2].map(&v), v.(4), v[5], (-v).n, (case 3 when v then :y end), v =~ 9
v[2] = 5
p v.n
%%
module Log
  def run = "log(" + super + ")"
end
class Job
  prepend Log
  def run = "run"
end
module Ext
  def ext = "ext of #{self.class}"
end
p Job.new.run
%%
def opts(name, options = {})
  [name, options]
end
p opts("a", x: 1), opts("a", {x: 1}), opts("a", "k" => 1), opts("a")
def last(*a) = a
p last(1, a: 2), last(*[1], **{}), last([1, 2])
def blk(a, &b) = b ? b.call(a) : a
p blk(1), blk(1) { |x| x + 1 }, blk(1, &:succ)
%%
alias say puts
say "aliased"
class X
  def a = 1
  alias b a
  alias_method :c, :a
  undef_method :a rescue p 0
end
p X.new.b, X.new.c, X.new.respond_to?(:a)
%%
o = OpenStruct.new(a: 1, "b" => 2)
o.c = 3
o[:d] = 4
p o.a, o.b, o.c, o[:d], o["a"], o.zz, o.respond_to?(:a), o.to_h, o, o == OpenStruct.new(a: 1, b: 2, c: 3, d: 4), o.dig(:a)
o.delete_field(:a)
p o.a, o.each_pair.to_a
%%
t = Time.utc(2024, 2, 29, 13, 5, 9)
p t.year, t.month, t.day, t.hour, t.min, t.sec, t.wday, t.yday, t.zone, t.to_i, t.strftime("%Y%m%d-%H%M%S %j %a %A %b %B %p %I %y %e %-d %s %z %Z %F %T %%"), t + 86400, t.to_s, t.monday?, t < t + 1, (t + 60) - t, t.iso8601, t.utc_offset
%%
p Time.at(0).utc.to_s, Time.at(1700000000).utc.strftime("%c"), Time.now.is_a?(Comparable), Time.now.year >= 2024, Time.parse("2024-01-02 03:04:05 UTC").to_i, Time.new(2024, 1, 2, 3, 4, 5, "+02:00").to_i, Time.gm(2000).to_i, (Time.now - Time.now).abs < 5, Time.now.to_i.class, Time.utc(2024, 12, 25).strftime("%d/%m/%Y"), Time.now.utc_offset, Time.now.zone
%%
d = Date.new(2024, 1, 31)
p d.to_s, (d + 1).to_s, (d >> 1).to_s, d.wday, (Date.new(2024, 3, 1) - Date.new(2024, 2, 1)).to_i, d.strftime("%B"), Date.parse("2023-12-25").yday, d.saturday?, Date.valid_date?(2023, 2, 29), d < d + 1, d.next_month.to_s, Date.new(2024, 2, -1).day
%%
x = Pathname.new("/a/b/../c.txt")
p x.to_s, x.cleanpath, x.basename.to_s, x.dirname.to_s, x.extname, x.parent, Pathname.new("/a") + "b", Pathname.new("a/b").join("c", "../d").to_s, Pathname.new("/a/b/c").relative_path_from(Pathname.new("/a/d")).to_s, x.absolute?, Pathname("rel").relative? , Pathname.new("/a") / "z", Pathname.new("x.tar.gz").sub_ext(".zip").to_s, Pathname.new("/a/b").each_filename.to_a, Pathname.new("data/lines.txt").read.length, Pathname.new("data").exist?, Pathname.new("data").children.map(&:to_s).sort
%%
i = IPAddr.new("192.168.1.10/24")
p i.to_s, i.to_range.first.to_s, i.to_range.last.to_s, i.include?("192.168.1.77"), i.include?("192.168.2.1"), i.prefix, IPAddr.new("10.0.0.1").to_i, IPAddr.new("10.0.0.255").succ.to_s, IPAddr.new("10.0.0.1") < IPAddr.new("10.0.0.2"), IPAddr.new("::1").ipv6?, i.ipv4?, i.inspect, IPAddr.new(167772161, Socket::AF_INET).to_s, (IPAddr.new("10.0.0.8") | 1).to_s, IPAddr.new("1.2.3.4").mask(16).to_s, IPAddr.new("1.2.3.4").hton.bytes, IPAddr.new("10.1.2.3").private?, IPAddr.new("fe80::1").to_s
%%
begin; IPAddr.new("300.1.1.1"); rescue IPAddr::Error => e; p e.class; end
%%
s = Set.new([1, 2, 2])
s << 3
p s, s.include?(2), s.size, (s | [9]).to_a, (s & [1]).to_a, (s - [1]).to_a, s.add?(1), s.subset?(Set[1, 2, 3, 4]), s == Set[3, 2, 1], s.map { |x| x * 2 }, s.to_a, [1, 1].to_set.size, s.delete(1).to_a, s.empty?, s.group_by(&:odd?)
%%
p Digest::MD5.hexdigest("a"), Digest::SHA1.hexdigest("a"), Digest::SHA256.hexdigest("a")[0, 16], Digest::SHA512.hexdigest("")[0, 8], Digest::SHA256.new.update("a").hexdigest[0, 8], Base64.encode64("hello" * 15), Base64.strict_encode64("hi?>"), Base64.urlsafe_encode64("hi?>"), Base64.decode64("aGk="), Digest::MD5.base64digest("a")
%%
p SecureRandom.hex(4).length, SecureRandom.uuid =~ /\A\h{8}-\h{4}-4\h{3}-[89ab]\h{3}-\h{12}\z/, SecureRandom.random_number(10).between?(0, 9), SecureRandom.alphanumeric(5).size, SecureRandom.base64(3).size, rand.between?(0, 1), rand(5).between?(0, 4), rand(3..4) >= 3, [1, 2, 3].shuffle.sort, [1, 2, 3].sample.class, Random.rand(2) < 2
%%
y = YAML.load_file("settings.yml", aliases: true)
p y["machines"].map { |m| m["name"] }, y["machines"][0]["memory"], y["machines"][1], y["machines"][0]["note"], y["defaults"]
%%
p YAML.load("a: 1\nb: [x, 2, 3.5, true, ~]\nc: {d: e}\n"), YAML.load("- 1\n- two\n- \"3\"\n"), YAML.load("x: 0755\ny: 0x1f\nz: 1_000\nw: no\nv: 1.0\nu: v1.0\n"), YAML.load("--- foo"), YAML.load(""), YAML.load("a: &x [1]\nb: *x", aliases: true), YAML.load("a: >\n  fold\n  ed\nb: |-\n  lit\n"), YAML.load("a: 1", symbolize_names: true), YAML.load("k: !ruby/object:Foo {}") rescue p $!.class
%%
puts({"a" => 1, "b" => [1, "two", nil, true], "c" => {"d" => "x: y", "e" => ""}, "f" => "yes", "g" => "12", :s => :sym}.to_yaml, [1, [2, 3], {"a" => 1}].to_yaml, YAML.dump("plain"), "multi\nline\n".to_yaml, {}.to_yaml, [].to_yaml, nil.to_yaml, {"k" => nil}.to_yaml, {"n" => {"m" => [{"a" => 1, "b" => 2}, {"a" => 3}]}}.to_yaml)
%%
j = JSON.parse(File.read("settings.json"))
p j, JSON.parse('{"a": 1}', symbolize_names: true), {a: [1, nil, "x\n"]}.to_json, JSON.generate([1, {"b" => 2.0}]), "str".to_json, nil.to_json, JSON.parse("[1, 2]")
puts JSON.pretty_generate({"a" => [1, {"b" => nil}]})
begin
  JSON.parse("{")
rescue JSON::ParserError => e
  puts "bad json"
end
%%
name = "Ann"
items = %w[x y]
puts ERB.new(File.read("data/letter.erb"), trim_mode: "-").result(binding), ERB.new("<%= 1 + 1 %> <%# no %><% if true %>yes<% end %>").result, ERB.new("a <%= v %>").result_with_hash(v: 5), ERB.new("<% 2.times do |i| %>\n<%= i %>\n<% end %>\n", trim_mode: "<>").result, ERB.new("x\n% 2.times do |i|\nl<%= i %>\n% end\n", trim_mode: "%").result
%%
p Shellwords.split("a 'b c' \"d e\" f\\ g"), Shellwords.escape("it's a"), %w[a b\ c].shelljoin, "x y".shellescape, Shellwords.join(["a", "b c"])
%%
p Gem::Version.new("1.10.0") > Gem::Version.new("1.9"), Gem::Version.new("2.0.0.pre1") < Gem::Version.new("2.0.0"), Gem::Requirement.new("~> 1.2").satisfied_by?(Gem::Version.new("1.9")), Gem::Requirement.new(">= 1", "< 2").satisfied_by?(Gem::Version.new("2.0")), Gem::Version.new("1.0") == Gem::Version.new("1"), Gem::Dependency.new("x", ">= 2").match?("x", "2.1"), %w[1.2 1.10].max_by { |v| Gem::Version.new(v) }
%%
u = URI.parse("https://me:pw@host.example:8443/a/b?x=1#f")
p u.scheme, u.host, u.port, u.path, u.query, u.user, u.to_s, URI("http://x/y").port, URI.join("http://a/b/c", "d").to_s, URI.encode_www_form(a: "1 2", b: "&")
%%
io = StringIO.new
io.puts "a", 1
io.print "b"
io << "c\n"
p io.string
r = StringIO.new("l1\nl2\n")
p r.gets, r.read, r.eof?
%%
l = Logger.new($stdout)
l.formatter = proc { |s, _, _, m| "#{s}: #{m}\n" }
l.info("hi")
l.level = Logger::WARN
l.info("no")
l.warn { "blk" }
p l.info?
%%
require "singleton"
class Conf
  include Singleton
  attr_accessor :v
end
Conf.instance.v = 3
p Conf.instance.v, Conf.instance.equal?(Conf.instance)
require "forwardable"
class Q
  extend Forwardable
  def_delegators :@a, :size, :<<, :first
  def_delegator :@a, :last, :tail
  def initialize = @a = []
end
q = Q.new
q << 1 << 2
p q.size, q.first, q.tail
%%
p File.exist?("settings.yml"), File.file?("data"), File.directory?("data"), File.basename("/a/b.rb"), File.basename("/a/b.rb", ".rb"), File.basename("b.tar.gz", ".*"), File.extname("x.tar.gz"), File.dirname("/a/b/c"), File.dirname("x"), File.join("a", "/b/", "c"), File.split("/a/b"), File.expand_path("~/x"), File.expand_path("../x", "/a/b"), File.expand_path("/a/./b/../c"), File.join("a", ["b", ["c"]]), File.absolute_path?("/x"), File.extname(".bashrc"), File.dirname("/"), File.basename("/")
%%
p File.read("data/lines.txt"), File.readlines("data/lines.txt", chomp: true), File.foreach("data/lines.txt").map(&:strip), IO.readlines("data/lines.txt").size, File.open("data/lines.txt") { |f| f.read.lines.last }, File.open("data/lines.txt", "r").each_line.map(&:chomp), File.size("data/lines.txt"), File.zero?("data/lines.txt"), File.open("data/lines.txt", &:readline), File.new("data/lines.txt").gets
%%
File.read("missing.txt")
%%
File.open("nope/x")
%%
p Dir.glob("*.{yml,json}").sort, Dir["data/*"].sort, Dir.glob("**/*.txt"), Dir.exist?("data"), Dir.entries("data").sort, Dir.children("data").sort, Dir.glob("nothing*"), Dir.glob(%w[*.yml *.rb]).sort, File.fnmatch("*.rb", "a.rb"), Dir.glob("*", base: "data").sort
%%
require_relative "helper" rescue require "./helper"
p Helper.double(4)
load "./helper.rb"
begin
  require "no_such_lib_x"
rescue LoadError => e
  puts e.message
end

%%
p ENV["HOME"], ENV["NOPE"], ENV.fetch("NOPE", "d"), ENV.fetch("NOPE") { |k| k.downcase }, ENV.key?("HOME"), ENV["NOPE"].nil?
ENV["MINE"] = "1"
p ENV["MINE"], ENV.to_h.key?("MINE"), ENV.has_key?("X"), ENV.delete("MINE"), ENV["MINE"], ENV.include?("HOME"), ENV.select { |k, _| k == "HOME" }
ENV["A"] ||= "def"
p ENV["A"], ENV.values_at("A", "ZZ"), ENV.keys.include?("A")
ENV.fetch("MISSING_ONE")
%%
p `echo hi`, $?.success?, `echo -n x`, system("true"), system("false"), $?.exitstatus, %x(echo a b).split, `echo one | tr a-z A-Z`
%%
p `grep -c processor /proc/cpuinfo`.to_i > 0, `awk '/MemTotal/ {print $2}' /proc/meminfo`.to_i > 0, `grep MemTotal /proc/meminfo | awk '{print $2}'`.to_i > 1000, `nproc`.to_i > 0, `uname`.chomp, `hostname`.strip == Socket.gethostname, `id -u`.to_i == Process.uid, `whoami`.chomp == Etc.getpwuid.name, `which sh`.strip.end_with?("/sh"), `which no-such-cmd-zz`.empty?, `date +%Y`.to_i >= 2024
%%
p `cat data/lines.txt`, `head -n 1 data/lines.txt`, `tail -1 data/lines.txt`
%%
p `cat data/lines.txt | head -2 | tail -n 1`, `grep two data/lines.txt`, `grep -v two data/lines.txt | wc -l`.to_i, `grep -q nine data/lines.txt`, $?.exitstatus, `cut -d: -f1 /etc/passwd | head -1`, `sed s/one/1/ data/lines.txt`, `test -f data/lines.txt && echo yes`, `test -d nope || echo no`, `echo "a  b" 'c'`, `basename /a/b.txt .txt`, `dirname /a/b`, `echo $HOME`, `sort -r data/lines.txt`, `echo a,b,c | cut -d, -f2-`, `awk 'NR==2' data/lines.txt`, `awk -F: '{print $1}' /etc/passwd | head -n1`, `echo 10 | awk '{print int($1/3), $1*2, $1/4}'`
%%
puts [1, [2, [nil]]], nil, [], true
print "a", 1, nil, "\n"
p
p 1, "two"
puts
puts "x\n"
puts :sym, 1.5
$stdout.puts "out"
$stderr.puts "err"
warn "w1", "w2"
printf("%d-%s\n", 1, "a")
pp({a: 1})
$stdout.flush
$stdout.sync = true
puts "é".inspect, [nil, true, :a, "s", 1.0, 1..2, nil..1, {1 => nil}].inspect
%%
puts "%s" % :a, "#{1}#{"#{2}"}", "a#{}b", '#{no}', "x".inspect.inspect, [[]].to_s, ({}).to_s, nil.to_a.inspect, :"foo bar".inspect, :"foo=".inspect, :[]=.inspect, :a?.inspect, "a\u0001b".inspect, "\#{x}", "#x", "\#$x".inspect
%%
a = [1, 2, 3]
puts "last: #{a[-1]} #{a.map { |x| "<#{x}>" }.join} #{a.empty? ? "none" : "some"}"
puts "#{a.first}-#{a.last}" if a.any?
puts(a.sum { _1 * 2 }, a.each_with_index.map { _1 * _2 }.inspect)
puts a.inspect + "x", a.to_s, "#{a}"
%%
case [1, 2]
when Array then puts "arr"
end
v = [3, 4].frozen?
p v, :a.frozen?, "lit".frozen?, 1.frozen?, nil.frozen?, (1..2).frozen?, [1].freeze.map { |x| x }.frozen?
%%
p (1..10) % 3 rescue p 0
p (1..10).step(2).map { |x| x }, ("a".."e").step(2).to_a, (0.0..1.0).step(0.5).to_a, 1.step(by: 2, to: 5).to_a, (1..3).each_cons(2).to_a, (1..3).inject(:+), (1...4).to_a.reverse, (1..3).reverse_each.to_a, ("a".."c").each_with_index.to_a, (1..3).zip(4..6), (1..6).each_slice(4).to_a, (1..3).minmax, Range.new(1, 3, true), (1..nil).first(2), (..5).include?(3), (1..5).cover?(2..3), (1..3).eql?(1..3), (1..3).hash == (1..3).hash, (3..1).to_a, ("08".."11").to_a, (1..2.5).to_a
%%
host = RbConfig::CONFIG['host_os']
if host =~ /darwin/
  mem = `sysctl -n hw.memsize`.to_i / 1024 / 1024 / 4
elsif host =~ /linux/
  cpus = `nproc`.to_i
  mem = `grep 'MemTotal' /proc/meminfo | sed -e 's/MemTotal://' -e 's/ kB//'`.to_i / 1024 / 4
else
  mem = 1
end
p cpus > 0, mem > 10
%%
module OS
  def OS.windows? = (/cygwin|mswin|mingw|bccwin|wince|emx/ =~ RUBY_PLATFORM) != nil
  def OS.mac? = (/darwin/ =~ RUBY_PLATFORM) != nil
  def OS.unix? = !OS.windows?
  def OS.linux? = OS.unix? and not OS.mac?
end
p OS.windows?, OS.mac?, OS.unix?
%%
class Hash
  def deep_merge(other)
    merger = proc { |_, v1, v2| Hash === v1 && Hash === v2 ? v1.merge(v2, &merger) : v2 }
    merge(other, &merger)
  end
end
p({a: {b: 1, c: 2}}.deep_merge({a: {b: 3}, d: 4}))
%%
$num ||= 3
$conf = { "a" => 1 }.merge($extra || {})
boxes = [{ name: "web", ip: 10 }, { :name => "db", :ip => 11, :opts => { ram: "512" } }]
boxes.each do |opts|
  puts "#{opts[:name]} #{opts[:ip]} #{opts[:opts] ? opts[:opts][:ram] : 'none'}"
end
(1..$num).each { |i| print "%s-%02d " % ["node", i] }
puts $conf
%%
def walk(obj, &fn)
  if obj.is_a?(Array)
    obj.map { |value| walk(value, &fn) }
  elsif obj.is_a?(Hash)
    obj.each_pair { |key, value| obj[key] = walk(value, &fn) }
  else
    obj = yield(obj)
  end
end
config = { "a" => "{{ x }}/b", "l" => ["{{ y }}", 3], "x" => "X", "y" => "Y" }
walk(config) do |value|
  while value.is_a?(String) && value.match(/{{ .* }}/)
    value = value.gsub(/{{ (.*?) }}/) { config[$1.strip] }
  end
  value
end
p config
%%
settings = YAML.load_file(File.join(File.dirname(File.expand_path("x")), "settings.yml"), aliases: true)
settings["machines"].each_with_index do |machine, index|
  ports = machine["ports"] || []
  ports.each { |port| puts "#{machine['name']}:#{port} -> #{port + 8000 + index}" }
  puts "#{machine.fetch('name')} #{machine['gui'].inspect} #{machine['ratio'] || 'no ratio'}"
end
%%
required = %w(vagrant-a vagrant-b)
missing = required.select { |plugin| not plugin.end_with?("a") }
if not missing.empty?
  puts "missing: #{missing.join(' ')}"
end
puts missing.any? && !missing.nil? ? "some" : "none"
%%
ip = IPAddr.new("10.0.0.0/29")
p ip.to_range.to_a.map(&:to_s), ip.to_range.to_a[2].to_s, ip.to_range.include?(IPAddr.new("10.0.0.3"))
base = IPAddr.new("192.168.50.10")
3.times { base = base.succ }
p base.to_s
%%
lines = IO.readlines("data/lines.txt")[1..-1].join
data = { "coreos" => { "etcd" => { "discovery" => nil } } }
data["coreos"]["etcd"]["discovery"] = "http://x" if data.key?("coreos") && data["coreos"].key?("etcd")
puts "#cloud-config\n\n#{YAML.dump(data).lines[1..].join}", lines
%%
case RUBY_PLATFORM
when /darwin/i then os = :mac
when /mswin|mingw|cygwin/i then os = :windows
else os = :linux
end
p os, RUBY_VERSION.split(".").first, RUBY_ENGINE
%%
names = Dir["data/*"].map { |f| File.basename(f, File.extname(f)) }.sort
p names, names.each_slice(1).to_a, Hash[names.map { |n| [n.to_sym, n.length] }], names.each_with_index.to_h
%%
nodes = Hash.new { |h, k| h[k] = Hash.new { |g, j| g[j] = [] } }
nodes["a"]["x"] << 1
nodes["a"]["y"] << 2
p nodes, nodes.dig("a", "x"), nodes.to_a.flatten(1).length
%%
$script = <<-SCRIPT
echo "I am $HOME \$(hostname)"
cat <<EOF > /etc/motd
#{'x' * 3} \\ back
EOF
SCRIPT
puts $script, $script.lines.count
%%
def env(name, default = nil, type = :string)
  value = ENV.fetch(name, default)
  case type
  when :int then Integer(value)
  when :bool then %w[1 true yes].include?(value.to_s.downcase)
  else value
  end
end
p env("NOPE", "5", :int), env("NOPE", true, :bool), env("NOPE"), env("HOME")
%%
cluster = { "master" => { :cpus => 2, :mem => 1024 }, "worker" => { :cpus => 1, :mem => 512, :count => 2 } }
cluster.each_with_index do |(name, info), index|
  (info[:count] || 1).times do |n|
    puts [name, n, index, info.select { |k, _| k != :count }].inspect
  end
end
p cluster.sum { |_, i| i[:mem] * (i[:count] || 1) }, cluster.keys.map(&:upcase), cluster.values.map { |v| v[:cpus] }.max
%%
text = "key: value # comment\nother=thing\n\n[section]\n"
text.each_line do |line|
  case line.strip
  when "" then next
  when /\A\[(.+)\]\z/ then puts "section #{$1}"
  when /^(\w+)\s*[:=]\s*(\w+)/ then puts "#{$~[1]} is #{$2}"
  end
end
%%
arr = [["a", 1], ["b", 2]]
arr.each { |name, n| puts "#{name}#{n}" }
arr.each_with_index { |(name, n), i| puts "#{i}#{name}#{n}" }
arr.inject({}) { |h, (k, v)| h.merge(k => v) }.each_pair { |k, v| puts "#{k}=#{v}" }
p arr.map(&:first), arr.map(&:last).sum, arr.assoc("b"), arr.to_h.invert[2], arr.flatten.each_slice(2).to_a == arr
%%
begin
  settings = YAML.load_file("none.yml")
rescue Errno::ENOENT => e
  settings = {}
  puts "no settings: #{e.class}"
rescue StandardError => e
  puts "other"
ensure
  puts settings.inspect
end
x = (YAML.load_file("none.yml") rescue { "d" => 1 })
p x, (File.exist?("none.yml") ? 1 : 2)
%%
class Machine
  attr_reader :name, :options
  DEFAULTS = { memory: 512, cpus: 1 }.freeze
  def initialize(name, **options)
    @name = name
    @options = DEFAULTS.merge(options)
  end
  def self.all = @all ||= []
  def self.define(*args, **kw) = all << new(*args, **kw)
  def to_s = "#{name}(#{options.map { |k, v| "#{k}=#{v}" }.join(",")})"
  def each_option
    return to_enum(:each_option) unless block_given?
    options.each { |k, v| yield k, v }
  end
end
Machine.define "a"
Machine.define "b", memory: 1024
puts Machine.all, Machine.all.map(&:name).join("|"), Machine.all.last.each_option.to_a.inspect
%%
@prefix = "p"
def prefixed(x) = "#{@prefix}-#{x}"
p prefixed(1), [1, 2].map { |x| prefixed(x) }, self.prefixed(3)
%%
v = "2.4.9"
major, minor, patch = v.split(".").map(&:to_i)
p major, minor, patch, (v <=> "2.10.0"), Gem::Version.new(v) < Gem::Version.new("2.10.0"), v =~ /^2\./ ? :two : :other
%%
mem = 2048
mem /= 2 if ENV["SMALL"].nil?
args = ["--memory", mem.to_s, "--cpus", 2]
p ["modifyvm", :id, *args], ["a", *nil, *[1], *{b: 2}], [*"a".."c", *1..2]
%%
puts [3, 1, 2].sort.map(&:to_s).join(","), ("a".."c").map.with_index { |c, i| "#{c}#{i}" }.inspect, %i[a b].each_with_index.map { |s, i| [s, i] }.inspect
puts (1..3).each_with_object({}) { |i, h| h["n#{i}"] = { ip: "10.0.0.#{i + 10}" } }.inspect
%%
def kind(value)
  case value
  in [] then "nothing"
  in [Integer => one] then "one #{one}"
  in [first, *, last] if first == last then "round"
  in [:pair, [a, b]] then "#{a} and #{b}"
  in { name: String => name, ram: 1024.. => ram } then "big #{name} #{ram}"
  in { name:, **rest } unless rest.empty? then "#{name} with #{rest.keys.inspect}"
  in { name: } then name
  in "x" | "y" then "letter"
  in nil then "nil"
  in /^web(\d)/ then "web #{$1}"
  else "else"
  end
end
[[], [7], [1, 2, 1], [:pair, [3, 4]], { name: "a", ram: 2048 }, { name: "b", ram: 5 }, { name: :c }, "y", nil, "web3", 9.5].each { |v| puts kind(v) }
%%
config = { network: { ip: "10.0.0.5", ports: [80, 443] }, roles: %w[db web] }
config => { network: { ip:, ports: [http, *others] }, roles: [_, "web"] }
p ip, http, others
far = (config in { network: { ip: /^192/ } })
two = (config in { roles: [_, _] })
only = ({ a: 1 } in { a: 1, **nil })
more = ({ a: 1, b: 2 } in { a: 1, **nil })
p far, two, only, more
wanted = "db"
same = (config[:roles] in [^wanted, _])
empty = ({} in {})
full = ({ a: 1 } in {})
p same, empty, full
case [1, [2, 3]]
in Integer => a, [b, *]
  p a, b
end
%%
Point = Struct.new(:x, :y)
case Point.new(1, 2)
in [x, y] then p [x, y]
end
case Point.new(1, 2)
in { x:, y: 2 } then p x
end
class Host
  attr_reader :name
  def initialize(name) = @name = name
  def deconstruct_keys(keys) = { name: name, keys: keys }
end
case Host.new("h")
in Host(name:, keys:) then p name, keys
end
begin
  case 5
  in String then 1
  end
rescue NoMatchingPatternError => e
  puts e.class
end
5 => Integer | Float => n
p n
%%
require "optparse"
options = { boxes: 2 }
OptionParser.new do |opts|
  opts.banner = "Usage: x"
  opts.on("-b", "--boxes N", Integer, "How many") { |n| options[:boxes] = n }
  opts.on("--[no-]gui", "Window") { |g| options[:gui] = g }
  opts.on("-v", "--verbose") { options[:verbose] = true }
end.parse!(words = ["up", "--boxes", "5", "--no-gui", "-v", "web"])
p options, words
begin
  OptionParser.new.parse!(["--what"])
rescue OptionParser::InvalidOption => e
  puts e.message
end
%%
require "csv"
text = "name,ip,ram\nweb,10.0.0.1,512\n\"d,b\",10.0.0.2,1024\n"
p CSV.parse(text)
CSV.parse(text, headers: true).each { |row| puts "#{row["name"]} #{row["ip"]} #{row["ram"].to_i * 2}" }
p CSV.parse_line("a,,\"say \"\"hi\"\"\"")
%%
require "cgi"
p CGI.escape("a b&c=d/é"), CGI.unescape("a+b%26c"), CGI.escapeHTML("<a href='x'>\"&\"</a>"), CGI.unescapeHTML("&lt;b&gt; &amp; &quot;")
%%
here = File.basename(Dir.pwd)
Dir.chdir("..") do |dir|
  p File.exist?("snippets.rb"), File.basename(File.expand_path("x")), File.directory?(here)
end
p File.basename(Dir.pwd) == here, Dir.chdir("..") { 5 }
begin
  Dir.chdir("no/such/folder")
rescue Errno::ENOENT => e
  puts e.class
end
%%
module Outer
  Inner = 1
  class Thing; end
end
p Outer::Inner, (Outer::String rescue "none"), Outer.const_defined?(:Thing), defined?(Outer::Missing)
Outer::Other ||= 5
Outer::Other ||= 6
p Outer::Other
class Thing
  def a = 1
  def b = 2
  undef b
end
p Thing.new.respond_to?(:a), Thing.new.respond_to?(:b)
%%
results = []
threads = %w[a b c].map { |name| Thread.new(name) { |n| results << n; n * 2 } }
p threads.map(&:value), results.sort
lock = Mutex.new
lock.synchronize { results << "d" }
p results.size
%%
Pair = Struct.new(:left, :right)
pair = Pair.new(1, 2)
pair.each_pair { |name, value| puts "#{name}=#{value}" }
p pair.size, pair.values_at(0, 1), pair.to_a, File::RDONLY, File::FNM_PATHNAME
$LOAD_PATH.unshift("lib") unless $LOAD_PATH.include?("lib")
p $LOAD_PATH.first, $:.equal?($LOAD_PATH)
%%
lines = ["Name: en0", "x", "Name: en1", nil]
p lines.grep(/^Name: (\w+)/) { $1 }, lines.compact.grep_v(/Name/), %w[http_proxy HOME no_proxy].grep(/proxy/i), [1, "a", :b].grep(Symbol)
p (1..6).grep(2..3), (1..6).chunk { |i| i.even? }.to_a, [1, 2, 4, 5, 7].slice_before { |i| i == 4 }.to_a, [1, 2, 3, 4].slice_after(&:even?).to_a
p %w[pear fig apple].minmax_by(&:size), [1].chain([2], 3..4).to_a
h = { a: 1, b: nil }
p h.assoc(:a), h.flatten, h.compact!, h, Hash.new { |hash, key| key }.default_proc.nil?
p :web1 =~ /\d/, :web.match?(/x/), :Web.casecmp?(:wEB)
%%
class Tool
  @@made = 1
  LIMIT = 3
end
p Tool.class_variables, Tool.class_variable_defined?(:@@made), Tool.send(:remove_const, :LIMIT), defined?(Tool::LIMIT)
Tool.class_exec(5) { |n| define_method(:five) { n } }
p Tool.new.five
%%
p ["192.168.1.20".split(".").map(&:to_i)].map { |ip| ip.pack("C4").unpack1("N") }
address = "10.0.0.254".split(".").map(&:to_i).pack("C*").unpack("N").first
p address, [address + 1].pack("N").unpack("C4").join(".")
p [3232235776].pack("N").unpack("CCCC"), [1, 2].pack("n*").unpack("n2"), [65536].pack("V").unpack1("V"), [-2].pack("q").unpack("q")
p ["user:secret"].pack("m"), ["user:secret"].pack("m0"), ["x" * 50].pack("m"), ["a" * 10].pack("m6"), "dXNlcjpzZWNyZXQ=\n".unpack("m"), "dXNlcg==".unpack1("m0")
p ["48656c6c6f"].pack("H*"), "Hello".unpack("H*"), "Hello".unpack1("H5"), "Hi".unpack("B*"), ["01001000"].pack("B*"), "Hi".unpack1("b*"), ["F00dface"].pack("H*").unpack("H*")
p [0x263a, 72].pack("U*"), "☺H".unpack("U*"), "é".unpack("C*"), [72, 105].pack("c2"), "abc".unpack("c*")
p ["abc", "de"].pack("a5A4").bytes, ["abc"].pack("Z*").bytes, "abc  \0".unpack("A*"), "ab\0cd".unpack("Z*a"), "abc".unpack("a2"), "abc".unpack("x1a*"), "a".unpack("Cn")
p [192, 168, 0, 1].pack("C4"), [255, 10, 34].pack("C*").bytes, [255].pack("C").bytesize, [1, 2].pack("S>L<").unpack("H*")
%%
p "".unpack("C"), "abc".unpack("C2"), "abcd".unpack1("L"), "abcd".unpack("nn"), [1].pack("x2C").bytes
[1].pack("CC")
%%
p 1 << -1, 4 >> -1, 5[-1], 0 << 80, (-1).bit_length, -256.bit_length, 3.pow(20, 7), 10.pow(3)
p "0x1f".hex, "zz".hex, "-0x1F".hex, "1fzz".hex, "777".oct, "0x1f".oct, "0b101".oct, "0b11".to_i(2), "0o17".to_i(8), "0X1f".to_i(16)
%%
p Random.new(42).rand, Random.new(42).rand(100), Random.new(7).rand(1..6), Random.new(1).rand(2.5)
r = Random.new(2**40 + 5)
p r.seed, Array.new(5) { r.rand(1000) }, r.rand(2**40)
p (1..8).to_a.shuffle(random: Random.new(3)), %w[a b c d].sample(random: Random.new(9)), [1].sample(random: Random.new(1))
p Random.new(5) == Random.new(5), Random.new.rand(3).between?(0, 2), Random.rand(1), Random.new_seed.is_a?(Integer)
many = Random.new(0)
p Array.new(700) { many.rand(10) }.sum
