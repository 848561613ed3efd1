//! How registries are asked for a box.

use reqwest::Url;

use super::document::{Base, DOCUMENT_LIMIT, Document};
use super::error::{BadDocument, Error};
use super::servers::Servers;
use crate::boxes::fetch::{self, Access, Tuning, get};
use crate::boxes::source::shown;
use crate::progress::Cx;

/// What we want to read.
const JSON: &str = "application/json";

/// Asks one registry after the other for a box.
pub fn ask(cx: &Cx, servers: &Servers, name: &str, access: &Access, tuning: &Tuning) -> Result<Document, Error> {
    let mut urls = servers.urls().iter().peekable();
    let mut worst: Option<Error> = None;
    while let Some(server) = urls.next() {
        cx.check()?;
        let error = match ask_one(cx, server, name, access, tuning) {
            Err(error) if error.may_be_elsewhere() => error,
            result => return result,
        };
        if let (false, Some(next)) = (error.is_absent(), urls.peek()) {
            cx.note(format!("{error}; asking {}", shown(next)));
        }
        // That one does not have it says less than that another could not be asked.
        if worst.as_ref().is_none_or(Error::is_absent) {
            worst = Some(error);
        }
    }
    Err(worst.unwrap_or_else(|| Error::NotFound { server: "(none)".into(), name: name.into() }))
}

/// Whether a registry can have a box of this name: `USER/BOX`.
pub(in crate::boxes) fn is_registry_name(name: &str) -> bool {
    let plain = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !matches!(part, "" | "." | "..") && part.bytes().all(fits)
    };
    name.split_once('/').is_some_and(|(user, title)| plain(user) && plain(title))
}

fn ask_one(cx: &Cx, server: &Url, name: &str, access: &Access, tuning: &Tuning) -> Result<Document, Error> {
    let mut last = Error::NotFound { server: shown(server), name: name.into() };
    // The plain form is what Vagrant used before 2.4 and what static servers have.
    for path in [format!("api/v2/vagrant/{name}"), name.to_owned()] {
        let Ok(url) = server.join(&path) else { break };
        match document(cx, server, &url, name, access, tuning) {
            Err(error) if error.is_absent() => {}
            Err(error @ Error::Document { source: BadDocument::Page | BadDocument::Empty, .. }) => last = error,
            result => return result,
        }
    }
    Err(last)
}

fn document(cx: &Cx, server: &Url, url: &Url, name: &str, access: &Access, tuning: &Tuning) -> Result<Document, Error> {
    let token = access.has_token(url);
    let answer = get(cx, url, DOCUMENT_LIMIT, Some(JSON), access, tuning);
    let bytes = answer.map_err(|error| judged(server, url, name, token, error))?;
    let parsed = Document::parse(&bytes, Base::Url(url.clone()));
    let document = parsed.map_err(|source| Error::Document { from: shown(url), source })?;
    if !document.name.eq_ignore_ascii_case(name) {
        return Err(Error::Another { from: shown(url), found: document.name, wanted: name.into() });
    }
    Ok(document)
}

/// What an answer means.
fn judged(server: &Url, url: &Url, name: &str, token: bool, error: fetch::Error) -> Error {
    let (server, name) = (shown(server), name.to_owned());
    match error {
        fetch::Error::Interrupted(interrupted) => interrupted.into(),
        fetch::Error::TooLarge { .. } => Error::Document { from: shown(url), source: BadDocument::TooLarge },
        fetch::Error::Status { status, reason, wait, .. } => match status {
            404 | 410 => Error::NotFound { server, name },
            401 | 407 => Error::Login { server, name, token },
            402 => Error::Payment { server, name },
            403 => Error::Forbidden { server, name },
            422 => Error::BadName { server, name },
            429 => Error::Limited { server, wait },
            _ => Error::Trouble { server, status, reason },
        },
        source => Error::Unreachable { server, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_asked_for() {
        for (name, fits) in [
            ("debian/bookworm64", true),
            ("bento/ubuntu-16.04", true),
            ("precise64", false),
            ("a/../b", false),
            ("../b", false),
            ("a/b/c", false),
            ("a/b?x=1", false),
            ("a/b@c", false),
        ] {
            assert_eq!(is_registry_name(name), fits, "{name}");
        }
    }
}
