//! Who we are for a registry: two environment variables, the files of docker and podman, and the programs that they name.

use std::env;
use std::fmt;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Error, Reference};
use crate::boxes::name::printable;
use crate::progress::Cx;
use crate::store::read_bounded;

/// Larger than any file of logins, and than any answer of a helper.
const LIMIT: u64 = 1 << 20;

/// A helper may ask its user something.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);

/// How often a wait looks whether it should stop.
const TICK: Duration = Duration::from_millis(20);

/// What Docker Hub is called in files of logins.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A secret of the user for one registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// User and password.
    Password { user: String, password: String },
    /// What a former login left instead of the password; good for getting tokens.
    Identity(String),
}

/// Secrets are never shown, not even in a panic's message.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "login of {user}"),
            Self::Identity(_) => f.write_str("an identity token"),
        }
    }
}

impl Login {
    /// Who it is, for messages.
    pub fn who(&self) -> String {
        match self {
            Self::Password { user, .. } => format!("the user `{}`", printable(user)),
            Self::Identity(_) => "your login".into(),
        }
    }
}

/// Where logins are looked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Logins {
    given: Option<Given>,
    files: Vec<PathBuf>,
}

/// A login by environment variables.
#[derive(Clone, PartialEq, Eq)]
struct Given {
    /// The one registry that may have it; a machine file of a stranger may name any other.
    registry: Option<String>,
    user: String,
    password: String,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Logins {
    /// `VBOX_RS_OCI_USER` with `VBOX_RS_OCI_PASSWORD` for `VBOX_RS_OCI_REGISTRY`; else podman's files, then docker's.
    pub fn from_env() -> Self {
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = dirs::config_dir();
        let files = [
            folder("REGISTRY_AUTH_FILE"),
            folder("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            config.map(|dir| dir.join("containers/auth.json")),
            folder("DOCKER_CONFIG")
                .or_else(|| Some(dirs::home_dir()?.join(".docker")))
                .map(|dir| dir.join("config.json")),
        ];
        Self {
            given: text("VBOX_RS_OCI_USER").zip(text("VBOX_RS_OCI_PASSWORD")).map(|(user, password)| Given {
                registry: text("VBOX_RS_OCI_REGISTRY"),
                user,
                password,
            }),
            files: files.into_iter().flatten().collect(),
        }
    }

    /// This user and password at `registry` (`HOST[:PORT]`).
    pub fn given(registry: &str, user: &str, password: &str) -> Self {
        let given = Given { registry: Some(registry.into()), user: user.into(), password: password.into() };
        Self { given: Some(given), files: Vec::new() }
    }

    /// These files, the first that knows the registry.
    pub fn files(files: Vec<PathBuf>) -> Self {
        Self { given: None, files }
    }

    /// The login for a registry; `None` where there is none.
    pub(super) fn find(&self, cx: &Cx, reference: &Reference) -> Result<Option<Login>, Error> {
        match &self.given {
            Some(Given { registry: Some(registry), user, password })
                if registry.eq_ignore_ascii_case(reference.host()) =>
            {
                return Ok(Some(Login::Password { user: user.clone(), password: password.clone() }));
            }
            Some(Given { registry: None, .. }) => cx.warn(
                "VBOX_RS_OCI_USER and VBOX_RS_OCI_PASSWORD are not used: VBOX_RS_OCI_REGISTRY must name the registry \
                 that they are for",
            ),
            _ => {}
        }
        for path in &self.files {
            let shown = path.display().to_string();
            let broken = |why: String| Error::Logins { path: shown.clone(), why };
            let Some(text) = read_bounded(path, LIMIT)? else { continue };
            let file: LoginFile = serde_json::from_slice(&text)
                // The position alone: the words around it may be a password.
                .map_err(|e| broken(format!("line {}, column {}", e.line(), e.column())))?;
            if let Some(login) = file.find(cx, reference).map_err(|found| found.into_error(broken))? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }
}

/// `config.json` of docker, `auth.json` of podman.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LoginFile {
    auths: Map<String, Value>,
    cred_helpers: Map<String, Value>,
    creds_store: Option<String>,
}

/// Why a file that was read gives no login.
enum Useless {
    Entry(String),
    Failed(Error),
}

impl Useless {
    fn into_error(self, broken: impl Fn(String) -> Error) -> Error {
        match self {
            Self::Entry(why) => broken(why),
            Self::Failed(error) => error,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl LoginFile {
    fn find(&self, cx: &Cx, reference: &Reference) -> Result<Option<Login>, Useless> {
        let host = reference.host();
        if let Some(helper) = self.cred_helpers.get(host) {
            let name = helper.as_str().ok_or_else(|| Useless::Entry("a helper's name is no text".into()))?;
            return ask_helper(cx, name, host).map_err(Useless::Failed);
        }
        for key in keys(reference) {
            // Whoever wrote the key may have written it as a URL.
            let entry = self.auths.iter().find(|(name, _)| bare(name) == bare(&key)).map(|(_, entry)| entry);
            let entry = entry.map(Entry::deserialize).transpose();
            let entry =
                entry.map_err(|_| Useless::Entry(format!("the entry of `{}` makes no sense", printable(&key))))?;
            if let Some(login) = entry.map(|entry| entry.login(&key)).transpose()?.flatten() {
                return Ok(Some(login));
            }
        }
        match &self.creds_store {
            Some(name) => {
                let server = if reference.is_docker_hub() { DOCKER_HUB } else { host };
                ask_helper(cx, name, server).map_err(Useless::Failed)
            }
            None => Ok(None),
        }
    }
}

/// Names under which a registry's login may stand, the closest first: podman keeps logins of single repositories.
fn keys(reference: &Reference) -> Vec<String> {
    let mut key = format!("{}/{}", reference.host(), reference.repository());
    let mut keys = vec![key.clone()];
    while let Some((shorter, _)) = key.rsplit_once('/') {
        key = shorter.to_owned();
        keys.push(key.clone());
    }
    if reference.is_docker_hub() {
        keys.extend([DOCKER_HUB.into(), "docker.io".into()]);
    }
    keys
}

/// `https://HOST/v1/` and `HOST` are the same.
fn bare(key: &str) -> &str {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

impl Entry {
    fn login(self, key: &str) -> Result<Option<Login>, Useless> {
        if let Some(token) = self.identitytoken.filter(|token| !token.is_empty()) {
            return Ok(Some(Login::Identity(token)));
        }
        if let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) {
            let text = STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = text.as_deref().and_then(|text| text.trim_end_matches('\0').split_once(':'));
            let (user, password) =
                pair.ok_or_else(|| Useless::Entry(format!("`auth` of `{}` is no login", printable(key))))?;
            return Ok(Some(Login::Password { user: user.into(), password: password.into() }));
        }
        Ok(self.username.zip(self.password).map(|(user, password)| Login::Password { user, password }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-NAME get`: the server's name on its standard input, JSON on its standard output.
fn ask_helper(cx: &Cx, name: &str, server: &str) -> Result<Option<Login>, Error> {
    let program = format!("docker-credential-{}", printable(name));
    let failed = |why: String| Error::Helper { program: program.clone(), why };
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain {
        return Err(failed("that is no name of a program".into()));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut to) = child.stdin.take() {
        // One that does not read it says so by its exit status.
        let _ = writeln!(to, "{server}");
    }
    let from = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = from.map(|from| from.take(LIMIT).read_to_end(&mut bytes));
        read.transpose().map(|_| bytes)
    });
    let fine = wait(cx, &mut child, &failed)?;
    let bytes = reader.join().ok().and_then(Result::ok).unwrap_or_default();
    if !fine {
        // What docker's helpers print, and the only failure that is none.
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("it failed: {}", printable(text.trim()))));
    }
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| failed("its answer makes no sense".into()))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Login::Identity(answer.secret),
        _ => Login::Password { user: answer.username, password: answer.secret },
    }))
}

/// Waits for the helper, and ends it when it takes too long or nobody wants the answer any more.
fn wait(cx: &Cx, child: &mut Child, failed: &dyn Fn(String) -> Error) -> Result<bool, Error> {
    let began = Instant::now();
    let outcome = loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if began.elapsed() >= HELPER_PATIENCE => {
                break failed(format!("no answer within {} seconds", HELPER_PATIENCE.as_secs()));
            }
            Ok(None) => {}
            Err(error) => break failed(error.to_string()),
        }
        if let Err(interrupted) = cx.sleep(TICK) {
            break interrupted.into();
        }
    };
    // It has nothing to lose; both fail only when it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    Err(outcome)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find(text: &str, reference: &str) -> Result<Option<Login>, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, text).unwrap();
        Logins::files(vec![dir.path().join("missing"), path]).find(&Cx::silent(), &reference.parse().unwrap())
    }

    fn password(user: &str, password: &str) -> Login {
        Login::Password { user: user.into(), password: password.into() }
    }

    #[test]
    fn logins_of_docker_and_podman_are_found_and_no_other_registry_gets_them() {
        let auth = STANDARD.encode("me:pa:ss");
        let file = format!(
            r#"{{"auths":{{"https://x.example/v1/":{{"auth":"{auth}"}},"y.example:5000/team/a":{{"username":"u","password":"p"}},
            "z.example":{{"identitytoken":"tok"}},"https://index.docker.io/v1/":{{"auth":"{auth}"}},"empty.example":{{}}}}}}"#
        );
        for (reference, expected) in [
            ("oci://x.example/a", Some(password("me", "pa:ss"))),
            ("oci://y.example:5000/team/a", Some(password("u", "p"))),
            ("oci://y.example:5000/team/a/b", Some(password("u", "p"))),
            ("oci://y.example:5000/team/b", None),
            ("oci://y.example/team/a", None),
            ("oci://z.example/q", Some(Login::Identity("tok".into()))),
            ("oci://docker.io/debian", Some(password("me", "pa:ss"))),
            ("oci://x.example.evil.example/a", None),
            ("oci://empty.example/a", None),
        ] {
            assert_eq!(find(&file, reference).unwrap(), expected, "{reference}");
        }
    }

    #[test]
    fn a_login_by_variables_goes_to_the_registry_that_they_name_and_to_no_other() {
        let find = |logins: &Logins, text: &str| logins.find(&Cx::silent(), &text.parse().unwrap()).unwrap();
        let given = Logins::given("x.example:5000", "me", "s3cret");
        assert_eq!(find(&given, "oci://X.example:5000/a"), Some(password("me", "s3cret")));
        for other in ["oci://x.example/a", "oci://evil.example/x.example/a", "oci://docker.io/debian"] {
            assert_eq!(find(&given, other), None, "{other}");
        }
        let unbound = Given { registry: None, user: "me".into(), password: "s3cret".into() };
        let unbound = Logins { given: Some(unbound), files: Vec::new() };
        assert_eq!(find(&unbound, "oci://x.example/a"), None);
    }

    #[test]
    fn a_broken_file_is_told_without_its_secrets() {
        for text in [
            r#"{"auths":{"x.example":{"auth":"s3cret!"}}}"#,
            r#"{"auths":{"x.example":{"password":["s3cret"]}}}"#,
            "{s3cret",
            r#"{"auths":"s3cret"}"#,
        ] {
            let error = find(text, "oci://x.example/a").unwrap_err();
            let message = error.to_string();
            assert!(message.contains("config.json") && !message.contains("s3cret"), "{message}");
        }
        assert!(!format!("{:?}", password("me", "s3cret")).contains("s3cret"));
    }

    #[test]
    fn a_helper_is_a_program_of_that_name_and_no_path() {
        for name in ["../evil", "", "a b", "a/b"] {
            let text = format!(r#"{{"credsStore":"{name}"}}"#);
            let message = find(&text, "oci://x.example/a").unwrap_err().to_string();
            assert!(message.contains("no name of a program"), "{message}");
        }
        let message = find(r#"{"credHelpers":{"x.example":"vbox-rs-none"}}"#, "oci://x.example/a").unwrap_err();
        assert!(message.to_string().starts_with("`docker-credential-vbox-rs-none` gave no login"), "{message}");
    }
}
