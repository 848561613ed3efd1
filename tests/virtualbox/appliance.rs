//! Boxes that `package --format virtualbox` wrote, started again: by us, and by VirtualBox's own import.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::life::HEEDFUL;
use crate::world::Lab;

/// A machine that VirtualBox itself imported from a box.
pub struct Imported<'a> {
    lab: &'a Lab,
    console: PathBuf,
}

impl<'a> Imported<'a> {
    pub const NAME: &'static str = "mine";

    pub fn start(lab: &'a Lab, packed: &Path) -> Self {
        let folder = lab.world.folder("unpacked");
        let tar = Command::new("tar").arg("-xf").arg(packed).arg("-C").arg(&folder).status().unwrap();
        assert!(tar.success());
        let (ovf, console) = (folder.join("box.ovf"), folder.join("console"));
        lab.manage(&["import", ovf.to_str().unwrap(), "--vsys", "0", "--vmname", Self::NAME]);
        let file = ["--uart1", "0x3F8", "4", "--uartmode1", "file", console.to_str().unwrap()];
        lab.manage(&[&["modifyvm", Self::NAME], &file[..]].concat());
        lab.manage(&["startvm", Self::NAME, "--type", "headless"]);
        Self { lab, console }
    }

    pub fn has_said(&self, words: &str) -> bool {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).contains(words)
    }

    pub fn told(&self, key: &str) -> String {
        self.lab.info(Self::NAME, key).unwrap_or_default()
    }

    pub fn remove(self) {
        self.lab.manage(&["controlvm", Self::NAME, "poweroff"]);
        self.lab.eventually("it is off", || self.lab.machines("runningvms").is_empty());
        // Its process lets go of it a moment later.
        self.lab.eventually("it is gone", || self.lab.try_manage(&["unregistervm", Self::NAME, "--delete"]).code == 0);
    }
}

#[test]
fn a_packed_box_starts_again_here_and_by_virtualboxs_own_import() {
    let Some(lab) = Lab::new() else { return };
    lab.world.add_boot_sector("heedful", HEEDFUL);
    lab.machine_file("box = \"heedful\"\n");
    lab.up();
    let packed = lab.world.project.join("packed.box");
    let package = ["package", "--format", "virtualbox", "--no-reset", "--output", "packed.box"];
    lab.run(&package).ok().says(&["shutting it down", "packed.box is written"]);
    lab.destroy();

    lab.run(&["box", "add", packed.to_str().unwrap(), "--name", "packed"]).ok();
    lab.machine_file("box = \"packed\"\n");
    lab.up();
    lab.eventually("the guest has spoken", || lab.run(&["logs"]).ok().stdout.contains("hello from the boot sector"));
    lab.run(&["halt"]).ok().says(&[": halted"]);
    lab.destroy();

    let imported = Imported::start(&lab, &packed);
    lab.eventually("the imported guest has spoken", || imported.has_said("hello from the boot sector"));
    let told = |key: &str| imported.told(key);
    assert_eq!([told("memory"), told("cpus"), told("firmware").to_uppercase()], ["32", "1", "BIOS"]);
    assert_eq!((told("nic1").as_str(), told("nictype1").as_str()), ("nat", "82540EM"));
    assert_eq!(told("storagecontrollertype0"), "IntelAhci");
    imported.remove();
    lab.assert_nothing_left();
}
