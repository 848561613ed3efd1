# Threads without any: what one would do is done where it begins.
class Thread
  attr_accessor :name, :report_on_exception, :abort_on_exception

  def self.start(*args, &block) = new(*args, &block)
  def self.fork(*args, &block) = new(*args, &block)
  def self.current = @current ||= allocate.tap { |thread| thread.instance_variable_set(:@held, {}) }
  def self.main = current

  class << self
    attr_accessor :report_on_exception, :abort_on_exception
  end

  def initialize(*args)
    @held = {}
    @value = yield(*args)
  rescue StandardError => error
    @error = error
  end

  def join(*)
    raise @error if @error
    self
  end

  def value = join && @value
  def alive? = false
  def kill = self
  def [](name) = @held[name.to_sym]
  def []=(name, value)
    @held[name.to_sym] = value
  end
end

class Mutex
  def synchronize = yield
  def lock = self
  def unlock = self
  def locked? = false
end
Monitor = Mutex

class Queue
  def initialize = @items = []
  def push(item) = @items.push(item) && self
  def pop(*) = @items.shift
  def empty? = @items.empty?
  def size = @items.size
  alias << push
  alias shift pop
  alias length size
end
