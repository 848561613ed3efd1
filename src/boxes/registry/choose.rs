//! Which version and build of a document fits: Vagrant's rules.

use std::collections::BTreeSet;

use super::document::{Build, Document, Release};
use super::error::{Error, Unmet};
use crate::boxes::Offer;
use crate::boxes::metadata;
use crate::boxes::version::Requirement;

/// Which architecture is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// This computer's, else one of which nobody says what it is.
    Auto,
    /// What the publisher calls the default.
    Default,
    /// This one.
    Exactly(String),
}

impl Architecture {
    /// Reads what a user asked for; nothing means `auto`.
    pub fn asked(text: Option<&str>) -> Self {
        match text {
            None | Some("auto") => Self::Auto,
            Some("default") => Self::Default,
            Some(text) => Self::Exactly(metadata::architecture(text).unwrap_or_else(|_| text.to_owned())),
        }
    }

    /// This computer's, as boxes name it.
    pub fn host() -> String {
        metadata::architecture(std::env::consts::ARCH).unwrap_or_else(|_| std::env::consts::ARCH.to_owned())
    }

    /// The one that a box must not contradict; `None` where any will do.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Auto => Some(Self::host()),
            Self::Default => None,
            Self::Exactly(name) => Some(name.clone()),
        }
    }
}

/// What is wanted of a document.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    /// Which versions will do.
    pub requirement: Option<&'a Requirement>,
    /// Which architecture.
    pub architecture: &'a Architecture,
    /// Whose boxes will do, the best first.
    pub providers: &'a [&'a str],
}

impl Document {
    /// The newest version that fits, in its best build.
    pub fn choose(&self, choice: &Choice<'_>) -> Result<Offer, Error> {
        let fits = |release: &&Release| choice.requirement.is_none_or(|wanted| wanted.matches(&release.version));
        let releases: Vec<_> = self.releases.iter().filter(fits).collect();
        for release in &releases {
            let best = choice.providers.iter().find_map(|provider| pick(release, provider, choice.architecture));
            if let Some(build) = best {
                return self.offer(release, build);
            }
        }
        Err(self.unmet(choice, &releases).into())
    }

    fn offer(&self, release: &Release, build: &Build) -> Result<Offer, Error> {
        let bad = |source| Error::Document { from: self.place(), source };
        let checksum = build.checksum().map_err(bad)?;
        let mut notes = Vec::new();
        if build.is_unprotected(&self.base) {
            notes.push(format!("{} comes unencrypted and without a checksum: nobody can tell what arrives", self.name));
        } else if checksum.is_none() {
            notes.push(format!("{} names no checksum for {} {}", self.place(), self.name, release.version));
        }
        Ok(Offer {
            name: self.name.clone(),
            version: Some(release.version.clone()),
            provider: Some(build.provider.clone()),
            architecture: build.architecture.clone().filter(|name| name != UNKNOWN),
            urls: vec![build.url(&self.base).map_err(bad)?],
            checksum,
            notes,
            ..Offer::default()
        })
    }

    /// What is missing, and what there is instead.
    fn unmet(&self, choice: &Choice<'_>, releases: &[&Release]) -> Unmet {
        let name = self.name.clone();
        if self.releases.iter().all(|release| release.builds.is_empty()) {
            return Unmet::Empty { name };
        }
        if releases.is_empty() {
            let wanted = choice.requirement.map(ToString::to_string).unwrap_or_default();
            let versions = self.releases.iter().map(|release| release.version.to_string()).collect();
            return Unmet::Version { name, wanted, versions };
        }
        let builds = || releases.iter().flat_map(|release| &release.builds);
        let of_ours: BTreeSet<_> = builds()
            .filter(|build| choice.providers.contains(&build.provider.as_str()))
            .map(|build| build.architecture.clone().unwrap_or_else(|| UNKNOWN.into()))
            .collect();
        if of_ours.is_empty() {
            let providers: BTreeSet<_> = builds().map(|build| build.provider.clone()).collect();
            let wanted = choice.providers.iter().map(ToString::to_string).collect();
            return Unmet::Provider { name, wanted, providers: providers.into_iter().collect() };
        }
        let wanted = choice.architecture.name().unwrap_or_else(|| "any architecture".into());
        Unmet::Architecture { name, wanted, architectures: of_ours.into_iter().collect() }
    }
}

/// Registries' word for "nobody said".
const UNKNOWN: &str = "unknown";

/// The build for one provider.
fn pick<'a>(release: &'a Release, provider: &str, architecture: &Architecture) -> Option<&'a Build> {
    let builds: Vec<_> = release.builds.iter().filter(|build| build.provider == provider).collect();
    let named = |name: &str| builds.iter().copied().find(|build| build.architecture.as_deref() == Some(name));
    let default = || builds.iter().copied().find(|build| build.default_architecture);
    let unnamed = || builds.iter().copied().find(|build| build.architecture.is_none());
    match architecture {
        Architecture::Auto => named(&Architecture::host())
            .or_else(|| default().filter(|build| build.architecture.as_deref() == Some(UNKNOWN)))
            .or_else(unnamed),
        Architecture::Default => default().or_else(unnamed).or_else(|| builds.first().copied()),
        Architecture::Exactly(name) => named(name).or_else(unnamed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Base;
    use super::*;

    /// `version provider architecture[!]`, one build a line; `-` for no architecture, `!` for the default one.
    fn document(builds: &str) -> Document {
        let mut versions = serde_json::Map::new();
        for line in builds.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let parts: Vec<_> = line.split(' ').collect();
            let mut build =
                serde_json::json!({"name": parts[1], "url": format!("{}-{}-{}", parts[0], parts[1], parts[2])});
            if parts[2] != "-" {
                build["architecture"] = parts[2].trim_end_matches('!').into();
                build["default_architecture"] = parts[2].ends_with('!').into();
            }
            let entry = versions.entry(parts[0]).or_insert_with(|| serde_json::json!([]));
            entry.as_array_mut().unwrap().push(build);
        }
        let versions: Vec<_> = versions
            .into_iter()
            .map(|(version, providers)| serde_json::json!({"version": version, "providers": providers}))
            .collect();
        let text = serde_json::json!({"name": "me/deb", "versions": versions}).to_string();
        Document::parse(text.as_bytes(), Base::Folder("/".into())).unwrap()
    }

    fn chosen(builds: &str, requirement: Option<&str>, architecture: &str, providers: &[&str]) -> String {
        let requirement = requirement.map(|text| text.parse().unwrap());
        let architecture = Architecture::asked(Some(architecture));
        let choice = Choice { requirement: requirement.as_ref(), architecture: &architecture, providers };
        match document(builds).choose(&choice) {
            Ok(offer) => offer.urls[0].trim_start_matches('/').to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_newest_version_that_fits_wins_and_then_the_best_provider() {
        let builds = "1.2 libvirt -
            1.10 virtualbox -
            1.10 libvirt -
            2.0 virtualbox -
            3.0.rc1 vmware_desktop -";
        let ours = &["libvirt", "virtualbox"];
        for (requirement, providers, expected) in [
            (None, &ours[..], "2.0-virtualbox--"),
            (None, &ours[..1], "1.10-libvirt--"),
            (Some("~> 1.0"), ours, "1.10-libvirt--"),
            (Some("< 1.10"), ours, "1.2-libvirt--"),
            (Some("= 1.2, != 1.3"), ours, "1.2-libvirt--"),
        ] {
            assert_eq!(chosen(builds, requirement, "amd64", providers), expected, "{requirement:?} {providers:?}");
        }
    }

    #[test]
    fn architectures_are_chosen_by_vagrants_rules() {
        let host = Architecture::host();
        let known = format!("1 x other\n1 x {host}\n1 x unknown!");
        assert_eq!(chosen(&known, None, "auto", &["x"]), format!("1-x-{host}"));
        assert_eq!(chosen(&known, None, "other", &["x"]), "1-x-other");
        assert_eq!(chosen(&known, None, "default", &["x"]), "1-x-unknown!");
        assert_eq!(
            chosen("1 x other!\n1 x unknown", None, "auto", &["x"]),
            format!("there is no build of me/deb for {host}")
        );
        assert_eq!(chosen("1 x unknown!", None, "auto", &["x"]), "1-x-unknown!");
        assert_eq!(chosen("1 x unknown!", None, "arm64", &["x"]), "there is no build of me/deb for arm64");
        for architecture in ["auto", "arm64", "default"] {
            assert_eq!(chosen("1 x -", None, architecture, &["x"]), "1-x--", "{architecture}");
        }
        // An older version for this architecture is better than none.
        assert_eq!(chosen("2 x arm64\n1 x s390x", None, "s390x", &["x"]), "1-x-s390x");
    }

    #[test]
    fn what_is_missing_is_told_with_what_there_is() {
        use crate::error::Explain;
        let builds = "1.0 virtualbox amd64
            1.1 hyperv arm64
            1.1 virtualbox arm64";
        let told = |requirement: Option<&str>, architecture: &str, providers: &[&str]| {
            let requirement = requirement.map(|text| text.parse().unwrap());
            let architecture = Architecture::asked(Some(architecture));
            let choice = Choice { requirement: requirement.as_ref(), architecture: &architecture, providers };
            let error = document(builds).choose(&choice).unwrap_err();
            format!("{error}; {}", error.hint().unwrap())
        };
        let version = told(Some("~> 7.0"), "amd64", &["virtualbox"]);
        assert!(version.contains("no version of me/deb meets `~> 7.0`") && version.contains("1.1, 1.0"), "{version}");
        let provider = told(None, "amd64", &["libvirt"]);
        assert!(
            provider.contains("no build of me/deb for libvirt") && provider.contains("hyperv, virtualbox"),
            "{provider}"
        );
        let architecture = told(None, "s390x", &["virtualbox"]);
        assert!(architecture.contains("for s390x") && architecture.contains("amd64, arm64"), "{architecture}");
        assert!(chosen("", None, "auto", &["x"]).contains("no published version"));
    }
}
