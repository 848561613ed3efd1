//! What is measured of boxes: adding, converting, a full library, and what all of it takes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use vbox_rs::boxes::{AddRequest, Library};
use vbox_rs::progress::Cx;
use vbox_rs::store::Dirs;

use crate::parts::{add_in_turn, gib};
use crate::server::serve;
use crate::stats::{Figure, Row, Samples};
use crate::tool::{Subject, timed};

/// How many boxes a full library has.
const MANY: u32 = 1000;

/// What nothing needs any more beside them.
const GARBAGE: u32 = 500;

const MIB: u64 = 1 << 20;

/// `box add` over HTTP against one pass by the usual tools: they hash the archive while they unpack it.
pub fn pipeline(subject: &Subject, rounds: usize) -> Row {
    let folder = gib(subject);
    let url = serve(&folder.join("gib.box"));
    let script = format!(
        "set -o pipefail; rm -rf out && mkdir out && curl -fsS '{url}' | tee >(sha256sum > sum) | gzip -dc | tar x -C out"
    );
    let (ours, peer) =
        add_in_turn(subject, rounds, &url, || timed(Command::new("bash").current_dir(&folder).args(["-ec", &script])));
    let peer = Some(("curl, tee >(sha256sum), gzip, tar".to_owned(), peer));
    Row { what: "`box add` of 1 GiB over HTTP, one pass".into(), ours, peer, bound: 1.0, rss: None }
}

/// `box add` against Vagrant's own, where it is installed.
pub fn vagrant(subject: &Subject, rounds: usize) -> Option<Row> {
    if Command::new("vagrant").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("vagrant: skipped: `vagrant` is not installed");
        return None;
    }
    let folder = gib(subject);
    let url = serve(&folder.join("gib.box"));
    let home = folder.join("vagrant.d");
    let command = |args: &[&str]| {
        let mut command = Command::new("vagrant");
        command.env("VAGRANT_HOME", &home).env("VAGRANT_CHECKPOINT_DISABLE", "1").current_dir(&folder).args(args);
        command
    };
    let (ours, peer) = add_in_turn(subject, rounds, &url, || {
        let took = timed(&mut command(&["box", "add", "--name", "bench/gib", &url]));
        timed(&mut command(&["box", "remove", "-f", "bench/gib"]));
        took
    });
    let peer = Some(("vagrant box add".to_owned(), peer));
    Some(Row { what: "`box add` of 1 GiB over HTTP, Vagrant".into(), ours, peer, bound: 0.333, rss: None })
}

/// The conversion that a first `up` of a box with a VMDK does, against a bare `qemu-img convert`.
pub fn convert(subject: &Subject, rounds: usize) -> Row {
    let folder = gib(subject);
    let make = "[ -e disk.vmdk ] || { tar xzf gib.box box.img && qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized box.img disk.vmdk && rm box.img; }";
    timed(Command::new("sh").current_dir(&folder).args(["-ec", make]));
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    let (source, target) = (folder.join("disk.vmdk"), folder.join("disk.qcow2"));
    let library = Library::new(&Dirs::below(&folder));
    let request = AddRequest { source: source.display().to_string(), ..AddRequest::default() };
    let installed = library.add(&Cx::silent(), &request).unwrap();
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let began = Instant::now();
                let (converted, _) = library.disk_as(&Cx::silent(), &installed.manifest.disks[0], &["qcow2"]).unwrap();
                ours.0.push(began.elapsed());
                fs::remove_file(converted).unwrap();
            } else {
                let mut command = Command::new("qemu-img");
                peer.0.push(timed(command.args(["convert", "-f", "vmdk", "-O", "qcow2"]).args([&source, &target])));
                fs::remove_file(&target).unwrap();
            }
        }
    }
    let peer = Some(("qemu-img convert".to_owned(), peer));
    Row { what: "VMDK to qcow2, 1 GiB".into(), ours, peer, bound: 1.1, rss: None }
}

/// A library of a thousand boxes: listed, and cleared of garbage.
pub fn thousand(rounds: usize) -> Vec<Row> {
    let subject = Subject::new();
    fill(&subject);
    let disks = subject.world.home().join("boxes/disks");
    let (mut list, mut gc) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        list.0.push(subject.run(&["box", "list"]));
        for number in 0..GARBAGE {
            fs::write(disks.join(format!("{number:064x}.qcow2")), [1; 4096]).unwrap();
        }
        gc.0.push(subject.run(&["box", "gc"]));
        assert!(!disks.join(format!("{:064x}.qcow2", 0)).exists(), "the garbage is gone");
    }
    let row = |what: &str, ours, bound, args: &[&str]| {
        let rss = subject.rss(args);
        Row { what: what.into(), ours, peer: None, bound, rss }
    };
    vec![
        row("`box list`, 1,000 boxes", list, 0.030, &["box", "list"]),
        row("`box gc`, 1,000 boxes and 500 unneeded disks", gc, 1.0, &["box", "gc"]),
    ]
}

/// Copies of one small box, each with a disk of its own.
fn fill(subject: &Subject) {
    let image = subject.world.folder("tiny").join("tiny.img");
    let mut disk = vec![1; 4096];
    // The signature of a boot sector.
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&image, disk).unwrap();
    subject.run(&["box", "add", image.to_str().unwrap(), "--name", "bench-tiny"]);
    let boxes = subject.world.home().join("boxes");
    let version = boxes.join("manifests/bench-tiny/0");
    let record = fs::read_dir(version).unwrap().next().unwrap().unwrap().path();
    let mut manifest: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    for number in 1..MANY {
        // Not what the content hashes to: nobody reads it here.
        let digest = format!("{number:056x}{:08x}", u32::MAX);
        fs::write(boxes.join(format!("disks/{digest}.img")), number.to_le_bytes().repeat(1024)).unwrap();
        manifest["name"] = format!("bench-tiny{number}").into();
        manifest["disks"][0]["sha256"] = digest.into();
        let folder = boxes.join(format!("manifests/bench-tiny{number}/0"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(record.file_name().unwrap()), serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    }
}

/// What a box and its machines take on the disk.
pub fn sizes() -> Vec<Figure> {
    let subject = Subject::new();
    let unpacked = subject.world.folder("unpacked");
    timed(Command::new("tar").arg("xzSf").arg(crate::world::demo_box()).arg("-C").arg(&unpacked));
    let image = taken(&unpacked);
    subject.machine_file("memory = 768\ncpus = 1\n[machines.a]\n[machines.b]\n");
    subject.run(&["up", "a"]);
    let shared = || taken(&subject.world.home().join("boxes")) + taken(&subject.world.home().join("cache"));
    let machines = || -> Vec<PathBuf> {
        let entries = fs::read_dir(subject.world.home().join("machines")).unwrap().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let (library, first) = (shared(), machines());
    subject.run(&["up", "b"]);
    // What the guest writes while it boots is its own: its overlay counts as it is made.
    let empty = subject.world.folder("overlay").join("empty.qcow2");
    timed(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&empty).arg("10G"));
    let added = machines().into_iter().find(|machine| !first.contains(machine)).unwrap();
    let second = shared() - library + taken(&added) - on_disk(&added.join("disk0.qcow2")) + on_disk(&empty);
    vec![
        Figure {
            what: "library after `box add` and `up`".into(),
            bytes: library,
            against: ("the box unpacked".into(), image),
            bound: 1.02,
        },
        Figure { what: "a second machine".into(), bytes: second, against: ("bound".into(), MIB), bound: 1.0 },
    ]
}

/// Peak memory of `box add`.
pub fn memory(subject: &Subject) -> Figure {
    let url = serve(&gib(subject).join("gib.box"));
    let kib = subject.rss(&["box", "add", &url, "--name", "bench/gib"]).unwrap();
    subject.run(&["box", "remove", "bench/gib", "-f"]);
    Figure {
        what: "peak memory of `box add`, 1 GiB over HTTP".into(),
        bytes: kib * 1024,
        against: ("bound".into(), 64 * MIB),
        bound: 1.0,
    }
}

/// Bytes that a folder takes, without holes.
fn taken(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |path: &Path| if path.is_dir() && !path.is_symlink() { taken(path) } else { on_disk(path) };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

fn on_disk(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |about| about.blocks() * 512)
}
