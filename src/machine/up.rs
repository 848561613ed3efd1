//! `up`: from whatever a machine is to running and set up, in named steps.

mod claim;
mod left;
mod ports;
mod ready;

use std::time::Duration;

pub(super) use claim::end_destroy;
pub(super) use ports::{PORT_RACES, inherited, owner};

use super::link::{self, same_folder};
use super::record::{Intent, KeyInUse, MachineDir, MachineRecord, Timings, now};
use super::settle::{self, Settle};
use super::status::backend;
use super::{
    Error, Fleet, Step, Target, UpOptions, UpReport, access, describe, extra_disks, library, package, plan, stop,
};
use crate::boxes::{Installed, Library, Manifest};
use crate::config::spec::MachineSpec;
use crate::error::Failure;
use crate::guest::seed::{self, Flavour};
use crate::guest::{Session, keys};
use crate::progress::Cx;
use crate::provider::{Vm, VmPlan, VmState};
use crate::store::{Lock, MachineId};

/// Brings one machine up.
pub(super) fn up_one(cx: &Cx, fleet: &Fleet, target: &Target, options: &UpOptions) -> Result<UpReport, Failure> {
    let cx = &cx.for_machine(&target.name);
    let spec = wanted(target)?;
    let (id, lock, existed) = claim::begin(cx, fleet, target)?;
    if let Some(record) = existed {
        return go_on(cx, fleet, target, options, lock, record);
    }
    let mut up = Up::new(cx, fleet, target, spec, options, id);
    up.create(id).map_err(|error| up.failed(error, true, lock))
}

/// Brings a machine up that exists, for callers that hold its lock.
pub(super) fn go_on(
    cx: &Cx,
    fleet: &Fleet,
    target: &Target,
    options: &UpOptions,
    lock: Lock,
    record: MachineRecord,
) -> Result<UpReport, Failure> {
    let mut up = Up::new(cx, fleet, target, wanted(target)?, options, record.id);
    up.go_on(record).map_err(|error| up.failed(error, false, lock))
}

/// Refuses what would stop a machine's start, before it is ended to be started anew; for callers that hold its lock.
pub(super) fn require_start(
    cx: &Cx,
    fleet: &Fleet,
    target: &Target,
    options: &UpOptions,
    record: &MachineRecord,
) -> Result<(), Failure> {
    let mut up = Up::new(cx, fleet, target, wanted(target)?, options, record.id);
    up.spec = plan::of_machine(&up.spec, record);
    up.require_start(record)
}

/// The machine file's view of the machine. A file that cannot be used is the reason itself.
pub(super) fn wanted(target: &Target) -> Result<&MachineSpec, Failure> {
    if let Some(spec) = &target.spec {
        return Ok(spec);
    }
    if target.file.exists() {
        crate::config::load(&target.file)?;
    }
    Err(Error::NoSpec { name: target.name.clone(), file: target.file.clone(), id: target.id }.into())
}

/// One `up` under way.
struct Up<'a> {
    cx: &'a Cx,
    fleet: &'a Fleet,
    target: &'a Target,
    /// For the provider that it has, on the box that it rests on, as soon as these are known.
    spec: MachineSpec,
    options: &'a UpOptions,
    dir: MachineDir,
    steps: Vec<Step>,
}

impl<'a> Up<'a> {
    fn new(
        cx: &'a Cx,
        fleet: &'a Fleet,
        target: &'a Target,
        spec: &'a MachineSpec,
        options: &'a UpOptions,
        id: MachineId,
    ) -> Self {
        let dir = MachineDir::new(fleet.dirs(), id);
        Self { cx, fleet, target, spec: spec.clone(), options, dir, steps: Vec::new() }
    }

    fn create(&mut self, id: MachineId) -> Result<UpReport, Failure> {
        let kind = self.fleet.provider_for(self.options.provider, Some(&self.spec));
        if self.options.provider.or(self.spec.provider).is_none() && self.fleet.default_provider.is_some() {
            self.cx.note(format!("provider {kind}, because VAGRANT_DEFAULT_PROVIDER says so"));
        }
        self.spec = self.spec.for_provider(kind);
        backend(kind)?.require(&self.spec)?;
        plan::refuse_losses(kind, &self.spec)?;
        plan::tell_lacks(self.cx, kind, &self.spec)?;
        self.refuse_missing(false, true)?;
        let (installed, hold) =
            self.step("box", |up| library::ensure_box(up.cx, up.fleet, &up.spec, backend(kind)?))?;
        self.spec = self.spec.on_box(&installed.manifest.hardware.settings);
        if plan::seed_flavour(&installed.manifest).is_some() {
            // Before anything is made.
            self.users_key()?;
        }
        let record = MachineRecord {
            id,
            name: self.target.name.clone(),
            root: self.target.root.clone(),
            root_inode: link::inode(&self.target.root),
            file: self.target.file.clone(),
            provider: kind,
            // What the publisher tells about the box would make every query read it again.
            manifest: Manifest { info: None, extras: None, ..installed.manifest.clone() },
            created: now(),
            intent: Some(Intent::Create),
            ready: false,
            provisioned: false,
            user: plan::user(&self.spec, &installed.manifest),
            host_key: None,
            key: KeyInUse::Box,
            hostname: None,
            seed_taken: false,
            grown_to: None,
            extra_disks: Vec::new(),
            forwards: Vec::new(),
            forwards_unsure: false,
            ssh: self.spec.ssh.clone(),
            graceful_halt_timeout: self.spec.graceful_halt_timeout,
            started_with: plan::wishes(&self.spec),
        };
        self.dir.write(&record)?;
        drop(hold);
        self.boot(record, &installed, "created")
    }

    fn go_on(&mut self, mut record: MachineRecord) -> Result<UpReport, Failure> {
        package::sweep(self.fleet, record.id)?;
        if let Some(wanted) = self.options.provider.filter(|wanted| *wanted != record.provider) {
            return Err(Error::OtherProvider { name: record.name, has: record.provider, wanted }.into());
        }
        self.spec = plan::of_machine(&self.spec, &record);
        self.refresh(&mut record)?;
        let mut vm = self.fleet.vm(&record)?;
        let mut state = vm.awaited_state(self.cx)?;
        if matches!(state, VmState::Broken { .. }) && self.convert(&record).is_ok() {
            // Its box's image is there again, if that was it.
            state = vm.awaited_state(self.cx)?;
        }
        if record.intent == Some(Intent::Halt) && state.has_process() {
            // Its guest may go down at any moment: nothing to log in to.
            self.cx.note("`vbox-rs halt` was cut short; ending it, then starting again");
            stop::halt_locked(self.cx, self.fleet, &self.dir, &mut record, false)?;
            return self.restart(record);
        }
        match state {
            VmState::Running => self.running(record, vm.as_mut(), "already running"),
            state @ VmState::Paused { .. } => {
                vm.unpause()?;
                if let Some(why) = state.detail() {
                    self.cx.warn(format!("the hypervisor had paused it ({why}); it runs again"));
                }
                self.running(record, vm.as_mut(), "resumed")
            }
            VmState::Saved => self.restore(record, vm.as_mut()),
            VmState::Off | VmState::Absent => self.restart(record),
            VmState::Vanished { why } => {
                self.cx.note(format!("it was not shut down: {why}; starting it again"));
                self.restart(record)
            }
            state => Err(Error::WrongState {
                name: record.name,
                state: describe(&state),
                hint: "`vbox-rs halt --force` or `vbox-rs destroy` ends it".into(),
            }
            .into()),
        }
    }

    /// What the record has from the machine file and needs no new start: where it lies, and how to log in.
    fn refresh(&self, record: &mut MachineRecord) -> Result<(), Failure> {
        let before = record.clone();
        if !same_folder(&record.root, &self.target.root) {
            self.cx.note(format!("the project moved here from {}; linked again", record.root.display()));
        }
        record.root.clone_from(&self.target.root);
        record.root_inode = link::inode(&self.target.root);
        record.file.clone_from(&self.target.file);
        record.ssh = self.spec.ssh.clone();
        record.graceful_halt_timeout = self.spec.graceful_halt_timeout;
        // The seed is not written again.
        if plan::seed_flavour(&record.manifest).is_none() {
            record.user = plan::user(&self.spec, &record.manifest);
        }
        if *record != before {
            self.dir.write(record)?;
        }
        Ok(())
    }

    /// What the machine file says by now and only a new start, or a new machine, brings.
    fn tell_changes(&self, record: &MachineRecord) {
        let changed = plan::changes(&self.spec, &record.started_with);
        if !changed.is_empty() {
            self.cx.note(format!(
                "changed in the machine file since it was started: {}; `vbox-rs reload` applies it",
                changed.join(", ")
            ));
        }
        self.tell_other_box(record);
    }

    fn tell_other_box(&self, record: &MachineRecord) {
        if let Some(wanted) = self.spec.box_name.as_ref().filter(|wanted| library::differs(wanted, &record.manifest)) {
            self.cx.note(format!(
                "the machine file now says box {wanted}, but this machine rests on {}; `vbox-rs destroy` and `up` to \
                 change it",
                record.manifest.name
            ));
        }
    }

    fn running(
        &mut self,
        mut record: MachineRecord,
        vm: &mut dyn Vm,
        outcome: &'static str,
    ) -> Result<UpReport, Failure> {
        vm.connect(self.cx)?;
        self.take_forwards(&mut record, vm)?;
        let forwarded = self.follow_forwards(&mut record, vm)?;
        self.tell_changes(&record);
        let settle = Settle::new(self.fleet, &self.dir, &self.spec, self.options);
        if record.ready && record.intent.is_none() && !settle.has_work(&record) {
            return Ok(self.report(&record, outcome, forwarded || outcome != "already running"));
        }
        self.refuse_missing(record.provisioned, !record.ready)?;
        let outcome = match outcome {
            _ if !record.ready => "started",
            "already running" => "provisioned",
            outcome => outcome,
        };
        let session = self.login(&mut record, vm)?;
        self.settle(record, session, outcome)
    }

    /// What the machine's disks rest on was made of the box when the machine was made; somebody may have cleared it away
    /// since.
    fn convert(&self, record: &MachineRecord) -> Result<Installed, Failure> {
        let library = Library::new(self.fleet.dirs());
        let installed = library.resting_on(record.manifest.clone())?;
        library.convert_disks(self.cx, &installed, backend(record.provider)?.disk_formats())?;
        Ok(installed)
    }

    fn restart(&mut self, record: MachineRecord) -> Result<UpReport, Failure> {
        plan::refuse_losses(record.provider, &self.spec)?;
        plan::tell_lacks(self.cx, record.provider, &self.spec)?;
        self.refuse_missing(record.provisioned, true)?;
        let installed = self.convert(&record)?;
        self.tell_other_box(&record);
        let outcome = if record.intent == Some(Intent::Create) { "created" } else { "started" };
        self.boot(record, &installed, outcome)
    }

    fn restore(&mut self, mut record: MachineRecord, vm: &mut dyn Vm) -> Result<UpReport, Failure> {
        self.refuse_missing(record.provisioned, !record.ready)?;
        self.step("restore", |up| {
            let own_address = access::addresses_yet(vm)?.is_some();
            up.with_ports(&mut record, own_address, |planned| vm.restore(up.cx, &planned.list(), &inherited(planned)))?;
            up.take_forwards(&mut record, vm)
        })?;
        let session = self.login(&mut record, vm)?;
        self.settle(record, session, "resumed")
    }

    fn boot(
        &mut self,
        mut record: MachineRecord,
        installed: &Installed,
        outcome: &'static str,
    ) -> Result<UpReport, Failure> {
        record.ready = false;
        record.started_with = plan::wishes(&self.spec);
        let mut vm = self.fleet.vm(&record)?;
        let mut plan = self.step("disk", |up| up.make_disks(&mut record, installed, vm.as_mut()))?;
        self.step("start", |up| up.start(&mut record, vm.as_mut(), &mut plan))?;
        let session = self.login(&mut record, vm.as_mut())?;
        self.settle(record, session, outcome)
    }

    fn refuse_missing(&self, already: bool, folders: bool) -> Result<(), Failure> {
        let chosen = settle::chosen(&self.spec, self.options, already);
        Ok(plan::refuse_missing(&self.spec, &chosen, folders)?)
    }

    /// Keys, seed and overlay, and the plan of the machine without its ports.
    fn make_disks(
        &self,
        record: &mut MachineRecord,
        installed: &Installed,
        vm: &mut dyn Vm,
    ) -> Result<VmPlan, Failure> {
        let key = keys::ensure(&self.dir.ssh(), "id_ed25519", &format!("vbox-rs {}", record.id.short()))?;
        let flavour = plan::seed_flavour(&record.manifest);
        if let Some(flavour) = flavour.filter(|_| !self.dir.seed().exists()) {
            let host_key = keys::ensure(&self.dir.ssh(), "host_ed25519", &format!("vbox-rs {}", record.id.short()))?;
            // `insert_key = false` keeps what lets one in: the user's key, or the published one as in a box without a seed.
            let (authorized, in_use) = match self.users_key()? {
                _ if self.spec.ssh.insert_key => (key.public, KeyInUse::Own),
                Some(theirs) => (theirs, KeyInUse::Box),
                None => (keys::insecure(&self.dir.ssh())?.public, KeyInUse::Box),
            };
            // Whether an image reads the seed is seen when it lets us in; our own boxes do.
            if flavour == Flavour::Own {
                record.key = in_use;
                record.hostname.clone_from(&self.spec.hostname);
                record.host_key = Some(plan::without_comment(&host_key.public));
            }
            // Before the seed, which is not written again: with it the guest is as the record says.
            self.dir.write(record)?;
            seed::write(
                &self.dir.seed(),
                &seed::Seed {
                    instance_id: &record.id.to_string(),
                    hostname: self.spec.hostname.as_deref(),
                    user: &record.user,
                    authorized_key: &authorized,
                    host_key: Some(&host_key),
                    flavour,
                    mac: &plan::mac(record, &self.spec),
                },
            )?;
        }
        extra_disks::tell_kept(self.cx, record, &self.spec);
        record.extra_disks = extra_disks::wanted(record, &self.spec)?;
        let seed = flavour.map(|_| self.dir.seed());
        let formats = backend(record.provider)?.disk_formats();
        let mut plan = plan::vm_plan(record, &self.spec, installed, seed, formats);
        plan::choose_bridges(&mut plan.devices.publics, &self.options.bridges, &record.name);
        plan::refuse_findings(self.cx, record.provider, &plan)?;
        if record.intent == Some(Intent::Create) {
            self.dir.write(record)?;
        }
        vm.create(self.cx, &plan)?;
        // Until here a disk more was not there: it may be left out of the file, or become smaller.
        self.dir.write(record)?;
        Ok(plan)
    }

    /// The public half of a key that the machine file logs in with for good: a seed must bring it into the guest.
    fn users_key(&self) -> Result<Option<String>, Failure> {
        let ssh = &self.spec.ssh;
        if ssh.insert_key {
            return Ok(None);
        }
        let mut halves = ssh.private_key_path.iter().map(|path| keys::public_half(path));
        let Some(first) = halves.next() else { return Ok(None) };
        Ok(Some(first.or_else(|error| halves.find_map(Result::ok).ok_or(error))?))
    }

    /// Waits until the guest lets us in.
    fn login(&mut self, record: &mut MachineRecord, vm: &mut dyn Vm) -> Result<Session, Failure> {
        if !record.ready {
            vm.finish_start(self.cx, &self.spec.provider_options, false)?;
        }
        let time = Duration::from_secs(self.spec.boot_timeout);
        let session = access::await_login(self.cx, self.fleet, record, vm, time, &mut self.steps)?;
        record.host_key = Some(session.host_key().to_owned());
        self.dir.write(record)?;
        Ok(session)
    }

    fn settle(
        &mut self,
        mut record: MachineRecord,
        session: Session,
        outcome: &'static str,
    ) -> Result<UpReport, Failure> {
        let settle = Settle::new(self.fleet, &self.dir, &self.spec, self.options);
        let done = settle.run(self.cx, &mut record, session, &mut self.steps);
        self.dir.write_timings(&Timings { at: now(), steps: self.steps.clone() })?;
        done?;
        Ok(self.report(&record, outcome, true))
    }

    fn report(&self, record: &MachineRecord, outcome: &'static str, changed: bool) -> UpReport {
        UpReport {
            id: record.id,
            name: record.name.clone(),
            changed,
            outcome,
            steps: self.steps.clone(),
            forwards: record.forwards.clone(),
            message: self.spec.post_up_message.clone(),
        }
    }

    fn step<T>(&mut self, name: &'static str, work: impl FnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.cx.check()?;
        let (took, result) = self.cx.step(name, || work(self));
        self.steps.push(Step::new(name, took, result.is_err()));
        result
    }
}
