//! Hosts that lack something, where it takes a machine that starts for real: what a user is told, the exit code, and that
//! nothing is lost. What takes none is in `tests/bad_input.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::mounts::Mount;
use crate::world::silent::SILENT;
use crate::world::{Ran, World};

/// Runs a command where `/dev` has no `kvm`, or (`paravirtual`) one that opens, on a processor that shows no
/// virtualisation. `None`, and a printed reason, where a test may not do that.
fn on_another_host(world: &World, paravirtual: bool, args: &[&str]) -> Option<Ran> {
    const SCRIPT: &str = "dev=$1; kvm=$2; shift 2
        mount -t tmpfs none $dev
        for name in null zero full random urandom; do : > $dev/$name; mount --bind /dev/$name $dev/$name; done
        if $kvm; then
            : > $dev/kvm; mount --bind /dev/null $dev/kvm
            sed -E 's/ (vmx|svm)//g' /proc/cpuinfo > $dev/cpuinfo; mount --bind $dev/cpuinfo /proc/cpuinfo
        fi
        mount --rbind $dev /dev
        exec \"$@\"";
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        println!("skipped: it takes root to have a /dev of one's own");
        return None;
    }
    let inner = world.command(args);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", SCRIPT, "sh"]).arg(world.folder("dev"));
    command.arg(paravirtual.to_string()).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.current_dir(inner.get_current_dir().unwrap()).output().unwrap();
    Some(Ran::of(&output))
}

#[test]
fn without_dev_kvm_auto_goes_on_in_software_and_kvm_is_refused() {
    let world = World::silent("");
    let Some(ran) = on_another_host(&world, false, &["up"]) else { return };
    ran.fails(10, &["it runs in software (TCG)", "vbox-rs doctor", "no ssh server answered"]);
    world.run(&["destroy", "-f"]).ok();
    world.machine_file("box = \"empty\"\n[provider_options.qemu]\naccel = \"kvm\"\n");
    let ran = on_another_host(&world, false, &["up"]).unwrap();
    ran.fails(8, &["there is no /dev/kvm", "vbox-rs doctor", "accel = \"tcg\""]);
    world.assert_nothing_left();
}

#[test]
fn a_paravirtual_kvm_is_not_taken_by_itself_and_warned_of_when_asked_for() {
    let world = World::silent("");
    let Some(ran) = on_another_host(&world, true, &["up"]) else { return };
    let lines = ran.fails(10, &["no ssh server answered"]).stderr;
    let lines: Vec<_> = lines.lines().filter(|line| line.contains("KVM")).collect();
    assert!(lines.len() == 1 && lines[0].contains("it runs in software (TCG)"), "{lines:?}");
    on_another_host(&world, true, &["doctor"]).unwrap().says(&["paravirtual"]);
    world.run(&["destroy", "-f"]).ok();

    world.machine_file("box = \"empty\"\n[provider_options.qemu]\naccel = \"kvm\"\n");
    let ran = on_another_host(&world, true, &["up"]).unwrap();
    ran.fails(8, &["asked for, but may not work", "paravirtual", "(KVM) does not work here"]);
    assert_eq!(world.processes(), [0; 0]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// Takes all room in the file system of `at`, but `free` bytes.
fn fill(at: &World, free: u64) -> PathBuf {
    let path = at.home().join("fill");
    let mut file = File::create(&path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(free)).unwrap();
    path
}

#[test]
fn a_full_disk_stops_up_anywhere_and_destroy_still_makes_room() {
    let world = World::empty();
    let Some(_mount) = Mount::new(&world.home(), "size=1m") else { return };
    world.add_empty_box();
    world.machine_file(SILENT);
    let mut came_up = 0;
    for free in [0, 4, 12, 24, 40, 80, 160, 200, 210, 220, 230, 240, 260].map(|kib| kib << 10) {
        let filler = fill(&world, free);
        let ran = world.run(&["up"]);
        println!("{free} bytes free: exit code {}", ran.code);
        if ran.code == 10 {
            came_up += 1;
        } else {
            ran.fails(16, &["o space left", "free some space on the file system of"]);
        }
        // Fill what is left: no room for a record of what is being done.
        let mut file = OpenOptions::new().append(true).open(&filler).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        world.run(&["status"]).ok();
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
        fs::remove_file(filler).unwrap();
    }
    assert!(came_up < 13, "the disk was never full");

    // Nothing is lost: with room again, the same machine goes on.
    let filler = fill(&world, 80 << 10);
    world.run(&["up"]).fails(16, &[]);
    let id = world.id("default");
    fs::remove_file(filler).unwrap();
    world.run(&["up"]).fails(10, &[]);
    assert_eq!((world.id("default"), world.state("default").as_str()), (id, "running"));
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_machine_on_a_full_disk_can_be_stopped_and_what_was_not_recorded_is_told() {
    let world = World::empty();
    let Some(_mount) = Mount::new(&world.home(), "size=1m") else { return };
    world.add_empty_box();
    // A record that needs more room than what the end of a process gives back.
    let long = "x".repeat(40_000);
    world.machine_file(&format!("{SILENT}[ssh]\nextra_args = [\"{long}\"]\n"));
    for args in [&["halt"][..], &["halt", "-f"]] {
        world.run(&["up"]).fails(10, &[]);
        let id = world.id("default");
        let record = world.home().join("machines").join(&id).join("machine.json");
        let before = fs::read(&record).unwrap();
        let filler = fill(&world, 0);
        let ran = world.run(args).ok().says(&["stopped by force", "could not be recorded", "o space left"]);
        println!("{}", ran.stderr);
        assert_eq!(world.processes(), [0; 0]);
        assert_eq!(fs::read(&record).unwrap(), before, "the record is as it was, and whole");
        assert_eq!(world.state("default"), "off");
        world.run(&["halt"]).ok().says(&["was not running"]);
        fs::remove_file(filler).unwrap();
        world.run(&["up"]).fails(10, &[]);
        assert_eq!((world.id("default"), world.state("default").as_str()), (id, "running"), "the same machine goes on");
    }
    fill(&world, 0);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// Writes a sector into each 64 KiB of its disk, by the firmware's extended write.
const WRITER: [u8; 64] = {
    // At 0x7c00: ax = ds = 0, then for each packet: si = packet, ax = 0x4300, int 0x13, sector += 128, until 2048.
    let code = [
        0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x30, 0x7c, 0xb8, 0x00, 0x43, 0xcd, 0x13, 0x81, 0x06, 0x38, 0x7c, 0x80, 0x00,
        0x81, 0x3e, 0x38, 0x7c, 0x00, 0x08, 0x72, 0xea, 0xfb, 0xf4, 0xeb, 0xfd,
    ];
    let packet = [0x10, 0, 1, 0, 0x00, 0x7c, 0, 0];
    let mut sector = [0; 64];
    let mut i = 0;
    while i < code.len() {
        sector[i] = code[i];
        i += 1;
    }
    i = 0;
    while i < packet.len() {
        sector[0x30 + i] = packet[i];
        i += 1;
    }
    sector
};

#[test]
fn a_guest_that_fills_the_disk_is_paused_told_at_once_and_goes_on_with_room() {
    let world = World::empty();
    let Some(_mount) = Mount::new(&world.home(), "size=4m") else { return };
    world.add_boot_sector("writer", &WRITER);
    world.machine_file("box = \"writer\"\nboot_timeout = 20\nmemory = 128\n");
    let filler = fill(&world, 600 << 10);
    let ran = world.run(&["up"]);
    ran.fails(16, &["paused the machine", "disk could not be written", "free some space", "vbox-rs up"]);
    assert_eq!(world.state("default"), "paused");
    fs::remove_file(filler).unwrap();
    world.machine_file("box = \"writer\"\nboot_timeout = 2\nmemory = 128\n");
    world.run(&["up"]).fails(10, &["its disk could not be written", "it runs again"]);
    assert_eq!(world.state("default"), "running");
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn firmware_that_is_not_installed_is_named_with_what_installs_it() {
    let world = World::silent("firmware = \"uefi\"\n");
    let hidden = world.hidden_firmware();
    let run = |mut command: Command| Ran::of(&command.env("XDG_CONFIG_HOME", &hidden).output().unwrap());
    run(world.command(&["up"])).fails(8, &["UEFI firmware", "install"]);
    run(world.command(&["doctor"])).says(&["no UEFI firmware"]);
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
