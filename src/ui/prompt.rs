//! Questions.

use std::io::{BufRead, Read, Write};

use super::{Error, text};

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

/// Asks until the answer is the number or the name of one of `among`; `None` for an empty line or the end of input.
pub(super) fn choose(
    question: &str,
    among: &[String],
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<Option<usize>, Error> {
    for (place, name) in among.iter().enumerate() {
        writeln!(output, "  {}) {}", place + 1, text::neutral(name, false)).map_err(Error::Terminal)?;
    }
    loop {
        write!(output, "{question}? [1-{}] ", among.len()).and_then(|()| output.flush()).map_err(Error::Terminal)?;
        let mut answer = String::new();
        let read = input.take(ANSWER_LIMIT).read_line(&mut answer).map_err(Error::Terminal)?;
        let answer = answer.trim();
        if answer.is_empty() {
            if read == 0 {
                let _ = writeln!(output);
            }
            return Ok(None);
        }
        let number = answer.parse().ok().and_then(|number: usize| number.checked_sub(1));
        let named = among.iter().position(|name| name == answer);
        if let Some(place) = named.or(number.filter(|place| *place < among.len())) {
            return Ok(Some(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_is_chosen_by_its_number_or_its_name() {
        let among = ["eth0".to_owned(), "wlan0".to_owned()];
        for (typed, expected) in
            [("2\n", Some(1)), ("eth0\n", Some(0)), ("\n", None), ("", None), ("0\n3\nx\n1\n", Some(0))]
        {
            let mut asked = Vec::new();
            assert_eq!(choose("which", &among, &mut typed.as_bytes(), &mut asked).unwrap(), expected, "{typed:?}");
            assert!(asked.starts_with(b"  1) eth0\n  2) wlan0\nwhich? [1-2] "));
        }
    }

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
