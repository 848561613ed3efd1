//! Which box a machine gets, and which files of the library machines need.

use std::path::Path;

use super::{Error, Fleet};
use crate::boxes::{self, AddRequest, BoxHold, Installed, Library, Manifest, Query, build, default_name, shown_source};
use crate::config::spec::MachineSpec;
use crate::error::Failure;
use crate::progress::Cx;

/// The box that a new machine gets, fetched where the library lacks it. It stays while the hold is held.
pub(super) fn ensure_box(cx: &Cx, fleet: &Fleet, spec: &MachineSpec) -> Result<(Installed, BoxHold), Failure> {
    let wanted = spec.box_name.as_deref().ok_or_else(|| Error::NoBox { name: spec.name.clone() })?;
    let library = Library::new(fleet.dirs());
    let name = name_of(wanted);
    let query = Query {
        name: &name,
        version: spec.box_version.as_deref(),
        architecture: Some(spec.box_architecture.as_deref().unwrap_or(std::env::consts::ARCH)),
        provider: None,
    };
    let installed = match library.find(&query)? {
        Some(installed) => installed,
        None => fetch(cx, &library, spec, wanted, &name)?,
    };
    library.convert_disks(cx, &installed, super::plan::FORMATS)?;
    let hold = library.hold(cx, &installed)?;
    Ok((installed, hold))
}

fn fetch(cx: &Cx, library: &Library, spec: &MachineSpec, wanted: &str, name: &str) -> Result<Installed, Failure> {
    let source = spec.box_url.clone().or_else(|| is_source(wanted).then(|| wanted.to_owned()));
    let Some(source) = source else {
        return Err(missing(library, spec, name).into());
    };
    cx.note(format!("box {name} is not in the library; adding it from {}", shown_source(&source)));
    let request = AddRequest {
        source,
        name: Some(name.to_owned()),
        checksum: spec.box_checksum.clone(),
        architecture: spec.box_architecture.clone(),
        ..AddRequest::default()
    };
    let version = match library.add(cx, &request) {
        Ok(installed) => installed.manifest.version.to_string(),
        // Another command, or another machine of ours, added it since we looked.
        Err(boxes::Error::AlreadyThere { version, .. }) => version,
        Err(error) => return Err(error.into()),
    };
    let query = Query { name, version: spec.box_version.as_deref(), architecture: None, provider: None };
    library.find(&query)?.ok_or_else(|| {
        let hint = format!("what it leads to is version {version}; change `box_version`");
        Error::BoxMissing { name: name.into(), version: spec.box_version.clone(), hint }.into()
    })
}

/// What to do about a box that is not here and of which nobody says where it is.
fn missing(library: &Library, spec: &MachineSpec, name: &str) -> Error {
    let versions = library.versions(name).unwrap_or_default();
    let hint = if !versions.is_empty() {
        let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
        format!("the library has {name} in version {}", versions.join(", "))
    } else if build::recipe(name).is_ok() {
        format!("build it with `vbox-rs box build {name}`")
    } else {
        let recipes: Vec<_> = build::recipes().iter().map(|recipe| recipe.name.as_str()).collect();
        format!(
            "add it with `vbox-rs box add --name {name} FILE-OR-URL`, or write `box_url` into the machine file; this \
             version builds {} itself (`vbox-rs box build`)",
            recipes.join(" and ")
        )
    };
    Error::BoxMissing { name: name.into(), version: spec.box_version.clone(), hint }
}

/// Gives up disks that were kept for machines only (`box remove --force`) and that none needs any more.
pub(super) fn release(cx: &Cx, fleet: &Fleet) -> Result<(), Failure> {
    Library::new(fleet.dirs()).release(cx, &|| fleet.needs())?;
    Ok(())
}

/// Whether two manifests name one box: version, provider and architecture too.
pub(super) fn same_box(a: &Manifest, b: &Manifest) -> bool {
    a.name == b.name && a.version == b.version && a.provider == b.provider && a.architecture == b.architecture
}

/// Whether the machine file means another box than the one that a machine rests on.
pub(super) fn differs(wanted: &str, manifest: &Manifest) -> bool {
    name_of(wanted) != manifest.name
}

/// A URL or a path, rather than a name.
fn is_source(text: &str) -> bool {
    text.contains("://") || Path::new(text).is_absolute()
}

/// The name under which the library knows what `box` says.
pub(super) fn name_of(text: &str) -> String {
    if is_source(text) { default_name(text).unwrap_or_else(|| text.to_owned()) } else { text.to_owned() }
}
