//! What machines need of the library. Told by whoever knows machines.

use std::collections::BTreeMap;

use super::manifest::{Manifest, digest_of};

/// Which boxes and files of the library machines stand on.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Each machine with what its record tells of its box.
    machines: Vec<(String, Manifest)>,
    files: BTreeMap<String, Need>,
    /// Machines whose record cannot be read, each with the reason: they may need any file.
    pub unreadable: Vec<String>,
}

/// Who needs a file.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub machines: Vec<String>,
    /// What a machine's record tells of the box that brought the file.
    pub manifest: Manifest,
}

impl Needs {
    /// What is known where no machine can be asked.
    pub(super) fn unknown(why: String) -> Self {
        Self { unreadable: vec![why], ..Self::default() }
    }

    /// A machine, as people know it, stands on this box.
    pub fn add(&mut self, machine: &str, manifest: &Manifest) {
        self.machines.push((machine.into(), manifest.clone()));
        for file in manifest.files() {
            let need = || Need { machines: Vec::new(), manifest: manifest.clone() };
            self.files.entry(file).or_insert_with(need).machines.push(machine.into());
        }
    }

    /// Machines that were made from this box.
    pub fn users(&self, manifest: &Manifest) -> Vec<String> {
        let users = self.machines.iter().filter(|(_, theirs)| theirs.identity() == manifest.identity());
        users.map(|(machine, _)| machine.clone()).collect()
    }

    /// Whether a machine may stand on a file of the library, or on the same content in another form.
    pub(super) fn may_want(&self, file: &str) -> bool {
        !self.unreadable.is_empty() || !self.machines(digest_of(file)).is_empty()
    }

    /// Machines that stand on the content with this SHA-256, whatever its form.
    pub(super) fn machines(&self, digest: &str) -> Vec<String> {
        let begins = self.files.range(digest.to_owned()..).take_while(|(file, _)| digest_of(file) == digest);
        begins.flat_map(|(_, need)| need.machines.iter().cloned()).collect()
    }

    /// Every file with who needs it.
    pub(super) fn files(&self) -> impl Iterator<Item = (&String, &Need)> {
        self.files.iter()
    }
}
