# Messages with a level.
class Logger
  DEBUG = 0
  INFO = 1
  WARN = 2
  ERROR = 3
  FATAL = 4
  UNKNOWN = 5
  NAMES = %w[DEBUG INFO WARN ERROR FATAL ANY].freeze

  attr_accessor :level, :progname, :formatter, :datetime_format

  def initialize(to = nil, *, level: DEBUG, progname: nil, **)
    @to = to
    @level = level.is_a?(Integer) ? level : NAMES.index(level.to_s.upcase) || DEBUG
    @progname = progname
  end

  def add(level, message = nil, name = nil)
    return true if @to.nil? || level < @level
    message = block_given? ? yield : message
    now = Time.now
    text = formatter ? formatter.call(NAMES[level], now, progname, message) : "#{NAMES[level]}: #{message}\n"
    @to.respond_to?(:write) ? @to.write(text) : warn(text)
    true
  end
  alias log add

  def debug(message = nil, &block) = add(DEBUG, message, &block)
  def info(message = nil, &block) = add(INFO, message, &block)
  def warn(message = nil, &block) = add(WARN, message, &block)
  def error(message = nil, &block) = add(ERROR, message, &block)
  def fatal(message = nil, &block) = add(FATAL, message, &block)
  def unknown(message = nil, &block) = add(UNKNOWN, message, &block)
  def debug? = @level <= DEBUG
  def info? = @level <= INFO
  def close = nil
end

# Vagrant's own logger: what files say to it is nobody's business.
module Log4r
  class Logger < ::Logger
    def self.[](name) = new(name)
    def initialize(name = nil, *)
      super(nil)
    end
  end
end
