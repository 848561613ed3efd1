#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::sums::find;

fuzz_target!(|text: &str| {
    let (file, rest) = text.split_once('\n').unwrap_or(("x.img", text));
    let _ = find(rest, file);
});
