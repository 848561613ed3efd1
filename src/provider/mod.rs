//! Hypervisor backends behind two small traits. Providers know nothing of machine files, of where boxes come from, or of
//! SSH. To add one: a folder here, and one arm in [`provider`].

mod bridge;
mod card;
mod error;
#[cfg(feature = "libvirt")]
mod libvirt;
mod plan;
mod process;
mod qemu;
mod state;
mod virtualbox;

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::config::spec::{MachineSpec, Nic, PrivateNetwork, ProviderKind, ProviderOptions, PublicNetwork};
use crate::progress::Cx;
use crate::store::MachineId;

pub use card::{FORWARD_ADDRESS, card_places, forward_mac, further_mac, own_mac, public_mac};
pub use error::Error;
pub use plan::{Backing, Boot, Devices, Forward, PlannedDisk, VmPlan};
pub use state::{Pause, VmState};

/// The provider of a kind, where this program has one.
pub fn provider(kind: ProviderKind) -> Option<&'static dyn Provider> {
    match kind {
        ProviderKind::Qemu => Some(&qemu::Qemu),
        #[cfg(feature = "libvirt")]
        ProviderKind::Libvirt => Some(&libvirt::Libvirt),
        #[cfg(not(feature = "libvirt"))]
        ProviderKind::Libvirt => None,
        ProviderKind::Virtualbox => Some(&virtualbox::Virtualbox),
    }
}

/// A hypervisor.
pub trait Provider: Send + Sync + Debug {
    /// Which one.
    fn kind(&self) -> ProviderKind;

    /// What this host offers: never an error, always findings. Starts child processes, so only `doctor` and a first `up`
    /// ask for it.
    fn probe(&self) -> HostReport;

    /// Whether what machines need is installed here; asked before anything is made or fetched for one. Starts nothing.
    fn require(&self, spec: &MachineSpec) -> Result<(), Error>;

    /// What overlays or clones of this provider may rest on, as `qemu-img` calls it, the best one first; a box's disk in
    /// another format is converted.
    fn disk_formats(&self) -> &'static [&'static str];

    /// Why machines of `spec` get no cards for its private and public networks, as the end of a sentence about them; `None`
    /// where they do.
    fn lacks_networks(&self, spec: &MachineSpec) -> Option<&'static str> {
        let _ = spec;
        Some("yet")
    }

    /// The private and public networks for which machines of `spec` get a card each: all, or none.
    fn networks<'s>(&self, spec: &'s MachineSpec) -> (&'s [PrivateNetwork], &'s [PublicNetwork]) {
        match self.lacks_networks(spec) {
            None => (&spec.private_networks, &spec.public_networks),
            Some(_) => (&[], &[]),
        }
    }

    /// The public networks whose interface of this computer is their user's choice: each with those there are. `had` are
    /// the machine's so far ([`Vm::publics`]).
    fn open_bridges(
        &self,
        cx: &Cx,
        networks: &[PublicNetwork],
        had: &[PublicNetwork],
    ) -> Result<Vec<OpenBridge>, Error> {
        let _ = (cx, networks, had);
        Ok(Vec::new())
    }

    /// Whether guests reach folders of the host by [`Vm::share`], with VirtualBox's module in their kernel.
    fn shares_folders(&self) -> bool {
        false
    }

    /// Whether forwards of a machine that runs can be changed, by [`Vm::change_forwards`].
    fn changes_forwards(&self) -> bool {
        false
    }

    /// What of a plan this provider cannot do, all at once.
    fn check(&self, plan: &VmPlan) -> Vec<Finding>;

    /// What would have to be changed on this computer for a machine of `spec`, and can be by [`Provider::apply`] if the
    /// user agrees.
    fn host_changes(&self, cx: &Cx, spec: &MachineSpec) -> Result<Vec<HostChange>, Error> {
        let _ = (cx, spec);
        Ok(Vec::new())
    }

    /// Refuses what a start would refuse for want of such a change, or of a choice among interfaces: asked before a machine
    /// is stopped to be started anew. `had` are its public networks so far ([`Vm::publics`]).
    fn require_host(&self, cx: &Cx, spec: &MachineSpec, had: &[PublicNetwork]) -> Result<(), Error> {
        let _ = (cx, spec, had);
        Ok(())
    }

    /// Makes one of those changes. Fine when it is made already.
    fn apply(&self, cx: &Cx, change: &HostChange) -> Result<(), Error> {
        let _ = (cx, change);
        Ok(())
    }

    /// A handle on the virtual machine that lives in `home`. Touches nothing.
    fn open(&self, home: VmHome) -> Box<dyn Vm>;
}

/// One virtual machine. The caller holds the machine's lock for everything but `state`, the logs and the console.
pub trait Vm: Send {
    /// What it is doing, asked of the hypervisor and the disk; never changes anything. Quick, but for a hypervisor that
    /// takes its time: a few seconds.
    fn state(&mut self) -> Result<VmState, Error>;

    /// The same, with the patience of a command that goes on from it.
    fn awaited_state(&mut self, cx: &Cx) -> Result<VmState, Error> {
        let _ = cx;
        self.state()
    }

    /// What it is doing, as far as that is seen without a program that would have to be started: for loops, and for what
    /// must be quick. As `state` where nothing is seen.
    fn glance(&mut self) -> Result<VmState, Error> {
        self.state()
    }

    /// Makes or completes what the plan needs on disk. Idempotent; refuses to shrink a disk.
    fn create(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), Error>;

    /// Refuses what `create` would refuse of a machine that is there, also while it runs: to shrink a disk, or one more where
    /// there is no place for it.
    fn require_disks(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        let _ = (cx, plan);
        Ok(())
    }

    /// Starts it. `keep` are descriptors (of locked files) that the hypervisor's process must hold until it ends.
    fn start(&mut self, cx: &Cx, plan: &VmPlan, keep: &[BorrowedFd<'_>]) -> Result<(), Error>;

    /// Does what a machine file with these options wants of a machine that runs and its start did not come to; where its
    /// guest is `reached`, also what it wants then. Idempotent.
    fn finish_start(&mut self, cx: &Cx, options: &ProviderOptions, reached: bool) -> Result<(), Error> {
        let _ = (cx, options, reached);
        Ok(())
    }

    /// Asks the guest to shut down, as its power button does.
    fn press_power_button(&mut self) -> Result<(), Error>;

    /// Waits until it has ended; `false` when it still runs after `time`, or as soon as the user cancels.
    fn wait_until_ended(&mut self, cx: &Cx, time: Duration) -> Result<bool, Error>;

    /// The guest's own addresses on a network of the hypervisor, the most probable first: asked anew each time, and none
    /// before the guest has one. `None` where forwards lead to its ssh server, as usual.
    fn addresses(&mut self) -> Result<Option<Vec<IpAddr>>, Error> {
        Ok(None)
    }

    /// Its public networks at the last start, each with the interface that it was on.
    fn publics(&self) -> Result<Vec<PublicNetwork>, Error> {
        Ok(Vec::new())
    }

    /// Where this computer reaches a port at one of those addresses: there, unless something of ours leads to it.
    fn reach(&mut self, cx: &Cx, address: IpAddr, port: u16) -> Result<SocketAddr, Error> {
        let _ = cx;
        Ok(SocketAddr::new(address, port))
    }

    /// Whether the guest has surely not brought any network card up since it was started, so that nothing in it can
    /// answer. `false` where the hypervisor cannot tell.
    fn network_is_down(&mut self) -> bool {
        false
    }

    /// Ends it at once, like pulling the plug. Fine when it does not run.
    fn kill(&mut self) -> Result<(), Error>;

    /// Stops its processors; memory stays.
    fn pause(&mut self) -> Result<(), Error>;

    /// Goes on after `pause`.
    fn unpause(&mut self) -> Result<(), Error>;

    /// Saves memory and devices to disk and ends it. After a failure it runs on.
    fn save(&mut self, cx: &Cx) -> Result<(), Error>;

    /// Starts from what `save` wrote, with the arguments it had then (but `forwards` anew); the saved state is removed
    /// only once it runs.
    fn restore(&mut self, cx: &Cx, forwards: &[Forward], keep: &[BorrowedFd<'_>]) -> Result<(), Error>;

    /// Drops what `save` wrote.
    fn discard_saved(&mut self) -> Result<(), Error>;

    /// Ends it and removes all that `create`, `start` and `save` made. Idempotent.
    fn destroy(&mut self, cx: &Cx) -> Result<(), Error>;

    /// Lets the guest of a running machine reach a folder of the host by a name, until it ends. Fine when it does already.
    fn share(&mut self, cx: &Cx, name: &str, folder: &Path) -> Result<(), Error> {
        let _ = (cx, name, folder);
        let hint = "use type \"rsync\"";
        Err(Error::Unable { provider: "this provider", what: "share folders of the host", hint })
    }

    /// Lets a machine that runs have these forwards, the one for SSH among them, and no others. Idempotent.
    fn change_forwards(&mut self, cx: &Cx, forwards: &[Forward]) -> Result<(), Error> {
        let _ = (cx, forwards);
        let hint = "`vbox-rs reload` starts the machine with them";
        Err(Error::Unable { provider: "this provider", what: "change forwarded ports of a machine that runs", hint })
    }

    /// The forwards of the last start as they really are, where they lie elsewhere than was asked for: at another host.
    fn forwards(&self) -> Result<Option<Vec<Forward>>, Error> {
        Ok(None)
    }

    /// Sees to it that this computer gets to the forwards of a machine that runs, where something of ours leads there that
    /// may have ended meanwhile.
    fn connect(&mut self, cx: &Cx) -> Result<(), Error> {
        let _ = cx;
        Ok(())
    }

    /// Ends what `connect` may have left of a machine that has ended by itself.
    fn disconnect(&mut self, cx: &Cx) -> Result<(), Error> {
        let _ = cx;
        Ok(())
    }

    /// The disks of a machine that does not run, in the order of attachment: what `qemu-img` reads, which finds what they
    /// rest on by itself.
    fn images(&self) -> Result<Vec<Image>, Error>;

    /// The same, for a provider whose disks `qemu-img` cannot read as they are: then they are copied into `scratch`, a
    /// folder that the caller removes.
    fn images_in(&mut self, cx: &Cx, scratch: &Path) -> Result<Vec<Image>, Error> {
        let _ = (cx, scratch);
        self.images()
    }

    /// Whether it lives at another computer, so that nobody here can start anything on its disks but copies of them.
    fn is_elsewhere(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// What the guest wrote to its serial console, across starts where the hypervisor goes on with a file.
    fn console_log(&self) -> PathBuf;

    /// What it wrote before, the oldest first, where the hypervisor begins the file anew with each start, or when it is long.
    fn earlier_console_logs(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// What the hypervisor itself had to say; `None` where that lies at another host.
    fn hypervisor_log(&self) -> Option<PathBuf>;

    /// A connection to the serial console, to be left by `leave_console`.
    fn console(&mut self) -> Result<UnixStream, Error>;

    /// Gives back what `console` took, where a hypervisor has only one place for the console.
    fn leave_console(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Where a virtual machine lives.
#[derive(Clone, Debug)]
pub struct VmHome {
    /// Its identity, which it also carries inside of the hypervisor.
    pub id: MachineId,
    /// Its directory, shared with the machine's record: the provider owns the files that its module names.
    pub dir: PathBuf,
    /// A short directory for sockets, for when `dir` is too long for a socket's address.
    pub runtime: PathBuf,
    /// A directory for what all machines of a provider share: locks.
    pub shared: PathBuf,
}

/// A public network whose interface of this computer is its user's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBridge {
    /// Which of the machine's public networks, counted from 0.
    pub network: usize,
    /// The interfaces there are.
    pub among: Vec<String>,
}

/// Something on this computer that a machine needs changed, and that nobody does unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostChange {
    /// Where, in the provider's words.
    pub at: String,
    /// What is changed.
    pub name: String,
    /// What would be done, for a question.
    pub what: String,
    /// The addresses that it is about, where they are known.
    pub range: Option<String>,
}

/// A disk as it lies on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its file.
    pub path: PathBuf,
    /// Its format, as `qemu-img` calls it.
    pub format: String,
    /// What the guest sees, in bytes.
    pub virtual_size: u64,
}

/// What a host offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// Whether machines can run at all.
    pub usable: bool,
    /// The hypervisor's version, where it has one.
    pub version: Option<String>,
    /// One line each.
    pub findings: Vec<Finding>,
}

/// Something found about a host or a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// One line.
    pub text: String,
    /// The exact command, or words, that mend it.
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Works, but could be better.
    Warning,
    /// Does not work.
    Bad,
}
