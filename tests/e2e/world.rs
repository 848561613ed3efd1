//! A user's world with the demo box that `make test` built.

#[path = "../support/world.rs"]
mod without_box;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use without_box::{Ran, World};

/// The demo box. A test that is asked for and cannot be done has failed.
pub fn demo_box() -> PathBuf {
    let path = std::env::var_os("VBOX_RS_TEST_BOX").map(PathBuf::from);
    path.filter(|path| path.exists()).expect("VBOX_RS_TEST_BOX must name a box; `make test` builds one and sets it")
}

impl World {
    /// With the box `demo`.
    pub fn with_demo() -> Self {
        let world = Self::empty();
        world.add_demo();
        world
    }

    /// The box `demo`, for a world that is there.
    pub fn add_demo(&self) {
        link_tree(&prepared_library(&demo_box()), &self.home().join("boxes"));
    }
}

/// The demo box, unpacked once for all tests by `box add`.
fn prepared_library(demo: &Path) -> PathBuf {
    let home = demo.with_extension("library");
    let gate = fs::File::create(demo.with_extension("lock")).unwrap();
    gate.lock().unwrap();
    let newer = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let marker = home.join("complete");
    if newer(&marker) < newer(demo) {
        drop(fs::remove_dir_all(&home));
        let mut command = Command::new(without_box::program());
        command.env("VBOX_RS_HOME", &home).args(["box", "add", "--name", "demo"]).arg(demo).stdin(Stdio::null());
        Ran::of(&command.output().unwrap()).ok();
        fs::write(marker, "").unwrap();
    }
    home.join("boxes")
}

/// Library files never change, so that hard links are as good as copies.
fn link_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_tree(&entry.path(), &to);
        } else {
            fs::hard_link(entry.path(), &to).or_else(|_| fs::copy(entry.path(), &to).map(drop)).unwrap();
        }
    }
}

/// What a folder takes on the disk; files with several names count once.
pub fn taken(folder: &Path) -> u64 {
    let du = Command::new("du").args(["-s", "--block-size=1"]).arg(folder).output().unwrap();
    String::from_utf8(du.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}
