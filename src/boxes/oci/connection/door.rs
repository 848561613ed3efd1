//! What opens a registry's door: logins, and the tokens that are given for them.

use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::super::Error;
use super::super::challenge::{self, Challenge};
use super::super::login::Login;
use super::super::reference::is_loopback;
use super::{ANSWER_LIMIT, Access, Ask, Connection, Payload};
use crate::boxes::source::shown;

impl Connection {
    fn login(&self) -> Result<Option<Login>, Error> {
        if let Some(known) = self.login.get() {
            return Ok(known.clone());
        }
        let found = self.logins.find(&self.cx, &self.reference)?;
        Ok(self.login.get_or_init(|| found).clone())
    }

    pub(super) fn unauthorized(&self) -> Result<Error, Error> {
        let login = self.login()?;
        let action = match self.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        Ok(Error::Unauthorized {
            host: self.reference.host().into(),
            who: login.as_ref().map_or_else(|| "you".into(), Login::who),
            action,
            repository: self.reference.repository(),
            anonymous: login.is_none(),
        })
    }

    /// Gets what the registry asks for. `version` is the key's with which it refused.
    pub(super) fn log_in(&self, response: &Response, version: u64) -> Result<(), Error> {
        let mut key = self.key();
        if key.0 != version {
            // Another thread was faster.
            return Ok(());
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = challenge::parse(&headers.collect::<Vec<_>>().join(", "));
        let value = match challenge {
            Some(Challenge::Bearer { realm, service }) => {
                format!("Bearer {}", self.token(&realm, service.as_deref())?)
            }
            Some(Challenge::Basic) => match self.login()? {
                Some(Login::Password { user, password }) => basic(&user, &password),
                _ => return Err(self.unauthorized()?),
            },
            None => return Err(self.bad_challenge("it names no way that vbox-rs knows")),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| self.bad_challenge("the token is no text"))?;
        value.set_sensitive(true);
        *key = (version + 1, Some(value));
        Ok(())
    }

    fn bad_challenge(&self, why: &str) -> Error {
        Error::Challenge { host: self.reference.host().into(), why: why.into() }
    }

    /// Asks `realm` for a token. It may be another host (Docker Hub's is); like any client of registries we send it the
    /// login that the user keeps for the registry, so it must at least be encrypted.
    fn token(&self, realm: &str, service: Option<&str>) -> Result<String, Error> {
        let mut url = Url::parse(realm).map_err(|_| self.bad_challenge("its realm is no URL"))?;
        let plain = url.scheme() == "http" && same_site(&url, &self.base);
        if url.scheme() != "https" && !plain {
            return Err(self.bad_challenge(&format!("it sends the login to {}, which is not encrypted", shown(&url))));
        }
        let login = self.login()?;
        let mut ask = Ask::new(Method::GET, url.clone());
        let mut body = None;
        match &login {
            Some(Login::Identity(token)) => {
                let scope = self.scopes().join(" ");
                let mut pairs =
                    vec![("grant_type", "refresh_token"), ("client_id", "vbox-rs"), ("refresh_token", token)];
                pairs.extend(service.map(|service| ("service", service)));
                pairs.push(("scope", &scope));
                body = Some(form(&pairs));
                ask.method = Method::POST;
            }
            login => {
                let mut pairs = url.query_pairs_mut();
                pairs.extend_pairs(service.map(|service| ("service", service)));
                pairs.extend_pairs(self.scopes().iter().map(|scope| ("scope", scope)));
                drop(pairs);
                ask.url = url;
                if let Some(Login::Password { user, password }) = login {
                    ask = ask.header(AUTHORIZATION, &basic(user, password));
                }
            }
        }
        let response = self.once(&ask, body.map_or(Payload::None, Payload::Form), None)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                return Err(self.unauthorized()?);
            }
            _ => return Err(self.refused("get a token", response)),
        }
        let bytes = self.body(response, ANSWER_LIMIT)?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        token.ok_or_else(|| self.bad_challenge("the answer holds no token"))
    }

    fn scopes(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Read => "pull",
            Access::Write => "pull,push",
        };
        let own = format!("repository:{}:{actions}", self.reference.repository());
        let others = self.also_read.iter().map(|repository| format!("repository:{repository}:pull"));
        [own].into_iter().chain(others).collect()
    }
}

/// What a realm gives; both names are in use.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// `application/x-www-form-urlencoded`, by the URL library that there is.
fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://form/").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.as_ref().and_then(Url::query).unwrap_or_default().to_owned()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Whether a plain-text realm is no worse than the registry itself: both on this computer, or both on one host that the
/// user has declared insecure.
fn same_site(realm: &Url, base: &Url) -> bool {
    base.scheme() == "http" && (is_loopback(realm) && is_loopback(base) || realm.host_str() == base.host_str())
}
