//! `WWW-Authenticate`: how a registry asks for a login.

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token that `realm` gives.
    Bearer { realm: String, service: Option<String> },
}

/// The best of a header's challenges; `None` when none of them is known. A scope is not read: we say ourselves what we
/// want, and a server must not widen it.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    let mut basic = false;
    let mut rest = header;
    while let Some((scheme, parameters, behind)) = next(rest) {
        rest = behind;
        if scheme.eq_ignore_ascii_case("bearer") {
            let get = |name: &str| {
                parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            };
            if let Some(realm) = get("realm") {
                return Some(Challenge::Bearer { realm, service: get("service") });
            }
        }
        basic |= scheme.eq_ignore_ascii_case("basic");
    }
    basic.then_some(Challenge::Basic)
}

type Parameters = Vec<(String, String)>;

/// One scheme with its parameters, and what follows it.
fn next(text: &str) -> Option<(&str, Parameters, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == ',').unwrap_or(text.len());
    let (scheme, mut rest) = text.split_at(end);
    if scheme.is_empty() {
        return None;
    }
    let mut parameters = Vec::new();
    loop {
        let begin = rest.trim_start_matches([' ', '\t', ',']);
        let end = begin.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(begin.len());
        let (key, behind) = begin.split_at(end);
        // A word without `=` begins the next scheme.
        let Some(value) = behind.strip_prefix('=').filter(|_| !key.is_empty()) else { break };
        let (value, behind) = if let Some(quoted) = value.strip_prefix('"') { unquote(quoted) } else { token(value) };
        parameters.push((key.to_owned(), value));
        rest = behind;
    }
    Some((scheme, parameters, rest))
}

fn token(text: &str) -> (String, &str) {
    let end = text.find([',', ' ']).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into) })
        };
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#,
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (r#"bearer  service=x , realm="https://x/t,\"y\"""#, bearer("https://x/t,\"y\"", Some("x"))),
            (r#"Basic realm="a, b", Bearer realm=https://x/t"#, bearer("https://x/t", None)),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            (r#"Bearer error="x""#, None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(header in "([a-zA-Z=\", \\\\]|\\PC){0,60}") {
            let _ = parse(&header);
        }
    }
}
