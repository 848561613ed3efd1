use std::fs;

use super::*;
use crate::boxes::{DiskBus, Firmware};
use crate::error::{Exit, Explain};

fn manifest() -> Manifest {
    let text = r#"{"name":"me/old","version":"3","provider":"qemu","architecture":null,"disks":[],"boot":null,"seed":true,
        "user":"vagrant","source":"x","source_id":"x","checksum":null,"added_at":0,"info":{"old":1}}"#;
    serde_json::from_str(text).unwrap()
}

fn machine(manifest: &Manifest) -> Machine<'_> {
    let disk = Disk { path: "/d".into(), format: "qcow2".into(), virtual_size: (10 << 30) - 5 };
    Machine {
        manifest,
        boot: None,
        disks: vec![disk],
        user: "vagrant",
        hardware: Hardware::default(),
        size: (2, 1024),
        mac: "52:54:00:dd:ee:ff".into(),
    }
}

fn to(format: Format) -> Destination<'static> {
    let path = Path::new("/x.box");
    Destination { path, replace: false, format, name: None, version: None, scratch: Path::new("/") }
}

#[test]
fn the_metadata_is_what_vagrant_libvirt_reads_and_names_nothing_that_the_user_did_not_name() {
    let manifest = manifest();
    let about = metadata(&machine(&manifest), &to(Format::Libvirt), &["box.img".into()]);
    assert_eq!(
        (&about["provider"], &about["format"], &about["virtual_size"]),
        (&"libvirt".into(), &"qcow2".into(), &10.into())
    );
    assert!(about["architecture"].is_string());
    assert_eq!(about["vbox_rs"], json!({ "seed": true, "user": "vagrant" }));
    let version = "1.2.0".parse().unwrap();
    let named = Destination { name: Some("me/new"), version: Some(&version), ..to(Format::Libvirt) };
    let about = metadata(&machine(&manifest), &named, &["box.img".into()]);
    assert_eq!(about["vbox_rs"], json!({ "name": "me/new", "version": "1.2.0", "seed": true, "user": "vagrant" }));
}

#[test]
fn a_vagrantfile_says_only_what_has_to_be_said() {
    let (mut manifest, none) = (manifest(), Extras::default());
    assert_eq!(vagrantfile::text(&machine(&manifest), Format::Libvirt, &none), None);
    let mut with = Extras::default();
    with.vagrantfile = true;
    let text = vagrantfile::text(&machine(&manifest), Format::Libvirt, &with).unwrap();
    assert!(text.contains("load include_vagrantfile") && !text.contains("configure"), "{text}");
    let text = vagrantfile::text(&Machine { user: "me", ..machine(&manifest) }, Format::Virtualbox, &none).unwrap();
    assert!(text.contains("  config.vm.base_mac = \"525400DDEEFF\"\n  config.ssh.username = \"me\"\nend"), "{text}");
    let hardware = Hardware { firmware: Some(Firmware::Uefi), ..Hardware::default() };
    let text = vagrantfile::text(&Machine { hardware, ..machine(&manifest) }, Format::Virtualbox, &none).unwrap();
    assert!(text.contains("\"--firmware\", \"efi\""), "{text}");
    manifest.hardware.mac = Some("080027000001".into());
    let text = vagrantfile::text(&Machine { user: "\"#{x}", ..machine(&manifest) }, Format::Libvirt, &none).unwrap();
    assert!(text.contains("base_mac") && !text.contains("username"), "{text}");
}

#[test]
fn a_virtualbox_box_describes_every_disk_and_its_controller() {
    let manifest = manifest();
    let mut machine = machine(&manifest);
    machine.disks.push(machine.disks[0].clone());
    machine.hardware.disk_bus = Some(DiskBus::Ide);
    let names = disk_names(Format::Virtualbox, 2);
    let text = ovf::describe(&machine, &names);
    for part in [
        "ovf:href=\"box-disk001.vmdk\"",
        "ovf:href=\"box-disk002.vmdk\"",
        "ovf:fileRef=\"file2\"",
        "<rasd:HostResource>/disk/vmdisk2</rasd:HostResource>",
        "<rasd:ResourceType>5</rasd:ResourceType>",
        "<rasd:VirtualQuantity>1024</rasd:VirtualQuantity>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(metadata(&machine, &to(Format::Virtualbox), &names)["provider"], "virtualbox");
}

#[test]
fn what_is_included_keeps_its_relative_name_and_an_absolute_one_its_last() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("certs/deep")).unwrap();
    fs::write(dir.path().join("certs/deep/a.pem"), "a").unwrap();
    fs::write(dir.path().join("info.json"), r#"{"author":"me"}"#).unwrap();
    fs::write(dir.path().join("defaults.rb"), "# x\n").unwrap();
    let wanted = Wanted {
        include: vec![dir.path().join("certs"), "Cargo.toml".into(), "./src/main.rs".into()],
        vagrantfile: Some(dir.path().join("defaults.rb")),
        info: Some(dir.path().join("info.json")),
    };
    let extras = Extras::read(&wanted).unwrap();
    let names: Vec<_> = extras.parts().unwrap().into_iter().map(|part| part.name).collect();
    assert_eq!(
        names,
        ["include/Cargo.toml", "include/_Vagrantfile", "include/certs/deep/a.pem", "include/src/main.rs"]
    );
    assert_eq!(extras.info.unwrap()["author"], "me");
}

#[test]
fn what_cannot_be_included_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    fs::create_dir(dir.path().join("linked")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("linked/x")).unwrap();
    let include = |path: &str| Wanted { include: vec![path.into()], ..Wanted::default() };
    let info = |path| Wanted { info: Some(path), ..Wanted::default() };
    let twice = Wanted { include: vec!["Cargo.toml".into(), "./Cargo.toml".into()], ..Wanted::default() };
    let binary = Wanted { vagrantfile: Some(write("binary", &[0xff])), ..Wanted::default() };
    for (wanted, exit, words) in [
        (include("gone.txt"), Exit::Usage, "cannot include gone.txt: there is no such file"),
        (include("../Cargo.toml"), Exit::Usage, "leads out of the current directory"),
        (include("src/../../x"), Exit::Usage, "leads out of the current directory"),
        (include("."), Exit::Usage, "no name of its own"),
        (include("/"), Exit::Usage, "no name of its own"),
        (include("/dev/null"), Exit::Usage, "neither a file nor a folder"),
        (include(dir.path().join("linked").to_str().unwrap()), Exit::Usage, "it is a link"),
        (twice, Exit::Usage, "would both be `include/Cargo.toml`"),
        (info(write("list", b"[1]")), Exit::Usage, "no JSON object"),
        (info(write("broken", b"{")), Exit::Usage, "no JSON object"),
        (info("/nonexistent".into()), Exit::Io, "cannot read /nonexistent"),
        (binary, Exit::Usage, "not text in UTF-8"),
    ] {
        let error = Extras::read(&wanted).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.exit(), exit, "{error}");
    }
}
