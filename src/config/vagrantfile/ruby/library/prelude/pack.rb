# What `pack` and `unpack` make of bytes that are no text.
class PackedBytes
  SHOWN = { 7 => '\a', 8 => '\b', 9 => '\t', 10 => '\n', 11 => '\v', 12 => '\f', 13 => '\r', 27 => '\e', 34 => '\"', 92 => '\\\\' }.freeze

  attr_reader :bytes

  def initialize(bytes)
    @bytes = bytes
  end

  def unpack(template) = Primitive.unpack(@bytes, template)
  def unpack1(template) = unpack(template).first
  def bytesize = @bytes.size
  def size = @bytes.size
  def length = @bytes.size
  def empty? = false
  def getbyte(at) = @bytes[at]
  def each_byte(&block) = @bytes.each(&block)
  def ==(other) = other.is_a?(PackedBytes) && other.bytes == @bytes
  def reverse = PackedBytes.new(@bytes.reverse)
  def b = self
  def encoding = "ASCII-8BIT"

  # As text: where it is none, nobody can say what it is.
  def to_s = Primitive.text_of(@bytes)
  def to_str = to_s
  def force_encoding(*) = to_s

  def inspect = %("#{@bytes.map { |byte| SHOWN[byte] || (byte.between?(32, 126) ? byte.chr : format('\x%02X', byte)) }.join}")
end
