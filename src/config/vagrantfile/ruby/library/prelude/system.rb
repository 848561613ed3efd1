# The computer and who uses it.
module Etc
  Passwd = Struct.new(:name, :passwd, :uid, :gid, :gecos, :dir, :shell)
  Group = Struct.new(:name, :passwd, :gid, :mem)

  def self.nprocessors = Primitive.processors
  def self.getlogin = Primitive.user
  def self.systmpdir = "/tmp"
  def self.uname = { sysname: `uname -s`.chomp, nodename: `uname -n`.chomp, release: `uname -r`.chomp, machine: `uname -m`.chomp }

  def self.getpwuid(uid = Process.uid)
    line = Primitive.accounts.find { |fields| fields[2] == uid.to_s } or raise ArgumentError, "can't find user for #{uid}"
    Passwd.new(line[0], line[1], line[2].to_i, line[3].to_i, line[4], line[5], line[6])
  end

  def self.getpwnam(name)
    line = Primitive.accounts.find { |fields| fields[0] == name } or raise ArgumentError, "can't find user for #{name}"
    Passwd.new(line[0], line[1], line[2].to_i, line[3].to_i, line[4], line[5], line[6])
  end

  def self.groups = Primitive.groups.map { |fields| Group.new(fields[0], fields[1], fields[2].to_i, fields[3].to_s.split(",")) }
  def self.getgrgid(gid = Process.gid) = groups.find { |group| group.gid == gid } || raise(ArgumentError, "can't find group for #{gid}")
  def self.getgrnam(name) = groups.find { |group| group.name == name } || raise(ArgumentError, "can't find group for #{name}")
  def self.group(&block) = block ? groups.each(&block) : groups.first
  def self.passwd(&block) = block ? Primitive.accounts.each { |fields| yield getpwnam(fields[0]) } : getpwuid
end

class Addrinfo
  attr_reader :ip_address

  def initialize(address)
    @ip_address = address
  end

  def ip? = true
  def ipv4? = !@ip_address.include?(":")
  def ipv6? = !ipv4?
  def ipv4_loopback? = @ip_address.start_with?("127.")
  def ipv6_loopback? = @ip_address == "::1"
  def ipv6_linklocal? = @ip_address.downcase.start_with?("fe80")
  def ipv4_multicast? = ipv4? && (224..239).cover?(@ip_address.to_i)
  def ipv6_multicast? = @ip_address.downcase.start_with?("ff")
  def ipv4_private? = ipv4? && IPAddr.new(@ip_address).private?
  def inspect = "#<Addrinfo: #{@ip_address}>"
end

class SocketError < StandardError; end

class Socket
  AF_INET = 2
  AF_INET6 = 10

  def self.gethostname = `hostname`.chomp
  def self.ip_address_list = Primitive.addresses.map { |address| Addrinfo.new(address) }
  def self.method_missing(name, address = nil, *) = Primitive.connect(address.to_s)
  def self.new(*) = Primitive.connect("a socket")
end
