//! How a machine becomes a domain of a daemon, and is started.

use std::sync::Arc;

use super::super::bridge::Wire;
use super::super::demand;
use super::super::domain::{self, Input};
use super::super::ffi::{Complaint, Connection, Domain};
use super::super::fragment;
use super::super::record::{self, LibvirtRecord};
use super::super::remote::{self, PORT_TRIES};
use super::super::snapshot;
use super::super::uri::{self, Place};
use super::super::volume::{self, Storage};
use super::super::{Error, as_qemu, check, host};
use super::{COMMAND, LibvirtVm, QUESTION, START};
use crate::config::spec::LibvirtOptions;
use crate::progress::Cx;
use crate::provider::qemu::argv::Arch;
use crate::provider::qemu::{accel, firmware, launch};
use crate::provider::{Error as ProviderError, Level, VmPlan};

impl LibvirtVm {
    /// The record, or a new one for a machine that was never created.
    pub(super) fn record_for(&self, plan: &VmPlan) -> Result<LibvirtRecord, ProviderError> {
        if let Some(record) = self.record()? {
            return Ok(record);
        }
        let uri = uri::choose(plan.libvirt.uri.as_deref())?;
        let domain = record::domain_name(&plan.name, self.home.id);
        let usual = (uri::place(&uri)? != Place::Here).then_some(volume::USUAL);
        let storage = plan.libvirt.pool.as_deref().or(usual).map(Storage::at);
        let plan = plan.clone();
        Ok(LibvirtRecord {
            uri,
            domain,
            plan,
            created: false,
            defined: false,
            definition: None,
            started: false,
            storage,
            hops: Vec::new(),
            networks: Vec::new(),
            way: None,
        })
    }

    /// Defines the domain, with a word where somebody had changed it.
    pub(super) fn define(
        &mut self,
        cx: &Cx,
        plan: &VmPlan,
        wires: &[Wire],
        record: &mut LibvirtRecord,
    ) -> Result<(), ProviderError> {
        let arch = Arch::host().ok_or(ProviderError::Architecture(std::env::consts::ARCH))?;
        let local = uri::place(&record.uri)? == Place::Here;
        let (engine, reason) =
            if local { host::engine(&plan.libvirt)? } else { self.engine_there(cx, record, plan, arch)? };
        accel::tell(cx, engine, reason.as_deref());
        let flash = match record.storage {
            Some(_) => None,
            None => firmware::prepare(&self.files, &as_qemu(plan), arch)?,
        };
        let before = self.ask(cx, record, (COMMAND, "show the domain"), Domain::definition)?;
        let daemon = self.daemon(cx, &record.uri)?;
        let version = daemon.call(cx, QUESTION, "say its version", |connection| connection.daemon_version())?;
        // The daemon of a session has no other user to choose, and volumes are those of the daemon's.
        let owner = (record.storage.is_none() && !uri::is_session(&record.uri))
            .then(|| (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
        let xml = domain::xml(&Input {
            arch,
            engine,
            id: self.home.id,
            name: &record.domain,
            plan,
            files: &self.files,
            flash: flash.as_ref(),
            owner,
            version,
            virtualization: demand::virtualization(engine),
            volumes: record.storage.as_ref(),
            local,
            agent: !uri::is_any_session(&record.uri),
            wires,
        })?;
        if let Some(now) = before {
            require_own_disks(record, &xml, &now)?;
            if record.definition.as_ref().is_some_and(|ours| !domain::same(ours, &now)) {
                cx.warn(
                    "another client of libvirt had changed the domain's definition; it is as the machine file says again",
                );
            }
        }
        record.plan = plan.clone();
        record.defined = true;
        record.definition = None;
        self.write(record)?;
        let autostart = plan.libvirt.autostart;
        let added = plan.libvirt.xml.clone();
        let define = move |connection: &Arc<Connection>| {
            let domain = defined(connection, &xml, &added)?;
            domain.set_autostart(autostart)?;
            domain.definition()
        };
        record.definition = Some(daemon.call(cx, START, "define the domain", define)?);
        self.write(record)
    }

    /// Gives the saved domain the forwards of the record.
    pub(super) fn rewrite_saved(&mut self, cx: &Cx, record: &LibvirtRecord) -> Result<(), ProviderError> {
        let forwards = record.plan.forwards.clone();
        let rewrite = move |domain: &Domain| {
            let before = domain.saved_xml()?;
            let after = domain::with_forwards(&before, &forwards);
            if let Some(after) = after.as_ref().filter(|after| **after != before) {
                domain.set_saved_xml(after)?;
            }
            Ok(after.is_some())
        };
        if self.ask(cx, record, (COMMAND, "change the saved domain's forwards"), rewrite)? == Some(false) {
            let message = "its description is none of ours".into();
            return Err(Error::Failed { action: "change the saved domain's forwards", message }.into());
        }
        Ok(())
    }

    /// Starts or restores the domain with the ports of the record; whether that is done, or should be tried with others.
    pub(super) fn begin(
        &mut self,
        cx: &Cx,
        record: &mut LibvirtRecord,
        action: &'static str,
        tries: u32,
    ) -> Result<bool, ProviderError> {
        self.lead(cx, record, true)?;
        match self.launch(cx, record, action) {
            Err(error) if tries < PORT_TRIES && remote::is_free(&record.hops, &error) => Ok(false),
            Err(error) => {
                // What is told is why it did not begin.
                drop(self.lead(cx, record, false));
                Err(error)
            }
            Ok(()) => {
                self.hear_console(record);
                Ok(true)
            }
        }
    }

    /// Starts or restores the domain; what QEMU said is understood.
    pub(super) fn launch(
        &mut self,
        cx: &Cx,
        record: &mut LibvirtRecord,
        action: &'static str,
    ) -> Result<(), ProviderError> {
        record.started = true;
        self.write(record)?;
        let tethered = record.plan.tethered;
        let begun = self.ask(cx, record, (START, action), move |domain| domain.start(tethered));
        let error = match begun {
            Ok(Some(())) => return Ok(()),
            Ok(None) => Error::Failed { action, message: "somebody removed the domain".into() }.into(),
            Err(error) => error,
        };
        if matches!(error, ProviderError::Libvirt(Error::Failed { .. } | Error::Alone { .. })) {
            // What is told now is no death to tell of later.
            record.started = false;
            self.write(record)?;
        }
        let ProviderError::Libvirt(Error::Failed { message, .. }) = &error else { return Err(error) };
        let engine = host::engine(&record.plan.libvirt).map_or(accel::Engine::Tcg, |(engine, _)| engine);
        Err(launch::complaint(message, &record.plan.forwards, engine).unwrap_or(error))
    }
}

/// What the guest wrote last must be on the disks that it would get by `next`, which replaces the definition `now`.
fn require_own_disks(record: &LibvirtRecord, next: &str, now: &str) -> Result<(), ProviderError> {
    let over = match &record.definition {
        Some(ours) => snapshot::put_over(ours, now),
        None => snapshot::put_over_unknown(next, now),
    };
    let Some(over) = over else { return Ok(()) };
    let (virsh, domain) = (uri::virsh(&record.uri), record.domain.clone());
    Err(Error::PutOver { over: Box::new(over), virsh, domain }.into())
}

/// Defines the domain, and refuses what libvirt would leave out of the elements that the user `added`.
fn defined(connection: &Arc<Connection>, xml: &str, added: &[String]) -> Result<Domain, Complaint> {
    match connection.define(xml, !added.is_empty()) {
        Err(complaint) if complaint.is_unknown_xml() => {
            // The schema does not say what is wrong, and refuses some elements only because others are in between. What
            // libvirt leaves out is not in what it makes of the whole.
            let domain = connection.define(xml, false)?;
            match fragment::missing(added, &domain.definition()?).as_slice() {
                [] => Ok(domain),
                unknown => Err(Complaint::of_ours(&format!("it does not know {} of `xml`", unknown.join(", ")))),
            }
        }
        defined => defined,
    }
}

/// Tells where a machine stays, although the machine file has it somewhere else by now.
pub(super) fn tell_stays(cx: &Cx, record: &LibvirtRecord, plan: &VmPlan) {
    if let Some(uri) = plan.libvirt.uri.as_ref().filter(|uri| **uri != record.uri) {
        let [old, new] = [&record.uri, uri].map(|uri| uri::shown(uri));
        cx.warn(format!("the machine stays at {old}; destroy it and make it anew to have it at {new}"));
    }
    let pool = record.storage.as_ref().map(|storage| &storage.pool);
    if let Some(new) = plan.libvirt.pool.as_ref().filter(|new| Some(*new) != pool) {
        let stay = pool.map_or_else(|| "are files and stay so".into(), |old| format!("stay in pool `{old}`"));
        cx.warn(format!("its disks {stay}; destroy the machine and make it anew to have them in pool `{new}`"));
    }
}

/// What of a plan cannot be done; what one should know is told, as far as it depends on the ports: the rest was before.
pub(super) fn refuse(cx: &Cx, record: &LibvirtRecord, plan: &VmPlan) -> Result<(), ProviderError> {
    // It stays where it is, whatever the environment says by now.
    let libvirt = LibvirtOptions { uri: Some(record.uri.clone()), ..plan.libvirt.clone() };
    let plan = VmPlan { libvirt, ..plan.clone() };
    let findings = check(&plan);
    if findings.iter().any(|finding| finding.level == Level::Bad) {
        return Err(ProviderError::Plan(findings));
    }
    let told = check(&VmPlan { forwards: Vec::new(), ..plan.clone() });
    let new = findings.into_iter().filter(|finding| finding.level == Level::Warning && !told.contains(finding));
    new.for_each(|finding| cx.warn(finding.text));
    Ok(())
}
