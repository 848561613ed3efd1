//! Machines that start by UEFI, and what the firmware keeps of them.

use std::env;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vbox_rs::config::spec::{Firmware, ProviderKind};
use vbox_rs::provider::{VmPlan, VmState, provider};

use crate::daemon::{Daemon, found};
use crate::guest::World;
use crate::world::{TestVm, base, names};

/// A test's machine with such firmware, and why there is none where that is so.
fn firmware() -> Option<(TestVm, VmPlan)> {
    let test = TestVm::new()?;
    let mut plan = test.plan();
    plan.devices.firmware = Some(Firmware::Uefi);
    if let Some(missing) = provider(ProviderKind::Libvirt).unwrap().check(&plan).into_iter().next() {
        println!("skipped: {}", missing.text);
        return None;
    }
    Some((test, plan))
}

#[test]
fn variables_go_with_a_machine_that_is_saved_or_has_snapshots() {
    for (saved, snapshot) in [(true, false), (false, true), (true, true)] {
        let Some((mut test, plan)) = firmware() else { return };
        let cx = test.cx();
        test.up(&plan);
        if snapshot {
            // libvirt has no other kind for such a machine.
            let args = ["snapshot-create-as", &test.uuid(), "before", "--disk-only"];
            test.daemon.virsh(&args).unwrap();
        }
        if saved {
            test.vm.save(&cx).unwrap();
            assert_eq!(test.state(), VmState::Saved);
        }
        assert!(names(&test.dir()).contains(&"nvram.fd".to_owned()));
        test.vm.destroy(&cx).unwrap();
        assert_eq!((test.state(), names(&test.dir())), (VmState::Absent, Vec::new()), "{saved} {snapshot}");
    }
}

#[test]
fn variables_that_were_lost_are_made_anew() {
    let Some((mut test, plan)) = firmware() else { return };
    test.up(&plan);
    test.vm.kill().unwrap();
    let nvram = test.dir().join("nvram.fd");
    fs::remove_file(&nvram).unwrap();
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    assert!(nvram.exists());
}

/// A disk with nothing but what firmware looks for on one that it does not know: a boot loader that says by what it was
/// started. `None`, and why, where there is nothing to make it of.
fn disk_for_firmware(folder: &Path) -> Option<Vec<u8>> {
    if found("grub-mkimage").is_none() || !Path::new("/usr/lib/grub/x86_64-efi").exists() {
        println!("skipped: it takes grub-mkimage, and GRUB for UEFI (grub-efi-amd64-bin)");
        return None;
    }
    let (script, program) = (folder.join("grub.cfg"), folder.join("grub.efi"));
    fs::write(&script, "echo \"started by $grub_platform\"\nsleep 1000000\n").unwrap();
    let mut command = Command::new("grub-mkimage");
    command.args(["-O", "x86_64-efi", "-p", "/", "-c"]).arg(script).arg("-o").arg(&program).args(["echo", "sleep"]);
    assert!(command.status().unwrap().success());
    let mut disk = Cursor::new(vec![0; 8 << 20]);
    fatfs::format_volume(&mut disk, fatfs::FormatVolumeOptions::new()).unwrap();
    {
        let system = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).unwrap();
        let boot = system.root_dir().create_dir("EFI").unwrap().create_dir("BOOT").unwrap();
        boot.create_file("BOOTX64.EFI").unwrap().write_all(&fs::read(program).unwrap()).unwrap();
    }
    Some(disk.into_inner())
}

#[test]
fn what_the_firmware_finds_on_the_disk_is_started_and_remembered() {
    let Some((mut test, mut plan)) = firmware() else { return };
    let Some(disk) = disk_for_firmware(test.root.path()) else { return };
    fs::write(base(&plan), disk).unwrap();
    plan.memory = 128;
    let (log, nvram) = (test.vm.console_log(), test.dir().join("nvram.fd"));
    let says = |times: usize| {
        let said = || fs::read_to_string(&log).is_ok_and(|text| text.matches("started by efi").count() == times);
        let waited = (0..300).any(|_| said() || sleep_a_second());
        assert!(waited, "{}", fs::read_to_string(&log).unwrap_or_default());
    };
    // In the letters that firmware writes.
    let name: Vec<u8> = "BootOrder".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let remembers = || fs::read(&nvram).unwrap().windows(name.len()).any(|bytes| bytes == name);
    test.up(&plan);
    assert!(!remembers(), "its variables are a new copy");
    says(1);
    test.vm.kill().unwrap();
    assert!(remembers());
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    says(2);
    test.vm.save(&test.cx()).unwrap();
    test.vm.restore(&test.cx(), &[], &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    assert!(remembers());
}

fn sleep_a_second() -> bool {
    std::thread::sleep(Duration::from_secs(1));
    false
}

/// The cloud image that `make test` built: our one box that starts by UEFI.
fn cloud_box() -> Option<PathBuf> {
    let path = env::var_os("VBOX_RS_TEST_CLOUD").map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        println!("skipped: VBOX_RS_TEST_CLOUD names no box; `make test` builds one");
    }
    path
}

/// A variable of nobody else's, and what the guest's kernel takes before its value: non-volatile, for boot and run time.
const VARIABLE: &str = "/sys/firmware/efi/efivars/VboxRsTest-6b1ea4e2-7c1d-4a7e-9f0b-3f0f6f9d7a11";

#[test]
fn a_guest_starts_by_uefi_and_what_it_told_the_firmware_outlives_its_starts() {
    let Some(cloud) = cloud_box() else { return };
    if firmware().is_none() {
        return;
    }
    let world = World::on("libvirt");
    let daemon = Daemon::start(&world.folder("d")).unwrap();
    world.run(&["box", "add", cloud.to_str().unwrap(), "--name", "cloud"]).ok();
    world.machine_file(&format!(
        "box = \"cloud\"\nfirmware = \"uefi\"\nmemory = \"1 GiB\"\nboot_timeout = 1200\n[[synced_folder]]\nguest = \
         \"/vagrant\"\ndisabled = true\n[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n",
        daemon.uri()
    ));
    world.run(&["up"]).ok();
    let guest = |line: &str| world.run(&["ssh", "-c", line]).ok().stdout;
    assert_eq!(guest("test -d /sys/firmware/efi && echo uefi").trim(), "uefi");
    guest(&format!("printf '\\007\\0\\0\\0kept' | sudo dd of={VARIABLE} bs=64 status=none"));
    let kept = || guest(&format!("sudo tail -c 4 {VARIABLE}"));
    assert_eq!(kept(), "kept");

    world.run(&["halt"]).ok();
    let nvram = world.home().join("machines").join(world.id("default")).join("nvram.fd");
    let name: Vec<u8> = "VboxRsTest".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let holds = || fs::read(&nvram).unwrap().windows(name.len()).any(|bytes| bytes == name);
    assert!(holds());
    world.run(&["up"]).ok();
    assert_eq!(kept(), "kept");
    world.run(&["suspend"]).ok();
    world.run(&["resume"]).ok();
    assert_eq!(kept(), "kept");
    world.run(&["suspend"]).ok();
    assert!(nvram.exists());
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).unwrap().trim(), "");
}
