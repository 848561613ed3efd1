//! What a box may hold, and what it is refused for.

use std::fs;

use vbox_rs::boxes::{AddRequest, Limits, Query};
use vbox_rs::error::{Exit, Explain};

use crate::fault_server::{Reply, Server};
use crate::images::{LIBVIRT, gz, header, plain_box, qcow2, tar, with_backing_file, with_data_file};
use crate::world::{Home, patched, raw, request, request_url, sha256, told};

#[test]
fn a_box_is_told_by_its_content_whatever_its_name() {
    let image = qcow2(3 << 20);
    let metadata_last = tar(&[("box.img", &image), ("metadata.json", LIBVIRT)]);
    let second = tar(&[("metadata.json", br#"{"provider":"qemu","disks":[{"path":"a/d.img"}]}"#), ("a/d.img", &image)]);
    for (bytes, format, provider) in [
        (plain_box(3 << 20), "qcow2", "libvirt"),
        (metadata_last, "qcow2", "libvirt"),
        (gz(&second), "qcow2", "qemu"),
        (image.clone(), "qcow2", "qemu"),
        (gz(&image), "qcow2", "qemu"),
        (raw(), "raw", "qemu"),
    ] {
        let home = Home::new();
        let installed = home.add_file("my thing.zip", &bytes).unwrap();
        let manifest = &installed.manifest;
        assert_eq!((manifest.disks[0].format.as_str(), manifest.provider.as_str()), (format, provider));
        assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("my thing.zip", "0"));
        let expected = if format == "raw" { raw() } else { image.clone() };
        assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), expected);
        assert_eq!(manifest.disks[0].sha256, sha256(&expected));
        assert_eq!(home.files().len(), 2, "a disk and a manifest: {:?}", home.files());
        assert_eq!(home.library.list().unwrap().boxes, [installed]);
    }
}

#[test]
fn a_box_of_ours_brings_name_version_kernel_and_info() {
    let home = Home::new();
    let metadata = br#"{"provider":"libvirt","architecture":"x86_64","vbox_rs":{"name":"debian/bookworm64",
        "version":"12.20260101.0","kernel":"vmlinuz","initrd":"initrd.img","cmdline":"root=x ro","seed":true,"user":"vagrant"}}"#;
    let bytes = gz(&tar(&[
        ("metadata.json", metadata),
        ("info.json", br#"{"author":"me"}"#),
        ("box.img", &qcow2(1000)),
        ("vmlinuz", b"kernel"),
        ("initrd.img", b"initrd"),
    ]));
    let installed = home.add_file("x.box", &bytes).unwrap();
    let boot = installed.direct_boot().unwrap();
    assert_eq!(fs::read(boot.kernel).unwrap(), b"kernel");
    assert_eq!(fs::read(boot.initrd.unwrap()).unwrap(), b"initrd");
    assert_eq!(installed.manifest.info.as_ref().unwrap()["author"], "me");
    let query = |version, architecture| {
        let query = Query { name: "debian/bookworm64", version, architecture, ..Query::default() };
        home.library.find(&query).unwrap().is_some()
    };
    assert!(query(Some("~> 12.0"), Some("amd64")) && query(None, None) && query(Some(">= 12, < 13"), Some("x86_64")));
    assert!(!query(Some("~> 11.0"), None) && !query(None, Some("arm64")));
}

#[test]
fn the_newest_version_that_fits_is_found() {
    let home = Home::new();
    let file = home.write("a.qcow2", &qcow2(1000));
    for version in ["1.2", "1.10", "2.0"] {
        let version = Some(version.to_owned());
        home.add(&AddRequest { name: Some("a/b".into()), version, ..request(&file) }).unwrap();
    }
    let find = |version| {
        let found = home.library.find(&Query { name: "a/b", version, ..Query::default() }).unwrap();
        found.map(|installed| installed.manifest.version.to_string())
    };
    assert_eq!(find(Some("~> 1.0")).as_deref(), Some("1.10"));
    assert_eq!(find(None).as_deref(), Some("2.0"));
    assert_eq!(find(Some("> 2")), None);
    assert_eq!(home.files().len(), 4, "three manifests share one disk");
}

#[test]
fn a_bad_box_is_refused_with_the_reason_and_leaves_nothing() {
    use tar::EntryType;
    let image = qcow2(70_000);
    let good = plain_box(70_000);
    let odd = |kind, name: &[u8]| {
        let mut bytes = header(kind, name, 0).as_bytes().to_vec();
        bytes.extend([0; 1024]);
        gz(&bytes)
    };
    let with_image = |image: &[u8]| gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", image)]));
    let zeros = {
        let mut bytes = tar(&[("metadata.json", LIBVIRT)]);
        bytes.truncate(1024);
        bytes.extend(header(EntryType::Regular, b"box.img", 100 << 30).as_bytes());
        bytes.extend(&image);
        gz(&bytes)
    };
    let mut trailing = good.clone();
    trailing.extend(b"more");
    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0xff;
    let disks = br#"{"provider":"libvirt","disks":[]}"#;
    for (bytes, why) in [
        (odd(EntryType::Regular, b"../x"), "leads out of the box's folder"),
        (odd(EntryType::Regular, b"/etc/passwd"), "absolute path"),
        (odd(EntryType::Symlink, b"box.img"), "a symbolic link"),
        (odd(EntryType::Link, b"box.img"), "a hard link"),
        (odd(EntryType::Block, b"box.img"), "a device"),
        (odd(EntryType::Char, b"box.img"), "a device"),
        (odd(EntryType::Fifo, b"box.img"), "a pipe"),
        (gz(&tar(&[("metadata.json", LIBVIRT), ("./metadata.json", LIBVIRT)])), "holds `metadata.json` twice"),
        (zeros, "85899345920 are accepted"),
        (gz(&tar(&[("README", b"x")])), "no metadata.json"),
        (gz(&tar(&[("a.img", &image), ("b.img", &image)])), "holds the disk images a.img, b.img"),
        (gz(&tar(&[("metadata.json", b"{"), ("box.img", &image)])), "metadata.json is broken"),
        (
            gz(&tar(&[("metadata.json", &vec![b' '; 300_000]), ("box.img", &image)])),
            "its metadata.json has 262145 bytes",
        ),
        (
            gz(&tar(&[("metadata.json", br#"{"provider":"parallels"}"#)])),
            "made for parallels; vbox-rs runs boxes for: libvirt, qemu, virtualbox",
        ),
        (gz(&tar(&[("metadata.json", disks)])), "0 disks"),
        (gz(&tar(&[("metadata.json", LIBVIRT)])), "does not hold `box.img`"),
        (gz(&tar(&[("metadata.json", LIBVIRT), ("info.json", b"[]"), ("box.img", &image)])), "info.json is broken"),
        (with_image(b"#!/bin/sh"), "not a disk image"),
        (with_image(&with_backing_file("/etc/shadow")), "needs a backing file, `/etc/shadow`"),
        (with_image(&with_data_file()), "external data file"),
        (patched(32, &1u32.to_be_bytes()), "encrypted"),
        (patched(24, &u64::MAX.to_be_bytes()), "virtual size"),
        (good[..good.len() / 2].to_vec(), "cut off"),
        (trailing, "data behind its end"),
        (changed, "damaged"),
        (Vec::new(), "it is empty"),
        (b"<!DOCTYPE html><html>".to_vec(), "a web page"),
        (b"PK\x03\x04 and so on".to_vec(), "cut off"),
        (b"7z\xbc\xaf\x27\x1c".to_vec(), "a 7z archive"),
        (b"{\"name\":\"x\"}".to_vec(), "a JSON document"),
        ([raw(), vec![1; 100]].concat(), "not a multiple of 512"),
    ] {
        Home::new().refuses("x.box", &bytes, why);
    }
}

#[test]
fn sizes_are_bounded_although_zeros_take_no_space() {
    let home = Home::new();
    let image = [qcow2(1000), vec![0; 3 << 20]].concat();
    let limits = Limits { file: 1 << 20, ..Limits::default() };
    for bytes in [gz(&image), gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", &image)]))] {
        let file = home.write("x.box", &bytes);
        let error = home.add(&AddRequest { limits: limits.clone(), ..request(&file) }).unwrap_err();
        assert!(told(error).0.contains("1048576 are accepted"));
        home.assert_empty("too large");
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused_before_any_work() {
    let home = Home::new();
    let file = home.write("x.qcow2", &qcow2(1000));
    let base = request(&file);
    let text = |text: &str| Some(text.to_owned());
    for (request, exit, why) in [
        (AddRequest { name: text("a\nb"), ..base.clone() }, Exit::Usage, "control characters"),
        (AddRequest { version: text("latest"), ..base.clone() }, Exit::Usage, "not a version"),
        (AddRequest { checksum: text("md5:abc"), ..base.clone() }, Exit::Usage, "not a checksum"),
        (AddRequest { provider: text("parallels"), ..base.clone() }, Exit::Usage, "no boxes for `parallels`"),
        (AddRequest { source: "ftp://u:secret@x/y".into(), ..base.clone() }, Exit::Usage, "not from `ftp`"),
        (AddRequest { source: "debian/nothing".into(), ..base.clone() }, Exit::BoxNotFound, "there is no file"),
        (AddRequest { source: "/".into(), ..base.clone() }, Exit::Usage, "not a file"),
    ] {
        let (message, code) = told(home.add(&request).unwrap_err());
        assert!(message.contains(why) && !message.contains("secret"), "{message}");
        assert_eq!(code, exit, "{message}");
        home.assert_empty(why);
    }
}

#[test]
fn a_wrong_checksum_keeps_nothing_and_a_right_one_is_recorded() {
    let bytes = plain_box(2 << 20);
    let content = bytes.clone();
    let server = Server::start(move |request, _| Reply::file(request, &content, "\"a\""));
    let home = Home::new();
    let file = home.write("x.box", &bytes);
    // A download that ends too early is told by its checksum, not by what the damage looks like.
    let cut = home.write("cut.box", &bytes[..1 << 20]);
    for base in [request(&file), request(&cut), request_url(&server, "/x.box")] {
        let checksum = Some("0".repeat(64));
        let error = home.add(&AddRequest { checksum, ..base }).unwrap_err();
        assert_eq!(error.exit(), Exit::Checksum, "{error}");
        home.assert_empty("wrong checksum");
    }
    let checksum = Some(sha256(&bytes).to_uppercase());
    let installed = home.add(&AddRequest { checksum, ..request_url(&server, "/x.box") }).unwrap();
    assert_eq!(installed.manifest.checksum, Some(format!("sha256:{}", sha256(&bytes))));
}
