//! Tables: aligned by display width, no frames, so that they can be cut with `awk`.

use super::text::width;

/// Rows under a heading.
#[derive(Debug)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table. Headings are upper case by convention.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { heading: heading.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row. Empty cells are shown as `-`.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| if cell.is_empty() { "-".into() } else { cell }).collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, with a line end behind each line and no blanks before it.
    pub fn render(&self) -> String {
        let mut widths = vec![0; self.heading.len()];
        for row in std::iter::once(&self.heading).chain(&self.rows) {
            for (wide, cell) in widths.iter_mut().zip(row) {
                *wide = width(cell).max(*wide);
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&self.heading).chain(&self.rows) {
            let mut line = String::new();
            for (wide, cell) in widths.iter().zip(row) {
                line.push_str(cell);
                line.push_str(&" ".repeat(wide - width(cell) + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_what_a_terminal_shows() {
        let mut table = Table::new(["NAME", "STATE", "PORTS"]);
        assert!(table.is_empty());
        table.row(["web".into(), "\x1b[32mrunning\x1b[0m".into(), "8080".into()]);
        table.row(["日本".into(), "off".into(), String::new()]);
        assert_eq!(table.render(), "NAME  STATE    PORTS\nweb   \x1b[32mrunning\x1b[0m  8080\n日本  off      -\n");
    }
}
