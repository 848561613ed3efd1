//! QEMU's command line, as a function of the plan.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::accel::Engine;
use super::files::Files;
use crate::provider::{Boot, Forward, VmPlan};
use crate::store::MachineId;

/// libvirt's choice too: a QEMU that a guest broke out of starts no program.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// A processor architecture that we know a machine for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// Tested.
    X86_64,
    /// Written from QEMU's documentation, never run.
    Aarch64,
}

impl Arch {
    /// This host's.
    pub fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// As in `qemu-system-…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Descriptors of listening sockets that QEMU inherits, so that a connection is possible before QEMU runs.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    /// The monitor for commands.
    pub control: RawFd,
    /// The monitor for queries: QEMU talks to one client at a time, and a query must not wait for a command's end.
    pub status: RawFd,
    /// The serial console.
    pub console: RawFd,
}

/// All that the command line depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Processor architecture.
    pub arch: Arch,
    /// How instructions are run.
    pub engine: Engine,
    /// The machine's id.
    pub id: MachineId,
    /// What it should be.
    pub plan: &'a VmPlan,
    /// Where its files lie.
    pub files: &'a Files,
    /// What QEMU inherits.
    pub sockets: Sockets,
    /// The machine type of a saved state that is to be loaded; a fresh start where `None`.
    pub incoming: Option<&'a str>,
}

/// Arguments without the program's name.
pub fn argv(input: &Input<'_>) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    identity(&mut args, input);
    hardware(&mut args, input);
    monitors(&mut args, input);
    disks(&mut args, input);
    network(&mut args, input);
    boot(&mut args, &input.plan.boot);
    if input.incoming.is_some() {
        args.put("-incoming", "defer");
        args.flag("-S");
    }
    args.0.extend(input.plan.qemu.extra_args.iter().map(OsString::from));
    args.0
}

fn identity(args: &mut Args, input: &Input<'_>) {
    args.flag("-nodefaults");
    args.flag("-no-user-config");
    args.put("-uuid", &input.id.uuid());
    args.option("-name", &[("guest", input.plan.name.as_ref()), ("process", process_name(input.id).as_ref())]);
    args.put("-msg", "timestamp=on");
    if !has(&input.plan.qemu.extra_args, "-sandbox") {
        args.put("-sandbox", SANDBOX);
    }
    args.put_path("-pidfile", &input.files.pid());
}

/// The kernel shows 15 bytes of it.
fn process_name(id: MachineId) -> String {
    format!("qemu-{}", id.short())
}

fn hardware(args: &mut Args, input: &Input<'_>) {
    let plan = input.plan;
    let fallback = match input.arch {
        Arch::X86_64 => "q35",
        Arch::Aarch64 => "virt",
    };
    let machine = input.incoming.or(plan.qemu.machine.as_deref()).unwrap_or(fallback);
    // Without graphics SeaBIOS talks to the serial console, so what a boot through firmware meets is in the log.
    let quiet = match (input.arch, &plan.boot) {
        (Arch::X86_64, Boot::Disk) => ",graphics=off",
        _ => "",
    };
    args.put("-machine", &format!("{machine}{quiet}"));
    let (accel, cpu) = match input.engine {
        Engine::Kvm => ("kvm", "host"),
        Engine::Tcg => ("tcg,thread=multi", "max"),
    };
    args.put("-accel", accel);
    args.put("-cpu", plan.qemu.cpu.as_deref().unwrap_or(cpu));
    args.put("-smp", &format!("cpus={}", plan.cpus));
    args.put("-m", &format!("{}M", plan.memory));
    args.put("-display", "none");
    args.put("-vga", "none");
    args.put("-object", "rng-random,id=rng0,filename=/dev/urandom");
    args.put("-device", "virtio-rng-pci,rng=rng0");
}

fn monitors(args: &mut Args, input: &Input<'_>) {
    for (id, fd) in [("control", input.sockets.control), ("status", input.sockets.status)] {
        args.put("-chardev", &format!("socket,id={id},fd={fd},server=on,wait=off"));
        args.put("-mon", &format!("chardev={id},mode=control"));
    }
    let fd = input.sockets.console.to_string();
    let log = input.files.console_log();
    args.option(
        "-chardev",
        &[
            ("", "socket".as_ref()),
            ("id", "console".as_ref()),
            ("fd", fd.as_ref()),
            ("server", "on".as_ref()),
            ("wait", "off".as_ref()),
            ("logfile", log.as_os_str()),
            ("logappend", "on".as_ref()),
        ],
    );
    args.put("-serial", "chardev:console");
}

fn disks(args: &mut Args, input: &Input<'_>) {
    for index in 0..input.plan.disks.len() {
        let node = format!("disk{index}");
        let path = input.files.disk(index);
        args.option(
            "-blockdev",
            &[
                ("driver", "qcow2".as_ref()),
                ("node-name", node.as_ref()),
                ("discard", "unmap".as_ref()),
                ("file.driver", "file".as_ref()),
                ("file.discard", "unmap".as_ref()),
                ("file.filename", path.as_os_str()),
            ],
        );
        // Index 0 belongs to the loader of a kernel that QEMU starts directly.
        let order = index + 1;
        args.put("-device", &format!("virtio-blk-pci,drive={node},id=blk{index},bootindex={order}"));
    }
    if let Some(seed) = &input.plan.seed {
        args.option(
            "-blockdev",
            &[
                ("driver", "raw".as_ref()),
                ("node-name", "seed".as_ref()),
                ("read-only", "on".as_ref()),
                ("file.driver", "file".as_ref()),
                ("file.filename", seed.as_os_str()),
            ],
        );
        args.put("-device", "virtio-blk-pci,drive=seed,id=seedblk");
    }
}

fn network(args: &mut Args, input: &Input<'_>) {
    let mut netdev = "user,id=net0".to_owned();
    for forward in &input.plan.forwards {
        netdev.push_str(",hostfwd=");
        netdev.push_str(&rule(forward));
    }
    args.put("-netdev", &netdev);
    // No option ROM: nobody boots from this network, and loading it costs the firmware time.
    args.put("-device", &format!("virtio-net-pci,netdev=net0,id=nic0,mac={},romfile=", mac(input.id)));
}

/// A forward, as QEMU writes it, in its options and in its complaints.
pub fn rule(forward: &Forward) -> String {
    format!("{}:{}:{}-:{}", forward.protocol, forward.host_ip, forward.host, forward.guest)
}

/// A locally administered address in QEMU's range, from the id: it stays over restarts and differs between machines.
fn mac(id: MachineId) -> String {
    let b = id.bytes();
    format!("52:54:00:{:02x}:{:02x}:{:02x}", b[13], b[14], b[15])
}

fn boot(args: &mut Args, boot: &Boot) {
    let Boot::Kernel { kernel, initrd, cmdline } = boot else { return };
    args.put_path("-kernel", kernel);
    if let Some(initrd) = initrd {
        args.put_path("-initrd", initrd);
    }
    args.put("-append", cmdline);
}

/// Whether the user passes `option` (with one dash or two, as QEMU takes both).
pub fn has(extra: &[String], option: &str) -> bool {
    extra.iter().any(|arg| arg == option || arg.strip_prefix('-') == Some(option))
}

struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    fn put(&mut self, name: &str, value: &str) {
        self.flag(name);
        self.0.push(value.into());
    }

    fn put_path(&mut self, name: &str, value: &Path) {
        self.flag(name);
        self.0.push(value.into());
    }

    /// `key=value,…` with commas in values doubled, so that no value can become an option of its own. An empty key
    /// stands for a value alone.
    fn option(&mut self, name: &str, pairs: &[(&str, &OsStr)]) {
        let mut text = Vec::new();
        for (key, value) in pairs {
            if !text.is_empty() {
                text.push(b',');
            }
            if !key.is_empty() {
                text.extend_from_slice(key.as_bytes());
                text.push(b'=');
            }
            for &byte in value.as_bytes() {
                text.push(byte);
                if byte == b',' {
                    text.push(b',');
                }
            }
        }
        self.flag(name);
        self.0.push(OsString::from_vec(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::{Protocol, QemuOptions};
    use crate::provider::PlannedDisk;

    fn plan() -> VmPlan {
        let disk = PlannedDisk { backing: "/b".into(), backing_format: "qcow2".into(), size: None };
        VmPlan {
            name: "shop,evil=on/web".into(),
            cpus: 2,
            memory: 1024,
            disks: vec![disk],
            boot: Boot::Disk,
            seed: None,
            forwards: vec![
                Forward { protocol: Protocol::Tcp, host_ip: [127, 0, 0, 1].into(), host: 2200, guest: 22 },
                Forward { protocol: Protocol::Udp, host_ip: [0, 0, 0, 0].into(), host: 5353, guest: 53 },
            ],
            qemu: QemuOptions::default(),
        }
    }

    fn text(arch: Arch, engine: Engine, plan: &VmPlan, incoming: Option<&str>) -> String {
        let id = "00112233445546778899aabbccddeeff".parse().unwrap();
        let files = Files::new(Path::new("/home/a,b/m"));
        let sockets = Sockets { control: 7, status: 8, console: 9 };
        let args = argv(&Input { arch, engine, id, plan, files: &files, sockets, incoming });
        let words: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        words.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_boot_through_firmware() {
        snapbox::assert_data_eq!(
            text(Arch::X86_64, Engine::Tcg, &plan(), None),
            snapbox::str![[r"
-nodefaults
-no-user-config
-uuid 00112233-4455-4677-8899-aabbccddeeff
-name guest=shop,,evil=on/web,process=qemu-00112233
-msg timestamp=on
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-pidfile /home/a,b/m/qemu.pid
-machine q35,graphics=off
-accel tcg,thread=multi
-cpu max
-smp cpus=2
-m 1024M
-display none
-vga none
-object rng-random,id=rng0,filename=/dev/urandom
-device virtio-rng-pci,rng=rng0
-chardev socket,id=control,fd=7,server=on,wait=off
-mon chardev=control,mode=control
-chardev socket,id=status,fd=8,server=on,wait=off
-mon chardev=status,mode=control
-chardev socket,id=console,fd=9,server=on,wait=off,logfile=/home/a,,b/m/console.log,logappend=on
-serial chardev:console
-blockdev driver=qcow2,node-name=disk0,discard=unmap,file.driver=file,file.discard=unmap,file.filename=/home/a,,b/m/disk0.qcow2
-device virtio-blk-pci,drive=disk0,id=blk0,bootindex=1
-netdev user,id=net0,hostfwd=tcp:127.0.0.1:2200-:22,hostfwd=udp:0.0.0.0:5353-:53
-device virtio-net-pci,netdev=net0,id=nic0,mac=52:54:00:dd:ee:ff,romfile=
"]]
        );
    }

    #[test]
    fn a_direct_kernel_start_with_a_seed_and_the_users_own_arguments() {
        let mut plan = plan();
        plan.seed = Some("/s,d/seed.img".into());
        plan.boot = Boot::Kernel {
            kernel: "/k/vmlinuz".into(),
            initrd: Some("/k/initrd".into()),
            cmdline: "root=/dev/vda1 console=ttyS0,115200".into(),
        };
        plan.qemu.extra_args = vec!["--sandbox".into(), "off".into()];
        let text = text(Arch::X86_64, Engine::Kvm, &plan, None);
        for line in [
            "-machine q35",
            "-accel kvm",
            "-cpu host",
            "-blockdev driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=/s,,d/seed.img",
            "-kernel /k/vmlinuz",
            "-initrd /k/initrd",
            "-append root=/dev/vda1 console=ttyS0,115200",
            "--sandbox off",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("\n-sandbox"));
        assert!(text.ends_with("--sandbox off"));
    }

    #[test]
    fn a_saved_state_is_loaded_into_the_machine_type_that_it_had() {
        let text = text(Arch::Aarch64, Engine::Tcg, &plan(), Some("virt-9.2"));
        assert!(text.contains("\n-machine virt-9.2\n"));
        assert!(text.ends_with("\n-incoming defer\n-S"));
    }
}
