//! `box repackage`: what comes out can be added again.

use std::fs;

use vbox_rs::boxes::{AddRequest, Error};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;

use crate::images::{gz, qcow2, tar};
use crate::world::{Home, raw, request, sha256};

#[test]
fn a_box_survives_the_way_out_and_in_again() {
    let home = Home::new();
    let metadata = br#"{"provider":"libvirt","architecture":"amd64","format":"qcow2","virtual_size":1,
        "vbox_rs":{"name":"me/box","version":"1.5","kernel":"k","initrd":"i","cmdline":"ro","seed":true,"user":"me"}}"#;
    let bytes = gz(&tar(&[
        ("metadata.json", metadata),
        ("info.json", br#"{"author":"me"}"#),
        ("box.img", &qcow2(3 << 20)),
        ("k", b"kernel"),
        ("i", b"initrd"),
    ]));
    let first = home.add_file("x.box", &bytes).unwrap();
    let (one, two) = (home.dir.path().join("one.box"), home.dir.path().join("two.box"));
    let packed = home.library.repackage(&Cx::silent(), &first, &one, false).unwrap();
    home.library.repackage(&Cx::silent(), &first, &two, false).unwrap();
    let written = fs::read(&one).unwrap();
    assert_eq!((packed.size, packed.sha256.clone()), (written.len() as u64, sha256(&written)));
    assert!(written == fs::read(&two).unwrap(), "the same bytes each time");
    let error = home.library.repackage(&Cx::silent(), &first, &one, false).unwrap_err();
    assert_eq!(error.exit(), Exit::Io, "a file that is there is replaced only when asked");
    home.library.repackage(&Cx::silent(), &first, &one, true).unwrap();

    let other = Home::new();
    let second = other.add(&AddRequest { checksum: Some(packed.sha256), ..request(&one) }).unwrap();
    let mut expected = first.manifest.clone();
    let found = second.manifest.clone();
    // What tells of the way here differs.
    (expected.source, expected.source_id, expected.added_at) =
        (found.source.clone(), found.source_id.clone(), found.added_at);
    (expected.checksum, expected.verified) = (found.checksum.clone(), found.verified.clone());
    assert_eq!(found, expected);
}

#[test]
fn a_bare_image_becomes_a_box_and_a_raw_one_is_refused() {
    let home = Home::new();
    let bare = home.add_version("me/bare", "0", &qcow2(1000));
    let target = home.dir.path().join("package.box");
    home.library.repackage(&Cx::silent(), &bare, &target, false).unwrap();
    let again = Home::new();
    let installed = again.add(&request(&target)).unwrap();
    assert_eq!((installed.manifest.name.as_str(), installed.manifest.provider.as_str()), ("me/bare", "qemu"));
    assert_eq!(installed.manifest.disks, bare.manifest.disks);

    let raw = home.add_version("me/raw", "0", &raw());
    let target = home.dir.path().join("raw.box");
    let error = home.library.repackage(&Cx::silent(), &raw, &target, false).unwrap_err();
    assert_eq!(error.to_string(), "the box `me/raw` has a disk in the format raw, and only qcow2 can be packed");
    assert!(error.hint().unwrap().contains("qemu-img convert") && !target.exists());
    home.remove(&bare).unwrap();
    let error = home.library.repackage(&Cx::silent(), &bare, &target, false).unwrap_err();
    assert!(matches!(error, Error::Gone { .. }));
}
