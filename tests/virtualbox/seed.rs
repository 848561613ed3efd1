//! The seed among the disks that machine files hang on their machines.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::Lab;

/// A box whose machines get a seed, which they never read, and one whose machines get none.
fn with_boxes() -> Option<Lab> {
    let lab = Lab::with_sleeper()?;
    let image = lab.world.folder("images").join("seeded.img");
    fs::copy(lab.world.folder("images").join("empty.img"), &image).unwrap();
    lab.run(&["box", "add", image.to_str().unwrap(), "--name", "seeded"]).ok();
    Some(lab)
}

/// A machine file in Ruby with `body` in VirtualBox's block.
fn ruby(lab: &Lab, name: &str, body: &str) {
    let text = format!(
        "Vagrant.configure('2') do |config|\n  config.vm.box = '{name}'\n  config.vm.boot_timeout = 1\n  \
         config.vm.synced_folder '.', '/vagrant', disabled: true\n  config.vm.provider 'virtualbox' do |vb|\n    vb.memory = \
         32\n{body}\n  end\nend\n"
    );
    fs::write(lab.world.project.join("Vagrantfile"), text).unwrap();
}

fn up(lab: &Lab) {
    lab.run(&["up", "--provider", "virtualbox"]).fails(10, &[]);
}

/// What hangs on the machine's controller: `1-0` and the file, but no empty slot.
fn slots(lab: &Lab) -> Vec<(String, PathBuf)> {
    let text = lab.manage(&["showvminfo", &lab.machine(), "--machinereadable"]);
    let slot = |line: &str| {
        let (slot, medium) = line.strip_prefix("\"Disks-")?.split_once("\"=")?;
        let medium = medium.trim_matches('"');
        let real = slot.starts_with(|c: char| c.is_ascii_digit()) && medium != "none";
        real.then(|| (slot.to_owned(), PathBuf::from(medium)))
    };
    text.lines().filter_map(slot).collect()
}

fn place(lab: &Lab, medium: &Path) -> Option<String> {
    slots(lab).into_iter().find(|(_, there)| there == medium).map(|(slot, _)| slot)
}

fn seed(lab: &Lab) -> PathBuf {
    lab.world.home().join("machines").join(lab.id()).join("seed.vmdk")
}

/// What so many machine files say.
const EXTRA: &str = "    unless File.exist?('extra.vdi')\n      vb.customize ['createhd', '--filename', 'extra.vdi', '--size', \
                     8]\n      vb.customize ['storageattach', :id, '--storagectl', 'SATA Controller', '--port', 1, \
                     '--device', 0, '--type', 'hdd', '--medium', 'extra.vdi']\n    end";

#[test]
fn a_disk_of_the_machine_file_on_the_second_port_stays_and_so_does_the_seed() {
    let Some(lab) = with_boxes() else { return };
    for name in ["empty", "seeded"] {
        ruby(&lab, name, EXTRA);
        let extra = lab.world.project.join("extra.vdi");
        for start in 1..=2 {
            up(&lab);
            assert_eq!(place(&lab, &extra).as_deref(), Some("1-0"), "{name}, start {start}: {:?}", slots(&lab));
            assert_eq!(place(&lab, &seed(&lab)).is_some(), name == "seeded", "start {start}: {:?}", slots(&lab));
            assert_eq!(slots(&lab).len(), if name == "seeded" { 3 } else { 2 });
            lab.run(&["halt", "-f"]).ok();
        }
        lab.run(&["destroy", "-f"]).ok();
        lab.manage(&["closemedium", "disk", extra.to_str().unwrap()]);
        lab.assert_nothing_left();
        fs::remove_file(extra).unwrap();
    }
}

/// Earlier versions hung it behind the box's disks.
#[test]
fn a_seed_that_lies_where_a_disk_more_belongs_makes_way() {
    let Some(lab) = with_boxes() else { return };
    ruby(&lab, "seeded", "");
    up(&lab);
    lab.run(&["halt", "-f"]).ok();
    let (machine, seed) = (lab.machine(), seed(&lab));
    let last = place(&lab, &seed).unwrap();
    for (port, medium) in [(last.split_once('-').unwrap().0, "none"), ("1", seed.to_str().unwrap())] {
        let slot = ["--storagectl", "Disks", "--port", port, "--device", "0", "--type", "hdd", "--medium", medium];
        lab.manage(&[&["storageattach", machine.as_str()], &slot[..]].concat());
    }
    ruby(
        &lab,
        "seeded",
        "  end\n  config.vm.disk :disk, name: 'data', size: '8MB'\n  config.vm.provider 'virtualbox' do",
    );
    up(&lab);
    assert_eq!(place(&lab, &seed), Some(last));
    let (_, disk) = slots(&lab).into_iter().find(|(slot, _)| slot == "1-0").unwrap();
    assert!(disk.ends_with("disk1.vdi"), "{}", disk.display());
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}

/// Each start makes the calls anew.
#[test]
fn calls_for_every_start_leave_the_seed_where_it_is() {
    let Some(lab) = with_boxes() else { return };
    let medium = lab.theirs().join("theirs.vdi");
    lab.manage(&["createmedium", "disk", "--filename", medium.to_str().unwrap(), "--size", "4"]);
    // Fewer ports than the seed's: as many as Vagrantfiles ask for.
    let calls = |port: u32, device: u32| {
        format!(
            "    vb.customize ['storagectl', :id, '--name', 'SATA', '--portcount', 4]\n    vb.customize ['storageattach', :id, \
             '--storagectl', 'SATA', '--port', {port}, '--device', {device}, '--type', 'hdd', '--medium', '{}']",
            medium.display()
        )
    };
    ruby(&lab, "seeded", &calls(1, 0));
    up(&lab);
    let first = place(&lab, &seed(&lab));
    lab.run(&["halt", "-f"]).ok();
    up(&lab);
    assert_eq!(place(&lab, &seed(&lab)), first);
    assert_eq!(place(&lab, &medium).as_deref(), Some("1-0"));
    lab.run(&["halt", "-f"]).ok();
    // Where the seed hangs by now.
    let port = first.unwrap().split_once('-').unwrap().0.parse().unwrap();
    lab.manage(&[
        "storageattach",
        &lab.machine(),
        "--storagectl",
        "Disks",
        "--port",
        "1",
        "--device",
        "0",
        "--medium",
        "none",
    ]);
    ruby(&lab, "seeded", &calls(port, 0));
    up(&lab);
    assert_eq!(place(&lab, &medium), Some(format!("{port}-0")));
    assert!(place(&lab, &seed(&lab)).is_some(), "{:?}", slots(&lab));
    assert_eq!(slots(&lab).len(), 3);
    lab.run(&["destroy", "-f"]).ok();
    lab.manage(&["closemedium", "disk", medium.to_str().unwrap()]);
    lab.assert_nothing_left();
}

/// IDE has four slots, and the last one is as good as any to who hangs a disk there.
#[test]
fn a_small_controller_has_room_for_the_seed_and_says_when_it_has_not() {
    let Some(lab) = with_boxes() else { return };
    let media: Vec<_> = (0..3).map(|number| lab.theirs().join(format!("theirs{number}.vdi"))).collect();
    for medium in &media {
        lab.manage(&["createmedium", "disk", "--filename", medium.to_str().unwrap(), "--size", "4"]);
    }
    let file = |slots: &[(u32, u32)]| {
        let calls: Vec<_> = slots
            .iter()
            .zip(&media)
            .map(|((port, device), medium)| {
                format!(
                    "[\"storageattach\", \":id\", \"--storagectl\", \"IDE Controller\", \"--port\", \"{port}\", \"--device\", \
                     \"{device}\", \"--type\", \"hdd\", \"--medium\", \"{}\"]",
                    medium.display()
                )
            })
            .collect();
        lab.machine_file(&format!(
            "box = \"seeded\"\ndisk_bus = \"ide\"\n[provider_options.virtualbox]\ncustomize = [{}]\n",
            calls.join(", ")
        ));
    };
    file(&[(1, 1)]);
    lab.up();
    assert_eq!(place(&lab, &media[0]).as_deref(), Some("1-1"));
    assert_eq!(place(&lab, &seed(&lab)).as_deref(), Some("1-0"));
    lab.run(&["halt", "-f"]).ok();
    file(&[(1, 1), (1, 0), (0, 1)]);
    lab.run(&["up"]).fails(7, &["no slot of its controller is free"]);
    assert_eq!(slots(&lab).len(), 4, "the user's disks stay");
    lab.run(&["destroy", "-f"]).ok();
    for medium in &media {
        lab.manage(&["closemedium", "disk", medium.to_str().unwrap()]);
    }
    lab.assert_nothing_left();
}

/// As the first version left it: the seed on the port after the disks, and no ports beyond.
#[test]
fn a_machine_of_an_earlier_version_keeps_its_seed() {
    let Some(lab) = with_boxes() else { return };
    ruby(&lab, "seeded", "");
    up(&lab);
    lab.run(&["halt", "-f"]).ok();
    let (machine, seed) = (lab.machine(), seed(&lab));
    let now = place(&lab, &seed).unwrap();
    let attach = |port: &str, medium: &str| {
        let place = ["--storagectl", "Disks", "--port", port, "--device", "0", "--type", "hdd", "--medium", medium];
        lab.manage(&[&["storageattach", &machine], &place[..]].concat());
    };
    attach(now.split_once('-').unwrap().0, "none");
    lab.manage(&["storagectl", &machine, "--name", "Disks", "--portcount", "2"]);
    attach("1", seed.to_str().unwrap());
    up(&lab);
    assert_eq!(place(&lab, &seed).as_deref(), Some("1-0"), "{:?}", slots(&lab));
    assert_eq!(slots(&lab).len(), 2);
    lab.run(&["halt", "-f"]).ok();
    // By now a machine file may want that port.
    ruby(&lab, "seeded", EXTRA);
    up(&lab);
    let extra = lab.world.project.join("extra.vdi");
    assert_eq!(place(&lab, &extra).as_deref(), Some("1-0"), "{:?}", slots(&lab));
    assert!(place(&lab, &seed).is_some(), "{:?}", slots(&lab));
    lab.run(&["destroy", "-f"]).ok();
    lab.manage(&["closemedium", "disk", extra.to_str().unwrap()]);
    lab.assert_nothing_left();
}

/// What is written since goes to a medium of the snapshot's, which stands for the seed.
#[test]
fn a_snapshot_that_the_user_took_brings_no_second_seed() {
    let Some(lab) = with_boxes() else { return };
    ruby(&lab, "seeded", "");
    up(&lab);
    lab.run(&["halt", "-f"]).ok();
    lab.manage(&["snapshot", &lab.machine(), "take", "one"]);
    for start in 1..=2 {
        up(&lab);
        assert_eq!(slots(&lab).len(), 2, "start {start}: {:?}", slots(&lab));
        lab.run(&["halt", "-f"]).ok();
    }
    lab.destroy();
}
