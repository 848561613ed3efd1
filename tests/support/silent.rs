//! Machines that start for real and on which nothing ever answers.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::World;

/// A machine whose hypervisor starts for real, and on which nothing has to boot: `up` ends with code 10.
pub const SILENT: &str = "box = \"empty\"\nboot_timeout = 1\ngraceful_halt_timeout = 1\nmemory = 128\n";

impl World {
    /// A project of [`SILENT`] and more.
    pub fn fall_silent(&self, more: &str) {
        self.add_empty_box();
        self.machine_file(&format!("{SILENT}{more}"));
    }

    /// Descriptors of firmware that hide those of the host, where `XDG_CONFIG_HOME` names what is returned.
    pub fn hidden_firmware(&self) -> PathBuf {
        let config = self.folder("config");
        let hidden = config.join("qemu/firmware");
        fs::create_dir_all(&hidden).unwrap();
        for folder in ["/usr/share/qemu/firmware", "/etc/qemu/firmware"] {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                fs::write(hidden.join(entry.unwrap().file_name()), "").unwrap();
            }
        }
        config
    }

    /// A box `empty` whose disk has a boot sector and nothing else: its machines start for real and sleep for ever.
    pub fn add_empty_box(&self) {
        // sti; hlt; jmp back to hlt
        self.add_boot_sector("empty", &[0xfb, 0xf4, 0xeb, 0xfd]);
    }

    /// A box whose disk of 1 MiB has nothing but a boot sector with this code. It reads no seed, so it gets none: a
    /// machine of it takes only some KiB.
    pub fn add_boot_sector(&self, name: &str, code: &[u8]) {
        let image = self.folder("images").join(format!("{name}.img"));
        let mut disk = vec![0_u8; 1 << 20];
        disk[..code.len()].copy_from_slice(code);
        // The signature that firmware looks for.
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&image, disk).unwrap();
        self.run(&["box", "add", image.to_str().unwrap(), "--name", name]).ok();
        let folder = self.home().join("boxes/manifests").join(name).join("0");
        let manifest = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let mut known: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        known.as_object_mut().unwrap().remove("cloud_init").unwrap();
        fs::write(manifest, serde_json::to_vec(&known).unwrap()).unwrap();
    }
}
