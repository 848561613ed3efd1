//! A library of its own for each test, and what the tests make boxes of.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vbox_rs::boxes::fetch::Tuning;
use vbox_rs::boxes::{AddRequest, Collected, Error, Installed, Library, Needs, Removed, Verdict};
use vbox_rs::error::{Exit, Failure};
use vbox_rs::progress::Cx;
use vbox_rs::store::Dirs;

use crate::fault_server::Server;
use crate::images::qcow2;

/// A library in a folder of its own.
pub struct Home {
    pub dir: tempfile::TempDir,
    pub dirs: Dirs,
    pub library: Library,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let library = Library::new(&dirs);
        Self { dir, dirs, library }
    }

    /// Another one with the same content: quicker than adding every box anew.
    pub fn copy(&self) -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
                if from.is_dir() { copy(&from, &to) } else { assert!(fs::copy(&from, &to).is_ok()) }
            }
        }
        let home = Self::new();
        copy(self.dir.path(), home.dir.path());
        home
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn add(&self, request: &AddRequest) -> Result<Installed, Error> {
        self.library.add(&Cx::silent(), request)
    }

    pub fn add_file(&self, name: &str, bytes: &[u8]) -> Result<Installed, Error> {
        self.add(&request(&self.write(name, bytes)))
    }

    /// Tries to add what is refused, for this reason; nothing of it is left.
    #[track_caller]
    pub fn refuses(&self, name: &str, bytes: &[u8], why: &str) {
        let Err(error) = self.add_file(name, bytes) else { panic!("{why}: it was taken") };
        let (message, exit) = told(error);
        assert!(message.contains(why), "{why}: {message}");
        assert_eq!(exit, Exit::BoxRefused, "{message}");
        self.assert_empty(why);
    }

    /// Removes a box that no machine uses; does not wait for others.
    pub fn remove(&self, installed: &Installed) -> Result<Removed, Error> {
        self.library.remove(&Cx::silent(), std::slice::from_ref(installed), &|| Ok(Needs::default()), false, false)
    }

    /// Adds an image under a name and version.
    pub fn add_version(&self, name: &str, version: &str, image: &[u8]) -> Installed {
        let file = self.write("image", image);
        let (name, version) = (Some(name.to_owned()), Some(version.to_owned()));
        self.add(&AddRequest { name, version, ..request(&file) }).unwrap()
    }

    /// `box gc`.
    pub fn gc(&self, needs: &Needs, dry_run: bool) -> Collected {
        self.library.gc(&Cx::silent(), &|| Ok(needs.clone()), dry_run, true).unwrap()
    }

    /// `box verify` of everything.
    pub fn verify(&self, needs: &Needs) -> Verdict {
        self.library.verify(&Cx::silent(), &[], needs).unwrap()
    }

    /// Files of boxes and downloads, but locks.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dirs.boxes(), self.dirs.downloads()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_lock = path.ends_with("boxes/lock") || path.parent().unwrap().ends_with("boxes/locks");
                match path.is_dir() {
                    true if path.parent().unwrap().ends_with("incoming") => found.push(path),
                    true => folders.push(path),
                    false if !is_lock => found.push(path),
                    false => {}
                }
            }
        }
        found
    }

    pub fn assert_empty(&self, why: &str) {
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "{why}: nothing is left");
    }

    pub fn names(&self) -> Vec<String> {
        let listing = self.library.list().unwrap();
        listing.boxes.iter().map(|b| format!("{} {}", b.manifest.name, b.manifest.version)).collect()
    }
}

/// A machine that stands on this box.
pub fn needs(machine: &str, installed: &Installed) -> Needs {
    let mut needs = Needs::default();
    needs.add(machine, &installed.manifest);
    needs
}

/// What a file takes without its holes.
pub fn on_disk(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Quick to give up.
pub fn impatient() -> Tuning {
    Tuning {
        connect: Duration::from_secs(2),
        stall: Duration::from_millis(400),
        tries: 3,
        backoff: Duration::from_millis(5),
    }
}

pub fn request(source: &Path) -> AddRequest {
    AddRequest { source: source.to_str().unwrap().into(), tuning: impatient(), ..AddRequest::default() }
}

pub fn request_url(server: &Server, path: &str) -> AddRequest {
    request(Path::new(&server.url(path)))
}

pub fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = qcow2(4096);
    image[at..at + bytes.len()].copy_from_slice(bytes);
    image
}

pub fn raw() -> Vec<u8> {
    let mut image = vec![0; 1 << 20];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The message with its causes, and the exit code.
pub fn told(error: Error) -> (String, Exit) {
    let failure = Failure::from(error);
    (failure.chain(), failure.exit())
}
