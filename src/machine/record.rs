//! A machine's record on disk, and the folder around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Step;
use crate::boxes::Manifest;
use crate::config::spec::{ExtraDisk, ProviderKind, SshSpec};
use crate::provider::Forward;
use crate::store::{self, Dirs, Lock, MachineId, Record};

/// What is known of a machine beyond what its hypervisor knows. Written before and after each thing that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Its identity.
    pub id: MachineId,
    /// Its name in the project.
    pub name: String,
    /// The project's folder.
    pub root: PathBuf,
    /// The inode of the project's folder, by which it is known again after it was renamed. Without its device: that has
    /// another number after each boot, and the link in the folder says the rest.
    #[serde(default)]
    pub root_inode: Option<u64>,
    /// The project's machine file.
    pub file: PathBuf,
    /// The hypervisor, for all its life.
    pub provider: ProviderKind,
    /// The box that its disks rest on, as it was then: `box remove --force` takes the library's manifest, not the disks.
    #[serde(rename = "box")]
    pub manifest: Manifest,
    /// Seconds since 1970.
    pub created: u64,
    /// What was begun and has not ended; `None` between commands.
    pub intent: Option<Intent>,
    /// Whether the guest of the current boot is set up: logged in, named, folders there.
    pub ready: bool,
    /// Whether the provisioners of a first `up` all ran well.
    pub provisioned: bool,
    /// Login name.
    pub user: String,
    /// The guest's host key in OpenSSH's one-line form, once known.
    pub host_key: Option<String>,
    /// Which key the guest lets in.
    pub key: KeyInUse,
    /// The host name that we gave the guest.
    pub hostname: Option<String>,
    /// Whether the cloud-init of a box that has one was seen to have ended: until then the guest may not be as the seed says.
    #[serde(default)]
    pub seed_taken: bool,
    /// Size in bytes up to which partition and file system of the first disk were grown.
    pub grown_to: Option<u64>,
    /// The disks beside the box's, in the order of attachment: all that the machine file ever had for it.
    #[serde(default)]
    pub extra_disks: Vec<ExtraDisk>,
    /// Host ports of the last start, the ssh port first.
    pub forwards: Vec<Forward>,
    /// Whether the machine may have others than these: their change, while it ran, was cut short or failed.
    #[serde(default)]
    pub forwards_unsure: bool,
    /// How to log in, as the machine file said at the last `up`.
    pub ssh: SshSpec,
    /// Seconds that the guest has to shut down.
    pub graceful_halt_timeout: u64,
    /// What the machine file said at the last start, of what only a start applies.
    #[serde(default)]
    pub started_with: BTreeMap<String, Value>,
}

impl Record for MachineRecord {
    const FORMAT: u32 = 1;
}

/// Something that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// Disks are being made.
    Create,
    /// It is being started and set up.
    Start,
    /// It is being stopped.
    Halt,
    /// Its memory is being saved.
    Suspend,
    /// It is being removed.
    Destroy,
}

impl Intent {
    /// The command that began it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Create | Self::Start => "up",
            Self::Halt => "halt",
            Self::Suspend => "suspend",
            Self::Destroy => "destroy",
        }
    }
}

/// Which private key the guest lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyInUse {
    /// What the box came with: Vagrant's public key pair, or those of the machine file.
    Box,
    /// The machine's own.
    Own,
}

/// Where the files of one machine lie.
#[derive(Clone, Debug)]
pub struct MachineDir {
    path: PathBuf,
}

impl MachineDir {
    /// The folder of machine `id`.
    pub fn new(dirs: &Dirs, id: MachineId) -> Self {
        Self { path: dirs.machine(id) }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keys and configuration of the OpenSSH client.
    pub fn ssh(&self) -> PathBuf {
        self.path.join("ssh")
    }

    /// The disk that the guest reads on its first boot.
    pub fn seed(&self) -> PathBuf {
        self.path.join("seed.img")
    }

    /// Held by whoever changes the machine.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Reads the record; `None` for a machine that is not created.
    pub fn read(&self) -> Result<Option<MachineRecord>, store::Error> {
        store::read_record(&self.record())
    }

    /// Writes the record.
    pub fn write(&self, record: &MachineRecord) -> Result<(), store::Error> {
        store::write_record(&self.record(), record)
    }

    /// Reads the times of the last `up`.
    pub fn read_timings(&self) -> Result<Option<Timings>, store::Error> {
        store::read_record(&self.path.join("timings.json"))
    }

    /// Writes the times of an `up`.
    pub fn write_timings(&self, timings: &Timings) -> Result<(), store::Error> {
        store::write_record(&self.path.join("timings.json"), timings)
    }

    /// Removes all but the lock; the record goes last, so that nothing is ever left without one.
    pub fn clear(&self) -> Result<(), store::Error> {
        let entries = match self.path.read_dir() {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(store::Error::io("read", &self.path, e)),
        };
        for entry in entries {
            let path = entry.map_err(|e| store::Error::io("read", &self.path, e))?.path();
            if path == self.record() || path == self.lock() {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                store::remove_dir(&path)?;
            } else {
                store::remove_file(&path)?;
            }
        }
        store::remove_file(&self.record())
    }

    /// Removes the lock and the folder, after `clear`.
    pub fn remove(&self, lock: Lock) -> Result<(), store::Error> {
        lock.remove()?;
        match std::fs::remove_dir(&self.path) {
            // Somebody else may wait for the lock and have made it anew: then it is theirs.
            Ok(()) => Ok(()),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty) => {
                Ok(())
            }
            Err(e) => Err(store::Error::io("remove", &self.path, e)),
        }
    }

    fn record(&self) -> PathBuf {
        self.path.join("machine.json")
    }
}

/// The times of one `up`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Seconds since 1970.
    pub at: u64,
    /// In order.
    pub steps: Vec<Step>,
}

impl Record for Timings {
    const FORMAT: u32 = 1;
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A machine with a box of this hardware.
#[cfg(test)]
pub fn sample(hardware: &crate::boxes::Hardware) -> MachineRecord {
    let manifest = serde_json::json!({
        "name": "x", "version": "0", "provider": "qemu", "architecture": null, "disks": [], "boot": null,
        "seed": false, "user": "ubuntu", "source": "x", "source_id": "x", "checksum": null, "added_at": 0,
        "info": null, "hardware": hardware,
    });
    let record = serde_json::json!({
        "id": "00112233445566778899aabbccddeeff", "name": "web", "root": "/p", "file": "/p/Vagrantfile",
        "provider": "qemu", "box": manifest, "created": 0, "intent": null, "ready": false, "provisioned": false,
        "user": "vagrant", "host_key": null, "key": "box", "hostname": null, "grown_to": null, "forwards": [],
        "ssh": {}, "graceful_halt_timeout": 60,
    });
    serde_json::from_value(record).unwrap()
}
