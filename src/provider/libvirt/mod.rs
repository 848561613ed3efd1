//! Machines as libvirt's domains: they are seen by `virsh list` and virt-manager, and outlive every command of ours in the
//! care of a daemon.
//!
//! **How libvirt is reached.** Its C library is loaded at run time (`ffi`, some fifty functions), so one binary starts
//! everywhere, is built without libvirt's headers, and a host without libvirt is a finding, not a program that does not
//! start. The crate `virt` was to do this, and does not: it links the library, so a binary with it does not start where
//! there is none; a helper executable beside ours would start a process and speak a protocol for each question; and its
//! `Drop`s panic where a daemon went away. What is called is libvirt's stable interface, whose functions never change.
//! Loading it with all that it needs itself takes some 11 ms of processor time (libvirt 9.0 on Debian 12; a crate that links
//! it would cost every start of ours as much), and only where a machine of this provider is asked for.
//!
//! **What a machine is.** Its files lie in the machine's own directory, as with provider `qemu`, and are made by the same
//! code: qcow2 overlays on the library's images, which are used in place. No pool, no copy, nothing to leak. At the host's
//! daemon (`qemu:///system`) the process runs as the user whose machine it is, so no file changes its owner. The domain
//! carries our id as its own, and in its metadata; it is defined anew before each start, and undefined with all that
//! libvirt keeps for it by `destroy`. The network is QEMU's own for users: the forwards, TCP and UDP, belong to the process
//! and are there whenever it is. Where the machine file names a network of libvirt, the machine has an address of its own
//! there (`network`), and whoever wants in asks for it each time (`address`).
//!
//! **Networks.** At the host's daemon each private network is a card on a network of libvirt, which is made and goes as
//! `private` tells; each public network one on an interface or bridge of the host (`bridge`).
//!
//! **Waiting.** Who waits for a machine's end hears of it from the daemon (`ffi::Watch`), and looks for himself once a second:
//! three questions then, where looking every 50 ms was sixty. libvirt's client takes a thread of ours for that.
//!
//! **Other hosts.** There, and where the machine file names a storage pool, the disks are volumes (`volume`), and the ports
//! of this computer lead through a background `ssh` (`remote`).
//!
//! **What cannot be trusted.** Others may change, end or remove a domain (`virsh`): the record says what we did last, and
//! `state` tells the difference. Every call to the daemon has an end and can be given up (`daemon`).

mod address;
mod bridge;
mod console;
mod daemon;
mod demand;
mod domain;
mod error;
mod ffi;
mod fragment;
mod host;
mod log;
mod network;
mod private;
mod ranges;
mod record;
mod remote;
mod remote_console;
mod remote_tls;
mod remote_tunnel;
mod snapshot;
mod state;
mod uri;
mod vm;
mod volume;
mod volume_download;
mod volume_store;
mod volume_transfer;
mod volume_upload;
mod xml;

use super::qemu::{argv::Arch, firmware, host as qemu_host, launch};
use super::{Error as ProviderError, Finding, HostChange, HostReport, Level, OpenBridge, Provider, Vm, VmHome, VmPlan};
use crate::config::spec::{DiskBus, MachineSpec, ProviderKind, PublicNetwork, QemuOptions};
use crate::error::Explain;
use crate::progress::Cx;

pub use error::Error;

/// The provider.
#[derive(Debug)]
pub struct Libvirt;

impl Provider for Libvirt {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Libvirt
    }

    fn probe(&self) -> HostReport {
        host::probe()
    }

    fn require(&self, spec: &MachineSpec) -> Result<(), ProviderError> {
        let options = &spec.provider_options.libvirt;
        host::require_library()?;
        qemu_host::find(qemu_host::QEMU_IMG).ok_or_else(|| qemu_host::missing(qemu_host::QEMU_IMG))?;
        match uri::place(&uri::choose(options.uri.as_deref())?)? {
            uri::Place::Here => host::engine(options).map(drop),
            // Its daemon tells; it is not asked before there is something to ask it for.
            uri::Place::Ssh(_) | uri::Place::Port { .. } => Ok(()),
        }
    }

    fn disk_formats(&self) -> &'static [&'static str] {
        &["qcow2", "raw"]
    }

    fn lacks_networks(&self, spec: &MachineSpec) -> Option<&'static str> {
        let uri = uri::choose(spec.provider_options.libvirt.uri.as_deref()).ok()?;
        private::lacking(&uri)
    }

    fn open_bridges(
        &self,
        _cx: &Cx,
        networks: &[PublicNetwork],
        had: &[PublicNetwork],
    ) -> Result<Vec<OpenBridge>, ProviderError> {
        Ok(bridge::open(networks, had))
    }

    fn check(&self, plan: &VmPlan) -> Vec<Finding> {
        check(plan)
    }

    fn host_changes(&self, cx: &Cx, spec: &MachineSpec) -> Result<Vec<HostChange>, ProviderError> {
        let uri = uri::choose(spec.provider_options.libvirt.uri.as_deref())?;
        let place = uri::place(&uri)?;
        let mut changes = Vec::new();
        if let Some(name) = network_of(spec, &uri, &place) {
            changes.extend(network::change(cx, &uri, name)?.map(|change| at(place.name(), change)));
        }
        let mut private = private::changes(cx, &uri, self.networks(spec).0)?;
        private.retain(|other| changes.iter().all(|change: &HostChange| change.name != other.name));
        changes.extend(private);
        Ok(changes)
    }

    fn require_host(&self, cx: &Cx, spec: &MachineSpec, had: &[PublicNetwork]) -> Result<(), ProviderError> {
        let uri = uri::choose(spec.provider_options.libvirt.uri.as_deref())?;
        let place = uri::place(&uri)?;
        let named = network_of(spec, &uri, &place);
        let (private, public) = self.networks(spec);
        bridge::require(public, had)?;
        if named.is_none() && private.is_empty() {
            return Ok(());
        }
        let daemon = daemon::Daemon::connect(cx, &uri)?;
        if let Some(name) = named {
            network::require(cx, &daemon, name)?;
        }
        private::require(cx, &daemon, private).map(drop)
    }

    fn apply(&self, cx: &Cx, change: &HostChange) -> Result<(), ProviderError> {
        network::bring_up(cx, change)
    }

    fn open(&self, home: VmHome) -> Box<dyn Vm> {
        Box::new(vm::LibvirtVm::new(home))
    }
}

/// The network that a machine file names, where its daemon may have it and something leads there.
fn network_of<'s>(spec: &'s MachineSpec, uri: &str, place: &uri::Place) -> Option<&'s str> {
    let session = *place != uri::Place::Here && uri::names_session(uri);
    let reached = !session && !matches!(place, uri::Place::Port { .. });
    spec.provider_options.libvirt.network.as_deref().filter(|_| reached)
}

/// A change with the name of the host that it is made at, where that is another one.
fn at(host: Option<&str>, change: HostChange) -> HostChange {
    let what = host.map_or_else(|| change.what.clone(), |host| format!("at {host}: {}", change.what));
    HostChange { what, ..change }
}

/// The plan as provider `qemu` would be told it: what both have in common is judged and made by the same code.
fn as_qemu(plan: &VmPlan) -> VmPlan {
    let options = &plan.libvirt;
    let qemu = QemuOptions { accel: options.accel, machine: options.machine.clone(), ..QemuOptions::default() };
    VmPlan { qemu, ..plan.clone() }
}

/// What of a plan cannot be done.
fn check(plan: &VmPlan) -> Vec<Finding> {
    let qemu = as_qemu(plan);
    let bad = |(text, fix)| Finding { level: Level::Bad, text, fix };
    let mut findings: Vec<_> = launch::objections(&qemu).into_iter().map(bad).collect();
    match uri::choose(plan.libvirt.uri.as_deref()).and_then(|uri| uri::place(&uri)) {
        Ok(place) => {
            // libvirt finds the firmware of another host.
            if place == uri::Place::Here {
                findings.extend(firmware::objection(&qemu));
            }
            findings.extend(remote::check(&place, plan));
        }
        Err(error) => findings.push(bad((error.to_string(), error.hint()))),
    }
    findings.extend(demand::objections(&plan.libvirt));
    findings.extend(private::objections(plan));
    findings.extend(fragment::findings(&plan.libvirt.xml));
    if plan.devices.disk_bus == DiskBus::Nvme {
        let fix = "set `disk_bus` to another one, or `provider = \"qemu\"`";
        findings.push(bad(("libvirt emulates no NVMe disks".into(), Some(fix.into()))));
    }
    if Arch::host().is_none() {
        let text = format!("there is no machine for the processor architecture `{}`", std::env::consts::ARCH);
        findings.push(bad((text, None)));
    }
    findings
}
