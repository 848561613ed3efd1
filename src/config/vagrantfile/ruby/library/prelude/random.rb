# Chance, and numbers that begin at a seed: those of MT19937, as Ruby has them.
class Random
  SIZE = 624
  WORD = 0xffffffff

  def self.rand(limit = 0) = Primitive.random(limit)
  def self.random_number(limit = 0) = Primitive.random(limit)
  def self.new_seed = Primitive.random(1 << 40)
  def self.srand(*) = Primitive.unsupported("chance that begins at a number of the file's (`Random.new(NUMBER)` does)")

  attr_reader :seed

  def initialize(seed = Random.new_seed)
    @seed = seed.to_i
    key = [@seed.abs & WORD, @seed.abs >> 32]
    key[1] == 0 ? begin_at(key[0]) : mix(key)
  end

  def rand(limit = nil)
    case limit
    when nil then fraction
    when Float then fraction * limit
    when Integer
      raise ArgumentError, "invalid argument - #{limit}" if limit <= 0
      below(limit - 1)
    when Range
      low, high = limit.begin, limit.end
      Primitive.unsupported("fractions of chance in a range") unless low.is_a?(Integer) && high.is_a?(Integer)
      high -= 1 if limit.exclude_end?
      raise ArgumentError, "invalid argument - #{limit}" if high < low
      low + below(high - low)
    else raise ArgumentError, "invalid argument - #{limit}"
    end
  end

  def ==(other) = other.is_a?(Random) && other.seed == @seed && other.place == place

  protected def place = [@state, @at]

  private

  def begin_at(number)
    @state = [number]
    (1...SIZE).each { |i| @state << ((1812433253 * (@state[-1] ^ (@state[-1] >> 30)) + i) & WORD) }
    @at = SIZE
  end

  def mix(key)
    begin_at(19650218)
    i = 1
    SIZE.times do |k|
      i = stir(i, 1664525) { key[k % key.size] + k % key.size }
    end
    (SIZE - 1).times { i = stir(i, 1566083941) { -i } }
    @state[0] = 0x80000000
  end

  def stir(i, factor)
    before = @state[i - 1]
    @state[i] = ((@state[i] ^ ((before ^ (before >> 30)) * factor)) + yield) & WORD
    return i + 1 if i + 1 < SIZE
    @state[0] = @state[SIZE - 1]
    1
  end

  def turn
    SIZE.times do |i|
      mixed = (@state[i] & 0x80000000) | (@state[(i + 1) % SIZE] & 0x7fffffff)
      @state[i] = @state[(i + 397) % SIZE] ^ (mixed >> 1) ^ (mixed.odd? ? 0x9908b0df : 0)
    end
    @at = 0
  end

  def word
    turn if @at == SIZE
    y = @state[@at]
    @at += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    y ^ (y >> 18)
  end

  def fraction = ((word >> 5) * 67108864 + (word >> 6)) / 9007199254740992.0

  # A number up to a limit.
  def below(limit)
    return 0 if limit == 0
    mask = (1 << limit.bit_length) - 1
    loop do
      value = 0
      fits = [32, 0].all? do |shift|
        next true if (mask >> shift) & WORD == 0
        value = (value | (word << shift)) & mask
        value <= limit
      end
      return value if fits
    end
  end
end
