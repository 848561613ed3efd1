//! The binary: parse, run, map the error to an exit code.
//!
//! Rust's start-up code ignores SIGPIPE, and it stays so: a reader that goes away (`| head`) shows as an error of the
//! write, which `ui` takes for success, and never kills us in the middle of work. Children get the default back.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(vbox_rs::cli::main(std::env::args_os()))
}
