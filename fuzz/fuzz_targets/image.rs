#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::images::{self, vmdk::Descriptor};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = images::inspect(&bytes) {
        assert!(image.virtual_size <= images::MAX_VIRTUAL_SIZE);
    }
    let _ = Descriptor::parse(bytes);
});
