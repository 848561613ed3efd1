module Helper
  def self.setup(config, box:, name: 'none', **rest)
    config.vm.box = box
    config.vm.hostname = name
    config.vm.boot_timeout = rest.fetch(:timeout) { 120 }
  end
end
