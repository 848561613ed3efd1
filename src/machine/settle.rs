//! What happens in the guest once it lets us in: its own key, name, disk and folders, then the provisioners.

use std::time::Duration;

use super::record::{KeyInUse, MachineDir, MachineRecord};
use super::status::backend;
use super::{Fleet, Step, UpOptions, access, plan};
use crate::config::spec::{FolderType, MachineSpec, Provisioner, SyncedFolder};
use crate::error::Failure;
use crate::folders::{self, SshFiles};
use crate::guest::cloud_init::{self, CloudInit};
use crate::guest::{self, Session, identity, keys, networks, setup};
use crate::progress::Cx;
use crate::provider::{FORWARD_ADDRESS, Vm, forward_mac};
use crate::provision::{self, Wish};

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
    pub(super) fn has_work(&self, record: &MachineRecord) -> bool {
        self.takes_key(record) || !self.provisioners(record).is_empty()
    }

    /// Does what is left to do, each named step with its time.
    pub(super) fn run(
        &self,
        cx: &Cx,
        record: &mut MachineRecord,
        mut session: Session,
        steps: &mut Vec<Step>,
    ) -> Result<(), Failure> {
        if access::seed_pending(record) {
            session = timed(cx, steps, "cloud-init", || self.await_seed(cx, record, session))?;
        }
        if self.takes_key(record) {
            session = timed(cx, steps, "key", || self.take_key(cx, record, session))?;
        }
        if !record.ready {
            self.furnish(cx, record, &mut session, steps)?;
        }
        record.ready = true;
        record.intent = None;
        self.dir.write(record)?;
        let chosen = self.provisioners(record);
        if !chosen.is_empty() {
            timed(cx, steps, "provision", || provision_all(cx, self.fleet, record, self.spec, session, &chosen))?;
        }
        let all_of_first_up = self.options.provision != Some(false) && self.options.provision_with.is_empty();
        if !record.provisioned && all_of_first_up {
            record.provisioned = true;
            self.dir.write(record)?;
        }
        Ok(())
    }

    /// Waits until cloud-init has made users and keys, and tells when it did not end well. What it left is the guest from
    /// here on.
    fn await_seed(&self, cx: &Cx, record: &mut MachineRecord, mut session: Session) -> Result<Session, Failure> {
        match cloud_init::wait(&mut session, cx, Duration::from_secs(self.spec.boot_timeout))? {
            CloudInit::Absent => cx.note("the image has no cloud-init at work: its own user and network are used"),
            CloudInit::Done(errors) if errors.is_empty() => {}
            CloudInit::Done(errors) => cx.warn(format!("cloud-init in the guest reports: {}", errors.join("; "))),
            CloudInit::Running => cx.warn("cloud-init in the guest has not ended yet; going on without it"),
        }
        let host_key = keys::ensure(&self.dir.ssh(), "host_ed25519", &format!("vbox-rs {}", record.id.short()))?;
        if plan::without_comment(&host_key.public) != session.host_key() {
            // Another key than the seed's: the image's own, or one that cloud-init has replaced since.
            session = Session::open(cx, &access::login(self.fleet, record)?)?;
        }
        record.host_key = Some(session.host_key().to_owned());
        record.seed_taken = true;
        self.dir.write(record)?;
        Ok(session)
    }

    fn takes_key(&self, record: &MachineRecord) -> bool {
        record.key == KeyInUse::Box && self.spec.ssh.insert_key
    }

    /// Replaces the box's key, which the whole world may have, by the machine's own.
    fn take_key(&self, cx: &Cx, record: &mut MachineRecord, mut session: Session) -> Result<Session, Failure> {
        let key = keys::ensure(&self.dir.ssh(), "id_ed25519", &format!("vbox-rs {}", record.id.short()))?;
        let mut login = access::login(self.fleet, record)?;
        login.keys = vec![key.private.clone()];
        // Until the record says so, `login` tries both keys: a kill in between loses nothing.
        let boxes = access::key_of_box(self.fleet, record)?.map(|private| keys::public_half(&private).ok());
        if boxes == Some(None) {
            cx.note(
                "the key that the box came with stays in the guest's authorized_keys: its public half cannot be read",
            );
        }
        let session = identity::replace_box_key(cx, &mut session, &key.public, boxes.flatten().as_deref(), &login)?;
        record.key = KeyInUse::Own;
        self.dir.write(record)?;
        Ok(session)
    }

    /// What is done once after each start that needs it: name, size of the file system, folders.
    fn furnish(
        &self,
        cx: &Cx,
        record: &mut MachineRecord,
        session: &mut Session,
        steps: &mut Vec<Step>,
    ) -> Result<(), Failure> {
        self.fleet.vm(record)?.finish_start(cx, &self.spec.provider_options, true)?;
        if let Some(hostname) = self.spec.hostname.as_ref().filter(|name| record.hostname.as_ref() != Some(name)) {
            timed(cx, steps, "hostname", || Ok(setup::set_hostname(session, cx, hostname)?))?;
            record.hostname = Some(hostname.clone());
            self.dir.write(record)?;
        }
        let cards = plan::cards(record, self.spec);
        if !cards.is_empty() {
            timed(cx, steps, "networks", || Ok(networks::configure(session, cx, &cards)?))?;
        }
        self.open_forwards(cx, record, session)?;
        let larger = self.spec.disk.filter(|size| record.grown_to.is_none_or(|grown| grown < *size));
        if larger.is_some() && timed(cx, steps, "grow", || grow(cx, session))? {
            record.grown_to = larger;
            self.dir.write(record)?;
        }
        if !self.spec.synced_folders.is_empty() {
            timed(cx, steps, "folders", || sync(cx, self.fleet, record, session, self.spec))?;
        }
        Ok(())
    }

    /// Lets forwards through where the guest has an address of its own beside them. A machine without them is of use.
    fn open_forwards(&self, cx: &Cx, record: &MachineRecord, session: &mut Session) -> Result<(), Failure> {
        if record.forwards.is_empty() || !plan::has_own_address(record.provider, self.spec) {
            return Ok(());
        }
        let mac = forward_mac(record.id);
        match setup::bring_card_up(session, cx, &mac, FORWARD_ADDRESS) {
            Err(error @ guest::Error::Step { .. }) => {
                cx.warn(format!("forwarded ports do not lead into the guest: {}", Failure::from(error).chain()));
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn provisioners(&self, record: &MachineRecord) -> Vec<&'a Provisioner> {
        chosen(self.spec, self.options, record.provisioned)
    }
}

/// The provisioners that `up` with these options runs. `already`: the machine has been provisioned before.
pub(super) fn chosen<'a>(spec: &'a MachineSpec, options: &UpOptions, already: bool) -> Vec<&'a Provisioner> {
    let wish = Wish { provision: options.provision, with: options.provision_with.clone() };
    provision::select(&spec.provisioners, &wish, already)
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
    let mut helper = Host { fleet, record, spec };
    Ok(provision::run(cx, &mut session, chosen, &mut helper)?)
}

/// What provisioners need of the host.
struct Host<'a> {
    fleet: &'a Fleet,
    record: &'a MachineRecord,
    spec: &'a MachineSpec,
}

impl provision::Helper<Session> for Host<'_> {
    fn fetch(&mut self, cx: &Cx, url: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        Ok(crate::boxes::fetch::small(cx, url, limit)?)
    }

    fn reboot(&mut self, cx: &Cx, session: &mut Session) -> Result<(), Failure> {
        let login = access::login(self.fleet, self.record)?;
        let mut vm = self.fleet.vm(self.record)?;
        let mut outside = access::Outlook::new(cx, vm.as_mut());
        let time = Duration::from_secs(self.spec.boot_timeout + self.record.graceful_halt_timeout);
        *session = setup::reboot(session, cx, &login, &mut || outside.look(), time)?;
        Ok(())
    }
}

/// Lets the root file system have the whole disk; whether it does. A machine with a large disk and a small file system is of
/// use, and the next start tries again.
fn grow(cx: &Cx, session: &mut Session) -> Result<bool, Failure> {
    match setup::grow_root(session, cx) {
        Ok(_) => Ok(true),
        Err(error @ (guest::Error::Step { .. } | guest::Error::ToolsMissing { .. })) => {
            let why = Failure::from(error);
            let hint = why.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            cx.warn(format!("the disk has grown, the file system on it has not: {}{hint}", why.chain()));
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Shares the folders, or copies them: as their type says, and otherwise as provider and guest allow.
pub(super) fn sync(
    cx: &Cx,
    fleet: &Fleet,
    record: &MachineRecord,
    session: &mut Session,
    spec: &MachineSpec,
) -> Result<(), Failure> {
    let login = access::login(fleet, record)?;
    let (config, _) = access::openssh_files(fleet, record, &login)?;
    let ssh = SshFiles { config: &config, host: &record.name };
    let mut shares = Shares::new(cx, fleet, record, session, spec)?;
    for folder in &spec.synced_folders {
        if !shares.mount(cx, session, folder)? {
            folders::sync(cx, session, folder, &ssh, &record.user)?;
        }
    }
    Ok(())
}

/// Folders that the hypervisor shares with the guest.
struct Shares {
    /// Where both sides can do that.
    vm: Option<Box<dyn Vm>>,
    user: String,
    names: Vec<String>,
}

impl Shares {
    fn new(
        cx: &Cx,
        fleet: &Fleet,
        record: &MachineRecord,
        session: &mut Session,
        spec: &MachineSpec,
    ) -> Result<Self, Failure> {
        let provider = backend(record.provider)?;
        let wanted: Vec<_> = spec.synced_folders.iter().filter(|folder| may_be_shared(folder)).collect();
        let mut shares = Self { vm: None, user: record.user.clone(), names: Vec::new() };
        if wanted.is_empty() || !provider.shares_folders() {
            return Ok(shares);
        }
        if folders::shared::is_known(cx, session)? {
            shares.vm = Some(fleet.vm(record)?);
            return Ok(shares);
        }
        let text = "the guest has no vboxsf, which VirtualBox's guest additions bring: its folders are copied, one way";
        if wanted.iter().any(|folder| folder.kind.is_some()) {
            cx.warn(text);
        } else {
            cx.note(text);
        }
        Ok(shares)
    }

    /// Whether the folder is there, both ways; otherwise it is to be copied.
    fn mount(&mut self, cx: &Cx, session: &mut Session, folder: &SyncedFolder) -> Result<bool, Failure> {
        let Some(vm) = self.vm.as_mut().filter(|_| may_be_shared(folder)) else { return Ok(false) };
        cx.check()?;
        folders::host_folder(folder)?;
        let mut name = folders::shared::name(&folder.guest);
        while self.names.contains(&name) {
            name.push('_');
        }
        vm.share(cx, &name, &folder.host)?;
        folders::shared::mount(cx, session, folder, &name, &self.user)?;
        self.names.push(name);
        Ok(true)
    }
}

fn may_be_shared(folder: &SyncedFolder) -> bool {
    matches!(folder.kind, None | Some(FolderType::Virtualbox))
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
