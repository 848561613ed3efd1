//! Disks in another format: made once, valid, shared, and nothing half of them after a crash.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use vbox_rs::boxes::{Installed, Needs};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Event, Silent, Sink};

use crate::archives::{content, image};
use crate::mounts::Mount;
use crate::world::{Home, needs, sha256};

/// What QEMU takes.
const QEMU: &[&str] = &["qcow2", "raw"];

/// The content of an image, as `qemu-img` reads it.
pub fn raw(image: &Path, format: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("raw");
    let done = Command::new("qemu-img").args(["convert", "-f", format, "-O", "raw"]).arg(image).arg(&out).output();
    assert!(done.unwrap().status.success());
    fs::read(out).unwrap()
}

/// A library with a bare image of `size` bytes, half of it used.
fn with_image(format: &str, options: &str, size: usize) -> Option<(Home, Installed, Vec<u8>)> {
    let home = Home::new();
    let content = content(size);
    let installed = home.add_file("image", &image(&content, format, options)?).unwrap();
    Some((home, installed, content))
}

fn check(path: &Path, format: &str) {
    let done = Command::new("qemu-img").args(["check", "-f", format]).arg(path).output().unwrap();
    // 63: the format knows no checks.
    assert!(matches!(done.status.code(), Some(0 | 63)), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_disk_is_converted_once_and_has_the_same_content() {
    for (from, options, formats, to) in [
        ("vmdk", "subformat=streamOptimized", QEMU, "qcow2"),
        ("vdi", "", QEMU, "qcow2"),
        ("vhdx", "", QEMU, "qcow2"),
        ("vpc", "subformat=fixed,force_size=on", QEMU, "qcow2"),
        ("qcow2", "", &["vdi", "vmdk"], "vdi"),
        ("qcow2", "", &["vmdk"], "vmdk"),
        ("raw", "", &["vdi"], "vdi"),
    ] {
        let Some((home, installed, content)) = with_image(from, options, 8 << 20) else { return };
        let disk = &installed.manifest.disks[0];
        let (path, format) = home.library.disk_as(&Cx::silent(), disk, formats).unwrap();
        assert_eq!(format, to, "{from}");
        assert_eq!(installed.images(formats), [(path.clone(), format.clone())]);
        check(&path, to);
        assert_eq!(sha256(&raw(&path, to)), sha256(&content), "{from} to {to}");
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        home.library.convert_disks(&Cx::silent(), &installed, formats).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "not again");
        assert_eq!(home.files().len(), 3, "image, manifest, conversion: {:?}", home.files());
        // It goes with its source.
        home.library
            .remove(&Cx::silent(), std::slice::from_ref(&installed), &|| Ok(Needs::default()), false, true)
            .unwrap();
        home.assert_empty(from);
    }
}

#[test]
fn a_disk_in_a_wanted_format_is_left_as_it_is() {
    let Some((home, installed, _)) = with_image("raw", "", 1 << 20) else { return };
    let (path, format) = home.library.disk_as(&Cx::silent(), &installed.manifest.disks[0], QEMU).unwrap();
    assert_eq!((path, format.as_str()), (installed.disk_paths()[0].clone(), "raw"));
    assert_eq!(home.files().len(), 2);
}

#[test]
fn a_conversion_stays_as_long_as_a_machine_needs_its_source() {
    let Some((home, installed, _)) = with_image("vdi", "", 1 << 20) else { return };
    let (path, _) = home.library.disk_as(&Cx::silent(), &installed.manifest.disks[0], QEMU).unwrap();
    home.library
        .remove(&Cx::silent(), std::slice::from_ref(&installed), &|| Ok(needs("web", &installed)), true, true)
        .unwrap();
    assert!(path.is_file());
    home.library.release(&Cx::silent(), &|| Ok(Needs::default())).unwrap();
    home.assert_empty("released");
}

#[test]
fn several_at_once_make_one_conversion() {
    let Some((home, installed, content)) = with_image("vmdk", "", 16 << 20) else { return };
    let disk = &installed.manifest.disks[0];
    let paths: Vec<_> = thread::scope(|scope| {
        let convert = || home.library.disk_as(&Cx::silent(), disk, QEMU).unwrap().0;
        let all: Vec<_> = (0..4).map(|_| scope.spawn(convert)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0]));
    assert_eq!(sha256(&raw(&paths[0], "qcow2")), sha256(&content));
    assert_eq!(home.files().len(), 3, "{:?}", home.files());
}

/// Raises its flag as soon as a conversion tells of itself.
struct Impatient(Cancel);

impl Sink for Impatient {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if matches!(event, Event::Transfer { .. }) {
            self.0.raise();
        }
    }
}

#[test]
fn a_cancelled_conversion_leaves_nothing() {
    let Some((home, installed, _)) = with_image("vmdk", "subformat=streamOptimized", 64 << 20) else { return };
    let cancel = Cancel::default();
    let cx = Cx::new(Arc::new(Impatient(cancel.clone())), cancel);
    let error = home.library.disk_as(&cx, &installed.manifest.disks[0], QEMU).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted);
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
    home.library.disk_as(&Cx::new(Arc::new(Silent), Cancel::default()), &installed.manifest.disks[0], QEMU).unwrap();
}

#[test]
fn a_disk_that_does_not_fit_is_told_before_and_leaves_nothing() {
    let home = Home::new();
    let Some(bytes) = image(&content(64 << 20), "vmdk", "subformat=streamOptimized") else { return };
    let Some(_mount) = Mount::new(&home.dir.path().join("home"), "size=28m") else { return };
    let installed = home.add_file("image", &bytes).unwrap();
    let error = home.library.disk_as(&Cx::silent(), &installed.manifest.disks[0], QEMU).unwrap_err();
    assert!(error.to_string().contains("MiB free"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("free some space")));
    assert_eq!(error.exit(), Exit::Io);
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

#[test]
fn an_image_that_is_damaged_meanwhile_is_told() {
    let Some((home, installed, _)) = with_image("vmdk", "", 8 << 20) else { return };
    let path = &installed.disk_paths()[0];
    let whole = fs::read(path).unwrap();
    let mut broken = whole.clone();
    broken[..4].fill(0);
    for (bytes, why) in [(&whole[..100_000], "100000 bytes instead of"), (&broken, "")] {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
        let error = home.library.disk_as(&Cx::silent(), &installed.manifest.disks[0], QEMU).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("converting a disk from vmdk to qcow2 failed: ") && text.contains(why), "{text}");
        assert!(!text.contains("json:"), "{text}");
        assert_eq!(home.files().len(), 2, "{:?}", home.files());
    }
}
