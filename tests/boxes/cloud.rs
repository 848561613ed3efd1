//! Which boxes are given a seed.

use vbox_rs::boxes::CloudInit;

use crate::images::{gz, plain_box, qcow2, tar};
use crate::world::{Home, raw};

#[test]
fn a_bare_image_gets_a_seed_and_a_box_of_vagrants_none() {
    let ours = |more: &str| {
        let metadata = format!(r#"{{"provider":"libvirt","vbox_rs":{{"name":"x"{more}}}}}"#);
        gz(&tar(&[("metadata.json", metadata.as_bytes()), ("box.img", &qcow2(1000))]))
    };
    for (bytes, seed, cloud_init) in [
        (qcow2(1000), false, Some(CloudInit::Modern)),
        (raw(), false, Some(CloudInit::Modern)),
        (plain_box(1000), false, None),
        (ours(r#","seed":true"#), true, None),
        (ours(r#","cloud_init":"old""#), false, Some(CloudInit::Old)),
    ] {
        let manifest = Home::new().add_file("x", &bytes).unwrap().manifest;
        assert_eq!((manifest.seed, manifest.cloud_init), (seed, cloud_init));
    }
    let refused = Home::new().add_file("x", &ours(r#","cloud_init":"later""#)).unwrap_err();
    assert!(vbox_rs::error::Failure::from(refused).chain().contains("metadata.json is broken"));
}
