# What computes its elements when they are asked for.
class Enumerator
  class Yielder
    def initialize(&block)
      @block = block
    end

    def <<(value)
      @block.call(value)
      self
    end

    def yield(*values) = @block.call(*values)
    alias call yield
  end

  class Generator
    def initialize(block)
      @block = block
    end

    def each(&block) = @block.call(Yielder.new(&block))
  end

  class Lazy < Enumerator
    def self.of(source) = allocate.from(source)

    def from(source, &change)
      @source = source
      @change = change
      self
    end

    # The change gets a place to put elements to, and an element.
    def each(&block)
      return self unless block
      return @source.each(&block) unless @change
      change = @change
      @source.each { |*item| change.call(block, item.size > 1 ? item : item[0]) }
    end

    def map(&block) = Lazy.allocate.from(self) { |out, item| out.call(block.call(item)) }
    alias collect map
    def select(&block) = Lazy.allocate.from(self) { |out, item| out.call(item) if block.call(item) }
    alias filter select
    def reject(&block) = Lazy.allocate.from(self) { |out, item| out.call(item) unless block.call(item) }
    def filter_map(&block) = map(&block).select { |item| item }
    def flat_map(&block) = Lazy.allocate.from(self) { |out, item| Array(block.call(item)).each { |one| out.call(one) } }
    def compact = reject(&:nil?)

    def with_index(from = 0, &block)
      at = from - 1
      Lazy.allocate.from(self) do |out, item|
        at += 1
        out.call(block ? block.call(item, at) : [item, at])
      end
    end
    alias each_with_index with_index

    def take(count)
      list = self
      Lazy.of(Generator.new(proc { |out|
        taken = 0
        if count > 0
          list.each do |item|
            out << item
            taken += 1
            break if taken == count
          end
        end
      }))
    end

    def take_while(&block)
      list = self
      Lazy.of(Generator.new(proc { |out| list.each { |item| block.call(item) ? out << item : break } }))
    end

    def drop(count)
      at = 0
      Lazy.allocate.from(self) { |out, item| (at += 1) > count ? out.call(item) : nil }
    end

    def first(count = nil)
      return take(1).to_a[0] unless count
      take(count).to_a
    end

    def to_a
      items = []
      each { |item| items << item }
      items
    end
    alias force to_a

    def lazy = self
    def eager = to_a
    def inspect = "#<Enumerator::Lazy: ...>"
  end
end
