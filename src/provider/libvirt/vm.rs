//! One machine at libvirt.

mod ask;
mod define;
mod elsewhere;
mod end;
mod networks;
mod save;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::ask::said;
use super::super::qemu::disk;
use super::super::qemu::files::Files;
use super::super::{Error as ProviderError, Forward, Image, Vm, VmHome, VmPlan, VmState, own_mac};
use super::daemon::{Aside, Daemon};
use super::ffi::{Connection, Domain, Interface, Source, Watch};
use super::record::{self, LibvirtRecord};
use super::remote_tunnel::Tunnel;
use super::state::{self, Seen};
use super::uri::{self, Place};
use super::{Error, address, bridge, console, log, network, snapshot};
use crate::config::spec::PublicNetwork;
use crate::progress::Cx;
use crate::store;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(2);

/// How long a command may take: the daemon waits some seconds for whatever else it does with the domain.
const COMMAND: Duration = Duration::from_secs(45);

/// How long a definition, start or restore may take: the daemon may look at every emulator first.
const START: Duration = Duration::from_secs(120);

/// How often we look whether the user wants to stop, while we wait for word from the daemon.
const TICK: Duration = Duration::from_millis(50);

/// A machine at libvirt.
#[derive(Debug)]
pub struct LibvirtVm {
    home: VmHome,
    files: Files,
    /// Kept between questions; a tethered machine lives as long as it does.
    daemon: Option<Daemon>,
    /// What the daemon tells of the domain, while somebody waits for its end; and when we last looked for ourselves.
    watch: Option<(Watch, Instant)>,
    /// What the agent in the guest was asked.
    agent: Aside<Vec<Interface>>,
}

impl LibvirtVm {
    /// The machine that lives in `home`.
    pub fn new(home: VmHome) -> Self {
        Self { files: Files::new(&home.dir), home, daemon: None, watch: None, agent: Aside::default() }
    }

    /// The network that it is on must be up: libvirt says so in words that help nobody.
    fn require_network(&mut self, cx: &Cx, record: &LibvirtRecord, plan: &VmPlan) -> Result<(), ProviderError> {
        let Some(name) = &plan.libvirt.network else { return Ok(()) };
        network::require(cx, &self.daemon(cx, &record.uri)?, name)
    }
}

impl Vm for LibvirtVm {
    fn state(&mut self) -> Result<VmState, ProviderError> {
        self.told(&Cx::silent(), QUESTION)
    }

    fn awaited_state(&mut self, cx: &Cx) -> Result<VmState, ProviderError> {
        self.told(cx, COMMAND)
    }

    fn create(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), ProviderError> {
        store::create_private(&self.home.dir)?;
        let mut record = self.record_for(plan)?;
        let made = if record.created { record.plan.disks.len() } else { 0 };
        if !record.created {
            record.plan = bridge::settled(cx, plan, Some(&record.plan))?;
            self.write(&record)?;
        }
        if record.storage.is_some() {
            return self.create_volumes(cx, plan, record);
        }
        let files = self.files.clone();
        let mut busy = || self.busy(cx, &record);
        disk::complete(cx, &files, plan, made, &mut busy)?;
        if record.created {
            return Ok(());
        }
        record.created = true;
        self.write(&record)
    }

    fn require_disks(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), ProviderError> {
        match self.record()?.filter(|record| record.storage.is_some()) {
            Some(record) if record.created => self.require_volumes(cx, &record, plan),
            // An `up` did not come to their end: they are made anew.
            Some(_) => Ok(()),
            None => disk::refuse_shrink(&self.files, plan),
        }
    }

    fn start(&mut self, cx: &Cx, plan: &VmPlan, _keep: &[BorrowedFd<'_>]) -> Result<(), ProviderError> {
        let mut record = self.record_for(plan)?;
        define::tell_stays(cx, &record, plan);
        define::refuse(cx, &record, plan)?;
        self.require_disks(cx, &record, plan)?;
        match self.look(cx, &record)? {
            Some(seen) if seen.is_active() => {
                let hint = "`vbox-rs status` shows it";
                return Err(ProviderError::State { action: "start", state: "running already", hint });
            }
            Some(seen) if seen.saved => {
                let hint = "`vbox-rs resume` goes on with it";
                return Err(ProviderError::State { action: "start afresh", state: "saved", hint });
            }
            _ => {}
        }
        self.require_network(cx, &record, plan)?;
        let plan = &bridge::settled(cx, plan, Some(&record.plan))?;
        let networks = self.networks(cx, &mut record, plan)?;
        let wires = networks.wires(plan);
        log::begin(&self.files)?;
        let mut tries = 0;
        loop {
            let placed = Self::place(&mut record, plan, &plan.forwards)?;
            self.define(cx, &placed, &wires, &mut record)?;
            cx.check()?;
            if self.begin(cx, &mut record, "start the domain", tries)? {
                return self.settle_networks(cx, &mut record, networks);
            }
            tries += 1;
        }
    }

    fn press_power_button(&mut self) -> Result<(), ProviderError> {
        self.command("press the power button", "shut down", Domain::press_power_button)
    }

    fn wait_until_ended(&mut self, cx: &Cx, time: Duration) -> Result<bool, ProviderError> {
        let Some(record) = self.record()? else { return Ok(true) };
        let began = Instant::now();
        loop {
            if self.may_have_changed(cx, &record) && !self.look(cx, &record)?.is_some_and(Seen::is_active) {
                self.lead(cx, &record, false)?;
                return Ok(true);
            }
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() || !self.rest(cx, left) {
                return Ok(false);
            }
        }
    }

    fn publics(&self) -> Result<Vec<PublicNetwork>, ProviderError> {
        Ok(self.record()?.map(|record| record.plan.devices.publics).unwrap_or_default())
    }

    fn addresses(&mut self) -> Result<Option<Vec<IpAddr>>, ProviderError> {
        let Some(record) = self.record()?.filter(|record| record.plan.libvirt.network.is_some()) else {
            return Ok(None);
        };
        let mac = record.plan.devices.mac.clone().unwrap_or_else(|| own_mac(self.home.id));
        let cx = Cx::silent();
        let card = mac.clone();
        let find = move |domain: &Domain| address::known(domain, &card);
        let Some(known) = self.ask(&cx, &record, (QUESTION, "say where the guest is"), find)? else {
            return Ok(Some(Vec::new()));
        };
        if known.len() == 1 {
            return Ok(Some(known));
        }
        let ask = said(self.home.id.uuid(), |domain| domain.interfaces(Source::Agent));
        let word = self.agent.ask(&record.uri, address::AGENT, ask).ok().flatten().unwrap_or_default();
        Ok(Some(address::with_word(&word, known, &mac)))
    }

    fn reach(&mut self, cx: &Cx, address: IpAddr, port: u16) -> Result<SocketAddr, ProviderError> {
        self.way_to(cx, SocketAddr::new(address, port))
    }

    fn kill(&mut self) -> Result<(), ProviderError> {
        let cx = Cx::silent();
        let Some(mut record) = self.record()? else { return Ok(()) };
        self.end(&cx, &mut record)?;
        self.lead(&cx, &record, false)
    }

    fn pause(&mut self) -> Result<(), ProviderError> {
        self.command("pause the domain", "pause", Domain::pause)
    }

    fn unpause(&mut self) -> Result<(), ProviderError> {
        let go_on = |domain: &Domain| {
            save::stop(domain)?;
            match domain.unpause() {
                // It was about to run: a start whose `vbox-rs` was killed goes on in the daemon.
                Err(_) if domain.state().is_ok_and(|(state, _)| state == state::RUNNING) => Ok(()),
                // Its save came to an end.
                Err(_) if domain.is_saved().unwrap_or_default() => Ok(()),
                done => done,
            }
        };
        self.command("let the domain go on", "resume", go_on)?;
        let cx = Cx::silent();
        let Some(mut record) = self.record()? else { return Ok(()) };
        if self.look(&cx, &record)?.is_some_and(|seen| seen.saved && !seen.is_active()) {
            self.launch(&cx, &mut record, "restore the domain")?;
        }
        Ok(())
    }

    fn save(&mut self, cx: &Cx) -> Result<(), ProviderError> {
        self.save_memory(cx)
    }

    fn restore(&mut self, cx: &Cx, forwards: &[Forward], _keep: &[BorrowedFd<'_>]) -> Result<(), ProviderError> {
        let hint = "start it with `vbox-rs up`";
        let nothing = || ProviderError::State { action: "resume", state: "not suspended", hint };
        let mut record = self.record()?.ok_or_else(nothing)?;
        let seen = self.look(cx, &record)?;
        if !seen.is_some_and(|seen| seen.saved && !seen.is_active()) {
            return Err(nothing());
        }
        let plan = VmPlan { forwards: forwards.to_vec(), ..record.plan.clone() };
        define::refuse(cx, &record, &plan)?;
        self.require_disks(cx, &record, &plan)?;
        self.require_network(cx, &record, &plan)?;
        for name in &record.networks {
            network::require(cx, &self.daemon(cx, &record.uri)?, name)?;
        }
        let mut tries = 0;
        loop {
            record.plan = Self::place(&mut record, &plan, forwards)?;
            self.rewrite_saved(cx, &record)?;
            self.write(&record)?;
            if self.begin(cx, &mut record, "restore the domain", tries)? {
                return Ok(());
            }
            tries += 1;
        }
    }

    fn discard_saved(&mut self) -> Result<(), ProviderError> {
        let cx = Cx::silent();
        let Some(record) = self.record()? else { return Ok(()) };
        let discard = |domain: &Domain| if domain.is_saved()? { domain.discard_saved() } else { Ok(()) };
        self.ask(&cx, &record, (COMMAND, "drop the saved state"), discard).map(drop)
    }

    fn destroy(&mut self, cx: &Cx) -> Result<(), ProviderError> {
        let record = self.record()?;
        if !self.home.dir.exists() || (record.is_none() && self.files.record().exists()) {
            // Nothing there, or a machine of provider `qemu`.
            return Ok(());
        }
        if let Some(mut record) = record {
            if record.defined {
                self.undefine(cx, &mut record)?;
            }
            let released = self.release_all(cx, &record);
            // A daemon that never had the machine need not answer for it to go.
            if record.defined {
                released?;
            }
            self.lead(cx, &record, false)?;
            self.destroy_volumes(cx, &record)?;
            // libvirt's own; at the host's daemon it is not ours to remove.
            if uri::is_session(&record.uri) && uri::place(&record.uri)? == Place::Here {
                store::remove_file(&log::of_hypervisor(&record))?;
            }
        }
        for path in self.files.existing()? {
            store::remove_file(&path)?;
        }
        for path in log::put_aside(&self.files)?.into_iter().chain(snapshot::left(&self.home.dir)?) {
            store::remove_file(&path)?;
        }
        self.daemon = None;
        Ok(store::remove_file(&record::path(&self.home.dir))?)
    }

    fn forwards(&self) -> Result<Option<Vec<Forward>>, ProviderError> {
        let Some(record) = self.record()? else { return Ok(None) };
        let elsewhere = matches!(uri::place(&record.uri)?, Place::Port { .. }) && !record.hops.is_empty();
        Ok(elsewhere.then(|| record.hops.into_iter().map(|hop| hop.there).collect()))
    }

    fn connect(&mut self, cx: &Cx) -> Result<(), ProviderError> {
        let Some(record) = self.record()? else { return Ok(()) };
        let Place::Ssh(host) = uri::place(&record.uri)? else { return Ok(()) };
        Tunnel::new(&self.home.dir, &host).keep_open(cx, &record.hops)
    }

    fn disconnect(&mut self, cx: &Cx) -> Result<(), ProviderError> {
        self.record()?.map_or(Ok(()), |record| self.lead(cx, &record, false))
    }

    fn images(&self) -> Result<Vec<Image>, ProviderError> {
        if self.record()?.is_some_and(|record| record.storage.is_some()) {
            return Err(ProviderError::Unable {
                provider: "libvirt",
                what: "show disks in a storage pool to other programs as they are",
                hint: "`vbox-rs package` copies them first",
            });
        }
        disk::images(&self.files)
    }

    fn images_in(&mut self, cx: &Cx, scratch: &Path) -> Result<Vec<Image>, ProviderError> {
        let Some(record) = self.record()? else { return self.images() };
        match &record.storage {
            Some(storage) => self.download_disks(cx, &record, storage, scratch),
            None => self.images(),
        }
    }

    fn is_elsewhere(&self) -> Result<bool, ProviderError> {
        Ok(match self.record()? {
            Some(record) => uri::place(&record.uri)? != Place::Here,
            None => false,
        })
    }

    fn console_log(&self) -> PathBuf {
        self.files.console_log()
    }

    fn earlier_console_logs(&self) -> Vec<PathBuf> {
        log::put_aside(&self.files).unwrap_or_default()
    }

    fn hypervisor_log(&self) -> Option<PathBuf> {
        let record = self.record().ok().flatten()?;
        // At another host it lies there, and libvirt hands it to nobody.
        uri::place(&record.uri).is_ok_and(|place| place == Place::Here).then(|| log::of_hypervisor(&record))
    }

    fn console(&mut self) -> Result<UnixStream, ProviderError> {
        let cx = Cx::silent();
        let not_running = || ProviderError::not_running("attach to the console of");
        let record = self.record()?.ok_or_else(not_running)?;
        if !self.look(&cx, &record)?.is_some_and(Seen::is_active) {
            return Err(not_running());
        }
        let uuid = self.home.id.uuid();
        let open = move |connection: &Arc<Connection>| match connection.domain(&uuid)? {
            Some(domain) => domain.console(false).map(Some),
            None => Ok(None),
        };
        // It has a connection of its own (`console`).
        let opened = Daemon::connect(&cx, &record.uri)?.call(&cx, COMMAND, "open the console", open)?;
        let stream = opened.ok_or_else(not_running)?;
        let failed = |e: std::io::Error| Error::Failed { action: "open the console", message: e.to_string() };
        Ok(console::socket(stream).map_err(failed)?)
    }
}

#[cfg(test)]
mod tests;
