//! One machine on QEMU.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::process::{Mark, Process};
use super::super::{Error, Forward, Image, Level, Vm, VmHome, VmPlan, VmState};
use super::accel::{self, Engine, Facts};
use super::files::{Files, tail};
use super::launch::{self, Launch};
use super::qmp::{self, Qmp};
use super::record::{self, QemuRecord, Start};
use super::{disk, firmware, host, saved, socket, state};
use crate::progress::Cx;
use crate::store::{self, Lock};

/// How long the monitor may take for a command. Its thread shares a lock with the guest's processors.
const COMMAND: Duration = Duration::from_secs(10);

/// How long a process may take to end by itself when its plug is pulled.
const QUIT: Duration = Duration::from_secs(1);

/// How long the kernel may take to end a killed process.
const KILL: Duration = Duration::from_secs(10);

/// How long a forked process may take until it carries our id.
const EXEC: Duration = Duration::from_secs(2);

/// A machine on QEMU.
#[derive(Debug)]
pub struct QemuVm {
    uuid: String,
    home: VmHome,
    files: Files,
}

impl QemuVm {
    /// The machine that lives in `home`.
    pub fn new(home: VmHome) -> Self {
        Self { uuid: home.id.uuid(), files: Files::new(&home.dir), home }
    }

    fn mark(&self) -> Mark<'_> {
        Mark { option: "-uuid", uuid: &self.uuid, own: true }
    }

    fn alive(&self) -> bool {
        Lock::is_held(&self.files.lock())
    }

    fn connect(&self, cx: &Cx, limit: Duration) -> Result<Qmp, Error> {
        let stream = socket::connect(&self.files.control()).map_err(qmp::Error::Io)?;
        Ok(Qmp::open(stream, cx, limit)?)
    }

    /// The monitor of a process that lives.
    fn monitor(&self, cx: &Cx, action: &'static str) -> Result<Qmp, Error> {
        if !self.alive() {
            return Err(Error::not_running(action));
        }
        self.connect(cx, COMMAND)
    }

    /// The process that holds the lock; `None` when nobody holds it any more.
    fn process(&self) -> Result<Option<Process>, Error> {
        let began = Instant::now();
        loop {
            if !self.alive() {
                return Ok(None);
            }
            if let Some(process) = Process::find(&self.mark(), self.files.process()) {
                return Ok(Some(process));
            }
            if began.elapsed() > EXEC {
                return Err(Error::ProcessHidden { lock: self.files.lock() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the process, with a chance to write out what it holds where `polite`, and waits until its locks are free.
    fn end(&self, polite: bool) -> Result<(), Error> {
        let cx = Cx::silent();
        if let Some(process) = self.process()? {
            let stuck = |source| Error::WillNotEnd { pid: process.pid(), source };
            let grace = if polite && self.quits(&cx) { QUIT } else { Duration::ZERO };
            if !process.wait(&cx, grace).map_err(|e| stuck(Some(e)))? {
                process.kill().map_err(|e| stuck(Some(e)))?;
                if !process.wait(&cx, KILL).map_err(|e| stuck(Some(e)))? {
                    return Err(stuck(None));
                }
            }
        }
        // The end was asked for: nothing to tell of later.
        Ok(store::remove_file(&self.files.pid())?)
    }

    /// Whether the process was told to quit, or is about to end anyway.
    fn quits(&self, cx: &Cx) -> bool {
        let told = self.connect(cx, QUIT / 4).and_then(|mut qmp| Ok(qmp.execute("quit", Value::Null)?));
        match told {
            Ok(_) => true,
            Err(Error::Monitor(error)) => error.is_closed(),
            Err(_) => false,
        }
    }

    fn begin(&self, engine: Engine) -> Start {
        let log_from = self.files.log().metadata().map_or(0, |meta| meta.len());
        Start { boot_id: record::boot_id(), log_from, engine }
    }

    /// Drops a process that holds what the saved state holds too, and has not run since.
    fn end_left_over(&self, cx: &Cx, action: &'static str) -> Result<(), Error> {
        if !self.alive() {
            return Ok(());
        }
        if self.files.saved().exists() && self.connect(cx, COMMAND)?.status()? != "running" {
            return self.end(true);
        }
        Err(Error::State { action, state: "running already", hint: "`vbox-rs status` shows it" })
    }

    fn load(&self, cx: &Cx, qmp: &mut Qmp, way: saved::Way) -> Result<(), Error> {
        saved::load(qmp, cx, &self.files, way)?;
        // The processors go on now or never: no cancellation in between.
        qmp.set_cx(&Cx::silent());
        saved::consume(&self.files)?;
        if let Err(error) = qmp.execute("cont", Value::Null) {
            saved::put_back(&self.files)?;
            return Err(error.into());
        }
        Ok(())
    }

    /// QEMU's own words for a load that ended its process.
    fn loading_failed(&self, error: Error, log_from: u64) -> Error {
        match error {
            Error::Monitor(error) if error.is_closed() => {
                let log = tail(&self.files.log(), log_from, 8 << 10);
                let lines: Vec<_> = log.lines().map(state::strip_prefix).filter(|line| !line.is_empty()).collect();
                Error::Migration { action: "restore", message: lines.join("; ") }
            }
            other => other,
        }
    }
}

impl Vm for QemuVm {
    fn state(&mut self) -> Result<VmState, Error> {
        state::state(&self.files, &self.mark())
    }

    fn glance(&mut self) -> Result<VmState, Error> {
        state::glance(&self.files, &self.mark())
    }

    fn create(&mut self, cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        store::create_private(&self.home.dir)?;
        let old = record::read(&self.files)?;
        let created = old.as_ref().is_some_and(|record| record.created);
        let made = old.filter(|_| created).map_or(0, |record| record.plan.disks.len());
        if !created {
            record::write(&self.files, &QemuRecord { plan: plan.clone(), created, start: None, saved: None })?;
        }
        let busy = || if self.alive() { Some("running") } else { self.files.saved().exists().then_some("saved") };
        disk::complete(cx, &self.files, plan, made, &mut || Ok(busy()))?;
        if created {
            return Ok(());
        }
        Ok(record::write(&self.files, &QemuRecord { plan: plan.clone(), created: true, start: None, saved: None })?)
    }

    fn require_disks(&mut self, _cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        disk::refuse_shrink(&self.files, plan)
    }

    fn start(&mut self, cx: &Cx, plan: &VmPlan, keep: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let findings = super::check(plan);
        if findings.iter().any(|finding| finding.level == Level::Bad) {
            return Err(Error::Plan(findings));
        }
        let program = host::qemu()?;
        let (engine, reason) = accel::engine(plan.qemu.accel)?;
        disk::require_files(&self.files, plan)?;
        let running = Error::State { action: "start", state: "running already", hint: "`vbox-rs status` shows it" };
        let lock = launch::lock(cx, &self.files)?.ok_or(running)?;
        if self.files.saved().exists() {
            let hint = "`vbox-rs resume` goes on with it";
            return Err(Error::State { action: "start afresh", state: "saved", hint });
        }
        store::remove_file(&self.files.new_saved())?;
        store::remove_file(&self.files.used_saved())?;
        accel::tell(cx, engine, reason.as_deref());
        let flash = firmware::prepare(&self.files, plan, program.0)?;
        let start = self.begin(engine);
        let log_from = start.log_from;
        let record = QemuRecord { plan: plan.clone(), created: true, start: Some(start), saved: None };
        record::write(&self.files, &record)?;
        let Self { home: VmHome { id, .. }, files, .. } = self;
        let flash = flash.as_ref();
        Launch { id: *id, files, plan, engine, flash, incoming: None, keep, log_from }.run(cx, program, lock).map(drop)
    }

    fn press_power_button(&mut self) -> Result<(), Error> {
        self.monitor(&Cx::silent(), "shut down")?.execute("system_powerdown", Value::Null)?;
        Ok(())
    }

    fn wait_until_ended(&mut self, cx: &Cx, time: Duration) -> Result<bool, Error> {
        let Some(process) = self.process()? else { return Ok(true) };
        process.wait(cx, time).map_err(|e| Error::WillNotEnd { pid: process.pid(), source: Some(e) })
    }

    fn network_is_down(&mut self) -> bool {
        state::network_is_down(&self.files)
    }

    fn kill(&mut self) -> Result<(), Error> {
        self.end(true)
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.monitor(&Cx::silent(), "pause")?.execute("stop", Value::Null)?;
        Ok(())
    }

    fn unpause(&mut self) -> Result<(), Error> {
        let mut qmp = self.monitor(&Cx::silent(), "resume")?;
        if qmp.status()? == "inmigrate" {
            let hint = "end it with `vbox-rs halt --force`; the saved state is kept";
            return Err(Error::State { action: "resume", state: "half restored", hint });
        }
        saved::abandon(&mut qmp, &self.files)?;
        saved::consume(&self.files)?;
        qmp.execute("cont", Value::Null)?;
        Ok(store::remove_file(&self.files.used_saved())?)
    }

    fn save(&mut self, cx: &Cx) -> Result<(), Error> {
        let mut qmp = self.monitor(cx, "suspend")?;
        let status = qmp.status()?;
        if self.files.saved().exists() && status != "running" {
            drop(qmp);
            return self.end(true);
        }
        let Some((mut record, start)) = record::read(&self.files)?.and_then(|record| {
            let start = record.start.clone()?;
            Some((record, start))
        }) else {
            return Err(Error::FileMissing { what: "the machine's record", path: self.files.record() });
        };
        saved::abandon(&mut qmp, &self.files)?;
        if status == "postmigrate" {
            // QEMU saves no machine twice that has not run in between.
            qmp.execute("cont", Value::Null)?;
        }
        let saved = saved::describe(&mut qmp, &self.files, &record.plan, start.engine)?;
        let way = saved.way;
        record.saved = Some(saved);
        record::write(&self.files, &record)?;
        // From here on a cancelled command must not leave the processors stopped; `write` itself looks at `cx`.
        qmp.set_cx(&Cx::silent());
        qmp.execute("stop", Value::Null)?;
        let written = saved::write(&mut qmp, cx, &self.files, way).and_then(|()| saved::commit(&self.files));
        let Err(error) = written else {
            // The monitor talks to one client at a time.
            drop(qmp);
            return self.end(true);
        };
        saved::abandon(&mut qmp, &self.files)?;
        saved::consume(&self.files)?;
        if status != "paused" {
            qmp.execute("cont", Value::Null)?;
        }
        Err(error)
    }

    fn restore(&mut self, cx: &Cx, forwards: &[Forward], keep: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let nothing = Error::State { action: "resume", state: "not suspended", hint: "start it with `vbox-rs up`" };
        let record = record::read(&self.files)?.filter(|_| self.files.saved().exists());
        let Some((record, saved)) = record.and_then(|record| {
            let saved = record.saved.clone()?;
            Some((record, saved))
        }) else {
            return Err(nothing);
        };
        self.end_left_over(cx, "resume")?;
        let plan = VmPlan { forwards: forwards.to_vec(), ..saved.plan };
        let findings = super::check(&plan);
        if findings.iter().any(|finding| finding.level == Level::Bad) {
            return Err(Error::Plan(findings));
        }
        if let (Engine::Kvm, Some(reason)) = (saved.engine, Facts::gather().obstacle()) {
            return Err(Error::NoKvm { reason });
        }
        let program = host::qemu()?;
        disk::require_files(&self.files, &plan)?;
        let running = Error::State { action: "resume", state: "running already", hint: "`vbox-rs status` shows it" };
        let lock = launch::lock(cx, &self.files)?.ok_or(running)?;
        let flash = firmware::prepare(&self.files, &plan, program.0)?;
        let start = self.begin(saved.engine);
        let log_from = start.log_from;
        record::write(&self.files, &QemuRecord { plan: plan.clone(), start: Some(start), ..record })?;
        let incoming = Some(saved.machine.as_str());
        let Self { home: VmHome { id, .. }, files, .. } = &*self;
        let (plan, engine, flash) = (&plan, saved.engine, flash.as_ref());
        let launch = Launch { id: *id, files, plan, engine, flash, incoming, keep, log_from };
        let mut qmp = launch.run(cx, program, lock)?;
        qmp.set_limit(COMMAND);
        if let Err(error) = self.load(cx, &mut qmp, saved.way) {
            drop(qmp);
            self.end(false)?;
            return Err(self.loading_failed(error, log_from));
        }
        Ok(store::remove_file(&self.files.used_saved())?)
    }

    fn discard_saved(&mut self) -> Result<(), Error> {
        if self.files.saved().exists() {
            self.end_left_over(&Cx::silent(), "discard the saved state of")?;
        }
        for path in [self.files.saved(), self.files.new_saved(), self.files.used_saved()] {
            store::remove_file(&path)?;
        }
        Ok(())
    }

    fn destroy(&mut self, cx: &Cx) -> Result<(), Error> {
        if !self.home.dir.exists() {
            return Ok(());
        }
        self.end(false)?;
        // Somebody may have removed the lock's file while QEMU held it.
        while let Some(process) = Process::find(&self.mark(), None) {
            let stuck = |source| Error::WillNotEnd { pid: process.pid(), source };
            process.kill().map_err(|e| stuck(Some(e)))?;
            if !process.wait(&Cx::silent(), KILL).map_err(|e| stuck(Some(e)))? {
                return Err(stuck(None));
            }
        }
        let lock = launch::lock(cx, &self.files)?.ok_or(Error::ProcessHidden { lock: self.files.lock() })?;
        for path in self.files.existing()? {
            store::remove_file(&path)?;
        }
        Ok(lock.remove()?)
    }

    fn images(&self) -> Result<Vec<Image>, Error> {
        disk::images(&self.files)
    }

    fn console_log(&self) -> PathBuf {
        self.files.console_log()
    }

    fn earlier_console_logs(&self) -> Vec<PathBuf> {
        vec![Files::put_aside(&self.files.console_log())]
    }

    fn hypervisor_log(&self) -> Option<PathBuf> {
        Some(self.files.log())
    }

    fn console(&mut self) -> Result<UnixStream, Error> {
        if !self.alive() {
            return Err(Error::not_running("attach to the console of"));
        }
        let path = self.files.console();
        Ok(socket::connect(&path).map_err(|e| store::Error::io("connect to", path, e))?)
    }
}
