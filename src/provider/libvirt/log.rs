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

/// What was put aside of the console's log, the oldest first: `console.log.2`, `console.log.1`, `console.log.0`.
pub fn put_aside(dir: &Path) -> Result<Vec<PathBuf>, store::Error> {
    let entries = match dir.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(store::Error::io("read", dir, e)),
    };
    let number = |name: &str| name.strip_prefix("console.log.")?.parse::<u32>().ok();
    let numbered = |name: String| Some((number(&name)?, dir.join(name)));
    let mut found: Vec<_> = entries.filter_map(|entry| numbered(entry.ok()?.file_name().into_string().ok()?)).collect();
    found.sort_by(|one, other| other.cmp(one));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Makes the console's log as a file of the user's: the daemon would make it, and nobody else could read it then. What the
/// daemon made, after it had put ours aside, makes way.
pub fn begin(files: &Files) -> Result<(), store::Error> {
    let path = files.console_log();
    let opened = match Files::open_log(&path) {
        Err(store::Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            let old = path.with_extension("log.old");
            fs::rename(&path, old).map_err(|e| store::Error::io("rename", &path, e))?;
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
        for name in ["console.log", "console.log.0", "console.log.10", "console.log.2", "console.log.old", "disk0.1"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names = ["console.log.10", "console.log.2", "console.log.0"].map(|name| dir.path().join(name));
        assert_eq!(put_aside(dir.path()).unwrap(), names);
        assert!(put_aside(&dir.path().join("none")).unwrap().is_empty());
    }
}
