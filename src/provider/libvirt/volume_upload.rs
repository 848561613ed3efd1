//! Bytes into a volume.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::Error as ProviderError;
use super::Error;
use super::daemon::Daemon;
use super::ffi::{Complaint, Connection};
use super::volume_transfer::{self, BLOCK, Meter, Transfer};
use crate::progress::Cx;
use crate::store::{self, hex};

/// A file that becomes a volume.
pub struct Upload {
    /// Description of the volume, which is made.
    pub xml: String,
    /// What is told of it.
    pub label: String,
    /// The file.
    pub file: PathBuf,
    /// Bytes of it.
    pub length: u64,
    /// SHA-256 of it, where others will take the volume's name for it.
    pub sha256: Option<String>,
}

/// Makes the volume and sends the file. A volume that is left after a failure is the caller's to remove.
pub fn run(cx: &Cx, daemon: &Daemon, pool: &str, upload: Upload) -> Result<(), ProviderError> {
    let Upload { xml, label, file: path, length, sha256 } = upload;
    let mut file = File::open(&path).map_err(|e| store::Error::io("read", &path, e))?;
    let pool = pool.to_owned();
    let work = move |connection: &Arc<Connection>, meter: &Meter| {
        let pool = connection.pool(&pool)?.ok_or_else(|| Complaint::of_ours("the storage pool is gone"))?;
        let volume = pool.create(&xml)?;
        let stream = volume.upload(length)?;
        let (mut block, mut hash) = (vec![0; BLOCK], Sha256::new());
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let got = file.read(&mut block[..most]).map_err(|e| Complaint::of_ours(&e.to_string()))?;
            if got == 0 {
                return Err(Complaint::of_ours("the file became shorter while it was read"));
            }
            let mut rest = &block[..got];
            hash.update(rest);
            while !rest.is_empty() {
                meter.check()?;
                let taken = stream.send(rest)?;
                rest = &rest[taken.min(rest.len())..];
                meter.add(taken);
            }
            left -= got as u64;
        }
        stream.finish()?;
        // A daemon (9.0) whose file system is full says that all went well. The volume was made empty: what is in it arrived.
        match volume.sizes()?.1 {
            there if there == length => Ok(hex(&hash.finalize())),
            there => Err(Complaint::of_ours(&format!("{FULL}: {there} of {length} bytes arrived"))),
        }
    };
    let transfer = Transfer { label, length, action: "take an upload", nothing: "took nothing of an upload" };
    let done = volume_transfer::run(cx, daemon, transfer, work);
    if sha256.is_some_and(|sha256| done.as_ref().is_ok_and(|sent| *sent != sha256)) {
        return Err(ProviderError::DiskDamaged { path, why: "its content is not what it was when it was added" });
    }
    done.map(drop)
}

/// The system's words.
const FULL: &str = "No space left on device";

/// Whether somebody's words mean that there is no room.
pub fn is_full(message: &str) -> bool {
    [FULL, "Disk quota exceeded"].iter().any(|words| message.contains(words))
}

/// SHA-256 of a file of `length` bytes.
pub fn digest(cx: &Cx, path: &Path, length: u64) -> Result<String, ProviderError> {
    let failed = |e| store::Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let mut transfer = cx.transfer("read the box's image", Some(length));
    let (mut hash, mut block, mut done) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        cx.check()?;
        let got = file.read(&mut block).map_err(failed)?;
        if got == 0 {
            break;
        }
        hash.update(&block[..got]);
        done += got as u64;
        transfer.update(done);
    }
    Ok(hex(&hash.finalize()))
}

/// A number that nobody else has.
pub fn random() -> Result<u32, ProviderError> {
    let mut bytes = [0; 4];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let failed = |e: rustix::io::Errno| Error::Failed { action: "make up a name", message: e.to_string() };
    got.map_err(failed)?;
    Ok(u32::from_ne_bytes(bytes))
}
