# Templates.
class ERB
  module Util
    HTML = { "&" => "&amp;", "<" => "&lt;", ">" => "&gt;", '"' => "&quot;", "'" => "&#39;" }.freeze

    def self.html_escape(text) = text.to_s.gsub(/[&<>"']/) { |c| HTML[c] }
    def self.h(text) = html_escape(text)
    def html_escape(text) = Util.html_escape(text)
    def h(text) = Util.html_escape(text)
  end

  attr_reader :src
  attr_accessor :filename

  def initialize(template, safe = nil, mode = nil, trim_mode: nil, eoutvar: "_erbout")
    @src = Primitive.template(template, (trim_mode || mode).to_s)
  end

  def result(around = TOPLEVEL_BINDING) = eval(@src, around)

  def result_with_hash(hash)
    around = Primitive.empty_binding
    hash.each_pair { |name, value| around.local_variable_set(name, value) }
    result(around)
  end

  def run(around = TOPLEVEL_BINDING) = print(result(around))
end
