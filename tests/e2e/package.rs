//! `package`: a machine becomes a box that vbox-rs and Vagrant can add, and stays what it was.

use std::fs;
use std::path::Path;

use crate::packed::{file_in, names_in, vagrant_adds};
use crate::world::World;

/// A guest as a user sees it: its own marks, one per line.
const MARKS: &str = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub .ssh/authorized_keys; sudo cat /root/mark";

fn marks(world: &World, folder: &Path) -> Vec<String> {
    let seen = world.run_in(folder, &["ssh", "-c", MARKS]).ok().stdout;
    seen.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

#[test]
fn a_machine_becomes_a_box_whose_machines_have_keys_and_ids_of_their_own() {
    let world = World::with_demo();
    world.machine_file("box = \"demo\"\nhostname = \"web\"\n");
    fs::write(world.project.join("README.md"), "read me\n").unwrap();
    fs::write(world.project.join("defaults.rb"), "Vagrant.configure(\"2\") { |config| }\n").unwrap();
    fs::write(world.project.join("info.json"), r#"{"author":"me"}"#).unwrap();
    world.run(&["up"]).ok();
    world.run(&["ssh", "-c", "echo kept | sudo tee /root/mark && sync"]).ok();
    let before = marks(&world, &world.project);

    let package = ["package", "--include", "README.md", "--vagrantfile", "defaults.rb", "--info", "info.json"];
    world.run(&package).ok().says(&["shutting it down", "package.box is written", "`vbox-rs up default`"]);
    assert_eq!(world.state("default"), "off");
    assert_eq!(world.processes(), [0; 0]);
    let packed = world.project.join("package.box");
    let names = names_in(&packed);
    assert_eq!(names[..3], ["metadata.json", "info.json", "Vagrantfile"]);
    for name in ["box.img", "include/README.md", "include/_Vagrantfile"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    assert!(file_in(&packed, "Vagrantfile").contains("load include_vagrantfile"));
    vagrant_adds(&world, &packed, "libvirt");

    world.run(&["box", "add", "package.box", "--name", "me/web"]).ok();
    let other = world.folder("other");
    fs::write(other.join("Vagrantfile"), "box = \"me/web\"\n").unwrap();
    world.run_in(&other, &["up"]).ok();
    let copy = marks(&world, &other);
    assert_eq!((before.len(), copy.len()), (4, 4), "{before:?} {copy:?}");
    for (index, what) in ["machine id", "host key", "authorized key"].iter().enumerate() {
        assert_ne!(before[index], copy[index], "the {what}");
    }
    assert!(copy[2].starts_with("ssh-ed25519 ") && !copy[2].contains("insecure"), "{copy:?}");
    assert_eq!(copy[3], "kept");
    world.run_in(&other, &["destroy", "-f"]).ok();

    // The original knows nothing of it.
    world.run(&["up"]).ok();
    assert_eq!(marks(&world, &world.project), before);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
