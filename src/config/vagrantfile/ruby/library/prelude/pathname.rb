# A path as an object.
class Pathname
  include Comparable

  def self.pwd = new(Dir.pwd)
  def self.getwd = pwd
  def self.glob(*args) = Dir.glob(*args).map { |path| new(path) }

  def initialize(path)
    @path = path.respond_to?(:to_path) ? path.to_path : path
    raise TypeError, "no implicit conversion of #{path.nil? ? "nil" : path.class} into String" unless @path.is_a?(String)
  end

  def to_s = @path.dup
  def to_path = @path
  def to_str = @path
  def inspect = "#<Pathname:#{@path}>"
  def ==(other) = other.is_a?(Pathname) && to_s == other.to_s
  alias eql? ==
  alias === ==
  def hash = @path.hash
  def <=>(other) = other.is_a?(Pathname) ? @path <=> other.to_s : nil

  def +(other)
    other = Pathname.new(other) unless other.is_a?(Pathname)
    return other if other.absolute?
    here = @path
    rest = other.to_s
    while rest == ".." || rest.start_with?("../")
      break if here == "." || here == ".." || here.end_with?("/..")
      return Pathname.new("/").send(:+, rest.sub(%r{\A\.\./?}, "")) if here == "/" && rest != ".."
      return Pathname.new("/") if here == "/"
      here = File.dirname(here)
      rest = rest.sub(%r{\A\.\./?}, "")
    end
    rest = rest.sub(%r{\A\./+}, "")
    return Pathname.new(here) if rest.empty? || rest == "."
    return Pathname.new(rest) if here == "."
    Pathname.new(here.end_with?("/") ? here + rest : "#{here}/#{rest}")
  end
  alias / +

  def join(*others) = others.inject(self) { |path, other| path + other }
  def dirname = Pathname.new(File.dirname(@path))
  def parent = self + ".."
  def basename(*args) = Pathname.new(File.basename(@path, *args))
  def extname = File.extname(@path)
  def expand_path(*args) = Pathname.new(File.expand_path(@path, *args))
  def realpath(*) = Pathname.new(File.realpath(@path))
  def realdirpath(*) = Pathname.new(File.expand_path(@path))

  def cleanpath(*)
    absolute = absolute?
    parts = []
    @path.split("/").each do |part|
      next if part.empty? || part == "."
      if part == ".." && parts.last && parts.last != ".."
        parts.pop
      elsif part != ".." || !absolute
        parts << part
      end
    end
    text = parts.join("/")
    Pathname.new(absolute ? "/#{text}" : (text.empty? ? "." : text))
  end

  def relative_path_from(base)
    here = cleanpath.to_s.split("/")
    from = Pathname.new(base).cleanpath.to_s.split("/").reject { |part| part == "." }
    here = here.reject { |part| part == "." }
    while !here.empty? && here.first == from.first
      here.shift
      from.shift
    end
    parts = from.map { ".." } + here
    Pathname.new(parts.empty? ? "." : parts.join("/"))
  end

  def sub(*args, &block) = Pathname.new(block ? @path.sub(*args, &block) : @path.sub(*args))
  def sub_ext(ext) = Pathname.new(@path.delete_suffix(extname) + ext)

  def absolute? = @path.start_with?("/")
  def relative? = !absolute?
  def root? = !@path.empty? && @path.delete("/").empty?
  def exist? = File.exist?(@path)
  def file? = File.file?(@path)
  def directory? = File.directory?(@path)
  def symlink? = File.symlink?(@path)
  def readable? = File.readable?(@path)
  def size = File.size(@path)
  def zero? = File.zero?(@path)
  def empty? = directory? ? Dir.empty?(@path) : File.zero?(@path)

  def read(*args) = File.read(@path, *args)
  def binread = File.read(@path)
  def readlines(**args) = File.readlines(@path, **args)
  def each_line(&block) = File.foreach(@path, &block)
  def open(*args, &block) = File.open(@path, *args, &block)
  def write(text) = File.write(@path, text)
  def mkpath = FileUtils.mkdir_p(@path)
  def mkdir = Dir.mkdir(@path)
  def delete = File.delete(@path)
  alias unlink delete

  def children = Dir.children(@path).map { |name| self + name }
  def entries = Dir.entries(@path).map { |name| Pathname.new(name) }
  def each_child(&block) = children.each(&block)
  def glob(pattern) = Dir.glob(pattern, base: @path).map { |path| self + path }
  def each_filename(&block) = @path.split("/").reject(&:empty?).each(&block)

  def ascend
    paths = [self]
    path = @path
    until path == "/" || path == "." || File.dirname(path) == path || File.dirname(path) == "."
      path = File.dirname(path)
      paths << Pathname.new(path)
    end
    return paths.each unless block_given?
    paths.each { |one| yield one }
    nil
  end

  def descend(&block)
    all = ascend.to_a.reverse
    block ? all.each(&block) : all
  end
end
