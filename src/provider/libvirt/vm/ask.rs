//! What is asked of the daemon about a machine, and what is known of it without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Error;
use super::super::daemon::Daemon;
use super::super::ffi::{Complaint, Connection, Domain, Watch};
use super::super::record::{self, LibvirtRecord};
use super::super::state::{self, Seen};
use super::{COMMAND, LibvirtVm, QUESTION, TICK};
use crate::progress::Cx;
use crate::provider::qemu::state as qemu_state;
use crate::provider::{Error as ProviderError, VmState};

/// How often we look for ourselves whether it has ended, where the daemon tells what happens.
const LOOK: Duration = Duration::from_secs(1);

impl LibvirtVm {
    pub(super) fn record(&self) -> Result<Option<LibvirtRecord>, ProviderError> {
        Ok(record::read(&self.home.dir)?)
    }

    pub(super) fn write(&self, record: &LibvirtRecord) -> Result<(), ProviderError> {
        Ok(record::write(&self.home.dir, record)?)
    }

    /// The daemon at `uri`, connected to anew where the last connection broke.
    pub(super) fn daemon(&mut self, cx: &Cx, uri: &str) -> Result<Daemon, ProviderError> {
        if let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.is_alive()) {
            return Ok(daemon.clone());
        }
        let daemon = Daemon::connect(cx, uri)?;
        self.watch = None;
        self.daemon = Some(daemon.clone());
        Ok(daemon)
    }

    /// Asks something of the domain; `None` when there is none.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        cx: &Cx,
        record: &LibvirtRecord,
        (limit, action): (Duration, &'static str),
        work: impl FnOnce(&Domain) -> Result<T, Complaint> + Send + 'static,
    ) -> Result<Option<T>, ProviderError> {
        if !record.defined {
            return Ok(None);
        }
        let uuid = self.home.id.uuid();
        let find = move |connection: &Arc<Connection>| {
            let Some(domain) = connection.domain(&uuid)? else { return Ok(None) };
            match work(&domain) {
                // Somebody removed it in between.
                Err(complaint) if complaint.is_no_domain() => Ok(None),
                done => done.map(Some),
            }
        };
        let asked = self.daemon(cx, &record.uri)?.call(cx, limit, action, find);
        if matches!(asked, Err(ProviderError::Libvirt(Error::Lost { .. } | Error::Silent { .. }))) {
            self.daemon = None;
        }
        asked
    }

    /// What the daemon knows of it. Asked once more where the daemon was started anew since.
    pub(super) fn look(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<Option<Seen>, ProviderError> {
        self.look_within(cx, record, QUESTION)
    }

    pub(super) fn look_within(
        &mut self,
        cx: &Cx,
        record: &LibvirtRecord,
        patience: Duration,
    ) -> Result<Option<Seen>, ProviderError> {
        let look = |domain: &Domain| -> Result<Seen, Complaint> {
            let (state, reason) = domain.state()?;
            Ok(Seen { state, reason, saved: domain.is_saved()? })
        };
        match self.ask(cx, record, (patience, "say what the domain does"), look) {
            Err(ProviderError::Libvirt(Error::Lost { .. })) => {
                self.ask(cx, record, (patience, "say what the domain does"), look)
            }
            seen => seen,
        }
    }

    /// The state, as daemon and disks tell it.
    pub(super) fn told(&mut self, cx: &Cx, patience: Duration) -> Result<VmState, ProviderError> {
        let Some(record) = self.record()? else {
            let path = record::path(&self.home.dir);
            return Ok(if self.files.disk(0).exists() {
                VmState::Broken { why: format!("its record {} is missing", path.display()) }
            } else {
                VmState::Absent
            });
        };
        if !record.created {
            return Ok(VmState::Absent);
        }
        if self.daemon.is_none() && record.defined && patience == QUESTION {
            self.daemon = Some(Daemon::glance(&record.uri)?);
        }
        let seen = match self.look_within(cx, &record, patience) {
            Err(error @ ProviderError::Libvirt(Error::Silent { .. })) => {
                return Ok(VmState::Unresponsive { why: error.to_string() });
            }
            seen => seen?,
        };
        if !seen.is_some_and(Seen::is_active) {
            let lost = match record.storage {
                None => qemu_state::lost(&self.files, record.plan.disks.len())?,
                Some(_) => {
                    self.missing_volume(cx, &record)?.map(|path| format!("its volume {} is missing", path.display()))
                }
            };
            if let Some(why) = lost {
                return Ok(VmState::Broken { why });
            }
        }
        Ok(state::word(seen, record.definition.is_some(), record.started))
    }

    /// Whether the domain may have ended since it was last looked at: the daemon told of something, or it was long ago. What
    /// the daemon tells is asked for from here on, before anybody looks, so that nothing is missed.
    pub(super) fn may_have_changed(&mut self, cx: &Cx, record: &LibvirtRecord) -> bool {
        let lost = !self.daemon.as_ref().is_some_and(Daemon::is_alive);
        if let Some((watch, looked)) = self.watch.as_mut().filter(|_| !lost) {
            let changed = watch.take() || looked.elapsed() >= LOOK;
            if changed {
                *looked = Instant::now();
            }
            return changed;
        }
        let watch = self.ask(cx, record, (QUESTION, "tell what the domain does"), Watch::begin);
        self.watch = watch.ok().flatten().map(|watch| (watch, Instant::now()));
        true
    }

    /// Lets some time go by, but no more than until the daemon tells of something.
    pub(super) fn rest(&self, cx: &Cx, time: Duration) -> bool {
        match &self.watch {
            Some((watch, _)) => {
                watch.rest(time.min(TICK));
                cx.check().is_ok()
            }
            None => cx.sleep(time.min(TICK)).is_ok(),
        }
    }

    /// Does something to a domain that must be active.
    pub(super) fn command(
        &mut self,
        action: &'static str,
        not_running: &'static str,
        work: impl FnOnce(&Domain) -> Result<(), Complaint> + Send + 'static,
    ) -> Result<(), ProviderError> {
        let cx = Cx::silent();
        let record = self.record()?.ok_or_else(|| ProviderError::not_running(not_running))?;
        if !self.look(&cx, &record)?.is_some_and(Seen::is_active) {
            return Err(ProviderError::not_running(not_running));
        }
        let done = self.ask(&cx, &record, (COMMAND, action), work)?;
        done.ok_or_else(|| ProviderError::not_running(not_running))
    }

    /// Why its disks cannot be changed now.
    pub(super) fn busy(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<Option<&'static str>, ProviderError> {
        let seen = self.look(cx, record)?;
        let active = seen.is_some_and(Seen::is_active).then_some("running");
        Ok(active.or_else(|| seen.is_some_and(|seen| seen.saved).then_some("saved")))
    }
}

/// What is said of a domain, where it is there and anything is said.
pub(super) fn said<T>(
    uuid: String,
    question: impl FnOnce(&Domain) -> Result<T, Complaint>,
) -> impl FnOnce(&Arc<Connection>) -> Option<T> {
    move |connection| question(&connection.domain(&uuid).ok()??).ok()
}
