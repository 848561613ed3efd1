//! Key pairs: one per machine for the login, one for the guest's host key, and Vagrant's public one for boxes that come
//! with it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, rand_core::OsRng};

use super::Error;
use crate::store;

/// A key pair on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key's file.
    pub private: PathBuf,
    /// The public key in OpenSSH's one-line form, with its comment.
    pub public: String,
}

/// The private key that every Vagrant box is published with, so that a first login is possible: it protects nothing.
/// From Vagrant's repository (`keys/vagrant`, MIT licence), unchanged.
const INSECURE_PRIVATE: &str = include_str!("data/vagrant_insecure_key");

/// The public halves of Vagrant's published keys: the RSA one that goes with the above, and the ed25519 one that newer
/// boxes hold besides.
pub(super) const INSECURE_PUBLIC: [&str; 2] = [
    "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ==",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y",
];

const KEY_LIMIT: u64 = 64 << 10;

/// The key pair `name` in `dir`, made when it is not there (ed25519, readable for this user only). A pair whose public
/// half is missing, since we were killed in between, is completed.
pub fn ensure(dir: &Path, name: &str, comment: &str) -> Result<KeyPair, Error> {
    let private = dir.join(name);
    let failed = |source| Error::KeyPair { path: private.clone(), source };
    let key = if let Some(text) = store::read_bounded(&private, KEY_LIMIT)? {
        PrivateKey::from_openssh(&text).map_err(failed)?
    } else {
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
        key.set_comment(comment);
        let text = key.to_openssh(LineEnding::LF).map_err(failed)?;
        store::write_atomic(&private, text.as_bytes(), 0o600)?;
        key
    };
    let public = key.public_key().to_openssh().map_err(failed)?;
    complete(private, public)
}

/// Vagrant's published private key in `dir`.
pub fn insecure(dir: &Path) -> Result<KeyPair, Error> {
    let private = dir.join("vagrant_insecure_key");
    let same = store::read_bounded(&private, KEY_LIMIT)?.is_some_and(|text| text == INSECURE_PRIVATE.as_bytes());
    // The OpenSSH client refuses a key that others may read.
    let hidden = private.metadata().is_ok_and(|about| about.permissions().mode().trailing_zeros() >= 6);
    if !same || !hidden {
        store::write_atomic(&private, INSECURE_PRIVATE.as_bytes(), 0o600)?;
    }
    complete(private, format!("{} vagrant insecure public key", INSECURE_PUBLIC[0]))
}

/// The private key that a box came with, in `dir`. Without a public half beside it: the key may be in a form that only
/// OpenSSH can read.
pub fn of_box(dir: &Path, text: &[u8]) -> Result<PathBuf, Error> {
    let private = dir.join("box_key");
    if store::read_bounded(&private, KEY_LIMIT)?.is_none_or(|there| there != text) {
        store::write_atomic(&private, text, 0o600)?;
    }
    Ok(private)
}

/// The public half of a user's private key, in OpenSSH's one-line form: from the file beside it, or from the private
/// key itself, which in OpenSSH's own format shows it even when it has a passphrase.
pub fn public_half(private: &Path) -> Result<String, Error> {
    let beside = public_path(private);
    if let Some(text) = store::read_bounded(&beside, KEY_LIMIT)? {
        let line = String::from_utf8(text).ok().map(|text| text.trim().to_owned());
        let line = line.filter(|line| PublicKey::from_openssh(line).is_ok());
        let why = format!("its public half {} is not one public key in one line", beside.display());
        return line.ok_or_else(|| Error::Key { path: private.into(), why });
    }
    let missing = || Error::Key { path: private.into(), why: "it is missing".into() };
    let text = store::read_bounded(private, KEY_LIMIT)?.ok_or_else(missing)?;
    let hidden = |_| Error::Key {
        path: private.into(),
        why: format!("its public half cannot be read from it, and {} is missing", beside.display()),
    };
    let key = PrivateKey::from_openssh(&text).map_err(hidden)?;
    key.public_key().to_openssh().map_err(hidden)
}

/// The public half's file: the private one's name and `.pub`.
pub(super) fn public_path(private: &Path) -> PathBuf {
    let mut path = private.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

fn complete(private: PathBuf, public: String) -> Result<KeyPair, Error> {
    let path = public_path(&private);
    let line = format!("{public}\n");
    if store::read_bounded(&path, KEY_LIMIT).ok().flatten().is_none_or(|text| text != line.as_bytes()) {
        store::write_atomic(&path, line.as_bytes(), 0o644)?;
    }
    Ok(KeyPair { private, public })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_pair_is_made_once_and_a_half_one_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ssh");
        let pair = ensure(&dir, "id_ed25519", "vbox-rs web").unwrap();
        assert!(
            pair.public.starts_with("ssh-ed25519 AAAA") && pair.public.ends_with(" vbox-rs web"),
            "{}",
            pair.public
        );
        assert_eq!(mode(&pair.private), 0o600);
        let public = dir.join("id_ed25519.pub");
        assert_eq!(fs::read_to_string(&public).unwrap(), format!("{}\n", pair.public));
        fs::remove_file(&public).unwrap();
        assert_eq!(ensure(&dir, "id_ed25519", "other").unwrap(), pair);
        assert_eq!(fs::read_to_string(&public).unwrap(), format!("{}\n", pair.public));
    }

    #[test]
    fn the_public_half_of_a_users_key_is_read_from_the_file_beside_it_or_from_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let pair = ensure(dir.path(), "mine", "me@home").unwrap();
        assert_eq!(public_half(&pair.private).unwrap(), pair.public);
        let public = dir.path().join("mine.pub");
        fs::remove_file(&public).unwrap();
        assert_eq!(public_half(&pair.private).unwrap(), pair.public);
        fs::write(&public, "two\nlines").unwrap();
        assert!(public_half(&pair.private).unwrap_err().to_string().contains("mine.pub"));
        let pem = dir.path().join("pem");
        fs::write(&pem, INSECURE_PRIVATE).unwrap();
        let refused = public_half(&pem).unwrap_err().to_string();
        assert!(refused.contains("pem.pub is missing"), "{refused}");
        assert!(public_half(&dir.path().join("gone")).unwrap_err().to_string().contains("it is missing"));
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("k"), "nonsense").unwrap();
        assert!(matches!(ensure(dir.path(), "k", "c"), Err(Error::KeyPair { .. })));
        assert_eq!(fs::read_to_string(dir.path().join("k")).unwrap(), "nonsense");
    }

    #[test]
    fn the_insecure_key_is_for_this_user_only_and_fits_its_public_half() {
        let dir = tempfile::tempdir().unwrap();
        let pair = insecure(dir.path()).unwrap();
        assert_eq!(mode(&pair.private), 0o600);
        fs::set_permissions(&pair.private, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(insecure(dir.path()).unwrap(), pair);
        assert_eq!(mode(&pair.private), 0o600);
        let Ok(derived) = std::process::Command::new("ssh-keygen").arg("-yf").arg(&pair.private).output() else {
            return;
        };
        assert!(String::from_utf8_lossy(&derived.stdout).starts_with(INSECURE_PUBLIC[0]));
    }
}
