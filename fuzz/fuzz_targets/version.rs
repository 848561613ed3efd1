#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::{Requirement, Version};

fuzz_target!(|text: &str| {
    let (left, right) = text.split_once('\n').unwrap_or((text, "1"));
    if let (Ok(requirement), Ok(version)) = (left.parse::<Requirement>(), right.parse::<Version>()) {
        let _ = requirement.matches(&version);
    }
});
