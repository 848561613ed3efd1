//! YAML as Psych writes it.

use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::show;
use super::super::value::Value;
use super::yaml;

/// `YAML.dump`, `to_yaml`.
pub fn dump(ruby: &mut Interp, value: &Value) -> Result<String> {
    let mut out = String::from("---");
    node(ruby, value, 0, false, &mut out)?;
    ruby.grow(out.len())?;
    Ok(out)
}

/// A value behind a key, a dash or the mark of the document; with the end of its last line.
fn node(ruby: &mut Interp, value: &Value, indent: usize, in_list: bool, out: &mut String) -> Result<()> {
    ruby.step()?;
    let blanks = " ".repeat(indent);
    match value {
        Value::Array(array) if array.items.borrow().is_empty() => out.push_str(" []\n"),
        Value::Hash(hash) if hash.len() == 0 => out.push_str(" {}\n"),
        Value::Array(array) => {
            let items = array.items.borrow().clone();
            for (at, item) in items.iter().enumerate() {
                // The first element of a list in a list stands on its dash's line.
                out.push_str(match (at, in_list) {
                    (0, true) => " ",
                    (0, false) => "\n",
                    _ => "",
                });
                if !(at == 0 && in_list) {
                    out.push_str(&blanks);
                }
                out.push('-');
                ruby.deeper(|ruby| node(ruby, item, indent + 2, true, out))?;
            }
        }
        Value::Hash(hash) => {
            for (at, (key, value)) in hash.pairs().iter().enumerate() {
                out.push_str(match (at, in_list) {
                    (0, true) => " ",
                    (0, false) => "\n",
                    _ => "",
                });
                if !(at == 0 && in_list) {
                    out.push_str(&blanks);
                }
                out.push_str(&scalar(ruby, key, indent)?);
                out.push(':');
                // Lists stand below their key, not indented.
                let deeper = if matches!(value, Value::Array(_)) { indent } else { indent + 2 };
                ruby.deeper(|ruby| node(ruby, value, deeper, false, out))?;
            }
        }
        Value::Nil => out.push('\n'),
        other => {
            let text = scalar(ruby, other, indent)?;
            out.push(' ');
            out.push_str(&text);
            out.push('\n');
        }
    }
    Ok(())
}

fn scalar(ruby: &mut Interp, value: &Value, indent: usize) -> Result<String> {
    Ok(match value {
        Value::Nil => String::new(),
        Value::Sym(name) => format!(":{name}"),
        Value::Str(text) => quoted(&text.get(), indent),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => show::inspect(value),
        other => {
            let text = ruby.to_s(other)?;
            quoted(&text, indent)
        }
    })
}

/// Plain where that reads back as the same text.
fn quoted(text: &str, indent: usize) -> String {
    if text.is_empty() {
        return "''".into();
    }
    if text.contains('\n') && !text.starts_with([' ', '\n']) {
        let blanks = " ".repeat(indent.max(2));
        let mark = if text.ends_with('\n') { "|" } else { "|-" };
        let lines: Vec<_> =
            text.lines().map(|line| if line.is_empty() { String::new() } else { format!("{blanks}{line}") }).collect();
        return format!("{mark}\n{}", lines.join("\n"));
    }
    let is_word = matches!(yaml::plain(text), Value::Str(_));
    let special = text == "-"
        || ["- ", "---"].iter().any(|start| text.starts_with(start))
        || text.starts_with(|c: char| "?:,[]{}#&*!|>'\"%@` =".contains(c) || c.is_whitespace());
    let inner = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    if text.chars().any(char::is_control) {
        return show::quoted(text);
    }
    if matches!(text, "y" | "n" | "Y" | "N") {
        return show::quoted(text);
    }
    if !is_word || special || inner {
        return format!("'{}'", text.replace('\'', "''"));
    }
    text.to_owned()
}
