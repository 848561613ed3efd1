//! From the machine file and the box to what a provider is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Error;
use super::record::MachineRecord;
use super::status::backend;
use crate::boxes::{Installed, Manifest};
use crate::config::spec::{
    FolderType, MachineSpec, ProviderKind, Provisioner, ProvisionerKind, Script, ShellProvisioner,
};
use crate::progress::Cx;
use crate::provider::{Boot, Level, PlannedDisk, VmPlan};

/// Memory in MiB where neither machine file nor box says: enough for a server distribution with a compiler.
const DEFAULT_MEMORY: u64 = 1024;

/// Processors where neither machine file nor box says.
const DEFAULT_CPUS: u32 = 2;

/// Login name where neither machine file nor box says: Vagrant's convention.
const DEFAULT_USER: &str = "vagrant";

/// Who logs in.
pub(super) fn user(spec: &MachineSpec, manifest: &Manifest) -> String {
    spec.ssh.username.clone().or_else(|| manifest.user.clone()).unwrap_or_else(|| DEFAULT_USER.into())
}

/// `ssh-ed25519 AAAA… comment` without the comment: how a guest shows it.
pub(super) fn without_comment(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// What QEMU's overlays stand on, the best format first; a box's disk in another one is converted.
pub(super) const FORMATS: &[&str] = &["qcow2", "raw"];

/// Memory in MiB that a machine of `spec` gets.
pub(super) fn memory(spec: &MachineSpec) -> u64 {
    spec.memory.unwrap_or(DEFAULT_MEMORY)
}

/// What the provider is told; the ports come later.
pub(super) fn vm_plan(
    record: &MachineRecord,
    spec: &MachineSpec,
    installed: &Installed,
    seed: Option<PathBuf>,
) -> VmPlan {
    let project = record.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let disks = installed.images(FORMATS).into_iter().enumerate();
    let boot = installed.direct_boot().filter(|_| spec.provider_options.qemu.direct_boot);
    VmPlan {
        name: format!("{project}/{}", record.name),
        cpus: spec.cpus.unwrap_or(DEFAULT_CPUS),
        memory: memory(spec),
        disks: disks
            .map(|(i, (backing, backing_format))| PlannedDisk {
                backing,
                backing_format,
                size: spec.disk.filter(|_| i == 0),
            })
            .collect(),
        boot: boot.map_or(Boot::Disk, |boot| Boot::Kernel {
            kernel: boot.kernel,
            initrd: boot.initrd,
            cmdline: boot.cmdline,
        }),
        seed,
        forwards: Vec::new(),
        qemu: spec.provider_options.qemu.clone(),
    }
}

/// The key of forwarded ports; a restore applies them too.
pub(super) const FORWARDS: &str = "forwarded_port";

/// What of a machine file only a start applies, by its keys.
pub(super) fn wishes(spec: &MachineSpec) -> BTreeMap<String, Value> {
    let wishes = [
        ("cpus", json!(spec.cpus)),
        ("memory", json!(spec.memory)),
        ("disk", json!(spec.disk)),
        ("hostname", json!(spec.hostname)),
        (FORWARDS, json!(spec.forwarded_ports)),
        ("synced_folder", json!(spec.synced_folders)),
        ("ssh.port", json!(spec.ssh.port)),
        ("ssh.guest_port", json!(spec.ssh.guest_port)),
        ("provider_options", json!(spec.provider_options)),
    ];
    wishes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The keys that say something else by now.
pub(super) fn changes(spec: &MachineSpec, before: &BTreeMap<String, Value>) -> Vec<String> {
    let differs = |(key, now): &(String, Value)| before.get(key).is_some_and(|then| then != now);
    wishes(spec).into_iter().filter(differs).map(|(key, _)| key).collect()
}

/// Names what the provider cannot do yet. Goes on where nothing is lost by it (a network less), refuses where something
/// would be (changes in a folder that never come back).
pub(super) fn refuse_losses(cx: &Cx, kind: ProviderKind, spec: &MachineSpec) -> Result<(), Error> {
    let lost: Vec<_> = spec
        .synced_folders
        .iter()
        .filter(|folder| folder.kind != FolderType::Rsync)
        .map(|folder| format!("synced_folder `{}` of type {}", folder.guest, folder.kind))
        .collect();
    if !lost.is_empty() {
        let problems = format!("{}; use type \"rsync\" (one way) or leave the folder out", lost.join(", "));
        return Err(Error::Unsupported { provider: kind, problems });
    }
    for network in &spec.private_networks {
        let ip = network.ip.map(|ip| format!(" {ip}")).unwrap_or_default();
        cx.warn(format!("provider {kind} has no private_network{ip} yet; going on without it, forwarded ports work"));
    }
    if !spec.public_networks.is_empty() {
        cx.warn(format!("provider {kind} has no public_network yet; going on without it, forwarded ports work"));
    }
    Ok(())
}

/// What the machine file wants copied or run must be there before anything is started for it. `folders`: the synced
/// folders are copied too.
pub(super) fn refuse_missing(spec: &MachineSpec, chosen: &[&Provisioner], folders: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    for provisioner in chosen {
        let (what, path) = match &provisioner.kind {
            ProvisionerKind::Shell(ShellProvisioner { script: Script::Path(path), .. }) => ("script", path),
            ProvisionerKind::File { source, .. } => ("source", source),
            ProvisionerKind::Shell(_) => continue,
        };
        if !path.exists() {
            missing.push(format!("{what} {} of provisioner `{}`", path.display(), provisioner.name));
        }
    }
    for folder in spec.synced_folders.iter().filter(|folder| folders && !folder.create) {
        if !folder.host.is_dir() {
            missing.push(format!("folder {} for {}", folder.host.display(), folder.guest));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingFiles { missing }) }
}

/// Asks the provider what of the plan it cannot do.
pub(super) fn refuse_findings(cx: &Cx, kind: ProviderKind, plan: &VmPlan) -> Result<(), Error> {
    let findings = backend(kind)?.check(plan);
    for finding in findings.iter().filter(|finding| finding.level == Level::Warning) {
        cx.warn(finding.text.clone());
    }
    let bad: Vec<_> = findings.into_iter().filter(|finding| finding.level == Level::Bad).map(|f| f.text).collect();
    if bad.is_empty() { Ok(()) } else { Err(Error::Unsupported { provider: kind, problems: bad.join("; ") }) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn spec(text: &str) -> MachineSpec {
        let text = format!("box = \"x\"\n{text}");
        crate::config::parse(&text, Path::new("/p/Vagrantfile"), Path::new("/p")).unwrap().0.machines[0].clone()
    }

    #[test]
    fn what_only_a_start_applies_is_named_when_it_changed() {
        let before = wishes(&spec("memory = 512\n[[forwarded_port]]\nguest = 80\n"));
        for (text, expected) in [
            ("memory = 512\n[[forwarded_port]]\nguest = 80\n", &[][..]),
            ("memory = 512\nboot_timeout = 9\n[[forwarded_port]]\nguest = 80\n[ssh]\nforward_agent = true\n", &[]),
            ("memory = 1024\n[[forwarded_port]]\nguest = 81\n", &["forwarded_port", "memory"]),
            ("cpus = 2\ndisk = \"9 GiB\"\nmemory = 512\n[[forwarded_port]]\nguest = 80\n", &["cpus", "disk"]),
        ] {
            assert_eq!(changes(&spec(text), &before), expected, "{text}");
        }
        assert!(changes(&spec("memory = 1"), &BTreeMap::new()).is_empty(), "a record of an older version says nothing");
    }
}
