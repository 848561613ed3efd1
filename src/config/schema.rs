//! The keys of a machine file as types, for the JSON Schema that editors use. `vagrantfile.schema.json` is made from
//! them; tests keep the file current and these keys the same as those that the reader knows.
//!
//! The reader does not use these types: it needs places of values and must not stop at the first problem.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::spec::{
    Accel, CpuMode, DiskBus, Firmware, FolderType, Graphics, GraphicsController, Nic, OnError, Protocol, ProviderKind,
    RunPolicy,
};

/// The JSON Schema of machine files (draft 7, which every editor's TOML support knows).
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(without_null));
    let mut schema = settings.into_generator().into_root_schema_for::<MachineFile>();
    let mut first = |key: &str, value: Value| {
        schema.remove(key);
        let rest = std::mem::take(schema.ensure_object());
        *schema.ensure_object() = std::iter::once((key.to_owned(), value)).chain(rest).collect();
    };
    first("title", "Machine file of vbox-rs".into());
    first("$schema", "http://json-schema.org/draft-07/schema#".into());
    schema.to_value()
}

/// TOML has no null: a key that may be left out has the type that it has when it is there.
fn without_null(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if choices.len() == 1 {
            // Draft 7 ignores what stands beside a `$ref`, but not what stands beside `allOf`.
            let only = schema.shift_remove("anyOf").unwrap_or_default();
            schema.insert("allOf".into(), only);
        }
    }
}

/// A machine file of vbox-rs (`Vagrantfile` or `Vagrantfile.toml`): what machines a project has.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineFile {
    /// What all machines have in common, or the only machine.
    #[serde(flatten)]
    pub keys: MachineKeys,
    /// Several machines by name: each inherits the top level. Lists append to the inherited ones, everything else
    /// overrides.
    #[serde(default)]
    pub machines: BTreeMap<String, Machine>,
}

/// One of several machines.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What the top level has too.
    #[serde(flatten)]
    pub keys: MachineKeys,
    /// Commands for one machine take this one when none is named. At most one machine is primary.
    #[serde(default)]
    pub primary: bool,
    /// Machines that must be ready before this one starts.
    #[serde(default)]
    pub depends_on: Vec<String>,
}

/// The keys that the top level and every machine have.
#[derive(JsonSchema)]
pub struct MachineKeys {
    /// Name (`debian/bookworm64`), URL or path (.box, .qcow2, .img, .vmdk) of the box.
    pub r#box: Option<String>,
    /// Constraints on the box's version, separated by commas: `=`, `!=`, `>`, `<`, `>=`, `<=`, `~>`. For instance
    /// `~> 12.0`.
    pub box_version: Option<String>,
    /// URL or path to fetch the box from when the library does not have it; of several, the first that delivers it.
    pub box_url: Option<OneOrMore>,
    /// `sha256:…` or `sha512:…` of the file that is fetched.
    pub box_checksum: Option<String>,
    /// `amd64`, `arm64`, …, or `auto`. Default: the host's.
    pub box_architecture: Option<String>,
    /// Host name inside of the guest (RFC 1123). Default: the box's own.
    pub hostname: Option<String>,
    /// Virtual processors. Default: the box's, else 2.
    #[schemars(range(min = 1, max = 1024))]
    pub cpus: Option<u32>,
    /// Memory: MiB as a number, or a string with a unit such as `2 GiB`. Default: the box's, else 1024.
    pub memory: Option<Size>,
    /// Size of the first disk: MiB as a number, or a string with a unit such as `20 GiB`. It grows disk, partition and
    /// file system; it cannot shrink them. Default: the box's own size.
    pub disk: Option<Size>,
    /// Disks beside those of the box.
    #[serde(default)]
    pub extra_disk: Vec<ExtraDisk>,
    /// What starts the boot loader. Default: the box's, else `bios` on x86 and `uefi` elsewhere.
    pub firmware: Option<Firmware>,
    /// What the disks hang on. Default: the box's, else virtio.
    pub disk_bus: Option<DiskBus>,
    /// The network card. Default: the box's, else virtio.
    pub nic: Option<Nic>,
    /// Hardware address of the first network card, for instance `52:54:00:12:34:56`. Default: the box's, else one of the
    /// machine's own.
    pub mac: Option<String>,
    /// The hypervisor. Default: qemu.
    pub provider: Option<ProviderKind>,
    /// Whether a plain `up` starts the machine. Default: true.
    pub autostart: Option<bool>,
    /// Seconds until a machine that does not answer counts as failed. Default: 300.
    #[schemars(range(min = 1, max = 86400))]
    pub boot_timeout: Option<u64>,
    /// Seconds that the guest has to shut itself down. Default: 60.
    #[schemars(range(min = 1, max = 86400))]
    pub graceful_halt_timeout: Option<u64>,
    /// Shown after `up`.
    pub post_up_message: Option<String>,
    /// First and last port from which free ones are chosen: for SSH, for forwarded ports without `host`, and instead
    /// of taken ones. Default: `[2200, 2250]`.
    #[schemars(with = "Option<[Port; 2]>")]
    pub usable_port_range: Option<[Port; 2]>,
    /// Ports of the guest that are reachable on the host.
    #[serde(default)]
    pub forwarded_port: Vec<ForwardedPort>,
    /// Networks between machines and host.
    #[serde(default)]
    pub private_network: Vec<PrivateNetwork>,
    /// Bridges to the host's own network.
    #[serde(default)]
    pub public_network: Vec<PublicNetwork>,
    /// Folders of the host that appear in the guest. The machine file's directory appears as `/vagrant` by itself.
    #[serde(default)]
    pub synced_folder: Vec<SyncedFolder>,
    /// What is run in the new machine, in order.
    #[serde(default)]
    pub provision: Vec<Provisioner>,
    /// What is done before and after commands.
    #[serde(default)]
    pub trigger: Vec<Trigger>,
    /// How vbox-rs logs in.
    pub ssh: Option<Ssh>,
    /// What only one hypervisor knows.
    pub provider_options: Option<ProviderOptions>,
}

/// A disk beside those of the box, empty at first: the guest makes a file system on it. It stays until `destroy`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraDisk {
    /// Its name: letters, digits, `-`, `_` and `.`. The guest finds a name of up to 20 characters by it
    /// (`/dev/disk/by-id/virtio-NAME`, on another `disk_bus` behind another word; not with VirtualBox). The same name as an inherited disk's replaces that disk.
    pub name: String,
    /// Its size: MiB as a number, or a string with a unit such as `20 GiB`. It can grow, not shrink.
    pub size: Size,
}

/// A port of the guest that is reachable on the host.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardedPort {
    /// Port in the guest.
    pub guest: Port,
    /// Port on the host. Default: a free one is chosen and shown.
    pub host: Option<Port>,
    /// Address on the host that listens. Default: 127.0.0.1; `0.0.0.0` is reachable from other computers.
    pub host_ip: Option<std::net::IpAddr>,
    /// Default: tcp.
    pub protocol: Option<Protocol>,
    /// Take a free port when `host` is taken. Default: false.
    pub auto_correct: Option<bool>,
    /// A name of your own.
    pub id: Option<String>,
}

/// A network between machines and host.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateNetwork {
    /// Fixed address of the guest. Default: by DHCP.
    pub ip: Option<std::net::IpAddr>,
    /// Length of the network's prefix: 24 is what others write as 255.255.255.0.
    #[schemars(range(min = 1, max = 128))]
    pub prefix: Option<u8>,
    /// VirtualBox: a network of that name between machines alone, without the host. libvirt: its network of that name.
    pub name: Option<String>,
    /// VirtualBox: its NAT network of that name, or with that address, through which machines reach each other and what the
    /// host reaches, without the host's reaching them. Made where there is none, and gone with its last machine. Default:
    /// false.
    pub nat: Option<bool>,
    /// Hardware address of the machine's card. Default: one of its own.
    pub mac: Option<String>,
    /// The card's kind. Default: as the machine's first card.
    pub nic: Option<Nic>,
    /// The card's place among the machine's, of which the first is 1. Default: the next that is free.
    #[schemars(range(min = 2, max = 36))]
    pub adapter: Option<u8>,
    /// Whether vbox-rs sets the address up in the guest. Default: true.
    pub auto_config: Option<bool>,
}

/// A bridge to the host's own network.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicNetwork {
    /// The host's interface, or several: the first that is there. Default: the only one there is, else a question.
    pub bridge: Option<OneOrMore>,
    /// Fixed address of the guest. Default: by DHCP.
    pub ip: Option<std::net::IpAddr>,
    /// Length of the network's prefix: 24 is what others write as 255.255.255.0.
    #[schemars(range(min = 1, max = 128))]
    pub prefix: Option<u8>,
    /// Whether the guest takes the way to everywhere that DHCP offers there. Default: false.
    pub use_dhcp_assigned_default_route: Option<bool>,
    /// Hardware address of the machine's card. Default: one of its own.
    pub mac: Option<String>,
    /// The card's kind. Default: as the machine's first card.
    pub nic: Option<Nic>,
    /// The card's place among the machine's, of which the first is 1. Default: the next that is free.
    #[schemars(range(min = 2, max = 36))]
    pub adapter: Option<u8>,
    /// Whether vbox-rs sets the address up in the guest. Default: true.
    pub auto_config: Option<bool>,
}

/// A folder of the host that appears in the guest.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncedFolder {
    /// Path on the host; relative ones start at the machine file's directory, `~/` at your home. Needed unless
    /// `disabled`.
    pub host: Option<String>,
    /// Absolute path in the guest. The same place as an inherited folder's replaces that folder.
    pub guest: String,
    /// How it gets there. Default: as VirtualBox's shared folder where provider and guest have those, else rsync.
    pub r#type: Option<FolderType>,
    /// Switches off an inherited folder, or the default one (`/vagrant`). Default: false.
    pub disabled: Option<bool>,
    /// Create the host's folder when it is missing. Default: false.
    pub create: Option<bool>,
    /// Owner in the guest. Default: the login user.
    pub owner: Option<String>,
    /// Group in the guest. Default: the login user's.
    pub group: Option<String>,
    /// Patterns as of rsync's `--exclude`, besides `.git/`, `.vbox-rs/` and `.vagrant/`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Arguments for rsync instead of the default ones.
    pub args: Option<Vec<String>>,
}

/// Something that is done in the new machine.
#[derive(JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Provisioner {
    /// Runs a script in the guest. It has exactly one of `inline`, `path` and `url`.
    Shell {
        /// For messages and `--provision-with`. Default: `shell-1`, `shell-2`, … by its place.
        name: Option<String>,
        /// `once`: on the first `up`; `always`: on every `up` and `reload`; `never`: only when named by
        /// `--provision-with`. Default: once.
        run: Option<RunPolicy>,
        /// The script's text.
        inline: Option<String>,
        /// A script on the host.
        path: Option<String>,
        /// A script that the host fetches.
        url: Option<String>,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Its environment.
        #[serde(default)]
        env: BTreeMap<String, EnvValue>,
        /// Run as root. Default: true.
        privileged: Option<bool>,
        /// Reboot the guest afterwards and wait for it. Default: false.
        reboot: Option<bool>,
        /// Do not show what it prints. Default: false.
        sensitive: Option<bool>,
    },
    /// Copies a file or folder into the guest.
    File {
        /// For messages and `--provision-with`. Default: `file-1`, `file-2`, … by its place.
        name: Option<String>,
        /// `once`: on the first `up`; `always`: on every `up` and `reload`; `never`: only when named by
        /// `--provision-with`. Default: once.
        run: Option<RunPolicy>,
        /// File or folder on the host.
        source: String,
        /// Path in the guest; relative ones start in the login user's home.
        destination: String,
    },
}

/// The value of a variable; numbers and booleans are taken as they are written.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Boolean(bool),
}

/// Something that is done before or after commands, for each machine that they mean. It has exactly one of `before` and
/// `after`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// For messages.
    pub name: Option<String>,
    /// Before these commands begin.
    pub before: Option<Vec<TriggerAction>>,
    /// After these commands went well.
    pub after: Option<Vec<TriggerAction>>,
    /// Commands that `all` does not mean.
    #[serde(default)]
    pub ignore: Vec<TriggerAction>,
    /// Machines by name or `/regular expression/`. Default: all that inherit it.
    #[serde(default)]
    pub only_on: Vec<String>,
    /// Told.
    pub info: Option<String>,
    /// Told as a warning.
    pub warn: Option<String>,
    /// Ends the command with this exit code.
    pub abort: Option<u8>,
    /// Run on this computer, in the project's folder, if you let it (`--trust`).
    pub run: Option<HostCommand>,
    /// Run in the guest, which must run.
    pub run_remote: Option<GuestScript>,
    /// Exit codes of `run` that mean success. Default: `[0]`.
    pub exit_codes: Option<Vec<u8>>,
    /// `halt`: when it fails, so does the command; `continue`: it is told. Default: halt.
    pub on_error: Option<OnError>,
}

/// A command that triggers go with.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TriggerAction {
    /// `up`.
    Up,
    /// `halt`.
    Halt,
    /// `destroy`.
    Destroy,
    /// `provision`.
    Provision,
    /// `reload`.
    Reload,
    /// `suspend`.
    Suspend,
    /// `resume`.
    Resume,
    /// All of these.
    All,
}

/// A command on this computer. It has exactly one of `inline` and `path`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostCommand {
    /// The command's words, with a shell's quotes. No shell looks at it: for variables, pipes and the like write
    /// `sh -c '…'`.
    pub inline: Option<String>,
    /// A script on this computer.
    pub path: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
}

/// A script for the guest. It has exactly one of `inline`, `path` and `url`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestScript {
    /// The script's text.
    pub inline: Option<String>,
    /// A script on the host.
    pub path: Option<String>,
    /// A script that the host fetches.
    pub url: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// Run as root. Default: true.
    pub privileged: Option<bool>,
    /// Reboot the guest afterwards and wait for it. Default: false.
    pub reboot: Option<bool>,
    /// Do not show what it prints. Default: false.
    pub sensitive: Option<bool>,
}

/// How vbox-rs logs in.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Login name. Default: the box's (`vagrant`).
    pub username: Option<String>,
    /// Keys to try first instead of Vagrant's public one.
    #[serde(default)]
    pub private_key_path: Vec<String>,
    /// Replace the box's key with one of the machine's own. Default: true.
    pub insert_key: Option<bool>,
    /// Port of the guest's sshd. Default: 22.
    pub guest_port: Option<Port>,
    /// Port on the host. Default: chosen from `usable_port_range`.
    pub port: Option<Port>,
    /// Pass your SSH agent on. Default: false.
    pub forward_agent: Option<bool>,
    /// Pass X11 on. Default: false.
    pub forward_x11: Option<bool>,
    /// Send keep-alive messages. Default: true.
    pub keep_alive: Option<bool>,
    /// Seconds to establish one connection. Default: 60.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: Option<u64>,
    /// More arguments for the OpenSSH client.
    #[serde(default)]
    pub extra_args: Vec<String>,
}

/// What only one hypervisor knows.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderOptions {
    /// For `qemu`.
    pub qemu: Option<Qemu>,
    /// For `libvirt`.
    pub libvirt: Option<Libvirt>,
    /// For `virtualbox`.
    pub virtualbox: Option<Virtualbox>,
}

/// What only libvirt knows.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Libvirt {
    /// The daemon. Default: `LIBVIRT_DEFAULT_URI`, else `qemu:///session` (root: `qemu:///system`).
    pub uri: Option<String>,
    /// The storage pool that disks are made in. Default: at other hosts `default`, on this one none.
    pub pool: Option<String>,
    /// The address at which a host that is reached by `qemu+tcp` or `qemu+tls` opens the guest's ports, and this computer
    /// finds them. Default: none, and such a host is refused.
    pub forward_address: Option<std::net::IpAddr>,
    /// How the guest's instructions are run. Default: auto.
    pub accel: Option<Accel>,
    /// The machine type. Default: `q35` on x86, `virt` elsewhere.
    pub machine: Option<String>,
    /// The processor. Default: `host-passthrough` with hardware acceleration, `maximum` without.
    pub cpu_mode: Option<CpuMode>,
    /// Start the box's kernel directly when the box carries one, without firmware and boot loader. Default: true.
    pub direct_boot: Option<bool>,
    /// A screen for virt-manager. Default: none.
    pub graphics: Option<Graphics>,
    /// Whether the daemon starts the machine when the host boots; that of a session does when somebody first asks it.
    /// Default: false.
    pub autostart: Option<bool>,
    /// The network of libvirt (`virsh net-list`) from which the machine gets an address of its own, at `qemu:///system` or
    /// `qemu+ssh://host/system`. Default: none; QEMU's network for users, which needs no rights, with forwarded ports.
    pub network: Option<String>,
    /// Whether the guest may have virtual machines of its own. Default: as the processor has it.
    pub nested: Option<bool>,
    /// A trusted platform module (version 2.0), emulated by swtpm. Default: false.
    pub tpm: Option<bool>,
    /// Elements that are added to the domain's description as they are: those that libvirt knows as parts of a domain
    /// there, others among its devices. What libvirt does not know it refuses; nobody checks what they mean.
    #[serde(default)]
    pub xml: Vec<String>,
}

/// What only VirtualBox knows.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Virtualbox {
    /// What the machine is called in VirtualBox. Default: the project's and the machine's name.
    pub name: Option<String>,
    /// Show the machine's screen in a window. Default: false.
    pub gui: Option<bool>,
    /// Rest on the box's disk, which all its machines share, instead of copying it. Default: true.
    pub linked_clone: Option<bool>,
    /// Video memory in MiB. Default: 16.
    #[schemars(range(min = 1, max = 256))]
    pub vram: Option<u32>,
    /// The graphics card. Default: vmsvga.
    pub graphics_controller: Option<GraphicsController>,
    /// The guest's operating system in VirtualBox's words (`VBoxManage list ostypes`). Default: the box's, else a 64-bit
    /// Linux.
    pub os_type: Option<String>,
    /// Calls of `VBoxManage` at every start, in order: lists of words, where `:id` stands for the machine. A first word says
    /// when: `pre-boot` (the default), `post-boot`, `post-comm` (once the guest lets us in), or, once only, `pre-import`
    /// (before there is a machine, so without `:id`).
    #[serde(default)]
    pub customize: Vec<Vec<String>>,
}

/// What only QEMU knows.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// How the guest's instructions are run. Default: auto.
    pub accel: Option<Accel>,
    /// QEMU's `-machine`. Default: `q35` on x86, `virt` elsewhere.
    pub machine: Option<String>,
    /// QEMU's `-cpu`. Default: `host` with hardware acceleration, `max` without.
    pub cpu: Option<String>,
    /// Start the box's kernel directly when the box carries one, without firmware and boot loader. Default: true.
    pub direct_boot: Option<bool>,
    /// More arguments, after ours.
    #[serde(default)]
    pub extra_args: Vec<String>,
}

/// A TCP or UDP port.
#[derive(JsonSchema)]
pub struct Port(#[schemars(range(min = 1, max = 65535))] pub u16);

/// A string, or a list of strings.
pub struct OneOrMore;

impl JsonSchema for OneOrMore {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A string, or a list of strings.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

/// MiB as a number, or a string with a unit (powers of 1024).
pub struct Size;

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "MiB as a number, or a string with a unit (powers of 1024): \"512 MiB\", \"2 GiB\", \"1.5T\".",
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*([kKmMgGtT]([iI]?[bB])?|[bB])?\\s*$" }
            ]
        })
    }
}
