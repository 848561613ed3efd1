//! Unix sockets at paths of any length.
//!
//! A socket's address has 108 bytes (`unix(7)`), a home directory may have more. A longer path is reached through the
//! descriptor of its directory, so sockets always lie beside the machine's other files: a directory for short-lived files
//! may be emptied while the machine runs (`XDG_RUNTIME_DIR` is, at logout).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// `sun_path` holds 108 bytes, one of which ends it.
const ADDRESS_LIMIT: usize = 107;

/// Listens at `path`; a socket that an earlier process left there is replaced.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    with_address(path, |address| UnixListener::bind(address))
}

/// Connects to `path`.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_address(path, |address| UnixStream::connect(address))
}

fn with_address<T>(path: &Path, action: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().as_bytes().len() <= ADDRESS_LIMIT {
        return action(path);
    }
    let name = path.file_name().unwrap_or(OsStr::new("."));
    let dir = File::open(path.parent().unwrap_or(Path::new("/")))?;
    action(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_longer_than_an_address_works() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d".repeat(120));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("qmp.sock");
        for _ in 0..2 {
            let listener = listen(&path).unwrap();
            connect(&path).unwrap();
            listener.accept().unwrap();
        }
        assert!(path.exists());
        assert_eq!(connect(&dir.join("other.sock")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
