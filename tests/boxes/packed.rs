//! `box repackage`: what comes out can be added again.

use std::fs;
use std::process::{Command, Stdio};

use vbox_rs::boxes::{AddRequest, Error};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::Cx;

use crate::images::{LIBVIRT, gz, qcow2, tar};
use crate::layout::brought;
use crate::world::{Home, raw, request, sha256};

#[test]
fn a_box_survives_the_way_out_and_in_again() {
    let home = Home::new();
    let metadata = br#"{"provider":"libvirt","architecture":"amd64","format":"qcow2","virtual_size":1,
        "vbox_rs":{"name":"me/box","version":"1.5","kernel":"k","initrd":"i","cmdline":"ro","seed":true,"user":"me",
        "cloud_init":"modern","hardware":{"memory":768,"firmware":"uefi","nic":"e1000"}}}"#;
    let bytes = gz(&tar(&[
        ("metadata.json", metadata),
        ("info.json", br#"{"author":"me"}"#),
        ("box.img", &qcow2(3 << 20)),
        ("k", b"kernel"),
        ("i", b"initrd"),
        ("Vagrantfile", b"# defaults"),
        ("include/deep/er", b"mine"),
        ("other", b"not kept"),
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

    let included = [("Vagrantfile", "# defaults"), ("include/deep/er", "mine")];
    assert_eq!(brought(&home, &first), included.map(|(name, text)| (name.to_owned(), text.to_owned())));

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

/// As `vagrant package` writes it for a machine that has a key of its own.
#[test]
fn the_private_key_that_vagrant_packs_is_kept_and_passed_on() {
    const KEY: &[u8] = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let disk = qcow2(1 << 20);
    let with = |key: &[u8]| tar(&[("metadata.json", LIBVIRT), ("vagrant_private_key", key), ("box.img", &disk)]);
    let home = Home::new();
    let installed = home.add_file("keyed.box", &with(KEY)).unwrap();
    assert_eq!(installed.private_key().unwrap().as_deref(), Some(KEY));
    let target = home.write("unused", b"").with_file_name("again.box");
    home.library.repackage(&Cx::silent(), &installed, &target, false).unwrap();
    let other = Home::new();
    let again = other.add(&request(&target)).unwrap();
    assert_eq!(again.private_key().unwrap().as_deref(), Some(KEY));
    home.remove(&installed).unwrap();
    home.assert_empty("removed with its box");
    let large = [KEY, b"x".repeat(20_000).as_slice()].concat();
    for no_key in [&b"ssh-ed25519 AAAA"[..], b"", &large] {
        let other = Home::new();
        assert_eq!(other.add_file("odd.box", &with(no_key)).unwrap().private_key().unwrap(), None);
    }
}

#[test]
fn a_bare_image_becomes_a_box_a_raw_one_too() {
    let home = Home::new();
    let bare = home.add_version("me/bare", "0", &qcow2(1000));
    let target = home.dir.path().join("package.box");
    home.library.repackage(&Cx::silent(), &bare, &target, false).unwrap();
    let again = Home::new();
    let installed = again.add(&request(&target)).unwrap();
    assert_eq!((installed.manifest.name.as_str(), installed.manifest.provider.as_str()), ("me/bare", "qemu"));
    assert_eq!(installed.manifest.disks, bare.manifest.disks);

    // A disk in another format is converted.
    let raw = home.add_version("me/raw", "0", &raw());
    let target = home.dir.path().join("raw.box");
    home.library.repackage(&Cx::silent(), &raw, &target, false).unwrap();
    let installed = again.add(&request(&target)).unwrap();
    let (before, after) = (&raw.manifest.disks[0], &installed.manifest.disks[0]);
    assert_eq!((after.format.as_str(), after.virtual_size), ("qcow2", before.virtual_size));
    fs::remove_file(&target).unwrap();
    home.remove(&bare).unwrap();
    let error = home.library.repackage(&Cx::silent(), &bare, &target, false).unwrap_err();
    assert!(matches!(error, Error::Gone { .. }));
}

/// Vagrant itself adds what we write, and finds name, provider and disk in it.
#[test]
fn vagrant_adds_what_repackage_writes() {
    let folder = tempfile::tempdir().unwrap();
    let vagrant = |args: &[&str]| {
        let mut command = Command::new("vagrant");
        command.env("VAGRANT_HOME", folder.path().join("home")).env("VAGRANT_CHECKPOINT_DISABLE", "1");
        command.env("VAGRANT_CWD", folder.path()).args(args).stdin(Stdio::null()).output()
    };
    if let Err(error) = vagrant(&["--version"]) {
        println!("skipped: it takes vagrant ({error})");
        return;
    }
    let home = Home::new();
    let metadata = br#"{"provider":"libvirt","architecture":"amd64","format":"qcow2","virtual_size":1}"#;
    let vagrantfile = b"Vagrant.configure(\"2\") do |config|\n  config.ssh.username = \"me\"\nend\n";
    let image = qcow2(3 << 20);
    let boxed = gz(&tar(&[("metadata.json", metadata), ("Vagrantfile", vagrantfile), ("box.img", &image)]));
    let of_vagrant = home.add_file("x.box", &boxed).unwrap();
    let bare = home.add_version("me/bare", "0", &image);
    for (installed, name, provider) in [(of_vagrant, "me/box", "libvirt"), (bare, "me/bare", "qemu")] {
        let packed = folder.path().join(format!("{provider}.box"));
        home.library.repackage(&Cx::silent(), &installed, &packed, false).unwrap();
        let added = vagrant(&["box", "add", "--name", name, packed.to_str().unwrap()]).unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&[added.stdout, added.stderr].concat()));
        let listed = String::from_utf8(vagrant(&["box", "list", "--machine-readable"]).unwrap().stdout).unwrap();
        assert!(listed.contains(&format!("box-name,{name}\n")), "{listed}");
        assert!(listed.contains(&format!("box-provider,{provider}\n")), "{listed}");
        let stored =
            folder.path().join("home/boxes").join(name.replace('/', "-VAGRANTSLASH-")).join("0").join(provider);
        assert!(fs::read(stored.join("box.img")).unwrap() == image, "the disk is the same");
    }
}
