//! Which box a machine gets, and which files of the library machines need.

use std::cell::RefCell;
use std::path::Path;

use super::{Error, Fleet};
use crate::boxes::fetch::Access;
use crate::boxes::{
    self, AddRequest, Ask, Attempt, BoxHold, Finder, Installed, Library, Manifest, Query, Reference, Unknown,
    default_name, shown_source,
};
use crate::config::spec::{MachineSpec, ProviderKind};
use crate::error::{Explain, Failure};
use crate::progress::Cx;
use crate::provider::Provider;

/// The box that a new machine gets, fetched where the library lacks it. It stays while the hold is held.
pub(super) fn ensure_box(
    cx: &Cx,
    fleet: &Fleet,
    spec: &MachineSpec,
    provider: &dyn Provider,
) -> Result<(Installed, BoxHold), Failure> {
    let wanted = spec.box_name.as_deref().ok_or_else(|| Error::NoBox { name: spec.name.clone() })?;
    let library = Library::new(fleet.dirs());
    let name = name_of(wanted);
    let version = constraint(spec, wanted);
    let query = Query {
        name: &name,
        version: version.as_deref(),
        architecture: Some(spec.box_architecture.as_deref().unwrap_or(std::env::consts::ARCH)),
        provider: None,
    };
    let installed = match library.find(&query)? {
        Some(installed) => installed,
        None => fetch(cx, fleet, spec, wanted)?,
    };
    library.convert_disks(cx, &installed, provider.disk_formats())?;
    let hold = library.hold(cx, &installed)?;
    Ok((installed, hold))
}

fn fetch(cx: &Cx, fleet: &Fleet, spec: &MachineSpec, wanted: &str) -> Result<Installed, Failure> {
    let library = Library::new(fleet.dirs());
    let finder = Finder::of_user(cx, fleet.dirs(), Access::from_env())?;
    let own = name_of(wanted);
    let told = RefCell::new(None);
    let begun = |request: &AddRequest| {
        let named = request.offer.as_ref().map(|offer| offer.name.clone());
        let name = request.name.clone().or(named).unwrap_or_else(|| own.clone());
        let source = request.offer.as_ref().and_then(|offer| offer.urls.first()).unwrap_or(&request.source);
        if told.replace(Some(name.clone())).is_none() {
            cx.note(format!("box {name} is not in the library; adding it from {}", shown_source(source)));
        }
    };
    let version = match finder.add_first(cx, &library, &attempts(spec, wanted, &own)?, &begun) {
        Ok(installed) => installed.manifest.version.to_string(),
        // Another command, or another machine of ours, added it since we looked.
        Err(boxes::Error::AlreadyThere { version, .. }) => version,
        Err(boxes::Error::Unknown(unknown)) => return Err(missing(spec, &unknown).into()),
        Err(error) => return Err(error.into()),
    };
    let name = told.into_inner().unwrap_or(own);
    let wanted = constraint(spec, wanted);
    let architecture = spec.box_architecture.as_deref();
    let query = Query { name: &name, version: wanted.as_deref(), architecture, provider: None };
    library.find(&query)?.ok_or_else(|| {
        let hint = format!("what it leads to is version {version}; change `box_version`");
        Error::BoxMissing { name, version: wanted, hint }.into()
    })
}

/// Where it is looked for: at each `box_url` of the machine file, else in the catalogue and at registries.
fn attempts<'a>(spec: &'a MachineSpec, wanted: &str, name: &'a str) -> Result<Vec<Attempt<'a>>, boxes::Error> {
    let mut ask = Ask {
        version: spec.box_version.as_deref(),
        architecture: spec.box_architecture.as_deref(),
        prefer: spec.provider.map(ProviderKind::name),
        checksum: spec.box_checksum.as_deref(),
        ..Ask::default()
    };
    let urls = &spec.box_url;
    if !is_source(wanted) {
        let reference = Reference::name(wanted)?;
        let at = |url: &'a String| Attempt::new(reference.clone(), Ask { url: Some(url), ..ask }, url);
        let alone = || vec![Attempt::new(reference.clone(), ask, wanted)];
        return Ok(if urls.is_empty() { alone() } else { urls.iter().map(at).collect() });
    }
    // A catalogue document names its box itself; of anything else the file's name is its name, and no version is known.
    if is_document(wanted) {
        return Ok(vec![Attempt::new(Reference::parse(wanted)?, ask, wanted)]);
    }
    (ask.name, ask.version) = (Some(name), None);
    let own = wanted.to_owned();
    let places = if urls.is_empty() { std::slice::from_ref(&own) } else { urls };
    places.iter().map(|url| Ok(Attempt::new(Reference::parse(url)?, ask, url))).collect()
}

/// What to do about a box that nobody knows.
fn missing(spec: &MachineSpec, unknown: &Unknown) -> Error {
    let name = unknown.name.clone();
    let hint = if unknown.versions.is_empty() {
        boxes::Error::from(unknown.clone()).hint().unwrap_or_default()
    } else {
        format!("the library has {name} in version {}", unknown.versions.join(", "))
    };
    Error::BoxMissing { name, version: unknown.wanted.clone().or_else(|| spec.box_version.clone()), hint }
}

/// All constraints: of `box_version`, and of `box` itself (`NAME@CONSTRAINT`).
pub(super) fn constraint(spec: &MachineSpec, wanted: &str) -> Option<String> {
    let own = match Reference::name(wanted) {
        Ok(Reference::Name { requirement: Some(requirement), .. }) if !is_source(wanted) => {
            Some(requirement.to_string())
        }
        _ => None,
    };
    let all: Vec<_> = own.into_iter().chain(spec.box_version.clone()).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Gives up disks that were kept for machines only (`box remove --force`) and that none needs any more.
pub(super) fn release(cx: &Cx, fleet: &Fleet) -> Result<(), Failure> {
    Library::new(fleet.dirs()).release(cx, &|| fleet.needs())?;
    Ok(())
}

/// Whether the machine file means another box than the one that a machine rests on.
pub(super) fn differs(wanted: &str, manifest: &Manifest) -> bool {
    // Only the document itself says what its box is called.
    !is_document(wanted) && name_of(wanted) != manifest.name
}

/// A URL or a path, rather than a name.
fn is_source(text: &str) -> bool {
    text.contains("://") || Path::new(text).is_absolute()
}

/// A URL or path of a catalogue document, as far as its name tells.
fn is_document(text: &str) -> bool {
    is_source(text) && text.split(['?', '#']).next().is_some_and(|path| path.to_ascii_lowercase().ends_with(".json"))
}

/// The name under which the library knows what `box` says.
pub(super) fn name_of(text: &str) -> String {
    match Reference::name(text) {
        _ if is_source(text) => default_name(text).unwrap_or_else(|| text.to_owned()),
        Ok(Reference::Name { name, .. }) => name,
        _ => text.to_owned(),
    }
}
