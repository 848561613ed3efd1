//! VirtualBox, through its own `VBoxManage`.
//!
//! VirtualBox keeps what it knows of a machine in a service (`VBoxSVC`) that every call talks to; we keep no copy of it.
//! The machine's id is its UUID there, so each is found without a record, and one whose settings do not lie in our own
//! folder is never touched. What a call would cost (50 to 200 ms) and files or processes show as well is seen there:
//! whether a machine runs, by its process; whether it was stopped, by its log.
//!
//! Disks are differencing images on the box's image, which VirtualBox is told of when the first machine rests on it, and
//! forgets with the last: it counts the users itself, by refusing to forget one that has any.
//!
//! Nothing is imported by VirtualBox, not even a box that it exported: of an OVF description the library takes what decides
//! whether a guest starts and finds its devices (processors, memory, firmware, the disks' bus, the card's kind and address,
//! the guest's kind), so that its machines are the same on every provider. What is left behind (sound, USB, video memory,
//! further cards, the name of a controller) is in `provider_options.virtualbox` for who needs it.

mod argv;
mod bridge;
mod card;
mod console;
mod customize;
mod fault;
mod files;
mod find;
mod forward;
mod host;
mod hostonly;
mod log;
mod machine;
mod making;
mod natnet;
mod network;
mod parse;
mod record;
mod rules;
mod run;
mod seed;
mod slot;
mod start;
mod vm;

pub(super) use fault::Fault;

use natnet::NatNetworks;
use run::Manage;

use super::{Error, Finding, HostReport, OpenBridge, Provider, Vm, VmHome, VmPlan};
use crate::config::spec::{MachineSpec, ProviderKind, PublicNetwork};
use crate::progress::Cx;

/// The provider.
#[derive(Debug)]
pub struct Virtualbox;

impl Provider for Virtualbox {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Virtualbox
    }

    fn probe(&self) -> HostReport {
        host::probe()
    }

    fn require(&self, _: &MachineSpec) -> Result<(), Error> {
        run::Manage::find()?.require_native().map(drop)
    }

    fn disk_formats(&self) -> &'static [&'static str] {
        // A box's VMDK is made for transport: compressed, and slow to read at random.
        &["vdi"]
    }

    fn lacks_networks(&self, _: &MachineSpec) -> Option<&'static str> {
        None
    }

    fn open_bridges(
        &self,
        cx: &Cx,
        networks: &[PublicNetwork],
        had: &[PublicNetwork],
    ) -> Result<Vec<OpenBridge>, Error> {
        bridge::open(cx, networks, had)
    }

    fn require_host(&self, cx: &Cx, spec: &MachineSpec, had: &[PublicNetwork]) -> Result<(), Error> {
        let (private, public) = self.networks(spec);
        let mut nat = private.iter().filter(|network| network.nat).peekable();
        if nat.peek().is_some() {
            let there = NatNetworks::ask(cx, &Manage::find()?)?;
            nat.try_for_each(|network| there.require(network))?;
        }
        bridge::require(cx, public, had)
    }

    fn shares_folders(&self) -> bool {
        true
    }

    fn changes_forwards(&self) -> bool {
        true
    }

    fn check(&self, plan: &VmPlan) -> Vec<Finding> {
        start::check(plan)
    }

    fn open(&self, home: VmHome) -> Box<dyn Vm> {
        Box::new(vm::VirtualboxVm::new(home))
    }
}
