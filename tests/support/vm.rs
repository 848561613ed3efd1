//! A machine as providers know it, without a machine file.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use vbox_rs::config::spec::{LibvirtOptions, Protocol, ProviderKind, QemuOptions, VirtualboxOptions};
use vbox_rs::provider::{Boot, Devices, Forward, PlannedDisk, Vm, VmHome, VmPlan, provider};
use vbox_rs::store::{Dirs, MachineId};

/// A small one with this disk.
pub fn plan(name: &str, disk: PlannedDisk) -> VmPlan {
    VmPlan {
        name: name.into(),
        cpus: 1,
        memory: 32,
        disks: vec![disk],
        boot: Boot::Disk,
        devices: Devices::default(),
        seed: None,
        seed_writable: false,
        tethered: false,
        forwards: Vec::new(),
        qemu: QemuOptions::default(),
        libvirt: LibvirtOptions::default(),
        virtualbox: VirtualboxOptions::default(),
    }
}

pub fn open(kind: ProviderKind, dirs: &Dirs, id: MachineId) -> Box<dyn Vm> {
    let home = VmHome { id, dir: dirs.machine(id), runtime: dirs.runtime(id), shared: dirs.home().to_owned() };
    provider(kind).unwrap().open(home)
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What `store` was writing when it was killed goes with the directory, which is not the provider's.
    names.filter(|name| !name.starts_with(".new-")).collect()
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn forward(protocol: Protocol, host: u16) -> Forward {
    Forward { protocol, host_ip: [127, 0, 0, 1].into(), host, guest: 22 }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
