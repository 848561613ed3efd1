#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::ovf::{Ovf, is_ovf};

fuzz_target!(|bytes: &[u8]| {
    let _ = is_ovf(bytes);
    let _ = Ovf::parse(bytes);
});
