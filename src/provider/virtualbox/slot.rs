//! The slots of our storage controller, as VirtualBox tells them: where the seed hangs, and where it may.
//!
//! Machine files hang disks of their own on it, as they would in Vagrant, on the first ports after the box's disks. So the
//! seed comes last, and takes the highest slot that they left.

use std::fs;
use std::path::Path;

use super::argv;
use super::parse::Info;

/// More controllers than a machine can have.
const CONTROLLERS: usize = 64;

/// A port and a device on it.
pub type Slot = (usize, usize);

/// The slots of our controller.
pub struct Slots<'a> {
    info: &'a Info,
    /// How many ports it has.
    ports: usize,
    /// How many it can have.
    most: usize,
    /// How many devices a port has.
    devices: usize,
}

impl<'a> Slots<'a> {
    /// Those of the machine that `info` tells of.
    pub fn of(info: &'a Info) -> Self {
        let is_ours = |index: &usize| info.get(&format!("storagecontrollername{index}")) == Some(argv::CONTROLLER);
        let index = (0..CONTROLLERS).find(is_ours);
        let told = |key: &str| index.and_then(|index| info.get(&format!("storagecontroller{key}{index}")));
        let number = |key: &str| told(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        let ide = told("type").is_some_and(|chip| ["PIIX3", "PIIX4", "ICH6"].contains(&chip));
        Self { info, ports: number("portcount"), most: number("maxportcount"), devices: if ide { 2 } else { 1 } }
    }

    /// How many ports it has once it has as many as it should: a machine of an earlier version has fewer.
    pub fn ports(&self) -> usize {
        self.ports.max(self.most.min(argv::PORTS))
    }

    /// Whether it has fewer.
    pub fn are_few(&self) -> bool {
        self.ports < self.ports()
    }

    /// All but the first so many.
    fn after(&self, disks: usize) -> impl DoubleEndedIterator<Item = Slot> {
        let devices = self.devices;
        (disks..self.ports() * devices).map(move |number| (number / devices, number % devices))
    }

    /// What hangs there.
    fn medium(&self, (port, device): Slot) -> Option<&'a str> {
        self.info.medium(argv::CONTROLLER, port, device).filter(|medium| *medium != "none")
    }

    /// Where a medium hangs.
    pub fn with(&self, medium: &Path) -> Option<Slot> {
        self.after(0).find(|slot| self.medium(*slot).is_some_and(|there| same(Path::new(there), medium)))
    }

    /// The last free one, after those of the box's own disks.
    pub fn free(&self, disks: usize) -> Option<Slot> {
        self.after(disks).rev().find(|slot| self.medium(*slot).is_none())
    }

    /// Whether something hangs there that takes what is written to another medium since a snapshot.
    pub fn has_differences(&self, disks: usize) -> bool {
        let Some(folder) = self.info.get("SnapFldr").filter(|_| self.info.get("SnapshotName").is_some()) else {
            return false;
        };
        let there = |slot| self.medium(slot).is_some_and(|medium| Path::new(medium).starts_with(folder));
        self.after(disks).any(there)
    }
}

/// Whether both name one file, by whatever names it is reached.
fn same(a: &Path, b: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: &str, ports: usize, most: usize, media: &str) -> Info {
        Info::parse(&format!(
            "SnapFldr=\"/m/Snapshots\"\nstoragecontrollername0=\"Floppy\"\nstoragecontrollername1=\"Disks\"\n\
             storagecontrollertype1=\"{kind}\"\nstoragecontrollermaxportcount1=\"{most}\"\n\
             storagecontrollerportcount1=\"{ports}\"\n{media}"
        ))
    }

    #[test]
    fn the_seed_takes_the_last_slot_that_nobody_has() {
        let disk = "\"Disks-0-0\"=\"/m/disk0.vdi\"\n";
        for (kind, ports, most, media, free) in [
            ("IntelAhci", 30, 30, "", Some((29, 0))),
            ("VirtioSCSI", 30, 256, "\"Disks-29-0\"=\"/theirs.vdi\"\n\"Disks-28-0\"=\"emptydrive\"\n", Some((27, 0))),
            // Of an earlier version: it gets more ports before.
            ("IntelAhci", 2, 30, "\"Disks-1-0\"=\"/theirs.vdi\"\n", Some((29, 0))),
            ("LsiLogic", 16, 16, "", Some((15, 0))),
            ("PIIX4", 2, 2, "", Some((1, 1))),
            ("PIIX4", 2, 2, "\"Disks-1-1\"=\"/theirs.vdi\"\n\"Disks-1-0\"=\"none\"\n", Some((1, 0))),
            ("PIIX4", 2, 2, "\"Disks-0-1\"=\"/a\"\n\"Disks-1-0\"=\"/b\"\n\"Disks-1-1\"=\"/c\"\n", None),
        ] {
            let info = info(kind, ports, most, &format!("{disk}{media}"));
            assert_eq!(Slots::of(&info).free(1), free, "{kind} {media}");
        }
        assert_eq!(Slots::of(&Info::default()).free(0), None);
    }

    #[test]
    fn a_controller_of_an_earlier_version_has_few_ports() {
        for (ports, most, few) in [(1, 30, true), (30, 30, false), (16, 16, false), (2, 2, false), (2, 256, true)] {
            assert_eq!(Slots::of(&info("x", ports, most, "")).are_few(), few, "{ports} of {most}");
        }
        assert_eq!(Slots::of(&info("x", 40, 256, "")).ports(), 40);
    }

    #[test]
    fn a_medium_is_found_where_it_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let seed = dir.path().join("seed.vmdk");
        fs::write(&seed, "").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let info = info("PIIX4", 2, 2, &format!("\"Disks-0-1\"=\"{}\"\n", seed.display()));
        let slots = Slots::of(&info);
        assert_eq!(slots.with(&seed), Some((0, 1)));
        assert_eq!(slots.with(&link.join("seed.vmdk")), Some((0, 1)));
        assert_eq!(slots.with(&dir.path().join("other.vmdk")), None);
    }

    #[test]
    fn after_a_snapshot_another_medium_stands_for_the_seed() {
        let media = "\"Disks-0-0\"=\"/m/Snapshots/{a}.vdi\"\n\"Disks-1-0\"=\"/m/Snapshots/{b}.vmdk\"\n";
        for (name, disks, differs) in
            [("", 1, false), ("SnapshotName=\"one\"\n", 1, true), ("SnapshotName=\"one\"\n", 2, false)]
        {
            let info = info("IntelAhci", 30, 30, &format!("{media}{name}"));
            assert_eq!(Slots::of(&info).has_differences(disks), differs, "{name}{disks}");
        }
    }
}
