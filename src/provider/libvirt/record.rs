//! `libvirt.json`: what this provider must remember between commands.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::remote::Hop;
use super::volume::Storage;
use crate::provider::VmPlan;
use crate::store::{self, MachineId, Record};

/// The right of a record's owner to write to it.
const WRITABLE: u32 = 0o200;

/// Written before anything is made, and before and after what changes the domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LibvirtRecord {
    /// The daemon that the machine lives at: it stays there, whatever the environment says later.
    pub uri: String,
    /// The domain's name.
    pub domain: String,
    /// As of the last `create` or start.
    pub plan: VmPlan,
    /// Whether the disks were complete once: one that is missing since was lost, not never made.
    pub created: bool,
    /// Whether a domain was, or was about to be, defined.
    pub defined: bool,
    /// The definition as libvirt completed it, to see whether somebody changed it since.
    pub definition: Option<String>,
    /// Whether it was started and nobody of us ended it since.
    pub started: bool,
    /// Where its disks lie, where they are no files of ours.
    #[serde(default)]
    pub storage: Option<Storage>,
    /// How this computer's ports lead to another host, since the last start there.
    #[serde(default)]
    pub hops: Vec<Hop>,
    /// The networks that its private networks are, or were about to be: those of ours go with their last machine.
    #[serde(default)]
    pub networks: Vec<String>,
    /// The port of this computer that leads to the guest's ssh server, where the guest has an address of its own on a
    /// network of another host.
    #[serde(default)]
    pub way: Option<u16>,
}

impl Record for LibvirtRecord {
    const FORMAT: u32 = 1;
}

/// Where it lies in the machine's directory.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("libvirt.json")
}

/// The record; `None` when the machine was never created.
pub fn read(dir: &Path) -> Result<Option<LibvirtRecord>, store::Error> {
    let path = path(dir);
    let mut record = store::read_record::<LibvirtRecord>(&path)?;
    if let Some(record) = record.as_mut().filter(|record| record.started) {
        record.started = path.metadata().map_or(true, |file| file.permissions().mode() & WRITABLE != 0);
    }
    Ok(record)
}

/// Notes that we end a machine (or did not, after all) where a disk that is full leaves no room for another record: that one
/// may not be written to any more says it, and takes no room. The next record is a file of its own, which may.
pub fn note_end(dir: &Path, ended: bool) {
    let mode = if ended { 0o400 } else { 0o400 | WRITABLE };
    // A file system that is not even written to keeps what it has: then nothing can be noted.
    drop(fs::set_permissions(path(dir), Permissions::from_mode(mode)));
}

/// Replaces the record.
pub fn write(dir: &Path, record: &LibvirtRecord) -> Result<(), store::Error> {
    store::write_record(&path(dir), record)
}

/// The domain's name: what people read in `virsh list`, and nobody else has.
pub fn domain_name(plan: &str, id: MachineId) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    // libvirt makes file names of it, some of which are sockets.
    let name: String = plan.chars().map(letter).take(40).collect();
    format!("{}-{}", name.trim_start_matches(['.', '-']), id.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domains_name_is_one_that_libvirt_takes() {
        let id: MachineId = "00112233445566778899aabbccddeeff".parse().unwrap();
        for (plan, name) in [
            ("shop/web", "shop-web-00112233"),
            ("../ü b/default", "---b-default-00112233"),
            (&"x".repeat(90), &format!("{}-00112233", "x".repeat(40))),
        ] {
            assert_eq!(domain_name(plan, id), name.trim_start_matches('-'));
        }
    }
}
