//! What this host offers to VirtualBox, and the exact command that mends what is missing.

use std::fs;
use std::path::Path;

use super::super::{Error, Finding, HostReport, Level, VmPlan};
use super::parse;
use super::run::Manage;
use crate::error::Explain;
use crate::progress::Cx;

/// What speaks against VirtualBox's machines, as files of this host show it. Nothing is started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is there or not")]
struct Facts {
    /// Whether the kernel driver shows its device.
    driver: bool,
    /// Whether its module is loaded, or at least installed for this kernel.
    module: bool,
    /// Whether KVM keeps the processor's virtualisation to itself from its load on, as it does since Linux 6.12.
    kvm_holds: bool,
    /// Whether the processor shows `vmx` or `svm`.
    virtualization: bool,
    /// Whether the driver for cards on interfaces of this computer is loaded.
    bridges: bool,
    /// Whether this user is in the group that may use USB devices; `None` where there is no such group.
    in_group: Option<bool>,
}

impl Facts {
    fn gather() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let module = |name: &str| Path::new("/sys/module").join(name).exists();
        let cpu = module("kvm_intel") || module("kvm_amd");
        Self {
            driver: Path::new("/dev/vboxdrv").exists(),
            module: module("vboxdrv"),
            kvm_holds: cpu && holds(&read("/sys/module/kvm/parameters/enable_virt_at_load")),
            virtualization: shows_virtualization(&read("/proc/cpuinfo")),
            bridges: module("vboxnetflt"),
            in_group: in_group(&read("/etc/group"), &rustix::process::getgroups().unwrap_or_default()),
        }
    }

    /// Why machines will not start, or be very slow; the worst first.
    fn obstacles(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        if !self.driver {
            let text = "VirtualBox's kernel driver is not there (no /dev/vboxdrv): machines may not start".to_owned();
            found.push((text, if self.module { "sudo modprobe vboxdrv" } else { DRIVER }));
        }
        if self.kvm_holds {
            let text = "KVM holds the processor's virtualisation, which VirtualBox cannot share".to_owned();
            found.push((text, KVM));
        }
        if !self.virtualization {
            let text = "the processor shows neither vmx nor svm: VirtualBox runs no machine, or interprets its \
                        instructions one by one"
                .to_owned();
            found.push((text, FIRMWARE));
        }
        found
    }
}

const DRIVER: &str = "sudo apt-get install virtualbox-dkms \"linux-headers-$(uname -r)\" (distribution's package), or \
                      sudo /sbin/vboxconfig (Oracle's)\nsudo modprobe vboxdrv";
const KVM: &str = "sudo modprobe -r kvm_intel kvm_amd kvm (until the next boot)\nfor good: start the kernel with \
                   kvm.enable_virt_at_load=0";
const NO_BRIDGES: &str = "VirtualBox's driver for cards on this computer's networks is not loaded (vboxnetflt)";
const FIRMWARE: &str = "switch virtualisation (VT-x, AMD-V) on in the firmware's setup, or nested virtualisation in the \
                        hypervisor around this host";

/// The worst of what speaks against a machine's start, before it is tried.
pub fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    Facts::gather().obstacles().into_iter().next().map(|(text, _)| text)
}

/// What speaks against the start of a machine with networks that hang on interfaces of this computer.
pub fn bridge_obstacle(plan: &VmPlan) -> Option<String> {
    let needed = !plan.devices.publics.is_empty() && cfg!(target_os = "linux");
    let missing = needed && !Facts::gather().bridges;
    missing.then(|| format!("{NO_BRIDGES}: a machine with a public network does not start"))
}

/// Everything that `doctor` tells about VirtualBox on this host.
pub fn probe() -> HostReport {
    let mut report = HostReport::default();
    let manage = match Manage::find() {
        Ok(manage) => manage,
        Err(error) => {
            let fix = if let Error::Missing { fix, .. } = &error { fix.clone() } else { None };
            let text = format!("{error}: no machines on VirtualBox");
            report.findings.push(Finding { level: Level::Warning, text, fix });
            return report;
        }
    };
    let cx = Cx::silent();
    let program = manage.program().display().to_string();
    let version = manage.query(&cx, &["--version".into()]);
    match version.map(|text| parse::version(&text)) {
        Ok(Some(version)) => {
            report.usable = true;
            report.findings.push(good(format!("{program} {version}")));
            report.version = Some(version);
        }
        Ok(None) => report.findings.push(bad(format!("{program} does not tell its version"), None)),
        Err(error) => report.findings.push(bad(format!("{program} does not work: {error}"), None)),
    }
    if report.usable {
        match manage.query(&cx, &["list".into(), "extpacks".into()]) {
            Ok(text) => report.findings.extend(packs(&text)),
            Err(error) => {
                report.usable = false;
                report.findings.push(bad(format!("VirtualBox's service does not work: {error}"), None));
            }
        }
    }
    if let Err(error) = manage.require_native() {
        report.usable = false;
        report.findings.push(bad(error.to_string(), error.hint()));
    }
    let facts = Facts::gather();
    let obstacles = facts.obstacles();
    report.usable &= obstacles.is_empty();
    if obstacles.is_empty() {
        report.findings.push(good("its kernel driver is there, and the processor's virtualisation is free".into()));
    }
    report.findings.extend(obstacles.into_iter().map(|(text, fix)| bad(text, Some(fix.into()))));
    report.findings.extend(network_drivers(&facts));
    report.findings.extend(group(facts.in_group));
    report
}

fn good(text: String) -> Finding {
    Finding { level: Level::Good, text, fix: None }
}

fn bad(text: String, fix: Option<String>) -> Finding {
    Finding { level: Level::Bad, text, fix }
}

/// Which Extension Packs are there, and whether they fit this VirtualBox.
fn packs(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut name = "Extension Pack".to_owned();
    for (key, value) in parse::blocks(text).into_iter().flatten() {
        if key.starts_with("Pack no.") {
            name = value;
        } else if key == "Usable" && value == "true" {
            found.push(good(format!("Extension Pack: {name}")));
        } else if key == "Why unusable" && !value.is_empty() {
            let fix = format!("VBoxManage extpack uninstall \"{name}\", then install the one of this version");
            let text = format!("Extension Pack {name} cannot be used: {value}");
            found.push(Finding { level: Level::Warning, text, fix: Some(fix) });
        }
    }
    if found.is_empty() {
        found.push(good("no Extension Pack: only disk encryption, remote desktop and webcams need it".into()));
    }
    found
}

/// Where machines run at all, those with networks may not.
fn network_drivers(facts: &Facts) -> Option<Finding> {
    let missing = cfg!(target_os = "linux") && facts.driver && !facts.bridges;
    let fix = "sudo modprobe -a vboxnetadp vboxnetflt".to_owned();
    let text = format!("{NO_BRIDGES}: no `public_network`, no `private_network` with the host");
    missing.then_some(Finding { level: Level::Warning, text, fix: Some(fix) })
}

fn group(member: Option<bool>) -> Option<Finding> {
    (member == Some(false)).then(|| Finding {
        level: Level::Warning,
        text: "this user is not in the group vboxusers: machines get no USB devices of this host".into(),
        fix: Some("sudo usermod -aG vboxusers \"$USER\", then log in again".into()),
    })
}

fn holds(parameter: &str) -> bool {
    matches!(parameter.trim(), "Y" | "1")
}

fn shows_virtualization(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_none_or(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

fn in_group(groups: &str, own: &[rustix::process::Gid]) -> Option<bool> {
    let line = groups.lines().find(|line| line.starts_with("vboxusers:"))?;
    let number: u32 = line.split(':').nth(2)?.parse().ok()?;
    Some(rustix::process::getuid().is_root() || own.iter().any(|gid| gid.as_raw() == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Facts = Facts {
        driver: true,
        module: true,
        kvm_holds: false,
        virtualization: true,
        bridges: true,
        in_group: Some(true),
    };

    #[test]
    fn each_obstacle_has_the_command_that_mends_it() {
        assert!(FINE.obstacles().is_empty());
        for (facts, text, fix) in [
            (Facts { driver: false, ..FINE }, "no /dev/vboxdrv", "sudo modprobe vboxdrv"),
            (Facts { driver: false, module: false, ..FINE }, "no /dev/vboxdrv", "vboxconfig"),
            (Facts { kvm_holds: true, ..FINE }, "KVM holds", "kvm.enable_virt_at_load=0"),
            (Facts { virtualization: false, ..FINE }, "neither vmx nor svm", "firmware's setup"),
        ] {
            let found = facts.obstacles();
            assert_eq!(found.len(), 1);
            assert!(found[0].0.contains(text) && found[0].1.contains(fix), "{found:?}");
        }
        assert_eq!(network_drivers(&FINE), None);
        let missing = network_drivers(&Facts { bridges: false, ..FINE }).unwrap();
        assert!(missing.text.contains("vboxnetflt") && missing.fix.unwrap().contains("modprobe"));
        assert!(group(Some(false)).unwrap().fix.unwrap().contains("vboxusers"));
        assert_eq!((group(Some(true)), group(None)), (None, None));
    }

    #[test]
    fn files_of_the_kernel_are_read_as_they_are() {
        assert!(holds("Y\n") && holds("1") && !holds("N\n") && !holds(""));
        assert!(shows_virtualization("flags : fpu vmx\n") && !shows_virtualization("flags : fpu vmxx\n"));
        assert!(shows_virtualization("no such line: another architecture\n"));
        assert_eq!(in_group("root:x:0:\n", &[]), None);
    }

    #[test]
    fn a_pack_that_does_not_fit_is_told() {
        let text = include_str!("recorded/list-extpacks.txt");
        assert_eq!(packs(text)[0].text, "Extension Pack: VNC");
        let old = text.replace("true", "false").replace("Why unusable:   ", "Why unusable:   too old");
        let found = packs(&old);
        assert_eq!((found[0].level, found.len()), (Level::Warning, 1));
        assert!(found[0].text.ends_with("VNC cannot be used: too old"), "{}", found[0].text);
        assert_eq!(packs("Extension Packs: 0\n")[0].level, Level::Good);
    }
}
