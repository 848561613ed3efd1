//! Text for the guest's shell.

/// Quotes `text` for a POSIX shell. Words that need no quotes are left as they are.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command line that runs `script` with the guest's `sh`, whatever the login shell is.
pub(super) fn with_sh(script: &str) -> String {
    format!("exec sh -c {}", quote(script))
}

/// A command line that runs `script` as root with the guest's `sh`; without a password, or it fails at once.
pub(super) fn as_root(script: &str) -> String {
    let script = quote(script);
    with_sh(&format!("if [ \"$(id -u)\" = 0 ]; then exec sh -c {script}; else exec sudo -n -- sh -c {script}; fi"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_stay_readable_and_the_rest_is_quoted() {
        for (text, quoted) in [
            ("", "''"),
            ("abc", "abc"),
            ("/vagrant/a-b_c.d", "/vagrant/a-b_c.d"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }

    fn printed(line: &str) -> Vec<u8> {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_real_shell_reads_back_what_was_quoted(text in "[^\0]{0,40}") {
            let line = format!("printf %s {}", quote(&text));
            prop_assert_eq!(printed(&line), text.as_bytes());
            let nested = with_sh(&line);
            prop_assert_eq!(printed(&nested), text.as_bytes());
        }
    }
}
