#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::qcow2::Header;

fuzz_target!(|bytes: &[u8]| {
    let _ = Header::parse(bytes);
});
