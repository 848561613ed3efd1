//! Whether instructions of the guest run on the hardware (KVM) or are translated (TCG).

use std::env;
use std::fs::OpenOptions;
use std::io;

use serde::{Deserialize, Serialize};

use super::super::Error;
use crate::config::spec::Accel;
use crate::progress::Cx;

/// Overrides the machine file: `auto`, `kvm` or `tcg`.
pub const OVERRIDE: &str = "VBOX_RS_ACCEL";

/// How instructions are run, after the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// On the hardware.
    Kvm,
    /// In software.
    Tcg,
}

/// What this host shows.
#[derive(Debug)]
pub struct Facts {
    /// Whether `/dev/kvm` opens for reading and writing.
    pub device: Result<(), io::Error>,
    /// Whether the processor shows `vmx` or `svm`; `None` where the architecture has no such flag.
    pub virtualization: Option<bool>,
}

impl Facts {
    /// Looks at this host: two files, no child process.
    pub fn gather() -> Self {
        let device = OpenOptions::new().read(true).write(true).open("/dev/kvm").map(drop);
        let virtualization = cfg!(target_arch = "x86_64").then(|| {
            let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            shows_virtualization(&text)
        });
        Self { device, virtualization }
    }

    /// Why KVM cannot be used; `None` when it can.
    pub fn obstacle(&self) -> Option<String> {
        match &self.device {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Some("there is no /dev/kvm".into()),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Some("/dev/kvm may not be opened by this user".into())
            }
            Err(e) => Some(format!("/dev/kvm does not open ({e})")),
            Ok(()) if self.virtualization == Some(false) => Some(
                "/dev/kvm opens, but the processor shows neither vmx nor svm: a paravirtual KVM boots no stock kernel"
                    .into(),
            ),
            Ok(()) => None,
        }
    }
}

fn shows_virtualization(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

/// The engine, and what speaks against the hardware: why `auto` did not take it, or what whoever asked for it by name
/// should know.
pub fn decide(wanted: Accel, overridden: Option<&str>, facts: &Facts) -> Result<(Engine, Option<String>), Error> {
    let wanted = match overridden {
        None | Some("") => wanted,
        Some("auto") => Accel::Auto,
        Some("kvm") => Accel::Kvm,
        Some("tcg") => Accel::Tcg,
        Some(other) => return Err(Error::AccelValue(other.chars().take(40).collect())),
    };
    match (wanted, facts.obstacle()) {
        (Accel::Tcg, _) => Ok((Engine::Tcg, None)),
        (Accel::Auto, Some(reason)) => Ok((Engine::Tcg, Some(reason))),
        // Whoever asks for KVM by name may try a device that we would not choose, but not one that does not open.
        (Accel::Kvm, Some(reason)) if facts.device.is_err() => Err(Error::NoKvm { reason }),
        (Accel::Auto | Accel::Kvm, reason) => Ok((Engine::Kvm, reason)),
    }
}

/// How instructions will be run on this host, and what speaks against the hardware.
pub fn engine(wanted: Accel) -> Result<(Engine, Option<String>), Error> {
    decide(wanted, env::var(OVERRIDE).ok().as_deref(), &Facts::gather())
}

/// Says what whoever starts a machine should know of the decision.
pub fn tell(cx: &Cx, engine: Engine, reason: Option<&str>) {
    match (engine, reason) {
        (_, None) => {}
        (Engine::Tcg, Some(_)) => {
            cx.note("no KVM here: it runs in software (TCG), which is slow; `vbox-rs doctor` says why");
        }
        (Engine::Kvm, Some(reason)) => {
            cx.warn(format!("KVM is used because it was asked for, but may not work: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(device: Option<io::ErrorKind>, virtualization: Option<bool>) -> Facts {
        Facts { device: device.map_or(Ok(()), |kind| Err(kind.into())), virtualization }
    }

    #[test]
    fn auto_takes_hardware_only_where_it_works() {
        let none = Some(io::ErrorKind::NotFound);
        let denied = Some(io::ErrorKind::PermissionDenied);
        for (device, flag, engine, words) in [
            (None, Some(true), Engine::Kvm, ""),
            (None, None, Engine::Kvm, ""),
            (None, Some(false), Engine::Tcg, "neither vmx nor svm"),
            (none, Some(true), Engine::Tcg, "no /dev/kvm"),
            (denied, Some(true), Engine::Tcg, "by this user"),
        ] {
            let (found, reason) = decide(Accel::Auto, None, &facts(device, flag)).unwrap();
            assert_eq!(found, engine);
            assert!(reason.unwrap_or_default().contains(words));
        }
    }

    #[test]
    fn the_override_wins_and_must_mean_something() {
        let good = facts(None, Some(true));
        let missing = facts(Some(io::ErrorKind::NotFound), Some(true));
        assert_eq!(decide(Accel::Kvm, Some("tcg"), &good).unwrap(), (Engine::Tcg, None));
        assert_eq!(decide(Accel::Tcg, Some("kvm"), &good).unwrap(), (Engine::Kvm, None));
        assert_eq!(decide(Accel::Tcg, Some(""), &good).unwrap(), (Engine::Tcg, None));
        assert!(matches!(decide(Accel::Kvm, None, &missing), Err(Error::NoKvm { .. })));
        let (engine, reason) = decide(Accel::Kvm, None, &facts(None, Some(false))).unwrap();
        assert_eq!(engine, Engine::Kvm);
        assert!(reason.unwrap().contains("boots no stock kernel"));
        assert_eq!(decide(Accel::Auto, Some("hvf"), &good).unwrap_err().to_string(), "VBOX_RS_ACCEL is `hvf`");
    }

    #[test]
    fn flags_are_whole_words_of_the_flags_line() {
        assert!(shows_virtualization("processor: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(!shows_virtualization("model name: vmx\nflags\t\t: fpu vmx_like\n"));
        assert!(!shows_virtualization(""));
    }
}
