# Tables of texts that are separated by commas.
module CSV
  class MalformedCSVError < RuntimeError; end

  class Row
    include Enumerable

    attr_reader :headers, :fields

    def initialize(headers, fields)
      @headers = headers
      @fields = fields
    end

    def [](name) = name.is_a?(Integer) ? @fields[name] : (at = @headers.index(name)) && @fields[at]
    def fetch(name) = @headers.include?(name) ? self[name] : raise(KeyError, "key not found: #{name}")
    def to_h = @headers.zip(@fields).to_h
    def to_a = @headers.zip(@fields)
    def each(&block) = to_a.each(&block) && self
    def key?(name) = @headers.include?(name)
    alias to_hash to_h
    alias has_key? key?
    alias header? key?
  end

  def self.parse_line(line, col_sep: ",", quote_char: '"', **)
    fields = []
    field = +""
    quoted = was_quoted = false
    chars = line.chomp.chars
    until chars.empty?
      char = chars.shift
      if quoted
        if char != quote_char
          field << char
        elsif chars[0] == quote_char
          field << chars.shift
        else
          quoted = false
        end
      elsif char == quote_char && field.empty?
        quoted = was_quoted = true
      elsif char == col_sep
        fields << (field.empty? && !was_quoted ? nil : field)
        field = +""
        was_quoted = false
      else
        field << char
      end
    end
    raise MalformedCSVError, "Unclosed quoted field" if quoted
    fields << (field.empty? && !was_quoted ? nil : field)
  end

  def self.parse(text, headers: false, header_converters: nil, converters: nil, skip_blanks: false, **options)
    lines = text.lines
    lines = lines.reject { |line| line.strip.empty? } if skip_blanks || headers
    rows = lines.map { |line| line.strip.empty? ? [] : parse_line(line, **options) }
    rows = rows.map { |row| row.map { |field| field =~ /\A-?\d+\z/ ? field.to_i : field } } if converters
    return block_given? ? rows.each { |row| yield row } : rows unless headers
    names = headers == true || headers == :first_row ? rows.shift || [] : headers
    names = names.map { |name| name.to_s.strip.downcase.gsub(/\s+/, "_").gsub(/\W+/, "").to_sym } if header_converters == :symbol
    rows = rows.map { |row| Row.new(names, names.each_index.map { |at| row[at] }) }
    block_given? ? rows.each { |row| yield row } : rows
  end

  def self.read(path, **options) = parse(File.read(path), **options)
  def self.readlines(path, **options) = read(path, **options)
  def self.table(path, **options) = read(path, headers: true, converters: :numeric, header_converters: :symbol, **options)

  def self.foreach(path, *, **options, &block)
    rows = read(path, **options)
    block ? rows.each(&block) : rows.each
  end

  def self.generate_line(fields, **) = fields.map { |field| field.to_s.match?(/[",\n]/) ? "\"#{field.to_s.gsub('"', '""')}\"" : field.to_s }.join(",") + "\n"
end
