//! Where libvirt keeps what a machine and its hypervisor say. Its log daemon (`virtlogd`) puts a console's log aside when that
//! has grown too long, 2 MiB unless its configuration says otherwise, and goes on with a new file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::qemu::files::Files;
use super::record::LibvirtRecord;
use super::uri;
use crate::store;

/// Where the daemon of this machine keeps what QEMU printed.
pub fn of_hypervisor(record: &LibvirtRecord) -> PathBuf {
    let dir = if uri::is_session(&record.uri) {
        let cache = dirs::cache_dir().unwrap_or_else(|| PathBuf::from("/var/cache"));
        cache.join("libvirt/qemu/log")
    } else {
        PathBuf::from("/var/log/libvirt/qemu")
    };
    dir.join(format!("{}.log", record.domain))
}

/// What was put aside of the console's log, the oldest first: by the daemon (`console.log.2`, `console.log.1`,
/// `console.log.0`), and by us at a start (`console.log.old`).
pub fn put_aside(files: &Files) -> Result<Vec<PathBuf>, store::Error> {
    let dir = files.dir();
    let entries = match dir.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(store::Error::io("read", dir, e)),
    };
    let number = |name: &str| name.strip_prefix("console.log.")?.parse::<u32>().ok();
    let numbered = |name: String| Some((number(&name)?, dir.join(name)));
    let mut found: Vec<_> = entries.filter_map(|entry| numbered(entry.ok()?.file_name().into_string().ok()?)).collect();
    found.sort_by(|one, other| other.cmp(one));
    let mut found: Vec<_> = found.into_iter().map(|(_, path)| path).collect();
    let ended = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    let ours = Files::put_aside(&files.console_log());
    if let Ok(end) = ended(&ours) {
        let later = found.iter().position(|path| ended(path).is_ok_and(|other| other > end));
        found.insert(later.unwrap_or(found.len()), ours);
    }
    Ok(found)
}

/// Makes the console's log as a file of the user's: the daemon would make it, and nobody else could read it then. What the
/// daemon made, after it had put ours aside, makes way.
pub fn begin(files: &Files) -> Result<(), store::Error> {
    let path = files.console_log();
    let opened = match Files::open_log(&path) {
        Err(store::Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            fs::rename(&path, Files::put_aside(&path)).map_err(|e| store::Error::io("rename", &path, e))?;
            Files::open_log(&path)
        }
        opened => opened,
    };
    opened.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_aside_is_found_in_the_order_in_which_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        for name in ["console.log", "console.log.0", "console.log.10", "console.log.2", "disk0.1"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let parts = || {
            let names = put_aside(&files).unwrap().into_iter().map(|path| path.extension().unwrap().to_owned());
            names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(parts(), ["10", "2", "0"]);
        let end = |name: &str, seconds| {
            let file = fs::File::options().append(true).create(true).open(dir.path().join(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        for (name, seconds) in [("console.log.10", 10), ("console.log.2", 20), ("console.log.0", 30)] {
            end(name, seconds);
        }
        for (seconds, expected) in
            [(5, ["old", "10", "2", "0"]), (25, ["10", "2", "old", "0"]), (35, ["10", "2", "0", "old"])]
        {
            end("console.log.old", seconds);
            assert_eq!(parts(), expected);
        }
        assert!(put_aside(&Files::new(&dir.path().join("none"))).unwrap().is_empty());
    }
}
