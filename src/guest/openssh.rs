//! What the user's own OpenSSH client needs: a configuration, a `known_hosts` line, arguments. All text is made here and
//! written by the caller.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::login::Endpoint;
use super::{Error, key_text};

/// One machine, as `ssh-config` prints it and `ssh -F` reads it.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig<'a> {
    /// The name behind `ssh`.
    pub host: &'a str,
    /// Where and as whom.
    pub endpoint: &'a Endpoint,
    /// File of the machine's host key.
    pub known_hosts: &'a Path,
    /// The machine's name in that file: ports change, it does not.
    pub host_key_alias: &'a str,
    /// Whether the host key is recorded there already. If not, the client records it at first contact.
    pub host_key_known: bool,
    /// Private keys, tried in order.
    pub identities: &'a [PathBuf],
    /// Pass the user's agent on.
    pub forward_agent: bool,
    /// Pass X11 on.
    pub forward_x11: bool,
    /// Send keep-alive messages.
    pub keep_alive: bool,
    /// Seconds to establish the connection.
    pub connect_timeout: u64,
}

/// The configuration of one machine. Values that OpenSSH would read otherwise than they are meant are refused.
pub fn config_text(config: &ClientConfig<'_>) -> Result<String, Error> {
    let endpoint = config.endpoint;
    let mut text = format!("Host {}\n", word("host name", config.host)?);
    let mut set = |key: &str, value: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {key} {value}");
    };
    let yes_no = |yes| if yes { "yes" } else { "no" };
    set("HostName", word("host address", &endpoint.host)?);
    set("User", word("login name", &endpoint.user)?);
    set("Port", &endpoint.port.to_string());
    set("UserKnownHostsFile", &path(config.known_hosts)?);
    set("GlobalKnownHostsFile", "/dev/null");
    set("HostKeyAlias", word("host key alias", config.host_key_alias)?);
    set("StrictHostKeyChecking", if config.host_key_known { "yes" } else { "accept-new" });
    set("CheckHostIP", "no");
    set("UpdateHostKeys", "no");
    set("PasswordAuthentication", "no");
    for identity in config.identities {
        set("IdentityFile", &path(identity)?);
    }
    if !config.identities.is_empty() {
        set("IdentitiesOnly", "yes");
    }
    set("ForwardAgent", yes_no(config.forward_agent));
    set("ForwardX11", yes_no(config.forward_x11));
    if config.forward_x11 {
        set("ForwardX11Trusted", "yes");
    }
    if config.keep_alive {
        set("ServerAliveInterval", "15");
    }
    set("ConnectTimeout", &config.connect_timeout.max(1).to_string());
    // Not FATAL, as Vagrant has it: a changed host key must be told.
    set("LogLevel", "ERROR");
    Ok(text)
}

/// The machine's line for `known_hosts`.
pub fn known_hosts_line(alias: &str, host_key: &str) -> Result<String, Error> {
    let why = "it is not one public key in one line";
    let bad = || Error::BadValue { what: "host key", value: host_key.chars().take(40).collect(), why };
    Ok(format!("{} {}\n", word("host key alias", alias)?, key_text::normal(host_key).ok_or_else(bad)?))
}

/// A session of the OpenSSH client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Invocation<'a> {
    /// Run this instead of a login shell.
    pub command: Option<&'a str>,
    /// Ask for a terminal (`-t`), or for none (`-T`); the client decides where left out.
    pub tty: Option<bool>,
    /// More arguments of the machine file: options as they are (`-4`), the rest behind `-o`.
    pub extra: &'a [String],
    /// More arguments of the command line, before the host (`-L …`).
    pub arguments: &'a [String],
}

/// Arguments for the client: `-F config … host [-- command]`.
pub fn arguments(config: &Path, host: &str, invocation: &Invocation<'_>) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["-F".into(), config.into()];
    all.extend(invocation.tty.map(|tty| OsString::from(if tty { "-t" } else { "-T" })));
    for extra in invocation.extra {
        if !extra.starts_with('-') {
            all.push("-o".into());
        }
        all.push(extra.into());
    }
    all.extend(invocation.arguments.iter().map(OsString::from));
    all.push(host.into());
    if let Some(command) = invocation.command {
        all.extend(["--".into(), command.into()]);
    }
    all
}

/// The OpenSSH client in `PATH`, if there is one.
pub fn client() -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH")?)
}

fn find_in(path: &std::ffi::OsStr) -> Option<PathBuf> {
    let runs =
        |file: &PathBuf| file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("ssh")).find(runs)
}

/// A value that needs no quotes and cannot be taken for a pattern or an option.
fn word<'v>(what: &'static str, value: &'v str) -> Result<&'v str, Error> {
    let fine = |c: char| c.is_alphanumeric() || "-_.:@".contains(c);
    if !value.is_empty() && !value.starts_with('-') && value.chars().all(fine) {
        return Ok(value);
    }
    let why = "for ssh it has letters, digits, `-`, `_`, `.`, `:` and `@` only";
    Err(Error::BadValue { what, value: value.into(), why })
}

/// A path in quotes where it needs them; `%` would begin a token, and what quotes cannot hold is refused.
fn path(path: &Path) -> Result<String, Error> {
    let bad = |why| Error::BadValue { what: "path", value: path.display().to_string(), why };
    let text = path.to_str().ok_or_else(|| bad("ssh needs a path in UTF-8"))?;
    if text.contains(['"', '\\']) || text.contains("${") || text.chars().any(char::is_control) {
        return Err(bad("a path for ssh cannot have quotes, backslashes, `${` or control characters"));
    }
    let text = text.replace('%', "%%");
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/-_.+,%@:".contains(c));
    Ok(if plain { text } else { format!("\"{text}\"") })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y";

    fn endpoint() -> Endpoint {
        Endpoint { host: "127.0.0.1".into(), port: 2200, user: "vagrant".into() }
    }

    fn config<'a>(endpoint: &'a Endpoint, identities: &'a [PathBuf]) -> ClientConfig<'a> {
        ClientConfig {
            host: "default",
            endpoint,
            known_hosts: Path::new("/home/u/my machines/known_hosts"),
            host_key_alias: "vbox-rs-1234",
            host_key_known: true,
            identities,
            forward_agent: true,
            forward_x11: false,
            keep_alive: true,
            connect_timeout: 15,
        }
    }

    #[test]
    fn the_configuration_is_what_ssh_config_prints() {
        let text = config_text(&config(&endpoint(), &["/k/id_ed25519".into()])).unwrap();
        let expected = "\
Host default
  HostName 127.0.0.1
  User vagrant
  Port 2200
  UserKnownHostsFile \"/home/u/my machines/known_hosts\"
  GlobalKnownHostsFile /dev/null
  HostKeyAlias vbox-rs-1234
  StrictHostKeyChecking yes
  CheckHostIP no
  UpdateHostKeys no
  PasswordAuthentication no
  IdentityFile /k/id_ed25519
  IdentitiesOnly yes
  ForwardAgent yes
  ForwardX11 no
  ServerAliveInterval 15
  ConnectTimeout 15
  LogLevel ERROR
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_real_client_understands_every_line() {
        let Some(client) = client() else { return };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let identity = PathBuf::from("/a b/100%/key");
        std::fs::write(&file, config_text(&config(&endpoint(), &[identity])).unwrap()).unwrap();
        let output =
            Command::new(client).arg("-G").args(arguments(&file, "default", &Invocation::default())).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "port 2200",
            "user vagrant",
            "hostkeyalias vbox-rs-1234",
            "stricthostkeychecking true",
            "identityfile /a b/100%%/key",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn values_that_would_be_read_otherwise_are_refused() {
        let endpoint = endpoint();
        let good = config(&endpoint, &[]);
        for host in ["", "*", "a b", "a\nProxyCommand x", "-oProxyCommand=x", "\"a\""] {
            assert!(config_text(&ClientConfig { host, ..good }).is_err(), "{host:?}");
        }
        for known_hosts in ["/a\"b", "/a\nb", "/${HOME}", "/a\\b"] {
            assert!(
                config_text(&ClientConfig { known_hosts: Path::new(known_hosts), ..good }).is_err(),
                "{known_hosts:?}"
            );
        }
        assert_eq!(known_hosts_line("vm", &format!("{KEY} comment")).unwrap(), format!("vm {KEY}\n"));
        assert!(known_hosts_line("vm", "ssh-rsa").is_err());
    }

    #[test]
    fn arguments_come_before_the_host_and_the_command_after_it() {
        let (extra, more) = (["-4".to_owned(), "Compression=yes".to_owned()], ["-L".to_owned(), "1:h:2".to_owned()]);
        let invocation = Invocation { command: Some("ls -l | wc"), tty: Some(true), extra: &extra, arguments: &more };
        let expected = ["-F", "/c", "-t", "-4", "-o", "Compression=yes", "-L", "1:h:2", "vm", "--", "ls -l | wc"];
        assert_eq!(arguments(Path::new("/c"), "vm", &invocation), expected);
    }

    #[test]
    fn only_an_executable_file_is_a_client() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ssh");
        assert_eq!(find_in(dir.path().as_os_str()), None);
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find_in(dir.path().as_os_str()), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_in(dir.path().as_os_str()), Some(file));
    }
}
