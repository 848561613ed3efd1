//! Which daemon a machine lives at.

use std::env;

use super::Error;

/// What libvirt's own tools take where nothing is said.
const DEFAULT: &str = "LIBVIRT_DEFAULT_URI";

/// The daemon of the user's own session: no rights are needed.
pub const SESSION: &str = "qemu:///session";

/// The daemon of the host.
pub const SYSTEM: &str = "qemu:///system";

/// The daemon that a new machine gets: the machine file's, else the environment's, else that which libvirt's own tools
/// would take for this user.
pub fn choose(wanted: Option<&str>) -> Result<String, Error> {
    let environment = env::var(DEFAULT).ok().filter(|uri| !uri.is_empty());
    let usual = if rustix::process::geteuid().is_root() { SYSTEM } else { SESSION };
    let uri = wanted.map(Into::into).or(environment).unwrap_or_else(|| usual.into());
    check(&uri)?;
    Ok(uri)
}

/// Refuses what we cannot work with: another hypervisor, another host.
pub fn check(uri: &str) -> Result<(), Error> {
    let refused = |why| Err(Error::Uri { uri: uri.chars().take(200).collect(), why });
    if uri.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refused("it is not a URI");
    }
    let Some((scheme, rest)) = uri.split_once("://") else { return refused("it is not a URI") };
    let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, "unix"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if driver != "qemu" {
        return refused("only the hypervisor `qemu` is supported");
    }
    if transport != "unix" || !host.is_empty() {
        return refused("other hosts are not supported yet");
    }
    match path.split('?').next() {
        Some("session" | "system") => Ok(()),
        _ => refused("its path is neither `/session` nor `/system`"),
    }
}

/// Whether it is the daemon of a user's own session. Root has none: libvirt leads it to the host's.
pub fn is_session(uri: &str) -> bool {
    names_session(uri) && !rustix::process::geteuid().is_root()
}

fn names_session(uri: &str) -> bool {
    uri.split('?').next().is_some_and(|uri| uri.ends_with("/session"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_daemons_are_taken_and_others_are_refused_with_the_reason() {
        for uri in
            [SESSION, SYSTEM, "qemu+unix:///system?socket=/run/other/libvirt-sock", "qemu:///session?mode=legacy"]
        {
            assert!(check(uri).is_ok(), "{uri}");
        }
        for (uri, why) in [
            ("", "it is not a URI"),
            ("qemu", "it is not a URI"),
            ("qemu:///sys tem", "it is not a URI"),
            ("xen:///system", "only the hypervisor `qemu` is supported"),
            ("test:///default", "only the hypervisor `qemu` is supported"),
            ("qemu+ssh://me@host/system", "other hosts are not supported yet"),
            ("qemu+tcp:///system", "other hosts are not supported yet"),
            ("qemu://host/system", "other hosts are not supported yet"),
            ("qemu:///embed?root=/tmp", "its path is neither `/session` nor `/system`"),
            ("qemu://", "its path is neither `/session` nor `/system`"),
        ] {
            let error = check(uri).unwrap_err();
            assert_eq!(error.to_string(), format!("machines cannot be made at libvirt's `{uri}`: {why}"));
        }
    }

    #[test]
    fn a_session_is_told_from_the_system() {
        assert!(names_session("qemu:///session"));
        assert!(names_session("qemu:///session?socket=/a/system"));
        assert!(!names_session("qemu:///system?socket=/a/session"));
    }
}
