require_relative "names"
class Cluster
  BOX = "cluster/box"
  def initialize(net, names)
    @net = net
    @names = names.map { |n| Names.full(n) }
  end

  def each
    @names.each.with_index(10) { |name, i| yield name, "#{@net}.#{i}" }
  end
end
