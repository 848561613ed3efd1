//! The machine that a box or a machine file asks for: buses, network cards, firmware.

use crate::world::World;

/// Each boots through BIOS and GRUB from its disk. Which of disk and seed becomes `sda` is a matter of chance. SATA and e1000
/// are those of the box made for VirtualBox, virtio that of all others; the rest differs in arguments only.
#[test]
fn a_guest_starts_from_other_buses_and_talks_through_other_cards() {
    for (bus, nic, disk, driver) in [("scsi", "pcnet", "sd", "pcnet32"), ("nvme", "vmxnet3", "nvme0n1", "vmxnet3")] {
        let world = World::with_demo();
        world.machine_file(&format!(
            "box = \"demo\"\ndisk_bus = \"{bus}\"\nnic = \"{nic}\"\nmac = \"08:00:27:aa:bb:0c\"\nmemory = 512\n[[synced_folder]]\n\
             guest = \"/vagrant\"\ndisabled = true\n[provider_options.qemu]\ndirect_boot = false\n"
        ));
        world.run(&["up"]).ok();
        let line = "findmnt -no SOURCE /; cat /sys/class/net/eth0/address; basename $(readlink \
                    /sys/class/net/eth0/device/driver); cat ~/.ssh/authorized_keys | wc -l";
        let seen = world.run(&["ssh", "-c", line]).ok().stdout;
        let lines: Vec<_> = seen.lines().collect();
        assert!(lines[0].starts_with(&format!("/dev/{disk}")), "{bus}: {seen}");
        // The seed was read from the same bus: Vagrant's keys are gone.
        assert_eq!(lines[1..], ["08:00:27:aa:bb:0c", driver, "1"], "{bus}, {nic}");
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
    }
}

/// What is on them stays through changes of the machine file, and the network card where it was.
#[test]
fn extra_disks_are_found_by_name_grow_and_stay() {
    let world = World::with_demo();
    let file = |disks: &[(&str, &str)]| {
        let head = "box = \"demo\"\nmemory = 512\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n";
        let disk = |(name, size): &(&str, &str)| format!("[[extra_disk]]\nname = \"{name}\"\nsize = \"{size}\"\n");
        world.machine_file(&format!("{head}{}", disks.iter().map(disk).collect::<String>()));
    };
    let guest = |line: &str| world.run(&["ssh", "-c", line]).ok().stdout;
    file(&[("data", "64 MiB"), ("old", "16 MiB")]);
    world.run(&["up"]).ok();
    let card = "ls -d /sys/class/net/*/device/driver; readlink -f /sys/class/net/eth0/device";
    let before = guest(&format!(
        "sudo mkfs.ext4 -q /dev/disk/by-id/virtio-data && sudo mount /dev/disk/by-id/virtio-data /mnt && \
         echo kept | sudo tee /mnt/it >&2 && sudo umount /mnt; {card}"
    ));

    file(&[("data", "128 MiB"), ("logs", "32 MiB")]);
    world.run(&["up"]).ok().says(&["already running", "since it was started: extra_disk; `vbox-rs reload` applies it"]);
    world.run(&["reload"]).ok().says(&["no extra_disk `old` any more; the machine keeps it until `vbox-rs destroy`"]);
    let sizes = "for name in data old logs; do sudo blockdev --getsize64 /dev/disk/by-id/virtio-$name; done";
    let seen = guest(&format!("sudo mount /dev/disk/by-id/virtio-data /mnt && cat /mnt/it; {sizes}; {card}"));
    let sizes = [128_u64, 16, 32].map(|mib| format!("{}\n", mib << 20)).concat();
    assert_eq!(seen, format!("kept\n{sizes}{before}"));

    // What cannot be is refused while the machine runs.
    file(&[("data", "64 MiB")]);
    let told = "extra_disk `data` of machine `default` has 128 MiB and cannot shrink to 64 MiB";
    world.run(&["reload"]).fails(7, &[told, "write `size = \"128 MiB\"` or more"]);
    assert_eq!(world.state("default"), "running");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
