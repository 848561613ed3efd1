//! Runs a script in the guest, in one command: it arrives on standard input, lies in a private temporary folder while it
//! runs, and is removed. Arguments and environment travel with it, so they are in no process list but the script's own.

use crate::config::spec::ShellProvisioner;
use crate::folders::posix;
use crate::guest::quote;

/// The first bytes of a program for Linux.
const ELF: &[u8] = b"\x7fELF";

/// Ends the part of standard input that sets the stage. Our own lines never look like it, see [`stage`].
const DIVIDER: &str = "#vbox-rs-script";

/// The command for a script of `size` bytes; a part of a script is never run.
///
/// `read` takes single bytes from a pipe, so `cat` gets exactly what follows the divider.
pub fn command(privileged: bool, size: usize) -> String {
    let root = if privileged { "[ \"$(id -u)\" = 0 ] || s='sudo -n -E -H'; " } else { "" };
    posix(&format!(
        "u=$(umask); umask 077; d=$(mktemp -d \"${{TMPDIR:-/tmp}}/vbox-rs.XXXXXX\") || exit 1; \
         trap 'rm -rf \"$d\"' EXIT; trap 'exit 129' HUP INT TERM PIPE; \
         while IFS= read -r l; do [ \"$l\" = '{DIVIDER}' ] && break; printf '%s\\n' \"$l\"; done >\"$d/stage\" && \
         cat >\"$d/script\" && chmod 700 \"$d/script\" || exit 1; \
         [ $(wc -c <\"$d/script\") -eq {size} ] || exit 1; s=; {root}b=sh; command -v bash >/dev/null 2>&1 && b=bash; \
         umask \"$u\"; $s $b -l \"$d/stage\" </dev/null"
    ))
}

/// What the command reads: the stage (a script of ours that sets the environment and runs theirs), the divider, the
/// script.
pub fn input(shell: &ShellProvisioner, script: &[u8]) -> Vec<u8> {
    let mut input = stage(shell, script).into_bytes();
    input.extend_from_slice(DIVIDER.as_bytes());
    input.push(b'\n');
    input.extend_from_slice(script);
    input
}

fn stage(shell: &ShellProvisioner, script: &[u8]) -> String {
    let mut lines = vec!["f=${0%/*}/script".to_owned()];
    lines.extend(shell.env.iter().map(|(name, value)| format!("export {name}={}", word(value))));
    let file_and_args: Vec<String> =
        ["\"$f\"".to_owned()].into_iter().chain(shell.args.iter().map(|arg| word(arg))).collect();
    let run = file_and_args.join(" ");
    lines.push(match runner(script) {
        Runner::Itself => format!("exec {run}"),
        Runner::Interpreter(words) => {
            let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
            format!("exec {} {run}", words.join(" "))
        }
        Runner::Shell => format!("if command -v bash >/dev/null 2>&1; then exec bash {run}; fi; exec sh {run}"),
    });
    lines.push(String::new());
    lines.join("\n")
}

/// Quotes, and keeps the divider from standing on a line of its own in a value of several lines.
fn word(text: &str) -> String {
    quote(text).replace(DIVIDER, "#''vbox-rs-script")
}

/// Who runs a script.
#[derive(Debug, PartialEq, Eq)]
enum Runner {
    /// The kernel: it is a program.
    Itself,
    /// What its first line names. We start it as the kernel would, so it works where `/tmp` is mounted `noexec`.
    Interpreter(Vec<String>),
    /// bash, or sh where there is none.
    Shell,
}

fn runner(script: &[u8]) -> Runner {
    if script.starts_with(ELF) {
        return Runner::Itself;
    }
    let Some(line) = script.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next()) else {
        return Runner::Shell;
    };
    // As the kernel divides it: the interpreter, and all the rest as one argument (`execve(2)`).
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    let (program, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if program.is_empty() {
        return Runner::Shell;
    }
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    Runner::Interpreter([Some(program), argument].into_iter().flatten().map(Into::into).collect())
}

/// Whether the name of a variable is one that every shell takes.
pub fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A script that was written on Windows, with the ends of lines that a shell understands; `None` when there is nothing
/// to do.
pub fn without_carriage_returns(script: &[u8]) -> Option<Vec<u8>> {
    if script.starts_with(ELF) || !script.windows(2).any(|pair| pair == b"\r\n") {
        return None;
    }
    let mut out = Vec::with_capacity(script.len());
    for (at, &byte) in script.iter().enumerate() {
        if byte != b'\r' || script.get(at + 1) != Some(&b'\n') {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_who_runs_it() {
        let interpreter = |words: &[&str]| Runner::Interpreter(words.iter().map(|&w| w.into()).collect());
        for (script, expected) in [
            (&b"echo"[..], Runner::Shell),
            (b"", Runner::Shell),
            (b"#!\n", Runner::Shell),
            (b"#!/bin/sh", interpreter(&["/bin/sh"])),
            (b"#! /usr/bin/env python3\nprint()", interpreter(&["/usr/bin/env", "python3"])),
            (b"#!/bin/bash -e -u \n", interpreter(&["/bin/bash", "-e -u"])),
            (b"\x7fELF...", Runner::Itself),
        ] {
            assert_eq!(runner(script), expected, "{}", String::from_utf8_lossy(script));
        }
    }

    #[test]
    fn only_ends_of_lines_lose_their_carriage_return() {
        assert_eq!(without_carriage_returns(b"a\r\nb\rc\r\n").unwrap(), b"a\nb\rc\n");
        assert_eq!(without_carriage_returns(b"a\nb\r"), None);
        assert_eq!(without_carriage_returns(b"\x7fELF\r\n"), None);
    }

    #[test]
    fn names_of_variables_are_checked() {
        for (name, fine) in [("PATH", true), ("_x1", true), ("1x", false), ("", false), ("a b", false), ("A;rm", false)]
        {
            assert_eq!(is_variable(name), fine, "{name}");
        }
    }

    #[test]
    fn the_command_holds_nothing_of_the_script() {
        assert!(command(true, 1).contains("sudo -n -E -H"));
        assert!(!command(false, 1).contains("sudo"));
    }
}
