//! The seed: a small FAT image that a guest reads on its first boot, either with cloud-init (NoCloud) or with the
//! first-boot step of our own boxes, which reads the plain files below `vbox-rs/`.

mod cloud;

use std::io::{self, Cursor, Seek, Write};
use std::path::Path;

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use serde_json::json;

use super::keys::KeyPair;
use super::{Error, key_text};
use crate::config::spec::mac_address;
use crate::store;

/// Who reads the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The first-boot step of our own boxes.
    Own,
    /// cloud-init since 0.7.7 (2016).
    Modern,
    /// The same, and the network is the image's own: its card cannot be renamed.
    Unrenamed,
    /// cloud-init 0.6 and 0.7.5: no network configuration of its own, no ed25519 host key.
    Old,
    /// FreeBSD's nuageinit: a part of cloud-init's language.
    Nuageinit,
}

impl Flavour {
    /// The label that is looked for: cloud-init before 19.1 knows the lower-case one only, boxes of ours the other.
    fn label(self) -> [u8; 11] {
        match self {
            Self::Own => *b"CIDATA     ",
            _ => *b"cidata     ",
        }
    }

    /// Whether the guest gets the host key that is in the seed.
    pub fn takes_host_key(self) -> bool {
        self != Self::Old
    }
}

/// Names and texts.
type Files = Vec<(&'static str, String)>;

/// What a guest is told on its first boot.
#[derive(Clone, Copy, Debug)]
pub struct Seed<'a> {
    /// Changes whenever the guest shall do its first boot again.
    pub instance_id: &'a str,
    /// Host name; the box's own where left out.
    pub hostname: Option<&'a str>,
    /// Login user. A cloud image also gets Vagrant's.
    pub user: &'a str,
    /// The public key that lets him in; in our own boxes it replaces all others.
    pub authorized_key: &'a str,
    /// The guest's host key, so that it is known before the first contact.
    pub host_key: Option<&'a KeyPair>,
    /// Who reads it.
    pub flavour: Flavour,
    /// Hardware address of the guest's first network card.
    pub mac: &'a str,
}

/// Enough for every file, and FAT12.
const SIZE: usize = 1 << 20;

const KEY_LIMIT: u64 = 64 << 10;

/// Writes the image: the same seed gives the same bytes, and a file that already holds them is left alone. It carries a
/// private key, so only this user may read it.
pub fn write(path: &Path, seed: &Seed<'_>) -> Result<(), Error> {
    let files = files(seed)?;
    let image = image(&files, seed.flavour).map_err(|source| Error::Seed { path: path.into(), source })?;
    if store::read_bounded(path, SIZE as u64).ok().flatten().is_some_and(|old| old == image) {
        return Ok(());
    }
    Ok(store::write_atomic(path, &image, 0o600)?)
}

/// Whether `name` can be a host name (RFC 1123).
pub fn check_hostname(name: &str) -> Result<(), Error> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    let why = "a host name has letters, digits and hyphens, and dots in between";
    Err(Error::BadValue { what: "host name", value: name.into(), why })
}

fn check_word(what: &'static str, value: &str) -> Result<(), Error> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=64).contains(&value.len()) && value.bytes().all(fine) && !value.starts_with('-') {
        return Ok(());
    }
    Err(Error::BadValue { what, value: value.into(), why: "it has letters, digits, `-`, `_` and `.` only" })
}

fn check_key(what: &'static str, line: &str) -> Result<(), Error> {
    if key_text::normal(line).is_some() && !line.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::BadValue { what, value: line.chars().take(40).collect(), why: "it is not one public key in one line" })
}

/// All files of the seed, in order.
fn files(seed: &Seed<'_>) -> Result<Files, Error> {
    check_word("instance id", seed.instance_id)?;
    check_word("login name", seed.user)?;
    check_key("public key", seed.authorized_key)?;
    if mac_address(seed.mac).as_deref() != Some(seed.mac) {
        let why = "it is not the address of one card";
        return Err(Error::BadValue { what: "hardware address", value: seed.mac.into(), why });
    }
    seed.hostname.map_or(Ok(()), check_hostname)?;
    let host_key = seed.host_key.map(read_pair).transpose()?;
    Ok(match seed.flavour {
        Flavour::Own => own(seed, host_key),
        Flavour::Modern => cloud::modern(seed, host_key.as_ref()),
        Flavour::Unrenamed => cloud::unrenamed(seed, host_key.as_ref()),
        Flavour::Old => cloud::old(seed),
        Flavour::Nuageinit => cloud::nuageinit(seed, host_key.as_ref()),
    })
}

fn read_pair(pair: &KeyPair) -> Result<(String, String), Error> {
    check_key("host key", &pair.public)?;
    let text = store::read_bounded(&pair.private, KEY_LIMIT)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let missing = || Error::Key { path: pair.private.clone(), why: "it is missing or not a text file".into() };
    Ok((text.ok_or_else(missing)?, pair.public.clone()))
}

fn line(value: &str) -> String {
    format!("{}\n", value.trim())
}

/// JSON is YAML, and its strings need no thought about quoting.
fn document(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// For our own boxes: their first-boot step reads the plain files; the others are for a cloud-init that a user installs.
fn own(seed: &Seed<'_>, host_key: Option<(String, String)>) -> Files {
    let mut data = json!({
        "users": [{
            "name": seed.user,
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "shell": "/bin/bash",
            // A password that the box gave the user still works at the console.
            "lock_passwd": false,
            "ssh_authorized_keys": [seed.authorized_key.trim()],
        }],
        "ssh_genkeytypes": ["ed25519"],
        "growpart": { "mode": "auto", "devices": ["/"] },
        "resize_rootfs": true,
    });
    cloud::host_name(seed, &mut data);
    if let Some((private, public)) = &host_key {
        data["ssh_deletekeys"] = json!(true);
        data["ssh_keys"] = json!({ "ed25519_private": private, "ed25519_public": public });
    }
    let mut files = vec![
        ("meta-data", document(&cloud::meta_data(seed))),
        ("user-data", format!("#cloud-config\n{}", document(&data))),
        ("vbox-rs/instance-id", line(seed.instance_id)),
        ("vbox-rs/user", line(seed.user)),
        ("vbox-rs/authorized_keys", line(seed.authorized_key)),
    ];
    files.extend(seed.hostname.map(|name| ("vbox-rs/hostname", line(name))));
    if let Some((private, public)) = host_key {
        files.push(("vbox-rs/ssh_host_ed25519_key", private));
        files.push(("vbox-rs/ssh_host_ed25519_key.pub", line(&public)));
    }
    files
}

fn image(files: &[(&str, String)], flavour: Flavour) -> io::Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0; SIZE]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat12)
        .bytes_per_cluster(1024)
        .volume_id(u32::from_be_bytes(*b"vbrs"))
        .volume_label(flavour.label());
    fatfs::format_volume(&mut disk, options)?;
    disk.rewind()?;
    {
        // Without a clock the library dates every file 1980, which keeps the image the same.
        let system = FileSystem::new(&mut disk, FsOptions::new().update_accessed_date(false))?;
        let root = system.root_dir();
        if flavour == Flavour::Own {
            root.create_dir("vbox-rs")?;
        }
        for (name, text) in files {
            let mut file = root.create_file(name)?;
            file.truncate()?;
            file.write_all(text.as_bytes())?;
            file.flush()?;
        }
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;
    use crate::guest::keys;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vbox-rs: \"web\"";

    fn seed(host_key: Option<&KeyPair>) -> Seed<'_> {
        Seed {
            instance_id: "i-1",
            hostname: Some("web.example.com"),
            user: "vagrant",
            authorized_key: KEY,
            host_key,
            flavour: Flavour::Own,
            mac: "52:54:00:01:02:03",
        }
    }

    fn read(image: &[u8], name: &str) -> String {
        let system = FileSystem::new(Cursor::new(image.to_vec()), FsOptions::new()).unwrap();
        let mut text = String::new();
        system.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_seed_reads_back_as_the_contract_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.img");
        let pair = keys::ensure(dir.path(), "host_ed25519", "host").unwrap();
        write(&path, &seed(Some(&pair))).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let image = std::fs::read(&path).unwrap();
        let label = FileSystem::new(Cursor::new(image.clone()), FsOptions::new()).unwrap().volume_label();
        assert_eq!(label, "CIDATA");
        for (name, text) in [
            ("vbox-rs/instance-id", "i-1\n".to_owned()),
            ("vbox-rs/hostname", "web.example.com\n".to_owned()),
            ("vbox-rs/user", "vagrant\n".to_owned()),
            ("vbox-rs/authorized_keys", format!("{KEY}\n")),
            ("vbox-rs/ssh_host_ed25519_key", std::fs::read_to_string(&pair.private).unwrap()),
            ("vbox-rs/ssh_host_ed25519_key.pub", format!("{}\n", pair.public)),
        ] {
            assert_eq!(read(&image, name), text, "{name}");
        }
        let user_data = read(&image, "user-data");
        let data: serde_json::Value = serde_json::from_str(user_data.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(data["users"][0]["ssh_authorized_keys"][0], KEY);
        assert_eq!(data["hostname"], "web");
        assert_eq!(data["fqdn"], "web.example.com");
        assert_eq!(data["ssh_keys"]["ed25519_public"], pair.public);
        let meta: serde_json::Value = serde_json::from_str(&read(&image, "meta-data")).unwrap();
        assert_eq!(meta["instance-id"], "i-1");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let files = files(&seed(None)).unwrap();
        assert_eq!(image(&files, Flavour::Own).unwrap(), image(&files, Flavour::Own).unwrap());
        assert!(!files.iter().any(|(name, _)| name.contains("ssh_host")));
    }

    #[test]
    fn other_programs_read_the_seed_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.img");
        for (flavour, label) in [
            (Flavour::Modern, "cidata"),
            (Flavour::Old, "cidata"),
            (Flavour::Nuageinit, "cidata"),
            (Flavour::Own, "CIDATA"),
        ] {
            write(&path, &Seed { flavour, ..seed(None) }).unwrap();
            if let Ok(blkid) = Command::new("blkid").args(["-p", "-o", "export"]).arg(&path).output() {
                let text = String::from_utf8_lossy(&blkid.stdout).into_owned();
                assert!(text.contains(&format!("LABEL={label}\n")) && text.contains("TYPE=vfat"), "{text}");
            }
        }
        if let Ok(mtype) = Command::new("mtype").arg("-i").arg(&path).arg("::vbox-rs/instance-id").output() {
            assert_eq!(String::from_utf8_lossy(&mtype.stdout), "i-1\n");
        }
    }

    #[test]
    fn values_that_could_do_harm_are_refused() {
        let good = seed(None);
        for bad in [
            Seed { instance_id: "", ..good },
            Seed { instance_id: "a/b", ..good },
            Seed { user: "root; rm", ..good },
            Seed { user: "-x", ..good },
            Seed { mac: "00:00", ..good },
            Seed { mac: "52:54:00:AB:02:03", ..good },
            Seed { hostname: Some("a b"), ..good },
            Seed { hostname: Some("-a"), ..good },
            Seed { hostname: Some("a..b"), ..good },
            Seed { authorized_key: "no key", ..good },
            Seed { authorized_key: "ssh-ed25519 AAAA\nssh-rsa BBBB", ..good },
        ] {
            assert!(matches!(files(&bad), Err(Error::BadValue { .. })), "{bad:?}");
        }
    }
}
