# A moment, in a time zone.
class Time
  include Comparable

  MONTHS = %w[Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec].freeze
  ZONES = { "UTC" => 0, "GMT" => 0, "Z" => 0, "EST" => -18000, "EDT" => -14400, "CST" => -21600, "CDT" => -18000,
            "MST" => -25200, "MDT" => -21600, "PST" => -28800, "PDT" => -25200 }.freeze

  def self.now(**) = allocate.set(*Primitive.time_now, nil, nil)

  def self.at(seconds, fraction = 0, unit = :microsecond)
    return allocate.set(seconds.to_i, seconds.nsec, nil, nil) if seconds.is_a?(Time)
    scale = { microsecond: 1000, usec: 1000, millisecond: 1_000_000, nsec: 1, nanosecond: 1 }.fetch(unit, 1000)
    whole = seconds.floor
    allocate.set(whole, ((seconds - whole) * 1_000_000_000).round + (fraction * scale).to_i, nil, nil)
  end

  def self.utc(*parts) = allocate.set(Primitive.time_seconds(*fields(parts)), 0, 0, "UTC")
  def self.gm(*parts) = utc(*parts)

  def self.local(*parts)
    seconds = Primitive.time_seconds(*fields(parts))
    offset, = Primitive.time_zone(seconds)
    offset, = Primitive.time_zone(seconds - offset)
    allocate.set(seconds - offset, 0, nil, nil)
  end

  def self.mktime(*parts) = local(*parts)

  def self.new(*parts, **options)
    return now if parts.empty?
    zone = parts[6] || options[:in]
    return local(*parts.first(6)) unless zone
    offset = zone_offset(zone.to_s) || zone.to_i
    allocate.set(Primitive.time_seconds(*fields(parts.first(6))) - offset, 0, offset, zone == "UTC" ? "UTC" : nil)
  end

  def self.zone_offset(zone, *)
    return ZONES[zone.to_s.upcase] if ZONES.key?(zone.to_s.upcase)
    match = /\A([+-])(\d\d):?(\d\d)\z/.match(zone.to_s)
    return (match[1] == "-" ? -1 : 1) * (match[2].to_i * 3600 + match[3].to_i * 60) if match
    name = now.zone
    name == zone ? now.utc_offset : nil
  end

  def self.parse(text, *)
    match = /(\d{4})-(\d\d?)-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|UTC|[+-]\d\d:?\d\d)?)?/.match(text)
    raise ArgumentError, "no time information in #{text.inspect}" unless match
    parts = match.captures.first(6).map(&:to_i)
    match[7] ? new(*parts, match[7] == "Z" ? "UTC" : match[7]) : local(*parts)
  end

  def self.iso8601(text) = parse(text)

  def self.fields(parts)
    parts = parts.dup
    parts[1] = MONTHS.index(parts[1].capitalize) + 1 if parts[1].is_a?(String) && parts[1] =~ /\A[a-z]/i
    defaults = [1970, 1, 1, 0, 0, 0]
    (0..5).map { |at| (parts[at] || defaults[at]).to_i }
  end

  # Seconds since 1970, nanoseconds, seconds east of Greenwich (or nil: of this computer), name of the zone.
  def set(seconds, nanoseconds, offset, zone)
    @seconds = seconds + nanoseconds.div(1_000_000_000)
    @nanoseconds = nanoseconds % 1_000_000_000
    offset, zone = Primitive.time_zone(@seconds) unless offset
    @offset = offset
    @zone = zone
    @civil = Primitive.time_civil(@seconds + @offset)
    self
  end

  def year = @civil[0]
  def month = @civil[1]
  alias mon month
  def day = @civil[2]
  alias mday day
  def hour = @civil[3]
  def min = @civil[4]
  def sec = @civil[5]
  def wday = @civil[6]
  def yday = @civil[7]
  def nsec = @nanoseconds
  def usec = @nanoseconds / 1000
  def zone = @zone
  def utc_offset = @offset
  alias gmt_offset utc_offset
  alias gmtoff utc_offset
  def utc? = @zone == "UTC"
  def dst? = false
  def monday? = wday == 1
  def tuesday? = wday == 2
  def wednesday? = wday == 3
  def thursday? = wday == 4
  def friday? = wday == 5
  def saturday? = wday == 6
  def sunday? = wday == 0

  def to_i = @seconds
  alias tv_sec to_i
  def to_f = @seconds + @nanoseconds / 1_000_000_000.0
  def to_a = [sec, min, hour, day, month, year, wday, yday, dst?, zone]
  def to_time = self
  def to_date = Date.new(year, month, day)
  def utc = set(@seconds, @nanoseconds, 0, "UTC")
  alias gmtime utc
  def getutc = dup.utc
  alias getgm getutc
  def localtime(zone = nil) = zone ? set(@seconds, @nanoseconds, Time.zone_offset(zone), nil) : set(@seconds, @nanoseconds, nil, nil)
  def getlocal(zone = nil) = dup.localtime(zone)
  def round(*) = Time.at(@nanoseconds >= 500_000_000 ? @seconds + 1 : @seconds)

  def +(seconds)
    whole = seconds.floor
    dup.set(@seconds + whole, @nanoseconds + ((seconds - whole) * 1_000_000_000).round, @offset, @zone)
  end

  def -(other)
    return to_f - other.to_f if other.is_a?(Time)
    self + -other
  end

  def <=>(other) = other.is_a?(Time) ? [@seconds, @nanoseconds] <=> [other.to_i, other.nsec] : nil
  def ==(other) = other.is_a?(Time) && (self <=> other) == 0
  alias eql? ==
  def hash = @seconds.hash

  def strftime(format) = Primitive.time_show(@seconds, @nanoseconds, @offset, @zone.to_s, format)
  def to_s = strftime(utc? ? "%Y-%m-%d %H:%M:%S UTC" : "%Y-%m-%d %H:%M:%S %z")
  def inspect = to_s
  def iso8601(*) = strftime(utc? ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%dT%H:%M:%S%:z")
  alias xmlschema iso8601
  def ctime = strftime("%a %b %e %H:%M:%S %Y")
  alias asctime ctime
  def httpdate = getutc.strftime("%a, %d %b %Y %H:%M:%S GMT")
  def rfc2822 = strftime("%a, %d %b %Y %H:%M:%S %z")
end
