# A day of the calendar.
class Date
  include Comparable

  class Error < ArgumentError; end

  MONTHNAMES = [nil, "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                "November", "December"].freeze
  DAYNAMES = %w[Sunday Monday Tuesday Wednesday Thursday Friday Saturday].freeze

  def self.today = new(Time.now.year, Time.now.month, Time.now.day)
  def self.valid_date?(year, month, day) = Primitive.time_civil(Primitive.time_seconds(year, month, day, 0, 0, 0)).first(3) == [year, month, day]

  def self.parse(text)
    match = /(\d{4})-(\d\d?)-(\d\d?)/.match(text)
    raise Date::Error, "invalid date" unless match
    new(*match.captures.map(&:to_i))
  end

  def self.iso8601(text) = parse(text)

  def initialize(year = -4712, month = 1, day = 1)
    raise Date::Error, "invalid date" unless day == -1 || Date.valid_date?(year, month, day)
    @seconds = day == -1 ? Primitive.time_seconds(year, month + 1, 1, 0, 0, 0) - 86_400 : Primitive.time_seconds(year, month, day, 0, 0, 0)
    @civil = Primitive.time_civil(@seconds)
  end

  def year = @civil[0]
  def month = @civil[1]
  alias mon month
  def day = @civil[2]
  alias mday day
  def wday = @civil[6]
  def yday = @civil[7]
  def +(days) = at(@seconds + days * 86_400)
  def -(other) = other.is_a?(Date) ? (seconds - other.seconds) / 86_400 : self + -other
  def next_day(days = 1) = self + days
  def prev_day(days = 1) = self - days
  def succ = self + 1
  alias next succ

  def >>(months)
    total = year * 12 + month - 1 + months
    last = Date.new(total.div(12), total % 12 + 1, -1).day
    Date.new(total.div(12), total % 12 + 1, [day, last].min)
  end

  def <<(months) = self >> -months
  def next_month(months = 1) = self >> months
  def prev_month(months = 1) = self >> -months
  def <=>(other) = other.is_a?(Date) ? seconds <=> other.seconds : nil
  def ==(other) = other.is_a?(Date) && seconds == other.seconds
  def hash = @seconds.hash
  def saturday? = wday == 6
  def sunday? = wday == 0
  def to_date = self
  def to_time = Time.local(year, month, day)
  def strftime(format = "%F") = Primitive.time_show(@seconds, 0, 0, "+00:00", format)
  def to_s = strftime("%Y-%m-%d")
  alias iso8601 to_s
  def inspect = "#<Date: #{self}>"
  def seconds = @seconds

  private

  def at(seconds) = Date.new(*Primitive.time_civil(seconds).first(3))
end

# A day with its time.
class DateTime < Time
  def self.now(**) = allocate.set(*Primitive.time_now, nil, nil)
  def to_s = strftime("%Y-%m-%dT%H:%M:%S%:z")
end
