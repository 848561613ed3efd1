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
