//! Names of boxes: any text that a user gives, turned into one safe file name and back.

use super::Error;

/// File names have at most 255 bytes on Linux.
const ENCODED_LIMIT: usize = 240;

/// Every byte but `A-Z a-z 0-9 _ -`, and `.` behind the first byte, becomes `%` and two digits: no name can leave its
/// folder, hide, or meet another name.
pub(super) fn encode(name: &str) -> Result<String, Error> {
    let bad = |why| Err(Error::Name { name: printable(name), why });
    if name.is_empty() {
        return bad("it is empty");
    }
    if name.chars().any(char::is_control) {
        return bad("it holds control characters");
    }
    let mut text = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || byte == b'.' && at > 0;
        if plain {
            text.push(byte.into());
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16).map(|c| c.to_ascii_uppercase()));
            }
        }
    }
    if text.len() > ENCODED_LIMIT { bad("it is too long") } else { Ok(text) }
}

/// The name behind a file name; `None` for what [`encode`] never writes.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(first);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name).ok()? == text).then_some(name)
}

/// Text from outside, fit for a terminal: no control characters, not long.
pub(super) fn printable(text: &str) -> String {
    let mut clean: String = text.chars().take(120).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(120).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_safe_file_names() {
        for (name, file) in [
            ("debian/bookworm64", "debian%2Fbookworm64"),
            ("..", "%2E."),
            ("../../etc", "%2E.%2F..%2Fetc"),
            (".hidden", "%2Ehidden"),
            ("a:b c%", "a%3Ab%20c%25"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(encode(name).unwrap(), file);
            assert_eq!(decode(file).as_deref(), Some(name));
        }
        for name in ["", "a\nb", "a\0", &"/".repeat(100)] {
            assert!(encode(name).is_err(), "{name:?}");
        }
        for file in ["%", "%2", "%zz", "a/b", "%61", ".x", "%FF", "%2f"] {
            assert_eq!(decode(file), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn encoding_is_reversible_and_stays_in_its_folder(name in "\\PC{1,60}") {
            if let Ok(file) = encode(&name) {
                prop_assert!(!file.contains('/') && !file.starts_with('.'));
                prop_assert_eq!(decode(&file), Some(name));
            }
        }

        #[test]
        fn any_file_name_is_read_or_refused(file in ".{0,40}") {
            let _ = decode(&file);
        }
    }
}
