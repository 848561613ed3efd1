//! Any bytes as a publisher's signature, checked with a key that the seeds are signed with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::fuzzing::signature;

const KEY: &str = include_str!("../../tests/data/signatures/publisher.key");
const FINGERPRINT: &str = "0C409975EE15A4B1CFA64A6FE5A0AB86FD432823";

fuzz_target!(|bytes: &[u8]| signature(bytes, KEY, FINGERPRINT));
