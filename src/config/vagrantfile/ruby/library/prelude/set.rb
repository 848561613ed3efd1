# Elements without order and without twins.
class Set
  include Enumerable

  def self.[](*items) = new(items)

  def initialize(items = nil, &block)
    @hash = {}
    return unless items
    items = items.map(&block) if block
    items.each { |item| @hash[item] = true }
  end

  def add(item)
    raise FrozenError, "can't modify frozen Set: #{inspect}" if frozen?
    @hash[item] = true
    self
  end
  alias << add

  def add?(item) = include?(item) ? nil : add(item)

  def delete(item)
    @hash.delete(item)
    self
  end

  def merge(*others)
    others.each { |other| other.each { |item| add(item) } }
    self
  end

  def include?(item) = @hash.key?(item)
  alias member? include?
  alias === include?

  def each(&block)
    return to_a.each unless block
    @hash.keys.each(&block)
    self
  end

  def to_a = @hash.keys
  def to_set = self
  def size = @hash.size
  alias length size
  alias count size
  def empty? = @hash.empty?
  def dup = Set.new(to_a)
  def first(*args) = to_a.first(*args)

  def |(other) = dup.merge(other)
  alias + |
  alias union |

  def &(other)
    others = other.to_a
    Set.new(to_a.select { |item| others.include?(item) })
  end
  alias intersection &

  def -(other)
    others = other.to_a
    Set.new(to_a.reject { |item| others.include?(item) })
  end
  alias difference -

  def ^(other) = (self | other) - (self & other)

  def subset?(other) = all? { |item| other.include?(item) }
  alias <= subset?
  def superset?(other) = other.all? { |item| include?(item) }
  alias >= superset?
  def disjoint?(other) = none? { |item| other.include?(item) }
  def intersect?(other) = !disjoint?(other)

  def ==(other) = other.is_a?(Set) && size == other.size && subset?(other)
  def hash = to_a.hash

  def inspect = "#<Set: {#{to_a.map(&:inspect).join(", ")}}>"
  alias to_s inspect
end
