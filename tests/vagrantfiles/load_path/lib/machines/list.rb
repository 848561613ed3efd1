module Machines
  LIST = %w[red green].freeze
end
