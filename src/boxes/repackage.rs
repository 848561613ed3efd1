//! A box of the library as a `.box` again.

use std::path::Path;

use serde_json::{Value, json};

use super::error::Error;
use super::library::Library;
use super::manifest::{Installed, Manifest};
use super::pack::{Package, Packed, Part};
use crate::progress::Cx;

/// Bytes of the unit that `virtual_size` is told in.
const GIB: u64 = 1 << 30;

impl Library {
    /// Writes a box to `target`, which is whole or not there; over a file that is there only with `replace`. What was
    /// packed once gives the same bytes each time.
    pub fn repackage(&self, cx: &Cx, installed: &Installed, target: &Path, replace: bool) -> Result<Packed, Error> {
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
    if let Some(disk) = manifest.disks.iter().find(|disk| disk.format != "qcow2") {
        let (name, format) = (manifest.name.clone(), disk.format.clone());
        return Err(Error::NotPackable { name, format });
    }
    let names = disk_names(manifest.disks.len());
    let disks = names.iter().map(String::as_str).zip(installed.disk_paths());
    let boot = installed.direct_boot();
    let kernel = boot.iter().map(|boot| ("vmlinuz", boot.kernel.clone()));
    let initrd = boot.iter().filter_map(|boot| Some(("initrd.img", boot.initrd.clone()?)));
    let parts = kernel.chain(initrd).chain(disks).map(|(name, path)| Part::open(name, &path));
    Ok(Package {
        metadata: metadata(manifest, &names),
        info: manifest.info.clone(),
        vagrantfile: None,
        parts: parts.collect::<Result<_, _>>()?,
        date: manifest.added_at,
    })
}

/// One disk is called as vagrant-libvirt wants it; of several, all are named in the metadata.
fn disk_names(count: usize) -> Vec<String> {
    match count {
        1 => vec!["box.img".into()],
        _ => (1..=count).map(|number| format!("disk{number}.img")).collect(),
    }
}

/// What vagrant-libvirt reads, and ours below `vbox_rs`.
fn metadata(manifest: &Manifest, disks: &[String]) -> Value {
    let mut metadata = json!({ "provider": manifest.provider });
    match (&manifest.disks[..], disks) {
        ([disk], _) => {
            metadata["format"] = disk.format.as_str().into();
            metadata["virtual_size"] = disk.virtual_size.div_ceil(GIB).into();
        }
        (_, names) => {
            metadata["disks"] = names.iter().map(|name| json!({ "path": name, "format": "qcow2" })).collect();
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
