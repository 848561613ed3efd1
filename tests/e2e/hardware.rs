//! The machine that a box or a machine file asks for: buses, network cards, firmware.

use std::process::Command;

use crate::world::World;

/// Each boots through BIOS and GRUB from its disk. Which of disk and seed becomes `sda` is a matter of chance.
#[test]
fn a_guest_starts_from_every_bus_and_talks_through_every_card() {
    for (bus, nic, disk, driver) in [
        ("scsi", "e1000", "sd", "e1000"),
        ("sata", "pcnet", "sd", "pcnet32"),
        ("ide", "vmxnet3", "sd", "vmxnet3"),
        ("nvme", "virtio", "nvme0n1", "virtio_net"),
    ] {
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

#[test]
fn firmware_that_is_not_installed_is_named_with_what_installs_it() {
    let world = World::empty();
    world.add_empty_box();
    world.machine_file("box = \"empty\"\nfirmware = \"uefi\"\nboot_timeout = 1\nmemory = 256\n");
    // Descriptors that hide those of the host.
    let hidden = world.folder("config").join("qemu/firmware");
    std::fs::create_dir_all(&hidden).unwrap();
    for folder in ["/usr/share/qemu/firmware", "/etc/qemu/firmware"] {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            std::fs::write(hidden.join(entry.unwrap().file_name()), "").unwrap();
        }
    }
    let run = |mut command: Command| {
        crate::world::Ran::of(
            &command.env("XDG_CONFIG_HOME", hidden.parent().unwrap().parent().unwrap()).output().unwrap(),
        )
    };
    run(world.command(&["up"])).fails(8, &["UEFI firmware", "install"]);
    run(world.command(&["doctor"])).says(&["no UEFI firmware"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
