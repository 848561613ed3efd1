# Options of the command line, as most programs read them.
class OptionParser
  class ParseError < RuntimeError; end
  class InvalidOption < ParseError; end
  class MissingArgument < ParseError; end
  class InvalidArgument < ParseError; end

  Switch = Struct.new(:short, :long, :value, :optional, :flag, :type, :block)

  attr_accessor :banner, :program_name, :version, :summary_width, :summary_indent

  def initialize(banner = nil, *)
    @banner = banner
    @lines = []
    @switches = []
    yield self if block_given?
  end

  def separator(text = "") = @lines << text.to_s
  def define(*words, &block) = on(*words, &block)
  def on_tail(*words, &block) = on(*words, &block)
  def on_head(*words, &block) = on(*words, &block)

  def on(*words, &block)
    switch = Switch.new
    switch.block = block
    words.each do |word|
      switch.type = word unless word.is_a?(String)
      next unless word.is_a?(String) && word.start_with?("-")
      switch.flag ||= word.include?("[no-]")
      name, value = word.sub("[no-]", "").split(/[ =]|(?=\[)/, 2)
      name.start_with?("--") ? switch.long = name : switch.short = name[0, 2]
      value = name[2..] if value.nil? && !name.start_with?("--") && name.size > 2
      next unless value
      switch.value = true
      switch.optional = value.start_with?("[")
    end
    @lines << "    #{words.grep(String).join(', ')}"
    @switches << switch
    self
  end

  def parse(words = ARGV, **options) = parse!(words.dup, **options)
  def permute!(words = ARGV, **options) = parse!(words, **options)
  def order!(words = ARGV, **options) = parse!(words, **options)

  def parse!(words = ARGV, into: nil)
    rest = []
    until words.empty?
      word = words.shift
      break if word == "--"
      word.start_with?("-") && word != "-" ? take(word, words, into) : rest << word
    end
    words.unshift(*rest)
    words
  end

  def to_s = ([@banner || "Usage: vagrant [options]"] + @lines).join("\n") + "\n"
  alias help to_s
  alias to_str to_s

  private

  def take(word, words, into)
    name, value = word.split("=", 2)
    name, value = word[0, 2], word[2..] unless word.start_with?("--") || word.size == 2
    no = name.start_with?("--no-")
    switch = @switches.find { |one| one.short == name || one.long == name || (no && one.flag && one.long == name.sub("--no-", "--")) }
    raise InvalidOption, "invalid option: #{word}" unless switch
    value = words.shift if switch.value && value.nil? && !(switch.optional && words[0].to_s.start_with?("-"))
    raise MissingArgument, "missing argument: #{word}" if switch.value && !switch.optional && value.nil?
    value = switch.value ? converted(switch, value, word) : !no
    into[(switch.long || switch.short).sub(/\A-+/, "").to_sym] = value if into
    switch.block&.call(value)
  end

  def converted(switch, value, word)
    return value if value.nil?
    return value.split(",") if switch.type == Array
    return Integer(value) if switch.type == Integer
    return Float(value) if switch.type == Float
    return value.to_sym if switch.type == Symbol
    raise InvalidArgument, "invalid argument: #{word} #{value}" if switch.type.is_a?(Array) && !switch.type.map(&:to_s).include?(value)
    value
  rescue ArgumentError
    raise InvalidArgument, "invalid argument: #{word} #{value}"
  end
end
OptParse = OptionParser
