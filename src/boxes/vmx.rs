//! VMX files: the settings of a virtual machine of VMware's. Text of a stranger.

use std::collections::BTreeMap;

use super::hardware::{self, CPUS_LIMIT, MEMORY_LIMIT};
use super::name::printable;
use super::{DiskBus, Firmware, Hardware, settings};
use crate::config::spec::mac_address;

/// VMware writes some 4 KiB.
pub const LIMIT: usize = 256 << 10;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vmx {
    /// Names of its disks' files, in the order of attachment.
    pub disks: Vec<String>,
    /// Its machine.
    pub hardware: Hardware,
}

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Larger than any.
    #[error("it has {0} bytes; {LIMIT} are accepted")]
    TooLarge(usize),
    /// A line is no setting.
    #[error("its line {0} is no setting")]
    Line(usize),
    /// A setting is there twice, with two values.
    #[error("its setting `{0}` is there twice")]
    Twice(String),
    /// No disks at all.
    #[error("it has no disk")]
    NoDisk,
}

/// Controllers in the order in which a PC looks for a disk to boot from, how many of each there are, and disks on each.
const BUSES: &[(&str, DiskBus, u32, u32)] = &[
    ("nvme", DiskBus::Nvme, 4, 15),
    ("scsi", DiskBus::Scsi, 4, 16),
    ("sata", DiskBus::Sata, 4, 30),
    ("ide", DiskBus::Ide, 2, 2),
];

/// Whether a file that begins so is probably one: every VMware program writes one of these lines near the beginning.
pub fn is_vmx(head: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&head[..head.len().min(4096)]).to_ascii_lowercase();
    ["config.version", "virtualhw.version"].iter().any(|key| {
        start
            .lines()
            .any(|line| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')))
    })
}

impl Vmx {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let settings = all_settings(bytes)?;
        let get = |key: &str| settings.get(key).map(String::as_str);
        let number = |key: &str| get(key).and_then(|text| text.parse::<u64>().ok());
        let (disks, disk_bus) = disks(&settings);
        if disks.is_empty() {
            return Err(Error::NoDisk);
        }
        let cpus = number("numvcpus").and_then(|cpus| u32::try_from(cpus).ok());
        let firmware = get("firmware").map(|name| if name == "efi" { Firmware::Uefi } else { Firmware::Bios });
        let hardware = Hardware {
            cpus: cpus.filter(|cpus| (1..=CPUS_LIMIT).contains(cpus)),
            memory: number("memsize").filter(|memory| (1..=MEMORY_LIMIT).contains(memory)),
            mac: get("ethernet0.address").or_else(|| get("ethernet0.generatedaddress")).and_then(mac_address),
            // VMware's default is the BIOS, but an old file says nothing.
            firmware,
            disk_bus,
            nic: get("ethernet0.virtualdev").and_then(hardware::nic),
            guest_os: get("guestos").and_then(guest_os),
            ..Hardware::default()
        };
        Ok(Self { disks, hardware })
    }
}

/// All settings, keys in lower case.
fn all_settings(bytes: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    if bytes.len() > LIMIT {
        return Err(Error::TooLarge(bytes.len()));
    }
    let text = String::from_utf8_lossy(bytes);
    let mut all = BTreeMap::new();
    for (number, line) in settings::lines(&text) {
        let (key, value) = settings::setting(line).ok_or(Error::Line(number))?;
        let key = key.to_ascii_lowercase();
        let value = decoded(value);
        if all.get(&key).is_some_and(|before| *before != value) {
            return Err(Error::Twice(printable(&key)));
        }
        all.insert(key, value);
    }
    Ok(all)
}

/// VMware writes characters that could end a value as `|22`.
fn decoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('|') {
        let code = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        text.push_str(&rest[..at]);
        if let Some(byte) = code.filter(u8::is_ascii) {
            text.push(char::from(byte));
            rest = &rest[at + 3..];
        } else {
            text.push('|');
            rest = &rest[at + 1..];
        }
    }
    text.push_str(rest);
    text
}

/// Files of the disks, and what the first one hangs on.
fn disks(settings: &BTreeMap<String, String>) -> (Vec<String>, Option<DiskBus>) {
    let mut disks = Vec::new();
    let mut first = None;
    for &(name, bus, controllers, places) in BUSES {
        for place in (0..controllers).flat_map(|controller| (0..places).map(move |unit| (controller, unit))) {
            let of = |key: &str| settings.get(&format!("{name}{}:{}.{key}", place.0, place.1)).map(String::as_str);
            let present = of("present").is_none_or(|value| value.eq_ignore_ascii_case("true"));
            let is_disk = of("devicetype").is_none_or(|kind| {
                let kind = kind.to_ascii_lowercase();
                kind == "disk" || kind.contains("harddisk")
            });
            let file = of("filename").filter(|file| !file.is_empty() && !file.to_ascii_lowercase().ends_with(".iso"));
            if let (true, true, Some(file)) = (present, is_disk, file) {
                disks.push(file.to_owned());
                first = first.or(Some(bus));
            }
        }
    }
    (disks, first)
}

/// VirtualBox's name for VMware's; `None` for the rarer ones.
fn guest_os(name: &str) -> Option<String> {
    const NAMES: &[(&str, &str)] = &[
        ("ubuntu", "Ubuntu"),
        ("debian", "Debian"),
        ("centos", "RedHat"),
        ("rhel", "RedHat"),
        ("fedora", "Fedora"),
        ("opensuse", "OpenSUSE"),
        ("sles", "OpenSUSE"),
        ("oraclelinux", "Oracle"),
        ("freebsd", "FreeBSD"),
        ("windows9", "Windows10"),
        ("windows11", "Windows11"),
        ("other", "Linux"),
    ];
    let name = name.to_ascii_lowercase();
    let (_, theirs) = NAMES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let known = *theirs != "Linux" || name.contains("linux");
    known.then(|| if name.ends_with("-64") { format!("{theirs}_64") } else { (*theirs).to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boxes::Nic;

    const SAMPLE: &str = r#".encoding = "UTF-8"
config.version = "8"
virtualHW.version = "14"
displayName = "debian |22x|22"
guestOS = "debian10-64"
memsize = "2048"
numvcpus = "2"
firmware = "efi"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "e1000"
ethernet0.generatedAddress = "00:0c:29:11:22:33"
scsi0.virtualDev = "lsilogic"
scsi0:1.present = "TRUE"
scsi0:1.fileName = "data.vmdk"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "disk.vmdk"
scsi0:2.present = "FALSE"
scsi0:2.fileName = "gone.vmdk"
ide1:0.present = "TRUE"
ide1:0.deviceType = "cdrom-raw"
ide1:0.fileName = "auto detect"
"#;

    #[test]
    fn disks_and_hardware_are_read() {
        assert!(is_vmx(SAMPLE.as_bytes()) && !is_vmx(b"# a README\nconfig.version is"));
        let vmx = Vmx::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(vmx.disks, ["disk.vmdk", "data.vmdk"]);
        let expected = Hardware {
            cpus: Some(2),
            memory: Some(2048),
            mac: Some("00:0c:29:11:22:33".into()),
            firmware: Some(Firmware::Uefi),
            disk_bus: Some(DiskBus::Scsi),
            nic: Some(Nic::E1000),
            guest_os: Some("Debian_64".into()),
            ..Hardware::default()
        };
        assert_eq!(vmx.hardware, expected);
        assert_eq!(decoded("a|22b|zz|"), "a\"b|zz|");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, why) in [
            ("", "no disk"),
            ("memsize = \"1\"\nhello\n", "line 2"),
            ("a = \"1", "line 1"),
            ("a = \"1\"\nA = \"2\"\n", "`a` is there twice"),
            (&"\n".repeat(LIMIT + 1), "are accepted"),
        ] {
            let message = Vmx::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(why), "{why}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "((scsi|ide|nvme)[0-9]:[0-9]\\.(fileName|present) = \"[a|2]{0,5}\"?\n|.{0,8}|\n){0,20}") {
            let _ = Vmx::parse(text.as_bytes());
        }
    }
}
