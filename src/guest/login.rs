//! From a connected socket to a login: key exchange, host key, authentication. Nothing here blocks for longer than a
//! slice without asking whether to go on.

use std::fmt;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use ssh2::{BlockDirections, ErrorCode, MethodType};

use super::connect::{GoOn, SLICE, wait};
use super::error::ChangedKey;
use super::{Error, key_text};
use crate::store;

/// Where and as whom to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address on the host ("127.0.0.1").
    pub host: String,
    /// Port on the host.
    pub port: u16,
    /// Login name.
    pub user: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

/// What is known of the guest's host key, in OpenSSH's one-line form (`ssh-ed25519 AAAA…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// Only this one is right.
    Pinned(String),
    /// Take whatever comes first; the caller records it.
    FirstContact,
}

/// All that a login needs.
#[derive(Clone, Debug)]
pub struct Login {
    /// Where and as whom.
    pub endpoint: Endpoint,
    /// Private keys, tried in order; those of the ssh-agent where there are none.
    pub keys: Vec<PathBuf>,
    /// What is known of the host key.
    pub host_key: HostKey,
    /// Bound of connecting, handshake and authentication together.
    pub timeout: Duration,
    /// Send keep-alive messages.
    pub keep_alive: bool,
}

/// The steps of a login, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Until the port takes a connection.
    Port,
    /// Until the ssh server says what it is.
    Banner,
    /// Until keys are exchanged and the host key is checked.
    KeyExchange,
    /// Until we are logged in.
    Login,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Port => "port answers",
            Self::Banner => "ssh banner",
            Self::KeyExchange => "key exchange",
            Self::Login => "login",
        })
    }
}

/// A library session and the socket below it.
pub(super) struct Link {
    pub(super) ssh: ssh2::Session,
    /// The same socket, for waiting: the library's own is hidden.
    pub(super) socket: TcpStream,
    /// What the guest showed, in one line.
    pub(super) host_key: String,
}

/// More than any key file has.
const KEY_LIMIT: u64 = 64 << 10;

/// OpenSSH's server ends the connection after six attempts (`MaxAuthTries`).
const MOST_ATTEMPTS: usize = 6;

/// Host key types in the order of our liking: ed25519 is the cheapest to check for a slow guest.
const HOST_KEY_TYPES: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Exchanges keys, checks the host key, logs in. `tell` hears of every stage.
pub(super) fn log_in(
    socket: TcpStream,
    login: &Login,
    go_on: GoOn<'_>,
    tell: &mut dyn FnMut(Stage),
) -> Result<Link, Error> {
    let failed = |stage| move |source| Error::Handshake { endpoint: login.endpoint.clone(), stage, source };
    tell(Stage::KeyExchange);
    let prepare = || -> Result<ssh2::Session, ssh2::Error> {
        let mut ssh = ssh2::Session::new()?;
        ssh.set_blocking(false);
        ssh.method_pref(MethodType::HostKey, &host_key_types(&login.host_key))?;
        let clone = socket.try_clone().map_err(|_| ssh2::Error::unknown())?;
        ssh.set_tcp_stream(clone);
        Ok(ssh)
    };
    let ssh = prepare().map_err(failed(Stage::KeyExchange))?;
    let mut handle = ssh.clone();
    drive(&ssh, &socket, go_on, || handle.handshake())?.map_err(failed(Stage::KeyExchange))?;
    let host_key = check_host_key(&ssh, login)?;
    tell(Stage::Login);
    let link = Link { ssh, socket, host_key };
    authenticate(&link, login, go_on)?;
    if login.keep_alive {
        link.ssh.set_keepalive(true, 15);
    }
    Ok(link)
}

/// Repeats `step` until it no longer would block, and waits for the socket in between.
pub(super) fn drive<T>(
    ssh: &ssh2::Session,
    socket: &TcpStream,
    go_on: GoOn<'_>,
    mut step: impl FnMut() -> Result<T, ssh2::Error>,
) -> Result<Result<T, ssh2::Error>, Error> {
    loop {
        match step() {
            Err(e) if would_block(&e) => {}
            settled => return Ok(settled),
        }
        go_on()?;
        wait(&mut [PollFd::new(socket, directions(ssh))], SLICE);
    }
}

/// What the library waits for. Input always counts: it may free a window or tell of the end.
pub(super) fn directions(ssh: &ssh2::Session) -> PollFlags {
    match ssh.block_directions() {
        BlockDirections::Outbound | BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
        BlockDirections::None | BlockDirections::Inbound => PollFlags::IN,
    }
}

fn would_block(error: &ssh2::Error) -> bool {
    // libssh2's LIBSSH2_ERROR_EAGAIN.
    error.code() == ErrorCode::Session(-37)
}

/// The pinned key's type first: a guest that has several keys then shows the one that we know.
fn host_key_types(known: &HostKey) -> String {
    let pinned = match known {
        HostKey::Pinned(line) => line.split_whitespace().next().unwrap_or_default(),
        HostKey::FirstContact => "",
    };
    let is_pinned = |name: &str| name == pinned || (pinned == "ssh-rsa" && name.starts_with("rsa-"));
    let (mut first, rest): (Vec<&str>, Vec<&str>) = HOST_KEY_TYPES.iter().partition(|name| is_pinned(name));
    first.extend(rest);
    first.join(",")
}

fn check_host_key(ssh: &ssh2::Session, login: &Login) -> Result<String, Error> {
    let endpoint = || login.endpoint.clone();
    let shown = ssh
        .host_key()
        .and_then(|(blob, _)| key_text::line(blob))
        .ok_or_else(|| Error::HostKeyUnreadable { endpoint: endpoint() })?;
    match &login.host_key {
        HostKey::Pinned(pinned) if key_text::normal(pinned).as_deref() != Some(&shown) => {
            Err(Error::HostKeyChanged(Box::new(ChangedKey {
                endpoint: endpoint(),
                expected: key_text::fingerprint(pinned),
                shown: key_text::fingerprint(&shown),
                recorded: pinned.trim().into(),
            })))
        }
        _ => Ok(shown),
    }
}

/// A key file as far as we need to understand it.
enum KeyFile {
    /// The library can use it.
    Plain(String),
    /// It has a passphrase; its public half where that is known.
    Encrypted(Option<Vec<u8>>),
}

fn authenticate(link: &Link, login: &Login, go_on: GoOn<'_>) -> Result<(), Error> {
    let mut tried = Vec::new();
    let mut unusable = None;
    for path in login.keys.iter().take(MOST_ATTEMPTS) {
        let attempt = match read_key(path) {
            Ok(KeyFile::Plain(text)) => {
                let user = &login.endpoint.user;
                let step = || link.ssh.userauth_pubkey_memory(user, None, &text, None);
                drive(&link.ssh, &link.socket, go_on, step)?
            }
            Ok(KeyFile::Encrypted(public)) => {
                let Some(attempt) = with_agent(link, login, public.as_deref(), go_on)? else {
                    unusable = Some((path, "it has a passphrase, and the ssh-agent does not have it".to_owned()));
                    continue;
                };
                attempt
            }
            Err(why) => {
                unusable = Some((path, why));
                continue;
            }
        };
        match judge(attempt, login)? {
            Verdict::In => return Ok(()),
            Verdict::Refused => tried.push(path.display().to_string()),
            Verdict::Unusable(why) => unusable = Some((path, why)),
        }
    }
    if login.keys.is_empty()
        && let Some(attempt) = with_agent(link, login, None, go_on)?
    {
        if matches!(judge(attempt, login)?, Verdict::In) {
            return Ok(());
        }
        tried.push("of the ssh-agent".into());
    }
    match unusable {
        Some((path, why)) if tried.is_empty() => Err(Error::Key { path: path.clone(), why }),
        _ => Err(Error::WrongKey { endpoint: login.endpoint.clone(), tried }),
    }
}

enum Verdict {
    In,
    Refused,
    Unusable(String),
}

fn judge(attempt: Result<(), ssh2::Error>, login: &Login) -> Result<Verdict, Error> {
    let Err(error) = attempt else { return Ok(Verdict::In) };
    match error.code() {
        // LIBSSH2_ERROR_AUTHENTICATION_FAILED, _PUBLICKEY_UNVERIFIED, _METHOD_NOT_SUPPORTED, _ALGO_UNSUPPORTED: an
        // answer of the server.
        ErrorCode::Session(-18 | -19 | -33 | -51) => Ok(Verdict::Refused),
        // LIBSSH2_ERROR_FILE, _METHOD_NONE, _KEYFILE_AUTH_FAILED: the key never got there.
        ErrorCode::Session(-16 | -17 | -48) => Ok(Verdict::Unusable(error.message().to_lowercase())),
        _ => Err(Error::Handshake { endpoint: login.endpoint.clone(), stage: Stage::Login, source: error }),
    }
}

fn read_key(path: &Path) -> Result<KeyFile, String> {
    let bytes = match store::read_bounded(path, KEY_LIMIT) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err("there is no such file".into()),
        Err(e) => return Err(e.to_string()),
    };
    let text = String::from_utf8(bytes).map_err(|_| "it is not a text file".to_owned())?;
    // The library must never see a key with a passphrase: OpenSSL would ask for it through a null pointer.
    let public = || {
        let beside = store::read_bounded(&super::keys::public_path(path), KEY_LIMIT).ok().flatten()?;
        key_text::blob(&String::from_utf8(beside).ok()?)
    };
    if text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return match ssh_key::PrivateKey::from_openssh(&text) {
            Ok(key) if key.is_encrypted() => Ok(KeyFile::Encrypted(key.public_key().to_bytes().ok())),
            Ok(_) => Ok(KeyFile::Plain(text)),
            // A type that we do not read ourselves (ecdsa): its cipher is named in the first bytes.
            Err(_) if openssh_is_plain(&text) => Ok(KeyFile::Plain(text)),
            Err(_) => Ok(KeyFile::Encrypted(public())),
        };
    }
    if text.contains("ENCRYPTED") {
        return Ok(KeyFile::Encrypted(public()));
    }
    if text.contains("PRIVATE KEY-----") { Ok(KeyFile::Plain(text)) } else { Err("it is not a private key".into()) }
}

fn openssh_is_plain(text: &str) -> bool {
    // base64 of "openssh-key-v1\0", then the length and the name of the cipher `none`.
    text.split_whitespace().any(|word| word.starts_with("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"))
}

/// Tries the agent's key that is `wanted` (its wire form), or each of them; `None` when the agent has nothing to try.
fn with_agent(
    link: &Link,
    login: &Login,
    wanted: Option<&[u8]>,
    go_on: GoOn<'_>,
) -> Result<Option<Result<(), ssh2::Error>>, Error> {
    if std::env::var_os("SSH_AUTH_SOCK").is_none() {
        return Ok(None);
    }
    let mut identities = Vec::new();
    let agent = link.ssh.agent().and_then(|mut agent| {
        agent.connect()?;
        agent.list_identities()?;
        identities = agent.identities()?;
        Ok(agent)
    });
    // An agent that cannot be asked is as good as none.
    let Ok(agent) = agent else { return Ok(None) };
    let mut last = None;
    let fits = |key: &&ssh2::PublicKey| wanted.is_none_or(|wanted| key.blob() == wanted);
    for key in identities.iter().filter(fits).take(MOST_ATTEMPTS) {
        let attempt = drive(&link.ssh, &link.socket, go_on, || agent.userauth(&login.endpoint.user, key))?;
        let done = attempt.is_ok();
        last = Some(attempt);
        if done {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_key_type_is_asked_for_first() {
        let rsa = host_key_types(&HostKey::Pinned("ssh-rsa AAAA".into()));
        assert!(rsa.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519,"), "{rsa}");
        assert!(host_key_types(&HostKey::FirstContact).starts_with("ssh-ed25519,"));
    }

    #[test]
    fn files_that_are_no_keys_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_key(&path)
        };
        assert!(matches!(read("hello"), Err(why) if why == "it is not a private key"));
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        assert!(matches!(read(old), Ok(KeyFile::Encrypted(None))));
        assert!(matches!(read("-----BEGIN RSA PRIVATE KEY-----\nAAAA"), Ok(KeyFile::Plain(_))));
        assert!(matches!(read("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA"), Ok(KeyFile::Encrypted(None))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read_key(&path), Err(why) if why == "there is no such file"));
    }
}
