# Options of the command line.
class GetoptLong
  NO_ARGUMENT = 0
  REQUIRED_ARGUMENT = 1
  OPTIONAL_ARGUMENT = 2
  REQUIRE_ORDER = 0
  PERMUTE = 1
  RETURN_IN_ORDER = 2

  class Error < StandardError; end
  class InvalidOption < Error; end
  class MissingArgument < Error; end

  attr_accessor :ordering, :quiet

  def initialize(*options)
    @options = options
  end

  def each
    rest = []
    until ARGV.empty?
      word = ARGV.shift
      break if word == "--"
      name, value = word.split("=", 2)
      known = @options.find { |option| option.include?(name) }
      if known.nil?
        raise InvalidOption, "unrecognized option `#{word}'" if word.start_with?("-") && @ordering != PERMUTE
        rest << word
        break if @ordering == REQUIRE_ORDER
        next
      end
      kind = known.find { |part| part.is_a?(Integer) } || NO_ARGUMENT
      value = ARGV.shift if value.nil? && (kind == REQUIRED_ARGUMENT || (kind == OPTIONAL_ARGUMENT && ARGV[0] && !ARGV[0].start_with?("-")))
      raise MissingArgument, "option `#{name}' requires an argument" if kind == REQUIRED_ARGUMENT && value.nil?
      yield known[0], value || ""
    end
    ARGV.unshift(*rest)
    self
  end
  alias each_option each
end
