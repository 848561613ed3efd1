//! The words of a command line.

/// Divides a line as a shell does, with its quotes, and looks into nothing: no variables, no patterns.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            // Between double quotes it only goes before what would be special there (sh(1)).
            (Some('"'), '\\') => {
                let escaped = chars.next_if(|c| matches!(c, '$' | '`' | '"' | '\\'));
                word.get_or_insert_default().push(escaped.unwrap_or('\\'));
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_spaces_outside_of_quotes() {
        for (line, expected) in [
            ("", &[][..]),
            ("  echo  hi\n", &["echo", "hi"]),
            (r#"bash -c 'echo "$1"' x"#, &["bash", "-c", "echo \"$1\"", "x"]),
            (r#"a"b c"d '' "\$ \d \"" \ e"#, &["ab cd", "", r#"$ \d ""#, " e"]),
            ("curl http://a/?b=1&c=2", &["curl", "http://a/?b=1&c=2"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
