module Names
  module_function

  def full(name)
    "node-#{name}"
  end
end
