# Texts for web pages and addresses.
module CGI
  ENTITIES = { "&" => "&amp;", "<" => "&lt;", ">" => "&gt;", '"' => "&quot;", "'" => "&#39;" }

  def self.escape(text) = text.to_s.gsub(/[^*\-.0-9A-Z_a-z ~]/) { |c| c.bytes.map { |b| format("%%%02X", b) }.join }.tr(" ", "+")
  def self.unescape(text) = text.to_s.tr("+", " ").gsub(/%(\h\h)/) { $1.hex.chr }
  def self.escapeHTML(text) = text.to_s.gsub(/[&<>"']/) { |c| ENTITIES[c] }
  def self.unescapeHTML(text) = ENTITIES.inject(text.to_s) { |sum, (plain, entity)| plain == "&" ? sum : sum.gsub(entity, plain) }.gsub("&amp;", "&")
  def self.escape_html(text) = escapeHTML(text)
  def self.unescape_html(text) = unescapeHTML(text)
end
