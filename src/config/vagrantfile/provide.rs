//! Provider blocks: one provider's count, as in Vagrant, and what they say of memory and processors is said of ours.

use super::apply::Applying;
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::size;

/// Whose blocks count, the first that a file has: ours, then those that are nearest to us.
pub const PREFERRED: &[&str] = &[
    "qemu",
    "libvirt",
    "kvm",
    "virtualbox",
    "vmware_desktop",
    "vmware_fusion",
    "vmware_workstation",
    "parallels",
    "hyperv",
];

/// What says only how somebody else's hypervisor is used.
const HARMLESS: &[&str] = &[
    "gui",
    "name",
    "linked_clone",
    "check_guest_additions",
    "vmname",
    "driver",
    "uri",
    "connect_via_ssh",
    "qemu_use_session",
    "functional_vboxsf",
    "auto_nat_dns_proxy",
    "default_prefix",
    "title",
    "description",
    "customize",
];

impl Applying<'_> {
    /// One setting of a provider's block.
    pub(super) fn provider(&mut self, layer: &mut Layer, provider: &str, setting: &Setting) {
        let (at, value) = (setting.at, setting.value());
        match &*setting.name {
            "memory" | "memory_size" => self.memory(layer, at, &value),
            "cpus" | "cpu" => layer.cpus = self.number(at, "cpus", &value),
            "customize" => self.customize(layer, setting),
            "vmx" => {
                let Value::Hash(vmx) = &value else { return };
                for (key, value) in vmx.pairs() {
                    match key.text().as_deref() {
                        Some("memsize") => self.memory(layer, at, &value),
                        Some("numvcpus") => layer.cpus = self.number(at, "numvcpus", &value),
                        _ => self.left_out(at, "this setting of VMware", "machines run on QEMU", false),
                    }
                }
            }
            "machine_virtual_size" => {
                layer.disk = self.number::<u64>(at, "machine_virtual_size", &value).map(|gib| gib << 30);
            }
            name => {
                let changes = !HARMLESS.contains(&name);
                let why = if changes { "not supported yet" } else { "it says how another hypervisor is used" };
                self.left_out(at, &format!("`{name}` of the provider `{provider}`"), why, changes);
            }
        }
    }

    fn memory(&mut self, layer: &mut Layer, at: At, value: &Value) {
        let unit = value.text().filter(|text| text.trim().parse::<u64>().is_err());
        layer.memory = match unit {
            Some(text) => match size::parse(&text) {
                Ok(mib) => Some(mib),
                Err(wrong) => {
                    self.error(at, format!("`memory` cannot be `{text}`"), wrong.into());
                    None
                }
            },
            None => self.number(at, "memory", value),
        };
    }

    /// `vb.customize ["modifyvm", :id, "--memory", 1024]`.
    fn customize(&mut self, layer: &mut Layer, setting: &Setting) {
        let Some(Value::Array(words)) = setting.args.last() else { return };
        let words = words.items.borrow().clone();
        let texts: Vec<_> = words.iter().map(|word| self.ruby.to_s(word).unwrap_or_default()).collect();
        let pairs = texts.iter().zip(words.iter().skip(1)).skip(2).step_by(2);
        let pairs: Vec<_> = pairs.map(|(key, value)| (key.clone(), value.clone())).collect();
        if texts.first().map(String::as_str) != Some("modifyvm") {
            return self.left_out(setting.at, "this `customize`", "VirtualBox's own command", true);
        }
        for (key, value) in pairs {
            match &*key {
                "--memory" => self.memory(layer, setting.at, &value),
                "--cpus" => layer.cpus = self.number(setting.at, "cpus", &value),
                other => self.left_out(setting.at, &format!("`{other}` for VirtualBox"), "machines run on QEMU", false),
            }
        }
    }
}
