//! What only one hypervisor knows (`[provider_options]`).

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What only one hypervisor knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProviderOptions {
    /// For `qemu`.
    pub qemu: QemuOptions,
    /// For `libvirt`.
    pub libvirt: LibvirtOptions,
    /// For `virtualbox`.
    pub virtualbox: VirtualboxOptions,
}

/// How instructions of the guest are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// Hardware where it really works, else software.
    #[default]
    Auto,
    /// Hardware.
    Kvm,
    /// Software emulation.
    Tcg,
}

impl std::fmt::Display for Accel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// What only QEMU knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QemuOptions {
    /// `auto`, `kvm` or `tcg`.
    pub accel: Accel,
    /// QEMU's `-machine`; `q35` on x86, `virt` elsewhere, where left out.
    pub machine: Option<String>,
    /// QEMU's `-cpu`; `host` with hardware, `max` without, where left out.
    pub cpu: Option<String>,
    /// Start the box's kernel directly when the box carries one, without firmware and boot loader.
    pub direct_boot: bool,
    /// More arguments, after ours.
    pub extra_args: Vec<String>,
}

impl Default for QemuOptions {
    fn default() -> Self {
        Self { accel: Accel::Auto, machine: None, cpu: None, direct_boot: true, extra_args: Vec::new() }
    }
}

/// The processor that libvirt shows to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CpuMode {
    /// The host's own.
    HostPassthrough,
    /// The nearest that libvirt has a name for.
    HostModel,
    /// All that the hypervisor can do.
    Maximum,
}

/// A screen for the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Graphics {
    /// None.
    #[default]
    None,
    /// VNC on a free port of 127.0.0.1.
    Vnc,
    /// SPICE on a free port of 127.0.0.1.
    Spice,
}

/// What only libvirt knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LibvirtOptions {
    /// The daemon; `LIBVIRT_DEFAULT_URI`, else `qemu:///session` (root: `qemu:///system`), where left out.
    pub uri: Option<String>,
    /// The storage pool that disks are made in; at other hosts `default`, on this one none (files beside the machine's own),
    /// where left out.
    pub pool: Option<String>,
    /// The address at which a host that is reached by `qemu+tcp` or `qemu+tls` opens the guest's ports.
    pub forward_address: Option<IpAddr>,
    /// `auto`, `kvm` or `tcg`.
    pub accel: Accel,
    /// The machine type; `q35` on x86, `virt` elsewhere, where left out.
    pub machine: Option<String>,
    /// The processor; the host's own with hardware, all that there is without, where left out.
    pub cpu_mode: Option<CpuMode>,
    /// Start the box's kernel directly when the box carries one, without firmware and boot loader.
    pub direct_boot: bool,
    /// A screen for virt-manager.
    pub graphics: Graphics,
    /// Whether the daemon starts the machine when the host boots; that of a session does when somebody first asks it.
    pub autostart: bool,
    /// The network of libvirt from which the machine gets an address of its own; QEMU's network for users where left out.
    pub network: Option<String>,
    /// Whether the guest may have virtual machines of its own; as the processor has it where left out.
    pub nested: Option<bool>,
    /// A trusted platform module (version 2.0), emulated.
    pub tpm: bool,
    /// Elements that are added to the domain's description as they are.
    pub xml: Vec<String>,
}

impl Default for LibvirtOptions {
    fn default() -> Self {
        Self {
            uri: None,
            pool: None,
            forward_address: None,
            accel: Accel::Auto,
            machine: None,
            cpu_mode: None,
            direct_boot: true,
            graphics: Graphics::None,
            autostart: false,
            network: None,
            nested: None,
            tpm: false,
            xml: Vec::new(),
        }
    }
}

/// What only VirtualBox knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VirtualboxOptions {
    /// What the machine is called there; its project's and its own name where left out.
    pub name: Option<String>,
    /// Show the machine's screen in a window.
    pub gui: bool,
    /// Rest on the box's disk, which all its machines share, instead of copying it.
    pub linked_clone: bool,
    /// Video memory in MiB; 16 where left out.
    pub vram: Option<u32>,
    /// The graphics card; `vmsvga` where left out.
    pub graphics_controller: Option<GraphicsController>,
    /// The guest's operating system in VirtualBox's words (`Debian_64`); the box's, else a 64-bit Linux, where left out.
    pub os_type: Option<String>,
    /// Calls of `VBoxManage`, in order.
    pub customize: Vec<Customization>,
}

impl Default for VirtualboxOptions {
    fn default() -> Self {
        Self {
            name: None,
            gui: false,
            linked_clone: true,
            vram: None,
            graphics_controller: None,
            os_type: None,
            customize: Vec::new(),
        }
    }
}

/// A graphics card of VirtualBox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphicsController {
    /// None at all.
    None,
    /// VirtualBox's old one.
    Vboxvga,
    /// VMware's.
    Vmsvga,
    /// VMware's with VirtualBox's additions, for Windows.
    Vboxsvga,
}

/// A call of `VBoxManage` that the machine file asks for. Written as in the machine file: its words, after the event where
/// that is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
#[schemars(with = "Vec<String>")]
pub struct Customization {
    /// When it is made.
    pub event: CustomizeEvent,
    /// Its words; `:id` stands for the machine.
    pub command: Vec<String>,
}

impl From<Vec<String>> for Customization {
    fn from(mut words: Vec<String>) -> Self {
        let named = words.first().and_then(|first| CustomizeEvent::ALL.iter().find(|event| event.name() == first));
        let event = named.copied().unwrap_or_default();
        words.drain(..usize::from(named.is_some()));
        Self { event, command: words }
    }
}

impl From<Customization> for Vec<String> {
    fn from(Customization { event, command }: Customization) -> Self {
        let named = (event != CustomizeEvent::default()).then(|| event.name().to_owned());
        named.into_iter().chain(command).collect()
    }
}

/// When a call of `VBoxManage` is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CustomizeEvent {
    /// Once, before there is a machine.
    PreImport,
    /// When everything is set, before the machine starts.
    #[default]
    PreBoot,
    /// Once it runs.
    PostBoot,
    /// Once its guest lets us in.
    PostComm,
}

impl CustomizeEvent {
    /// All, in the order in which they come.
    pub const ALL: &[Self] = &[Self::PreImport, Self::PreBoot, Self::PostBoot, Self::PostComm];

    /// As written in machine files.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreImport => "pre-import",
            Self::PreBoot => "pre-boot",
            Self::PostBoot => "post-boot",
            Self::PostComm => "post-comm",
        }
    }
}
