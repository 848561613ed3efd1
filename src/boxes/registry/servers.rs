//! Which registries are asked, and what they know us by.
//!
//! None by default: Vagrant's public one ends with 2026, and a name must not lead to whoever owns an address later. Who
//! still wants it names it: `VBOX_RS_SERVER_URL=https://vagrantcloud.com`.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use reqwest::Url;

use super::error::Error;
use crate::boxes::fetch::Access;
use crate::boxes::name::printable;
use crate::boxes::source::shown;
use crate::progress::Cx;
use crate::store::{Dirs, read_bounded};

/// More than anybody types.
const SERVERS_LIMIT: usize = 16;

/// Longer than any token.
const TOKEN_LIMIT: u64 = 16 << 10;

/// Registries in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers(Vec<Url>);

impl Servers {
    /// `VBOX_RS_SERVER_URL`, else `VAGRANT_SERVER_URL`.
    pub fn from_env() -> Result<Self, Error> {
        let set = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let text = set("VBOX_RS_SERVER_URL").or_else(|| set("VAGRANT_SERVER_URL"));
        text.map_or_else(|| Ok(Self::default()), |text| Self::parse(&text))
    }

    /// Reads addresses between spaces.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let servers: Vec<_> = text.split_whitespace().map(server).collect::<Result<_, _>>()?;
        if servers.len() > SERVERS_LIMIT {
            let why = format!("at most {SERVERS_LIMIT} are asked");
            return Err(Error::Server { text: printable(text), why });
        }
        Ok(Self(servers))
    }

    /// In the order in which they are asked.
    pub fn urls(&self) -> &[Url] {
        &self.0
    }

    /// Gives each server its token: `VBOX_RS_TOKEN` (or `VAGRANT_CLOUD_TOKEN`) belongs to the first one, a file of
    /// `tokens/` to the one that it is named after.
    pub fn log_in(&self, cx: &Cx, dirs: &Dirs, access: &mut Access) {
        let set = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        for (at, server) in self.0.iter().enumerate() {
            let from_env = || set("VBOX_RS_TOKEN").or_else(|| set("VAGRANT_CLOUD_TOKEN"));
            let token = if at == 0 { from_env() } else { None }.or_else(|| token_of(cx, dirs, server));
            let Some(token) = token else { continue };
            if server.scheme() == "http" && !is_loopback(server) {
                cx.warn(format!("{} is not encrypted: our token is not sent there", shown(server)));
            } else if token.trim().bytes().all(|byte| byte.is_ascii_graphic()) {
                access.add_token(server, token.trim());
            } else {
                cx.warn(format!("the token for {} is not one line of text and is not sent", shown(server)));
            }
        }
    }
}

fn server(text: &str) -> Result<Url, Error> {
    let bad = |why: String| Error::Server { text: crate::boxes::shown_source(text), why };
    let mut url = Url::parse(text).map_err(|e| bad(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it must begin with https://".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it must have no `?` and no `#`".into()));
    }
    // So that names are joined behind the path and not in the place of its last part.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Where the token of a server lies.
fn token_file(dirs: &Dirs, server: &Url) -> PathBuf {
    let host = server.host_str().unwrap_or_default().replace(['/', '[', ']'], "");
    let port = server.port().map(|port| format!("_{port}")).unwrap_or_default();
    dirs.home().join("tokens").join(format!("{host}{port}"))
}

fn token_of(cx: &Cx, dirs: &Dirs, server: &Url) -> Option<String> {
    let path = token_file(dirs, server);
    let mode = path.metadata().ok()?.mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        cx.warn(format!("{path} can be read by others and is not used; `chmod 600 {path}`"));
        return None;
    }
    match read_bounded(&path, TOKEN_LIMIT) {
        Ok(bytes) => String::from_utf8(bytes?).ok(),
        Err(error) => {
            cx.warn(format!("the token for {} is not used: {error}", shown(server)));
            None
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn addresses_are_read_in_order_or_refused_without_secrets() {
        let servers = Servers::parse("  https://a.example/registry http://127.0.0.1:8080 ").unwrap();
        let texts: Vec<_> = servers.urls().iter().map(Url::as_str).collect();
        assert_eq!(texts, ["https://a.example/registry/", "http://127.0.0.1:8080/"]);
        for text in ["boxes.example", "ftp://me:s3cret@x", "https://x/?token=s3cret", "file:///x"] {
            let message = Servers::parse(text).unwrap_err().to_string();
            assert!(message.contains("not the address") && !message.contains("s3cret"), "{message}");
        }
        assert!(Servers::parse(&"https://a ".repeat(17)).is_err());
        assert_eq!(Servers::parse("").unwrap(), Servers::default());
    }

    #[test]
    fn a_token_file_counts_only_when_nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let servers = Servers::parse("https://none.example https://a.example:8443").unwrap();
        let second = &servers.urls()[1];
        let file = token_file(&dirs, second);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "s3cret\n").unwrap();
        for (mode, used) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let mut access = Access::default();
            servers.log_in(&Cx::silent(), &dirs, &mut access);
            assert_eq!(access.has_token(second), used, "{mode:o}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "two\nlines").unwrap();
        let mut access = Access::default();
        servers.log_in(&Cx::silent(), &dirs, &mut access);
        assert!(!access.has_token(second));
    }

    #[test]
    fn a_token_goes_unencrypted_to_this_computer_only() {
        for (text, loopback) in [
            ("http://localhost:1/", true),
            ("http://[::1]/", true),
            ("http://127.0.0.9/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.evil/", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), loopback, "{text}");
        }
    }
}
