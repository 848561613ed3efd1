//! How we and servers know each other: certificates, and tokens that go to their own server only.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, RequestBuilder, Url};

use super::{Error, Tuning};
use crate::boxes::source::percent_decoded;
use crate::progress::Cx;
use crate::store::read_bounded;

/// A bundle of all authorities in public use has a quarter of this.
const PEM_LIMIT: u64 = 1 << 20;

/// More certificates than any folder of authorities holds.
const FOLDER_LIMIT: usize = 2000;

/// How servers are believed and how they let us in. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`, …), and
/// so do `SSL_CERT_FILE` and `SSL_CERT_DIR`.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Believe any server. Said with each use.
    pub insecure: bool,
    /// Authorities to believe instead of the system's: a file in PEM form.
    pub ca_cert: Option<PathBuf>,
    /// A folder of such files.
    pub ca_path: Option<PathBuf>,
    /// Who we are: certificate and key (PKCS #8) in one file in PEM form.
    pub client_cert: Option<PathBuf>,
    /// Send the login on to other servers that the first one redirects to.
    pub location_trusted: bool,
    /// What servers know us by.
    pub tokens: Tokens,
}

/// Tokens, each with the server that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<(Url, Secret)>);

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a request carries to be let in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Basic(String, Option<String>),
    Bearer(String),
}

impl Login {
    /// The request with it; reqwest marks the header as sensitive.
    pub fn put(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic(user, password) => request.basic_auth(user, password.as_ref()),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

impl Access {
    /// What the environment asks for: `CURL_CA_BUNDLE`, as curl and therefore Vagrant read it.
    pub fn from_env() -> Self {
        let bundle = std::env::var_os("CURL_CA_BUNDLE").filter(|path| !path.is_empty());
        Self { ca_cert: bundle.map(PathBuf::from), ..Self::default() }
    }

    /// Gives a server its token.
    pub(in crate::boxes) fn add_token(&mut self, server: &Url, token: &str) {
        self.tokens.0.push((server.clone(), Secret(token.to_owned())));
    }

    /// Whether a token would go with a request for `url`.
    pub(in crate::boxes) fn has_token(&self, url: &Url) -> bool {
        self.tokens.0.iter().any(|(server, _)| server.origin() == url.origin())
    }

    /// How the first request logs in: as the URL says, else by the server's token.
    pub(super) fn login(&self, url: &Url) -> Option<Login> {
        if !url.username().is_empty() || url.password().is_some() {
            return Some(Login::Basic(percent_decoded(url.username()), url.password().map(percent_decoded)));
        }
        let token = self.tokens.0.iter().find(|(server, _)| server.origin() == url.origin());
        token.map(|(_, token)| Login::Bearer(token.0.clone()))
    }

    /// Says loudly what is not checked.
    pub(in crate::boxes) fn warn(&self, cx: &Cx, url: &Url) {
        if self.insecure && url.scheme() == "https" {
            let host = url.host_str().unwrap_or_default();
            cx.warn(format!("the certificate of {host} is not checked (--insecure): anybody can stand in for it"));
        }
    }

    /// A client that sends no more than it must: no referer, no cookies. Redirects are followed by the caller.
    pub(super) fn client(&self, tuning: &Tuning) -> Result<Client, Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("vbox-rs/", env!("CARGO_PKG_VERSION")))
            .referer(false)
            .connect_timeout(tuning.connect)
            .redirect(Policy::none())
            .http2_adaptive_window(true)
            .tls_danger_accept_invalid_certs(self.insecure)
            .tls_danger_accept_invalid_hostnames(self.insecure);
        if self.ca_cert.is_some() || self.ca_path.is_some() {
            let mut authorities = Vec::new();
            if let Some(file) = &self.ca_cert {
                authorities.extend(certificates(file)?);
            }
            if let Some(folder) = &self.ca_path {
                authorities.extend(all_certificates(folder)?);
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(file) = &self.client_cert {
            builder = builder.identity(identity(file)?);
        }
        builder.build().map_err(|e| Error::Client(e.into()))
    }
}

fn bad(path: &Path, why: impl Into<String>) -> Error {
    Error::Certificate { path: path.into(), why: why.into() }
}

fn pem(path: &Path) -> Result<Vec<u8>, Error> {
    match read_bounded(path, PEM_LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(bad(path, "there is no such file")),
        Err(error) => {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            Err(bad(path, why.unwrap_or_else(|| error.to_string())))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let found = Certificate::from_pem_bundle(&pem(path)?).map_err(|_| bad(path, "its PEM text is damaged"))?;
    if found.is_empty() { Err(bad(path, "it holds no certificate in PEM form")) } else { Ok(found) }
}

/// The certificates of all files of a folder; what else lies there is passed over.
fn all_certificates(folder: &Path) -> Result<Vec<Certificate>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|e| bad(folder, e.to_string()))?;
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).take(FOLDER_LIMIT);
    let found: Vec<_> = files.filter_map(|path| certificates(&path).ok()).flatten().collect();
    if found.is_empty() { Err(bad(folder, "it holds no certificate in PEM form")) } else { Ok(found) }
}

/// Certificate and key of one file, as curl takes them.
fn identity(path: &Path) -> Result<Identity, Error> {
    const KEY: &str = "-----BEGIN PRIVATE KEY-----";
    let text = String::from_utf8(pem(path)?).map_err(|_| bad(path, "it is not in PEM form"))?;
    let Some(at) = text.find(KEY) else {
        return Err(bad(path, "it holds no unencrypted key in PKCS #8 form (`BEGIN PRIVATE KEY`)"));
    };
    Identity::from_pkcs8_pem(text.as_bytes(), &text.as_bytes()[at..])
        .map_err(|_| bad(path, "certificate and key make no pair"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_goes_to_its_own_server_only_and_is_never_shown() {
        let mut access = Access::default();
        access.add_token(&url("https://boxes.example/registry"), "s3cret");
        let sent = |text: &str| access.login(&url(text));
        assert!(sent("https://boxes.example/a/b") == Some(Login::Bearer("s3cret".into())));
        for other in ["http://boxes.example/a", "https://boxes.example:444/a", "https://evil.example/boxes.example"] {
            assert!(sent(other).is_none(), "{other}");
        }
        assert!(!format!("{access:?}").contains("s3cret"));
        assert!(sent("https://me:p%40w@evil.example/") == Some(Login::Basic("me".into(), Some("p@w".into()))));
    }

    #[test]
    fn certificates_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let told = |access: &Access| access.client(&Tuning::default()).unwrap_err().to_string();
        let with = |path: &Path| Access { ca_cert: Some(path.into()), ..Access::default() };
        assert!(told(&with(&file)).contains("no such file"));
        std::fs::write(&file, "hello").unwrap();
        assert!(told(&with(&file)).contains("no certificate in PEM form"));
        std::fs::write(&file, vec![b'x'; 2 << 20]).unwrap();
        assert!(told(&with(&file)).contains("larger than"), "{}", told(&with(&file)));
        let folder = Access { ca_path: Some(dir.path().into()), ..Access::default() };
        assert!(told(&folder).contains("no certificate"));
        let client = Access { client_cert: Some(file.clone()), ..Access::default() };
        std::fs::write(&file, "-----BEGIN RSA PRIVATE KEY-----").unwrap();
        assert!(told(&client).contains("PKCS #8"));
    }
}
