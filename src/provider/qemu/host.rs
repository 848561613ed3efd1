//! What this host offers to QEMU, and the exact command that mends what is missing.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::{Error, Finding, HostReport, Level};
use super::accel::{self, Engine, Facts};
use super::argv::Arch;
use super::firmware;
use crate::config::spec::Accel;

/// Makes and grows disks.
pub const QEMU_IMG: &str = "qemu-img";

/// Red Hat's only QEMU lies on nobody's `PATH`.
const RED_HAT: &str = "/usr/libexec/qemu-kvm";

/// The QEMU of this host's architecture.
pub fn qemu() -> Result<(Arch, PathBuf), Error> {
    let arch = Arch::host().ok_or(Error::Architecture(env::consts::ARCH))?;
    let name = format!("qemu-system-{}", arch.name());
    let found = find(&name).or_else(|| Some(PathBuf::from(RED_HAT)).filter(|file| is_program(file)));
    found.map(|path| (arch, path)).ok_or_else(|| missing(&name))
}

/// A program on the `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    dirs.map(|dir| dir.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// That `program` is not installed, with what installs it.
pub fn missing(program: &str) -> Error {
    Error::Missing { program: program.into(), fix: install_command() }
}

/// The command that installs QEMU on this host.
pub fn install_command() -> Option<String> {
    let release = os_release();
    let from = qemu_utils_version().and_then(|version| backports(&release, &version));
    command_for(&release, env::consts::ARCH, from.as_deref(), rustix::process::getuid().is_root())
}

/// What this host says of its distribution (os-release(5)).
pub fn os_release() -> String {
    let release = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
    release.unwrap_or_default()
}

/// The distribution and those that it is like, the nearest first.
pub fn families(release: &str) -> Vec<&str> {
    let names = [value(release, "ID"), value(release, "ID_LIKE")];
    names.into_iter().flatten().flat_map(str::split_whitespace).collect()
}

/// The command that installs UEFI firmware on this host.
pub fn firmware_command() -> Option<String> {
    let release = os_release();
    firmware_command_for(&release, env::consts::ARCH, rustix::process::getuid().is_root())
}

fn firmware_command_for(release: &str, arch: &str, root: bool) -> Option<String> {
    let arm = arch == "aarch64";
    let command = families(release).into_iter().find_map(|name| match name {
        "debian" | "ubuntu" => Some(if arm { "apt-get install qemu-efi-aarch64" } else { "apt-get install ovmf" }),
        "fedora" | "rhel" | "centos" => Some(if arm { "dnf install edk2-aarch64" } else { "dnf install edk2-ovmf" }),
        "arch" => Some(if arm { "pacman -S edk2-aarch64" } else { "pacman -S edk2-ovmf" }),
        "suse" | "opensuse" => {
            Some(if arm { "zypper install qemu-uefi-aarch64" } else { "zypper install qemu-ovmf-x86_64" })
        }
        "alpine" => Some(if arm { "apk add aavmf" } else { "apk add ovmf" }),
        _ => None,
    })?;
    Some(if root { command.to_owned() } else { format!("sudo {command}") })
}

/// The version of an installed `qemu-utils`, on hosts with dpkg.
fn qemu_utils_version() -> Option<String> {
    let status = fs::read_to_string("/var/lib/dpkg/status").ok()?;
    let entry = status.split("\n\n").find(|entry| entry.starts_with("Package: qemu-utils\n"))?;
    if !entry.contains("\nStatus: install ok installed") {
        return None;
    }
    entry.lines().find_map(|line| line.strip_prefix("Version: ")).map(Into::into)
}

/// Where `qemu-utils` came from backports, QEMU must come from there too: the two conflict otherwise.
fn backports(release: &str, version: &str) -> Option<String> {
    let codename = value(release, "VERSION_CODENAME")?;
    version.contains("~bpo").then(|| format!("{codename}-backports"))
}

fn value<'a>(release: &'a str, key: &str) -> Option<&'a str> {
    let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']))
}

fn command_for(release: &str, arch: &str, backports: Option<&str>, root: bool) -> Option<String> {
    let arm = arch == "aarch64";
    let command = families(release).into_iter().find_map(|name| match name {
        "debian" | "ubuntu" => {
            let target = backports.map(|name| format!("-t {name} ")).unwrap_or_default();
            let system = if arm { "qemu-system-arm ipxe-qemu" } else { "qemu-system-x86" };
            Some(format!("apt-get install {target}{system} qemu-utils"))
        }
        "fedora" => {
            let system = if arm { "qemu-system-aarch64-core" } else { "qemu-system-x86-core" };
            Some(format!("dnf install {system} qemu-img"))
        }
        "rhel" | "centos" => Some("dnf install qemu-kvm qemu-img".to_owned()),
        "arch" => Some("pacman -S qemu-base qemu-img".to_owned()),
        "suse" | "opensuse" => Some(format!("zypper install {} qemu-tools", if arm { "qemu-arm" } else { "qemu-x86" })),
        "alpine" => Some(format!("apk add qemu-system-{arch} qemu-img")),
        _ => None,
    })?;
    Some(if root { command } else { format!("sudo {command}") })
}

/// Everything that `doctor` tells about QEMU on this host.
pub fn probe() -> HostReport {
    let mut report = HostReport { usable: true, ..HostReport::default() };
    match qemu() {
        Ok((_, path)) => {
            report.version = version(&path);
            report.tell_program(&path, report.version.clone());
        }
        Err(error) => report.tell_missing(&error),
    }
    match find(QEMU_IMG) {
        Some(path) => report.tell_program(&path, version(&path)),
        None => report.tell_missing(&missing(QEMU_IMG)),
    }
    report.findings.extend(Arch::host().map(firmware::probe));
    report.findings.extend(acceleration(env::var(accel::OVERRIDE).ok().as_deref(), &Facts::gather()));
    report
}

impl HostReport {
    fn tell_program(&mut self, path: &Path, version: Option<String>) {
        let (level, text) = match version {
            Some(version) => (Level::Good, format!("{} {version}", path.display())),
            None => (Level::Bad, format!("{} does not tell its version", path.display())),
        };
        self.usable &= level == Level::Good;
        let fix = if level == Level::Bad { install_command() } else { None };
        self.findings.push(Finding { level, text, fix });
    }

    fn tell_missing(&mut self, error: &Error) {
        self.usable = false;
        let fix = if let Error::Missing { fix, .. } = error { fix.clone() } else { None };
        self.findings.push(Finding { level: Level::Bad, text: error.to_string(), fix });
    }
}

fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `QEMU emulator version 10.0.2 (Debian …)`, `qemu-img version 10.0.2`.
fn parse_version(text: &str) -> Option<String> {
    let word = text.lines().next()?.split_once("version ")?.1.split_whitespace().next()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.chars().take(40).collect())
}

fn acceleration(overridden: Option<&str>, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    match facts.obstacle() {
        None => findings.push(Finding { level: Level::Good, text: "KVM works".into(), fix: None }),
        Some(reason) => {
            let text = format!("no KVM, machines run many times slower in software (TCG): {reason}");
            findings.push(Finding { level: Level::Warning, text, fix: kvm_fix(facts) });
        }
    }
    if let Some(value) = overridden.filter(|value| !value.is_empty()) {
        findings.push(match accel::decide(Accel::Auto, Some(value), facts) {
            Ok((engine, _)) => {
                let engine = if engine == Engine::Kvm { "kvm" } else { "tcg" };
                let text = format!("{}={value}: machines start with {engine}", accel::OVERRIDE);
                Finding { level: Level::Good, text, fix: None }
            }
            Err(error) => {
                let fix = Some(format!("unset {}", accel::OVERRIDE));
                Finding { level: Level::Bad, text: error.to_string(), fix }
            }
        });
    }
    findings
}

/// What gives this user KVM, where a command can.
fn kvm_fix(facts: &Facts) -> Option<String> {
    let error = facts.device.as_ref().err()?;
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        let meta = fs::metadata("/dev/kvm").ok()?;
        let group = group_name(&fs::read_to_string("/etc/group").unwrap_or_default(), meta.gid());
        // A group that may open the device is joined; a device for root alone is opened to its usual group.
        return Some(match group {
            Some(group) if meta.mode() & 0o060 == 0o060 && group != "root" => {
                format!("sudo usermod -aG {group} \"$USER\", then log in again")
            }
            _ => "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && sudo usermod -aG kvm \"$USER\"".into(),
        });
    }
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Some(if cpuinfo.split_whitespace().any(|word| word == "hypervisor") {
        "this host is a virtual machine itself: allow nested virtualisation in its hypervisor".into()
    } else if facts.virtualization == Some(true) {
        "sudo modprobe kvm_intel || sudo modprobe kvm_amd".into()
    } else {
        "switch virtualisation (VT-x, AMD-V) on in the firmware's setup, where the processor has it".into()
    })
}

fn group_name(groups: &str, gid: u32) -> Option<String> {
    let number = gid.to_string();
    let line = groups.lines().find(|line| line.split(':').nth(2) == Some(&number))?;
    line.split(':').next().map(Into::into)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_family_of_distributions_has_its_command() {
        for (release, arch, from, root, command) in [
            ("ID=debian\n", "x86_64", None, true, "apt-get install qemu-system-x86 qemu-utils"),
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"",
                "x86_64",
                None,
                false,
                "sudo apt-get install qemu-system-x86 qemu-utils",
            ),
            (
                "ID=debian",
                "x86_64",
                Some("bookworm-backports"),
                false,
                "sudo apt-get install -t bookworm-backports qemu-system-x86 qemu-utils",
            ),
            ("ID=fedora", "x86_64", None, false, "sudo dnf install qemu-system-x86-core qemu-img"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "x86_64", None, true, "dnf install qemu-kvm qemu-img"),
            ("ID=arch", "x86_64", None, false, "sudo pacman -S qemu-base qemu-img"),
        ] {
            assert_eq!(command_for(release, arch, from, root).as_deref(), Some(command));
        }
        assert_eq!(command_for("ID=plan9", "x86_64", None, true), None);
    }

    #[test]
    fn firmware_has_its_command_too() {
        for (release, arch, command) in [
            ("ID=debian", "x86_64", "sudo apt-get install ovmf"),
            ("ID=ubuntu", "aarch64", "sudo apt-get install qemu-efi-aarch64"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "x86_64", "sudo dnf install edk2-ovmf"),
        ] {
            assert_eq!(firmware_command_for(release, arch, false).as_deref(), Some(command));
        }
        assert_eq!(firmware_command_for("ID=plan9", "x86_64", true), None);
    }

    #[test]
    fn backports_are_seen_in_the_installed_version() {
        let release = "VERSION_CODENAME=bookworm\nID=debian";
        assert_eq!(backports(release, "1:10.0.2+ds-2+deb13u1~bpo12+1").as_deref(), Some("bookworm-backports"));
        assert_eq!(backports(release, "1:7.2+dfsg-7+deb12u12"), None);
    }

    #[test]
    fn versions_are_read_from_the_first_line() {
        assert_eq!(parse_version("QEMU emulator version 10.0.2 (Debian 1:10)\n").as_deref(), Some("10.0.2"));
        assert_eq!(parse_version("qemu-img version 8.2.2\n").as_deref(), Some("8.2.2"));
        assert_eq!(parse_version("sh: not found"), None);
    }

    #[test]
    fn a_host_without_kvm_is_told_why_and_still_works() {
        let facts = Facts { device: Err(io::ErrorKind::NotFound.into()), virtualization: Some(true) };
        let found = acceleration(None, &facts);
        assert_eq!(found[0].level, Level::Warning);
        assert!(found[0].text.contains("there is no /dev/kvm"));
        assert!(found[0].fix.is_some());
        let paravirtual = Facts { device: Ok(()), virtualization: Some(false) };
        let found = acceleration(Some("nonsense"), &paravirtual);
        assert!(found[0].text.contains("paravirtual"));
        assert_eq!(found[1].level, Level::Bad);
        let good = Facts { device: Ok(()), virtualization: Some(true) };
        assert_eq!(acceleration(Some("tcg"), &good)[1].text, "VBOX_RS_ACCEL=tcg: machines start with tcg");
    }

    #[test]
    fn a_group_is_found_by_its_number() {
        assert_eq!(group_name("root:x:0:\nkvm:x:106:me\n", 106).as_deref(), Some("kvm"));
        assert_eq!(group_name("root:x:0:\n", 106), None);
    }
}
