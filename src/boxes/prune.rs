//! Which boxes are old.

use std::collections::BTreeMap;

use super::library::Listing;
use super::manifest::{Installed, Manifest};
use super::version::Version;

impl Listing {
    /// The newest version of each name, provider and architecture.
    pub fn newest(&self) -> Vec<&Installed> {
        let newest = self.newest_versions();
        self.boxes.iter().filter(|one| newest[&kind(&one.manifest)] == &one.manifest.version).collect()
    }

    /// All but the newest version of each name, provider and architecture.
    pub fn outdated(&self) -> Vec<&Installed> {
        let newest = self.newest_versions();
        self.boxes.iter().filter(|one| newest[&kind(&one.manifest)] > &one.manifest.version).collect()
    }

    fn newest_versions(&self) -> BTreeMap<Kind<'_>, &Version> {
        let mut newest = BTreeMap::new();
        for manifest in self.boxes.iter().map(|one| &one.manifest) {
            let known = newest.entry(kind(manifest)).or_insert(&manifest.version);
            *known = (*known).max(&manifest.version);
        }
        newest
    }
}

/// What the versions of one box have in common.
type Kind<'a> = (&'a str, &'a str, Option<&'a str>);

fn kind(manifest: &Manifest) -> Kind<'_> {
    (&manifest.name, &manifest.provider, manifest.architecture.as_deref())
}
