//! A start with host ports that are the machine's, whoever else wants them.

use std::os::fd::{AsFd, BorrowedFd};

use super::Up;
use crate::config::spec::{ForwardedPort, Protocol};
use crate::error::Failure;
use crate::machine::forwards::Live;
use crate::machine::plan;
use crate::machine::record::{Intent, MachineRecord};
use crate::machine::status::backend;
use crate::network::{self, Planned, Ports, Wishes, plan_forwards};
use crate::provider::{self, Forward, Vm, VmPlan};

/// How often a start is tried again when somebody took one of our ports between our letting go of it and the
/// hypervisor's taking it.
pub(in crate::machine) const PORT_RACES: u32 = 5;

impl Up<'_> {
    pub(super) fn start(&self, record: &mut MachineRecord, vm: &mut dyn Vm, plan: &mut VmPlan) -> Result<(), Failure> {
        record.intent = Some(Intent::Start);
        let own_address = plan::has_own_address(record.provider, &self.spec);
        self.with_ports(record, own_address, |planned| {
            plan.forwards = planned.list();
            vm.start(self.cx, plan, &inherited(planned))
        })?;
        self.take_forwards(record, vm)
    }

    /// Records where the forwards really are, where the provider had to put them elsewhere.
    pub(super) fn take_forwards(&self, record: &mut MachineRecord, vm: &mut dyn Vm) -> Result<(), Failure> {
        if let Some(forwards) = vm.forwards()?.filter(|forwards| *forwards != record.forwards) {
            record.forwards = forwards;
            self.dir.write(record)?;
        }
        Ok(())
    }

    /// Changes the forwards of a machine that runs as the machine file says, where its provider can; whether that changed any.
    pub(super) fn follow_forwards(&self, record: &mut MachineRecord, vm: &mut dyn Vm) -> Result<bool, Failure> {
        if !backend(record.provider)?.changes_forwards() {
            return Ok(false);
        }
        let mut change = |forwards: &[Forward]| vm.change_forwards(self.cx, forwards);
        let (dirs, dir, spec) = (self.fleet.dirs(), &self.dir, &self.spec);
        Live { cx: self.cx, dirs, dir, spec, change: &mut change }.follow(record)
    }

    /// Starts with ports that are reserved and recorded; with others when one was taken in the very moment.
    pub(super) fn with_ports(
        &self,
        record: &mut MachineRecord,
        own_address: bool,
        mut start: impl FnMut(&Planned) -> Result<(), provider::Error>,
    ) -> Result<(), Failure> {
        let mut races = 0;
        loop {
            let planned = self.plan_ports(record, own_address)?;
            record.forwards = planned.list();
            record.forwards_unsure = false;
            if let Some(value) = plan::wishes(&self.spec).remove(plan::FORWARDS) {
                record.started_with.insert(plan::FORWARDS.into(), value);
            }
            self.dir.write(record)?;
            match start(&planned) {
                Ok(()) => return Ok(()),
                Err(provider::Error::PortTaken { .. }) if races < PORT_RACES => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn plan_ports(&self, record: &MachineRecord, own_address: bool) -> Result<Planned, network::Error> {
        let owner = owner(record);
        let mut wishes = Wishes::of(&self.spec, &record.forwards, &owner);
        wishes.ssh_guest_port = wishes.ssh_guest_port.filter(|_| !own_address);
        plan_forwards(self.cx, Ports(self.fleet.dirs()), &wishes)
    }

    /// Refuses ports that the machine file insists on and somebody else has, while the machine itself may still have its own.
    pub(super) fn require_ports(&self, record: &MachineRecord) -> Result<(), network::Error> {
        let spec = &self.spec;
        let has = |protocol, port| record.forwards.iter().any(|had| (had.protocol, had.host) == (protocol, port));
        let insists =
            |line: &&ForwardedPort| !line.auto_correct && line.host.is_some_and(|port| !has(line.protocol, port));
        let forwards: Vec<_> = spec.forwarded_ports.iter().filter(insists).cloned().collect();
        let usual_ssh =
            !plan::has_own_address(record.provider, spec) && !spec.forwarded_ports.iter().any(network::is_for_ssh);
        let ssh_port = spec.ssh.port.filter(|port| usual_ssh && !has(Protocol::Tcp, *port));
        let owner = owner(record);
        let wishes = Wishes {
            forwards: &forwards,
            ssh_port,
            ssh_guest_port: ssh_port.map(|_| spec.ssh.guest_port),
            ..Wishes::of(spec, &[], &owner)
        };
        plan_forwards(self.cx, Ports(self.fleet.dirs()), &wishes).map(drop)
    }
}

/// How others are told of the machine that has a port.
pub(in crate::machine) fn owner(record: &MachineRecord) -> String {
    format!("machine `{}` ({})", record.name, record.id.short())
}

/// What the hypervisor inherits. From here on the ports are its to take.
pub(in crate::machine) fn inherited(planned: &Planned) -> Vec<BorrowedFd<'_>> {
    planned.forwards.iter().map(|(_, reservation)| reservation.file().as_fd()).collect()
}
