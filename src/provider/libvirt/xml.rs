//! As much of XML as descriptions need: a tree that is written out, with everything escaped.

use std::fmt::Write as _;

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
    raw: Vec<String>,
}

/// An element of this name.
pub fn element(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), text: None, children: Vec::new(), raw: Vec::new() }
}

impl Element {
    /// With an attribute more.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// With this text in it.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// With a child more.
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// With more children.
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// With more children that are XML already, after all others.
    pub fn raw(mut self, fragments: impl IntoIterator<Item = String>) -> Self {
        self.raw.extend(fragments);
        self
    }

    /// The whole as text, each element on a line of its own.
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        // Writing into a string does not fail.
        let _ = write!(out, "{:indent$}<{}", "", self.name, indent = depth * 2);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}=\"{}\"", escape(value));
        }
        if let Some(text) = &self.text {
            let _ = writeln!(out, ">{}</{}>", escape(text), self.name);
        } else if self.children.is_empty() && self.raw.is_empty() {
            out.push_str("/>\n");
        } else {
            out.push_str(">\n");
            for child in &self.children {
                child.write(out, depth + 1);
            }
            for fragment in &self.raw {
                let _ = writeln!(out, "{:indent$}{}", "", fragment.trim(), indent = depth * 2 + 2);
            }
            let _ = writeln!(out, "{:indent$}</{}>", "", self.name, indent = depth * 2);
        }
    }
}

/// For text and for attributes in quotes of either kind.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // Readers would make spaces of them.
            '\n' | '\r' | '\t' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether XML has letters for all of it: no escape helps other control characters.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && !"\n\r\t".contains(c)) || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_stand_on_lines_of_their_own() {
        let tree = element("a").with("b", "1").child(element("c").text("x & y")).child(element("d"));
        assert_eq!(tree.render(), "<a b=\"1\">\n  <c>x &amp; y</c>\n  <d/>\n</a>\n");
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(value in any::<String>(), text in any::<String>()) {
            prop_assume!(is_plain(&value) && is_plain(&text));
            let written = element("a").with("b", value.clone()).text(text.clone()).render();
            let document = roxmltree::Document::parse(&written).unwrap();
            prop_assert_eq!(document.root_element().attribute("b"), Some(&*value));
            prop_assert_eq!(document.root_element().text().unwrap_or_default(), text);
        }
    }
}
