# Addresses of the web.
module URI
  class Error < StandardError; end
  class InvalidURIError < Error; end

  class Generic
    attr_accessor :scheme, :userinfo, :host, :port, :path, :query, :fragment

    def initialize(scheme, userinfo, host, port, path, query, fragment)
      @scheme = scheme
      @userinfo = userinfo
      @host = host
      @port = port || { "http" => 80, "https" => 443, "ftp" => 21 }[scheme]
      @explicit = !port.nil?
      @path = path
      @query = query
      @fragment = fragment
    end

    def user = userinfo&.split(":", 2)&.first
    def password = userinfo&.split(":", 2)&.at(1)
    def hostname = host&.delete_prefix("[")&.delete_suffix("]")
    def request_uri = (path.empty? ? "/" : path) + (query ? "?#{query}" : "")
    def absolute? = !scheme.nil?

    def to_s
      text = +""
      text << "#{scheme}:" if scheme
      if host
        text << "//"
        text << "#{userinfo}@" if userinfo
        text << host
        text << ":#{port}" if @explicit
      end
      text << path
      text << "?#{query}" if query
      text << "##{fragment}" if fragment
      text
    end

    def inspect = "#<#{self.class} #{self}>"
    def ==(other) = other.is_a?(Generic) && to_s == other.to_s
    def open(*) = Primitive.connect(to_s)
    def read(*) = Primitive.connect(to_s)
  end

  class HTTP < Generic; end
  class HTTPS < HTTP; end

  PATTERN = %r{\A(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://(?:([^/?#@]*)@)?(\[[^\]]*\]|[^/?#:]*)(?::(\d*))?)?([^?#]*)(?:\?([^#]*))?(?:#(.*))?\z}

  def self.parse(text)
    match = PATTERN.match(text.to_s)
    raise InvalidURIError, "bad URI(is not URI?): #{text.inspect}" if match.nil? || text.to_s.match?(/\s/)
    kind = { "http" => HTTP, "https" => HTTPS }.fetch(match[1], Generic)
    port = match[4].to_s.empty? ? nil : match[4].to_i
    kind.new(match[1], match[2], match[3], port, match[5], match[6], match[7])
  end

  def self.join(base, *more)
    more.inject(base.to_s) do |sum, part|
      part =~ /\A[a-z]+:/i ? part : (part.start_with?("/") ? sum[%r{\A\w+://[^/]*}] : sum[%r{\A.*/}]) + part
    end.then { |text| parse(text) }
  end

  def self.open(address, *) = Primitive.connect(address.to_s)
  def self.regexp(*) = %r{[a-z]+://\S+}
  def self.encode_www_form_component(text) = text.to_s.gsub(/[^*\-.0-9A-Z_a-z ]/) { |c| c.bytes.map { |b| format("%%%02X", b) }.join }.tr(" ", "+")
  def self.encode_www_form(pairs) = pairs.map { |key, value| "#{encode_www_form_component(key)}=#{encode_www_form_component(value)}" }.join("&")
end

module Net
  class HTTP
    def self.method_missing(name, address = nil, *) = Primitive.connect(address.to_s)
    def self.new(address = nil, *) = Primitive.connect(address.to_s)
  end
end

module OpenURI
  class HTTPError < StandardError; end
end

class TCPSocket
  def self.new(address = nil, port = nil, *) = Primitive.connect("#{address}:#{port}")
  def self.open(address = nil, port = nil, *) = Primitive.connect("#{address}:#{port}")
end

class TCPServer
  def self.new(*args) = Primitive.connect(args.join(":"))
  def self.open(*args) = Primitive.connect(args.join(":"))
end

class UDPSocket
  def self.new(*) = Primitive.connect("a datagram socket")
  def self.open(*) = Primitive.connect("a datagram socket")
end

class Resolv
  class ResolvError < StandardError; end

  def self.method_missing(name, address = nil, *) = Primitive.connect(address.to_s)
  def self.new(*) = Primitive.connect("a name server")
end
