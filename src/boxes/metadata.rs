//! `metadata.json` and `info.json` of a box: text of a stranger.

use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::archive::safe_name;
use super::error::Refusal;
use super::hardware::Hardware;
use super::manifest::CloudInit;
use super::name::printable;
use super::receive::Broken;
use super::version::Version;
use super::{NATIVE, PROVIDERS};

/// Larger than any of these files.
const JSON_LIMIT: u64 = 256 << 10;

/// As many as libvirt's plugin has names for (`vda` to `vdz`).
const DISKS_LIMIT: usize = 26;

/// What a kernel takes on its command line on x86 (`COMMAND_LINE_SIZE`).
const CMDLINE_LIMIT: usize = 2048;

/// What a box says about itself, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metadata {
    pub provider: Option<String>,
    pub architecture: Option<String>,
    /// Its disks' names in the archive, in the order of attachment; boxes for other hypervisors name them elsewhere.
    pub disks: Vec<String>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
    pub initrd: Option<String>,
    pub cmdline: String,
    pub seed: bool,
    pub cloud_init: Option<CloudInit>,
    pub hardware: Hardware,
    pub user: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    provider: Option<Value>,
    architecture: Option<String>,
    disks: Option<Vec<RawDisk>>,
    vbox_rs: Option<Ours>,
}

#[derive(Deserialize)]
struct RawDisk {
    path: String,
}

/// What `box build` and `box repackage` add.
#[derive(Deserialize)]
struct Ours {
    name: Option<String>,
    version: Option<String>,
    kernel: Option<String>,
    initrd: Option<String>,
    #[serde(default)]
    cmdline: String,
    #[serde(default)]
    seed: bool,
    cloud_init: Option<CloudInit>,
    #[serde(default)]
    hardware: Hardware,
    user: Option<String>,
}

impl Metadata {
    /// Whether the file is one of its disks.
    pub fn is_disk(&self, name: &str) -> bool {
        self.disks.iter().any(|disk| disk == name)
    }

    /// Whether it names the file as a part of the machine.
    pub fn names(&self, name: &str) -> bool {
        self.kernel.as_deref() == Some(name) || self.initrd.as_deref() == Some(name) || self.is_disk(name)
    }

    /// Whether the file may be a part of the machine that we keep.
    pub fn wants(&self, name: &str) -> bool {
        !self.is_native() || self.names(name)
    }

    /// Whether it says itself which files are its disks.
    pub fn is_native(&self) -> bool {
        self.provider.as_deref().is_some_and(|provider| NATIVE.contains(&provider))
    }

    /// Reads and checks `metadata.json`.
    pub fn read(from: &mut dyn Read) -> Result<Self, Broken> {
        let raw: Raw = parse("metadata.json", &small(from, "metadata.json")?)?;
        let provider = checked_provider(raw.provider)?;
        let architecture = raw.architecture.map(|text| architecture(&text)).transpose()?;
        let mut metadata = Self { provider: Some(provider), architecture, ..Self::default() };
        if metadata.is_native() {
            metadata.disks = disks(raw.disks)?;
        }
        if let Some(ours) = raw.vbox_rs {
            metadata.take(ours)?;
        }
        Ok(metadata)
    }

    fn take(&mut self, ours: Ours) -> Result<(), Refusal> {
        let bad = |why: &str| Refusal::Json { file: "metadata.json", why: why.into() };
        if let Some(version) = &ours.version {
            version.parse::<Version>().map_err(|e| bad(&e.to_string()))?;
        }
        if ours.cmdline.len() > CMDLINE_LIMIT || ours.cmdline.chars().any(char::is_control) {
            return Err(bad("`cmdline` is no kernel command line"));
        }
        if ours.user.as_deref().is_some_and(|user| !is_user(user)) {
            return Err(bad("`user` is no login name"));
        }
        let file = |name: Option<String>| name.map(|name| safe_name(name.as_bytes())).transpose();
        self.kernel = file(ours.kernel)?;
        self.initrd = file(ours.initrd)?;
        if self.initrd.is_some() && self.kernel.is_none() {
            return Err(bad("it names an `initrd` but no `kernel`"));
        }
        self.name = ours.name;
        self.version = ours.version;
        self.cmdline = ours.cmdline;
        self.seed = ours.seed;
        self.cloud_init = ours.cloud_init;
        self.hardware = ours.hardware.checked();
        self.user = ours.user;
        Ok(())
    }
}

/// Version 1 of libvirt's boxes has one disk, with a fixed name; version 2 lists them.
fn disks(listed: Option<Vec<RawDisk>>) -> Result<Vec<String>, Refusal> {
    let Some(listed) = listed else { return Ok(vec!["box.img".into()]) };
    if listed.is_empty() || listed.len() > DISKS_LIMIT {
        return Err(Refusal::Disks(listed.len()));
    }
    let mut disks = Vec::new();
    for disk in listed {
        let name = safe_name(disk.path.as_bytes())?;
        if disks.contains(&name) {
            return Err(Refusal::Twice(name));
        }
        disks.push(name);
    }
    Ok(disks)
}

fn checked_provider(provider: Option<Value>) -> Result<String, Refusal> {
    match provider {
        Some(Value::String(name)) if PROVIDERS.contains(&name.as_str()) => Ok(name),
        Some(Value::String(name)) => Err(Refusal::Provider { found: printable(&name) }),
        _ => Err(Refusal::Json { file: "metadata.json", why: "it names no `provider`".into() }),
    }
}

/// The name that vbox-rs uses for an architecture (Debian's and Vagrant's).
pub(super) fn architecture(text: &str) -> Result<String, Refusal> {
    let name = match text {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = (1..=20).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits {
        Ok(name.into())
    } else {
        Err(Refusal::Json { file: "metadata.json", why: format!("`{}` is no architecture", printable(text)) })
    }
}

/// Reads `info.json`: any object.
pub(super) fn read_info(from: &mut dyn Read) -> Result<Map<String, Value>, Broken> {
    Ok(parse("info.json", &small(from, "info.json")?)?)
}

fn small(from: &mut dyn Read, file: &'static str) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    from.take(JSON_LIMIT + 1).read_to_end(&mut bytes)?;
    let size = bytes.len() as u64;
    if size > JSON_LIMIT {
        return Err(Refusal::TooLarge { what: format!("its {file}"), size, limit: JSON_LIMIT }.into());
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(file: &'static str, bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|e| Refusal::Json { file, why: printable(&e.to_string()) })
}

/// `useradd`'s rule.
pub(super) fn is_user(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 32
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\{|\\}|\\[|\\]|\"provider\":|\"qemu\"|\"disks\":|\"path\":|,|[a-z0-9.\"/]){0,30}") {
            let _ = Metadata::read(&mut text.as_bytes());
        }
    }

    fn read(text: &str) -> Result<Metadata, String> {
        Metadata::read(&mut text.as_bytes()).map_err(|broken| match broken {
            Broken::Refused(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn boxes_of_libvirt_in_both_versions_are_understood() {
        let first = read(r#"{"provider":"libvirt","format":"qcow2","virtual_size":20}"#).unwrap();
        assert_eq!((first.provider.as_deref(), first.disks), (Some("libvirt"), vec!["box.img".to_owned()]));
        let second = read(r#"{"provider":"libvirt","disks":[{"path":"./d/disk1.img","name":"x"},{"path":"b"}]}"#);
        assert_eq!(second.unwrap().disks, ["d/disk1.img", "b"]);
    }

    #[test]
    fn our_own_boxes_bring_a_kernel_and_defaults() {
        let metadata = read(
            r#"{"provider":"libvirt","architecture":"x86_64","vbox_rs":{"name":"debian/bookworm64","version":"12.1",
            "kernel":"vmlinuz","initrd":"initrd.img","cmdline":"root=/dev/vda1 ro","seed":true,"user":"vagrant"}}"#,
        )
        .unwrap();
        assert_eq!(metadata.architecture.as_deref(), Some("amd64"));
        assert!(metadata.wants("vmlinuz") && metadata.wants("initrd.img") && metadata.wants("box.img"));
        assert!(!metadata.wants("Vagrantfile") && metadata.seed);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let long = "x".repeat(3000);
        for (text, why) in [
            ("", "metadata.json is broken"),
            ("[]", "metadata.json is broken"),
            ("{}", "names no `provider`"),
            (r#"{"provider":3}"#, "names no `provider`"),
            (r#"{"provider":"parallels"}"#, "made for parallels; vbox-rs runs boxes for: libvirt, qemu, virtualbox"),
            (r#"{"provider":"a\u001b[2J"}"#, "made for a?[2J"),
            (r#"{"provider":"qemu","disks":[]}"#, "0 disks"),
            (r#"{"provider":"qemu","disks":[{"path":"a"},{"path":"./a"}]}"#, "holds `a` twice"),
            (
                &format!(r#"{{"provider":"qemu","disks":[{}{{"path":"x"}}]}}"#, r#"{"path":"a"},"#.repeat(26)),
                "27 disks",
            ),
            (r#"{"provider":"qemu","disks":[{"path":"../a"}]}"#, "leads out"),
            (r#"{"provider":"qemu","architecture":"../x"}"#, "no architecture"),
            (r#"{"provider":"qemu","vbox_rs":{"version":"../1"}}"#, "not a version"),
            (r#"{"provider":"qemu","vbox_rs":{"user":"-oProxyCommand=x"}}"#, "no login name"),
            (r#"{"provider":"qemu","vbox_rs":{"initrd":"i"}}"#, "no `kernel`"),
            (&format!(r#"{{"provider":"qemu","vbox_rs":{{"cmdline":"{long}"}}}}"#), "no kernel command line"),
            (&" ".repeat(300 << 10), "262144 are accepted"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
            assert!(!message.contains('\u{1b}'));
        }
    }
}
