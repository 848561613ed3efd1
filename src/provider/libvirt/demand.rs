//! What options of the machine file ask of the host, as far as it can be told without its daemon.

use std::fs;

use super::super::qemu::accel::Engine;
use super::super::qemu::host;
use super::super::{Finding, Level};
use super::host as libvirt_host;
use super::uri::{self, Place};
use crate::config::spec::LibvirtOptions;

/// The processor's flag for virtual machines of its own, as the kernel names it; under emulation QEMU's.
pub fn virtualization(engine: Engine) -> Option<&'static str> {
    if engine == Engine::Tcg {
        return Some("svm");
    }
    flag(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn flag(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    ["vmx", "svm"].into_iter().find(|name| flags.split_whitespace().any(|flag| flag == *name))
}

/// What cannot be had here, or is not as one might think.
pub fn objections(options: &LibvirtOptions) -> Vec<Finding> {
    let uri = uri::choose(options.uri.as_deref()).ok();
    let place = uri.as_deref().and_then(|uri| uri::place(uri).ok()).unwrap_or(Place::Here);
    let mut found: Vec<_> = uri.as_deref().and_then(|uri| autostart(options, uri)).into_iter().collect();
    let mut bad = |text: String, fix: String| found.push(Finding { level: Level::Bad, text, fix: Some(fix) });
    if let Some(name) = &options.network
        && uri.as_deref().is_some_and(uri::is_any_session)
    {
        bad(
            format!("a session has no way to libvirt's network `{name}`, which belongs to the host's daemon"),
            "set `uri` to one that ends with `/system`, or leave `network` out: forwarded ports work without".into(),
        );
    }
    match (&place, &options.network) {
        (Place::Here, _) => {}
        (Place::Port { host, .. }, Some(name)) => {
            bad(
                format!(
                    "nothing leads from here to a guest on the network `{name}` of {host}: libvirt's own port does not"
                ),
                format!(
                    "set `uri` to `qemu+ssh://{host}/system`; or leave `network` out, and the ports of `forward_address` do"
                ),
            );
            return found;
        }
        _ => return found,
    }
    if options.tpm && host::find("swtpm").is_none() {
        bad("`tpm` takes the program `swtpm`".into(), "install the package `swtpm`, or leave `tpm` out".into());
    }
    if options.nested == Some(true)
        && let Ok((Engine::Kvm, None)) = libvirt_host::engine(options)
        && let Some(module) = module_without_nesting(|path| fs::read_to_string(path).ok())
    {
        bad(
            format!("`nested` is switched off in the host's module {module}"),
            format!("sudo modprobe -r {module} && sudo modprobe {module} nested=1"),
        );
    }
    found
}

/// A session's daemon is there only when somebody asks it for something.
fn autostart(options: &LibvirtOptions, uri: &str) -> Option<Finding> {
    (options.autostart && uri::is_any_session(uri)).then(|| Finding {
        level: Level::Warning,
        text: "`autostart` does nothing when the host boots: a session's daemon starts with the first command that asks it, \
               and the machine with it"
            .into(),
        fix: Some("set `uri = \"qemu:///system\"`".into()),
    })
}

fn module_without_nesting(read: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    ["kvm_intel", "kvm_amd"].into_iter().find(|module| {
        let said = read(&format!("/sys/module/{module}/parameters/nested"));
        said.is_some_and(|said| matches!(said.trim(), "N" | "0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_flag_is_found() {
        assert_eq!(flag("processor : 0\nflags\t\t: fpu vme svm_lock svm\n"), Some("svm"));
        assert_eq!(flag("flags : fpu vmx\n"), Some("vmx"));
        assert_eq!(flag("flags : fpu\n"), None);
        assert_eq!(virtualization(Engine::Tcg), Some("svm"));
    }

    #[test]
    fn a_module_without_nesting_is_named() {
        let of = |name: &'static str, said: &'static str| {
            module_without_nesting(move |path| path.contains(name).then(|| said.to_owned()))
        };
        assert_eq!(of("kvm_intel", "N\n"), Some("kvm_intel"));
        assert_eq!(of("kvm_amd", "0\n"), Some("kvm_amd"));
        assert_eq!(of("kvm_amd", "1\n"), None);
    }

    #[test]
    fn a_session_starts_nothing_with_the_host() {
        let told = |uri: &str, autostart| {
            let options = LibvirtOptions { uri: Some(uri.into()), autostart, ..LibvirtOptions::default() };
            objections(&options).iter().any(|told| told.level == Level::Warning && told.text.starts_with("`autostart`"))
        };
        assert!(told("qemu+ssh://h/session", true));
        assert!(!told("qemu+ssh://h/session", false) && !told("qemu:///system", true));
    }

    #[test]
    fn a_network_is_had_where_something_leads_to_it() {
        let said = |uri: &str| {
            let (uri, network) = (Some(uri.to_owned()), Some("lan".to_owned()));
            // What this host lacks says nothing of another one.
            let found = objections(&LibvirtOptions { uri, network, tpm: false, ..LibvirtOptions::default() });
            found.into_iter().map(|finding| finding.text).collect::<Vec<_>>()
        };
        assert!(said("qemu+ssh://me@far/system").is_empty() && said("qemu+unix:///system?socket=/x").is_empty());
        let nothing = "nothing leads from here to a guest on the network `lan` of far: libvirt's own port does not";
        assert_eq!(said("qemu+tls://far/system"), [nothing]);
        assert!(said("qemu+ssh://root@far/session")[0].starts_with("a session has no way to libvirt's network `lan`"));
    }
}
