//! UEFI firmware of this host, found by the descriptors that QEMU's packages install (`docs/interop/firmware.json`).

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::{Boot, Error, Finding, Level, VmPlan};
use super::argv::{self, Arch};
use super::files::Files;
use super::host;
use crate::config::spec::{DiskBus, Firmware};
use crate::store;

/// Larger than any descriptor.
const DESCRIPTOR_LIMIT: u64 = 64 << 10;

/// Larger than any store of variables; QEMU's flash on x86 ends at 8 MiB, on ARM at 64.
const NVRAM_LIMIT: u64 = 64 << 20;

/// Features of firmware that needs what our machines do not have, or would not start what nobody signed.
const UNWANTED: &[&str] = &["requires-smm", "secure-boot", "enrolled-keys", "amd-sev-es", "amd-sev-snp", "intel-tdx"];

/// Options by which a user brings firmware of his own.
const OWN: &[&str] = &["-bios", "-pflash"];

/// Firmware as QEMU takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// The program, shared by all machines.
    pub code: PathBuf,
    /// Its format.
    pub code_format: String,
    /// The machine's variables: which entry it boots.
    pub nvram: PathBuf,
    /// Their format.
    pub nvram_format: String,
}

/// Firmware as a package installs it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Installed {
    code: FlashFile,
    template: FlashFile,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct FlashFile {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "interface-types", default)]
    interfaces: Vec<String>,
    mapping: Mapping,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Mapping {
    device: String,
    #[serde(default)]
    mode: Option<String>,
    executable: Option<FlashFile>,
    #[serde(rename = "nvram-template")]
    template: Option<FlashFile>,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    #[serde(default)]
    machines: Vec<String>,
}

/// Whether the machine starts by UEFI firmware of ours.
fn needed(plan: &VmPlan, arch: Arch) -> bool {
    let usual = match arch {
        Arch::X86_64 => Firmware::Bios,
        Arch::Aarch64 => Firmware::Uefi,
    };
    plan.boot == Boot::Disk
        && plan.devices.firmware.unwrap_or(usual) == Firmware::Uefi
        && !OWN.iter().any(|option| argv::has(&plan.qemu.extra_args, option))
}

/// What of the plan's firmware cannot be had here.
pub fn objection(plan: &VmPlan) -> Option<Finding> {
    let arch = Arch::host()?;
    if arch == Arch::Aarch64 && plan.devices.firmware == Some(Firmware::Bios) {
        let text = "this architecture has no BIOS".to_owned();
        return Some(Finding { level: Level::Bad, text, fix: Some("set `firmware = \"uefi\"`".into()) });
    }
    (needed(plan, arch) && find(arch, plan).is_none()).then(|| Finding { level: Level::Bad, ..missing() })
}

/// What `doctor` says.
pub fn probe(arch: Arch) -> Finding {
    let machine = machine(arch, DiskBus::Virtio);
    match installed(&directories(), arch, machine) {
        Some(found) => {
            Finding { level: Level::Good, text: format!("UEFI firmware {}", found.code.filename.display()), fix: None }
        }
        None => missing(),
    }
}

fn missing() -> Finding {
    let text = "no UEFI firmware is installed: boxes that need it do not start".to_owned();
    Finding { level: Level::Warning, text, fix: host::firmware_command() }
}

/// The firmware for a start, with the machine's own variables, which are made from the template where there are none.
pub fn prepare(files: &Files, plan: &VmPlan, arch: Arch) -> Result<Option<Flash>, Error> {
    if !needed(plan, arch) {
        return Ok(None);
    }
    let found = find(arch, plan).ok_or_else(|| Error::Plan(vec![Finding { level: Level::Bad, ..missing() }]))?;
    let nvram = files.nvram();
    if !nvram.exists() {
        let path = &found.template.filename;
        let bytes = store::read_bounded(path, NVRAM_LIMIT)?;
        let bytes = bytes.ok_or_else(|| Error::FileMissing { what: "the firmware's template", path: path.clone() })?;
        store::write_atomic(&nvram, &bytes, 0o600)?;
    }
    let Installed { code, template } = found;
    Ok(Some(Flash { code: code.filename, code_format: code.format, nvram, nvram_format: template.format }))
}

fn find(arch: Arch, plan: &VmPlan) -> Option<Installed> {
    let machine = plan.qemu.machine.as_deref().unwrap_or_else(|| machine(arch, plan.devices.disk_bus));
    installed(&directories(), arch, machine)
}

/// The machine type that we choose: the older PC where disks hang on parallel ATA, which the newer one does not have.
pub fn machine(arch: Arch, bus: DiskBus) -> &'static str {
    match (arch, bus) {
        (Arch::X86_64, DiskBus::Ide) => "pc",
        (Arch::X86_64, _) => "q35",
        (Arch::Aarch64, _) => "virt",
    }
}

/// Where descriptors lie; a file hides those of the same name in later directories.
fn directories() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let user = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home).filter(|path| path.is_absolute());
    let user = user.map(|path| path.join("qemu/firmware"));
    user.into_iter().chain(["/etc/qemu/firmware".into(), "/usr/share/qemu/firmware".into()]).collect()
}

/// The first that fits, in the order of the file names: that is how a distribution says what it prefers.
fn installed(directories: &[PathBuf], arch: Arch, machine: &str) -> Option<Installed> {
    let mut names: Vec<(OsString, PathBuf)> = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".json") && !names.iter().any(|(other, _)| *other == name) {
                names.push((name, entry.path()));
            }
        }
    }
    names.sort();
    names.into_iter().find_map(|(_, path)| {
        let bytes = store::read_bounded(&path, DESCRIPTOR_LIMIT).ok().flatten()?;
        let found = read(&bytes, arch, machine)?;
        (found.code.filename.is_file() && found.template.filename.is_file()).then_some(found)
    })
}

/// What a descriptor offers to a machine of this type; an empty one only hides others.
fn read(bytes: &[u8], arch: Arch, machine: &str) -> Option<Installed> {
    let descriptor: Descriptor = serde_json::from_slice(bytes).ok()?;
    let mapping = descriptor.mapping;
    let fits = |target: &Target| {
        target.architecture == arch.name() && target.machines.iter().any(|pattern| matches(pattern, machine))
    };
    let usable = descriptor.interfaces.iter().any(|kind| kind == "uefi")
        && mapping.device == "flash"
        && mapping.mode.as_deref().is_none_or(|mode| mode == "split")
        && descriptor.targets.iter().any(fits)
        && !descriptor.features.iter().any(|feature| UNWANTED.contains(&feature.as_str()));
    let (code, template) = (mapping.executable?, mapping.template?);
    let plain = |file: &FlashFile| file.filename.is_absolute() && matches!(file.format.as_str(), "raw" | "qcow2");
    (usable && plain(&code) && plain(&template)).then_some(Installed { code, template })
}

/// Whether a descriptor's pattern (`pc-q35-*`) means the machine type `machine` (`q35`, `pc-q35-9.2`).
fn matches(pattern: &str, machine: &str) -> bool {
    let machine = machine.split(',').next().unwrap_or_default();
    let full = match machine {
        "q35" => "pc-q35-",
        "pc" => "pc-i440fx-",
        "virt" => "virt-",
        other => other,
    };
    match pattern.strip_suffix('*') {
        Some(start) => full.starts_with(start),
        None => pattern == machine,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor(dir: &Path, name: &str, features: &[&str], machines: &[&str]) {
        let code = dir.join(format!("{name}.code"));
        let vars = dir.join(format!("{name}.vars"));
        fs::write(&code, "code").unwrap();
        fs::write(&vars, "vars").unwrap();
        let text = json!({
            "interface-types": ["uefi"],
            "mapping": {
                "device": "flash",
                "executable": { "filename": code, "format": "raw" },
                "nvram-template": { "filename": vars, "format": "raw" },
            },
            "targets": [{ "architecture": "x86_64", "machines": machines }],
            "features": features,
        });
        fs::write(dir.join(format!("{name}.json")), text.to_string()).unwrap();
    }

    #[test]
    fn the_first_firmware_that_fits_is_taken() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let both = &["pc-i440fx-*", "pc-q35-*"][..];
        descriptor(two.path(), "40-enrolled", &["enrolled-keys", "secure-boot"], both);
        descriptor(two.path(), "50-secure", &["requires-smm", "secure-boot"], &["pc-q35-*"]);
        descriptor(two.path(), "60-plain", &["acpi-s3"], both);
        descriptor(two.path(), "70-other", &[], both);
        fs::write(two.path().join("10-broken.json"), "{").unwrap();
        let dirs = [one.path().to_owned(), one.path().join("missing"), two.path().to_owned()];
        let found = |machine| installed(&dirs, Arch::X86_64, machine).map(|found| found.code.filename);
        let plain = two.path().join("60-plain.code");
        for machine in ["q35", "pc", "pc-q35-9.2", "q35,smm=off"] {
            assert_eq!(found(machine).as_ref(), Some(&plain), "{machine}");
        }
        assert_eq!(found("microvm"), None);
        assert_eq!(installed(&dirs, Arch::Aarch64, "virt"), None);
        // An empty file of the same name before it hides it; a missing program cannot be taken.
        fs::write(one.path().join("60-plain.json"), "").unwrap();
        assert_eq!(found("q35"), Some(two.path().join("70-other.code")));
        fs::remove_file(two.path().join("70-other.vars")).unwrap();
        assert_eq!(found("q35"), None);
    }
}
