//! Provider blocks: one provider's count, as in Vagrant, and what they say of the machine is said of ours.

use super::apply::Applying;
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::size;
use crate::config::spec::{Accel, CpuMode, DiskBus, Firmware, Nic, ProviderKind};
use crate::config::virtualbox;

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

/// What says only how somebody else's hypervisor is used or looks.
const HARMLESS: &[&str] = &[
    "gui",
    "name",
    "linked_clone",
    "linked_clone_snapshot",
    "check_guest_additions",
    "check_guest_tools",
    "update_guest_tools",
    "vmname",
    "uri",
    "connect_via_ssh",
    "host",
    "username",
    "password",
    "id_ssh_key_file",
    "socket",
    "qemu_use_session",
    "functional_vboxsf",
    "functional_hgfs",
    "auto_nat_dns_proxy",
    "default_prefix",
    "random_hostname",
    "title",
    "description",
    "graphics_type",
    "graphics_port",
    "graphics_ip",
    "graphics_passwd",
    "graphics_autoport",
    "video_type",
    "video_vram",
    "video_accel3d",
    "keymap",
    "sound_type",
    "storage_pool_name",
    "storage_pool_path",
    "snapshot_pool_name",
    "volume_cache",
    "disk_driver",
    "disk_device",
    "management_network_name",
    "management_network_address",
    "management_network_mode",
    "management_network_mac",
    "management_network_autostart",
    "autostart",
    "suspend_mode",
    "ssh_info_public",
    "whitelist_verified",
    "allowlist_verified",
    "force_vmware_license",
    "ip_address_timeout",
    "auto_start_action",
    "auto_stop_action",
    "enable_automatic_checkpoints",
    "enable_checkpoints",
    "enable_enhanced_session_mode",
    "vm_integration_services",
    "maxmemory",
    "nested",
    "cpu_mode",
    "destroy_unused_network_interfaces",
];

impl Applying<'_> {
    /// One setting of a provider's block.
    pub(super) fn provider(&mut self, layer: &mut Layer, provider: &str, setting: &Setting) {
        let (at, value) = (setting.at, setting.value());
        let text = value.text().unwrap_or_default();
        match &*setting.name {
            "memory" | "memory_size" | "memory_mb" => self.memory(layer, at, &value),
            "cpus" | "cpu" | "smp" => self.cpus(layer, at, &value),
            "customize" => self.customize(layer, setting),
            "gui" if provider == "virtualbox" => {
                layer.providers.virtualbox.gui = Some(value.truthy());
                self.only_virtualbox(at, "`gui` of the provider `virtualbox`", false);
            }
            "linked_clone" if provider == "virtualbox" => {
                layer.providers.virtualbox.linked_clone = Some(value.truthy());
                let why = "disks of other providers always rest on the box's";
                self.left_out(at, "`linked_clone` of the provider `virtualbox`", why, false);
            }
            "functional_vboxsf" if provider == "virtualbox" && !value.truthy() => self.copy_folders(layer),
            "name" if provider == "virtualbox" => {
                layer.providers.virtualbox.name = self.checked(at, "name", &value, virtualbox::name);
                self.only_virtualbox(at, "`name` of the provider `virtualbox`", false);
            }
            "nested" if provider == "libvirt" => {
                layer.providers.libvirt.nested = Some(value.truthy());
                self.only_libvirt(at, "nested", value.truthy());
            }
            "autostart" if provider == "libvirt" => {
                layer.providers.libvirt.autostart = Some(value.truthy());
                self.only_libvirt(at, "autostart", false);
            }
            "cpu_mode" if provider == "libvirt" && cpu_mode(&text).is_some() => {
                layer.providers.libvirt.cpu_mode = cpu_mode(&text);
                self.only_libvirt(at, "cpu_mode", false);
            }
            "vmx" => self.vmx(layer, at, &value),
            "machine_virtual_size" => {
                layer.disk =
                    self.number::<u64>(at, "machine_virtual_size", &value).and_then(|gib| gib.checked_mul(1 << 30));
            }
            "storage" if provider == "libvirt" => self.storage(layer, setting),
            "disk_bus" if disk_bus(&text).is_some() => layer.disk_bus = disk_bus(&text),
            "nic_model_type" | "default_nic_type" if nic(&text).is_some() => layer.nic = nic(&text),
            "loader" if text.to_ascii_uppercase().contains("OVMF") => layer.firmware = Some(Firmware::Uefi),
            "driver" if provider != "virtualbox" && &*text == "qemu" => {
                layer.providers.qemu.accel = Some(Accel::Tcg);
                layer.providers.libvirt.accel = Some(Accel::Tcg);
            }
            "driver" => {}
            name => {
                let changes = !HARMLESS.contains(&name);
                let why = if changes { "not supported yet" } else { "it says how another hypervisor is used" };
                self.left_out(at, &format!("`{name}` of the provider `{provider}`"), why, changes);
            }
        }
    }

    /// Something that machines at libvirt have, and no others.
    fn only_libvirt(&mut self, at: At, name: &str, changes: bool) {
        if self.provider != ProviderKind::Libvirt {
            let what = format!("`{name}` of the provider `libvirt`");
            self.left_out(at, &what, "only machines at libvirt have it", changes);
        }
    }

    pub(super) fn cpus(&mut self, layer: &mut Layer, at: At, value: &Value) {
        if self.is_something(at, "cpus", value) {
            layer.cpus = self.number(at, "cpus", value);
        }
    }

    /// Whether a size is one that machines can have. What is none would change what the file said before, and with Vagrant
    /// no machine starts with it.
    fn is_something(&mut self, at: At, name: &str, value: &Value) -> bool {
        let is_none = match value {
            Value::Nil => Some("nil"),
            Value::Str(text) if text.text.borrow().trim().is_empty() => Some("an empty text"),
            Value::Str(text) if text.text.borrow().trim() == "0" => Some("0"),
            Value::Int(0) => Some("0"),
            _ => None,
        };
        if let Some(shown) = is_none {
            self.left_out(at, &format!("`{name}` of {shown}"), "no machine has that, and Vagrant starts none", true);
        }
        is_none.is_none()
    }

    pub(super) fn memory(&mut self, layer: &mut Layer, at: At, value: &Value) {
        if !self.is_something(at, "memory", value) {
            return;
        }
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

    /// `v.vmx["memsize"] = "2048"`.
    fn vmx(&mut self, layer: &mut Layer, at: At, value: &Value) {
        let Value::Hash(vmx) = value else { return };
        for (key, value) in vmx.pairs() {
            let text = value.text().unwrap_or_default();
            match key.text().as_deref() {
                Some("memsize") => self.memory(layer, at, &value),
                Some("numvcpus") => self.cpus(layer, at, &value),
                Some("firmware") if &*text == "efi" => layer.firmware = Some(Firmware::Uefi),
                Some("ethernet0.virtualDev") if nic(&text).is_some() => layer.nic = nic(&text),
                Some(other) => {
                    let what = format!("`{}` for VMware", other.escape_debug());
                    self.left_out(at, &what, "it says how another hypervisor is used", false);
                }
                None => {}
            }
        }
    }
}

/// libvirt's word.
fn cpu_mode(word: &str) -> Option<CpuMode> {
    Some(match word {
        "host-passthrough" => CpuMode::HostPassthrough,
        "host-model" => CpuMode::HostModel,
        "maximum" => CpuMode::Maximum,
        _ => return None,
    })
}

/// libvirt's word.
fn disk_bus(word: &str) -> Option<DiskBus> {
    Some(match word {
        "virtio" => DiskBus::Virtio,
        "scsi" => DiskBus::Scsi,
        "sata" => DiskBus::Sata,
        "ide" => DiskBus::Ide,
        "nvme" => DiskBus::Nvme,
        _ => return None,
    })
}

/// libvirt's, VirtualBox's and VMware's words.
pub(super) fn nic(word: &str) -> Option<Nic> {
    Some(match word {
        "virtio" => Nic::Virtio,
        "e1000" | "82540EM" | "82543GC" | "82545EM" => Nic::E1000,
        "pcnet" | "Am79C970A" | "Am79C973" | "vlance" => Nic::Pcnet,
        "vmxnet3" => Nic::Vmxnet3,
        _ => return None,
    })
}
