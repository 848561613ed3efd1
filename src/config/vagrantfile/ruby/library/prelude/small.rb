# Small libraries.
module SecureRandom
  def self.hex(bytes = 16) = Primitive.random_bytes(bytes).map { |byte| format("%02x", byte) }.join
  def self.bytes(count) = Primitive.random_bytes(count).map { |byte| (byte % 128).chr }.join
  def self.random_bytes(count = 16) = bytes(count)
  def self.base64(bytes = 16) = Primitive.base64(Primitive.random_bytes(bytes))
  def self.urlsafe_base64(bytes = 16, padding = false) = base64(bytes).tr("+/", "-_").then { |text| padding ? text : text.delete("=") }
  def self.random_number(limit = 0) = Primitive.random(limit)
  def self.rand(limit = 0) = Primitive.random(limit)

  def self.alphanumeric(count = 16)
    letters = [*"A".."Z", *"a".."z", *"0".."9"]
    Array.new(count) { letters[Primitive.random(letters.size)] }.join
  end

  def self.uuid
    bytes = Primitive.random_bytes(16)
    bytes[6] = bytes[6] & 15 | 64
    bytes[8] = bytes[8] & 63 | 128
    hex = bytes.map { |byte| format("%02x", byte) }.join
    [hex[0, 8], hex[8, 4], hex[12, 4], hex[16, 4], hex[20, 12]].join("-")
  end
end

module Digest
  class Base
    def self.hexdigest(text) = Primitive.digest(name, text.to_s)
    def self.base64digest(text) = Primitive.base64(Primitive.unhex(hexdigest(text)))
    def self.file(path) = new.update(File.read(path))

    def initialize
      @text = +""
    end

    def update(text)
      @text << text
      self
    end
    alias << update

    def hexdigest(text = nil) = self.class.hexdigest(text || @text)
    alias to_s hexdigest
    def base64digest = self.class.base64digest(@text)
    def reset = @text = +""
  end

  class MD5 < Base; end
  class SHA1 < Base; end
  class SHA256 < Base; end
  class SHA384 < Base; end
  class SHA512 < Base; end
  SHA2 = SHA256
end

module Base64
  def self.encode64(text) = Primitive.base64(text.bytes).scan(/.{1,60}/).map { |line| "#{line}\n" }.join
  def self.strict_encode64(text) = Primitive.base64(text.bytes)
  def self.urlsafe_encode64(text, padding: true) = strict_encode64(text).tr("+/", "-_").then { |out| padding ? out : out.delete("=") }
  def self.decode64(text) = Primitive.unbase64(text.to_s.delete("^A-Za-z0-9+/="))
  def self.strict_decode64(text) = Primitive.unbase64(text)
  def self.urlsafe_decode64(text) = Primitive.unbase64(text.tr("-_", "+/"))
end

module Shellwords
  def self.escape(text)
    return "''" if text.to_s.empty?
    text.to_s.gsub(/[^A-Za-z0-9_\-.,:+\/@\n]/) { |c| "\\#{c}" }.gsub("\n", "'\n'")
  end

  def self.shellescape(text) = escape(text)
  def self.join(words) = words.map { |word| escape(word) }.join(" ")
  def self.shelljoin(words) = join(words)
  def self.split(line) = Primitive.shell_words(line)
  def self.shellsplit(line) = split(line)
  def self.shellwords(line) = split(line)
end

class String
  def shellescape = Shellwords.escape(self)
  def shellsplit = Shellwords.split(self)
end

class Array
  def shelljoin = Shellwords.join(self)
end

module Open3
  def self.line(words) = words.reject { |word| word.is_a?(Hash) }.then { |list| list.size == 1 ? list[0] : Shellwords.join(list) }
  def self.capture2(*words, **) = [`#{line(words)}`, $?]
  def self.capture2e(*words, **) = [`#{line(words)} 2>&1`, $?]

  def self.capture3(*words, **)
    out = `#{line(words)}`
    [out, "", $?]
  end

  def self.popen3(*words, **)
    out, err, status = capture3(*words)
    waiting = Struct.new(:value).new(status)
    return [StringIO.new, StringIO.new(out), StringIO.new(err), waiting] unless block_given?
    yield StringIO.new, StringIO.new(out), StringIO.new(err), waiting
  end

  def self.popen2(*words, **)
    out, status = capture2(*words)
    yield StringIO.new, StringIO.new(out), Struct.new(:value).new(status)
  end

  def self.popen2e(*words, **)
    out, status = capture2e(*words)
    yield StringIO.new, StringIO.new(out), Struct.new(:value).new(status)
  end
end

module Timeout
  class Error < RuntimeError; end
  class ExitException < Exception; end

  def self.timeout(*) = yield(0)
end

module Benchmark
  def self.realtime
    began = Time.now
    yield
    Time.now - began
  end

  def self.measure = yield
end

module Singleton
  def self.included(klass) = klass.extend(Instance)

  module Instance
    def instance = @instance ||= new
  end
end

module Forwardable
  def def_delegator(to, name, as = name)
    define_method(as) do |*args, **options, &block|
      target = to.to_s.start_with?("@") ? instance_variable_get(to) : send(to)
      target.send(name, *args, **options, &block)
    end
  end

  def def_delegators(to, *names) = names.each { |name| def_delegator(to, name) }
  alias delegate_to def_delegators
end

module Bundler
  def self.require(*) = nil
  def self.setup(*) = nil
  def self.with_clean_env = yield
  def self.with_unbundled_env = yield
  def self.with_original_env = yield
end
