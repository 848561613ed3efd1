//! Questions.

use std::io::{BufRead, Read, Write};

use super::Error;

/// An answer is a word; a file by mistake should not fill the memory.
const ANSWER_LIMIT: u64 = 1024;

/// Asks until the answer is yes or no; an empty line or the end of input is no.
pub(super) fn confirm(question: &str, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<bool, Error> {
    loop {
        write!(output, "{question}? [y/N] ").and_then(|()| output.flush()).map_err(Error::Terminal)?;
        let mut answer = String::new();
        let read = input.take(ANSWER_LIMIT).read_line(&mut answer).map_err(Error::Terminal)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" | "" => {
                if read == 0 {
                    let _ = writeln!(output);
                }
                return Ok(false);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_yes() {
        let cases = [("y\n", true), ("YES\n", true), ("n\n", false), ("\n", false), ("", false), ("what\ny\n", true)];
        for (typed, expected) in cases {
            let mut asked = Vec::new();
            assert_eq!(confirm("destroy `web`", &mut typed.as_bytes(), &mut asked).unwrap(), expected, "{typed:?}");
            assert!(asked.starts_with(b"destroy `web`? [y/N] "));
        }
    }
}
