# An address of the network, or a whole network.
class IPAddr
  include Comparable

  class Error < ArgumentError; end
  class InvalidAddressError < Error; end
  class InvalidPrefixError < InvalidAddressError; end
  class AddressFamilyError < Error; end

  attr_reader :family

  def initialize(text = "::", family = nil)
    if text.is_a?(Integer)
      raise AddressFamilyError, "unsupported address family: #{family.inspect}" unless family
      @family = family
      @parts = Primitive.address_from(text, family)
      @length = bits
      return
    end
    address, prefix = text.to_s.split("/", 2)
    address = address.to_s.delete_prefix("[").delete_suffix("]")
    @parts = Primitive.address_parse(address)
    raise InvalidAddressError, "invalid address: #{text}" unless @parts
    @family = @parts.size == 4 ? 2 : 10
    @length = bits
    use_prefix(prefix) if prefix
  end

  def ipv4? = @family == 2
  def ipv6? = @family == 10
  def prefix = @length
  def hton = @parts.map(&:chr).join
  def bytes = @parts.dup

  def mask(prefix)
    copy = dup
    copy.use_prefix(prefix.to_s)
    copy
  end

  def to_i
    raise RangeError, "an IPv6 address is a number too large for this interpreter" if ipv6? && @parts.first(8).any? { |part| part != 0 && !loopback? }
    Primitive.address_number(@parts)
  end

  def to_s = Primitive.address_show(@parts)
  alias to_string to_s
  def inspect = "#<IPAddr: #{ipv4? ? "IPv4" : "IPv6"}:#{self}/#{netmask}>"
  def netmask = Primitive.address_show(mask_parts)

  def to_range
    low = with(@parts)
    high = with(@parts.zip(mask_parts).map { |part, bits| part | (255 - bits) })
    (low..high)
  end

  def succ = with(step(1))
  alias next succ
  def pred = with(step(-1))
  def +(count) = with(step(count))
  def -(count) = with(step(-count))

  def |(other) = combined(other) { |a, b| a | b }
  def &(other) = combined(other) { |a, b| a & b }
  def ~ = with(@parts.map { |part| 255 - part })

  def include?(other)
    other = IPAddr.new(other) unless other.is_a?(IPAddr)
    return false if other.family != @family
    bits = mask_parts
    bits.each_index.all? { |at| @parts[at] & bits[at] == other.bytes[at] & bits[at] } && other.prefix >= @length
  end
  alias === include?

  def <=>(other)
    other = IPAddr.new(other) unless other.is_a?(IPAddr)
    return nil if other.family != @family
    @parts <=> other.bytes
  rescue InvalidAddressError
    nil
  end

  def ==(other)
    other = IPAddr.new(other) unless other.is_a?(IPAddr)
    other.family == @family && other.bytes == @parts && other.prefix == @length
  rescue ArgumentError, TypeError
    false
  end
  alias eql? ==
  def hash = @parts.hash

  def private?
    return (@parts[0] & 254) == 252 if ipv6?
    @parts[0] == 10 || (@parts[0] == 172 && (16..31).cover?(@parts[1])) || (@parts[0] == 192 && @parts[1] == 168)
  end

  def loopback? = ipv4? ? @parts[0] == 127 : @parts == ([0] * 15 + [1])
  def link_local? = ipv4? ? @parts[0] == 169 && @parts[1] == 254 : @parts[0] == 254 && (@parts[1] & 192) == 128

  def reverse
    raise AddressFamilyError, "unsupported for IPv6 here" if ipv6?
    "#{@parts.reverse.join(".")}.in-addr.arpa"
  end

  def use_prefix(text)
    length = text =~ /\A\d+\z/ ? text.to_i : Primitive.address_prefix(text)
    raise InvalidPrefixError, "invalid length: #{self}/#{text}" unless length && length <= bits
    @length = length
    @parts = @parts.zip(mask_parts).map { |part, bits| part & bits }
  end

  def become(parts)
    @parts = parts
    self
  end

  private

  def bits = ipv4? ? 32 : 128

  def mask_parts
    (0...bits / 8).map do |at|
      left = (@length - at * 8).clamp(0, 8)
      256 - (1 << (8 - left))
    end
  end

  def combined(other)
    other = IPAddr.new(other, @family) unless other.is_a?(IPAddr)
    with(@parts.zip(other.bytes).map { |a, b| yield a, b })
  end

  def with(parts) = dup.become(parts)

  def step(count)
    parts = @parts.dup
    at = parts.size - 1
    while count != 0 && at >= 0
      sum = parts[at] + count
      parts[at] = sum % 256
      count = sum.div(256)
      at -= 1
    end
    raise InvalidAddressError, "invalid address: #{self}" if count != 0
    parts
  end
end
