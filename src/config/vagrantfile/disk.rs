//! `config.vm.disk`, and `libvirt.storage`, which vagrant-libvirt has for it.

use std::rc::Rc;

use super::apply::{Applying, word_of};
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::read::Complaint;
use crate::config::spec::ExtraDisk;
use crate::config::{check, size};

/// Bytes of a disk for which vagrant-libvirt is told no size.
const STORAGE: u64 = 10 << 30;

/// How a Linux guest calls the disk after these, where its box has one.
fn next_device(disks: &[ExtraDisk]) -> String {
    let mut names = ('b'..='z').map(|letter| format!("vd{letter}"));
    names.find(|name| disks.iter().all(|disk| disk.name != *name)).unwrap_or_default()
}

/// The last value of an option that says anything.
fn option(options: &[(Rc<str>, Value)], name: &str) -> Option<Value> {
    let found = options.iter().rfind(|(key, _)| &**key == name);
    found.map(|(_, value)| value.clone()).filter(|value| !value.is_nil())
}

impl Applying<'_> {
    /// `config.vm.disk :disk, size: "40GB", primary: true` and `config.vm.disk :disk, name: "data", size: "10GB"`.
    pub(super) fn disk(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let options = Self::options(setting);
        let get = |name: &str| option(&options, name);
        let kind = setting.value().text().unwrap_or_else(|| "disk".into());
        let name = get("name").and_then(|name| word_of(&name));
        let shown = || name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        if &*kind != "disk" {
            return self.left_out(at, &format!("the {kind}{}", shown()), "only disks are there", true);
        }
        let is_primary = get("primary").is_some_and(|value| value.truthy());
        if get("file").is_some() && !is_primary {
            let why = "only new disks are made, no image of yours is used";
            return self.left_out(at, &format!("the disk{}", shown()), why, true);
        }
        let size = get("size").and_then(|size| self.disk_size(at, &size));
        let whose = if is_primary { "the first disk".to_owned() } else { format!("the disk{}", shown()) };
        for (key, _) in options.iter().filter(|(key, _)| !matches!(&**key, "primary" | "size" | "name")) {
            self.left_out(at, &format!("`{key}` of {whose}"), "its image is the machine's own", false);
        }
        if is_primary {
            layer.disk = size.or(layer.disk);
        } else {
            self.extra_disk(layer, at, name.as_deref(), get("size").is_some(), size);
        }
    }

    /// `libvirt.storage :file, size: "20G"`.
    pub(super) fn storage(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let options = Self::options(setting);
        let get = |name: &str| option(&options, name);
        let word = |name: &str| get(name).and_then(|value| word_of(&value));
        if let Some(kind) = word("device").filter(|device| ["cdrom", "floppy"].contains(&device.as_str())) {
            return self.left_out(at, &format!("a {kind} of the provider `libvirt`"), "only disks are there", true);
        }
        for key in ["allow_existing", "shareable"] {
            if get(key).is_some_and(|value| value.truthy()) {
                let why = "each machine has disks of its own, which go with it";
                self.left_out(at, &format!("`{key}` of a disk"), why, true);
            }
        }
        let size = match get("size") {
            Some(size) => self.disk_size(at, &size),
            None => Some(STORAGE),
        };
        let name = word("serial").or_else(|| word("path")).or_else(|| word("device"));
        let name = name.unwrap_or_else(|| next_device(&layer.extra_disks));
        self.extra_disk(layer, at, Some(&name), true, size);
    }

    fn disk_size(&mut self, at: At, value: &Value) -> Option<u64> {
        match value {
            // A number counts bytes there, and disks have whole MiB here.
            Value::Int(bytes) => {
                let mib = u64::try_from(*bytes).unwrap_or_default().div_ceil(size::MIB);
                let wrong = |text| self.error(at, format!("`size` cannot be {bytes}"), Complaint::from(text));
                size::check(mib).map_err(wrong).ok().map(|mib| mib * size::MIB)
            }
            other => self
                .checked(at, "size", other, |text| size::parse(text).map_err(Complaint::from))
                .map(|mib| mib * size::MIB),
        }
    }

    fn extra_disk(&mut self, layer: &mut Layer, at: At, name: Option<&str>, sized: bool, size: Option<u64>) {
        let Some(name) = name else {
            return self.error(at, "a disk has no name".into(), "each but the first needs one, as in Vagrant".into());
        };
        // As Vagrant names its file.
        let usable = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "_");
        let name = match check::disk_name(&usable) {
            Ok(name) => name,
            Err(complaint) => return self.error(at, format!("a disk cannot be called `{name}`"), complaint),
        };
        match size {
            Some(size) => {
                let disks = std::mem::take(&mut layer.extra_disks);
                layer.extra_disks = ExtraDisk::laid_over(disks, vec![ExtraDisk { name, size }]);
            }
            None if sized => {}
            None => self.error(at, format!("the disk `{name}` has no size"), "each but the first needs one".into()),
        }
    }
}
