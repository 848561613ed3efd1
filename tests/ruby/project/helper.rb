module Helper
  def self.double(n) = n * 2
end
