# Versions and what is asked of them, as the package manager of Ruby has them.
module Gem
  class LoadError < ::LoadError; end
  class MissingSpecError < LoadError; end

  class Version
    include Comparable

    attr_reader :version

    def self.create(version) = version.is_a?(Version) ? version : new(version)
    def self.correct?(version) = version.to_s =~ /\A\s*([0-9]+(\.[0-9a-zA-Z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?)?\s*\z/ ? true : false

    def initialize(version)
      raise ArgumentError, "Malformed version number string #{version}" unless Version.correct?(version)
      @version = version.to_s.strip.gsub("-", ".pre.")
      @version = "0" if @version.empty?
    end

    def segments = @version.scan(/[0-9]+|[a-z]+/i).map { |part| part =~ /\A\d/ ? part.to_i : part }
    def prerelease? = @version =~ /[a-zA-Z]/ ? true : false
    def to_s = @version
    def inspect = "Gem::Version.new(#{@version.inspect})"
    def hash = @version.hash
    def eql?(other) = other.is_a?(Version) && version == other.version

    def release
      return self unless prerelease?
      Version.new(segments.take_while { |part| part.is_a?(Integer) }.join("."))
    end

    def bump
      parts = segments.take_while { |part| part.is_a?(Integer) }
      parts.pop if parts.size > 1
      parts[-1] += 1
      Version.new(parts.join("."))
    end

    def <=>(other)
      other = Version.new(other) if other.is_a?(String)
      return nil unless other.is_a?(Version)
      mine = segments
      theirs = other.segments
      [mine.size, theirs.size].max.times do |at|
        a = mine[at] || 0
        b = theirs[at] || 0
        next if a == b
        return -1 if a.is_a?(String) && b.is_a?(Integer)
        return 1 if a.is_a?(Integer) && b.is_a?(String)
        return a <=> b
      end
      0
    end
    def ==(other) = (self <=> other) == 0
  end

  class Requirement
    attr_reader :requirements

    def self.create(*wanted) = wanted[0].is_a?(Requirement) ? wanted[0] : new(*wanted)
    def self.default = new(">= 0")

    def initialize(*wanted)
      @requirements = wanted.flatten.compact.map do |text|
        match = /\A\s*(=|!=|>=|<=|~>|>|<)?\s*(\S+)\s*\z/.match(text.to_s)
        raise ArgumentError, "Illformed requirement [#{text.inspect}]" unless match
        [match[1] || "=", Version.new(match[2])]
      end
      @requirements = [[">=", Version.new("0")]] if @requirements.empty?
    end

    def satisfied_by?(version)
      version = Version.create(version)
      @requirements.all? do |operator, bound|
        case operator
        when "=" then version == bound
        when "!=" then version != bound
        when ">=" then version >= bound
        when "<=" then version <= bound
        when ">" then version > bound
        when "<" then version < bound
        else version >= bound && version.release < bound.bump
        end
      end
    end
    alias =~ satisfied_by?
    alias === satisfied_by?

    def to_s = @requirements.map { |operator, bound| "#{operator} #{bound}" }.join(", ")
  end

  class Dependency
    attr_reader :name, :requirement

    def initialize(name, *wanted)
      @name = name
      @requirement = Requirement.create(*wanted)
    end

    def match?(name, version) = name == @name && requirement.satisfied_by?(version)
  end

  # No package of Ruby is here.
  class Specification
    def self.find_by_name(name, *) = raise(MissingSpecError, "Could not find '#{name}' among 0 total gem(s)")
    def self.find_all_by_name(*) = []
    def self.stubs = []
    def self.map = []
    def self.any? = false
  end

  VERSION = "3.3.15"
  def self.win_platform? = false
  def self.loaded_specs = {}
  def self.ruby_version = Version.new(RUBY_VERSION)
end
