# A string that is read and written like a file.
class StringIO
  attr_accessor :string

  def initialize(string = +"", mode = nil)
    @string = string
    @at = 0
  end

  def write(*parts)
    parts.each { |part| @string << part.to_s }
    parts.sum { |part| part.to_s.length }
  end

  def <<(part)
    write(part)
    self
  end

  def print(*parts)
    write(*parts)
    nil
  end

  def puts(*parts)
    parts = [""] if parts.empty?
    parts.flatten.each { |part| write(part.to_s.end_with?("\n") ? part : "#{part}\n") }
    nil
  end

  def printf(*args) = print(format(*args))

  def read
    rest = @string[@at..] || ""
    @at = @string.length
    rest
  end

  def gets
    return nil if eof?
    line = @string[@at..].lines.first
    @at += line.length
    line
  end

  def each_line(&block) = read.each_line(&block)
  def readlines = read.lines
  def eof? = @at >= @string.length
  def rewind = @at = 0
  def close = nil
  def closed? = false
  def flush = self
  def sync=(value)
  end
  def tty? = false
  alias isatty tty?
end
