//! What `package` wrote: its files, and Vagrant's own `box add` of it.

use std::path::Path;
use std::process::Command;

use crate::world::{Ran, World};

/// Names of a box's files, in its order.
pub fn names_in(file: &Path) -> Vec<String> {
    let listed = Command::new("tar").arg("-tzf").arg(file).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A text of a box.
pub fn file_in(file: &Path, name: &str) -> String {
    String::from_utf8(Command::new("tar").arg("-xzOf").arg(file).arg(name).output().unwrap().stdout).unwrap()
}

/// Vagrant's own `box add`, where it is installed. Adding needs none of its plugins.
pub fn vagrant_adds(world: &World, packed: &Path, provider: &str) {
    let vagrant = |args: &[&str]| {
        let mut command = Command::new("vagrant");
        command.args(args).env("VAGRANT_HOME", world.folder("vagrant")).env("VAGRANT_CHECKPOINT_DISABLE", "1");
        command.current_dir(world.folder("elsewhere")).output()
    };
    let added = match vagrant(&["box", "add", "--name", "me/web", packed.to_str().unwrap()]) {
        Ok(added) => added,
        Err(error) => {
            println!("skipped: Vagrant's own `box add` of a box for {provider}; it takes vagrant ({error})");
            return;
        }
    };
    Ran::of(&added).ok();
    let listed = Ran::of(&vagrant(&["box", "list"]).unwrap()).ok().stdout;
    assert!(listed.contains("me/web") && listed.contains(provider), "{listed}");
}
