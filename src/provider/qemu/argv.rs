//! QEMU's command line, as a function of the plan.

mod disks;

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::accel::Engine;
use super::files::Files;
use super::firmware::{self, Flash};
use crate::config::spec::Nic;
use crate::provider::{Boot, Forward, VmPlan, own_mac};
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
    /// UEFI firmware, where it starts by one.
    pub flash: Option<&'a Flash>,
    /// The machine type of a saved state that is to be loaded; a fresh start where `None`.
    pub incoming: Option<&'a str>,
}

/// Arguments without the program's name.
pub fn argv(input: &Input<'_>) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    identity(&mut args, input);
    hardware(&mut args, input);
    flash(&mut args, input.flash);
    monitors(&mut args, input);
    disks::of_box(&mut args, input);
    network(&mut args, input);
    disks::extra(&mut args, input);
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
    let fallback = firmware::machine(input.arch, plan.devices.disk_bus);
    let machine = input.incoming.or(plan.qemu.machine.as_deref()).unwrap_or(fallback);
    // Without graphics SeaBIOS talks to the serial console, so what a boot through firmware meets is in the log.
    let quiet = match (input.arch, &plan.boot, input.flash) {
        (Arch::X86_64, Boot::Disk, None) => ",graphics=off",
        (_, _, Some(_)) => ",pflash0=firmware,pflash1=nvram",
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

/// UEFI firmware, which the machine type refers to by these names.
fn flash(args: &mut Args, flash: Option<&Flash>) {
    let Some(Flash { code, code_format, nvram, nvram_format }) = flash else { return };
    for (node, file, format, read_only) in
        [("firmware", code, code_format, "on"), ("nvram", nvram, nvram_format, "off")]
    {
        args.option(
            "-blockdev",
            &[
                ("driver", format.as_ref()),
                ("node-name", node.as_ref()),
                ("read-only", read_only.as_ref()),
                ("file.driver", "file".as_ref()),
                ("file.filename", file.as_os_str()),
            ],
        );
    }
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

fn network(args: &mut Args, input: &Input<'_>) {
    let mut netdev = "user,id=net0".to_owned();
    for forward in &input.plan.forwards {
        netdev.push_str(",hostfwd=");
        netdev.push_str(&rule(forward));
    }
    args.put("-netdev", &netdev);
    // No option ROM: nobody boots from this network, and loading it costs the firmware time.
    let devices = &input.plan.devices;
    let card = match devices.nic {
        Nic::Virtio => "virtio-net-pci",
        Nic::E1000 => "e1000",
        Nic::Pcnet => "pcnet",
        Nic::Vmxnet3 => "vmxnet3",
    };
    let mac = devices.mac.clone().unwrap_or_else(|| own_mac(input.id));
    args.put("-device", &format!("{card},netdev=net0,id=nic0,mac={mac},romfile="));
}

/// A forward, as QEMU writes it, in its options and in its complaints.
pub fn rule(forward: &Forward) -> String {
    format!("{}:{}:{}-:{}", forward.protocol, forward.host_ip, forward.host, forward.guest)
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
    use crate::config::spec::{DiskBus, Firmware, LibvirtOptions, Protocol, QemuOptions, VirtualboxOptions};
    use crate::provider::{Devices, PlannedDisk};

    fn plan() -> VmPlan {
        let disk = PlannedDisk::overlay("/b".into(), "qcow2");
        VmPlan {
            name: "shop,evil=on/web".into(),
            cpus: 2,
            memory: 1024,
            disks: vec![disk],
            boot: Boot::Disk,
            devices: Devices::default(),
            seed: None,
            seed_writable: false,
            tethered: false,
            forwards: vec![
                Forward { protocol: Protocol::Tcp, host_ip: [127, 0, 0, 1].into(), host: 2200, guest: 22 },
                Forward { protocol: Protocol::Udp, host_ip: [0, 0, 0, 0].into(), host: 5353, guest: 53 },
            ],
            qemu: QemuOptions::default(),
            libvirt: LibvirtOptions::default(),
            virtualbox: VirtualboxOptions::default(),
        }
    }

    fn text(arch: Arch, engine: Engine, plan: &VmPlan, incoming: Option<&str>) -> String {
        let id = "00112233445546778899aabbccddeeff".parse().unwrap();
        let files = Files::new(Path::new("/home/a,b/m"));
        let sockets = Sockets { control: 7, status: 8, console: 9 };
        let flash = (plan.devices.firmware == Some(Firmware::Uefi)).then(|| Flash {
            code: "/fw/CODE,4M.fd".into(),
            code_format: "raw".into(),
            nvram: files.nvram(),
            nvram_format: "raw".into(),
        });
        let flash = flash.as_ref();
        let args = argv(&Input { arch, engine, id, plan, files: &files, sockets, flash, incoming });
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

    fn lines(plan: &VmPlan, words: &[&str]) -> String {
        let text = text(Arch::X86_64, Engine::Tcg, plan, None);
        let picked = text.lines().filter(|line| words.iter().any(|word| line.starts_with(word)));
        picked.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_disk_more_moves_neither_the_network_card_nor_the_seed() {
        let mut plan = plan();
        plan.seed = Some("/s/seed.img".into());
        for bus in [DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Nvme] {
            plan.devices.disk_bus = bus;
            plan.disks.truncate(1);
            let before = lines(&plan, &["-device"]);
            plan.disks.push(PlannedDisk::empty("data", 1 << 30));
            plan.disks.extend((0..6).map(|i| PlannedDisk::empty(&format!("a-name-that-is-too-long-{i}"), 1 << 30)));
            let after = lines(&plan, &["-device"]);
            let added = after.strip_prefix(&before).unwrap_or_else(|| panic!("{after}"));
            assert_eq!(added.matches("drive=disk").count(), 7, "{added}");
            assert_eq!(added.matches("serial=data").count(), 1, "{added}");
            assert_eq!(added.matches("serial=a-name").count(), 0, "{added}");
            assert_eq!(added.matches("ich9-ahci,id=sata1").count(), usize::from(bus == DiskBus::Sata), "{added}");
        }
    }

    #[test]
    fn disks_and_seed_hang_on_the_bus_that_the_plan_names() {
        let mut plan = plan();
        plan.disks.push(plan.disks[0].clone());
        plan.seed = Some("/s/seed.img".into());
        for (bus, machine, expected, read_only) in [
            (
                DiskBus::Virtio,
                "q35",
                "-device virtio-blk-pci,drive=disk0,id=blk0,bootindex=1\n\
                 -device virtio-blk-pci,drive=disk1,id=blk1,bootindex=2\n\
                 -device virtio-blk-pci,drive=seed,id=seedblk",
                true,
            ),
            (
                DiskBus::Scsi,
                "q35",
                "-device virtio-scsi-pci,id=scsi0\n\
                 -device scsi-hd,bus=scsi0.0,lun=0,drive=disk0,id=blk0,bootindex=1\n\
                 -device scsi-hd,bus=scsi0.0,lun=1,drive=disk1,id=blk1,bootindex=2\n\
                 -device scsi-hd,bus=scsi0.0,lun=2,drive=seed,id=seedblk",
                true,
            ),
            (
                DiskBus::Sata,
                "q35",
                "-device ich9-ahci,id=sata0\n\
                 -device ide-hd,bus=sata0.0,drive=disk0,id=blk0,bootindex=1\n\
                 -device ide-hd,bus=sata0.1,drive=disk1,id=blk1,bootindex=2\n\
                 -device ide-hd,bus=sata0.2,drive=seed,id=seedblk",
                false,
            ),
            (
                DiskBus::Ide,
                "pc",
                "-device ide-hd,bus=ide.0,unit=0,drive=disk0,id=blk0,bootindex=1\n\
                 -device ide-hd,bus=ide.0,unit=1,drive=disk1,id=blk1,bootindex=2\n\
                 -device ide-hd,bus=ide.1,unit=0,drive=seed,id=seedblk",
                false,
            ),
            (
                DiskBus::Nvme,
                "q35",
                "-device nvme,drive=disk0,serial=disk0,id=blk0,bootindex=1\n\
                 -device nvme,drive=disk1,serial=disk1,id=blk1,bootindex=2\n\
                 -device nvme,drive=seed,serial=seed,id=seedblk",
                false,
            ),
        ] {
            plan.devices.disk_bus = bus;
            let devices = ["-device virtio-blk", "-device virtio-scsi", "-device scsi", "-device i", "-device nvme"];
            assert_eq!(lines(&plan, &devices), expected);
            assert_eq!(lines(&plan, &["-machine"]), format!("-machine {machine},graphics=off"));
            let seed = lines(&plan, &["-blockdev driver=raw"]);
            assert_eq!(seed.contains("read-only=on"), read_only, "{seed}");
            plan.seed_writable = true;
            assert!(!lines(&plan, &["-blockdev driver=raw"]).contains("read-only=on"));
            plan.seed_writable = false;
        }
    }

    #[test]
    fn the_network_card_and_its_address_are_the_plans() {
        let mut plan = plan();
        for (nic, name) in
            [(Nic::Virtio, "virtio-net-pci"), (Nic::E1000, "e1000"), (Nic::Pcnet, "pcnet"), (Nic::Vmxnet3, "vmxnet3")]
        {
            plan.devices = Devices { nic, mac: Some("08:00:27:01:02:03".into()), ..Devices::default() };
            let card = format!("-device {name},netdev=net0,id=nic0,mac=08:00:27:01:02:03,romfile=");
            assert_eq!(lines(&plan, &[&format!("-device {name},")]), card);
        }
    }

    #[test]
    fn a_start_by_uefi_has_firmware_and_variables_of_its_own() {
        let mut plan = plan();
        plan.devices.firmware = Some(Firmware::Uefi);
        snapbox::assert_data_eq!(
            lines(&plan, &["-machine", "-blockdev driver=raw"]),
            snapbox::str![[r"
-machine q35,pflash0=firmware,pflash1=nvram
-blockdev driver=raw,node-name=firmware,read-only=on,file.driver=file,file.filename=/fw/CODE,,4M.fd
-blockdev driver=raw,node-name=nvram,read-only=off,file.driver=file,file.filename=/home/a,,b/m/nvram.fd
"]]
        );
    }

    #[test]
    fn a_saved_state_is_loaded_into_the_machine_type_that_it_had() {
        let text = text(Arch::Aarch64, Engine::Tcg, &plan(), Some("virt-9.2"));
        assert!(text.contains("\n-machine virt-9.2\n"));
        assert!(text.ends_with("\n-incoming defer\n-S"));
    }
}
