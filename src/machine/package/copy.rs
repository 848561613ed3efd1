//! The copy of a machine that is cleaned before it is packed.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::record::{MachineDir, MachineRecord};
use super::super::status::backend;
use super::super::up::{PORT_RACES, inherited};
use super::super::{Error, Fleet, access};
use crate::config::spec::{ForwardedPort, LibvirtOptions, MachineSpec, ProviderKind, VirtualboxOptions};
use crate::error::{Exit, Failure};
use crate::guest::reset::reset;
use crate::guest::setup;
use crate::network::{Ports, Wishes, plan_forwards};
use crate::progress::Cx;
use crate::provider::{self, Devices, Image, PlannedDisk, Vm, VmHome, VmPlan};
use crate::store::{self, MachineId, create_private};

/// A folder in the machine's own.
const FOLDER: &str = "package";

/// The forward that leads to the guest's ssh server, in machine files too.
const SSH: &str = "ssh";

fn home(fleet: &Fleet, id: MachineId) -> VmHome {
    let deputy = id.deputy();
    let dir = fleet.dirs().machine(id).join(FOLDER);
    VmHome { id: deputy, dir, runtime: fleet.dirs().runtime(deputy), shared: fleet.dirs().home().to_owned() }
}

/// Who starts the copy: the machine's own provider; QEMU itself where that has the machine at another computer, since the
/// copy's disks are on this one.
pub(super) fn starter(
    cx: &Cx,
    fleet: &Fleet,
    record: &MachineRecord,
    spec: &MachineSpec,
) -> Result<ProviderKind, Failure> {
    if !fleet.vm(record)?.is_elsewhere()? {
        return Ok(record.provider);
    }
    cx.note("the machine is at another host: the copy that is cleaned is started on this computer, by QEMU");
    // Before anything is downloaded for it.
    backend(ProviderKind::Qemu)?.require(spec)?;
    Ok(ProviderKind::Qemu)
}

/// Removes what a `package` that was killed left. The caller holds the machine's lock, so no `package` is at work.
pub(in crate::machine) fn sweep(fleet: &Fleet, id: MachineId) -> Result<(), Failure> {
    let home = home(fleet, id);
    if !home.dir.exists() {
        return Ok(());
    }
    for provider in ProviderKind::ALL.iter().filter_map(|kind| provider::provider(*kind)) {
        provider.open(home.clone()).destroy(&Cx::silent())?;
    }
    Ok(store::remove_dir(&home.dir)?)
}

/// A folder for work on the machine's disks, and the virtual machine in it. Removed with all in it when dropped.
pub(super) struct Copy {
    dir: PathBuf,
    vm: Box<dyn Vm>,
}

impl Copy {
    pub(super) fn new(fleet: &Fleet, record: &MachineRecord, starter: ProviderKind) -> Result<Self, Failure> {
        let home = home(fleet, record.id);
        create_private(&home.dir)?;
        Ok(Self { dir: home.dir.clone(), vm: backend(starter)?.open(home) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts overlays on `images`, cleans what is in them, and shuts them down. Returns the overlays.
    pub(super) fn cleaned(
        &mut self,
        cx: &Cx,
        fleet: &Fleet,
        record: &MachineRecord,
        spec: &MachineSpec,
        plan: &VmPlan,
        images: Vec<Image>,
    ) -> Result<Vec<Image>, Failure> {
        let mut plan = VmPlan {
            name: format!("{} (package)", plan.name),
            disks: images.into_iter().map(overlay).collect(),
            tethered: true,
            // A forward leads to it, whatever networks the machine is on; it lies in files, whatever pool the machine has;
            // nobody starts it again, and nobody looks at it.
            devices: Devices { networks: Vec::new(), publics: Vec::new(), ..plan.devices.clone() },
            libvirt: LibvirtOptions { network: None, pool: None, autostart: false, ..plan.libvirt.clone() },
            virtualbox: VirtualboxOptions { name: None, gui: false, customize: Vec::new(), ..plan.virtualbox.clone() },
            ..plan.clone()
        };
        let seed = MachineDir::new(fleet.dirs(), record.id).seed();
        if seed.exists() {
            // The guest must see the seed that it knows: another one, or none, would make it a new machine in part. Some
            // guests write to it.
            let own = self.dir.join("seed.img");
            std::fs::copy(&seed, &own).map_err(|e| store::Error::io("copy", &seed, e))?;
            plan.seed = Some(own);
        }
        cx.step("start", || self.start(cx, fleet, record, spec, &mut plan)).1?;
        let running = MachineRecord { forwards: plan.forwards, ready: false, ..record.clone() };
        self.clean(cx, fleet, &running, spec).map_err(unclean)?;
        Ok(self.vm.images_in(cx, &self.dir)?)
    }

    /// With a port of its own for ssh, and no other.
    fn start(
        &mut self,
        cx: &Cx,
        fleet: &Fleet,
        record: &MachineRecord,
        spec: &MachineSpec,
        plan: &mut VmPlan,
    ) -> Result<(), Failure> {
        self.vm.create(cx, plan)?;
        let owner = format!("the copy of machine `{}` ({})", record.name, record.id.short());
        let theirs = spec.forwarded_ports.iter().find(|forward| forward.id.as_deref() == Some(SSH));
        let host_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let forwards: Vec<_> =
            theirs.map(|forward| ForwardedPort { host: None, host_ip, ..forward.clone() }).into_iter().collect();
        let wishes = Wishes { forwards: &forwards, ssh_port: None, ..Wishes::of(spec, &[], &owner) };
        let mut races = 0;
        loop {
            let planned = plan_forwards(cx, Ports(fleet.dirs()), &wishes)?;
            plan.forwards = planned.list();
            match self.vm.start(cx, plan, &inherited(&planned)) {
                Err(provider::Error::PortTaken { .. }) if races < PORT_RACES => races += 1,
                started => return Ok(started?),
            }
        }
    }

    fn clean(&mut self, cx: &Cx, fleet: &Fleet, record: &MachineRecord, spec: &MachineSpec) -> Result<(), Failure> {
        let time = Duration::from_secs(spec.boot_timeout);
        let mut session = access::await_login(cx, fleet, record, self.vm.as_mut(), time, &mut Vec::new())?;
        cx.step("clean", || reset(&mut session, cx, &record.user)).1?;
        cx.step("halt", || {
            // The connection often dies before the answer comes: what counts is whether the machine ends.
            drop(setup::shut_down(&mut session, cx));
            let patience = Duration::from_secs(record.graceful_halt_timeout);
            if self.vm.wait_until_ended(cx, patience)? {
                return Ok(());
            }
            cx.check()?;
            cx.warn(format!("the copy did not shut down within {} s; stopped by force", patience.as_secs()));
            Ok(self.vm.kill()?)
        })
        .1
    }

    /// Removes it, and tells what stays.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        self.vm.destroy(&Cx::silent())?;
        Ok(store::remove_dir(&self.dir)?)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays is removed by the next command that takes the machine's lock.
        if self.vm.destroy(&Cx::silent()).is_ok() {
            drop(store::remove_dir(&self.dir));
        }
    }
}

fn overlay(image: Image) -> PlannedDisk {
    PlannedDisk::overlay(image.path, image.format)
}

fn unclean(error: Failure) -> Failure {
    if error.exit() == Exit::Interrupted { error } else { Error::unclean(error).into() }
}
