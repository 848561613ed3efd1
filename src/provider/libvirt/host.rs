//! What this host offers through libvirt, and the exact command that mends what is missing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::qemu::accel::{self, Engine};
use super::super::qemu::argv::Arch;
use super::super::qemu::{firmware, host};
use super::super::{Error as ProviderError, Finding, HostReport, Level};
use super::daemon::Daemon;
use super::ffi::{self, Listed};
use super::uri::{self, Place};
use super::{Error, volume};
use crate::config::spec::LibvirtOptions;
use crate::error::{Explain, Failure};
use crate::progress::Cx;

/// How long the daemon may take for one answer. A probe of every emulator there is takes seconds.
const ANSWER: Duration = Duration::from_secs(20);

/// How instructions will be run, and what speaks against the hardware.
pub fn engine(options: &LibvirtOptions) -> Result<(Engine, Option<String>), ProviderError> {
    accel::engine(options.accel)
}

/// Everything that `doctor` tells about libvirt on this host.
pub fn probe() -> HostReport {
    let mut report = HostReport { usable: true, ..HostReport::default() };
    match ffi::version() {
        Ok(version) => {
            let version = dotted(version);
            report.tell(Level::Good, format!("library {} {version}", ffi::NAME), None);
            report.version = Some(version);
        }
        Err(why) => {
            report.usable = false;
            let text = format!("not installed, so machines cannot live there ({why})");
            report.tell(Level::Warning, text, install_command());
            return report;
        }
    }
    if host::find(host::QEMU_IMG).is_none() {
        report.usable = false;
        let ProviderError::Missing { program, fix } = host::missing(host::QEMU_IMG) else { return report };
        report.tell(Level::Bad, format!("`{program}` is not installed"), fix);
    }
    match uri::choose(None).and_then(|uri| Ok((uri::place(&uri)?, uri))) {
        Ok((place, uri)) => {
            report.usable &= report.tell_daemon(&place, &uri);
            if place == Place::Here {
                report.findings.extend(Arch::host().map(firmware::probe));
            }
        }
        Err(error) => {
            report.usable = false;
            report.tell(Level::Bad, error.to_string(), Some("unset LIBVIRT_DEFAULT_URI".into()));
        }
    }
    report
}

impl HostReport {
    fn tell(&mut self, level: Level, text: String, fix: Option<String>) {
        self.findings.push(Finding { level, text, fix });
    }

    fn tell_error(&mut self, error: ProviderError) {
        let (fix, text) = (error.hint(), Failure::from(error).chain());
        self.tell(Level::Bad, text, fix);
    }

    /// Whether machines can live at this daemon.
    fn tell_daemon(&mut self, place: &Place, uri: &str) -> bool {
        let cx = Cx::silent();
        let asked = Daemon::connect(&cx, uri).and_then(|daemon| {
            daemon.call(&cx, ANSWER, "say what the host can do", |connection| {
                Ok((
                    connection.daemon_version()?,
                    connection.hypervisor_version().ok(),
                    connection.capabilities()?,
                    connection.names(Listed::Networks).unwrap_or_default(),
                    connection.names(Listed::Pools).unwrap_or_default(),
                ))
            })
        });
        let (version, hypervisor, capabilities, networks, pools) = match asked {
            Ok(answers) => answers,
            Err(error) => {
                self.tell_error(error);
                return false;
            }
        };
        let hypervisor = hypervisor.map(|version| format!(", QEMU {}", dotted(version))).unwrap_or_default();
        self.tell(Level::Good, format!("daemon {} at {}{hypervisor}", dotted(version), uri::shown(uri)), None);
        let types = domain_types(&capabilities, std::env::consts::ARCH);
        if types.is_empty() {
            let text = format!("the daemon finds no emulator for {}", std::env::consts::ARCH);
            self.tell(Level::Bad, text, host::install_command());
            return false;
        }
        self.tell(Level::Good, format!("domain types: {}", types.join(", ")), None);
        if *place == Place::Here
            && let Ok((engine, reason)) = engine(&LibvirtOptions::default())
        {
            let (level, text) = match (engine, reason) {
                (Engine::Kvm, None) if types.iter().any(|kind| kind == "kvm") => (Level::Good, "KVM works".into()),
                (Engine::Kvm, _) => (Level::Warning, "KVM works, but the daemon does not offer it".into()),
                (Engine::Tcg, reason) => {
                    let why = reason.unwrap_or_else(|| "it was asked for".into());
                    (Level::Warning, format!("machines run in software (TCG), many times slower: {why}"))
                }
            };
            self.tell(level, text, None);
        }
        let listed = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let usual = pools.iter().any(|pool| pool == volume::USUAL);
        let need = if *place == Place::Here { " (machines need neither)" } else { "" };
        let text = format!("networks up: {}; pools up: {}{need}", listed(networks), listed(pools));
        self.tell(Level::Good, text, None);
        if *place != Place::Here && !usual {
            let text = format!("no pool `{}` is up there: machines need one for their disks", volume::USUAL);
            self.tell(Level::Warning, text, Some(format!("{} pool-start {}", uri::virsh(uri), volume::USUAL)));
        }
        true
    }
}

/// `kvm` and `qemu`, as far as the daemon has them for the architecture.
pub fn domain_types(capabilities: &str, arch: &str) -> Vec<String> {
    let Ok(document) = roxmltree::Document::parse(capabilities) else { return Vec::new() };
    let guests =
        document.descendants().filter(|node| node.has_tag_name("arch") && node.attribute("name") == Some(arch));
    let mut types: Vec<String> = guests
        .flat_map(|arch| arch.children().filter(|node| node.has_tag_name("domain")))
        .filter_map(|domain| domain.attribute("type").map(Into::into))
        .collect();
    types.sort();
    types.dedup();
    types
}

/// libvirt's numbers: a million for each major version, a thousand for each minor one.
fn dotted(version: u64) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

/// The command that installs libvirt on this host.
pub fn install_command() -> Option<String> {
    install_command_for(&host::os_release(), rustix::process::getuid().is_root())
}

fn install_command_for(release: &str, root: bool) -> Option<String> {
    let command = host::families(release).into_iter().find_map(|name| match name {
        "debian" | "ubuntu" => Some("apt-get install libvirt-daemon-system libvirt-clients"),
        "fedora" | "rhel" | "centos" => Some("dnf install libvirt-daemon-kvm libvirt-client"),
        "arch" => Some("pacman -S libvirt"),
        "suse" | "opensuse" => Some("zypper install libvirt-daemon-qemu libvirt-client"),
        "alpine" => Some("apk add libvirt-daemon libvirt-qemu"),
        _ => None,
    })?;
    Some(if root { command.into() } else { format!("sudo {command}") })
}

/// What starts the daemon behind `uri`.
pub fn start_command(uri: &str) -> Option<String> {
    let programs = ["virtqemud", "libvirtd"];
    let installed = programs.into_iter().find(|name| {
        // They lie where the PATH of an ordinary user does not lead.
        host::find(name).is_some() || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(name).exists())
    });
    let Some(program) = installed else { return install_command() };
    if uri.contains("socket=") {
        return Some("start the daemon whose socket the URI names".into());
    }
    Some(command_to_start(program, uri))
}

/// What starts one of libvirt's daemons beside, or as, the one behind `uri`.
pub fn command_to_start(program: &str, uri: &str) -> String {
    if uri::is_session(uri) {
        return format!("{program} --daemon");
    }
    let sudo = if rustix::process::getuid().is_root() { "" } else { "sudo " };
    let systemd = Path::new("/run/systemd/system").exists();
    if systemd { format!("{sudo}systemctl start {program}") } else { format!("{sudo}{program} --daemon") }
}

/// What lets this user use the host's daemon.
pub fn group_command() -> Option<String> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let group = groups.lines().any(|line| line.starts_with("libvirt:"));
    group.then(|| "sudo usermod -aG libvirt \"$USER\", then log in again; or set `uri = \"qemu:///session\"`".into())
}

/// That the library cannot be used; starts nothing.
pub fn require_library() -> Result<(), Error> {
    ffi::version().map(drop).map_err(|why| Error::NoLibrary { why, fix: install_command() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_types_are_those_of_this_processor() {
        let capabilities = "<capabilities><guest><arch name='i686'><domain type='xen'/></arch></guest>\
                            <guest><arch name='x86_64'><emulator>/usr/bin/q</emulator><machine>pc</machine>\
                            <domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>";
        assert_eq!(domain_types(capabilities, "x86_64"), ["kvm", "qemu"]);
        assert!(domain_types(capabilities, "aarch64").is_empty());
        assert!(domain_types("<", "x86_64").is_empty());
    }

    #[test]
    fn versions_are_told_with_dots() {
        assert_eq!(dotted(9_000_000), "9.0.0");
        assert_eq!(dotted(11_010_002), "11.10.2");
    }

    #[test]
    fn each_family_of_distributions_has_its_command() {
        for (release, root, command) in [
            ("ID=debian", true, "apt-get install libvirt-daemon-system libvirt-clients"),
            ("ID=mint\nID_LIKE=ubuntu", false, "sudo apt-get install libvirt-daemon-system libvirt-clients"),
            ("ID=fedora", false, "sudo dnf install libvirt-daemon-kvm libvirt-client"),
        ] {
            assert_eq!(install_command_for(release, root).as_deref(), Some(command));
        }
        assert_eq!(install_command_for("ID=plan9", true), None);
    }
}
