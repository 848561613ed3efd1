//! A box that VirtualBox itself exported: machines of it have the hardware that its description tells, though none of it was
//! imported by VirtualBox.

use std::fs;
use std::process::Command;

use crate::world::Lab;

#[test]
fn a_machine_of_an_exported_box_has_its_hardware() {
    let Some(lab) = Lab::new() else { return };
    let disk = lab.theirs().join("mould/mould.vdi");
    let name = "mould";
    lab.manage(&["createvm", "--name", name, "--ostype", "Debian_64", "--register"]);
    lab.manage(&[
        "modifyvm",
        name,
        "--memory",
        "40",
        "--cpus",
        "2",
        "--firmware",
        "efi",
        "--nic1",
        "nat",
        "--nictype1",
        "82540EM",
        "--macaddress1",
        "080027AABBCC",
        "--audio-enabled",
        "off",
    ]);
    lab.manage(&["storagectl", name, "--name", "Their SATA", "--add", "sata", "--portcount", "1"]);
    lab.manage(&["createmedium", "disk", "--filename", disk.to_str().unwrap(), "--size", "4"]);
    let place = ["--storagectl", "Their SATA", "--port", "0", "--device", "0", "--type", "hdd", "--medium"];
    lab.manage(&[&["storageattach", name], &place[..], &[disk.to_str().unwrap()]].concat());
    let folder = lab.world.folder("exported");
    lab.manage(&["export", name, "-o", folder.join("box.ovf").to_str().unwrap()]);
    lab.manage(&["unregistervm", name, "--delete"]);
    fs::write(folder.join("metadata.json"), "{\"provider\": \"virtualbox\"}").unwrap();
    let packed = folder.with_extension("box");
    let tar = Command::new("tar").arg("-czf").arg(&packed).arg("-C").arg(&folder).arg(".").status().unwrap();
    assert!(tar.success());

    lab.run(&["box", "add", packed.to_str().unwrap(), "--name", "exported"]).ok();
    lab.world.machine_file(
        "box = \"exported\"\nboot_timeout = 1\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n",
    );
    lab.calls();
    lab.up();
    assert!(!lab.calls().iter().any(|call| call.starts_with("import")));
    let machine = lab.machine();
    let told = |key: &str| lab.info(&machine, key).unwrap_or_default();
    assert_eq!([told("memory"), told("cpus")], ["40", "2"]);
    assert_eq!((told("firmware").to_uppercase().as_str(), told("nictype1").as_str()), ("EFI", "82540EM"));
    assert_eq!((told("macaddress1").as_str(), told("ostype").as_str()), ("080027AABBCC", "Debian (64-bit)"));
    assert_eq!(told("storagecontrollertype0"), "IntelAhci");
    let media = lab.media();
    assert_eq!(media.len(), 2, "{media:?}");
    assert!(media.iter().all(|medium| medium.capacity == "4 MBytes"), "{media:?}");
    lab.destroy();
}
