//! `package` of machines on which nothing answers: killed, refused, on a full disk. The machine stays what it was.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::dice::kill_after;
use crate::mounts::Mount;
use crate::packed::{file_in, names_in, vagrant_adds};
use crate::world::World;

/// A machine that is off and whose disk holds `mib` MiB that cannot be compressed; nothing in it ever answers.
fn silent_machine(mib: usize, more: &str) -> Option<World> {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        println!("skipped: there is no QEMU for x86_64");
        return None;
    }
    let world = World::empty();
    let image = world.folder("image").join("disk.img");
    let (count, of) = (format!("count={mib}"), format!("of={}", image.display()));
    let status = Command::new("dd").args(["if=/dev/urandom", "bs=1M", "status=none", &count, &of]).status().unwrap();
    assert!(status.success());
    // sti; hlt; jmp back to hlt: the beginning of a boot sector, whose end says that it is one.
    let mut disk = fs::read(&image).unwrap();
    disk[..4].copy_from_slice(&[0xfb, 0xf4, 0xeb, 0xfd]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&image, disk).unwrap();
    world.run(&["box", "add", image.to_str().unwrap(), "--name", "silent"]).ok();
    fs::remove_file(image).unwrap();
    world.machine_file(&format!(
        "box = \"silent\"\nboot_timeout = 2\ngraceful_halt_timeout = 1\nmemory = 128\n{more}[[synced_folder]]\nguest = \
         \"/vagrant\"\ndisabled = true\n"
    ));
    world.run(&["up"]).fails(10, &[]);
    world.run(&["halt", "-f"]).ok();
    Some(world)
}

/// All files of the machine, with what tells that one was written to.
fn files(world: &World) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let machine = world.home().join("machines").join(world.id("default"));
    let all = fs::read_dir(machine).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = all
        // The lock says who had it last.
        .filter(|entry| entry.file_name() != "lock")
        .map(|entry| (entry.path(), entry.metadata().unwrap()))
        .map(|(path, about)| (path, about.len(), about.modified().unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_package_killed_at_any_instant_leaves_the_machine_as_it_was_and_nothing_of_its_own() {
    let Some(world) = silent_machine(150, "") else { return };
    let before = files(&world);
    let whole = world.measured(&["package", "--no-reset"]);
    assert_eq!(files(&world), before);
    fs::remove_file(world.project.join("package.box")).unwrap();
    let boots = ["package"];
    let packs = ["package", "--no-reset"];
    let part = |hundredths: u32| whole * hundredths / 100;
    for (args, instant) in [
        (&boots[..], Duration::from_millis(20)),
        (&boots, Duration::from_millis(150)),
        (&boots, Duration::from_millis(400)),
        (&boots, Duration::from_millis(1500)),
        (&packs, part(10)),
        (&packs, part(30)),
        (&packs, part(50)),
        (&packs, part(75)),
        (&packs, part(95)),
    ] {
        println!("{args:?} is killed after {instant:?}: its hypervisor ends with it");
        kill_after(world.command(args).spawn().unwrap(), instant);
        world.assert_no_process();
        assert_eq!(world.state("default"), "off");
        // A box that is there is whole: the kill came after its end.
        if world.project.join("package.box").exists() {
            world.run(&["box", "add", "package.box", "--name", "whole", "--force"]).ok();
            fs::remove_file(world.project.join("package.box")).unwrap();
        }
        // The next command that changes the machine removes what is left.
        if args == boots {
            world.run(&["rsync"]).fails(7, &["is off"]);
        } else {
            world.run(&["package", "--output", "/nonexistent/x.box", "--no-reset"]).fails(16, &["/nonexistent/x.box"]);
        }
        assert_eq!(files(&world), before, "{args:?} after {instant:?}");
    }
    let left: Vec<_> = fs::read_dir(&world.project).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    world.run(&["package", "--no-reset"]).ok();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn what_makes_no_box_is_refused_and_changes_nothing() {
    let Some(world) = silent_machine(1, "[machines.default]\n[machines.never]\nautostart = false\n") else { return };
    fs::write(world.project.join("there.box"), "precious").unwrap();
    fs::write(world.project.join("list.json"), "[1]").unwrap();
    let before = files(&world);
    for (args, code, words) in [
        (&["package", "never"][..], 7, &["not created", "vbox-rs up never"][..]),
        (&["package", "nobody"], 7, &["nobody"]),
        (&["package"], 2, &["several machines"]),
        (&["package", "default", "--output", "there.box"], 2, &["there.box exists", "--force"]),
        (&["package", "default", "--include", "gone"], 2, &["cannot include gone"]),
        (&["package", "default", "--include", "there.box,../x"], 2, &["leads out of the current directory"]),
        (&["package", "default", "--vagrantfile", "gone.rb"], 16, &["gone.rb"]),
        (&["package", "default", "--info", "list.json"], 2, &["list.json is no JSON object"]),
        (&["package", "default", "--format", "hyperv"], 2, &["hyperv", "libvirt"]),
        (&["package", "default", "--box-version", "../1"], 2, &["../1"]),
        (&["package", "default"], 10, &["could not be cleaned", "--no-reset"]),
    ] {
        world.run(args).fails(code, words);
        assert_eq!(files(&world), before, "{args:?}");
    }
    assert_eq!(fs::read_to_string(world.project.join("there.box")).unwrap(), "precious");
    assert!(!world.project.join("package.box").exists());
    assert_eq!(world.processes(), [0; 0]);

    world.run(&["package", "default", "--output", "there.box", "--force", "--no-reset"]).ok();
    assert_eq!(names_in(&world.project.join("there.box")), ["metadata.json", "box.img"]);
    let virtualbox = ["--format", "virtualbox", "--output", "virtualbox.box"];
    world.run(&[&["package", "default", "--no-reset"][..], &virtualbox].concat()).ok();
    let virtualbox = world.project.join("virtualbox.box");
    let names = ["metadata.json", "Vagrantfile", "box.ovf", "box-disk001.vmdk"];
    assert_eq!(names_in(&virtualbox), names);
    assert!(file_in(&virtualbox, "Vagrantfile").contains("config.vm.base_mac = \"525400"));
    vagrant_adds(&world, &virtualbox, "virtualbox");
    vagrant_adds(&world, &world.project.join("there.box"), "libvirt");
    fs::write(world.project.join("defaults.rb"), "# mine\n").unwrap();
    let oci = ["--format", "oci", "--output", "silent.oci.tar", "--box-name", "me/silent", "--box-version", "2.1"];
    let extras = ["--include", "list.json", "--vagrantfile", "defaults.rb"];
    world.run(&[&["package", "default", "--no-reset"][..], &oci, &extras].concat()).ok();
    world.run(&["box", "add", "silent.oci.tar"]).ok().says(&["box `me/silent` 2.1 is added"]);
    let brings = "Vagrantfile, include/_Vagrantfile, include/list.json";
    world.run(&["box", "info", "me/silent"]).ok().says(&[brings]);
    world.run(&["box", "repackage", "me/silent", "libvirt", "2.1", "--output", "again.box"]).ok();
    let again = world.project.join("again.box");
    assert!(file_in(&again, "Vagrantfile").contains("load include_vagrantfile"));
    assert_eq!(
        (file_in(&again, "include/_Vagrantfile"), file_in(&again, "include/list.json")),
        ("# mine\n".into(), "[1]".into())
    );
    world.run(&["destroy", "-f"]).ok();
}

#[test]
fn a_full_disk_is_told_and_leaves_no_part_of_a_box() {
    let Some(world) = silent_machine(20, "") else { return };
    let small = world.folder("small");
    let Some(_mount) = Mount::new(&small, "size=4m") else { return };
    let before = files(&world);
    let target = small.join("package.box");
    let ran = world.run(&["package", "--no-reset", "--output", target.to_str().unwrap()]);
    ran.fails(16, &["o space left", "free some space"]);
    assert_eq!(fs::read_dir(&small).unwrap().count(), 0);
    assert_eq!(files(&world), before);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
