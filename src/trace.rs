//! What `--debug` tells: programs that are run, talk with the hypervisor's monitor, times. Anybody may tell; nobody hears
//! it until `ui` listens, and until then it costs a look at one value.

use std::process::Command;
use std::sync::OnceLock;

type Listener = Box<dyn Fn(&str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// From now on `listener` hears every line. The first one stays.
pub fn listen(listener: impl Fn(&str) + Send + Sync + 'static) {
    drop(LISTENER.set(Box::new(listener)));
}

/// One line, made only where somebody listens.
pub fn tell(line: impl FnOnce() -> String) {
    if let Some(listener) = LISTENER.get() {
        listener(&line());
    }
}

/// A program that is about to be run. Its environment is not told: secrets belong there.
pub fn command(command: &Command) {
    tell(|| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| shown(&word.to_string_lossy())).collect();
        format!("run {}", words.join(" "))
    });
}

/// As a shell would read it, without the password of a URL.
fn shown(word: &str) -> String {
    quoted(&without_password(word))
}

/// As a shell takes it whole.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn without_password(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.into() };
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_read_it() {
        for (word, expected) in [
            ("-drive", "-drive"),
            ("", "''"),
            ("it's a $HOME", r"'it'\''s a $HOME'"),
            ("https://me:secret@host/p@th", "https://host/p@th"),
            ("deb=http://host/x", "deb=http://host/x"),
        ] {
            assert_eq!(shown(word), expected);
        }
    }
}
