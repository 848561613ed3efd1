//! One machine on VirtualBox.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::process::{Mark, Process};
use super::super::{Error, Forward, Image, Level, Vm, VmHome, VmPlan, VmState};
use super::card::Wire;
use super::fault::Meaning;
use super::files::{self, Files, Vdi};
use super::machine::{Machine, VIRTUALBOX, is_between, seen, state};
use super::network::Wires;
use super::parse::Info;
use super::record::{self, VirtualboxRecord};
use super::run::Manage;
use super::{argv, bridge, card, console, customize, forward, host, log, natnet, rules, start};
use crate::config::spec::{CustomizeEvent, ProviderOptions, PublicNetwork};
use crate::error::Explain;
use crate::progress::Cx;
use crate::store;

/// How long a machine's process may take to end after its plug was pulled.
const END: Duration = Duration::from_secs(15);

/// How long a machine may take to end whose save ended with an error.
const STUMBLED: Duration = Duration::from_secs(2);

/// How often VirtualBox is asked for a machine whose process cannot be seen.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long its service may take to save a machine whose `suspend` was killed, or to go on with it.
const SERVICE: Duration = Duration::from_secs(120);

/// How often it is asked whether it has.
const BETWEEN: Duration = Duration::from_millis(200);

/// A machine on VirtualBox.
pub struct VirtualboxVm {
    home: VmHome,
    uuid: String,
    files: Files,
    manage: Option<Manage>,
    /// Its process, once it was found.
    process: Option<Process>,
    /// When VirtualBox was last asked for what no process shows, and whether it ran then.
    asked: Option<(Instant, bool)>,
    /// Its serial console, while somebody is attached to it.
    console: Option<console::Lease>,
    /// Whether all but the ports was set up: with others, a start is tried again.
    prepared: bool,
}

impl fmt::Debug for VirtualboxVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualboxVm").field("home", &self.home).finish_non_exhaustive()
    }
}

impl VirtualboxVm {
    /// The machine that lives in `home`.
    pub fn new(home: VmHome) -> Self {
        let (uuid, files) = (home.id.uuid(), Files::new(&home.dir));
        Self { home, uuid, files, manage: None, process: None, asked: None, console: None, prepared: false }
    }

    /// VBoxManage, which is looked for once.
    fn manage(&mut self) -> Result<Manage, Error> {
        if let Some(found) = &self.manage {
            return Ok(found.clone());
        }
        let found = Manage::find()?;
        Ok(self.manage.insert(found).clone())
    }

    fn machine(&mut self) -> Result<Machine<'_>, Error> {
        Ok(Machine { manage: self.manage()?, id: self.home.id, files: &self.files })
    }

    fn call(&mut self, cx: &Cx, args: &argv::Args) -> Result<String, Error> {
        self.machine()?.manage.call(cx, args)
    }

    /// Its process: a window (`VirtualBoxVM`) or none (`VBoxHeadless`).
    fn process(&mut self) -> Option<&Process> {
        if self.process.is_none() {
            // It was set-uid, where the kernel driver wants that.
            self.process = Process::find(&Mark { option: "--startvm", uuid: &self.uuid, own: false }, None);
        }
        self.process.as_ref()
    }

    /// Tells a machine that runs to do something.
    fn control(&mut self, cx: &Cx, what: &str) -> Result<(), Error> {
        let id = self.home.id;
        self.call(cx, &argv::control(id, what)).map(drop)
    }

    /// Pulls the plug, and waits until nothing of it is left.
    fn end(&mut self, cx: &Cx) -> Result<(), Error> {
        let id = self.home.id;
        // Who is seen now need not be asked for afterwards.
        self.process();
        match self.machine()?.manage.brief_call(cx, &argv::control(id, "poweroff")).map(drop) {
            Err(Error::Virtualbox(fault))
                if matches!(fault.meaning, Meaning::NotRunning | Meaning::NotFound | Meaning::State) => {}
            // A service or a machine that does not answer: its process can be ended all the same.
            Err(Error::Virtualbox(_) | Error::Stalled { .. }) if self.process().is_some() => {
                return self.kill_process();
            }
            other => other?,
        }
        if self.wait_until_ended(cx, END)? {
            return Ok(());
        }
        self.kill_process()
    }

    fn kill_process(&mut self) -> Result<(), Error> {
        let Some(process) = self.process() else { return Ok(()) };
        let stuck = |source| Error::WillNotEnd { pid: process.pid(), source };
        process.kill().map_err(|e| stuck(Some(e)))?;
        if !process.wait(&Cx::silent(), END).map_err(|e| stuck(Some(e)))? {
            return Err(stuck(None));
        }
        self.process = None;
        Ok(())
    }

    /// Ends it and removes all of it.
    fn remove(&mut self, cx: &Cx) -> Result<(), Error> {
        let record = record::read(&self.files).ok().flatten();
        let (bases, networks) = record.map(|record| (record.bases, record.nat_networks)).unwrap_or_default();
        let asked = self.machine()?.info(cx);
        if matches!(asked, Err(Error::Stalled { .. })) {
            // Nothing can be removed; but what was to end ends, unless that cannot be done either.
            drop(self.kill_process());
        }
        let info = asked?;
        if info.is_some_and(|info| state(&info, &self.files).has_process()) || self.process().is_some() {
            self.end(cx)?;
        }
        self.machine()?.remove(cx, &bases)?;
        let lock = self.networks_lock();
        natnet::release(cx, &self.manage()?, &networks, &lock)?;
        Ok(self.files.remove()?)
    }

    /// Starts what is set up, and looks whether its forwards are there, which VirtualBox itself tells nobody.
    fn launch(&mut self, cx: &Cx, forwards: &[Forward], gui: bool, saved: bool) -> Result<(), Error> {
        // One that a killed command left saving or ending itself is off for VirtualBox before its process is gone, whose end
        // VirtualBox would take for that of the new one.
        self.process = None;
        if self.process().is_some() {
            cx.waiting("the machine's former process to end");
            self.wait_until_ended(cx, END)?;
        }
        self.files.keep_console()?;
        self.process = None;
        let id = self.home.id;
        self.machine()?.manage.long_call(cx, &argv::start(id, gui))?;
        let log = self.files.log().map(|path| start::head(&path)).unwrap_or_default();
        let refused = log::refused_forwards(&log);
        if let Some(forward) = forwards.iter().find(|forward| refused.contains(&forward.host)) {
            let Forward { protocol, host_ip, host: port, .. } = *forward;
            let cx = cx.uninterrupted();
            // What was saved must not be lost for a port's sake.
            if saved {
                self.save(&cx)?;
            } else {
                self.end(&cx)?;
            }
            return Err(Error::PortTaken { protocol, host_ip, port });
        }
        Ok(())
    }

    fn launch_and_customize(&mut self, cx: &Cx, plan: &VmPlan, info: &Info) -> Result<(), Error> {
        let launched = self.launch(cx, &plan.forwards, plan.virtualbox.gui, false);
        self.prepared = matches!(launched, Err(Error::PortTaken { .. }));
        launched?;
        let mut record = self.record()?;
        customize::catch_up(cx, &self.machine()?, &mut record, info, CustomizeEvent::PostBoot)
    }

    /// What is known of a machine of which VirtualBox may tell nothing: its process can be seen, and ended.
    fn answered(&mut self, told: Result<VmState, Error>) -> Result<VmState, Error> {
        match told {
            Err(unanswered @ Error::Stalled { .. }) if self.process().is_some() => {
                let hint = unanswered.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                Ok(VmState::Unresponsive { why: format!("{unanswered}{hint}") })
            }
            told => told,
        }
    }

    /// The state, as files show and VirtualBox tells it; without a context for who only looks.
    fn told(&mut self, cx: Option<&Cx>) -> Result<VmState, Error> {
        let record = match record::read(&self.files)? {
            None if self.files.folder().exists() => {
                let why = format!("its record {} is missing", self.files.record().display());
                return Ok(VmState::Broken { why });
            }
            Some(record) if record.created => record,
            _ => return Ok(VmState::Absent),
        };
        let machine = self.machine()?;
        let Some(info) = cx.map_or_else(|| machine.glance(), |cx| machine.info(cx))? else {
            let why = "VirtualBox does not know it any more: somebody removed it there".to_owned();
            return Ok(VmState::Broken { why });
        };
        let found = state(&info, &self.files);
        if found.has_process() {
            return Ok(found);
        }
        match start::require_disks(&self.files, &record.plan) {
            Err(error @ (Error::FileMissing { .. } | Error::DiskDamaged { .. })) => {
                Ok(VmState::Broken { why: error.to_string() })
            }
            looked => looked.map(|()| found),
        }
    }

    /// Networks of ours on which the machine has no card any more go with their last one.
    fn leave_networks(&mut self, cx: &Cx, record: &mut VirtualboxRecord) -> Result<(), Error> {
        let kept = natnet::own_names(&record.plan.devices.networks);
        let (kept, left): (Vec<_>, Vec<_>) = record.nat_networks.drain(..).partition(|name| kept.contains(name));
        if left.is_empty() {
            return Ok(());
        }
        let lock = self.networks_lock();
        match natnet::release(cx, &self.manage()?, &left, &lock) {
            // It is tried again by the next start, and this one needs nothing of it.
            Err(Error::Virtualbox(fault)) => {
                cx.warn(format!("NAT networks that nobody needs stay for now: {fault}"));
                return Ok(());
            }
            released => released?,
        }
        record.nat_networks = kept;
        Ok(record::write(&self.files, record)?)
    }

    /// Held by whoever makes what all machines share.
    fn networks_lock(&self) -> PathBuf {
        self.home.shared.join("virtualbox-networks.lock")
    }

    fn record(&self) -> Result<VirtualboxRecord, Error> {
        let missing = || Error::FileMissing { what: "the machine's record", path: self.files.record() };
        record::read(&self.files)?.ok_or_else(missing)
    }
}

impl Vm for VirtualboxVm {
    fn state(&mut self) -> Result<VmState, Error> {
        let told = self.told(None);
        self.answered(told)
    }

    fn awaited_state(&mut self, cx: &Cx) -> Result<VmState, Error> {
        let deadline = Instant::now() + SERVICE;
        let mut told = self.told(Some(cx));
        while told.as_ref().is_ok_and(is_between) && Instant::now() < deadline {
            cx.waiting("VirtualBox to end what a command began that was cut short");
            cx.sleep(BETWEEN)?;
            told = self.told(Some(cx));
        }
        self.answered(told)
    }

    fn glance(&mut self) -> Result<VmState, Error> {
        if self.process().is_none() {
            return self.state();
        }
        let log = self.files.log().map(|path| files::tail(&path, log::TAIL)).unwrap_or_default();
        Ok(seen(&log))
    }

    fn create(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        self.manage()?;
        store::create_private(&self.home.dir)?;
        let before = record::read(&self.files)?;
        if let Some(record) = before.as_ref().filter(|record| record.created) {
            let (machine, made) = (self.machine()?, record.plan.disks.len());
            machine.grow(cx, plan, made)?;
            return machine.add_disks(cx, plan, made);
        }
        let machine = self.machine()?;
        let plan = bridge::settled(cx, &machine, plan, before.as_ref().map(|record| &record.plan))?;
        let mut record = VirtualboxRecord::unmade(plan, before);
        record::write(machine.files, &record)?;
        customize::catch_up(cx, &machine, &mut record, &Info::default(), CustomizeEvent::PreImport)?;
        machine.make(cx, &record.plan)?;
        record.created = true;
        Ok(record::write(&self.files, &record)?)
    }

    fn require_disks(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        start::refuse_shrink(&self.files, plan)?;
        // One that an `up` did not come to the end of has none yet.
        let Some(record) = record::read(&self.files)?.filter(|record| record.created) else { return Ok(()) };
        let made = record.plan.disks.len();
        self.machine()?.require_slots(cx, plan, made).map(drop)
    }

    fn start(&mut self, cx: &Cx, plan: &VmPlan, _keep: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let findings = start::check(plan);
        if findings.iter().any(|finding| finding.level == Level::Bad) {
            return Err(Error::Plan(findings));
        }
        let record = self.record()?;
        start::require_files(&self.files, plan)?;
        let (id, console) = (self.home.id, self.files.console_log());
        let lock = self.networks_lock();
        let info = self.machine()?.info(cx)?.ok_or_else(start::unregistered)?;
        match state(&info, &self.files) {
            VmState::Off | VmState::Vanished { .. } => {}
            VmState::Saved => {
                let hint = "`vbox-rs resume` goes on with it";
                return Err(Error::State { action: "start afresh", state: "saved", hint });
            }
            VmState::Broken { .. } => return Err(start::broken()),
            _ => {
                let hint = "`vbox-rs status` shows it";
                return Err(Error::State { action: "start", state: "running already", hint });
            }
        }
        let prepared = std::mem::take(&mut self.prepared);
        if !prepared {
            for warning in host::obstacle().into_iter().chain(host::bridge_obstacle(plan)) {
                cx.warn(format!("{warning}; `vbox-rs doctor` says what to do"));
            }
        }
        let machine = self.machine()?;
        let plan = &bridge::settled(cx, &machine, plan, Some(&record.plan))?;
        let new = natnet::own_names(&plan.devices.networks);
        let new = new.into_iter().filter(|name| !record.nat_networks.contains(name));
        let nat_networks = record.nat_networks.iter().cloned().chain(new).collect();
        let (planned, customized) = (plan.clone(), Vec::new());
        let mut record = VirtualboxRecord { plan: planned, nat_networks, customized, customizing: None, ..record };
        record::write(machine.files, &record)?;
        if prepared {
            // What `customize` set stays.
            machine.change_rules(cx, &plan.forwards, &info)?;
            return self.launch_and_customize(cx, plan, &info);
        }
        let private = Wires::find(cx, &machine, &plan.devices.networks, &lock)?;
        let bridges = plan.devices.publics.iter().flat_map(|network| network.bridge.iter().cloned());
        let wires = private.wires.iter().cloned().chain(bridges.map(Wire::Bridged)).collect();
        let cards = argv::cards(&card::cards(id, plan, wires), &info);
        let name = plan.virtualbox.name.as_deref().filter(|name| info.get("name") != Some(name));
        let name = name.map(argv::rename).unwrap_or_default();
        let settings = argv::settings(id, plan, &console, &rules::of(&info));
        let args = [settings, cards, argv::datagrams(&plan.forwards, &info), name].concat();
        machine.manage.call(cx, &args)?;
        drop(private);
        machine.attach_disks(cx, plan, &info)?;
        customize::before_start(cx, &machine, plan, &info)?;
        let later = if customize::hangs_media(plan) { machine.info(cx)? } else { None };
        machine.attach_seed(cx, plan, later.as_ref().unwrap_or(&info))?;
        self.leave_networks(cx, &mut record)?;
        self.launch_and_customize(cx, plan, &info)
    }

    fn finish_start(&mut self, cx: &Cx, options: &ProviderOptions, reached: bool) -> Result<(), Error> {
        let mut record = self.record()?;
        // A call that failed may be another one by now.
        record.plan.virtualbox.customize.clone_from(&options.virtualbox.customize);
        let moments = [CustomizeEvent::PostBoot, CustomizeEvent::PostComm];
        let due = &moments[..if reached { 2 } else { 1 }];
        if due.iter().all(|event| customize::outstanding(&record, *event).is_empty()) {
            return Ok(());
        }
        let machine = self.machine()?;
        let info = machine.info(cx)?.ok_or_else(start::unregistered)?;
        due.iter().try_for_each(|event| customize::catch_up(cx, &machine, &mut record, &info, *event))
    }

    fn press_power_button(&mut self) -> Result<(), Error> {
        self.control(&Cx::silent(), "acpipowerbutton")
    }

    fn wait_until_ended(&mut self, cx: &Cx, time: Duration) -> Result<bool, Error> {
        if let Some(process) = self.process() {
            let pid = process.pid();
            let ended = process.wait(cx, time).map_err(|e| Error::WillNotEnd { pid, source: Some(e) })?;
            if ended {
                self.process = None;
            }
            return Ok(ended);
        }
        // Either it has ended, or it is a process of Windows around us: VirtualBox itself knows.
        let deadline = Instant::now() + time;
        loop {
            let fresh = self.asked.filter(|(at, _)| at.elapsed() < ASK_EVERY);
            let runs = match fresh {
                Some((_, runs)) => runs,
                None => match self.awaited_state(cx) {
                    Err(Error::Interrupted(_)) => return Ok(false),
                    state => state?.has_process(),
                },
            };
            if fresh.is_none() {
                self.asked = Some((Instant::now(), runs));
            }
            if !runs {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || cx.sleep(left.min(ASK_EVERY)).is_err() {
                return Ok(false);
            }
        }
    }

    fn kill(&mut self) -> Result<(), Error> {
        self.end(&Cx::silent())
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.control(&Cx::silent(), "pause")
    }

    fn unpause(&mut self) -> Result<(), Error> {
        self.control(&Cx::silent(), "resume")
    }

    fn save(&mut self, cx: &Cx) -> Result<(), Error> {
        let id = self.home.id;
        cx.waiting("VirtualBox to save the machine's memory");
        // Half a save cannot be called back, and ends by itself.
        cx.check()?;
        let cx = cx.uninterrupted();
        match self.machine()?.manage.long_call(&cx, &argv::control(id, "savestate")) {
            Err(Error::Virtualbox(fault)) => {
                // Seen: the memory was saved, and then VirtualBox stumbled over another call on the machine's settings.
                let ended = self.wait_until_ended(&cx, STUMBLED).is_ok_and(|ended| ended);
                let saved = ended && self.state().is_ok_and(|state| state == VmState::Saved);
                if saved { Ok(()) } else { Err(fault.into()) }
            }
            Err(error) => Err(error),
            Ok(_) => self.wait_until_ended(&cx, END).map(drop),
        }
    }

    fn restore(&mut self, cx: &Cx, forwards: &[Forward], _keep: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let record = self.record()?;
        start::require_files(&self.files, &record.plan)?;
        let machine = self.machine()?;
        let info = machine.info(cx)?.ok_or_else(start::unregistered)?;
        if state(&info, machine.files) != VmState::Saved {
            let hint = "start it with `vbox-rs up`";
            return Err(Error::State { action: "resume", state: "not suspended", hint });
        }
        let plan = VmPlan { forwards: forwards.to_vec(), ..record.plan.clone() };
        record::write(machine.files, &VirtualboxRecord { plan: plan.clone(), ..record })?;
        machine.change_rules(cx, forwards, &info)?;
        let lent = console::is_lent(&info);
        self.launch(cx, forwards, plan.virtualbox.gui, true)?;
        if lent && let Err(error) = console::mend(&self.machine()?) {
            cx.warn(format!("it runs, but its console is not written to the log: {error}"));
        }
        Ok(())
    }

    fn discard_saved(&mut self) -> Result<(), Error> {
        let id = self.home.id;
        match self.call(&Cx::silent(), &argv::discard(id)) {
            // Nothing is saved.
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::State => Ok(()),
            other => other.map(drop),
        }
    }

    fn destroy(&mut self, cx: &Cx) -> Result<(), Error> {
        let copies = self.files.copies();
        if self.files.exist() {
            self.remove(cx)?;
        }
        copies.iter().try_for_each(|copy| self.machine()?.discard(cx, copy))
    }

    fn share(&mut self, cx: &Cx, name: &str, folder: &Path) -> Result<(), Error> {
        let id = self.home.id;
        match self.call(cx, &argv::share(id, name, folder)) {
            Err(Error::Virtualbox(fault)) if matches!(fault.meaning, Meaning::Exists | Meaning::InUse) => Ok(()),
            other => other.map(drop),
        }
    }

    fn publics(&self) -> Result<Vec<PublicNetwork>, Error> {
        Ok(record::read(&self.files)?.map(|record| record.plan.devices.publics).unwrap_or_default())
    }

    fn change_forwards(&mut self, cx: &Cx, forwards: &[Forward]) -> Result<(), Error> {
        forward::change(cx, &self.machine()?, forwards)
    }

    fn images(&self) -> Result<Vec<Image>, Error> {
        Err(Error::Unable {
            provider: VIRTUALBOX,
            what: "show its disks to other programs as they are",
            hint: "`vbox-rs package` copies them first",
        })
    }

    fn images_in(&mut self, cx: &Cx, scratch: &Path) -> Result<Vec<Image>, Error> {
        let mut images = Vec::new();
        loop {
            let disk = self.files.disk(images.len());
            let Some(Vdi { size: virtual_size, .. }) = files::vdi(&disk)? else { return Ok(images) };
            let path = files::copy(scratch, self.home.id, images.len());
            self.machine()?.copy(cx, &disk, &path)?;
            images.push(Image { path, format: "vdi".into(), virtual_size });
        }
    }

    fn console_log(&self) -> PathBuf {
        self.files.console_log()
    }

    fn hypervisor_log(&self) -> Option<PathBuf> {
        Some(self.files.log().unwrap_or_else(|| self.files.folder().join("VBox.log")))
    }

    fn earlier_console_logs(&self) -> Vec<PathBuf> {
        self.files.earlier_console_logs()
    }

    fn console(&mut self) -> Result<UnixStream, Error> {
        let runtime = self.home.runtime.clone();
        let (lease, stream) = console::lend(&Cx::silent(), &self.machine()?, &runtime)?;
        self.console = Some(lease);
        Ok(stream)
    }

    fn leave_console(&mut self) -> Result<(), Error> {
        let Some(lease) = self.console.take() else { return Ok(()) };
        lease.end(&self.machine()?)
    }
}
