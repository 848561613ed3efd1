#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::defaults::Defaults;
use vbox_rs::boxes::vmx::{Vmx, is_vmx};

fuzz_target!(|bytes: &[u8]| {
    let _ = is_vmx(bytes);
    let _ = Vmx::parse(bytes);
    let _ = Defaults::parse(bytes, "virtualbox");
});
