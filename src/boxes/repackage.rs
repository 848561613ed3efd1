//! A box of the library as a `.box` again.

use std::path::Path;

use serde_json::{Value, json};

use super::NATIVE;
use super::error::Error;
use super::extras;
use super::library::Library;
use super::manifest::{Installed, Manifest};
use super::pack::{Package, Packed, Part};
use crate::progress::Cx;

/// The format of a box's disks.
const FORMAT: &str = "qcow2";
const FORMATS: &[&str] = &[FORMAT];

/// Bytes of the unit that `virtual_size` is told in.
const GIB: u64 = 1 << 30;

impl Library {
    /// Writes a box to `target`, which is whole or not there; over a file that is there only with `replace`. What was
    /// packed once gives the same bytes each time. Disks of other formats are converted first, as for a machine.
    pub fn repackage(&self, cx: &Cx, installed: &Installed, target: &Path, replace: bool) -> Result<Packed, Error> {
        // Where it is gone, that is said before anything is converted.
        drop(self.hold(cx, installed)?);
        self.convert_disks(cx, installed, FORMATS)?;
        let package = {
            // Open files outlive their names: from here on the box may be removed.
            let _hold = self.hold(cx, installed)?;
            package(installed)?
        };
        Ok(package.write(cx, target, replace)?)
    }
}

fn package(installed: &Installed) -> Result<Package<'static>, Error> {
    let manifest = &installed.manifest;
    let names = disk_names(manifest.disks.len());
    let disks = names.iter().map(String::as_str).zip(installed.images(FORMATS).into_iter().map(|(path, _)| path));
    let boot = installed.direct_boot();
    let kernel = boot.iter().map(|boot| ("vmlinuz", boot.kernel.clone()));
    let initrd = boot.iter().filter_map(|boot| Some(("initrd.img", boot.initrd.clone()?)));
    let machine = kernel.chain(initrd).chain(disks).map(|(name, path)| Ok(Part::open(name, &path)?));
    let mut parts = installed.extras().map(|path| extras::parts(&path)).transpose()?.unwrap_or_default();
    parts.extend(machine.collect::<Result<Vec<_>, Error>>()?);
    Ok(Package {
        metadata: metadata(manifest, &names),
        info: manifest.info.clone(),
        vagrantfile: None,
        parts,
        date: manifest.added_at,
    })
}

/// One disk is called as vagrant-libvirt wants it; of several, all are named in the metadata.
pub(super) fn disk_names(count: usize) -> Vec<String> {
    match count {
        1 => vec!["box.img".into()],
        _ => (1..=count).map(|number| format!("disk{number}.img")).collect(),
    }
}

/// What vagrant-libvirt reads, and ours below `vbox_rs`.
pub(super) fn metadata(manifest: &Manifest, disks: &[String]) -> Value {
    // With its disks in our format a box of another hypervisor is one of libvirt's.
    let provider = if NATIVE.contains(&manifest.provider.as_str()) { &manifest.provider } else { "libvirt" };
    let mut metadata = json!({ "provider": provider });
    match (&manifest.disks[..], disks) {
        ([disk], _) => {
            metadata["format"] = FORMAT.into();
            metadata["virtual_size"] = disk.virtual_size.div_ceil(GIB).into();
        }
        (_, names) => {
            metadata["disks"] = names.iter().map(|name| json!({ "path": name, "format": FORMAT })).collect();
        }
    }
    if let Some(architecture) = &manifest.architecture {
        metadata["architecture"] = architecture.as_str().into();
    }
    let boot = manifest.boot.as_ref();
    let ours = [
        ("name", Some(manifest.name.as_str().into())),
        ("version", Some(manifest.version.to_string().into())),
        ("kernel", boot.map(|_| "vmlinuz".into())),
        ("initrd", boot.and_then(|boot| boot.initrd.as_ref()).map(|_| "initrd.img".into())),
        ("cmdline", boot.map(|boot| boot.cmdline.as_str().into())),
        ("seed", Some(manifest.seed.into())),
        ("user", manifest.user.as_deref().map(Into::into)),
        ("cloud_init", manifest.cloud_init.map(|kind| json!(kind))),
        ("hardware", Some(json!(manifest.hardware)).filter(|hardware| *hardware != json!({}))),
    ];
    let ours = ours.into_iter().filter_map(|(key, value): (&str, Option<Value>)| Some((key.to_owned(), value?)));
    metadata["vbox_rs"] = Value::Object(ours.collect());
    metadata
}
