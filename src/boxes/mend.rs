//! Commands for people: what brings a box again.

use std::path::Path;

use super::build;
use super::manifest::Manifest;

/// The command that adds a box once more. Its content comes under the same names, so machines that stand on it go on.
pub(super) fn add_again(manifest: &Manifest) -> String {
    let Manifest { name, version, source, checksum, .. } = manifest;
    // `box build` adds a file that it removes afterwards.
    if build::recipe(name).is_ok() && Path::new(source).is_absolute() && !Path::new(source).exists() {
        return format!("vbox-rs box build {}", quoted(name));
    }
    let checksum = checksum.as_ref().map(|sum| format!("--checksum {sum} ")).unwrap_or_default();
    format!("vbox-rs box add --force --name {} --box-version {version} {checksum}{}", quoted(name), quoted(source))
}

/// A word for the shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    let shown: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("'{}'", shown.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for (word, expected) in [
            ("a/b-1.0_x", "a/b-1.0_x"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("a\x1b[2J", "'a?[2J'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
