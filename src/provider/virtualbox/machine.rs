//! A machine as VirtualBox knows it: asked for, made, changed and removed by calls of VBoxManage.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Backing, Error, Forward, Pause, VmPlan, VmState};
use super::fault::Meaning;
use super::files::{self, Files, Vdi};
use super::parse::Info;
use super::rules::{self, Rule};
use super::run::Manage;
use super::slot::Slots;
use super::{argv, log, seed};
use crate::progress::Cx;
use crate::store::{self, MachineId};

/// Milliseconds between tries to forget a disk. A call that was killed goes on in VirtualBox's service for a moment; and
/// one that was just hanging up the disk leaves that in the service's memory, until it ends for want of clients: five
/// seconds after the last, so we must be none for longer.
const SETTLING: [u64; 6] = [200, 300, 500, 1000, 7000, 7000];

/// How people write it.
pub const VIRTUALBOX: &str = "VirtualBox";

/// One machine, and the way to tell VirtualBox of it.
pub struct Machine<'a> {
    pub manage: Manage,
    pub id: MachineId,
    pub files: &'a Files,
}

impl Machine<'_> {
    /// What VirtualBox knows of it; `None` when it knows no such machine. A machine with its id that lies elsewhere is
    /// somebody else's, and refused.
    pub fn info(&self, cx: &Cx) -> Result<Option<Info>, Error> {
        self.read(self.manage.call(cx, &argv::info(self.id)))
    }

    /// The same, for who waits for nothing else and only looks.
    pub fn glance(&self) -> Result<Option<Info>, Error> {
        self.read(self.manage.query(&Cx::silent(), &argv::info(self.id)))
    }

    fn read(&self, answer: Result<String, Error>) -> Result<Option<Info>, Error> {
        let text = match answer {
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::NotFound => return Ok(None),
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::Inaccessible => {
                return Ok(Some(Info::default()));
            }
            answer => answer?,
        };
        let info = Info::parse(&text);
        match info.settings() {
            Some(settings) if !within(&settings, &self.files.folder()) => {
                let why = format!("its settings are in {}", settings.display());
                Err(Error::Foreign { provider: VIRTUALBOX, uuid: self.id.uuid(), why })
            }
            _ => Ok(Some(info)),
        }
    }

    /// Makes it, with its disks. What an earlier try left is removed first: nothing in it was ever used.
    pub fn make(&self, cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        if self.files.folder().exists() {
            self.remove(cx, &bases(plan))?;
        }
        store::create_private(&self.files.folder())?;
        self.register(cx, plan)?;
        self.manage.call(cx, &argv::mark(self.id))?;
        let bus = plan.devices.disk_bus;
        self.manage.call(cx, &argv::controller(self.id, bus))?;
        for index in 0..plan.disks.len() {
            self.make_disk(cx, plan, index)?;
            self.manage.call(cx, &argv::attach(self.id, argv::slot(bus, index), self.files.disk(index).as_os_str()))?;
        }
        Ok(())
    }

    fn register(&self, cx: &Cx, plan: &VmPlan) -> Result<(), Error> {
        let name = plan.virtualbox.name.clone().unwrap_or_else(|| argv::name(&plan.name, self.id));
        let wanted = plan.virtualbox.os_type.as_deref().unwrap_or(argv::OS_TYPE);
        let create = |os_type: &str| self.manage.call(cx, &argv::create(self.id, &name, &self.files.folder(), os_type));
        match create(wanted) {
            // Kinds of guests come and go with VirtualBox's versions.
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::Unknown && wanted != argv::OS_TYPE => {
                cx.note(format!("this VirtualBox knows no guest `{wanted}`; going on with {}", argv::OS_TYPE));
                create(argv::OS_TYPE).map(drop)
            }
            made => made.map(drop),
        }
    }

    fn make_disk(&self, cx: &Cx, plan: &VmPlan, index: usize) -> Result<(), Error> {
        let (planned, disk) = (&plan.disks[index], self.files.disk(index));
        let Some(Backing { path: base, .. }) = &planned.backing else {
            return self.manage.call(cx, &argv::empty(&disk, planned.size.unwrap_or_default())).map(drop);
        };
        let base = std::path::absolute(base).map_err(|e| store::Error::io("find", base, e))?;
        let Some(Vdi { size: from, .. }) = files::vdi(&base)? else {
            return Err(Error::FileMissing { what: "the box's image", path: base });
        };
        // What lies behind the end of the image that it rests on, VirtualBox cannot read of an overlay.
        let grows = planned.size.is_some_and(|to| to > from);
        if plan.virtualbox.linked_clone && !grows {
            self.manage.call(cx, &argv::overlay(&base, &disk))?;
        } else {
            cx.waiting("VirtualBox to copy the disk");
            self.copy(cx, &base, &disk)?;
            self.forget(cx, &base)?;
        }
        match planned.size {
            Some(to) if to < from => Err(Error::Shrink { path: disk, from, to }),
            Some(to) if to > from => self.manage.call(cx, &argv::grow(&disk, to)).map(drop),
            _ => Ok(()),
        }
    }

    /// Refuses disks beyond the first `made` where another medium has their place.
    pub fn require_slots(&self, cx: &Cx, plan: &VmPlan, made: usize) -> Result<Info, Error> {
        if plan.disks.len() <= made {
            return Ok(Info::default());
        }
        let info = self.info(cx)?.unwrap_or_default();
        let seed = Slots::of(&info).with(&self.files.seed());
        let bus = plan.devices.disk_bus;
        for slot in (made..plan.disks.len()).map(|index| argv::slot(bus, index)).filter(|slot| seed != Some(*slot)) {
            if info.medium(argv::CONTROLLER, slot.0, slot.1).is_some_and(|medium| medium != "none") {
                return Err(Error::State {
                    action: "hang an extra disk on",
                    state: "using its slot for another medium",
                    hint: "`VBoxManage showvminfo` shows which: put that one on a later port",
                });
            }
        }
        Ok(info)
    }

    /// Makes what the plan has beyond the first `made` disks, of a machine that is off. `attach_disks` hangs them up.
    pub fn add_disks(&self, cx: &Cx, plan: &VmPlan, made: usize) -> Result<(), Error> {
        if plan.disks.len() <= made {
            return Ok(());
        }
        let info = self.require_slots(cx, plan, made)?;
        let seed = Slots::of(&info).with(&self.files.seed());
        for index in made..plan.disks.len() {
            let slot = argv::slot(plan.devices.disk_bus, index);
            if seed == Some(slot) {
                // Where earlier versions hung it. The start hangs it on another one.
                self.manage.call(cx, &argv::attach(self.id, slot, "none".as_ref()))?;
            }
            let disk = self.files.disk(index);
            if disk.exists() {
                // Cut short before it was hung up: nothing was ever written to it.
                self.discard(cx, &disk)?;
            }
            self.make_disk(cx, plan, index)?;
        }
        Ok(())
    }

    /// Grows the first `made` disks of a machine that is off as the plan says; refuses to shrink them.
    pub fn grow(&self, cx: &Cx, plan: &VmPlan, made: usize) -> Result<(), Error> {
        for (index, planned) in plan.disks.iter().enumerate().take(made) {
            let path = self.files.disk(index);
            let Some(Vdi { size: from, overlay }) = files::vdi(&path)? else {
                return Err(Error::FileMissing { what: "the disk", path });
            };
            match planned.size {
                Some(to) if to < from => return Err(Error::Shrink { path, from, to }),
                Some(to) if to > from => {
                    if let Some(state) = self.busy(cx)? {
                        let hint = "shut it down first: `vbox-rs halt`";
                        return Err(Error::State { action: "grow a disk of", state, hint });
                    }
                    if overlay {
                        self.stand_alone(cx, plan, index)?;
                    }
                    self.manage.call(cx, &argv::grow(&path, to))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a disk that rests on an image one that does not. Cut short it is either: `attach_disks` hangs up what is
    /// there.
    fn stand_alone(&self, cx: &Cx, plan: &VmPlan, index: usize) -> Result<(), Error> {
        let (disk, new) = (self.files.disk(index), self.files.new_disk(index));
        let slot = argv::slot(plan.devices.disk_bus, index);
        cx.waiting("VirtualBox to copy the disk");
        self.copy(cx, &disk, &new)?;
        match self.manage.call(cx, &argv::attach(self.id, slot, "none".as_ref())) {
            // A try that was cut short came that far.
            Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::NotFound => {}
            answer => drop(answer?),
        }
        self.forget_own(cx, &disk)?;
        fs::rename(&new, &disk).map_err(|e| store::Error::io("rename", &new, e))?;
        store::sync_dir(&self.files.folder())?;
        self.manage.call(cx, &argv::attach(self.id, slot, disk.as_os_str()))?;
        plan.disks[index].backing.as_ref().map_or(Ok(()), |backing| self.forget(cx, &backing.path))
    }

    /// Hangs up disks that `info` does not show, on a controller with all its ports.
    pub fn attach_disks(&self, cx: &Cx, plan: &VmPlan, info: &Info) -> Result<(), Error> {
        let slots = Slots::of(info);
        if slots.are_few() {
            self.manage.call(cx, &argv::widen(self.id, slots.ports()))?;
        }
        for index in 0..plan.disks.len() {
            let slot = argv::slot(plan.devices.disk_bus, index);
            if info.medium(argv::CONTROLLER, slot.0, slot.1).is_none_or(|medium| medium == "none") {
                self.manage.call(cx, &argv::attach(self.id, slot, self.files.disk(index).as_os_str()))?;
            }
        }
        Ok(())
    }

    /// Gives a machine that is off or saved these forwards in place of ours that it has, and leaves all others.
    pub fn change_rules(&self, cx: &Cx, forwards: &[Forward], info: &Info) -> Result<(), Error> {
        let ours: Vec<_> = rules::of(info).into_iter().filter(Rule::is_ours).collect();
        // `modifyvm` without a change is an error.
        if forwards.is_empty() && ours.is_empty() {
            return Ok(());
        }
        let args = [argv::forwards_only(self.id, forwards, &ours), argv::datagrams(forwards, info)].concat();
        self.manage.call(cx, &args).map(drop)
    }

    fn busy(&self, cx: &Cx) -> Result<Option<&'static str>, Error> {
        Ok(match self.info(cx)?.map(|info| state(&info, self.files)) {
            Some(VmState::Saved) => Some("saved"),
            Some(state) if state.has_process() => Some("running"),
            _ => None,
        })
    }

    /// Hangs the seed on a free slot, unless `info` shows it on one; takes away one that the plan has not.
    pub fn attach_seed(&self, cx: &Cx, plan: &VmPlan, info: &Info) -> Result<(), Error> {
        let descriptor = self.files.seed();
        let slots = Slots::of(info);
        let Some(seed) = &plan.seed else {
            let Some(slot) = slots.with(&descriptor) else { return Ok(()) };
            self.manage.call(cx, &argv::attach(self.id, slot, "none".as_ref()))?;
            return self.forget(cx, &descriptor);
        };
        seed::describe(seed, &descriptor, self.id)?;
        let disks = plan.disks.len();
        if slots.with(&descriptor).is_some() || slots.has_differences(disks) {
            return Ok(());
        }
        let slot = slots.free(disks).ok_or(Error::State {
            action: "hang the seed on",
            state: "full: no slot of its controller is free",
            hint: "let `customize` hang fewer media there, or destroy it and make it anew with `disk_bus = \"sata\"`",
        })?;
        self.manage.call(cx, &argv::attach(self.id, slot, descriptor.as_os_str())).map(drop)
    }

    /// Makes VirtualBox forget a medium, whose file stays; not where a machine still has it, or another disk rests on it.
    pub fn forget(&self, cx: &Cx, medium: &Path) -> Result<(), Error> {
        self.forgotten(cx, medium).map(drop)
    }

    /// The same; whether it is forgotten.
    fn forgotten(&self, cx: &Cx, medium: &Path) -> Result<bool, Error> {
        match self.manage.call(cx, &argv::forget(medium)) {
            // Where another file has its UUID, it is that one which VirtualBox knows.
            Err(Error::Virtualbox(fault)) if matches!(fault.meaning, Meaning::NotFound | Meaning::SameUuid) => Ok(true),
            // A medium that another machine has attached counts as locked or in a wrong state.
            Err(Error::Virtualbox(fault))
                if fault.meaning == Meaning::InUse || fault.message.contains("still attached") =>
            {
                Ok(false)
            }
            answer => answer.map(|_| true),
        }
    }

    /// Copies a disk, with all that it rests on, to a file that VirtualBox does not know afterwards. A copy that was killed
    /// goes on in VirtualBox's service, which knows of the file in the end.
    pub fn copy(&self, cx: &Cx, disk: &Path, to: &Path) -> Result<(), Error> {
        if to.exists() {
            self.discard(cx, to)?;
        }
        let copied = match self.copy_once(cx, disk, to) {
            Err(Error::Virtualbox(fault)) if matches!(fault.meaning, Meaning::SameUuid | Meaning::Exists) => {
                self.discard(cx, to)?;
                self.copy_once(cx, disk, to)
            }
            copied => copied,
        };
        let forgotten = self.forget(&cx.uninterrupted(), to);
        // The first error matters.
        copied.and(forgotten)
    }

    fn copy_once(&self, cx: &Cx, disk: &Path, to: &Path) -> Result<(), Error> {
        self.manage.long_call(cx, &argv::copy(disk, to)).map(drop)
    }

    /// Removes a file that VirtualBox may know as a disk.
    pub fn discard(&self, cx: &Cx, disk: &Path) -> Result<(), Error> {
        self.forget_own(cx, disk)?;
        Ok(store::remove_file(disk)?)
    }

    /// Forgets a disk of this machine.
    fn forget_own(&self, cx: &Cx, disk: &Path) -> Result<(), Error> {
        let mut pauses = SETTLING.into_iter().map(Duration::from_millis);
        while !self.forgotten(cx, disk)? {
            let Some(pause) = pauses.next() else {
                let state = "still using its disk, or VirtualBox's service believes so";
                let hint = "the service forgets that when it ends: close VirtualBox's windows and stop its machines, then \
                            try again";
                return Err(Error::State { action: "remove", state, hint });
            };
            cx.waiting("VirtualBox's service to forget a call that was cut short");
            cx.sleep(pause)?;
        }
        Ok(())
    }

    /// Removes a machine that does not run: from VirtualBox's lists, with its media, and then its files. `bases` are
    /// forgotten too, unless disks of other machines rest on them.
    pub fn remove(&self, cx: &Cx, bases: &[PathBuf]) -> Result<(), Error> {
        if self.info(cx)?.is_some() {
            match self.manage.call(cx, &argv::unregister(self.id)) {
                Err(Error::Virtualbox(fault)) if fault.meaning == Meaning::NotFound => {}
                answer => drop(answer?),
            }
        }
        for disk in self.disks() {
            self.forget_own(cx, &disk)?;
        }
        if self.files.seed().exists() {
            self.forget(cx, &self.files.seed())?;
        }
        for base in bases {
            self.forget(cx, base)?;
        }
        if self.files.folder().exists() {
            store::remove_dir(&self.files.folder())?;
        }
        Ok(store::remove_file(&self.files.seed())?)
    }

    fn disks(&self) -> Vec<PathBuf> {
        let both = |index| [self.files.disk(index), self.files.new_disk(index)];
        let found = |disks: &[PathBuf; 2]| disks.iter().any(|disk| disk.exists());
        let all = (0..).map(both).take_while(found).flatten();
        all.filter(|disk| disk.exists()).collect()
    }
}

/// The images that disks of a plan rest on.
pub fn bases(plan: &VmPlan) -> Vec<PathBuf> {
    let backings = plan.disks.iter().filter_map(|disk| disk.backing.as_ref());
    backings.filter_map(|backing| std::path::absolute(&backing.path).ok()).collect()
}

/// Whether `path` lies below `folder`, by whatever names both are reached.
fn within(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    path.starts_with(folder) || real(path).zip(real(folder)).is_some_and(|(path, folder)| path.starts_with(folder))
}

/// A guest that cannot go on, in VirtualBox's words.
const GURU_MEDITATION: &str = "guru meditation";

/// What VirtualBox's service is doing with a machine by itself, in its words.
const BETWEEN: [&str; 2] = ["saving", "resuming"];

/// Whether the service will come to an end with it.
pub fn is_between(state: &VmState) -> bool {
    matches!(state, VmState::Paused { why: Pause::Other(word) } if BETWEEN.contains(&word.as_str()))
}

/// The state in our words.
pub fn state(info: &Info, files: &Files) -> VmState {
    let log = || files.log().map(|path| files::tail(&path, log::TAIL)).unwrap_or_default();
    match info.state() {
        None => VmState::Broken { why: "VirtualBox cannot read its settings".into() },
        Some("poweroff" | "powered off") => VmState::Off,
        Some("running" | "starting" | "restoring" | "stopping" | "livesnapshotting" | "onlinesnapshotting") => {
            VmState::Running
        }
        Some("saved" | "aborted-saved") => VmState::Saved,
        Some("aborted") => VmState::Vanished { why: "its process ended without the guest's knowing".into() },
        Some("paused") => VmState::Paused { why: paused(&log()) },
        Some("gurumeditation" | "stuck") => VmState::Paused { why: Pause::Other(GURU_MEDITATION.into()) },
        Some(word) if BETWEEN.contains(&word) => VmState::Paused { why: Pause::Other(word.into()) },
        Some(word) => VmState::Unresponsive { why: format!("VirtualBox says `{word}`") },
    }
}

/// What a machine's process tells in its log.
pub fn seen(log: &str) -> VmState {
    match log::last_state(log) {
        Some("SUSPENDED" | "SUSPENDED_LS" | "SUSPENDED_EXT_LS") => VmState::Paused { why: paused(log) },
        Some(word) if word.starts_with("GURU_MEDITATION") => {
            VmState::Paused { why: Pause::Other(GURU_MEDITATION.into()) }
        }
        _ => VmState::Running,
    }
}

/// Whether somebody asked for it, or why VirtualBox did it.
fn paused(log: &str) -> Pause {
    // What it met before it ran on is over.
    let since = log.rfind("to 'RUNNING'").map_or(log, |at| &log[at..]);
    match log::runtime_error(since) {
        None => Pause::Asked,
        Some(log::DISK_FULL) => Pause::DiskError,
        Some(other) => Pause::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_virtualbox_has_our_word() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        for (theirs, ours) in [
            ("poweroff", "off"),
            ("running", "running"),
            ("saved", "saved"),
            ("aborted-saved", "saved"),
            ("paused", "paused"),
            ("aborted", "vanished"),
            ("gurumeditation", "paused"),
            ("teleporting", "unresponsive"),
        ] {
            let found = state(&Info::parse(&format!("VMState=\"{theirs}\"\n")), &files);
            assert_eq!(found.word(), ours, "{theirs}");
            assert_eq!(found.is_stuck(), theirs == "gurumeditation");
        }
        assert_eq!(state(&Info::default(), &files).word(), "broken");
    }

    #[test]
    fn a_log_tells_who_stopped_a_machine() {
        let change = |to: &str| format!("00:01 Changing the VM state from 'RUNNING' to '{to}'\n");
        let full = format!("00:00 VM: Raising runtime error 'DrvVD_DISKFULL' (fFlags=0x6)\n{}", change("SUSPENDED"));
        assert_eq!(seen(""), VmState::Running);
        assert!(!seen(&change("SUSPENDED")).is_stuck());
        assert_eq!(seen(&full).detail(), Some("its disk could not be written"));
        assert!(seen(&change("GURU_MEDITATION")).is_stuck());
        // Both ways to see it have one word for it.
        let told = state(&Info::parse("VMState=\"gurumeditation\"\n"), &Files::new(Path::new("/nowhere")));
        assert_eq!(seen(&change("GURU_MEDITATION")), told);
    }

    #[test]
    fn a_machine_that_lies_elsewhere_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("virtualbox");
        fs::create_dir_all(ours.join("web")).unwrap();
        fs::write(ours.join("web/web.vbox"), "").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        assert!(within(&link.join("web/web.vbox"), &ours));
        assert!(within(&ours.join("gone/gone.vbox"), &ours));
        assert!(!within(&dir.path().join("other/other.vbox"), &ours));
    }
}
