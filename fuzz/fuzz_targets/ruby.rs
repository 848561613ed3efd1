//! Any text as a machine file in Ruby: no panic, no hang, no more memory than the bounds allow.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vbox_rs::config;

fuzz_target!(|text: &str| {
    // There is no such folder: no file of the project can be read, and nothing of ours is.
    config::run_ruby(text, Path::new("/nowhere/project"));
});
