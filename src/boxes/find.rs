//! From what a user wrote to the one thing that is fetched.
//!
//! A bare name is looked for in this order: the library (by the caller) → the machine file's `box_url` → the catalogue →
//! the registries that the user named. None of them silently leads to another publisher: an offer's notes say who it is.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use reqwest::Url;

use super::catalogue::Catalogue;
use super::error::{Error, Unknown};
use super::fetch::{Access, Tuning, content_type, get};
use super::library::Library;
use super::manifest::Installed;
use super::newest::Origins;
use super::offer::Offer;
use super::reference::Reference;
use super::registry::{self, Architecture, Base, Choice, DOCUMENT_LIMIT, Document, Servers, Unmet};
use super::request::{AddRequest, Expect};
use super::source::{shown, shown_source};
use super::version::Requirement;
use super::{Keyring, PROVIDERS, build, sums};
use crate::progress::Cx;
use crate::store::{Dirs, read_bounded};

/// Whose boxes we take where nobody says: those that run as they are, then those that can be converted.
const PREFERENCE: &[&str] = &[
    "libvirt",
    "qemu",
    "virtualbox",
    "vmware_desktop",
    "vmware_fusion",
    "vmware_workstation",
    "vmware",
    "parallels",
    "hyperv",
];

/// Endings of files that are boxes or images for sure: their server need not be asked what they are.
const IMAGES: &[&str] =
    &[".box", ".qcow2", ".img", ".raw", ".vmdk", ".vdi", ".vhd", ".vhdx", ".ova", ".gz", ".xz", ".zst", ".bz2", ".zip"];

/// What the catalogue of a user has of a name, for all architectures.
pub type Lookup = fn(&Dirs, &str) -> Result<Vec<Offer>, Error>;

/// An offer and what stands in for it, or what there is instead.
type Picked = Result<(Offer, Vec<Offer>), Unmet>;

/// Who is asked for boxes, and how.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    /// Registries, in order.
    pub servers: Servers,
    /// How servers are believed and let us in.
    pub access: Access,
    /// Patience with them.
    pub tuning: Tuning,
    /// The catalogue.
    pub catalogue: Option<Lookup>,
    /// Whose catalogue.
    pub dirs: Option<Dirs>,
    /// Who reads publishers' files of checksums.
    pub expect: Option<Expect>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Its name in the library.
    pub name: Option<&'a str>,
    /// Constraints; for a file or URL that is no catalogue document, its version.
    pub version: Option<&'a str>,
    /// `auto`, `default`, or an architecture.
    pub architecture: Option<&'a str>,
    /// Only boxes of this provider.
    pub provider: Option<&'a str>,
    /// Boxes of this provider first: the machine's.
    pub prefer: Option<&'a str>,
    /// What the download must hash to.
    pub checksum: Option<&'a str>,
    /// The machine file's `box_url`: where a bare name is looked for, and nowhere else.
    pub url: Option<&'a str>,
}

impl Finder {
    /// What this user's environment names.
    pub fn of_user(cx: &Cx, dirs: &Dirs, access: Access) -> Result<Self, Error> {
        let servers = Servers::from_env()?;
        let mut finder = Self {
            servers,
            access,
            dirs: Some(dirs.clone()),
            catalogue: Some(|dirs, name| Ok(Catalogue::new(dirs).lookup(name, None)?.unwrap_or_default())),
            expect: Some(|cx, dirs, access, offer| {
                let expected = sums::expected(cx, &Keyring::new(dirs)?, access, offer)?;
                Ok((expected.checksum, expected.verified))
            }),
            ..Self::default()
        };
        finder.servers.log_in(cx, dirs, &mut finder.access);
        Ok(finder)
    }

    /// Finds what `reference` stands for. Nothing but documents is downloaded.
    pub fn find(&self, cx: &Cx, reference: &Reference, ask: &Ask<'_>) -> Result<AddRequest, Error> {
        let found = match reference {
            Reference::Name { name, requirement } => self.by_name(cx, name, requirement.as_ref(), ask)?,
            Reference::Url(url) => self.at_url(cx, url, None, ask)?,
            Reference::File(path) => at_file(path, None, ask)?,
            Reference::Oci(rest) => plain(format!("oci://{rest}"), None, ask),
        };
        Ok(AddRequest {
            checksum: ask.checksum.map(str::to_owned),
            tuning: self.tuning.clone(),
            access: self.access.clone(),
            expect: self.expect,
            ..found
        })
    }

    /// What is published of a box in the library, where that came from.
    fn published_of(&self, cx: &Cx, installed: &Installed, version: Option<&str>) -> Result<Option<Offer>, Error> {
        let manifest = &installed.manifest;
        let ask = Ask {
            version,
            name: Some(&manifest.name),
            architecture: manifest.architecture.as_deref(),
            provider: Some(&manifest.provider),
            ..Ask::default()
        };
        // What somebody made here only shares its name with what others publish.
        if manifest.catalogue.is_none() && !manifest.source.contains("://") {
            return Ok(None);
        }
        let found = match &manifest.catalogue {
            Some(place) => self.find(cx, &Reference::parse(place)?, &ask),
            None => self.find(cx, &Reference::Name { name: manifest.name.clone(), requirement: None }, &ask),
        };
        let offer = match found {
            Err(Error::Unknown(_)) => None,
            found => found?.offer,
        };
        // What is known to fit is never replaced by what nobody says anything of.
        Ok(offer.filter(|offer| manifest.architecture.is_none() || offer.architecture.is_some()))
    }

    fn by_name(&self, cx: &Cx, name: &str, own: Option<&Requirement>, ask: &Ask<'_>) -> Result<AddRequest, Error> {
        let requirement = both(own, ask.version)?;
        if let Some(url) = ask.url {
            return self.at(cx, url, name, ask);
        }
        let listed = self.in_catalogue(name, requirement.as_ref(), ask)?;
        let unmet = match listed {
            Some(Ok((offer, stand_ins))) => {
                return Ok(AddRequest { name: Some(name.into()), stand_ins, ..AddRequest::of(offer) });
            }
            Some(Err(unmet)) => Some(unmet),
            None => None,
        };
        let servers = self.servers.urls();
        if !servers.is_empty() && registry::is_registry_name(name) {
            match registry::ask(cx, &self.servers, name, &self.access, &self.tuning) {
                Ok(document) => return published(&document, requirement.as_ref(), Some(name), ask),
                Err(error) if !error.is_absent() => return Err(error.into()),
                Err(_) => {}
            }
        }
        // The catalogue knows it, only not so: that says more than that nobody else has it.
        if let Some(unmet) = unmet {
            return Err(registry::Error::from(unmet).into());
        }
        Err(Unknown {
            name: name.into(),
            wanted: requirement.map(|requirement| requirement.to_string()),
            versions: self.in_library(name)?,
            servers: servers.iter().map(shown).collect(),
            recipe: build::recipe(name).is_ok(),
        }
        .into())
    }

    /// Versions that the library has of a name.
    fn in_library(&self, name: &str) -> Result<Vec<String>, Error> {
        let Some(dirs) = &self.dirs else { return Ok(Vec::new()) };
        Ok(Library::new(dirs).versions(name)?.iter().map(ToString::to_string).collect())
    }

    /// The catalogue's offer, or what it has instead; `None` when it does not know the name.
    fn in_catalogue(
        &self,
        name: &str,
        requirement: Option<&Requirement>,
        ask: &Ask<'_>,
    ) -> Result<Option<Picked>, Error> {
        let (Some(lookup), Some(dirs)) = (self.catalogue, &self.dirs) else { return Ok(None) };
        let offers = lookup(dirs, name)?;
        Ok((!offers.is_empty()).then(|| pick(name, offers, requirement, ask)))
    }

    /// What lies at a `box_url`.
    fn at(&self, cx: &Cx, place: &str, name: &str, ask: &Ask<'_>) -> Result<AddRequest, Error> {
        match Reference::parse(place)? {
            Reference::Url(url) => self.at_url(cx, &url, Some(name), ask),
            Reference::File(path) => at_file(&path, Some(name), ask),
            Reference::Name { .. } | Reference::Oci(_) => {
                Err(Error::Source { text: shown_source(place), why: "`box_url` is a URL or a path".into() })
            }
        }
    }

    fn at_url(&self, cx: &Cx, text: &str, name: Option<&str>, ask: &Ask<'_>) -> Result<AddRequest, Error> {
        let bad = |why: String| Error::Source { text: shown_source(text), why };
        let url = Url::parse(text).map_err(|e| bad(e.to_string()))?;
        if !self.is_document(cx, &url)? {
            return Ok(plain(text.to_owned(), name, ask));
        }
        let bytes = get(cx, &url, DOCUMENT_LIMIT, Some("application/json"), &self.access, &self.tuning)?;
        let place = shown(&url);
        let parsed = Document::parse(&bytes, Base::Url(url));
        let document = parsed.map_err(|source| registry::Error::Document { from: place.clone(), source })?;
        let found = published(&document, both(None, ask.version)?.as_ref(), name, ask)?;
        Ok(AddRequest { catalogue: Some(place), ..found })
    }

    /// Whether a URL leads to a catalogue document: Vagrant's rule, but names that say it are believed.
    fn is_document(&self, cx: &Cx, url: &Url) -> Result<bool, Error> {
        let path = url.path().to_ascii_lowercase();
        if Path::new(&path).extension().is_some_and(|ending| ending == "json") {
            return Ok(true);
        }
        if IMAGES.iter().any(|ending| path.ends_with(ending)) {
            return Ok(false);
        }
        let kind = content_type(cx, url, &self.access, &self.tuning)?;
        Ok(kind.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("json"))))
    }
}

impl Origins for Finder {
    fn newest(
        &self,
        cx: &Cx,
        installed: &Installed,
        requirement: Option<&Requirement>,
    ) -> Result<Option<Offer>, Error> {
        self.published_of(cx, installed, requirement.map(ToString::to_string).as_deref())
    }

    fn add(
        &self,
        cx: &Cx,
        library: &Library,
        installed: &Installed,
        offer: &Offer,
        force: bool,
    ) -> Result<Installed, Error> {
        let request = AddRequest {
            force,
            catalogue: installed.manifest.catalogue.clone(),
            tuning: self.tuning.clone(),
            access: self.access.clone(),
            expect: self.expect,
            ..AddRequest::of(offer.clone())
        };
        library.add(cx, &request)
    }
}

/// Whose boxes will do, the best first.
fn providers<'a>(ask: &Ask<'a>) -> Vec<&'a str> {
    if let Some(only) = ask.provider {
        return vec![only];
    }
    let first = ask.prefer.into_iter();
    let others = PREFERENCE.iter().copied().filter(|name| Some(*name) != ask.prefer);
    first.chain(others).filter(|name| PROVIDERS.contains(name)).collect()
}

/// Two constraints that must both be met.
fn both(own: Option<&Requirement>, asked: Option<&str>) -> Result<Option<Requirement>, Error> {
    let asked = asked.map(str::trim).filter(|text| !text.is_empty());
    Ok(match (own, asked) {
        (Some(own), Some(asked)) => Some(format!("{own}, {asked}").parse()?),
        (Some(own), None) => Some(own.clone()),
        (None, Some(asked)) => Some(asked.parse()?),
        (None, None) => None,
    })
}

/// The best of the catalogue's offers; and what stands in for it: newer builds of which no version is known beforehand.
fn pick(name: &str, offers: Vec<Offer>, requirement: Option<&Requirement>, ask: &Ask<'_>) -> Picked {
    let name = || name.to_owned();
    let versions: BTreeSet<_> = offers.iter().filter_map(|offer| offer.version.clone()).collect();
    let versions = versions.iter().rev().map(ToString::to_string).collect();
    let meets = |offer: &Offer| match (requirement, &offer.version) {
        (Some(requirement), Some(version)) => requirement.matches(version),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let offers: Vec<_> = offers.into_iter().filter(meets).collect();
    if offers.is_empty() {
        let wanted = requirement.map(ToString::to_string).unwrap_or_default();
        return Err(Unmet::Version { name: name(), wanted, versions });
    }
    let wanted = providers(ask);
    let provider = |offer: &Offer| offer.provider.clone().unwrap_or_else(|| "qemu".into());
    let rank = |offer: &Offer| wanted.iter().position(|name| *name == provider(offer));
    let (offers, others): (Vec<_>, Vec<_>) = offers.into_iter().partition(|offer| rank(offer).is_some());
    if offers.is_empty() {
        let wanted = wanted.iter().map(ToString::to_string).collect();
        let providers: BTreeSet<_> = others.iter().map(provider).collect();
        return Err(Unmet::Provider { name: name(), wanted, providers: providers.into_iter().collect() });
    }
    let architecture = Architecture::asked(ask.architecture).name();
    let architectures: BTreeSet<_> = offers.iter().filter_map(|offer| offer.architecture.clone()).collect();
    let architectures = architectures.into_iter().collect();
    let fits = |offer: &Offer| match (&architecture, &offer.architecture) {
        (Some(wanted), Some(has)) => wanted == has,
        _ => true,
    };
    let mut fitting: Vec<_> = offers.into_iter().filter(fits).collect();
    fitting.sort_by(|a, b| b.version.cmp(&a.version).then(rank(a).cmp(&rank(b))));
    let mut fitting = fitting.into_iter();
    let Some(best) = fitting.next() else {
        return Err(Unmet::Architecture { name: name(), wanted: architecture.unwrap_or_default(), architectures });
    };
    let like_it = |offer: &Offer| {
        offer.version.is_none() && offer.architecture == best.architecture && offer.provider == best.provider
    };
    let stand_ins = fitting.filter(like_it).collect();
    Ok((best, stand_ins))
}

/// What a document offers; `name` is the one that its box must have.
fn published(
    document: &Document,
    requirement: Option<&Requirement>,
    name: Option<&str>,
    ask: &Ask<'_>,
) -> Result<AddRequest, Error> {
    let wanted = ask.name.or(name);
    if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case(&document.name)) {
        let (from, found) = (document.place(), document.name.clone());
        return Err(registry::Error::Another { from, found, wanted: wanted.into() }.into());
    }
    let architecture = Architecture::asked(ask.architecture);
    let offer = document.choose(&Choice { requirement, architecture: &architecture, providers: &providers(ask) })?;
    Ok(AddRequest { name: wanted.map(str::to_owned), ..AddRequest::of(offer) })
}

/// A box or an image, of which only it itself tells more.
fn plain(source: String, name: Option<&str>, ask: &Ask<'_>) -> AddRequest {
    // Of a bare name, constraints are wanted; here a version is given.
    let version = ask.version.filter(|_| name.is_none());
    let architecture = ask.architecture.filter(|text| !matches!(*text, "auto" | "default"));
    AddRequest {
        source,
        name: ask.name.or(name).map(str::to_owned),
        version: version.map(str::to_owned),
        provider: ask.provider.map(str::to_owned),
        architecture: architecture.map(str::to_owned),
        ..AddRequest::default()
    }
}

fn at_file(path: &Path, name: Option<&str>, ask: &Ask<'_>) -> Result<AddRequest, Error> {
    let text = path.display().to_string();
    if !is_document_file(path) {
        return Ok(plain(text, name, ask));
    }
    let document = Document::parse_file(path)?;
    let found = published(&document, both(None, ask.version)?.as_ref(), name, ask)?;
    Ok(AddRequest { catalogue: Some(text), ..found })
}

/// Whether a file is a catalogue document: what begins so is no box and no image.
fn is_document_file(path: &Path) -> bool {
    let mut head = [0; 512];
    let read = File::open(path).and_then(|mut file| file.read(&mut head)).unwrap_or(0);
    head[..read].trim_ascii_start().starts_with(b"{")
}

impl Document {
    fn parse_file(path: &Path) -> Result<Self, Error> {
        let refused = |source| registry::Error::Document { from: path.display().to_string(), source };
        let bytes = match read_bounded(path, DOCUMENT_LIMIT) {
            Err(crate::store::Error::TooLarge { .. }) => return Err(refused(registry::BadDocument::TooLarge).into()),
            other => other?.unwrap_or_default(),
        };
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self::parse(&bytes, Base::Folder(folder)).map_err(refused)?)
    }
}
