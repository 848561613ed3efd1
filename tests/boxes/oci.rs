//! Boxes in a real registry: what is pushed comes back, and nothing is sent or fetched twice.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use vbox_rs::boxes::oci::PushRequest;
use vbox_rs::boxes::{AddRequest, Installed, Library, Needs, Verified};
use vbox_rs::error::Exit;
use vbox_rs::progress::Cx;
use vbox_rs::store::Dirs;

use crate::images::{gz, qcow2, tar};
use crate::oci_registry::{Registry, options, pull, pull_request, push, push_request, remove};
use crate::world::{Home, request, sha256, told};

const OURS: &str = r#"{"provider":"libvirt","architecture":"amd64","vbox_rs":{"name":"me/web","version":"1.2",
    "kernel":"vmlinuz","initrd":"initrd.img","cmdline":"root=x ro","seed":true,"user":"admin"}}"#;

/// An image of several pieces, with a hole larger than a piece in the middle and `tail` bytes behind it.
fn image(seed: u8, tail: usize) -> Vec<u8> {
    let mut image = qcow2(3 << 20);
    image.resize(150 << 20, 0);
    image.extend(qcow2(tail));
    image[2 << 20] = seed;
    image
}

/// The box `me/web` 1.2, with all that a box can have.
fn add_ours(home: &Home, image: &[u8]) -> Installed {
    let parts: &[(&str, &[u8])] = &[
        ("metadata.json", OURS.as_bytes()),
        ("info.json", br#"{"author":"me"}"#),
        ("box.img", image),
        ("vmlinuz", b"kernel"),
        ("initrd.img", b"initrd"),
    ];
    home.add_file("x.box", &tar(parts)).unwrap()
}

#[test]
fn what_is_pushed_comes_back_and_nothing_moves_twice() {
    let Some(registry) = Registry::start(false) else { return };
    let home = Home::new();
    let image = image(1, 70 << 20);
    let first = add_ours(&home, &image);
    let to = registry.reference("team/web");
    let pushed = push(&home, "me/web", &to).unwrap();
    assert_eq!(pushed.references, [format!("{to}:1.2"), format!("{to}:latest")]);
    // The second piece of the disk is a hole.
    assert_eq!(pushed.layers, (5, 5), "three pieces of the disk, kernel and initrd");
    let blobs = registry.blobs();
    let again = push(&home, "me/web", &to).unwrap();
    assert_eq!((again.uploaded, again.layers, &again.digest), (0, (0, 5), &pushed.digest));
    assert_eq!(registry.blobs(), blobs, "a second push uploads nothing");

    remove(&home, &first);
    let second = pull(&home, &to).unwrap();
    assert_eq!(second.manifest.disks, first.manifest.disks);
    assert_eq!(fs::read(&second.disk_paths()[0]).unwrap(), image);
    let about = |installed: &Installed| {
        let m = installed.manifest.clone();
        (m.name, m.version, m.provider, m.architecture, m.boot, m.seed, m.user, m.info)
    };
    assert_eq!(about(&second), about(&first));
    assert_eq!(home.files().len(), 4, "disk, kernel, initrd, manifest: {:?}", home.files());
    let stored = fs::metadata(&second.disk_paths()[0]).unwrap().blocks() * 512;
    assert!(stored < 80 << 20, "{stored}: the hole is a hole again");

    // A second add knows what it would fetch before it does.
    let (message, exit) = told(pull(&home, &registry.reference("team/web:1.2")).unwrap_err());
    assert_eq!(exit, Exit::Failure, "{message}");
    assert!(message.contains("the box `me/web` 1.2 for libvirt is already there"), "{message}");
}

#[test]
fn a_disk_that_the_library_has_is_not_fetched_again() {
    let Some(registry) = Registry::start(false) else { return };
    let home = Home::new();
    let installed = add_ours(&home, &qcow2(2 << 20));
    push(&home, "me/web", &registry.reference("web")).unwrap();
    // Without its layers the registry can only tell what the box is.
    let layers = installed.manifest.disks.len() + 2;
    let mut removed = 0;
    for blob in registry.blobs() {
        let bytes = fs::read(&blob).unwrap();
        if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            fs::remove_file(blob).unwrap();
            removed += 1;
        }
    }
    assert_eq!(removed, layers);
    let other = home.add(&AddRequest { name: Some("you/web".into()), ..pull_request(&registry.reference("web")) });
    let other = other.unwrap();
    assert_eq!(other.manifest.disks, installed.manifest.disks);
    assert_eq!(home.files().len(), 5, "the second manifest is all that is new: {:?}", home.files());
    let error = pull(&Home::new(), &registry.reference("web")).unwrap_err();
    assert_eq!(told(error).1, Exit::BoxNotFound);
}

#[test]
fn a_digest_pins_a_box_and_is_recorded_as_checked() {
    let Some(registry) = Registry::start(false) else { return };
    let home = Home::new();
    add_ours(&home, &qcow2(1 << 20));
    let pushed = push(&home, "me/web", &registry.reference("web:x")).unwrap();
    assert_eq!(pushed.references, [registry.reference("web:x")]);
    let other = Home::new();
    let installed = pull(&other, &registry.reference(&format!("web@{}", pushed.digest))).unwrap();
    assert_eq!(installed.manifest.verified, Verified::Checksum);
    assert_eq!(installed.manifest.checksum.as_deref(), Some(pushed.digest.to_string().as_str()));
    let missing = registry.reference(&format!("web@sha256:{}", "0".repeat(64)));
    assert_eq!(told(pull(&other, &missing).unwrap_err()).1, Exit::BoxNotFound);
}

#[test]
fn several_architectures_share_a_tag() {
    let Some(registry) = Registry::start(false) else { return };
    let to = registry.reference("web:1");
    for architecture in ["amd64", "arm64", "riscv64"] {
        let home = Home::new();
        let file = home.write("a.qcow2", &qcow2(1000 + architecture.len()));
        let (name, architecture) = (Some("a/b".to_owned()), Some(architecture.to_owned()));
        let version = Some("1".to_owned());
        home.add(&AddRequest { name, version, architecture, ..request(&file) }).unwrap();
        push(&home, "a/b", &to).unwrap();
    }
    for architecture in ["amd64", "arm64", "riscv64"] {
        let request = AddRequest { architecture: Some(architecture.into()), ..pull_request(&to) };
        let installed = Home::new().add(&request).unwrap();
        assert_eq!(installed.manifest.architecture.as_deref(), Some(architecture));
    }
    let request = AddRequest { architecture: Some("s390x".into()), ..pull_request(&to) };
    let (message, exit) = told(Home::new().add(&request).unwrap_err());
    assert!(message.contains("nothing for s390x; it has: amd64, arm64, riscv64"), "{message}");
    assert_eq!(exit, Exit::BoxNotFound);
}

#[test]
fn a_registry_with_logins_wants_the_right_one() {
    let Some(registry) = Registry::start(true) else { return };
    let home = Home::new();
    let installed = add_ours(&home, &qcow2(1 << 20));
    let to = registry.reference("web");
    let push = |login| {
        let request = PushRequest { options: options(&to, login), ..push_request("me/web", &to) };
        home.library.push(&Cx::silent(), &request)
    };
    for (login, who) in [(None, "let you write web"), (Some(("tester", "wr0ng")), "the user `tester` write web")] {
        let (message, exit) = told(push(login).unwrap_err());
        assert!(message.contains(who) && !message.contains("wr0ng"), "{message}");
        assert_eq!(exit, Exit::Network);
    }
    assert_eq!(registry.blobs().len(), 0);
    push(Some(("tester", "s3cret"))).unwrap();
    remove(&home, &installed);
    assert_eq!(told(pull(&home, &to).unwrap_err()).1, Exit::Network);
    home.add(&AddRequest { logins: options(&to, Some(("tester", "s3cret"))).logins, ..pull_request(&to) }).unwrap();
}

#[test]
fn a_box_of_another_repository_is_taken_over_without_an_upload() {
    let Some(registry) = Registry::start(false) else { return };
    let home = Home::new();
    add_ours(&home, &qcow2(1 << 20));
    push(&home, "me/web", &registry.reference("a/web")).unwrap();
    let other = Home::new();
    pull(&other, &registry.reference("a/web")).unwrap();
    let pushed = push(&other, "me/web", &registry.reference("b/web")).unwrap();
    assert_eq!(pushed.uploaded, 0);
    pull(&Home::new(), &registry.reference("b/web")).unwrap();
}

/// The other end of the tests that kill: run in a process of its own.
#[test]
#[ignore = "started by another test"]
fn child_pushes_or_pulls() {
    let Some(home) = std::env::var_os("BOXES_TEST_HOME") else { return };
    let library = Library::new(&Dirs::below(Path::new(&home)));
    let place = std::env::var("BOXES_TEST_OCI").unwrap();
    if std::env::var_os("BOXES_TEST_PUSH").is_some() {
        let _ = library.push(&Cx::silent(), &push_request("me/web", &place));
    } else {
        let _ = library.add(&Cx::silent(), &pull_request(&place));
    }
}

/// Runs [`child_pushes_or_pulls`], and kills it after a while.
fn killed(home: &Home, place: &str, pushes: bool, after: Duration) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "oci::child_pushes_or_pulls", "--ignored"]).stdout(Stdio::null());
    command.env("BOXES_TEST_HOME", home.dir.path()).env("BOXES_TEST_OCI", place);
    if pushes {
        command.env("BOXES_TEST_PUSH", "1");
    }
    let mut child = command.spawn().unwrap();
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_push_leaves_no_half_box_and_the_next_one_succeeds() {
    let Some(registry) = Registry::start(false) else { return };
    let home = Home::new();
    let image = image(2, 20 << 20);
    let installed = add_ours(&home, &image);
    for round in 0..8 {
        let to = registry.reference(&format!("web{round}:1"));
        killed(&home, &to, true, Duration::from_millis(20 + 60 * round));
        // There, or not there at all.
        match pull(&Home::new(), &to) {
            Ok(there) => assert_eq!(there.manifest.disks, installed.manifest.disks),
            Err(error) => assert_eq!(told(error).1, Exit::BoxNotFound, "round {round}"),
        }
        push(&home, "me/web", &to).unwrap();
        assert_eq!(home.files().len(), 4, "round {round}: {:?}", home.files());
    }
    assert_eq!(pull(&Home::new(), &registry.reference("web7:1")).unwrap().manifest.disks, installed.manifest.disks);
}

#[test]
fn a_killed_pull_leaves_no_half_box_and_the_next_one_goes_on() {
    let Some(registry) = Registry::start(false) else { return };
    let source = Home::new();
    let image = image(3, 20 << 20);
    add_ours(&source, &image);
    let place = registry.reference("web");
    push(&source, "me/web", &place).unwrap();
    let expected = sha256(&image);
    for round in 0..10 {
        let home = Home::new();
        killed(&home, &place, false, Duration::from_millis(20 + 40 * round));
        for installed in home.library.list().unwrap().boxes {
            assert_eq!(sha256(&fs::read(&installed.disk_paths()[0]).unwrap()), expected, "whole, or not there");
        }
        // Twice at different moments: what the first left is taken over by the second.
        killed(&home, &place, false, Duration::from_millis(150));
        let request = AddRequest { force: true, ..pull_request(&place) };
        let installed = home.add(&request).unwrap();
        assert_eq!(installed.manifest.disks[0].sha256, expected);
        home.library.release(&Cx::silent(), &|| Ok(Needs::default())).unwrap();
        assert_eq!(home.files().len(), 4, "round {round}: {:?}", home.files());
    }
}

#[test]
fn a_container_disk_that_skopeo_pushed_is_read() {
    let Some(registry) = Registry::start(false) else { return };
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("skipped: skopeo is not installed (scripts/setup.sh test)");
        return;
    }
    // A containerDisk as a container engine stores it, in skopeo's folder format.
    let home = Home::new();
    let image = qcow2(1 << 20);
    let layer = gz(&tar(&[("disk/disk.img", &image)]));
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
        sha256(&tar(&[("disk/disk.img", &image)]))
    );
    let descriptor = |kind: &str, bytes: &[u8]| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{}","size":{}}}"#,
            sha256(bytes),
            bytes.len()
        )
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", config.as_bytes()),
        descriptor("layer.v1.tar+gzip", &layer)
    );
    let folder = home.dir.path().join("image");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    fs::write(folder.join("manifest.json"), &manifest).unwrap();
    for bytes in [config.as_bytes(), &layer] {
        fs::write(folder.join(sha256(bytes)), bytes).unwrap();
    }
    let to = registry.reference("kubevirt/fedora:40");
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
        .arg(format!("dir:{}", folder.display()))
        .arg(to.replace("oci://", "docker://"))
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let installed = pull(&home, &to).unwrap();
    assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), image);
    assert_eq!((installed.manifest.name.as_str(), installed.manifest.version.to_string().as_str()), ("fedora", "40"));
}
