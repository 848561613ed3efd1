//! Which daemon a machine lives at, and on which host that is.

use std::env;
use std::path::PathBuf;

use super::Error;
use crate::trace::quoted;

/// What libvirt's own tools take where nothing is said.
const DEFAULT: &str = "LIBVIRT_DEFAULT_URI";

/// The daemon of the user's own session: no rights are needed.
pub const SESSION: &str = "qemu:///session";

/// The daemon of the host.
pub const SYSTEM: &str = "qemu:///system";

/// A host that only libvirt's protocol leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This host.
    Here,
    /// Another one, through an ssh server.
    Ssh(SshHost),
    /// Another one, through a port of the daemon itself.
    Port {
        /// Its name or address.
        host: String,
        /// Where it listens, if not at the usual port.
        port: Option<u16>,
        /// Whether both sides show certificates, and nobody else reads along.
        tls: bool,
    },
}

/// How libvirt gets to a host by ssh; so do we.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshHost {
    /// Its name, address or alias of the user's configuration.
    pub host: String,
    /// Login name, where the user's configuration does not say it.
    pub user: Option<String>,
    /// Port, the same.
    pub port: Option<u16>,
    /// Private key, the same.
    pub key: Option<String>,
    /// Whether the host must be known already.
    pub verify: bool,
}

impl Place {
    /// The other host's name; `None` for this one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Here => None,
            Self::Ssh(SshHost { host, .. }) | Self::Port { host, .. } => Some(host),
        }
    }
}

/// The daemon that a new machine gets: the machine file's, else the environment's, else that which libvirt's own tools
/// would take for this user.
pub fn choose(wanted: Option<&str>) -> Result<String, Error> {
    let environment = env::var(DEFAULT).ok().filter(|uri| !uri.is_empty());
    let usual = if rustix::process::geteuid().is_root() { SYSTEM } else { SESSION };
    let uri = wanted.map(Into::into).or(environment).unwrap_or_else(|| usual.into());
    check(&uri)?;
    Ok(uri)
}

/// Refuses what we cannot work with: another hypervisor, another way to a host, what would run programs here.
pub fn check(uri: &str) -> Result<(), Error> {
    place(uri).map(drop)
}

/// The host that a URI names.
pub fn place(uri: &str) -> Result<Place, Error> {
    read(uri).map_err(|why| Error::Uri { uri: shown(uri).chars().take(200).collect(), why })
}

fn read(uri: &str) -> Result<Place, &'static str> {
    const NO_URI: &str = "it is not a URI";
    if uri.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(NO_URI);
    }
    let (scheme, rest) = uri.split_once("://").ok_or(NO_URI)?;
    let (driver, transport) = scheme.split_once('+').map_or((scheme, None), |(driver, how)| (driver, Some(how)));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if driver != "qemu" {
        return Err("only the hypervisor `qemu` is supported");
    }
    let place = match (transport, authority) {
        (None | Some("unix"), "") => Place::Here,
        (Some("unix"), _) => return Err("a unix socket lies on this host, so it names no other one"),
        (Some("ssh"), _) => Place::Ssh(ssh_host(authority, query)?),
        (None | Some("tls"), _) => listening_host(authority, query, true)?,
        (Some("tcp"), _) => listening_host(authority, query, false)?,
        _ => return Err("hosts are reached by `qemu+ssh`, `qemu+tls` or `qemu+tcp`"),
    };
    if !matches!(path, "session" | "system") {
        return Err("its path is neither `/session` nor `/system`");
    }
    Ok(place)
}

/// What a URI says behind its `?`.
fn parameter<'q>(query: &'q str, wanted: &str) -> Option<&'q str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).next_back()
}

/// A path that means the same to libvirt, to us and to an ssh.
fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['%', '"', '\\'])
}

const PROGRAM: &str = "it names a program to run; say that in your ~/.ssh/config";

fn listening_host(authority: &str, query: &str, tls: bool) -> Result<Place, &'static str> {
    let (user, host, port) = parts(authority)?;
    if user.is_some() {
        return Err("only `qemu+ssh` logs in as a user");
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split('=').next() {
            Some("mode" | "no_tty") => {}
            Some("pkipath" | "no_verify" | "tls_priority") if tls => {}
            // Whoever writes that believes that somebody is checked.
            Some("pkipath" | "no_verify" | "tls_priority") => {
                return Err("`qemu+tcp` has no certificates; `qemu+tls` has");
            }
            Some("command" | "netcat") => return Err(PROGRAM),
            _ => return Err("it has a parameter that `qemu+tls` and `qemu+tcp` have no use for here"),
        }
    }
    if parameter(query, "pkipath").is_some_and(|path| !is_plain_path(path)) {
        return Err("its `pkipath` is no plain absolute path");
    }
    Ok(Place::Port { host: host.into(), port, tls })
}

/// The directory of the certificates that a URI names.
pub fn pki(uri: &str) -> Option<PathBuf> {
    uri.split_once('?').and_then(|(_, query)| parameter(query, "pkipath")).map(PathBuf::from)
}

fn ssh_host(authority: &str, query: &str) -> Result<SshHost, &'static str> {
    let (user, host, port) = parts(authority)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split('=').next() {
            Some("socket" | "mode" | "keyfile" | "no_verify" | "no_tty" | "proxy") => {}
            // They run programs, here or there, and a machine file comes with somebody else's project.
            Some("command" | "netcat") => return Err(PROGRAM),
            _ => return Err("it has a parameter that `qemu+ssh` has no use for here"),
        }
    }
    let key = parameter(query, "keyfile");
    if key.is_some_and(|key| !is_plain_path(key)) {
        return Err("its `keyfile` is no plain absolute path");
    }
    Ok(SshHost {
        host: host.into(),
        user: user.map(Into::into),
        port,
        key: key.map(Into::into),
        verify: parameter(query, "no_verify").is_none_or(|value| value == "0"),
    })
}

/// User, host and port of an authority. Whatever a program could take for an option is refused.
fn parts(authority: &str) -> Result<(Option<&str>, &str, Option<u16>), &'static str> {
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, authority),
    };
    let plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err("it has a password in it; use a key, or an agent that has it");
    }
    if user.is_some_and(|user| !plain(user)) {
        return Err("its login name has other letters than `a-z`, `0-9`, `-`, `_` and `.`");
    }
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, rest),
        Some(_) => return Err("what its brackets hold is no address"),
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if !plain(host) && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err("it names no host");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0).ok_or("its port is no number up to 65535")?),
        None => return Err("it names no host"),
    };
    Ok((user, host, port))
}

/// As the library shall open it: an ssh that would ask for a password fails instead. Nobody could answer it, since the
/// question would be one of many, and come in the middle of something else.
pub fn opened(uri: &str) -> String {
    let asks = uri.starts_with("qemu+ssh://") && !uri.contains("no_tty=");
    let joint = if uri.contains('?') { '&' } else { '?' };
    if asks { format!("{uri}{joint}no_tty=1") } else { uri.into() }
}

/// For people: without the login name, and whatever else somebody may have written there.
pub fn shown(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.into() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// `virsh` at this daemon, as people may enter it: the login name, which is not shown, is theirs to fill in.
pub fn virsh(uri: &str) -> String {
    let shown = shown(uri);
    let whole = if shown == uri { shown } else { shown.replacen("://", "://USER@", 1) };
    format!("virsh -c {}", quoted(&whole))
}

/// A folder in which whoever the daemon belongs to may make a storage pool.
pub fn images(uri: &str) -> PathBuf {
    if !is_any_session(uri) {
        return "/var/lib/libvirt/images".into();
    }
    let here = place(uri).is_ok_and(|place| place == Place::Here);
    let data = dirs::data_dir().filter(|_| here).unwrap_or_else(|| "/home/USER/.local/share".into());
    data.join("libvirt/images")
}

/// What others said, without the login name in `uri`.
pub fn without_user(uri: &str, text: &str) -> String {
    let authority = uri.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    match authority.and_then(|authority| authority.rsplit_once('@')) {
        Some((user, _)) if !user.is_empty() => text.replace(&format!("{user}@"), ""),
        _ => text.into(),
    }
}

/// Whether it is the daemon of this user's own session. Root has none: libvirt leads it to the host's.
pub fn is_session(uri: &str) -> bool {
    names_session(uri) && !rustix::process::geteuid().is_root()
}

/// Whether it is the daemon of somebody's session, here or at another host, where nobody knows whether that is root's.
pub fn is_any_session(uri: &str) -> bool {
    if place(uri).is_ok_and(|place| place == Place::Here) { is_session(uri) } else { names_session(uri) }
}

/// Whether it asks for a session's daemon.
pub fn names_session(uri: &str) -> bool {
    uri.split('?').next().is_some_and(|uri| uri.ends_with("/session"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ssh(host: &str) -> SshHost {
        SshHost { host: host.into(), user: None, port: None, key: None, verify: true }
    }

    #[test]
    fn daemons_of_this_and_of_other_hosts_are_told_apart() {
        let port = |host: &str, port, tls| Place::Port { host: host.into(), port, tls };
        for (uri, place) in [
            (SESSION, Place::Here),
            (SYSTEM, Place::Here),
            ("qemu+unix:///system?socket=/run/other/libvirt-sock", Place::Here),
            ("qemu:///session?mode=legacy", Place::Here),
            ("qemu://host/system", port("host", None, true)),
            ("qemu+tls://host.example/system?pkipath=/a&no_verify=1", port("host.example", None, true)),
            ("qemu+tcp://192.0.2.1:16510/session", port("192.0.2.1", Some(16510), false)),
            ("qemu+tcp://[2001:db8::1]:16510/system", port("2001:db8::1", Some(16510), false)),
            ("qemu+ssh://host/system", Place::Ssh(ssh("host"))),
            (
                "qemu+ssh://me@host:2222/session?socket=/run/s&keyfile=/k/id&no_verify=1",
                Place::Ssh(SshHost {
                    user: Some("me".into()),
                    port: Some(2222),
                    key: Some("/k/id".into()),
                    verify: false,
                    ..ssh("host")
                }),
            ),
        ] {
            assert_eq!(super::place(uri).unwrap(), place, "{uri}");
        }
    }

    #[test]
    fn what_we_cannot_work_with_is_refused_with_the_reason() {
        for (uri, why) in [
            ("", "it is not a URI"),
            ("qemu", "it is not a URI"),
            ("qemu:///sys tem", "it is not a URI"),
            ("xen:///system", "only the hypervisor `qemu` is supported"),
            ("test:///default", "only the hypervisor `qemu` is supported"),
            ("qemu+tcp:///system", "it names no host"),
            ("qemu+ssh://-oProxyCommand=x/system", "it names no host"),
            ("qemu+ssh://host:0/system", "its port is no number up to 65535"),
            ("qemu+ssh://[::zz]/system", "what its brackets hold is no address"),
            ("qemu+unix://host/system", "a unix socket lies on this host, so it names no other one"),
            ("qemu+libssh2://host/system", "hosts are reached by `qemu+ssh`, `qemu+tls` or `qemu+tcp`"),
            ("qemu+ext:///system?command=x", "hosts are reached by `qemu+ssh`, `qemu+tls` or `qemu+tcp`"),
            ("qemu+ssh://host/system?command=/tmp/x", "it names a program to run; say that in your ~/.ssh/config"),
            ("qemu+ssh://host/system?name=x", "it has a parameter that `qemu+ssh` has no use for here"),
            ("qemu+ssh://host/system?keyfile=id", "its `keyfile` is no plain absolute path"),
            ("qemu+tls://host/system?pkipath=pki", "its `pkipath` is no plain absolute path"),
            (
                "qemu+tls://host/system?name=xen",
                "it has a parameter that `qemu+tls` and `qemu+tcp` have no use for here",
            ),
            ("qemu+tls://host/system?command=/tmp/x", "it names a program to run; say that in your ~/.ssh/config"),
            ("qemu+tcp://host/system?pkipath=/a", "`qemu+tcp` has no certificates; `qemu+tls` has"),
            ("qemu:///embed?root=/tmp", "its path is neither `/session` nor `/system`"),
            ("qemu://", "its path is neither `/session` nor `/system`"),
            ("qemu+ssh://host/", "its path is neither `/session` nor `/system`"),
        ] {
            let error = check(uri).unwrap_err();
            assert_eq!(error.to_string(), format!("machines cannot be made at libvirt's `{uri}`: {why}"));
        }
    }

    #[test]
    fn the_directory_of_the_certificates_is_the_uris() {
        assert_eq!(pki("qemu+tls://h/system?no_verify=1&pkipath=/a/b"), Some("/a/b".into()));
        assert_eq!(pki("qemu+tls://h/system"), None);
    }

    #[test]
    fn a_login_name_and_a_password_are_in_no_message() {
        let error = check("qemu+ssh://me:hunter2@host/system").unwrap_err().to_string();
        let words = "it has a password in it; use a key, or an agent that has it";
        assert_eq!(error, format!("machines cannot be made at libvirt's `qemu+ssh://host/system`: {words}"));
        assert_eq!(shown("qemu+ssh://me@host:22/system?no_tty=1"), "qemu+ssh://host:22/system?no_tty=1");
        let said = without_user("qemu+ssh://me@host/system", "me@host: Permission denied (publickey).");
        assert_eq!(said, "host: Permission denied (publickey).");
        assert_eq!(without_user(SYSTEM, "a@b"), "a@b");
    }

    #[test]
    fn a_command_is_whole_and_has_no_login_name() {
        for (uri, command) in [
            (SYSTEM, "virsh -c qemu:///system"),
            ("qemu+ssh://me@host:22/system", "virsh -c qemu+ssh://USER@host:22/system"),
            (
                "qemu+ssh://me@host/session?socket=/s&no_verify=1",
                "virsh -c 'qemu+ssh://USER@host/session?socket=/s&no_verify=1'",
            ),
        ] {
            assert_eq!(virsh(uri), command);
        }
        assert_eq!(images(SYSTEM), PathBuf::from("/var/lib/libvirt/images"));
        assert_eq!(images("qemu+ssh://h/session"), PathBuf::from("/home/USER/.local/share/libvirt/images"));
        if !rustix::process::geteuid().is_root() {
            assert_eq!(images(SESSION), dirs::data_dir().unwrap().join("libvirt/images"));
        }
    }

    #[test]
    fn ssh_asks_nobody_for_a_password() {
        assert_eq!(opened("qemu+ssh://h/system"), "qemu+ssh://h/system?no_tty=1");
        assert_eq!(opened("qemu+ssh://h/system?socket=/s"), "qemu+ssh://h/system?socket=/s&no_tty=1");
        assert_eq!(opened("qemu+ssh://h/system?no_tty=0"), "qemu+ssh://h/system?no_tty=0");
        assert_eq!(opened(SYSTEM), SYSTEM);
    }

    #[test]
    fn a_session_is_told_from_the_system() {
        assert!(names_session("qemu:///session"));
        assert!(names_session("qemu:///session?socket=/a/system"));
        assert!(!names_session("qemu:///system?socket=/a/session"));
    }

    proptest! {
        #[test]
        fn no_uri_makes_an_option_of_a_host_or_user(uri in "qemu(\\+(ssh|tcp))?://[-a-z@:\\[\\]=/?&.%]{0,40}(/system)?") {
            if let Ok(Place::Ssh(SshHost { host, user, .. })) = super::place(&uri) {
                prop_assert!(!host.starts_with('-') && !host.is_empty());
                prop_assert!(user.is_none_or(|user| !user.starts_with('-')));
            }
        }
    }
}
