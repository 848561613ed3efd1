//! Boxes as OCI image layouts: what `package --format oci` writes comes back, goes into a registry as it is, and is
//! refused where it was tampered with. Layouts of other tools are read where they hold a box or an image.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vbox_rs::boxes::package::{Destination, Disk, Extras, Format, Machine, Wanted, write};
use vbox_rs::boxes::{AddRequest, Hardware, Installed};
use vbox_rs::error::Exit;
use vbox_rs::progress::Cx;

use crate::archives::{content, image};
use crate::conversion::raw;
use crate::images::tar;
use crate::oci_registry::{Registry, pull, push};
use crate::world::{Home, request, sha256, told};

const OURS: &str = r#"{"provider":"libvirt","vbox_rs":{"kernel":"vmlinuz","initrd":"initrd.img","cmdline":"root=x ro",
    "seed":true,"user":"admin"}}"#;

/// A machine of a box with a kernel, as a layout. What its disk holds; the layout's file.
fn packed(home: &Home) -> Option<(Vec<u8>, PathBuf)> {
    let content = content(4 << 20);
    let image = image(&content, "qcow2", "")?;
    let parts: &[(&str, &[u8])] =
        &[("metadata.json", OURS.as_bytes()), ("box.img", &image), ("vmlinuz", b"kernel"), ("initrd.img", b"initrd")];
    let installed = home.add_file("base.box", &tar(parts)).unwrap();
    let target = home.dir.path().join("web.oci.tar");
    let scratch = home.dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let machine = machine(&installed);
    let version = "1.2".parse().unwrap();
    let to = Destination {
        path: &target,
        replace: false,
        format: Format::Oci,
        name: Some("me/web"),
        version: Some(&version),
        scratch: &scratch,
    };
    let wanted = Wanted {
        include: vec![home.write("README.md", b"read me\n")],
        vagrantfile: Some(home.write("defaults.rb", b"# mine\n")),
        info: None,
    };
    let written = write(&Cx::silent(), &machine, Extras::read(&wanted).unwrap(), &to).unwrap();
    let bytes = fs::read(&target).unwrap();
    assert_eq!((written.size, written.sha256), (bytes.len() as u64, sha256(&bytes)));
    Some((content, target))
}

fn machine(installed: &Installed) -> Machine<'_> {
    let stored = &installed.manifest.disks[0];
    let disk = Disk {
        path: installed.disk_paths().remove(0),
        format: stored.format.clone(),
        virtual_size: stored.virtual_size,
    };
    Machine {
        manifest: &installed.manifest,
        boot: installed.direct_boot(),
        disks: vec![disk],
        user: "admin",
        hardware: Hardware { cpus: Some(3), ..Hardware::default() },
        size: (2, 512),
        mac: "52:54:00:00:00:01".into(),
    }
}

/// Names and contents of an archive, in its order.
fn entries(file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(file).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

/// What a box of the library brings beside its machine, as `box repackage` writes it.
pub fn brought(home: &Home, installed: &Installed) -> Vec<(String, String)> {
    let target = home.dir.path().join("again.box");
    home.library.repackage(&Cx::silent(), installed, &target, true).unwrap();
    let file = fs::File::open(target).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name == "Vagrantfile" || name.starts_with("include/") {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((name, text));
        }
    }
    found
}

fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&entries.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

#[test]
fn a_machine_packed_for_registries_comes_back_and_is_pushed_as_it_is() {
    let home = Home::new();
    let Some((content, layout)) = packed(&home) else { return };
    let all = entries(&layout);
    assert_eq!((all[0].0.as_str(), all[1].0.as_str()), ("oci-layout", "index.json"));
    for (name, bytes) in &all[2..] {
        assert_eq!(*name, format!("blobs/sha256/{}", sha256(bytes)));
    }
    let included = [("include/README.md", "read me\n"), ("include/_Vagrantfile", "# mine\n")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
    let index: Value = serde_json::from_slice(&all[1].1).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.2");
    // Other tools put what tells about the blobs behind them.
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    for (how, bytes) in [("as written", fs::read(&layout).unwrap()), ("reversed", archive(&reversed))] {
        let other = Home::new();
        let installed = other.add_file("web.tar", &bytes).unwrap_or_else(|e| panic!("{how}: {}", told(e).0));
        let manifest = &installed.manifest;
        assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("me/web", "1.2"), "{how}");
        assert_eq!((manifest.seed, manifest.user.as_deref(), manifest.bare), (true, Some("admin"), false));
        assert_eq!((manifest.hardware.cpus, other.files().len()), (Some(3), 5), "disk, kernel, initrd, extras, record");
        let first = brought(&other, &installed);
        assert!(first[0].1.contains("load include_vagrantfile"), "{first:?}");
        assert_eq!(first[1..], included, "{how}");
        let boot = installed.direct_boot().unwrap();
        assert_eq!((fs::read(&boot.kernel).unwrap().as_slice(), boot.cmdline.as_str()), (&b"kernel"[..], "root=x ro"));
        assert!(raw(&installed.disk_paths()[0], "qcow2") == content, "{how}");

        let Some(registry) = Registry::start(false) else { continue };
        push(&other, "me/web", &registry.reference("web")).unwrap();
        let third = Home::new();
        let pulled = pull(&third, &registry.reference("web")).unwrap();
        assert_eq!(brought(&third, &pulled), first, "by way of the registry");
        let there: Vec<String> = registry.blobs().iter().map(|path| sha256(&fs::read(path).unwrap())).collect();
        let layers = all.iter().filter(|(_, bytes)| bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        for (_, layer) in layers {
            assert!(there.contains(&sha256(layer)), "the registry has the layers of the layout");
        }
    }
}

#[test]
fn a_layout_that_was_tampered_with_is_refused_with_the_reason() {
    let home = Home::new();
    let Some((_, layout)) = packed(&home) else { return };
    let good = entries(&layout);
    let changed = |at: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut all = good.clone();
        change(&mut all[at].1);
        archive(&all)
    };
    let without = |at: usize| {
        let mut all = good.clone();
        all.remove(at);
        archive(&all)
    };
    let json_of = |value: Value| {
        let text = value.to_string().into_bytes();
        changed(1, &|bytes| bytes.clone_from(&text))
    };
    let digest = format!("sha256:{}", sha256(&good[2].1));
    let entry = |size: usize| json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size });
    let last = good.len() - 1;
    for (bytes, why) in [
        (without(1), "does not hold `index.json`"),
        (without(2), "does not hold `blobs/sha256/"),
        (without(3), "does not hold `blobs/sha256/"),
        (without(last), "does not hold `blobs/sha256/"),
        (changed(2, &|bytes| bytes.push(b' ')), "has other content than its name says"),
        (changed(last, &|bytes| bytes[8] ^= 1), "has other content than its name says"),
        (changed(1, &|bytes| bytes.truncate(9)), "its OCI image layout is refused"),
        (json_of(json!({ "schemaVersion": 2, "manifests": [entry(1)] })), "has other content than its name says"),
        (json_of(json!({ "schemaVersion": 2, "manifests": [] })), "has: nothing"),
        (json_of(json!({ "schemaVersion": 1, "manifests": [] })), "version 1 of the schema"),
    ] {
        let other = Home::new();
        let Err(error) = other.add_file("web.tar", &bytes) else { panic!("{why}: it was taken") };
        let (message, exit) = told(error);
        assert!(message.contains(why), "{why}: {message}");
        assert!(matches!(exit, Exit::BoxRefused | Exit::BoxNotFound), "{message}: {exit:?}");
        other.assert_empty(why);
    }
    // The name that the user gives counts.
    let named = AddRequest { name: Some("mine".into()), ..request(&layout) };
    assert_eq!(home.add(&named).unwrap().manifest.name, "mine");
}
