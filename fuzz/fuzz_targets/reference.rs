#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::Reference;

fuzz_target!(|text: &str| {
    let _ = Reference::name(text);
});
