//! Copies a file or folder into the guest, where Vagrant would put it.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::folders::posix;
use crate::guest::quote;

/// A path in the guest as a word of its shell: `~` is the login user's home, and relative paths start there.
pub fn guest_path(path: &str) -> String {
    let home = |rest: &str| if rest.is_empty() { "\"$HOME\"".into() } else { format!("\"$HOME\"/{}", quote(rest)) };
    match path.strip_prefix('~') {
        Some("") => home(""),
        Some(rest) if rest.starts_with('/') => home(rest.trim_start_matches('/')),
        Some(rest) => match rest.split_once('/').unwrap_or((rest, "")) {
            (user, rest) if is_user(user) => format!("~{user}/{}", quote(rest)),
            _ => home(path),
        },
        None if path.starts_with('/') => quote(path),
        None => home(path),
    }
}

fn is_user(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && !name.starts_with('-')
}

/// Reads a file of `size` bytes from standard input. A destination that is a folder, or ends with a slash, gets the file under its own
/// name. It appears whole or not at all.
pub fn file_command(source: &Path, destination: &str, mode: u32, size: u64) -> String {
    let name = quote(&source.file_name().unwrap_or_default().to_string_lossy());
    let path = guest_path(destination);
    let folder = if destination.ends_with('/') || destination.is_empty() { ":" } else { "[ -d \"$t\" ]" };
    posix(&format!(
        "t={path}; if {folder}; then t=${{t%/}}/{name}; fi; p=${{t%/*}}; mkdir -p -- \"${{p:-/}}\" && \
         n=$(mktemp \"$t.XXXXXX\") || exit 1; trap 'rm -f \"$n\"' EXIT; trap 'exit 129' HUP INT TERM PIPE; \
         cat >\"$n\" && {{ [ $(wc -c <\"$n\") -eq {size} ] || \
         {{ echo 'the file changed or was cut off while it was copied' >&2; exit 1; }}; }} && chmod {:o} \"$n\" && mv -f -- \"$n\" \"$t\"",
        mode & 0o777
    ))
}

/// Unpacks an archive from standard input. As in Vagrant, the folder's content goes into the destination; the folder
/// itself does where the destination ends with a slash, unless the source ends with `/.`.
pub fn folder_command(source: &Path, destination: &str) -> String {
    let content = !destination.ends_with('/') || source.as_os_str().as_bytes().ends_with(b"/.");
    let path = guest_path(destination);
    let path = match source.file_name() {
        Some(name) if !content => format!("{path}/{}", quote(&name.to_string_lossy())),
        _ => path,
    };
    // `-o`: what is unpacked belongs to whom unpacks it.
    // A guest whose clock is a second behind would have GNU tar complain of every file.
    posix(&format!(
        "t={path}; case $(tar --help 2>&1) in *--warning*) w=--warning=no-timestamp ;; *) w= ;; esac; \
         mkdir -p -- \"$t\" && exec tar $w -xpof - -C \"$t\""
    ))
}

/// Permission bits of a file.
pub fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_guest_start_at_home() {
        for (path, word) in [
            ("/etc/x y", "'/etc/x y'"),
            ("~", "\"$HOME\""),
            ("~/a b", "\"$HOME\"/'a b'"),
            ("a/b", "\"$HOME\"/a/b"),
            ("~bob/x", "~bob/x"),
            ("~$(rm)/x", "\"$HOME\"/'~$(rm)/x'"),
        ] {
            assert_eq!(guest_path(path), word);
        }
    }
}
