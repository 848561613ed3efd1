#!/usr/bin/env ruby
# frozen_string_literal: true
#
# Runs every snippet of snippets.rb with the Ruby that runs this, and writes what each prints to answers.txt: what our own
# interpreter must print too. Usage: scripts/ruby-answers.sh
require 'stringio'
%w[yaml json ostruct set pathname ipaddr time date erb digest base64 securerandom shellwords etc socket logger uri
   fileutils tmpdir open3 forwardable singleton csv optparse cgi].each { |name| require name }

here = __dir__
snippets = File.read(File.join(here, 'snippets.rb')).split(/^%%\n/)
answers = snippets.map do |snippet|
  read, write = IO.pipe
  pid = fork do
    read.close
    $stdout = write
    $stderr = write
    $VERBOSE = false
    Dir.chdir(File.join(here, 'project'))
    ENV.replace('HOME' => '/home/me', 'PATH' => ENV['PATH'], 'TZ' => 'UTC')
    begin
      TOPLEVEL_BINDING.eval(snippet, 'snippet.rb')
    rescue SystemExit => e
      puts "exit #{e.status}"
    rescue Exception => e
      puts "#{e.class}: #{e.message.lines.first.to_s.chomp}"
    end
    write.flush
    exit!(0)
  end
  write.close
  answer = read.read
  Process.wait(pid)
  answer
end
File.write(File.join(here, 'answers.txt'), answers.join("%%\n"))
puts "#{snippets.size} snippets, by Ruby #{RUBY_VERSION}"
