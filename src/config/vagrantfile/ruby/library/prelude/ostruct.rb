# An object whose fields are whatever is put into it.
class OpenStruct
  def initialize(hash = nil)
    @table = {}
    hash.each_pair { |key, value| @table[key.to_sym] = value } if hash
  end

  def [](name) = @table[name.to_sym]

  def []=(name, value)
    raise FrozenError, "can't modify frozen OpenStruct" if frozen?
    @table[name.to_sym] = value
  end

  def dig(name, *rest) = @table.dig(name.to_sym, *rest)

  def to_h(&block) = block ? @table.to_h(&block) : @table.dup

  def each_pair(&block)
    return @table.each_pair unless block
    @table.each_pair(&block)
    self
  end

  def delete_field(name)
    raise NameError, "no field `#{name}' in #{inspect}" unless @table.key?(name.to_sym) || block_given?
    @table.delete(name.to_sym) { yield }
  end

  def ==(other) = other.is_a?(OpenStruct) && to_h == other.to_h

  def respond_to_missing?(name, all = false)
    @table.key?(name.to_s.chomp("=").to_sym) || name.to_s.end_with?("=")
  end

  def method_missing(name, *args)
    text = name.to_s
    return self[text.chomp("=")] = args[0] if text.end_with?("=")
    return @table[name] if args.empty?
    super
  end

  def inspect
    return "#<#{self.class}>" if @table.empty?
    "#<#{self.class} #{@table.map { |key, value| "#{key}=#{value.inspect}" }.join(", ")}>"
  end
  alias to_s inspect
end
