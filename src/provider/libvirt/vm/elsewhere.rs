//! What a machine has elsewhere: its volumes, and the way to its ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::super::record::{self, LibvirtRecord};
use super::super::remote_tunnel::{Tunnel, Way};
use super::super::uri::{self, Place};
use super::super::volume::{self, Storage};
use super::super::volume_store::{Keep, Volumes};
use super::super::{host, remote, remote_console, volume_download};
use super::{LibvirtVm, START};
use crate::progress::Cx;
use crate::provider::qemu::argv::Arch;
use crate::provider::qemu::files::Files;
use crate::provider::qemu::{accel, disk};
use crate::provider::{Error as ProviderError, Forward, Image, VmPlan};
use crate::trace;

impl LibvirtVm {
    pub(super) fn engine_there(
        &mut self,
        cx: &Cx,
        record: &LibvirtRecord,
        plan: &VmPlan,
        arch: Arch,
    ) -> Result<(accel::Engine, Option<String>), ProviderError> {
        let daemon = self.daemon(cx, &record.uri)?;
        let capabilities =
            daemon.call(cx, START, "say what its host can do", |connection| connection.capabilities())?;
        remote::engine(&plan.libvirt, host::domain_types(&capabilities, arch.name()).iter().any(|kind| kind == "kvm"))
    }

    /// Makes or completes the machine's volumes.
    pub(super) fn create_volumes(
        &mut self,
        cx: &Cx,
        plan: &VmPlan,
        record: LibvirtRecord,
    ) -> Result<(), ProviderError> {
        let daemon = self.daemon(cx, &record.uri)?;
        let made = record.created.then_some(record.plan.disks.len());
        let (id, dir) = (self.home.id, self.home.dir.clone());
        let mut record = record;
        let mut storage = record.storage.clone().unwrap_or_default();
        let before = record.clone();
        let mut keep = |now: &Storage| {
            storage = now.clone();
            Ok(record::write(&dir, &LibvirtRecord { storage: Some(now.clone()), ..before.clone() })?)
        };
        let mut busy = || self.busy(cx, &before);
        let seen = before.storage.clone().unwrap_or_default();
        Volumes::new(cx, &daemon, id, &seen, &mut keep as Keep<'_>).complete(plan, made, &mut busy)?;
        record.storage = Some(storage);
        record.created = true;
        self.write(&record)
    }

    /// Refuses to shrink its volumes.
    pub(super) fn require_volumes(
        &mut self,
        cx: &Cx,
        record: &LibvirtRecord,
        plan: &VmPlan,
    ) -> Result<(), ProviderError> {
        let Some(storage) = &record.storage else { return Ok(()) };
        let daemon = self.daemon(cx, &record.uri)?;
        let mut keep = |_: &Storage| Ok(());
        Volumes::new(cx, &daemon, self.home.id, storage, &mut keep).refuse_shrink(plan, record.plan.disks.len())
    }

    /// The first of its volumes that is missing.
    pub(super) fn missing_volume(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<Option<PathBuf>, ProviderError> {
        let Some(storage) = &record.storage else { return Ok(None) };
        let daemon = self.daemon(cx, &record.uri)?;
        let mut keep = |_: &Storage| Ok(());
        let name = Volumes::new(cx, &daemon, self.home.id, storage, &mut keep).missing(record.plan.disks.len())?;
        Ok(name.map(|name| PathBuf::from(&storage.pool).join(name)))
    }

    /// What a start needs and the daemon would tell in its own words.
    pub(super) fn require_disks(
        &mut self,
        cx: &Cx,
        record: &LibvirtRecord,
        plan: &VmPlan,
    ) -> Result<(), ProviderError> {
        if record.storage.is_none() {
            return disk::require_files(&self.files, plan);
        }
        let missing = self.missing_volume(cx, record)?;
        missing.map_or(Ok(()), |path| Err(ProviderError::FileMissing { what: "the volume", path }))
    }

    /// Gives each forward its place at the machine's host.
    pub(super) fn place(
        record: &mut LibvirtRecord,
        plan: &VmPlan,
        forwards: &[Forward],
    ) -> Result<VmPlan, ProviderError> {
        record.hops = remote::hops(&uri::place(&record.uri)?, plan.libvirt.forward_address, forwards)?;
        record.way = match uri::place(&record.uri)? {
            Place::Ssh(_) if plan.libvirt.network.is_some() => Some(remote::way(record.way, &record.hops)?),
            _ => None,
        };
        let forwards = record.hops.iter().map(|hop| hop.there.clone()).collect();
        let plan = VmPlan { forwards, ..plan.clone() };
        Ok(if record.storage.is_some() { remote::on_volumes(&plan) } else { plan })
    }

    /// Opens or ends the way to the machine's ports, where that takes anything.
    pub(super) fn lead(&self, cx: &Cx, record: &LibvirtRecord, open: bool) -> Result<(), ProviderError> {
        let Place::Ssh(host) = uri::place(&record.uri)? else { return Ok(()) };
        let tunnel = Tunnel::new(&self.home.dir, &host);
        if open { tunnel.open(cx, &record.hops) } else { tunnel.close(cx) }
    }

    /// Where this computer reaches what the guest has at an address of its own.
    pub(super) fn way_to(&self, cx: &Cx, there: SocketAddr) -> Result<SocketAddr, ProviderError> {
        let Some(record) = self.record()? else { return Ok(there) };
        let (Place::Ssh(host), Some(here)) = (uri::place(&record.uri)?, record.way) else { return Ok(there) };
        let here = Tunnel::new(&self.home.dir, &host).lead_to(cx, &record.hops, Way { here, to: there })?;
        Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), here))
    }

    /// Hears the console of a machine whose log lies at another host, so that a failure can show its end. That is worth no
    /// failure of its own.
    pub(super) fn hear_console(&self, record: &LibvirtRecord) {
        if uri::place(&record.uri).is_ok_and(|place| place == Place::Here) {
            return;
        }
        match Files::open_log(&self.files.console_log()) {
            Ok(log) => drop(remote_console::keep(&record.uri, self.home.id.uuid(), log)),
            Err(error) => trace::tell(|| format!("the console is not heard: {error}")),
        }
    }

    /// Fetches the machine's disks from its storage pool.
    pub(super) fn download_disks(
        &mut self,
        cx: &Cx,
        record: &LibvirtRecord,
        storage: &Storage,
        scratch: &Path,
    ) -> Result<Vec<Image>, ProviderError> {
        let daemon = self.daemon(cx, &record.uri)?;
        let names = (0..record.plan.disks.len()).map(|index| volume::disk_name(self.home.id, index)).collect();
        let images = volume_download::disks(cx, &daemon, storage, names, scratch)?;
        // Nothing keeps others from starting it meanwhile.
        match self.busy(cx, record)? {
            Some(state) => {
                let hint = "another client of libvirt started it: `vbox-rs halt`, and try again";
                Err(ProviderError::State { action: "read the disks of", state, hint })
            }
            None => Ok(images),
        }
    }

    /// Removes what the machine has in a storage pool.
    pub(super) fn destroy_volumes(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<(), ProviderError> {
        // A host that never answered has nothing of ours, and need not be asked.
        let Some(storage) = record.storage.as_ref().filter(|storage| !storage.is_empty()) else { return Ok(()) };
        let daemon = self.daemon(cx, &record.uri)?;
        let dir = self.home.dir.clone();
        let mut keep =
            |now: &Storage| Ok(record::write(&dir, &LibvirtRecord { storage: Some(now.clone()), ..record.clone() })?);
        Volumes::new(cx, &daemon, self.home.id, storage, &mut keep).destroy()
    }
}
