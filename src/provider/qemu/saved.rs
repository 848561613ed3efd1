//! Memory and devices on disk: writing them, and starting from them.
//!
//! The order keeps one promise: a saved state that can be loaded never exists beside a machine that runs or may have run
//! since, for memory that does not match the disk would destroy the guest's file systems. It appears by one rename when
//! it is complete, and disappears by one rename before the processors go on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::{Error, VmPlan};
use super::accel::Engine;
use super::files::Files;
use super::qmp::{self, Qmp, Version};
use super::record::Saved;
use crate::progress::{Cx, Transfer};
use crate::store;

/// How often we ask how far QEMU is.
const POLL: Duration = Duration::from_millis(10);

/// How long QEMU may take to stop saving.
const CANCEL: Duration = Duration::from_secs(10);

/// As fast as the disk takes it, in bytes per second; QEMU's own limit is meant for networks.
const BANDWIDTH: u64 = 1 << 40;

/// The progress of writing or loading memory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Migration {
    status: String,
    #[serde(rename = "error-desc")]
    error: Option<String>,
    ram: Ram,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ram {
    total: u64,
    remaining: u64,
}

/// How memory gets into a file. A state is loaded the way it was written, also by a later QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Each page has its place in the file, and pages of zeros are holes: fastest.
    Mapped,
    /// A stream that QEMU writes to a file by itself.
    File,
    /// A stream to a file that we open.
    Descriptor,
}

impl Way {
    /// The best that a QEMU of this version can do with a file in `dir`.
    pub fn best(version: Version, dir: &Path) -> Self {
        match (version.major, version.minor) {
            // QEMU takes what follows a comma for an offset, and takes no bytes that are not UTF-8.
            _ if dir.to_str().is_none_or(|text| text.contains(',')) => Self::Descriptor,
            (9.., _) => Self::Mapped,
            (8, 2..) => Self::File,
            _ => Self::Descriptor,
        }
    }
}

/// The versioned name of the machine type, so that a later QEMU can build the same machine.
pub fn describe(qmp: &mut Qmp, files: &Files, plan: &VmPlan, engine: Engine) -> Result<Saved, Error> {
    let way = Way::best(qmp.version(), files.dir());
    let answer = qmp.execute("qom-get", json!({ "path": "/machine", "property": "type" }))?;
    let machine = answer.as_str().and_then(|name| name.strip_suffix("-machine")).ok_or(qmp::Error::Garbage)?;
    Ok(Saved { plan: plan.clone(), machine: machine.into(), qemu: qmp.version().to_string(), engine, way })
}

/// Writes memory and devices of a stopped machine to `saved-state.new`, complete and synced.
pub fn write(qmp: &mut Qmp, cx: &Cx, files: &Files, way: Way) -> Result<(), Error> {
    let path = files.new_saved();
    store::remove_file(&path)?;
    prepare(qmp, way)?;
    qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": BANDWIDTH }))?;
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let file = open().map_err(|e| store::Error::io("create", &path, e))?;
    let uri = uri(qmp, way, &path, &file)?;
    qmp.execute("migrate", json!({ "uri": uri }))?;
    follow(qmp, cx, "save")?;
    Ok(file.sync_all().map_err(|e| store::Error::io("sync", &path, e))?)
}

/// Loads the saved state into a QEMU that was started for it.
pub fn load(qmp: &mut Qmp, cx: &Cx, files: &Files, way: Way) -> Result<(), Error> {
    let path = files.saved();
    prepare(qmp, way)?;
    let file = File::open(&path).map_err(|e| store::Error::io("open", &path, e))?;
    let uri = uri(qmp, way, &path, &file)?;
    qmp.execute("migrate-incoming", json!({ "uri": uri }))?;
    follow(qmp, cx, "restore")
}

/// Stops a save that is under way, and waits until QEMU has stopped it.
pub fn abandon(qmp: &mut Qmp, files: &Files) -> Result<(), Error> {
    let began = Instant::now();
    while under_way(&migration(qmp)?.status) {
        if began.elapsed() > CANCEL {
            return Err(Error::Timeout { what: "stop saving", limit: CANCEL });
        }
        qmp.execute("migrate_cancel", Value::Null)?;
        std::thread::sleep(POLL);
    }
    Ok(store::remove_file(&files.new_saved())?)
}

/// The saved state exists from here on.
pub fn commit(files: &Files) -> Result<(), Error> {
    rename(files, &files.new_saved(), &files.saved())
}

/// The saved state cannot be loaded any more from here on.
pub fn consume(files: &Files) -> Result<(), Error> {
    match rename(files, &files.saved(), &files.used_saved()) {
        Err(Error::Store(store::Error::Io { source, .. })) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Takes `consume` back: the machine did not run.
pub fn put_back(files: &Files) -> Result<(), Error> {
    rename(files, &files.used_saved(), &files.saved())
}

fn rename(files: &Files, from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|e| store::Error::io("rename", from, e))?;
    Ok(store::sync_dir(files.dir())?)
}

fn prepare(qmp: &mut Qmp, way: Way) -> Result<(), Error> {
    if way == Way::Mapped || qmp.version().major >= 9 {
        let capability = json!({ "capability": "mapped-ram", "state": way == Way::Mapped });
        qmp.execute("migrate-set-capabilities", json!({ "capabilities": [capability] }))?;
    }
    Ok(())
}

fn uri(qmp: &mut Qmp, way: Way, path: &Path, file: &File) -> Result<String, Error> {
    if way == Way::Descriptor {
        qmp.give_file("saved", file.as_fd())?;
        return Ok("fd:saved".into());
    }
    Ok(format!("file:{}", path.display()))
}

fn migration(qmp: &mut Qmp) -> Result<Migration, qmp::Error> {
    let answer = qmp.execute("query-migrate", Value::Null)?;
    serde_json::from_value(answer).map_err(|_| qmp::Error::Garbage)
}

fn under_way(status: &str) -> bool {
    matches!(status, "setup" | "cancelling" | "active" | "device" | "pre-switchover" | "wait-unplug")
}

fn follow(qmp: &mut Qmp, cx: &Cx, action: &'static str) -> Result<(), Error> {
    let mut transfer: Option<Transfer> = None;
    loop {
        let Migration { status, error, ram } = migration(qmp)?;
        if ram.total > 0 {
            let transfer = transfer.get_or_insert_with(|| cx.transfer(format!("{action} memory"), Some(ram.total)));
            transfer.update(ram.total.saturating_sub(ram.remaining));
        }
        match status.as_str() {
            "completed" => return Ok(()),
            "failed" | "cancelled" => {
                let message = error.unwrap_or_else(|| format!("it {status}"));
                return Err(Error::Migration { action, message });
            }
            _ => cx.sleep(POLL)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_qemu_gets_the_best_way_it_knows() {
        for (major, minor, way) in [
            (10, 0, Way::Mapped),
            (9, 0, Way::Mapped),
            (8, 2, Way::File),
            (8, 1, Way::Descriptor),
            (7, 2, Way::Descriptor),
        ] {
            assert_eq!(Way::best(Version { major, minor, micro: 0 }, Path::new("/h")), way);
        }
        assert_eq!(Way::best(Version { major: 10, minor: 0, micro: 0 }, Path::new("/a,b")), Way::Descriptor);
    }

    #[test]
    fn progress_is_read_from_what_qemu_sends() {
        let text =
            r#"{"status":"active","ram":{"total":100,"remaining":40,"transferred":60,"pages":1},"blocked":false}"#;
        let found: Migration = serde_json::from_str(text).unwrap();
        assert_eq!((found.status.as_str(), found.ram.total, found.ram.remaining), ("active", 100, 40));
        let nothing: Migration = serde_json::from_str("{}").unwrap();
        assert_eq!(nothing.status, "");
    }
}
