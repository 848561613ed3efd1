//! Which mirror the packages come from: the host's own, since that is the one that works here.

use std::fs;
use std::path::Path;

use super::Error;

const ARCHIVE: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";
/// Debian's keys: the same path on the host and in the guest.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the archive and its security updates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    pub archive: String,
    pub security: String,
}

/// One line of apt's sources: an address and a suite at it.
type Entry = (String, String);

impl Mirror {
    /// The mirror that the user named; its security updates lie beside it, as they do at deb.debian.org.
    pub fn named(address: &str) -> Result<Self, Error> {
        let archive = address.trim_end_matches('/');
        let known = ["http://", "https://", "file:///"].iter().any(|scheme| archive.starts_with(scheme));
        // It becomes a line of a file: nothing in it may end the word or the line.
        if !known || archive.chars().any(|c| c.is_whitespace() || c.is_control() || "[]\"'#".contains(c)) {
            return Err(Error::BadMirror { mirror: address.chars().take(200).collect() });
        }
        Ok(Self { archive: archive.into(), security: format!("{archive}-security") })
    }

    /// The mirror of this host when it is a Debian, and deb.debian.org otherwise.
    pub fn of_host() -> Self {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let release = read(Path::new("/etc/os-release"));
        if !release.lines().any(|line| line == "ID=debian") {
            return Self::from_entries(&[]);
        }
        let mut entries = one_line(&read(Path::new("/etc/apt/sources.list")));
        let mut files: Vec<_> = fs::read_dir("/etc/apt/sources.list.d")
            .map(|dir| dir.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        files.sort();
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("list") => entries.extend(one_line(&read(&file))),
                Some("sources") => entries.extend(deb822(&read(&file))),
                _ => {}
            }
        }
        Self::from_entries(&entries)
    }

    fn from_entries(entries: &[Entry]) -> Self {
        let usable = |address: &str| address.starts_with("http://") || address.starts_with("https://");
        let find = |wanted: &dyn Fn(&str) -> bool| {
            entries.iter().find(|(address, suite)| usable(address) && wanted(suite)).map(|(address, _)| address.clone())
        };
        let updates = |suite: &str| suite.ends_with("-updates");
        let security = |suite: &str| suite.ends_with("-security");
        // Only Debian's own archive has the suites `…-updates` and `…-security`; others name theirs freely.
        Self {
            archive: find(&updates).unwrap_or_else(|| ARCHIVE.into()),
            security: find(&security).unwrap_or_else(|| SECURITY.into()),
        }
    }

    /// apt's sources for the guest.
    pub fn sources(&self, suite: &str) -> String {
        let Self { archive, security } = self;
        let line = |address: &str, suite: &str| format!("deb [signed-by={KEYRING}] {address} {suite} main\n");
        line(archive, suite) + &line(archive, &format!("{suite}-updates")) + &line(security, &format!("{suite}-security"))
    }
}

/// `deb [options] address suite components…`
fn one_line(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        Some((words.next()?.trim_end_matches('/').to_owned(), words.next()?.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

/// Paragraphs of `Key: value`, with several addresses and suites each.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for paragraph in lines.split(|line| line.trim().is_empty()) {
        let words = |key: &str| -> Vec<&str> {
            let value = paragraph.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            value.map(|value| value.split_whitespace().collect()).unwrap_or_default()
        };
        if !words("Types").contains(&"deb") || words("Enabled").contains(&"no") {
            continue;
        }
        for address in words("URIs") {
            for suite in words("Suites") {
                entries.push((address.trim_end_matches('/').to_owned(), suite.to_owned()));
            }
        }
    }
    entries
}

/// Settings of the host's apt without which its mirror cannot be used (a mirror that stands still is out of date), as
/// options for the guest's apt. Proxies are not among them: they may hold a password, and stay in the environment.
pub(super) fn apt_options(dump: &str) -> Vec<String> {
    let kept = |line: &&str| {
        ["Acquire::Check-Valid-Until \"", "Acquire::Check-Date \""].iter().any(|key| line.starts_with(key))
    };
    dump.lines().filter(kept).map(|line| line.trim_end_matches(';').to_owned()).collect()
}

/// The proxies of the host's apt, as variables of the environment.
pub(super) fn proxies(dump: &str) -> Vec<(&'static str, String)> {
    let find = |key: &str| {
        let value = dump.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" \"")?.strip_suffix("\";"));
        value.filter(|value| !value.is_empty() && *value != "DIRECT").map(str::to_owned)
    };
    [("http_proxy", "Acquire::http::Proxy"), ("https_proxy", "Acquire::https::Proxy")]
        .into_iter()
        .filter_map(|(variable, key)| Some((variable, find(key)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read() {
        let list = "# deb http://no.example/debian trixie main\n\
                    deb-src http://src.example/debian trixie main\n\
                    deb [arch=amd64 signed-by=/k.gpg] https://dl.example/x stable main\n\
                    deb http://mirror.example/debian/ bookworm-updates main\n\
                    deb http://sec.example/debian-security bookworm-security main contrib\n";
        let sources = "# comment\nTypes: deb deb-src\n# another\nURIs: http://mirror.example/debian\n\
                       Suites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nEnabled: no\n\
                       URIs: http://off.example/debian-security\nSuites: bookworm-security\n\n\
                       Types: deb\nURIs: http://sec.example/debian-security/\nSuites: bookworm-security\n";
        let want = Mirror {
            archive: "http://mirror.example/debian".into(),
            security: "http://sec.example/debian-security".into(),
        };
        assert_eq!(Mirror::from_entries(&one_line(list)), want);
        assert_eq!(Mirror::from_entries(&deb822(sources)), want);
        assert_eq!(Mirror::from_entries(&one_line("deb cdrom:[x]/ bookworm-updates main")).archive, ARCHIVE);
    }

    #[test]
    fn sources_name_the_suites_of_the_recipe() {
        let mirror = Mirror::named("https://mirror.example/debian/").unwrap();
        assert_eq!(
            mirror.sources("trixie"),
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://mirror.example/debian trixie main\n\
             deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://mirror.example/debian trixie-updates main\n\
             deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://mirror.example/debian-security trixie-security main\n"
        );
    }

    #[test]
    fn a_mirror_cannot_bring_more_lines() {
        for bad in ["", "mirror.example", "ftp://x/debian", "http://x/debian\ndeb http://y/ z main", "http://x/a b"] {
            assert!(Mirror::named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_apts_settings_only_what_the_mirror_needs_goes_into_the_box() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::Check-Valid-Until \"false\";\n\
                    Acquire::http::Proxy \"http://me:secret@proxy.example:3128\";\nAcquire::https::Proxy \"DIRECT\";\n";
        assert_eq!(apt_options(dump), ["Acquire::Check-Valid-Until \"false\""]);
        assert_eq!(proxies(dump), [("http_proxy", "http://me:secret@proxy.example:3128".to_owned())]);
    }
}
